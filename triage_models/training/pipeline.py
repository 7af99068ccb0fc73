"""`tocsin train`: from a committed plan to a model folder. Each step leaves files, so a run that was cut off goes on.

shards of synthetic slices → cases for calibration → fit → assemble (export, calibrate, thresholds, manifest)
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from triage_models.datasets.case import synthetic_cases, write_case
from triage_models.manifest import Manifest
from triage_models.training.shards import make_phantom_shard, make_shard, save_shard

RECIPES = Path(__file__).parent / "recipes"

_HEADS_PER_SHARD = 25
_PHANTOMS_PER_SHARD = 200


@dataclass(frozen=True)
class DataPlan:
    """How much of what, and from which seeds; no seed is in two sets."""

    first_seed: int
    heads: int
    slices_per_head: int
    bleed_share: float
    phantom_first_seed: int
    phantoms: int
    validation_first_seed: int
    validation_heads: int
    validation_phantom_first_seed: int
    validation_phantoms: int
    calibration_first_seed: int
    calibration_cases: int
    alpha: float


def read_plan(name: str) -> DataPlan:
    """The data plan of a recipe (`recipes/<name>-data.json`)."""
    return DataPlan(**json.loads((RECIPES / f"{name}-data.json").read_text(encoding="utf-8")))


def prepare(plan: DataPlan, work: Path, processes: int = os.cpu_count() or 1) -> None:
    """Generates every shard and case that is not there yet."""
    for name in ("train", "validation", "calibration"):
        (work / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as pool:
        for job in [pool.submit(_run, *task) for task in _tasks(plan, work)]:
            job.result()


def _run(kind: str, folder: Path, seed: int, count: int, share: float, slices: int) -> None:
    _KINDS[kind](folder, seed, count, share, slices)


def _tasks(plan: DataPlan, work: Path) -> list[tuple[str, Path, int, int, float, int]]:
    share, slices = plan.bleed_share, plan.slices_per_head
    groups = (
        ("standard", work / "train", plan.first_seed, plan.heads, _HEADS_PER_SHARD),
        ("phantom", work / "train", plan.phantom_first_seed, plan.phantoms, _PHANTOMS_PER_SHARD),
        ("shifted", work / "validation", plan.validation_first_seed, plan.validation_heads, 10),
        ("phantom", work / "validation", plan.validation_phantom_first_seed, plan.validation_phantoms, 200),
        ("case", work / "calibration", plan.calibration_first_seed, plan.calibration_cases, 1),
    )
    return [
        (kind, folder, seed, min(step, first + total - seed), share, slices)
        for kind, folder, first, total, step in groups
        for seed in range(first, first + total, step)
    ]


def _heads(setting: str) -> Callable[[Path, int, int, float, int], None]:
    def write(folder: Path, seed: int, count: int, share: float, slices: int) -> None:
        path = folder / f"shard-{seed:08d}.npz"
        if not path.exists():
            chosen = "shifted" if setting == "shifted" else "standard"
            save_shard(make_shard(seed, count, slices, bleed_share=share, setting=chosen), path)  # type: ignore[arg-type]  # two literals

    return write


def _phantoms(folder: Path, seed: int, count: int, share: float, slices: int) -> None:
    path = folder / f"shard-{seed:08d}.npz"
    if not path.exists():
        save_shard(make_phantom_shard(seed, count, bleed_share=0.6), path)


def _case(folder: Path, seed: int, count: int, share: float, slices: int) -> None:
    if not (folder / f"case-{seed:08d}.npz").exists():
        write_case(folder, seed, "shifted")


_KINDS: dict[str, Callable[[Path, int, int, float, int], None]] = {
    "standard": _heads("standard"),
    "shifted": _heads("shifted"),
    "phantom": _phantoms,
    "case": _case,
}


def train(recipe_name: str, work: Path, out: Path, *, version: str, hardware: str, today: date) -> Manifest:
    """The whole way; returns the manifest of the folder written to `out`. Needs the `train` extra."""
    from triage_models.training.assembly import Story, assemble
    from triage_models.training.fit import fit, read_recipe

    plan, recipe = read_plan(recipe_name), read_recipe(RECIPES / f"{recipe_name}.json")
    prepare(plan, work)
    fit(recipe, work / "train", work / "validation", work / "run")
    story = Story(
        name="tocsin-slice",
        version=version,
        training_data=described(plan),
        limitations=("Never seen a real head: trained and calibrated on synthetic CT only.",),
        hardware=hardware,
    )
    cases = list(synthetic_cases(work / "calibration"))
    return assemble(recipe, work / "run" / "best.pt", out, cases, story, alpha=plan.alpha, today=today)


def described(plan: DataPlan) -> str:
    """The training data in one sentence."""
    return (
        f"{plan.heads * plan.slices_per_head} slices of {plan.heads} synthetic heads (seeds from {plan.first_seed}), "
        f"{plan.phantoms} slices of a second, outline-based generator (seeds from {plan.phantom_first_seed}); "
        f"calibrated on {plan.calibration_cases} synthetic series with shifted settings "
        f"(seeds from {plan.calibration_first_seed}). "
        "No patient data of any kind. Anatomy from the MNI152 templates that nilearn carries."
    )
