"""A peer that says whatever a test wants said: PDUs by hand, over a real connection."""

import struct
from io import BytesIO
from types import TracebackType

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from dicom_listener.server import contexts
from tests.integration.dicom_listener.live_listener import connect

VERIFICATION, CT, ENHANCED_CT, NEVER_AGREED = 1, 3, 5, 99
"""Presentation contexts of :func:`an_association_request`, each in explicit VR little endian."""
A_ASSOCIATE_AC, P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP = 0x02, 0x04, 0x05, 0x06
COMMAND, DATA_SET, LAST = 1, 0, 2
PDU_HEADER = struct.Struct(">BBL")


def an_association_request(max_pdu_bytes: int = 16384) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT1", "TOCSIN"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    offered = []
    for number, context in enumerate(contexts()):
        one = build_context(context.abstract_syntax, context.transfer_syntax[0])
        one.context_id = 2 * number + 1
        offered.append(one)
    primitive.presentation_context_definition_list = offered
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def a_command(**elements: bytes) -> bytes:
    """A command set in implicit little endian: {(0000,eeee): value}."""
    return b"".join(
        struct.pack("<HHL", 0, int(name[1:], 16), len(value)) + value for name, value in sorted(elements.items())
    )


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def fragment(context_id: int, control: int, part: bytes) -> bytes:
    return struct.pack(">LBB", len(part) + 2, context_id, control) + part


class RawScanner:
    """An association. One request at a time."""

    def __init__(self, port: int, max_pdu_bytes: int = 16384) -> None:
        self._connection = connect(port)
        self._connection.sendall(an_association_request(max_pdu_bytes))
        kind, _ = self._receive_pdu()
        assert kind == A_ASSOCIATE_AC
        self.longest_answer = 0

    def say(self, *fragments: bytes) -> None:
        for one in fragments:
            self._connection.sendall(PDU_HEADER.pack(P_DATA_TF, 0, len(one)) + one)

    def request(self, command: bytes, data_set: bytes | None = None, context_id: int = CT) -> None:
        self.say(fragment(context_id, COMMAND | LAST, command))
        if data_set is not None:
            self.say(fragment(context_id, DATA_SET | LAST, data_set))

    def answer(self) -> Dataset:
        """The next response's command set."""
        command, control = b"", 0
        while not control & LAST:
            kind, body = self._receive_pdu()
            assert kind == P_DATA_TF, f"the association ended with a PDU of type {kind}"
            self.longest_answer = max(self.longest_answer, len(body))
            length, _, control = struct.unpack_from(">LBB", body)
            assert control & COMMAND
            command += body[6 : 4 + length]
        return decode(BytesIO(command), True, True)

    def release(self) -> None:
        self._connection.sendall(PDU_HEADER.pack(A_RELEASE_RQ, 0, 4) + bytes(4))
        kind, _ = self._receive_pdu()
        assert kind == A_RELEASE_RP, "nothing else was to come"

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "RawScanner":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _receive_pdu(self) -> tuple[int, bytes]:
        kind, _, length = PDU_HEADER.unpack(self._exactly(PDU_HEADER.size))
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            try:
                part = self._connection.recv(count - len(received))
            except ConnectionError:
                part = b""
            assert part, "the node hung up"
            received += part
        return received
