"""Features that tell the sources apart cost something; what tells bleeds apart does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from triage_models.training.alignment import Pooled, discrepancy, misalignment  # noqa: E402  # after the skip
from triage_models.training.fit import Recipe, fit, read_recipe, read_slices  # noqa: E402  # after the skip
from triage_models.training.network import SliceNetwork, Widths  # noqa: E402  # after the skip
from triage_models.training.pipeline import RECIPES  # noqa: E402  # after the skip
from triage_models.training.shards import SIDE, Shard, save_shard  # noqa: E402  # after the skip


def features(count: int, shift: float = 0.0, seed: int = 0) -> "torch.Tensor":
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_discrepancy_grows_with_the_distance_of_the_sources_and_not_with_the_scale() -> None:
    same, near, far = (float(discrepancy(features(64), features(64, shift, 1))) for shift in (0.0, 1.0, 3.0))
    assert same < near < far
    shrunk = float(discrepancy(features(64) / 100, features(64, 1.0, 1) / 100))
    assert shrunk == pytest.approx(near, rel=1e-3)


def test_a_source_with_more_bleeds_is_not_misaligned_for_that() -> None:
    labels = torch.tensor([1.0] * 30 + [0.0] * 10 + [1.0] * 10 + [0.0] * 30)
    sources = torch.tensor([0] * 40 + [1] * 40)
    told_by_bleeds = features(80) + 5 * labels[:, None]
    told_by_source = features(80) + 5 * sources[:, None]
    assert misalignment(told_by_bleeds, sources, labels) < 0.2 * misalignment(told_by_source, sources, labels)


def test_one_source_alone_costs_nothing() -> None:
    one = features(8).requires_grad_()
    loss = misalignment(one, torch.zeros(8), torch.ones(8))
    loss.backward()
    assert float(loss.detach()) == 0


def test_the_encoder_learns_from_it() -> None:
    torch.manual_seed(0)
    network = SliceNetwork(Widths(stem=8, quarter=8, eighth=16, sixteenth=16))
    pooled = Pooled(network.embed)
    batch = torch.rand(8, 1, 64, 64) * 80
    batch[4:] += 20 * torch.rand(4, 1, 64, 64)
    network(batch)
    assert pooled.last is not None
    misalignment(pooled.last, torch.tensor([0] * 4 + [1] * 4), torch.zeros(8)).backward()
    weights = next(network.sixteenth.parameters())
    assert weights.grad is not None
    assert float(weights.grad.abs().sum()) > 0


def a_shard(first_seed: int, heads: np.ndarray, level: float) -> Shard:
    count = len(heads)
    rng = np.random.default_rng(first_seed)
    images = np.full((count, SIDE, SIDE), 48, np.uint8)
    images[:, 20:-20, 20:-20] = rng.normal(level, 3, (count, SIDE - 40, SIDE - 40)).astype(np.uint8)
    masks = np.zeros_like(images)
    masks[::2, 60:90, 60:90], images[::2, 60:90, 60:90] = 2, 190
    labels = np.zeros((count, 6), np.bool_)
    labels[::2, [0, 2]] = True
    return Shard(images, masks, labels, heads)


def a_recipe(alignment: float) -> Recipe:
    committed = read_recipe(RECIPES / "shipped-a.json")
    assert committed.alignment == 0
    widths = Widths(stem=8, quarter=8, eighth=16, sixteenth=16)
    return replace(
        committed, size=64, steps=2, batch=8, widths=widths, bfloat16=False, start=None, seeds=(), alignment=alignment
    )


def test_a_recipe_with_alignment_trains(tmp_path: Path) -> None:
    for folder in ("train", "validation"):
        (tmp_path / folder).mkdir()
        save_shard(a_shard(0, np.repeat(np.arange(4), 4), 120), tmp_path / folder / "shard-00000000.npz")
        save_shard(a_shard(1, np.arange(16), 130), tmp_path / folder / "shard-30000000.npz")
    assert read_slices(tmp_path / "train").sources.tolist() == [0] * 16 + [1] * 16
    losses = {}
    for alignment in (0.0, 50.0):
        fit(a_recipe(alignment), tmp_path / "train", tmp_path / "validation", tmp_path / f"out-{alignment}")
        state = torch.load(tmp_path / f"out-{alignment}" / "last.pt", weights_only=True)["state"]
        losses[alignment] = state["sixteenth.0.0.weight"]
    assert not torch.equal(losses[0.0], losses[50.0])
