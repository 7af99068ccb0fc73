"""The network's square is the same for full HU and for a brain-windowed picture, whatever its pixels measure."""

import numpy as np
import pytest

from triage_models.framing import clip_window, cut, head_box, paste


def a_head(rows: int, columns: int, *, air: float = -1000.0) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    r = np.hypot(y / 0.8, x / 0.6)
    return np.where(r < 0.9, 32.0, np.where(r < 1.0, 1200.0, air)).astype(np.float32)


def test_box_finds_the_head() -> None:
    box = head_box(clip_window(a_head(512, 512)))
    assert box.top == pytest.approx(0.1 * 512, abs=8)
    assert box.right == pytest.approx(0.8 * 512, abs=8)


def test_box_ignores_a_table() -> None:
    image = a_head(256, 256)
    image[250:253, 40:216] = 120.0
    assert head_box(clip_window(image)).bottom < 240


def test_an_empty_slice_is_taken_whole() -> None:
    box = head_box(np.zeros((128, 200), np.float32))
    assert (box.height, box.width) == (128, 200)


@pytest.mark.parametrize("shape", [(512, 512), (256, 256), (300, 500)])
def test_squares_agree_whatever_the_pixels_are(shape: tuple[int, int]) -> None:
    squares = []
    for rows, columns in ((512, 512), shape):
        windowed = clip_window(a_head(rows, columns))
        squares.append(cut(windowed, head_box(windowed).grown(0.03), 64))
    assert np.abs(squares[0] - squares[1]).mean() < 3.0


def test_full_range_and_brain_window_give_the_same_square() -> None:
    full = a_head(400, 400)
    picture = np.rint(np.clip(full, 0, 80) / 80 * 255).astype(np.float32) * np.float32(80 / 255)
    one, other = (cut(clip_window(v), head_box(clip_window(v)), 96) for v in (full, picture))
    assert np.abs(one - other).max() < 0.5


def test_paste_puts_a_map_back_where_it_came_from() -> None:
    windowed = clip_window(a_head(256, 256))
    box = head_box(windowed)
    square = np.zeros((32, 32), np.float32)
    square[8, 24] = 1.0
    heat = paste(square, box, (256, 256), (64, 64))
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    assert row * 4 == pytest.approx(box.top + 8.5 / 32 * box.height, abs=6)
    assert column * 4 == pytest.approx(box.left + 24.5 / 32 * box.width, abs=6)
