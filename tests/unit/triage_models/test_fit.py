"""A training run ends by its steps, or early where the shifted validation set gets no better."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from triage_models.errors import DatasetError  # noqa: E402  # after the skip
from triage_models.training.fit import Recipe, fit, is_finished, read_recipe, read_slices  # noqa: E402  # after the skip
from triage_models.training.network import Widths  # noqa: E402  # after the skip
from triage_models.training.pipeline import RECIPES  # noqa: E402  # after the skip
from triage_models.training.shards import SIDE, Shard, save_shard  # noqa: E402  # after the skip

SLICES = 16


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("train", "validation"):
        (tmp_path / folder).mkdir()
        images = rng.normal(120, 4, (SLICES, SIDE, SIDE)).astype(np.uint8)
        masks, labels = np.zeros_like(images), np.zeros((SLICES, 6), np.bool_)
        masks[::2, 60:90, 60:90], images[::2, 60:90, 60:90] = 2, 190
        labels[::2, [0, 2]] = True
        shard = Shard(images, masks, labels, np.arange(SLICES))
        save_shard(shard, tmp_path / folder / "shard-00000000.npz")
    return tmp_path


def epochs(shards: Path, recipe: Recipe) -> int:
    fit(recipe, shards / "train", shards / "validation", shards / "out")
    assert is_finished(shards / "out")
    return len(json.loads((shards / "out" / "history.json").read_text(encoding="utf-8")))


def a_recipe(patience: int) -> Recipe:
    """One batch an epoch, eight epochs, in which nothing is learned: the first look stays the best."""
    committed = read_recipe(RECIPES / "shipped-a.json")
    widths = Widths(stem=8, quarter=8, eighth=16, sixteenth=16)
    changed = replace(committed, size=64, steps=8, batch=SLICES, widths=widths, bfloat16=False, start=None, seeds=())
    return replace(changed, rate=0.0, average=0.0, patience=patience)


def test_a_run_that_gets_no_better_ends_early(shards: Path) -> None:
    assert epochs(shards, a_recipe(patience=3)) < 8


def test_without_patience_a_run_takes_its_steps(shards: Path) -> None:
    assert epochs(shards, a_recipe(patience=0)) == 8


def test_the_result_may_keep_a_share_of_what_it_started_from(shards: Path) -> None:
    learning = replace(a_recipe(patience=0), rate=0.01, steps=2)
    fit(learning, shards / "train", shards / "validation", shards / "first")
    start = shards / "first" / "last.pt"
    went_on = replace(learning, seed=2, start="first")
    fit(went_on, shards / "train", shards / "validation", shards / "alone", start)
    blended = replace(went_on, start_share=0.25)
    fit(blended, shards / "train", shards / "validation", shards / "blended", start)
    one, other, mean = (
        torch.load(path, weights_only=True)["state"]["classify.weight"]
        for path in (shards / "alone" / "best.pt", start, shards / "blended" / "best.pt")
    )
    assert not torch.equal(one, other)
    assert torch.allclose(mean, 0.75 * one + 0.25 * other, atol=1e-6)


def test_a_round_learns_from_its_seeds_alone(shards: Path) -> None:
    assert len(read_slices(shards / "train", seeds=((0, 1),))) == SLICES
    with pytest.raises(DatasetError, match="no shard"):
        read_slices(shards / "train", seeds=((1, 100),))
