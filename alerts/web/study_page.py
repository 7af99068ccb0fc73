"""What the study page needs worked out: the first image, measurements, coverage and the waterfall. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from alerts import wording
from alerts.worklist import AlertView, StudyView
from streams.contracts.findings import BleedMeasured, Coverage, Estimate, FindingProduced, Outcome


@dataclass(frozen=True)
class KeyImage:
    """The picture that is on the screen first: that of the first key slice, as it came with the finding."""

    address: str
    words: str


def key_image(view: StudyView) -> KeyImage | None:
    for one in view.series:
        for finding in reversed(one.findings):
            if finding.key_slices:
                key = finding.key_slices[0]
                number = f"image {key.InstanceNumber}" if key.InstanceNumber is not None else "the first"
                address = f"/studies/{view.study_key}/pictures/{one.series_key}/{finding.revision}/0/image.png"
                return KeyImage(address, f"Key slice, {number}, {key.position_mm:.0f} mm, brain window")
    return None


def is_degraded(view: StudyView) -> bool:
    """Did a slower runtime than the configured one read any of it?"""
    return any(one.latest.model.degraded for one in view.series if one.latest.model)


def estimate_words(estimate: Estimate, unit: str) -> str:
    """``12 mL (8–17)``: the value, and where 95 % of the errors lay."""

    def number(value: float) -> str:
        return f"{value:.1f}" if abs(value) < 10 and unit != "HU" else f"{value:.0f}"

    if estimate.low is None or estimate.high is None:
        return f"{number(estimate.value)} {unit}"
    return f"{number(estimate.value)} {unit} ({number(estimate.low)}–{number(estimate.high)})"


def images_words(bleed: BleedMeasured) -> str:
    """``12–15``: the images in which it was outlined."""
    if bleed.first_instance is None or bleed.last_instance is None:
        return f"{bleed.slices} slices" if bleed.slices > 1 else "1 slice"
    first, last = sorted((bleed.first_instance, bleed.last_instance))
    return str(first) if first == last else f"{first}–{last}"


def coverage_lines(coverage: Coverage) -> Iterator[str]:
    """What was covered and what was not, line by line."""
    yield wording.coverage_words(coverage)
    if coverage.slices_read:
        yield f"from lowest to highest slice read: {coverage.extent_mm:.0f} mm"
        yield f"largest gap between slices read: {coverage.largest_gap_mm:.1f} mm"
    for reason, count in coverage.unread.items():
        yield f"{count} not read: {wording.SLICE_REASONS[reason]}"
    for refusal, count in coverage.refused.items():
        yield f"{count} refused on arrival: {wording.REFUSALS[refusal]}"
    if coverage.base_seen is False:
        yield "the base of the skull has not been seen"
    if coverage.vertex_seen is False:
        yield "the vertex has not been seen"
    missing = coverage.frames_in_ledger - coverage.slices_accepted
    if missing > 0:
        yield f"{missing} accepted from the scanner but not seen by the reader"


@dataclass(frozen=True)
class Bar:
    """One span of the waterfall, in thousandths of its width."""

    words: str
    start: int
    width: int
    seconds: float


def waterfall(finding: FindingProduced, alert: AlertView | None) -> list[Bar]:
    """From the first slice to the answer, each span on the same scale."""
    clocks = finding.clocks
    delivered = min((n.delivered_at for n in alert.delivered if n.delivered_at), default=None) if alert else None
    answered = alert.acknowledged_at if alert else None
    spans = [
        ("slices arrive", clocks.first_slice, clocks.last_slice),
        ("decisive slice to finding", clocks.decisive_slice, clocks.produced),
        ("last slice to finding", clocks.last_slice, clocks.produced if finding.closed_by else None),
        ("finding to first delivery", clocks.produced, delivered),
        ("delivery to answer", delivered, answered),
    ]
    known = [(words, a, b) for words, a, b in spans if a is not None and b is not None and b >= a]
    return _scaled(known)


def _scaled(spans: list[tuple[str, datetime, datetime]]) -> list[Bar]:
    if not spans:
        return []
    start = min(a for _, a, _ in spans)
    whole = max((max(b for _, _, b in spans) - start).total_seconds(), 0.001)

    def place(instant: datetime) -> int:
        return round(1000 * (instant - start).total_seconds() / whole)

    return [Bar(words, place(a), max(place(b) - place(a), 4), (b - a).total_seconds()) for words, a, b in spans]


def types_of(finding: FindingProduced) -> list[tuple[str, int]]:
    """Type and probability in per cent, the most probable first."""
    ordered = sorted(finding.probabilities.items(), key=lambda item: -item[1])
    return [(wording.label_words(label), round(100 * p)) for label, p in ordered]


def outcome_class(finding: FindingProduced) -> str:
    """The style of a verdict: *not analysed* never looks like *no bleed found*."""
    return {
        Outcome.POSITIVE: "bleed",
        Outcome.NEGATIVE: "clear",
        Outcome.FAILED: "unread",
        Outcome.NOT_ASSESSABLE: "unread",
    }[finding.outcome]
