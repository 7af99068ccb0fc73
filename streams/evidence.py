"""The evidence of a finding: which slices carry it, on which side, what they look like, and what was measured."""

from collections.abc import Callable, Sequence

from streams import geometry
from streams.contracts.findings import BleedMeasured, Estimate, KeySlice, Measurements, MidlineShift, Side
from streams.pictures import Picture, png
from streams.series_state import FrameRecord, SeriesState, UnitReading
from triage_models.bleeds import BleedMeasurement, Measured
from triage_models.labels import LABELS, TYPES
from triage_models.midline import CENTRAL_SHARE, ImageSide, side_of
from triage_models.midline_shift import MidlineMeasurement
from triage_models.reader import Reader, SeriesScore, SliceReading

KEY_SLICES = 3
"""Pictures that go with a positive finding; a negative shows its most suspicious slice."""

DEFAULT_INTERVAL_MM = 5.0
"""Between slices without geometry, ordered by InstanceNumber."""

WORTH_MEASURING = 0.3
"""A type that the series makes less likely than this is not measured: a few cells of a wrong type are no bleed. The
likeliest type always is."""

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


def place_mm(state: SeriesState, unit: UnitReading) -> float:
    """Position along the normal; without geometry, a stand-in from InstanceNumber that keeps the order."""
    if unit.position_mm is not None:
        return unit.position_mm
    return DEFAULT_INTERVAL_MM * (state.frames[unit.members[0]].InstanceNumber or 0)


def measurements(state: SeriesState, reader: Reader, score: SeriesScore) -> Measurements | None:
    """What was measured in the slices read so far, of the types that the series makes likely; None without a scale."""
    units = list(state.readings.values())
    if not all(state.frames[unit.members[0]].to_scale for unit in units):
        return None
    likely = dict(zip(LABELS, score.probabilities, strict=True))
    leading = max(TYPES, key=lambda name: likely[name])
    readings = [(place_mm(state, unit), unit.reading) for unit in units]
    bleeds = reader.measure(readings)
    worth = [bleed for bleed in bleeds if bleed.type == leading or likely[bleed.type] >= WORTH_MEASURING]
    return Measurements(
        bleeds=tuple(_bleed(state, units, bleed) for bleed in worth),
        midline_shift=_midline_shift(state, units, reader.measure_midline(readings)),
    )


def _midline_shift(
    state: SeriesState, units: Sequence[UnitReading], found: MidlineMeasurement | None
) -> MidlineShift | None:
    """Only what is off the middle whatever the error: a small shift would be taken for one that was seen."""
    if found is None or not found.is_certain:
        return None
    unit = units[found.slice]
    return MidlineShift(
        shift_mm=_estimate(found.distance_mm),
        towards=geometry.side_of_image(state.frames[unit.members[0]].row_cosine_x, found.towards),
        position_mm=place_mm(state, unit),
    )


def _bleed(state: SeriesState, units: Sequence[UnitReading], bleed: BleedMeasurement) -> BleedMeasured:
    frames = [state.frames[units[index].members[0]] for index in bleed.slices]
    return BleedMeasured(
        label=bleed.type,
        side=geometry.side_of_image(frames[0].row_cosine_x, bleed.side),
        volume_ml=_estimate(bleed.volume_ml),
        mean_hu=_estimate(bleed.mean_hu),
        diameter_mm=_estimate(bleed.diameter_mm),
        extent_mm=bleed.extent_mm,
        slices=len(bleed.slices),
        first_instance=frames[0].InstanceNumber,
        last_instance=frames[-1].InstanceNumber,
    )


def _estimate(measured: Measured) -> Estimate:
    return Estimate(value=measured.value, low=measured.low, high=measured.high)


def _side(frame: FrameRecord, reading: SliceReading) -> Side:
    """Side of what was segmented, all types together, else of the heat map's peak."""
    found = reading.findings.values()
    area = sum(finding.area_mm2 for finding in found)
    if area > 0:
        left, right = (sum(getattr(f, side) * f.area_mm2 for f in found) / area for side in ("left", "right"))
        return geometry.side_of_image(frame.row_cosine_x, side_of(left, right))
    if abs(reading.peak_across) < CENTRAL_SHARE:
        image_side = ImageSide.MIDLINE
    else:
        image_side = ImageSide.IMAGE_LEFT if reading.peak_across < 0 else ImageSide.IMAGE_RIGHT
    return geometry.side_of_image(frame.row_cosine_x, image_side)
