"""A synthetic series is reproducible, holds the bleed asked for, and tells the truth about it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from triage_models.errors import GenerationFailed
from triage_models.labels import LABELS, TYPES
from triage_models.synthetic import SyntheticSeries, generate
from triage_models.synthetic.dicom import write_series
from triage_models.synthetic.head import frames_of, make_head, render
from triage_models.synthetic.mimics import Hygroma, Mimic
from triage_models.synthetic.randomness import smooth_field


def a_small_series(bleed: str | None = None, seed: int = 3) -> SyntheticSeries:
    return generate(seed, bleed, slices=10, thickness_mm=14.0, shape=(96, 96))


def test_the_same_seed_is_the_same_head() -> None:
    one, other = a_small_series("subdural"), a_small_series("subdural")
    assert np.array_equal(one.voxels_hu, other.voxels_hu)
    assert not np.array_equal(one.voxels_hu, a_small_series("subdural", seed=4).voxels_hu)


def test_a_head_without_a_bleed_has_an_empty_truth() -> None:
    series = a_small_series()
    assert not series.labels.any()
    assert not series.masks.any()


@pytest.mark.parametrize("bleed", TYPES)
def test_the_bleed_asked_for_is_there(bleed: str) -> None:
    series = a_small_series(bleed)
    code = LABELS.index(bleed)
    assert series.labels[:, code].any()
    assert (series.masks == code).any()
    voxel_ml = np.prod(series.pixel_spacing_mm) * series.thickness_mm / 1000
    assert series.volumes_ml[bleed] == pytest.approx((series.masks == code).sum() * voxel_ml, rel=0.25)


def test_bleeds_are_denser_than_brain() -> None:
    series = a_small_series("intraparenchymal", seed=11)
    bleed = series.voxels_hu[series.masks == 2]
    assert 40 < np.median(bleed) < 90


def test_a_mimic_at_the_same_place_does_not_hide_a_bleed() -> None:
    rng = np.random.default_rng(1)
    head = make_head(rng, "subdural", shifted=False)
    across, down = np.meshgrid(np.arange(-70.0, 70.0), np.arange(-100.0, 70.0))
    plane = np.stack([across, down, np.full_like(across, 35.0)]).astype(np.float32)

    def blood_hu(mimics: tuple[Mimic, ...]) -> float:
        chosen = replace(head, mimics=mimics)
        seen = render(chosen, frames_of(chosen, plane), np.array([0, 0, 1], np.float32), 1.0)
        bleeding = seen.blood.sum(0) > 0.9
        assert bleeding.sum() > 50
        return float(np.median(seen.voxels_hu[bleeding]))

    fluid = tuple(Hygroma(side, 15.0, 8.0, smooth_field(rng, 30)) for side in (-1.0, 1.0))
    alone = blood_hu(())
    assert alone > 45
    assert blood_hu(fluid) == pytest.approx(alone, abs=1.0)


def test_air_bone_and_brain_have_their_densities() -> None:
    middle = a_small_series().voxels_hu[5]
    assert middle[0, 0] < -800
    assert middle.max() > 600
    assert 15 < np.median(middle[(middle > 0) & (middle < 80)]) < 50


def test_geometry_is_consistent() -> None:
    series = a_small_series()
    normal = np.cross(series.orientation[:3], series.orientation[3:])
    assert np.allclose(series.origins_mm @ normal, series.positions_mm + (series.origins_mm @ normal).mean(), atol=1e-3)
    assert np.allclose(np.diff(series.positions_mm), series.spacing_mm)


def test_an_unknown_bleed_is_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        a_small_series("nosebleed")


@pytest.mark.parametrize(
    "syntax", ["ExplicitVRLittleEndian", "ImplicitVRLittleEndian", "RLELossless", "JPEGLSLossless", "JPEGLosslessSV1"]
)
def test_dicom_holds_the_same_voxels(tmp_path: Path, syntax: str) -> None:
    series = a_small_series()
    paths = write_series(series, tmp_path, syntax=syntax)
    dataset = dcmread(paths[5])
    hu = dataset.pixel_array.astype(int) * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
    assert np.array_equal(hu, series.voxels_hu[5])
    assert len({dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in paths}) == len(paths)


def test_dicom_uids_follow_from_the_seed(tmp_path: Path) -> None:
    uids = [dcmread(write_series(a_small_series(), tmp_path / n)[0]).SeriesInstanceUID for n in ("a", "b")]
    other = dcmread(write_series(a_small_series(), tmp_path / "c", uid_salt="again")[0]).SeriesInstanceUID
    assert uids[0] == uids[1] != other


def test_an_unknown_syntax_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GenerationFailed, match="is none of"):
        write_series(a_small_series(), tmp_path, syntax="JPEGBaseline")
