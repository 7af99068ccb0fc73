"""The committed plan is whole: every recipe it names exists, and no seed is in two sets."""

import json

from triage_models.training.pipeline import RECIPES, read_plan

PLAN = read_plan("shipped")


def recipe(name: str) -> dict[str, object]:
    raw: dict[str, object] = json.loads((RECIPES / f"{name}.json").read_text(encoding="utf-8"))
    return raw


def test_every_recipe_and_what_it_starts_from_exists() -> None:
    for name in PLAN.members:
        start = recipe(name).get("start")
        assert isinstance(start, str)
        assert recipe(start)["widths"] == recipe(name)["widths"]


def test_every_round_learns_from_seeds_of_the_plan() -> None:
    planned = [(first, first + count) for first, count in (*PLAN.heads, *PLAN.phantoms, *PLAN.midline_seeds)]
    for path in RECIPES.glob("shipped-?*-*.json"):
        raw = json.loads(path.read_text(encoding="utf-8"))
        for first, end in raw.get("seeds", []):
            assert any(first <= start and stop <= end for start, stop in planned), path.name


def test_no_seed_is_in_two_sets() -> None:
    sets = (
        PLAN.heads,
        PLAN.phantoms,
        PLAN.midline_seeds,
        PLAN.validation_heads,
        PLAN.validation_phantoms,
        PLAN.calibration_cases,
        PLAN.evaluation_cases,
    )
    seeds = [seed for ranges in sets for first, count in ranges for seed in range(first, first + count)]
    assert len(seeds) == len(set(seeds))
