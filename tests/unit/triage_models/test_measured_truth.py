"""What the shipped reader measures agrees with what the generator put into the head."""

import numpy as np
import pytest

from triage_models.bleeds import BleedMeasurement
from triage_models.labels import LABELS
from triage_models.midline import ImageSide
from triage_models.reader import HeadSlice, Reader, SliceReading
from triage_models.synthetic import SyntheticSeries, generate
from triage_models.synthetic.truth import longest_mm, mean_hu

EASY = [("epidural", 102), ("intraparenchymal", 103), ("intraparenchymal", 106)]
"""15 to 29 mL, each on one side: the test is about measuring, not about finding."""


def a_head(bleed: str, seed: int) -> SyntheticSeries:
    return generate(seed, bleed, slices=14, thickness_mm=10.0, shape=(160, 160), averaged=False)


def read(reader: Reader, series: SyntheticSeries) -> list[tuple[float, SliceReading]]:
    slices = [HeadSlice(plane.astype(np.float32), series.pixel_spacing_mm, 10.0) for plane in series.voxels_hu]
    readings = [reading for reading, _ in reader.read(slices)]
    return list(zip(series.positions_mm.tolist(), readings, strict=True))


def measured(reader: Reader, series: SyntheticSeries, bleed: str) -> BleedMeasurement:
    found = reader.measure(read(reader, series))
    return next(m for m in found if m.type == bleed)


def side_in_truth(series: SyntheticSeries, bleed: str) -> ImageSide:
    """By the middle of everything that is no air, slice by slice."""
    columns = np.arange(series.voxels_hu.shape[2])
    left = right = 0
    for plane, mask in zip(series.voxels_hu, series.masks, strict=True):
        middle = np.average(columns, weights=(plane > -300).sum(0) + 1e-9)
        inside = (mask == LABELS.index(bleed)).sum(0)
        left, right = left + int(inside[columns < middle].sum()), right + int(inside[columns >= middle].sum())
    return ImageSide.IMAGE_LEFT if left > right else ImageSide.IMAGE_RIGHT


@pytest.mark.parametrize(("bleed", "seed"), EASY)
def test_size_density_and_side(bleed: str, seed: int) -> None:
    series, code = a_head(bleed, seed), LABELS.index(bleed)
    found = measured(Reader.open(threads=1), series, bleed)
    assert found.side is side_in_truth(series, bleed)
    assert 1 / 2 < found.volume_ml.value / series.volumes_ml[bleed] < 2
    assert found.diameter_mm.value == pytest.approx(longest_mm(series, code), rel=0.35)
    assert found.mean_hu.value == pytest.approx(mean_hu(series, code), abs=10)


@pytest.mark.parametrize(("seed", "towards"), [(3, ImageSide.IMAGE_LEFT), (7, ImageSide.IMAGE_RIGHT)])
def test_a_midline_that_a_subdural_has_moved(seed: int, towards: ImageSide) -> None:
    """By 8 and by 7 mm; in slices of 10 mm, of which only three are near the level."""
    series = generate(
        seed, "subdural", slices=14, thickness_mm=10.0, shape=(160, 160), averaged=False, mass_effect=True
    )
    reader = Reader.open(threads=1)
    readings = read(reader, series)
    found = reader.measure_midline(readings)
    assert found is not None
    assert found.shift_mm.value == pytest.approx(series.midline_shift_mm, abs=2.5)
    assert found.towards is towards
    assert abs(readings[found.slice][0]) < 30
    assert reader.measure_midline(readings[: found.slice]) is None
