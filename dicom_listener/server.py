"""The port: accepts connections, lets associations in by the rules, and ends in good order.

Law: the accepting thread does nothing that a peer can delay. TLS and the first PDU are read in the connection's own
thread, under a deadline, and only a whole A-ASSOCIATE-RQ makes an association.
"""

import ipaddress
import logging
import secrets
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined,unused-ignore] # made at run time
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_listener.associations import PDU_HEADER, Limits, PolledSocket, ServedAssociation
from dicom_listener.commands import C_ECHO_RQ
from dicom_listener.connections import PendingConnections
from dicom_listener.intake import Intake
from dicom_listener.ledger import AssociationLedger
from dicom_listener.memory import MemoryBudget
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.peers import (
    ANSWERS,
    AssociationFacts,
    Caps,
    IPAddress,
    Peer,
    RejectionReason,
    address_may_connect,
    judge,
)
from dicom_listener.requests import Request
from dicom_listener.shared_port import LISTEN_BACKLOG, PortShare
from dicom_listener.statuses import SUCCESS, UNRECOGNISED_OPERATION, Verdict
from dicom_listener.syntaxes import SOP_CLASSES, SYNTAXES
from dicom_listener.tls import names_of_peer
from streams.contracts.series import LedgerKind

journal = logging.getLogger(__name__)

A_ASSOCIATE_RQ = 0x01
MAX_ASSOCIATE_BYTES = 128 * 1024
"""128 presentation contexts with 15 transfer syntaxes each come to 60 kB."""
PDU_TOLERANCE_BYTES = 1024
"""Some senders count the PDV header apart from the length that we announce."""
ACCEPT_POLL_SECONDS = 0.25
GRACE_SECONDS = 0.5
IMPLEMENTATION_CLASS_UID = UID("2.25.216372891377415523857426178264810276415")
IMPLEMENTATION_VERSION_NAME = "TOCSIN_1"


