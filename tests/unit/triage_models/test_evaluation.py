"""An evaluation reports every figure with its interval, and the page shows them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.labelled import a_labelled_case
from triage_models.card import model_card
from triage_models.datasets.case import read_case, write_case
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import load_manifest
from triage_models.reader import SHIPPED, Reader
from triage_models.training.evaluation import PICTURE_SEED, picture_report, read_outcomes, report
from triage_models.training.pictures import Pictures
from triage_models.training.report_page import page


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("set")
    cases = [read_case(write_case(folder, seed, "standard", side=64)) for seed in (1, 2, 3)]
    reader = Reader.open()
    pictures = Pictures(reader, PICTURE_SEED)
    outcomes = read_outcomes(reader, iter([replace(cases[0], unreadable=2), *cases[1:]]), pictures)
    found = report(reader, outcomes)
    return {**found, "pictures": picture_report(reader, pictures), "data": "<three> cases"}


def test_figures_are_json_with_intervals(figures: dict[str, object]) -> None:
    again = json.loads(json.dumps(figures))
    assert again["cases"] == 3
    assert set(again["series"]["sensitivity"]) == {"value", "low", "high"}
    assert again["midline_shift"]["n"] == 3
    assert set(again["midline_shift"]["large"]["sensitivity"]) == {"value", "low", "high"}
    assert set(again["anytime"]["false_provisional"]) == {"n", "count", "share", "upper_95", "in_one_order"}


def test_what_could_not_be_read_is_counted(figures: dict[str, object]) -> None:
    assert figures["unreadable_slices"] == 2
    assert "could not be read: 2." in page(figures)


def test_every_label_has_its_calibration_error_and_every_type_its_share(figures: dict[str, object]) -> None:
    again = json.loads(json.dumps(figures))
    assert set(again["series"]["calibration_errors"]) == set(again["pictures"]["calibration_errors"]) == set(LABELS)
    assert set(again["by_type"]) == set(TYPES)
    assert sum(group["n"] for group in again["by_type"].values()) >= again["positive_cases"]


def test_curves_are_drawn_beside_the_reliability(figures: dict[str, object]) -> None:
    again = json.loads(json.dumps(figures))
    told = [point["told"] for point in again["told_by_share"]]
    assert told == sorted(told)
    assert again["told_by_share"][-1] == {"seen": 1.0, "told": again["anytime"]["positives_told_early"]}
    whole = page(figures).split("<h2>")[1]
    assert whole.count("<svg") == 3
    assert whole.count("<polyline") == 2


def test_without_labels_of_slices_there_are_no_figures_of_slices() -> None:
    case = replace(a_labelled_case(1), slice_labels=None, areas_mm2=None)
    reader = Reader.open()
    pictures = Pictures(reader, PICTURE_SEED)
    figures = report(reader, read_outcomes(reader, [case], pictures))
    assert picture_report(reader, pictures) == figures["slices"] == {}
    assert "pictures" not in page({**figures, "pictures": {}})


def test_a_set_without_negatives_has_figures(tmp_path: Path) -> None:
    case = read_case(write_case(tmp_path, 1, "standard", bleed_share=1.0, side=64))
    reader = Reader.open()
    figures = report(reader, read_outcomes(reader, [case]))
    assert figures["positive_cases"] == figures["cases"] == 1
    assert "not available" in page({**figures, "data": "one"})


def test_page_is_whole_and_escaped(figures: dict[str, object]) -> None:
    text = page(figures)
    assert text.startswith("<!doctype html>")
    assert "&lt;three&gt; cases" in text
    assert "<h2>Midline shift</h2><table>" in text.replace("\n", "")
    assert "Not a medical device" in text


def test_card_says_what_it_is_not() -> None:
    shipped = load_manifest(SHIPPED)
    card = model_card(shipped)
    assert "Not a medical device" in card
    assert shipped.files[shipped.network_file] in card


def test_the_card_in_the_documentation_is_the_shipped_models() -> None:
    written = (Path(__file__).parents[3] / "docs" / "model-card.md").read_text(encoding="utf-8")
    assert written == model_card(load_manifest(SHIPPED)), "run: tocsin model card --out docs/model-card.md"
