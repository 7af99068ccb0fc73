"""Verdicts, reasons and coverage in words. Every member of every enum that a doctor may meet has its words here.

Laws: *possible*, because a machine triages and a doctor diagnoses; *no bleed found* only for a negative that was
computed; *not analysed* always with its reason.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta

from alerts.decision import Audience, Reason, Verdict, leading_type, sides_of
from alerts.errors import FailureKind
from alerts.escalation import RingReason
from alerts.life import Answer, Claim, Says, Via
from alerts.recipients import ChannelKind
from streams.contracts.alerts import AlertState
from streams.contracts.findings import (
    BleedMeasured,
    ClosedBy,
    Coverage,
    Estimate,
    FindingProduced,
    FindingReason,
    FindingStatus,
    MidlineShift,
    Outcome,
    Side,
    SliceReason,
)
from streams.contracts.series import RefusalReason

LABELS = {
    "any": "any hemorrhage",
    "epidural": "epidural",
    "intraparenchymal": "intraparenchymal",
    "intraventricular": "intraventricular",
    "subarachnoid": "subarachnoid",
    "subdural": "subdural",
}

SIDES = {
    Side.LEFT: "left",
    Side.RIGHT: "right",
    Side.MIDLINE: "midline",
    Side.BOTH: "both sides",
    Side.UNKNOWN: "side unknown",
}

SLICE_REASONS = {
    SliceReason.NOT_CT: "not a CT image",
    SliceReason.LOCALIZER: "a localizer (scout) image",
    SliceReason.DERIVED: "a derived image, not an original slice",
    SliceReason.NOT_AXIAL: "not an axial slice",
    SliceReason.NO_GEOMETRY: "position or spacing missing",
    SliceReason.NO_RESCALE: "no way to Hounsfield units (rescale missing)",
    SliceReason.COLOUR: "a colour image",
    SliceReason.BONE_KERNEL: "reconstructed for bone",
    SliceReason.NOT_HEAD: "not of the head",
    SliceReason.IMPLAUSIBLE_HU: "no soft tissue to be seen in its Hounsfield units",
    SliceReason.TOO_SMALL: "too small",
    SliceReason.DUPLICATE_POSITION: "a second slice at the same position",
    SliceReason.PIXELS_UNREADABLE: "pixels could not be decoded",
    SliceReason.INFERENCE_FAILED: "the model failed on it",
    SliceReason.MALFORMED_MESSAGE: "damaged on the way",
}

REFUSALS = {
    RefusalReason.NOT_UNDERSTOOD: "not understood",
    RefusalReason.NOT_CT: "not CT",
    RefusalReason.NO_PIXEL_DATA: "no pixel data",
    RefusalReason.TRUNCATED_PIXEL_DATA: "pixel data cut short",
    RefusalReason.ABSURD_GEOMETRY: "absurd size",
    RefusalReason.INVALID_UID: "invalid UID",
    RefusalReason.UNSUPPORTED_TRANSFER_SYNTAX: "unsupported transfer syntax",
    RefusalReason.UID_MISMATCH: "UIDs that contradict each other",
    RefusalReason.TOO_LARGE: "too large",
    RefusalReason.SPOOL_FULL: "no space left to take it",
    RefusalReason.SPOOL_FAILED: "could not be stored",
    RefusalReason.INTERNAL_ERROR: "an internal error",
}

FINDING_REASONS = {
    FindingReason.PROVISIONAL_THRESHOLD_CROSSED: "the score crossed the provisional threshold while slices arrive",
    FindingReason.FINAL_THRESHOLD_CROSSED: "the score of the complete series is above the threshold",
    FindingReason.BELOW_FINAL_THRESHOLD: "the score of the complete series is below the threshold",
    FindingReason.NOT_CONFIRMED: "the complete series does not bear the warning out",
    FindingReason.NO_READABLE_SLICE: "no slice could be read",
    FindingReason.NO_BRAIN_SEEN: "no brain within a skull was seen",
    FindingReason.TOO_FEW_SLICES: "too few slices",
    FindingReason.COVERAGE_GAP: "a gap between slices",
    FindingReason.SLICES_MISSING: "slices are missing",
    FindingReason.SLICES_REFUSED: "slices were refused on arrival",
    FindingReason.TRANSFER_INCOMPLETE: "the transfer broke off, and nobody sent the rest",
    FindingReason.SLICES_UNREADABLE: "slices could not be read",
    FindingReason.CONFLICTING_INSTANCES: "two different images came under one identifier",
    FindingReason.LATE_SLICES: "slices came after the series was closed",
    FindingReason.MODEL_FAILED: "the model failed",
    FindingReason.MODEL_CHANGED: "the model was replaced meanwhile, and the series was read again from the start",
    FindingReason.DEGRADED: "a slower runtime than configured did the work",
}

STATUSES = {
    FindingStatus.PROVISIONAL: "provisional",
    FindingStatus.FINAL: "final",
    FindingStatus.RETRACTED: "retracted",
    FindingStatus.NOT_ASSESSABLE: "not analysed",
    FindingStatus.FAILED: "not analysed (failed)",
}

CLOSED_BY = {
    ClosedBy.EXPECTED_COUNT: "all expected slices are here",
    ClosedBy.RELEASED_CONTIGUOUS: "the scanner has finished and no gap is left",
    ClosedBy.QUIET: "no further slice came for a while",
    ClosedBy.WATCHDOG: "closed by the watchdog",
}

VERDICTS = {
    Verdict.BLEED: "Possible bleed",
    Verdict.FAILED: "Not analysed: read it yourself",
    Verdict.NOT_ASSESSABLE: "Not analysed",
    Verdict.ARRIVING: "No result yet",
    Verdict.CLEAR: "No bleed found",
}

REASONS = {
    Reason.POSITIVE_PROVISIONAL: "possible bleed seen while slices arrive",
    Reason.POSITIVE_FINAL: "possible bleed in the complete series",
    Reason.POSITIVE_AFTER_ALL: "possible bleed after all",
    Reason.FAILED: "the analysis failed",
    Reason.NOTHING_ASSESSABLE: "no series could be analysed",
    Reason.CONFIRMED_BY_COMPLETE_SERIES: "the complete series bears it out",
    Reason.SIDE_OR_TYPE_CHANGED: "side or type differs from what was first said",
    Reason.READING_INCOMPLETE: "the warning stands; the rest of the series could not be read",
    Reason.NOT_BORNE_OUT: "the complete series does not bear it out",
    Reason.ANALYSED_AFTER_ALL: "it has been analysed after all",
    Reason.NEGATIVE: "no bleed found",
    Reason.LISTED_ONLY: "listed only, as the site has set",
    Reason.WAITING_FOR_OTHER_SERIES: "waiting for other series",
    Reason.NOTHING_YET: "no result yet",
    Reason.NO_RESULT_IN_TIME: "no result came in time",
    Reason.ALREADY_TOLD: "already told",
    Reason.ALSO_IN_ANOTHER_STUDY: "the same patient was scanned again, and it shows there too",
    Reason.NO_LONGER_IN_ANOTHER_STUDY: "one of the patient's studies does not bear it out, another still does",
}

CLAIMS = {
    Claim.PROVISIONAL: "provisional",
    Claim.CONFIRMED: "confirmed",
    Claim.AMENDED: "corrected",
    Claim.RETRACTED: "withdrawn",
}

ANSWERS = {
    Answer.RAISED: "nobody reached yet",
    Answer.SENT: "sent",
    Answer.DELIVERED: "delivered, not yet answered",
    Answer.ESCALATED: "escalated, not yet answered",
    Answer.ACKNOWLEDGED: "acknowledged",
    Answer.CLOSED: "closed",
}

STATES = {
    AlertState.RAISED: "raised",
    AlertState.SENT: "sent",
    AlertState.DELIVERED: "delivered",
    AlertState.DELIVERY_FAILED: "could not be delivered",
    AlertState.ACKNOWLEDGED: "acknowledged",
    AlertState.ESCALATED: "escalated",
    AlertState.HANDED_OVER: "handed over",
    AlertState.CONFIRMED: "confirmed",
    AlertState.AMENDED: "corrected",
    AlertState.RETRACTED: "withdrawn",
    AlertState.CLOSED: "closed",
}

FAILURES = {
    FailureKind.UNREACHABLE: "could not be reached",
    FailureKind.TIMED_OUT: "did not answer in time",
    FailureKind.BUSY: "asked to wait",
    FailureKind.REFUSED: "refused the message",
    FailureKind.BROKEN: "failed",
}

RING_REASONS = {
    RingReason.STEP: "as the on-call plan says",
    RingReason.NOBODY_ANSWERED: "nobody answered",
    RingReason.GAP: "nobody is on duty at this step, so the fall-back rings",
    RingReason.FALL_BACK: "nobody answered any step, so the fall-back rings",
    RingReason.EVERYBODY: "nobody is on duty at all, so everybody rings",
}

SAYS = {Says.BLEED: "bleed", Says.NOT_A_BLEED: "not a bleed"}

VIAS = {Via.PAGE: "on the page", Via.LINK: "by the link in the message", Via.API: "through the API"}

CHANNELS = {
    ChannelKind.WEBHOOK: "webhook",
    ChannelKind.PUSH: "browser push",
    ChannelKind.APPRISE: "messaging service",
    ChannelKind.EMAIL: "e-mail",
}

AUDIENCES = {
    Audience.NOBODY: "nobody",
    Audience.TOLD: "those told before",
    Audience.ON_CALL: "who is on call",
}


def side_words(sides: Iterable[Side]) -> str:
    """``left``, ``left and right``; empty when no side is known."""
    named = sorted(SIDES[side] for side in sides if side is not Side.UNKNOWN)
    return " and ".join(named)


def label_words(label: str) -> str:
    return LABELS.get(label, label.replace("_", " "))


def verdict_words(finding: FindingProduced) -> str:
    """One sentence that can stand alone: what was found in this series, or why it was not analysed."""
    match finding.outcome:
        case Outcome.POSITIVE:
            return bleed_words(finding)
        case Outcome.NEGATIVE:
            return "No bleed found" + (" (earlier warning withdrawn)" if _retracted(finding) else "")
        case _:
            return f"Not analysed: {reason_words(finding.reasons)}"


def bleed_words(finding: FindingProduced, sides: Collection[Side] = ()) -> str:
    """``Possible intracranial hemorrhage, right, most likely subdural``. ``sides``: of all series of the study."""
    leading = leading_type(finding)
    parts = [
        "Possible intracranial hemorrhage",
        side_words(sides or sides_of(finding)) or "side not known",
        f"most likely {label_words(leading)}" if leading else "",
        "provisional: slices are still arriving" if finding.status is FindingStatus.PROVISIONAL else "",
    ]
    return ", ".join(part for part in parts if part)


def _retracted(finding: FindingProduced) -> bool:
    return finding.status is FindingStatus.RETRACTED


def reason_words(reasons: Iterable[FindingReason]) -> str:
    return "; ".join(FINDING_REASONS[reason] for reason in reasons)


def coverage_words(coverage: Coverage, *, arriving: bool = False) -> str:
    """``12 of about 34 slices read; vertex not yet seen``.

    Of those expected where the scanner has said how many, else of those that a head has at this spacing while slices
    arrive, and of those received once they do not.
    """
    return "; ".join([_count_words(coverage, arriving), *_unseen_words(coverage, arriving)])


def _count_words(coverage: Coverage, arriving: bool) -> str:
    if coverage.slices_expected is not None:
        return f"{coverage.slices_read} of {coverage.slices_expected} expected slices read"
    if arriving and coverage.slices_estimated is not None:
        return f"{coverage.slices_read} of about {coverage.slices_estimated} slices read"
    return f"{coverage.slices_read} of {coverage.slices_accepted} received slices read, total not known"


def _unseen_words(coverage: Coverage, arriving: bool) -> list[str]:
    ends = (("skull base", coverage.base_seen), ("vertex", coverage.vertex_seen))
    unseen = [end for end, seen in ends if seen is False]
    return [" and ".join(unseen) + (" not yet seen" if arriving else " not seen")] if unseen else []


def estimate_words(estimate: Estimate, unit: str, digits: int = 0) -> str:
    """``about 32 mL (14 to 70)``."""
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f" ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
    return f"about {estimate.value:.{digits}f} {unit}{interval}"


MOST_HU = 80.0
"""Densities are measured inside the brain window: more than this cannot be told."""


def measurement_words(finding: FindingProduced) -> list[str]:
    """A line per bleed that was measured (side, volume with its uncertainty, size, density, and the images it is in),
    and one for the midline shift."""
    if finding.measurements is None:
        return []
    so_far = " so far" if finding.closed_by is None else ""
    lines = [_measured_words(bleed, so_far) for bleed in finding.measurements.bleeds]
    shift = finding.measurements.midline_shift
    return lines if shift is None else [*lines, f"{_shift_words(shift)}{so_far}"]


def _shift_words(shift: MidlineShift) -> str:
    return f"midline shift, {towards_words(shift.towards)}: {estimate_words(shift.shift_mm, 'mm')}"


def towards_words(side: Side) -> str:
    """``to the left``; the side may be unknown."""
    return f"to the {SIDES[side]}" if side in (Side.LEFT, Side.RIGHT) else SIDES[side]


def _measured_words(bleed: BleedMeasured, so_far: str) -> str:
    first, last = bleed.first_instance, bleed.last_instance
    if first is None or last is None:
        images = f"{bleed.slices} slices"
    else:
        images = f"image {first}" if first == last else f"images {min(first, last)} to {max(first, last)}"
    volume = bleed.volume_ml
    hu = bleed.mean_hu.value
    return ", ".join(
        [
            f"{label_words(bleed.label)}, {SIDES[bleed.side]}: {estimate_words(volume, 'mL', _digits(volume))}{so_far}",
            f"up to {bleed.diameter_mm.value:.0f} mm across",
            f"mean {min(hu, MOST_HU):.0f} HU",
            images,
        ]
    )


def _digits(volume: Estimate) -> int:
    """Small volumes with a decimal."""
    return 1 if volume.value < 10 else 0


def duration_words(span: timedelta) -> str:
    """``12 s``, ``4 min``, ``3 h 5 min``, ``2 d``."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} d"


def date_words(value: str) -> str:
    """``20010203`` → ``2001-02-03`` (PS3.5 6.2, DA); anything else as it is."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdecimal() else value


def short_hash(key: str) -> str:
    """Eight digits of a study key: enough to find it on the list, not enough to be anyone."""
    return key[:8].upper()
