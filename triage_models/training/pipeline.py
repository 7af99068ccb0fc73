"""`tocsin train`: from a committed plan to a model folder. Each step leaves files, so a run that was cut off goes on.

shards of synthetic slices → cases for calibration → fit → assemble (export, calibrate, thresholds, manifest)
"""

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from triage_models.datasets.case import synthetic_cases, write_case
from triage_models.manifest import Manifest, load_manifest, save_manifest
from triage_models.reader import Reader
from triage_models.synthetic.series import Setting
from triage_models.training.evaluation import PICTURE_SEED, picture_report, read_outcomes, recorded, report
from triage_models.training.pictures import Pictures
from triage_models.training.report_page import page
from triage_models.training.shards import Shard, make_midline_shard, make_phantom_shard, make_shard, save_shard

RECIPES = Path(__file__).parent / "recipes"

_HEADS_PER_SHARD = 25
_PHANTOMS_PER_SHARD = 200
_SEEDS_PER_SHARD = 100
_PHANTOM_BLEED_SHARE = 0.6


Ranges = tuple[tuple[int, int], ...]
"""(first seed, count) pairs."""


@dataclass(frozen=True)
class DataPlan:
    """How much of what, from which seeds, and which recipes learn from it; no seed is in two sets.

    `members`: one recipe per network; two are averaged in the shipped file. `bleed_share`: of the heads; phantoms and
    cases have shares of their own (0.6 and 0.5), whatever the plan. `midline_seeds`: heads with a dense midline are
    looked for among these (`make_midline_shard`).
    """

    members: tuple[str, ...]
    heads: Ranges
    slices_per_head: int
    bleed_share: float
    phantoms: Ranges
    midline_seeds: Ranges
    validation_heads: Ranges
    validation_phantoms: Ranges
    calibration_cases: Ranges
    evaluation_cases: Ranges
    alpha: float


def read_plan(name: str) -> DataPlan:
    """The plan `recipes/<name>-data.json`."""
    raw = json.loads((RECIPES / f"{name}-data.json").read_text(encoding="utf-8"))
    ranges = {key: tuple((int(a), int(n)) for a, n in raw[key]) for key in _RANGE_KEYS}
    return DataPlan(**{**raw, **ranges, "members": tuple(raw["members"])})


_RANGE_KEYS = (
    "heads",
    "phantoms",
    "midline_seeds",
    "validation_heads",
    "validation_phantoms",
    "calibration_cases",
    "evaluation_cases",
)


