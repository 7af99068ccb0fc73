"""Fits the slice network: shards in, averaged weights out, chosen on a shifted validation set.

Reads new shards between epochs, so that generation and training overlap.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from triage_models.errors import DatasetError
from triage_models.framing import clip_window, head_box
from triage_models.training.alignment import Pooled, misalignment
from triage_models.training.augmentation import Batch, Strength, distort, frame, mixed
from triage_models.training.measures import auc
from triage_models.training.network import SliceNetwork, Widths
from triage_models.training.shards import Shard, first_seed, load_shard, shard_paths, unpack_hu

_EPOCH_SLICES = 9600
"""Draws between two looks at the validation set."""

_SMALL_MM2 = 300

_FINISHED = "finished"

_TENSORS = ("images", "masks", "boxes", "labels", "sources", "bled_mm2")


@dataclass(frozen=True)
class Recipe:
    """A committed training configuration; see `recipes/*.json`."""

    seed: int
    size: int
    margin: float
    steps: int
    most_minutes: float
    batch: int
    rate: float
    weight_decay: float
    average: float
    positive_share: float
    widths: Widths
    strength: Strength
    shifted_strength: Strength
    bfloat16: bool = True
    start: str | None = None
    """The recipe whose best weights this one goes on from: a warm restart (Loshchilov, ICLR 2017)."""
    small_weight: float = 1.0
    """How many times as often a slice is drawn whose bleed covers less than 3 cm²: those are the ones missed."""
    alignment: float = 0.0
    """Weight of the discrepancy between the two generators' features; 0: they are not compared."""
    seeds: tuple[tuple[int, int], ...] = ()
    """(first, beyond the last) seeds of the training shards to learn from; none: all that are there."""
    start_share: float = 0.0
    """Of the start's weights in the result, the rest being this run's best: what a short run on few slices learns is
    kept without what it forgets (Wortsman, CVPR 2022)."""
    patience: int = 0
    """Looks at the validation set without a better one after which the run ends early; 0: it never does."""


@dataclass
class Slices:
    """All slices in memory as tensors, with the head's box of each; `sources`: 1 for slices drawn one by one;
    `bled_mm2`: about the area of the bleed, at 1 mm a pixel."""

    images: Tensor
    masks: Tensor
    boxes: Tensor
    labels: Tensor
    sources: Tensor
    bled_mm2: Tensor
    shards: frozenset[str]

    def __len__(self) -> int:
        return len(self.images)


