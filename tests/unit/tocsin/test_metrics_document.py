"""docs/metrics.md is the code's own account, and the labels keep their law."""

import re
from pathlib import Path

from tocsin import metrics_document

ROOT = Path(__file__).parents[3]

LABELS = {
    *(
        "answer",
        "certificate",
        "channel",
        "closed_by",
        "fault",
        "gpu",
        "group",
        "how",
        "kind",
        "le",
        "method",
        "name",
        "outcome",
        "prevalence",
    ),
    *("reason", "runtime", "scanner", "state", "status", "topic", "version", "violation", "volume", "where"),
}
"""Whoever adds a label asks whether its values are bounded, and adds it here."""


def test_the_document_is_up_to_date() -> None:
    written = (ROOT / "docs" / "metrics.md").read_text()
    assert written == "".join(f"{line}\n" for line in metrics_document.lines()), (
        "run: python -m tocsin.metrics_document > docs/metrics.md"
    )


def test_no_label_can_carry_an_identity() -> None:
    for _, _, declare in metrics_document.SERVICES:
        for family in metrics_document.families(declare):
            assert set(metrics_document.labels_of(family)) <= LABELS, family.name


def test_names_follow_the_conventions() -> None:
    for _, _, declare in metrics_document.SERVICES:
        for family in metrics_document.families(declare):
            assert re.fullmatch(r"(tocsin|process)_[a-z0-9_]+", family.name)
            assert family.documentation
            if family.type == "histogram" and "score" not in family.name:
                assert family.name.endswith(("_seconds", "_slices")), family.name


def test_every_counter_is_there_at_zero_before_anything_is_counted() -> None:
    """Labelled ones with all their values: a rule must see the first failure (docs/decisions/0403)."""
    for _, _, declare in metrics_document.SERVICES:
        for family in metrics_document.families(declare):
            if family.type == "counter" and not family.name.startswith("process_"):
                totals = [sample.value for sample in family.samples if sample.name.endswith("_total")]
                assert totals, family.name
                assert set(totals) == {0}, family.name