def prepare(plan: DataPlan, work: Path, *sets: str) -> None:
    """Generates every shard and case of these sets (`train`, `validation`, …) that is not there yet."""
    for name in sets:
        (work / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for job in [pool.submit(_run, *task) for task in _tasks(plan, work) if task[1].name in sets]:
            job.result()


def _run(kind: str, folder: Path, seed: int, count: int, share: float, slices: int) -> None:
    _KINDS[kind](folder, seed, count, share, slices)


def _tasks(plan: DataPlan, work: Path) -> list[tuple[str, Path, int, int, float, int]]:
    share, slices = plan.bleed_share, plan.slices_per_head
    groups = (
        ("standard", work / "train", plan.heads, _HEADS_PER_SHARD),
        ("phantom", work / "train", plan.phantoms, _PHANTOMS_PER_SHARD),
        ("midline", work / "train", plan.midline_seeds, _SEEDS_PER_SHARD),
        ("shifted", work / "validation", plan.validation_heads, 10),
        ("phantom", work / "validation", plan.validation_phantoms, _PHANTOMS_PER_SHARD),
        ("case", work / "calibration", plan.calibration_cases, 1),
        ("case", work / "evaluation", plan.evaluation_cases, 1),
    )
    return [
        (kind, folder, seed, min(step, first + total - seed), share, slices)
        for kind, folder, ranges, step in groups
        for first, total in ranges
        for seed in range(first, first + total, step)
    ]


_Write = Callable[[Path, int, int, float, int], None]


def _shards(make: Callable[[int, int, float, int], Shard]) -> _Write:
    """Writes what `make` draws of (first seed, count, bleed share, slices per head), unless it is there."""

    def write(folder: Path, seed: int, count: int, share: float, slices: int) -> None:
        path = folder / f"shard-{seed:08d}.npz"
        if not path.exists():
            save_shard(make(seed, count, share, slices), path)

    return write


def _heads(setting: Setting) -> _Write:
    return _shards(
        lambda seed, count, share, slices: make_shard(seed, count, slices, bleed_share=share, setting=setting)
    )


def _case(folder: Path, seed: int, count: int, share: float, slices: int) -> None:
    if not (folder / f"case-{seed:08d}.npz").exists():
        write_case(folder, seed, "shifted")


_KINDS: dict[str, _Write] = {
    "standard": _heads("standard"),
    "shifted": _heads("shifted"),
    "phantom": _shards(lambda seed, count, *_: make_phantom_shard(seed, count, bleed_share=_PHANTOM_BLEED_SHARE)),
    "midline": _shards(lambda seed, count, _, slices: make_midline_shard(seed, count, slices)),
    "case": _case,
}


def train(plan_name: str, work: Path, out: Path, *, version: str, hardware: str, today: date) -> Manifest:
    """The whole way; returns the manifest of the folder written to `out`. Needs the `train` extra."""
    from triage_models.training.assembly import Member, Story, assemble
    from triage_models.training.fit import read_recipe

    plan = read_plan(plan_name)
    prepare(plan, work, "train", "validation")
    _fit_all(plan.members, work)
    prepare(plan, work, "calibration", "evaluation")
    members = [Member(read_recipe(RECIPES / f"{name}.json"), work / name / "best.pt") for name in plan.members]
    story = Story("tocsin-slice", version, described(plan), LIMITS, hardware)
    assemble(members, out, synthetic_cases(work / "calibration"), story, alpha=plan.alpha, today=today)
    return measure(out, work / "evaluation")


def _fit_all(names: tuple[str, ...], work: Path) -> None:
    """Every member that has not finished yet, side by side: one network of this size does not keep two cores busy."""
    threads = max(1, (os.cpu_count() or 1) // len(names))
    with ProcessPoolExecutor(len(names), mp_context=multiprocessing.get_context("spawn")) as pool:
        for job in [pool.submit(_fit, name, work, threads) for name in names]:
            job.result()


def _fit(name: str, work: Path, threads: int) -> None:
    import torch

    from triage_models.training.fit import fit, is_finished, read_recipe

    torch.set_num_threads(threads)
    recipe = read_recipe(RECIPES / f"{name}.json")
    if recipe.start:
        _fit(recipe.start, work, threads)
    if not is_finished(work / name):
        start = work / recipe.start / "best.pt" if recipe.start else None
        fit(recipe, work / "train", work / "validation", work / name, start)


def measure(out: Path, cases: Path) -> Manifest:
    """Evaluates the model folder on a synthetic set that nothing was chosen on, and records the figures in it.

    Leaves `evaluation.json` and `evaluation.html` beside the set.
    """
    reader = Reader.open(out)
    pictures = Pictures(reader, PICTURE_SEED)
    outcomes = read_outcomes(reader, synthetic_cases(cases), pictures)
    figures = {**report(reader, outcomes), "pictures": picture_report(reader, pictures)}
    figures["data"] = f"{len(outcomes)} synthetic series, shifted settings, seeds of no other set"
    (cases.parent / "evaluation.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    (cases.parent / "evaluation.html").write_text(page(figures), encoding="utf-8")
    save_manifest(out, recorded(reader.manifest, figures, outcomes))
    return load_manifest(out)


LIMITS = (
    "Never seen a real head: trained, chosen and calibrated on synthetic CT only.",
    (
        "Small bleeds (under 3 cm² in a slice), thin subdurals, thin subarachnoid blood and bleeds at the skull base "
        "are often missed in a single slice."
    ),
    (
        "A midline shift is told only where the crests of the inner table and the symmetry of the frontal horns are "
        "seen in several slices that agree: none told is none excluded."
    ),
)


def described(plan: DataPlan) -> str:
    """The training data in a few sentences."""
    heads, phantoms, cases = (sum(n for _, n in r) for r in (plan.heads, plan.phantoms, plan.calibration_cases))
    midlines = (
        f" and of those with a dense midline among seeds {_seeds(plan.midline_seeds)}" if plan.midline_seeds else ""
    )
    return (
        f"{heads * plan.slices_per_head} slices of {heads} synthetic heads (seeds {_seeds(plan.heads)}){midlines} on "
        f"the MNI152 templates that nilearn carries, and {phantoms} slices of a second, outline-based generator (seeds "
        f"{_seeds(plan.phantoms)}). Calibrated on {cases} synthetic series with shifted settings (seeds "
        f"{_seeds(plan.calibration_cases)}). No patient data of any kind."
    )


def _seeds(ranges: Ranges) -> str:
    return ", ".join(f"{first}–{first + count - 1}" for first, count in ranges)