def read_recipe(path: Path) -> Recipe:
    """A recipe from JSON."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    widths = raw["widths"]
    raw["seeds"] = tuple((int(first), int(end)) for first, end in raw.get("seeds", ()))
    raw["widths"] = Widths(**{**widths, "blocks": tuple(widths["blocks"])})
    raw["strength"], raw["shifted_strength"] = Strength(**raw["strength"]), Strength(**raw["shifted_strength"])
    return Recipe(**raw)


def read_slices(folder: Path, known: Slices | None = None, seeds: tuple[tuple[int, int], ...] = ()) -> Slices:
    """Every slice of a folder of shards, or of those whose first seed is within `seeds`; only the shards that `known`
    lacks are read. Raises DatasetError where there is none."""
    paths = [path for path in shard_paths(folder) if not seeds or _is_within(first_seed(path), seeds)]
    if not paths:
        raise DatasetError(f"{folder} holds no shard to learn from")
    new = [path for path in paths if known is None or path.name not in known.shards]
    parts = [part for part in (known, *(_from_shard(path.name, load_shard(path)) for path in new)) if part is not None]
    if len(parts) == 1:
        return parts[0]
    joined = {name: torch.cat([getattr(p, name) for p in parts]) for name in _TENSORS}
    return Slices(**joined, shards=frozenset(name for p in parts for name in p.shards))


def _is_within(seed: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= seed < end for first, end in ranges)


def _from_shard(name: str, shard: Shard) -> Slices:
    boxes = np.array([_box(image) for image in shard.images], np.float32)
    return Slices(
        torch.from_numpy(shard.images),
        torch.from_numpy(shard.masks),
        torch.from_numpy(boxes),
        torch.from_numpy(shard.labels),
        torch.full((len(shard.labels),), _source(shard)),
        torch.from_numpy((shard.masks > 0).sum((1, 2))),
        frozenset({name}),
    )


def _source(shard: Shard) -> int:
    """Heads give several slices each, drawings one."""
    return int(len(np.unique(shard.heads)) == len(shard.heads))


def _box(image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    box = head_box(clip_window(unpack_hu(image)))
    return box.top, box.bottom, box.left, box.right


def make_batch(data: Slices, index: Tensor, r: Recipe, s: Strength, g: torch.Generator) -> Batch:
    """The slices at `index`, framed and distorted (not yet mixed)."""
    hu = data.images[index].float() * 0.5 - 24.0
    batch = frame(hu, data.masks[index], data.boxes[index], r.size, r.margin, s, g)
    return Batch(distort(batch.hu, s, g), batch.fractions, batch.labels)


def loss_of(outputs: tuple[Tensor, Tensor, Tensor], batch: Batch) -> Tensor:
    """Cross-entropy of the labels, and cross-entropy plus soft Dice of the segmentation."""
    logits, segmentation, _ = outputs
    weights = torch.tensor([2.0, 1, 1, 1, 1, 1])
    labels = (
        functional.binary_cross_entropy_with_logits(logits, batch.labels * 0.98 + 0.01, reduction="none") * weights
    ).mean()
    pixels = functional.binary_cross_entropy_with_logits(segmentation, batch.fractions, reduction="none")
    pixels = (pixels * (1 + 9 * batch.fractions)).mean()
    p = segmentation.sigmoid()
    overlap = 2 * (p * batch.fractions).sum((0, 2, 3)) + 20
    dice = 1 - overlap / ((p**2).sum((0, 2, 3)) + (batch.fractions**2).sum((0, 2, 3)) + 20)
    return labels + 4 * pixels + 0.5 * dice.mean()


class Average:
    """Exponential moving average of the weights and the batch statistics."""

    def __init__(self, network: SliceNetwork, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    def update(self, network: SliceNetwork) -> None:
        """After each step; warms up from short to long memory."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for key, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


def fit(recipe: Recipe, train: Path, validation: Path, out: Path, start: Path | None = None) -> None:
    """Trains for the recipe's steps; writes `best.pt` (by shifted validation), `history.json` and, last, `finished`."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    torch.set_flush_denormal(True)
    network = SliceNetwork(recipe.widths).to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(torch.load(start, weights_only=True)["state"])
    optimizer = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=recipe.rate)
    average = Average(network, recipe.average)
    held_out = read_slices(validation)
    history: list[dict[str, float]] = []
    best, best_epoch = -1.0, 0
    generator = torch.Generator().manual_seed(recipe.seed)
    pooled = Pooled(network.embed) if recipe.alignment else None
    epoch, data = 0, read_slices(train, seeds=recipe.seeds)
    started = time.monotonic()
    while (progress := _progress(recipe, average, started)) < 1:
        data = read_slices(train, data, recipe.seeds)
        loss = _epoch(network, optimizer, average, data, recipe, generator, started, pooled)
        shadow = SliceNetwork(recipe.widths)
        shadow.load_state_dict(average.state)
        figures = evaluate(shadow, held_out, recipe)
        seen = {
            "epoch": epoch,
            "steps": average.steps,
            "minutes": (time.monotonic() - started) / 60,
            "slices": len(data),
        }
        history.append({**seen, "progress": progress, "loss": loss, **figures})
        (out / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")
        print(json.dumps(history[-1]), flush=True)  # noqa: T201  # a training log on the terminal
        if figures["score"] > best:
            best, best_epoch = figures["score"], epoch
            torch.save({"state": average.state, "epoch": epoch}, out / "best.pt")
        torch.save({"state": average.state, "epoch": epoch}, out / "last.pt")
        if 0 < recipe.patience <= epoch - best_epoch:
            break
        epoch += 1
    if start is not None and recipe.start_share:
        kept = torch.load(out / "best.pt", weights_only=True)
        before = torch.load(start, weights_only=True)["state"]
        torch.save({**kept, "state": between(kept["state"], before, recipe.start_share)}, out / "best.pt")
    (out / _FINISHED).touch()


def between(state: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the way from a state to another of the same network; counters stay the first's."""
    return {k: v.lerp(other[k], share) if v.dtype.is_floating_point else v for k, v in state.items()}


