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
from triage_models.training.volume_networks import VOLUME_NETWORKS, fit_volumes, volume_of  # noqa: E402  # as above


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
    losses = fit_volumes("resnet3d", map(a_case, (5, 7)), tmp_path / "state.pt", steps=2, batch=2)
    assert len(losses) == 2
    opinion = VolumeReader(tmp_path / "state.pt").read(a_case(6).slices, 5.0, tmp_path)
    assert set(opinion.probabilities) == set(LABELS)
    assert opinion.reader == "resnet3d (state.pt)"


def test_fitting_needs_a_case(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no series"):
        fit_volumes("resnet3d", [], tmp_path / "state.pt", steps=1)


@pytest.mark.parametrize("content", [b"", b"no state", None])
def test_another_file_is_no_state(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content) if content is not None else torch.save({"network": "resnet3d", "state": {}}, path)
    with pytest.raises(ManifestError, match=r"other\.pt is no state"):
        VolumeReader(path).read(a_case(6).slices, 5.0, tmp_path)
