"""``triage.findings.v1``: what was found in a series, or why nothing could be said. Key: ``study_key``.

Every series that entered ends as exactly one :class:`Outcome`. *Not analysed* is never *negative*.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from streams.contracts.event import Event
from streams.contracts.ids import Key
from streams.contracts.series import RefusalReason

Probability = Annotated[float, Field(ge=0, le=1)]


class FindingStatus(StrEnum):
    PROVISIONAL = "provisional"
    """Positive before the series was complete."""
    FINAL = "final"
    """Positive or negative, the series being closed."""
    RETRACTED = "retracted"
    """A positive was told to people; the complete series does not bear it out."""
    NOT_ASSESSABLE = "not_assessable"
    """No verdict, for a reason that lies in the images."""
    FAILED = "failed"
    """No verdict, for a reason that lies in this system."""


class Outcome(StrEnum):
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ASSESSABLE = "not_assessable"
    FAILED = "failed"


class SliceReason(StrEnum):
    """Why one slice was not read."""

    NOT_CT = "not_ct"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    NOT_AXIAL = "not_axial"
    NO_GEOMETRY = "no_geometry"
    NO_RESCALE = "no_rescale"
    COLOUR = "colour"
    BONE_KERNEL = "bone_kernel"
    NOT_HEAD = "not_head"
    IMPLAUSIBLE_HU = "implausible_hu"
    TOO_SMALL = "too_small"
    DUPLICATE_POSITION = "duplicate_position"
    PIXELS_UNREADABLE = "pixels_unreadable"
    INFERENCE_FAILED = "inference_failed"
    MALFORMED_MESSAGE = "malformed_message"


SYSTEM_REASONS = frozenset({SliceReason.PIXELS_UNREADABLE, SliceReason.INFERENCE_FAILED, SliceReason.MALFORMED_MESSAGE})
"""Reasons whose cause may lie in this system: a series left unread for one of them has *failed*."""


class ClosedBy(StrEnum):
    """The evidence by which a series was held to be complete."""

    EXPECTED_COUNT = "expected_count"
    RELEASED_CONTIGUOUS = "released_contiguous"
    QUIET = "quiet"
    WATCHDOG = "watchdog"


class FindingReason(StrEnum):
    """Why this finding, and why now."""

    PROVISIONAL_THRESHOLD_CROSSED = "provisional_threshold_crossed"
    FINAL_THRESHOLD_CROSSED = "final_threshold_crossed"
    BELOW_FINAL_THRESHOLD = "below_final_threshold"
    NOT_CONFIRMED = "not_confirmed"
    NO_READABLE_SLICE = "no_readable_slice"
    NO_BRAIN_SEEN = "no_brain_seen"
    """In none of the slices that were read: a phantom, another part of the body, or values that are off."""
    TOO_FEW_SLICES = "too_few_slices"
    COVERAGE_GAP = "coverage_gap"
    SLICES_MISSING = "slices_missing"
    SLICES_REFUSED = "slices_refused"
    TRANSFER_INCOMPLETE = "transfer_incomplete"
    SLICES_UNREADABLE = "slices_unreadable"
    CONFLICTING_INSTANCES = "conflicting_instances"
    LATE_SLICES = "late_slices"
    MODEL_FAILED = "model_failed"
    MODEL_CHANGED = "model_changed"
    """The model that the series began with is gone; another one has read it from the start."""
    DEGRADED = "degraded"


class Side(StrEnum):
    """Of the patient."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"
    BOTH = "both"
    UNKNOWN = "unknown"


class KeySlice(Event):
    """A slice that carries the evidence, with a picture of it (8-bit PNG, brain window, heat map burnt in never)."""

    sop_digest: Key
    frame_number: PositiveInt
    InstanceNumber: int | None = None
    position_mm: FiniteFloat
    """Along the slice normal, rising towards the head's vertex."""
    probabilities: dict[str, Probability]
    side: Side
    peak_row: Probability
    peak_column: Probability
    """Peak of the heat map, as fractions of the image's height and width."""
    image_png: bytes | None = None
    heat_map_png: bytes | None = None
    """8-bit grey, covering the whole image, low resolution."""