DEFAULT_CAPS = Caps(total=64, per_peer=32, reserved=8)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the port must know. Bytes and seconds as named."""

    ae_title: str
    host: str
    port: int
    peers: Sequence[Peer] = ()
    caps: Caps = DEFAULT_CAPS
    max_pdu_bytes: int = 131_072
    max_object_bytes: int = 1 << 30
    request_seconds: float = 5.0
    pdu_seconds: float = 30.0
    idle_seconds: float = 60.0
    max_incoming_bytes: int = 1 << 31
    tls: ssl.SSLContext | None = None
    share: PortShare | None = None
    """Of a port that other processes of ours listen on, too; ``host`` and ``port`` are not opened then."""


class AssociationBook:
    """The open associations, by address. Thread-safe."""

    def __init__(self) -> None:
        self._open: dict[ServedAssociation, tuple[IPAddress, AssociationLedger]] = {}
        self._lock = threading.Lock()
        self.stopping = False

    def admit(
        self,
        association: ServedAssociation,
        address: IPAddress,
        ledger: AssociationLedger,
        decide: Callable[[int, int, bool], RejectionReason | None],
    ) -> RejectionReason | None:
        """Decide with the current counts, and enter the association in the same breath if it may come in."""
        with self._lock:
            counts = Counter(other for other, _ in self._open.values())
            reason = decide(len(self._open), counts[address], self.stopping)
            if reason is None:
                self._open[association] = (address, ledger)
            return reason

    def ledger(self, association: ServedAssociation) -> AssociationLedger:
        return self._open[association][1]

    def has(self, association: ServedAssociation) -> bool:
        with self._lock:
            return association in self._open

    def leave(self, association: ServedAssociation) -> None:
        with self._lock:
            del self._open[association]

    def associations(self) -> list[ServedAssociation]:
        with self._lock:
            return list(self._open)

    def __len__(self) -> int:
        return len(self._open)


class _Connection(RequestHandler):  # type: ignore[misc] # pynetdicom is not typed
    """Makes an association of a connection whose request has arrived."""

    server: "HardenedServer"

    def __init__(self, request: socket.socket, client_address: Any, server: "HardenedServer", head: bytes) -> None:
        self._head = head
        super().__init__(request, client_address, server)

    def _create_association(self) -> ServedAssociation:
        server, options = self.server, self.server.options
        pdu_bytes = options.max_pdu_bytes + PDU_TOLERANCE_BYTES
        limits = Limits(pdu_bytes, options.max_object_bytes, options.pdu_seconds, server.memory)
        association = ServedAssociation(self.ae, limits, server.decide, server.ended)
        association._server = server
        association.name = "AcceptorThread"
        association.set_socket(PolledSocket(association, self.request, self._head, options.pdu_seconds))
        acceptor = association.acceptor
        acceptor.maximum_length = options.max_pdu_bytes
        acceptor.ae_title = options.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        acceptor.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        acceptor.supported_contexts = deepcopy(server.contexts)
        association.requestor.address_info = self.remote
        association.bind(evt.EVT_REQUESTED, server.on_requested)
        return association


class HardenedServer(ThreadedAssociationServer):  # type: ignore[misc] # pynetdicom is not typed
    """pynetdicom's server with an accept loop that nobody can hold up."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = LISTEN_BACKLOG
    server_address: Any
    socket: Any

    def __init__(self, ae: AE, options: ServerOptions, intake: Intake, metrics: ListenerMetrics) -> None:
        self.options, self.intake, self.metrics, self._share = options, intake, metrics, options.share
        self.book = AssociationBook()
        self.memory = MemoryBudget(options.max_incoming_bytes)
        self._pending = PendingConnections(lambda: metrics.associations_rejected.labels("no_request").inc())
        super().__init__(ae, (options.host, options.port), options.ae_title, contexts(), evt_handlers=[])

    # -- connections -------------------------------------------------------------------------------------------

    def server_bind(self) -> None:
        if self._share is not None:
            self.socket.close()
            self.socket = self._share.listening
        else:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        if self._share is None:
            super().server_activate()

    def server_close(self) -> None:
        if self._share is None:
            super().server_close()
        else:  # what the library shuts down is shut down for all processes
            self._share.close()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self._share.accept() if self._share else self.socket.accept()
        connection.settimeout(self.options.request_seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = ipaddress.ip_address(client_address[0])
        if self.book.stopping or not address_may_connect(self.options.peers, address):
            self.metrics.associations_rejected.labels(RejectionReason.ADDRESS_UNKNOWN).inc()
            self._left()
            return False
        self._pending.add(request, address, time.monotonic())
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: everything that may take a peer's time."""
        connection: socket.socket = request
        try:
            connection = self._wrapped(request)
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            head = self._association_request(connection)
            if not self._pending.remove(connection):
                raise ConnectionError("displaced")
            _Connection(connection, client_address, self, head)
        except OSError as error:
            self._turn_away(connection, error)
        except Exception:  # noqa: BLE001 - a boundary: the connection ends, the others go on
            journal.exception("a connection ended by a fault of ours")
            self._pending.remove(connection)
            self._hang_up(connection)

    def _turn_away(self, connection: socket.socket, error: OSError) -> None:
        if self._pending.remove(connection):
            reason = RejectionReason.TLS_FAILED if isinstance(error, ssl.SSLError) else RejectionReason.NO_REQUEST
            self.metrics.associations_rejected.labels(reason).inc()
        self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        self.shutdown_request(connection)
        self._left()

    def _left(self) -> None:
        """A connection is over: it was turned away, or its association has ended. (Both close it; only this counts.)"""
        if self._share is not None:
            self._share.left()

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        if self.options.tls is None:
            return connection
        secured = self.options.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        if not self._pending.exchange(connection, secured):
            raise ConnectionError("displaced")
        return secured

    def _association_request(self, connection: socket.socket) -> bytes:
        """The whole A-ASSOCIATE-RQ. Raises OSError where it does not come, in time, and within its bound."""
        deadline = time.monotonic() + self.options.request_seconds
        header = _receive(connection, PDU_HEADER.size, deadline)
        kind, _, length = PDU_HEADER.unpack(header)
        if kind != A_ASSOCIATE_RQ or length > MAX_ASSOCIATE_BYTES:
            raise ConnectionError("not an association request")
        return header + _receive(connection, length, deadline)

    # -- associations ------------------------------------------------------------------------------------------

    def on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request = association.requestor.primitive
        address = ipaddress.ip_address(association.requestor.address)
        called, calling = request.called_ae_title.strip(), request.calling_ae_title.strip()
        certificate_names = names_of_peer(association.dul.socket.socket)
        ledger = AssociationLedger(secrets.token_hex(16), calling)

        def decide(open_total: int, open_from_address: int, stopping: bool) -> RejectionReason | None:
            context = str(request.application_context_name)
            facts = AssociationFacts(
                called, calling, address, context, open_total, open_from_address, stopping, certificate_names
            )
            return judge(facts, self.options.ae_title, self.options.peers, self.options.caps)

        reason = self.book.admit(association, address, ledger, decide)
        if reason is None:
            self.metrics.associations_open.set(len(self.book))
            return
        self.metrics.associations_rejected.labels(reason).inc()
        journal.warning(
            "association rejected", extra={"reason": reason, "calling_ae": calling, "address": str(address)}
        )
        answer = ANSWERS[reason]
        association.acse.send_reject(answer.result, answer.source, answer.diagnostic)
        association.is_rejected = True
        association.kill()

    def ended(self, association: ServedAssociation) -> None:
        self._left()
        if not self.book.has(association):
            return
        kind = LedgerKind.RELEASED if association.is_released else LedgerKind.ABORTED
        self.intake.close(self.book.ledger(association), kind)
        self.book.leave(association)  # only now: whoever waits for an empty book waits for the accounts, too
        self.metrics.associations_open.set(len(self.book))
        self.metrics.associations_ended.labels(kind).inc()

    def decide(self, association: ServedAssociation, request: Request) -> Verdict | None:
        """Serve one request. None where it is none, or has no response."""
        command = request.command
        if request.data_set is not None:
            return self.intake.store(request.data_set, self.book.ledger(association))
        if command.field == C_ECHO_RQ:
            self.metrics.echoes.inc()
            return Verdict(SUCCESS)
        if not command.is_answered:
            return None
        self.metrics.requests_unrecognised.inc()
        journal.warning("a request for a service that is not offered", extra={"command_field": command.field})
        return Verdict(UNRECOGNISED_OPERATION, "only C-STORE and C-ECHO are served")

    # -- the end -----------------------------------------------------------------------------------------------

    def service_actions(self) -> None:
        """Between two connections: end those that take too long to become associations, however they do it.

        (The library collects garbage here, for all threads to wait; nothing of ours needs it.)
        """
        self._pending.hang_up_before(time.monotonic() - self.options.request_seconds - GRACE_SECONDS)

    def stop(self, seconds: float) -> None:
        """Accept nothing more; give running associations so long to end, then abort them."""
        self.book.stopping = True
        self.shutdown()
        self._pending.close_all()
        deadline = time.monotonic() + seconds
        while len(self.book) and time.monotonic() < deadline:
            time.sleep(0.05)
        for association in self.book.associations():
            threading.Thread(target=association.abort, daemon=True).start()
        deadline = time.monotonic() + 1.0
        while len(self.book) and time.monotonic() < deadline:
            time.sleep(0.02)


class Listener:
    """The port and the thread that accepts on it.

    Raises:
        OSError: the address is taken or not ours.
    """

    def __init__(self, options: ServerOptions, intake: Intake, metrics: ListenerMetrics) -> None:
        ae = AE(options.ae_title)
        ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = (
            options.request_seconds,
            options.idle_seconds,
            options.idle_seconds,
        )
        ae.maximum_associations = 1_000_000  # the caps are the book's
        ae.require_called_aet = False  # judged in peers.judge
        self.server = HardenedServer(ae, options, intake, metrics)
        ae._servers.append(self.server)
        self._thread = threading.Thread(
            target=self.server.serve_forever, args=(ACCEPT_POLL_SECONDS,), name="accept", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def trouble(self) -> str | None:
        return None if self._thread.is_alive() else "the accepting thread has ended"

    def stop(self, seconds: float) -> None:
        self.server.stop(seconds)


def contexts() -> list[PresentationContext]:
    """What is offered: verification, and each CT class in every lossless syntax."""
    return [build_context(Verification)] + [build_context(uid, list(SYNTAXES)) for uid in SOP_CLASSES]


def _receive(connection: socket.socket, count: int, deadline: float) -> bytes:
    received = b""
    while len(received) < count:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(count - len(received))
        if not part:
            raise ConnectionError("closed")
        received += part
    return received
