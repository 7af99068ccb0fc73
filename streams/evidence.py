"""The evidence of a finding: which slices carry it, on which side, and what they look like."""

from collections.abc import Callable, Sequence

from streams import geometry
from streams.contracts.findings import KeySlice, Side
from streams.pictures import Picture, png
from streams.series_state import FrameRecord, SeriesState, UnitReading
from triage_models.labels import LABELS
from triage_models.reader import SliceReading

KEY_SLICES = 3
"""Pictures that go with a positive finding; a negative shows its most suspicious slice."""

Draw = Callable[[Sequence[FrameRecord]], Picture | None]


def most_suspicious(state: SeriesState, count: int) -> list[UnitReading]:
    """Units by their probability of any hemorrhage, highest first."""
    return sorted(state.readings.values(), key=lambda unit: -unit.reading.probabilities[0])[:count]


def labelled(probabilities: Sequence[float]) -> dict[str, float]:
    return dict(zip(LABELS, probabilities, strict=True))


def key_slice(state: SeriesState, unit: UnitReading, draw: Draw) -> KeySlice:
    """A unit as evidence. ``draw`` blocks; None from it leaves the pictures out."""
    members = [state.frames[identity] for identity in unit.members]
    frame = members[0]
    picture = draw(members)
    row, column = unit.reading.heat_map_peak
    return KeySlice(
        sop_digest=frame.sop_digest,
        frame_number=frame.frame_number,
        InstanceNumber=frame.InstanceNumber,
        position_mm=unit.position_mm if unit.position_mm is not None else 0.0,
        probabilities=labelled(unit.reading.probabilities),
        side=_side(frame, unit.reading),
        peak_row=row,
        peak_column=column,
        image_png=png(picture.grey) if picture else None,
        heat_map_png=png(picture.heat_map) if picture else None,
    )


def _side(frame: FrameRecord, reading: SliceReading) -> Side:
    """Side of the largest segmented finding, else of the heat map's peak."""
    largest = max(reading.findings.values(), key=lambda finding: finding.area_mm2, default=None)
    column = largest.centroid[1] if largest else reading.heat_map_peak[1]
    return geometry.side_of(frame.row_cosine_x, column)
