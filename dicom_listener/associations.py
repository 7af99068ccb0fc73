"""pynetdicom's association, made safe for an open port and quick for slices.

What differs from the library, and why:

- **One thread serves.** A request is served in the thread that read it, so a peer that sends faster than the spool
  syncs is not read (backpressure by TCP) and nothing queues up in memory.
- **One odd message costs itself.** Command sets are read and answered by :mod:`dicom_listener.commands`: the library
  raises where an element is missing or unusable, and ends the association.
- **Bounded reads.** A PDU longer than announced is refused before its body is read; a message beyond the limit is
  read but not kept; a PDU must be complete within a deadline, however slowly its bytes drip.
- **poll, not select.** Descriptors beyond 1023 work; an idle association wakes a few times a second, not 2000 times.
"""

import logging
import os
import queue
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from dicom_listener import commands
from dicom_listener.memory import MemoryBudget
from dicom_listener.requests import COMMAND_FRAGMENT, LAST_FRAGMENT, Request, RequestAssembler
from dicom_listener.statuses import Verdict

journal = logging.getLogger(__name__)

PDU_HEADER = struct.Struct(">BBL")
"""Type, reserved, length (PS3.8 9.3)."""
PDV_HEADER = struct.Struct(">LB")
"""Length, presentation context (PS3.8 9.3.5.1)."""
P_DATA_TF = 0x04
ESTABLISHED = "Sta6"
INVALID_PDU, CONNECTION_CLOSED, ARTIM_EXPIRED = "Evt19", "Evt17", "Evt18"

POLL_MILLISECONDS = 100
LAST_REQUEST_SECONDS = 60.0
"""A request that is being served when its association ends is waited for so long, so that the ledger counts it."""
READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one association.

    ``pdu_bytes`` is of one PDU's body: what we announce, with some tolerance. ``pdu_seconds`` is for one PDU, from its
    first byte to its last. ``message_bytes`` is of one data set; ``memory`` is shared by all associations.
    """

    pdu_bytes: int
    message_bytes: int
    pdu_seconds: float
    memory: MemoryBudget


class NothingCame(TimeoutError):
    """The wait for a PDU ended before its first byte: no harm done."""


class PolledSocket(AssociationSocket):  # type: ignore[misc] # pynetdicom is not typed
    """Reads with a deadline, waits with poll. ``head`` is what was read before the association existed."""

    socket: Any

    def __init__(self, assoc: Association, client_socket: socket.socket, head: bytes, pdu_seconds: float) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._head = head
        self._pdu_seconds = pdu_seconds
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(client_socket, select.POLLIN)

    def wake(self) -> None:
        """End the wait in :attr:`ready`: there is something to send."""
        try:
            os.eventfd_write(self._wake, 1)
        except OSError:  # closed meanwhile: nobody waits
            return

    @property
    def ready(self) -> bool:
        """Is there something to read? Waits a little for it."""
        sock = self.socket
        if sock is None or not self._is_connected:
            return False
        if self._head or (hasattr(sock, "pending") and sock.pending()):
            return True
        try:
            events = dict(self._poll.poll(POLL_MILLISECONDS))
        except OSError:
            self.event_queue.put(CONNECTION_CLOSED)
            return False
        if self._wake in events:
            os.eventfd_read(self._wake)
            events.pop(self._wake)
        return bool(events)

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly so many bytes, fewer where the peer closed.

        Raises:
            TimeoutError: they did not come in time.
            OSError: the connection broke.
        """
        buffer = bytearray(nr_bytes)
        filled = min(len(self._head), nr_bytes)
        buffer[:filled], self._head = self._head[:filled], self._head[filled:]
        view, sock = memoryview(buffer), self.socket
        deadline = time.monotonic() + self._pdu_seconds
        while filled < nr_bytes and sock is not None:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                count = sock.recv_into(view[filled : filled + READ_BYTES])
            except TimeoutError:
                if filled:
                    raise
                raise NothingCame from None
            if not count:
                break
            filled += count
        view.release()
        del buffer[filled:]
        return buffer

    def send(self, bytestream: bytes) -> None:
        sock = self.socket
        if sock is None:
            return
        try:
            sock.settimeout(self._pdu_seconds)
            sock.sendall(bytestream)
        except OSError:
            self.event_queue.put(CONNECTION_CLOSED)

    def dispose(self) -> None:
        """Release the descriptors; the association is over."""
        sock, self.socket = self.socket, None
        if sock is not None:
            sock.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


