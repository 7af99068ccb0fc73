"""The shipped reader keeps its contract: small readings, any order, no heavy import, no invented result."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triage_models.errors import InferenceFailed, ManifestError, UnreadableSlice
from triage_models.ports import Array
from triage_models.reader import HeadSlice, Reader, SliceReading
from triage_models.synthetic import generate


@pytest.fixture(scope="module")
def reader() -> Reader:
    opened = Reader.open()
    opened.warm_up()
    return opened


@pytest.fixture(scope="module")
def slices() -> list[HeadSlice]:
    series = generate(21, "intraparenchymal", slices=8, thickness_mm=14.0, shape=(128, 128))
    return [HeadSlice(v.astype(np.float32), series.pixel_spacing_mm, 14.0) for v in series.voxels_hu]


@pytest.fixture(scope="module")
def readings(reader: Reader, slices: list[HeadSlice]) -> list[tuple[float, SliceReading]]:
    return [(14.0 * k, reading) for k, (reading, _) in enumerate(reader.read(slices))]


class NonsenseRuntime:
    """A back end whose network answers with no number."""

    name = "nonsense"

    def is_available(self) -> bool:
        return True

    def load(self, network: bytes) -> None:
        pass

    def infer(self, batch: Array) -> dict[str, Array]:
        n = len(batch)
        nothing = np.full((n, 6), np.nan, np.float32)
        return {
            "logits": nothing,
            "segmentation": np.zeros((n, 5, 8, 8), np.float32),
            "embedding": np.zeros((n, 24), np.float32),
        }


def test_a_reading_is_small_and_comes_back_from_json(readings: list[tuple[float, SliceReading]]) -> None:
    for _, reading in readings:
        text = reading.model_dump_json()
        assert len(text) < 1500
        assert SliceReading.model_validate_json(text) == reading


def test_heat_map_covers_the_image(reader: Reader) -> None:
    image = HeadSlice(np.zeros((200, 100), np.float32), (1.0, 1.0))
    ((_, heat),) = reader.read([image])
    assert heat.dtype == np.uint8
    assert heat.shape == (96, 48)


def test_reading_is_deterministic_and_independent_of_the_batch(reader: Reader, slices: list[HeadSlice]) -> None:
    together = reader.read(slices)
    alone = [reader.read([s])[0] for s in slices]
    for (one, _), (other, _) in zip(together, alone, strict=True):
        assert np.allclose(one.logits, other.logits, atol=2e-3)


def test_full_range_and_brain_window_read_alike(reader: Reader, slices: list[HeadSlice]) -> None:
    clipped = [HeadSlice(np.clip(s.voxels_hu, 0, 80), s.pixel_spacing_mm) for s in slices]
    for (one, _), (other, _) in zip(reader.read(slices), reader.read(clipped), strict=True):
        assert np.allclose(one.probabilities, other.probabilities, atol=1e-3)


def test_series_score_does_not_depend_on_the_order(reader: Reader, readings: list[tuple[float, SliceReading]]) -> None:
    assert reader.score(readings).probabilities == reader.score(readings[::-1]).probabilities


def test_every_prefix_has_a_score(reader: Reader, readings: list[tuple[float, SliceReading]]) -> None:
    for count in range(1, len(readings) + 1):
        score = reader.score(readings[:count])
        assert all(0 <= p <= 1 for p in score.probabilities)
        assert score.slices == count


def test_no_reading_is_no_score(reader: Reader) -> None:
    with pytest.raises(ValueError, match="at least one"):
        reader.score([])


@pytest.mark.parametrize(
    "broken",
    [
        HeadSlice(np.full((64, 64), np.nan, np.float32), (1.0, 1.0)),
        HeadSlice(np.zeros((64, 64, 3), np.float32), (1.0, 1.0)),
        HeadSlice(np.zeros((8, 8), np.float32), (1.0, 1.0)),
        HeadSlice(np.zeros((64, 64), np.float32), (0.0, 1.0)),
    ],
)
def test_a_broken_slice_is_refused(reader: Reader, broken: HeadSlice) -> None:
    with pytest.raises(UnreadableSlice):
        reader.read([broken])


def test_nonsense_from_the_network_is_never_a_reading(reader: Reader, slices: list[HeadSlice]) -> None:
    with pytest.raises(InferenceFailed):
        Reader(reader.manifest, NonsenseRuntime()).read(slices[:1])


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        Reader.open(tmp_path)


def test_import_loads_no_training_package() -> None:
    code = (
        "import sys, json, triage_models.reader, triage_models.decision; "
        "print(json.dumps([m for m in ('torch','monai','matplotlib','nilearn','pydicom') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
