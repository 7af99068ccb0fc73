"""From the bytes of a C-STORE to the frames that may enter: a pipeline of checks, pure.

The steps, in order: parse the header; the object is placed (study, series, SOP UIDs that are UIDs and agree with the
command); it is CT; its pixel module is plausible; its pixels are all there; each frame is described by the whitelist.
"""

import hashlib
import json
from dataclasses import dataclass

from dicom_listener import elements, identity, technical_header
from dicom_listener.dataset import ReceivedObject, parse
from dicom_listener.errors import Unacceptable
from dicom_listener.messages import Buffer
from dicom_listener.pixels import describe, frames
from dicom_listener.syntaxes import ENHANCED, SOP_CLASSES, SYNTAXES
from streams.contracts.series import RefusalReason

CT = b"CT"


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What the sender's C-STORE command said, and the data set as it came."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """A parsed object whose study and series are known."""

    received: ReceivedObject
    study_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that may enter. ``attributes`` are fields of ``SliceAccepted``."""

    number: int
    pixels: Buffer
    pixel_sha256: str
    attributes: dict[str, object]


@dataclass(frozen=True, slots=True)
class AdmittedObject:
    """An object that may enter, with all that will be published about it."""

    sop_class: str
    sop_instance_uid: str
    frames: tuple[Frame, ...]

    def fingerprint(self) -> bytes:
        """Equal for two objects about which the same would be published."""
        facts = [self.sop_class, [(frame.number, frame.pixel_sha256, frame.attributes) for frame in self.frames]]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()


def place(request: StoreRequest, max_object_bytes: int) -> PlacedObject:
    """Parse an object and find the series it belongs to.

    Raises:
        Unacceptable: its syntax is not ours, it is no data set, or it names no study and series.
    """
    syntax = SYNTAXES.get(request.transfer_syntax_uid)
    if syntax is None:
        raise Unacceptable(RefusalReason.UNSUPPORTED_TRANSFER_SYNTAX, "this transfer syntax is not accepted")
    received = parse(request.data_set, syntax, max_object_bytes)
    study_uid = identity.required_uid(received.header, "StudyInstanceUID")
    series_uid = identity.required_uid(received.header, "SeriesInstanceUID")
    return PlacedObject(received, study_uid, series_uid)


def admit(placed: PlacedObject, request: StoreRequest) -> AdmittedObject:
    """Check an object and split it into frames.

    Raises:
        Unacceptable: see the steps above.
    """
    sop_class = _checked_class(placed, request)
    sop_instance_uid = _checked_instance(placed, request)
    _check_modality(placed)
    description = describe(placed.received.header, placed.received.little_endian)
    pixels = frames(placed.received, description)
    described = technical_header.describe_frames(placed.received, description, sop_class in ENHANCED)
    return AdmittedObject(
        sop_class,
        sop_instance_uid,
        tuple(
            Frame(number, data, hashlib.sha256(data).hexdigest(), attributes)
            for number, (data, attributes) in enumerate(zip(pixels, described, strict=True), start=1)
        ),
    )


def _checked_class(placed: PlacedObject, request: StoreRequest) -> str:
    if request.sop_class_uid != identity.required_uid(placed.received.header, "SOPClassUID"):
        raise Unacceptable(RefusalReason.UID_MISMATCH, "the SOP class is not the one of the command")
    sop_class = SOP_CLASSES.get(request.sop_class_uid)
    if sop_class is None:
        raise Unacceptable(RefusalReason.NOT_CT, "this SOP class is not accepted")
    return sop_class


def _checked_instance(placed: PlacedObject, request: StoreRequest) -> str:
    uid = identity.required_uid(placed.received.header, "SOPInstanceUID")
    if request.sop_instance_uid != uid:
        raise Unacceptable(RefusalReason.UID_MISMATCH, "the SOP instance is not the one of the command")
    return uid


def _check_modality(placed: PlacedObject) -> None:
    """Another modality is refused; a missing one is the streams' to judge, for the SOP class says CT."""
    value = elements.raw(placed.received.header, "Modality")
    if value is not None and value.strip(b" \0") != CT:
        raise Unacceptable(RefusalReason.NOT_CT, "the modality is not CT")
