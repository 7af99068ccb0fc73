"""From the bytes of a C-STORE to the frames that may enter: a pipeline of checks, pure.

In order. Of the header, as soon as it is whole: the object is placed (it names a study and a series); it is what the
command says it is; it is CT; its pixel module is plausible; its frames are described by the whitelist. Of the whole:
the pixels are all there.
"""

import hashlib
import json
from dataclasses import dataclass

from dicom_listener import elements, identity, technical_header
from dicom_listener.dataset import ParsedHeader
from dicom_listener.errors import Unacceptable
from dicom_listener.messages import Buffer
from dicom_listener.pixels import PixelDescription, describe, frames
from dicom_listener.statuses import SOP_CLASS_NOT_SUPPORTED
from dicom_listener.syntaxes import ENHANCED, SOP_CLASSES
from streams.contracts.series import RefusalReason

CT = b"CT"


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """What the sender's C-STORE command says, and the transfer syntax that was agreed."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """A parsed header whose study and series are known."""

    parsed: ParsedHeader
    study_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the header says about an object that may enter, if its pixels are there."""

    sop_class: str
    sop_instance_uid: str
    pixels: PixelDescription
    attributes: tuple[dict[str, object], ...]
    """Of each frame: fields of ``SliceAccepted``."""


@dataclass(frozen=True, slots=True)
class JudgedHeader:
    """Either facts, or a refusal; and the place of the object, also of a refused one, if it has one."""

    placed: PlacedObject | None = None
    facts: HeaderFacts | None = None
    refusal: Unacceptable | None = None


@dataclass(frozen=True, slots=True)
class HashedPixels:
    """A digest that was computed while the pixels arrived, and the frame bytes it covers (offsets in the body)."""

    start: int
    end: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WholeObject:
    """An object of which everything has arrived. ``body`` is the data set, inflated where the syntax deflates."""

    judged: JudgedHeader
    body: Buffer
    hashed: HashedPixels | None = None


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


def judge_header(parsed: ParsedHeader, command: StoreCommand) -> JudgedHeader:
    """Decide on an object by its header."""
    try:
        placed = _placed(parsed)
    except Unacceptable as refusal:
        return JudgedHeader(refusal=refusal)
    try:
        return JudgedHeader(placed, facts=_facts(parsed, command))
    except Unacceptable as refusal:
        return JudgedHeader(placed, refusal=refusal)


def admit(whole: WholeObject) -> AdmittedObject:
    """Decide on the whole object, and split it into frames.

    Raises:
        Unacceptable: by its header, or because pixels are missing or malformed.
    """
    placed, facts = whole.judged.placed, whole.judged.facts
    if whole.judged.refusal is not None:
        raise whole.judged.refusal
    assert placed is not None
    assert facts is not None
    pixels = frames(placed.parsed, whole.body, facts.pixels)
    return AdmittedObject(
        facts.sop_class,
        facts.sop_instance_uid,
        tuple(
            Frame(number, data, _digest(data, whole.hashed, len(pixels)), attributes)
            for number, (data, attributes) in enumerate(zip(pixels, facts.attributes, strict=True), start=1)
        ),
    )


def _digest(data: Buffer, hashed: HashedPixels | None, count: int) -> str:
    if hashed is not None and count == 1 and hashed.end - hashed.start == len(data):
        return hashed.sha256
    return hashlib.sha256(data).hexdigest()


def _placed(parsed: ParsedHeader) -> PlacedObject:
    study_uid = identity.required_uid(parsed.elements, "StudyInstanceUID")
    series_uid = identity.required_uid(parsed.elements, "SeriesInstanceUID")
    return PlacedObject(parsed, study_uid, series_uid)


def _facts(parsed: ParsedHeader, command: StoreCommand) -> HeaderFacts:
    sop_class = _checked_class(parsed, command)
    sop_instance_uid = _checked_instance(parsed, command)
    _check_modality(parsed)
    description = describe(parsed.elements, parsed.little_endian)
    attributes = technical_header.describe_frames(parsed, description, sop_class in ENHANCED)
    return HeaderFacts(sop_class, sop_instance_uid, description, tuple(attributes))


def _checked_class(parsed: ParsedHeader, command: StoreCommand) -> str:
    if command.sop_class_uid != identity.required_uid(parsed.elements, "SOPClassUID"):
        raise Unacceptable(RefusalReason.UID_MISMATCH, "the SOP class is not the one of the command")
    sop_class = SOP_CLASSES.get(command.sop_class_uid)
    if sop_class is None:
        raise Unacceptable(RefusalReason.NOT_CT, "this SOP class is not accepted", SOP_CLASS_NOT_SUPPORTED)
    return sop_class


def _checked_instance(parsed: ParsedHeader, command: StoreCommand) -> str:
    uid = identity.required_uid(parsed.elements, "SOPInstanceUID")
    if not identity.is_uid(command.sop_instance_uid):
        raise Unacceptable(RefusalReason.INVALID_UID, "the command's SOP instance is missing or not a UID")
    if command.sop_instance_uid != uid:
        raise Unacceptable(RefusalReason.UID_MISMATCH, "the SOP instance is not the one of the command")
    return uid


def _check_modality(parsed: ParsedHeader) -> None:
    """Another modality is refused; a missing one is the streams' to judge, for the SOP class says CT."""
    value = elements.raw(parsed.elements, "Modality")
    if value is not None and value.strip(b" \0") != CT:
        raise Unacceptable(RefusalReason.NOT_CT, "the modality is not CT")