class Coverage(Event):
    slices_accepted: NonNegativeInt
    """Distinct frames that reached the streams."""
    slices_read: NonNegativeInt
    slices_expected: PositiveInt | None = None
    frames_in_ledger: NonNegativeInt = 0
    """Frames that the listener says it accepted."""
    unread: dict[SliceReason, PositiveInt] = {}
    refused: dict[RefusalReason, PositiveInt] = {}
    extent_mm: FiniteFloat = 0.0
    """From the lowest to the highest slice that was read."""
    largest_gap_mm: FiniteFloat = 0.0
    slices_estimated: PositiveInt | None = None
    """How many slices of this spacing a whole head has, where nobody announced a number; absent without geometry."""
    base_seen: bool | None = None
    vertex_seen: bool | None = None
    """Has a slice at (or beyond) this end of the brain come? Absent where that cannot be told."""


class Estimate(Event):
    """A measured value, and the interval that held 95 % of the model's errors on its labelled set.

    Without ``low`` and ``high`` nobody has measured how wrong it may be.
    """

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class BleedMeasured(Event):
    """One type of bleed, as far as it was segmented in the slices read so far."""

    label: str
    side: Side
    volume_ml: Estimate
    mean_hu: Estimate
    """Measured inside the brain window: at most 80."""
    diameter_mm: Estimate
    """Longest extent in one slice."""
    extent_mm: Annotated[float, Field(ge=0)]
    """Along the axis."""
    slices: PositiveInt
    """In which it was segmented."""
    first_instance: int | None = None
    last_instance: int | None = None
    """InstanceNumber of the lowest and of the highest of them."""


class MidlineShift(Event):
    """How far the middle of the brain lies off the middle of the skull, where that could be measured."""

    shift_mm: Estimate
    towards: Side
    position_mm: FiniteFloat
    """Of the slice it was measured in."""


class Measurements(Event):
    """What was measured in the slices read so far: a machine's estimates, to be checked by eye."""

    bleeds: tuple[BleedMeasured, ...] = ()
    """Largest first; empty where nothing was segmented."""
    midline_shift: MidlineShift | None = None
    """Absent where it is small against its uncertainty, or could not be measured."""


class Model(Event):
    name: str
    version: str
    sha256: str
    runtime: str
    degraded: bool = False
    """A slower runtime than the configured one did the work."""


class Clocks(Event):
    """The named instants of the promise; see docs/architecture.md."""

    first_slice: AwareDatetime
    decisive_slice: AwareDatetime | None = None
    last_slice: AwareDatetime
    produced: AwareDatetime


class FindingProduced(Event):
    """A verdict about one series, or the reason why there is none.

    Emitted by streams, consumed by alerts. Key: ``study_key``. Idempotency key: (``series_key``, ``revision``,
    ``clocks.produced``): streams that have forgotten a series count its revisions from 1 again.
    """

    study_key: Key
    series_key: Key
    revision: PositiveInt
    status: FindingStatus
    outcome: Outcome
    reasons: tuple[FindingReason, ...]
    score: Probability | None = None
    threshold: Probability | None = None
    probabilities: dict[str, Probability] = {}
    """Of the series, per label; empty where nothing was read."""
    key_slices: tuple[KeySlice, ...] = ()
    measurements: Measurements | None = None
    """Of a positive finding, and of a retracted one; absent elsewhere."""
    coverage: Coverage
    closed_by: ClosedBy | None = None
    """Absent while the series is still arriving."""
    model: Model | None = None
    clocks: Clocks
    calling_ae: str | None = None
    heartbeat: Literal[True] | None = None
    """Of the dead-man's study, every slice of it: told to the test recipient, to no doctor, and counted nowhere."""

    @model_validator(mode="after")
    def _status_fits_outcome(self) -> Self:
        allowed = {
            FindingStatus.PROVISIONAL: {Outcome.POSITIVE},
            FindingStatus.FINAL: {Outcome.POSITIVE, Outcome.NEGATIVE},
            FindingStatus.RETRACTED: {Outcome.NEGATIVE},
            FindingStatus.NOT_ASSESSABLE: {Outcome.NOT_ASSESSABLE},
            FindingStatus.FAILED: {Outcome.FAILED},
        }
        if self.outcome not in allowed[self.status]:
            raise ValueError(f"{self.status} cannot be {self.outcome}")
        if self.outcome is Outcome.NEGATIVE and not (self.score is not None and self.coverage.slices_read):
            raise ValueError("a negative that nobody computed")
        if not self.reasons:
            raise ValueError("no reason given")
        return self