class BoundedUpperLayer(DULServiceProvider):  # type: ignore[misc] # pynetdicom is not typed
    """Reads PDUs within the limits; data PDUs take a short way."""

    _kill_thread: bool

    def __init__(self, assoc: "ServedAssociation", limits: Limits) -> None:
        super().__init__(assoc)
        self._limits = limits
        self.daemon = True

    def run_reactor(self) -> None:
        """Until the association is over: wait for the peer or for something to send, and do what it means."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._do_pending()
                if self.artim_timer.expired:
                    self.event_queue.put(ARTIM_EXPIRED)
                elif not self._process_recv_primitive() and self._is_transport_event():
                    self._idle_timer.restart()
        except InvalidEventError:
            journal.info("a peer was gone before it was answered")
        except Exception:  # noqa: BLE001 - a boundary: the association is torn down, the others go on
            journal.exception("an association stumbled and is torn down")
        finally:
            self.assoc.is_established = False
            self.assoc._kill = self._kill_thread = True

    def _do_pending(self) -> None:
        """Feed the state machine (PS3.8 9.2) with all that has happened."""
        while True:
            try:
                event = self.event_queue.get_nowait()
            except queue.Empty:
                return
            self.state_machine.do_action(event)

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        if isinstance(self.socket, PolledSocket):
            self.socket.wake()

    def stop_dul(self) -> bool:
        if self.state_machine.current_state != "Sta1":
            return False
        self._kill_thread = True
        if isinstance(self.socket, PolledSocket):
            self.socket.wake()
        if threading.current_thread() is not self:
            self.join()
        return True

    def _read_pdu_data(self) -> None:
        try:
            event = self._read_pdu()
        except NothingCame:  # the socket was readable for TLS's own sake
            return
        except OSError:
            event = CONNECTION_CLOSED
        if event is not None:
            self.event_queue.put(event)

    def _read_pdu(self) -> str | None:
        """Read one PDU. Returns the event for the state machine, None where the PDU was dealt with already."""
        header = self.socket.recv(PDU_HEADER.size)
        if len(header) < PDU_HEADER.size:
            return CONNECTION_CLOSED
        kind, _, length = PDU_HEADER.unpack(header)
        if kind not in range(0x01, 0x08) or length > self._limits.pdu_bytes:
            journal.warning("a PDU of unknown type or excessive length", extra={"type": kind, "length": length})
            return INVALID_PDU
        body = self.socket.recv(length)
        if len(body) < length:
            return CONNECTION_CLOSED
        if kind == P_DATA_TF and self.state_machine.current_state == ESTABLISHED:
            return None if self._take_data(memoryview(body)) else INVALID_PDU
        return self._decoded(header + body)

    def _decoded(self, data: bytearray) -> str:
        try:
            pdu, event = self._decode_pdu(data)
        except Exception:  # noqa: BLE001 - the library's decoder meets arbitrary bytes here
            return INVALID_PDU
        self._recv_pdu.put(pdu)
        return str(event)

    def _take_data(self, body: memoryview) -> bool:
        """Give each presentation data value to the request it belongs to, and serve what became whole."""
        position = 0
        try:
            while position < len(body):
                length, context_id = PDV_HEADER.unpack_from(body, position)
                end = position + 4 + length
                if length < 2 or end > len(body):
                    return False
                self.assoc.take(context_id, body[position + PDV_HEADER.size : end])
                position = end
        except Exception:  # noqa: BLE001 - pydicom meets arbitrary bytes here
            return False
        self.assoc.serve_whole_requests()
        return True


class ServedAssociation(Association):  # type: ignore[misc] # pynetdicom is not typed
    """An association that somebody opened with us.

    Args:
        decide: what a request is answered, None where no answer exists. Called in the thread that read the request.
        ended: called once, when everything is over, in the association's thread.
    """

    def __init__(
        self,
        ae: Any,
        limits: Limits,
        decide: Callable[["ServedAssociation", Request], Verdict | None],
        ended: Callable[["ServedAssociation"], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.dul = BoundedUpperLayer(self, limits)
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout
        self._assembler = RequestAssembler(self._agreed_syntax, limits.message_bytes, limits.memory)
        self._whole: deque[Request] = deque()
        self._decide, self._ended = decide, ended

    def take(self, context_id: int, fragment: memoryview) -> None:
        """One fragment of a message. Raises ValueError where no message can have it."""
        self._whole.extend(self._assembler.take(context_id, fragment))

    def serve_whole_requests(self) -> None:
        """In the thread that read them."""
        while self._whole:
            request = self._whole.popleft()
            try:
                self._serve(request)
            finally:
                request.release()

    def _serve(self, request: Request) -> None:
        while not self.is_established and not self._is_ending:  # the peer may be quicker than our own acceptance
            time.sleep(0.0005)
        if self._is_ending:
            return
        if request.command.field is None:
            journal.warning("a message that nothing can be answered to; its association ends")
            self.abort()
            return
        verdict = self._decide(self, request)
        if verdict is not None and self.is_established:
            self._answer(request, verdict)

    @property
    def _is_ending(self) -> bool:
        return bool(self._kill or self._sent_abort or self.is_aborted or self.is_released)

    def _answer(self, request: Request, verdict: Verdict) -> None:
        data = commands.answer(request.command, verdict)
        room = self.requestor.maximum_length  # of a PDV with its header; 0 is no limit (PS3.8 D.1)
        step = max(1, room - PDV_HEADER.size - 1) if room else len(data)
        for start in range(0, len(data), step):
            last = LAST_FRAGMENT if start + step >= len(data) else 0
            fragment = P_DATA()
            value = bytes([COMMAND_FRAGMENT | last]) + data[start : start + step]
            fragment.presentation_data_value_list.append((request.context_id, value))
            self.dul.send_pdu(fragment)

    def _agreed_syntax(self, context_id: int) -> str:
        context = self._accepted_cx.get(context_id)
        return str(context.transfer_syntax[0]) if context is not None else ""

    def _abort_blocking(self, block: bool = True) -> None:
        """The reading thread must not wait for its own end."""
        super()._abort_blocking(block and threading.current_thread() is not self.dul)

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        except Exception:  # noqa: BLE001 - a boundary: the association ends, the others go on
            journal.exception("an association ended by a fault of ours")
        finally:
            self._finish()

    def _finish(self) -> None:
        self.dul.kill_dul()
        if isinstance(self.dul.socket, PolledSocket):
            self.dul.socket.wake()
        if self.dul.is_alive():
            self.dul.join(timeout=LAST_REQUEST_SECONDS)
        self._account_for_rest()
        self._ended(self)
        if isinstance(self.dul.socket, PolledSocket):
            self.dul.socket.dispose()

    def _account_for_rest(self) -> None:
        """What had begun to come is known to be missing; nobody is there to be answered."""
        for request in self._assembler.end():
            try:
                if request.data_set is not None:
                    self._decide(self, request)
            finally:
                request.release()

    def _run_reactor(self) -> None:
        """Wait for the end of the association; requests are served elsewhere."""
        self._is_paused = True
        while not self._kill:
            _wait_for_item(self.dul.to_user_queue, POLL_MILLISECONDS / 1000)
            if self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                self.kill()
            elif self.acse.is_aborted():
                self.dul.receive_pdu(wait=False)
                self.is_aborted, self.is_established = True, False
                self.kill()
            elif not self.dul.is_alive():
                self.kill()
            elif self.dul.idle_timer_expired():
                journal.info("an association was idle for too long and is aborted")
                self.abort()
                self.kill()


def _wait_for_item(items: "queue.Queue[Any]", seconds: float) -> None:
    with items.not_empty:
        if not items.queue:
            items.not_empty.wait(seconds)