def is_finished(out: Path) -> bool:
    """Whether a run wrote its last epoch to `out`: it need not be repeated."""
    return (out / _FINISHED).exists()


def _groups(network: SliceNetwork, decay: float) -> list[dict[str, object]]:
    heavy = [p for p in network.parameters() if p.ndim > 1]
    light = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


def _epoch(
    network: SliceNetwork,
    optimizer: torch.optim.Optimizer,
    average: Average,
    data: Slices,
    recipe: Recipe,
    g: torch.Generator,
    started: float,
    pooled: Pooled | None = None,
) -> float:
    network.train()
    total, count = 0.0, 0
    for index in _balanced(data, recipe, g):
        progress = _progress(recipe, average, started)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _schedule(progress)
        batch = mixed(make_batch(data, index, recipe, recipe.strength, g), recipe.strength, g)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            outputs = network(batch.hu.contiguous(memory_format=torch.channels_last))
        loss = loss_of((outputs[0].float(), outputs[1].float(), outputs[2]), batch)
        if pooled is not None and pooled.last is not None:
            apart = misalignment(pooled.last.float(), data.sources[index], batch.labels[:, 0])
            loss = loss + recipe.alignment * apart
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average.update(network)
        total, count = total + float(loss.detach()), count + 1
    return total / max(1, count)


def _progress(recipe: Recipe, average: "Average", started: float) -> float:
    """Share of the run that is over: by steps, or by the clock where the machine is too slow for them."""
    return max(average.steps / recipe.steps, (time.monotonic() - started) / (60 * recipe.most_minutes))


def _schedule(progress: float) -> float:
    """Warm up for 3 %, then a cosine to 1 %."""
    return min(1.0, progress / 0.03 + 0.05) * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))


def _balanced(data: Slices, recipe: Recipe, g: torch.Generator) -> Iterator[Tensor]:
    """Batches with the recipe's share of positives; rarer types more often."""
    types = data.labels[:, 1:].float()
    rarity = 1 / (types.sum(0) + 1)
    positive = (types * rarity).amax(1) * torch.where(data.bled_mm2 < _SMALL_MM2, recipe.small_weight, 1.0)
    negative = (~data.labels[:, 0]).float()
    weights = (
        recipe.positive_share * positive / positive.sum() + (1 - recipe.positive_share) * negative / negative.sum()
    )
    drawn = torch.multinomial(weights, min(len(data), _EPOCH_SLICES), replacement=True, generator=g)
    yield from (part for part in drawn.split(recipe.batch) if len(part) == recipe.batch)


def evaluate(network: SliceNetwork, data: Slices, recipe: Recipe, seed: int = 5) -> dict[str, float]:
    """AUCs on the shifted set: plain, and pushed by the shifted strength. `score` is what is maximised."""
    plain = predict(network, data, recipe, Strength(0, 0, 0, 0), seed)
    pushed = predict(network, data, recipe, recipe.shifted_strength, seed)
    p, q = auc(plain[1][:, 0], plain[0][:, 0]), auc(pushed[1][:, 0], pushed[0][:, 0])
    at_half = pushed[0][:, 0] > 0
    truth = pushed[1][:, 0] > 0.5
    return {
        "auc": p,
        "auc_pushed": q,
        "auc_types": float(np.nanmean([auc(pushed[1][:, i], pushed[0][:, i]) for i in range(1, 6)])),
        "sensitivity": float(at_half[truth].mean()),
        "specificity": float((~at_half[~truth]).mean()),
        "score": (p + q) / 2,
    }


def predict(
    network: SliceNetwork, data: Slices, recipe: Recipe, s: Strength, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(logits `[N, 6]`, labels `[N, 6]`) under a strength."""
    network.eval()
    g = torch.Generator().manual_seed(seed)
    logits, labels = [], []
    with torch.no_grad():
        for index in torch.arange(len(data)).split(64):
            batch = make_batch(data, index, recipe, s, g)
            logits.append(network(batch.hu)[0].numpy())
            labels.append(batch.labels.numpy())
    return np.concatenate(logits), np.concatenate(labels)
