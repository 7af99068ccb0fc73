"""The scanner simulator: DICOM files over a real association, at a scanner's pace.

It is an ordinary C-STORE SCU (PS3.4 B): it proposes exactly the SOP classes and transfer syntaxes of the files, sends
each object as it is, and reports every status that was not Success.
"""

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, Association
from pynetdicom.presentation import build_context

from tocsin.errors import BadRequest, ScannerFailed

MAX_CONTEXTS = 128
"""Presentation contexts in one association (PS3.8 9.3.2.2)."""

MAX_PDU_BYTES = 131_072

HOLD_SECONDS = 5.0
"""For the reactor thread to come to its pause; it looks every millisecond."""

HOLD_LOOK_SECONDS = 0.05

MAX_AE_TITLE = 16

SUCCESS = 0x0000
SOP_CLASS_NOT_SUPPORTED = 0x0122
"""PS3.7 Annex C; stands here for a presentation context that the peer did not accept."""
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
"""Stored, with a remark (PS3.4 B.2.3)."""


@dataclass(frozen=True)
class Destination:
    """``AET@HOST:PORT``."""

    ae_title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Raises BadRequest when the text is not ``AET@HOST:PORT``."""
        ae_title, at, address = text.partition("@")
        host, colon, port = address.rpartition(":")
        if not (at and colon and ae_title and host and port.isdigit() and 0 < int(port) <= 65535):
            raise BadRequest(f"{text!r} is not an address like TOCSIN@127.0.0.1:11112.")
        return cls(ae_title.strip(), host.strip("[]"), int(port))


@dataclass(frozen=True)
class DicomFile:
    """A file that can be sent."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    data_set: Dataset | None = field(default=None, repr=False)
    """Sent instead of the file's contents."""


@dataclass
class Outcome:
    """What became of a sending."""

    sent: int = 0
    accepted: int = 0
    refused: list[tuple[Path, int]] = field(default_factory=list)
    seconds: float = 0.0


Progress = Callable[[DicomFile, int], None]


def find_files(paths: Iterable[Path]) -> tuple[list[DicomFile], list[Path]]:
    """DICOM files in these files and folders, by name; and what is not DICOM.

    Raises:
        BadRequest: a path does not exist.
    """
    files, others = [], []
    for path in paths:
        if not path.exists():
            raise BadRequest(f"{path} does not exist.")
        for each in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            found = _open(each)
            files.append(found) if found else others.append(each)
    return files, others


_IDENTITY = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


def _open(path: Path) -> DicomFile | None:
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_IDENTITY)
        meta = header.file_meta
        if not header.get("SOPClassUID") or not header.get("SOPInstanceUID"):
            return None
        return DicomFile(
            path,
            str(meta.MediaStorageSOPClassUID),
            str(meta.TransferSyntaxUID),
            str(header.get("StudyInstanceUID", "")),
            str(header.get("SeriesInstanceUID", "")),
        )
    except (InvalidDicomError, AttributeError, OSError, ValueError, KeyError):
        return None


def send(
    files: Sequence[DicomFile],
    to: Destination,
    calling_ae: str,
    rate: float | None = None,
    progress: Progress = lambda _file, _status: None,
    *,
    abort: bool = False,
) -> Outcome:
    """Send the files in the given order over one association.

    Args:
        rate: objects per second; None sends as fast as the peer accepts.
        progress: told each file and its DIMSE status.
        abort: end with A-ABORT instead of a release, as a scanner does that loses its temper.

    Raises:
        ScannerFailed: no association, or it broke off; objects that were refused are in the outcome.
    """
    association = _associate(files, to, calling_ae)
    outcome, started = Outcome(), time.monotonic()
    try:
        with held(association):
            for number, file in enumerate(files):
                if rate:
                    time.sleep(max(0.0, started + number / rate - time.monotonic()))
                status = _store(association, file)
                outcome.sent += 1
                if status == SUCCESS or status in WARNINGS:
                    outcome.accepted += 1
                else:
                    outcome.refused.append((file.path, status))
                progress(file, status)
    finally:
        outcome.seconds = time.monotonic() - started
        if association.is_established:
            association.abort() if abort else association.release()
    return outcome


@contextmanager
def held(association: Association) -> Iterator[None]:
    """Keep an association's reactor thread still while we send.

    pynetdicom 3.0.4 pauses that thread for each request, but may believe it paused while it is about to go on; it then
    takes our answer from the queue, and the sender waits in vain (on a busy machine once in a few thousand objects).
    """
    hold = _Hold(association)
    try:
        yield
    finally:
        hold.end()


class _Hold(Event):
    """Stands in for the event by which the library pauses its thread."""

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._still = Event()
        self._held = True
        association._reactor_checkpoint.set()
        association._reactor_checkpoint = self
        deadline = time.monotonic() + HOLD_SECONDS
        while association.is_alive() and not self._still.wait(HOLD_LOOK_SECONDS) and time.monotonic() < deadline:
            pass

    def wait(self, timeout: float | None = None) -> bool:
        self._still.set()
        return super().wait(timeout)

    def set(self) -> None:
        if not self._held:
            super().set()

    def end(self) -> None:
        """The reactor may go on."""
        self._held = False
        self.set()


def _associate(files: Sequence[DicomFile], to: Destination, calling_ae: str) -> Association:
    for title in (calling_ae, to.ae_title):
        if (
            not 0 < len(title.strip()) <= MAX_AE_TITLE
            or not title.isascii()
            or not title.isprintable()
            or "\\" in title
        ):
            raise BadRequest(f"{title!r} is no AE title: 1 to {MAX_AE_TITLE} printable ASCII characters (PS3.5 6.2).")
    wanted = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files})
    if len(wanted) > MAX_CONTEXTS:
        raise BadRequest(f"{len(wanted)} kinds of objects are more than one association can negotiate.")
    entity = AE(ae_title=calling_ae)
    entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = 10, 60, 60
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in wanted]
    association = entity.associate(to.host, to.port, contexts=contexts, ae_title=to.ae_title, max_pdu=MAX_PDU_BYTES)
    if association.is_established:
        association.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return association
    if association.is_rejected:
        reason = association.acceptor.primitive.reason_str if association.acceptor.primitive else "no reason given"
        raise ScannerFailed(f"{to.ae_title} at {to.host}:{to.port} rejected the association: {reason}.")
    raise ScannerFailed(f"No association with {to.ae_title} at {to.host}:{to.port}: nobody answers as DICOM there.")


def _store(association: Association, file: DicomFile) -> int:
    if not association.is_established:
        raise ScannerFailed("The peer ended the association.")
    try:
        answer = association.send_c_store(file.path if file.data_set is None else file.data_set)
    except ValueError:  # no accepted presentation context for this object
        return SOP_CLASS_NOT_SUPPORTED
    if "Status" not in answer:
        raise ScannerFailed(f"The peer did not answer to {file.path.name}; the association is lost.")
    return int(answer.Status)
