"""The rules are complete: each says what it means and what to do, asks for what exists, and has its two cases."""

import re

import pytest
import yaml

from tests.support import watch_files

ALERTS = watch_files.alerts()
NAMES = [rule["alert"] for rule in ALERTS]


def runbook(rule: dict[str, dict[str, str]]) -> str:
    return rule["annotations"]["runbook_url"].removeprefix("{{ $externalLabels.runbooks }}/")


def test_no_two_alerts_have_one_name() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_what_and_what_to_do(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    assert rule["labels"]["part"]
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > len(rule["annotations"]["summary"]) / 2
    page = (watch_files.ROOT / "docs" / "runbooks" / runbook(rule)).read_text()
    assert f"`{rule['alert']}` ({rule['labels']['severity']})" in page
    assert "## Look at" in page
    assert "## Do" in page


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_is_in_the_manual_and_links_to_its_runbook(rule: dict[str, dict[str, str]]) -> None:
    manual = (watch_files.ROOT / "docs" / "monitoring.md").read_text()
    (line,) = [line for line in manual.splitlines() if line.startswith(f"| `{rule['alert']}` |")]
    assert f"| {rule['labels']['severity']} |" in line
    assert f"(runbooks/{runbook(rule)})" in line


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {page.name for page in (watch_files.ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {runbook(rule) for rule in ALERTS}


def test_rules_ask_for_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in watch_files.rules() if "record" in rule}
    known = set(watch_files.declared()) | recorded
    for rule in watch_files.rules():
        assert watch_files.metrics_in(rule["expr"]) <= known, rule["expr"]


def test_rules_match_label_values_that_exist() -> None:
    families = watch_files.declared()
    for rule in watch_files.rules():
        for metric, label, value in watch_files.matchers_in(rule["expr"]):
            samples = [sample.labels for sample in families[metric].samples]
            assert any(labels.get(label) == value for labels in samples), f"{metric} has no {label}={value}"


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    fires, silent = set(), set()
    for file in watch_files.RULE_TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for expectation in case["promql_expr_test"]:
                (name,) = re.findall(r'alertname="(\w+)"', expectation["expr"])
                (fires if expectation["exp_samples"] else silent).add(name)
    assert fires == set(NAMES)
    assert silent | {"TocsinWatchdog"} == set(NAMES)


def test_runbooks_name_metrics_and_settings_that_exist() -> None:
    recorded = {rule["record"] for rule in watch_files.rules() if "record" in rule}
    families = {family.name for family in watch_files.declared().values()}
    known = set(watch_files.declared()) | families | recorded
    reference = (watch_files.ROOT / "docs" / "reference.md").read_text()
    for page in (watch_files.ROOT / "docs" / "runbooks").glob("*.md"):
        text = page.read_text()
        assert watch_files.metrics_in(text) <= known, page.name
        for setting in re.findall(r"\bTOCSIN_[A-Z_]+\b", text):
            assert f"`{setting}`" in reference, f"{page.name} names {setting}"
