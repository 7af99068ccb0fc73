"""The 3-D networks for a second read take any series and answer with six labels."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from triage_models.datasets.case import Case  # noqa: E402  # after the skip
from triage_models.errors import DatasetError, ManifestError  # noqa: E402  # after the skip
from triage_models.labels import LABELS  # noqa: E402  # after the skip
from triage_models.reader import HeadSlice  # noqa: E402  # after the skip
from triage_models.second_readers.volume import VolumeReader  # noqa: E402  # after the skip
from triage_models.training.volume_fit import fit_volumes  # noqa: E402  # after the skip
from triage_models.training.volume_networks import VOLUME_NETWORKS, volume_of  # noqa: E402  # after the skip


def a_case(slices: int) -> Case:
    planes = tuple(HeadSlice(np.full((64, 64), 30.0 + k, np.float32), (3.0, 3.0)) for k in range(slices))
    return Case("c", planes, np.arange(slices) * 5.0, np.array([True] * 2 + [False] * 4), None, 5.0, "")


@pytest.mark.parametrize("name", sorted(VOLUME_NETWORKS))
def test_any_series_becomes_six_logits(name: str) -> None:
    if name == "vit3d":
        pytest.importorskip("einops")
    network = VOLUME_NETWORKS[name]().eval()
    with torch.no_grad():
        assert network(torch.from_numpy(volume_of(a_case(9).slices))[None]).shape == (1, 6)


def test_fitting_leaves_a_state(tmp_path: Path) -> None:
    fit = fit_volumes("resnet3d", map(a_case, (5, 7)), tmp_path / "state.pt", steps=2, batch=2)
    assert (len(fit.losses), fit.held_out, fit.auc) == (2, 0, None)
    opinion = VolumeReader(tmp_path / "state.pt").read(a_case(6).slices, 5.0, tmp_path)
    assert set(opinion.probabilities) == set(LABELS)
    assert opinion.reader == "resnet3d (state.pt)"
    assert "not calibrated" in opinion.licence


def a_told_case(bright: bool) -> Case:
    """Plainly a bleed, or plainly none."""
    planes = np.random.default_rng(int(bright)).normal(30, 2, (6, 64, 64)).astype(np.float32)
    planes[:, 20:44, 20:44] += 40 * bright
    slices = tuple(HeadSlice(plane, (3.0, 3.0)) for plane in planes)
    return Case("c", slices, np.arange(6) * 5.0, np.array([bright] * 2 + [False] * 4), None, 5.0, "")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """A network that learns in a second."""

    def network() -> "torch.nn.Module":
        return torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool3d((2, 8, 8)), torch.nn.Flatten(), torch.nn.Linear(128, len(LABELS))
        )

    monkeypatch.setitem(VOLUME_NETWORKS, "small", network)
    return "small"


def test_the_best_state_on_held_out_series_is_kept_and_calibrated(tmp_path: Path, small: str) -> None:
    cases = [a_told_case(bright) for bright in [True, False] * 10]
    fit = fit_volumes(small, cases, tmp_path / "state.pt", steps=300)
    assert (fit.held_out, fit.auc) == (4, 1.0)
    reader = VolumeReader(tmp_path / "state.pt")
    bleeding, clean = (reader.read(a_told_case(bright).slices, 5.0, tmp_path) for bright in (True, False))
    assert bleeding.probabilities["any"] > 0.5 > clean.probabilities["any"]
    assert "not calibrated" not in bleeding.licence


def test_a_set_of_its_own_is_held_out_whole(tmp_path: Path, small: str) -> None:
    cases, validation = [a_told_case(True), a_told_case(False)], [a_told_case(True), a_told_case(False)]
    fit = fit_volumes(small, cases, tmp_path / "state.pt", steps=2, validation=validation)
    assert fit.held_out == 2
    assert fit.auc is not None


def test_fitting_needs_a_case(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no series"):
        fit_volumes("resnet3d", [], tmp_path / "state.pt", steps=1)


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_another_file_is_no_state(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content) if content is not None else torch.save({"network": "resnet3d", "state": {}}, path)
    with pytest.raises(ManifestError, match=r"other\.pt is no state"):
        VolumeReader(path).read(a_case(6).slices, 5.0, tmp_path)
