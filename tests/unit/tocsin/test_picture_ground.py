"""Pictures as they are passed around are read as the slice that they were made of."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tocsin.picture_files import NotAPicture, grey_values
from tocsin.picture_ground import on_black
from triage_models.synthetic import generate

Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def slices() -> list[Grey]:
    series = generate(7, "subdural", slices=8, thickness_mm=10.0, shape=(256, 256))
    return [np.asarray(np.rint(np.clip(p / 80, 0, 1) * 255), np.uint8) for p in series.voxels_hu[3:6]]


def lossy(grey: Grey) -> Grey:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=70)
    return np.asarray(Image.open(buffer).convert("L"), np.uint8)


def framed(grey: Grey, value: int) -> Grey:
    return np.pad(grey, 40, constant_values=value)


def test_a_picture_on_black_keeps_every_grey_value(slices: list[Grey]) -> None:
    for grey in [*slices, *(lossy(s) for s in slices), np.zeros((64, 64), np.uint8)]:
        ground = on_black(grey)
        assert not ground.inverted
        np.testing.assert_array_equal(ground.grey, grey)


@pytest.mark.parametrize("level", [64, 128, 255])
def test_a_margin_of_any_colour_becomes_black(slices: list[Grey], level: int) -> None:
    for grey in slices:
        ground = on_black(framed(grey, level))
        assert not ground.inverted
        np.testing.assert_array_equal(ground.grey, framed(grey, 0))


def test_dark_grey_air_becomes_black(slices: list[Grey]) -> None:
    for grey in slices:
        ground = on_black(np.maximum(grey, 40))
        assert (ground.grey[grey == 0] == 0).mean() > 0.9
        np.testing.assert_array_equal(ground.grey[grey > 60], grey[grey > 60])


@pytest.mark.parametrize("stored", [lambda grey: grey, lossy])
def test_black_on_white_is_turned(slices: list[Grey], stored: Callable[[Grey], Grey]) -> None:
    for grey in slices:
        ground = on_black(stored(np.asarray(255 - grey, np.uint8)))
        assert ground.inverted
        assert np.abs(ground.grey.astype(int) - grey).mean() < 4


def test_a_round_field_of_view_on_a_white_page_is_not_turned(slices: list[Grey]) -> None:
    rows, columns = np.mgrid[:256, :256] - 127.5
    for grey in slices:
        on_page = framed(np.asarray(np.where(np.hypot(rows, columns) > 127, 255, grey), np.uint8), 255)
        assert not on_black(on_page).inverted


@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
def test_deep_grey_values_are_taken_by_their_depth(slices: list[Grey], white: int, tmp_path: Path) -> None:
    deep = np.rint(slices[0] / 255 * white).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.abs(grey_values(tmp_path / "deep.png").grey.astype(int) - slices[0]).max() <= 1


def test_floating_point_grey_values_from_0_to_1_are_read(slices: list[Grey], tmp_path: Path) -> None:
    Image.fromarray((slices[0] / 255).astype(np.float32)).save(tmp_path / "unit.tif")
    np.testing.assert_array_equal(grey_values(tmp_path / "unit.tif").grey, slices[0])


def test_stored_values_with_an_offset_are_no_grey_values(slices: list[Grey], tmp_path: Path) -> None:
    stored = (slices[0] * 4.0 + 24).astype(np.uint16)
    stored[0, 0] = 3071
    Image.fromarray(stored).save(tmp_path / "stored.png")
    with pytest.raises(NotAPicture, match="save 8 bits"):
        grey_values(tmp_path / "stored.png")


def test_a_picture_that_says_which_way_is_up_is_read_upright(slices: list[Grey], tmp_path: Path) -> None:
    image = Image.fromarray(slices[0])
    orientation = image.getexif()
    orientation[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=orientation)
    np.testing.assert_array_equal(grey_values(tmp_path / "turned.png").grey, slices[0])
