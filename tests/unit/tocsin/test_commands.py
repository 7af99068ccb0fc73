"""Silly input is answered with one sentence."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tocsin.__main__ import app
from tocsin.errors import TocsinError


def problem(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code != 0
    assert isinstance(done.exception, TocsinError | SystemExit)
    return str(done.exception) if isinstance(done.exception, TocsinError) else done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--metrics-port", "70000"), "is no port"),
        (("up", "--web-host", "0.0.0.0"), "PUBLIC_URL"),
        (("send", "nowhere", "--to", "TOCSIN@127.0.0.1:1"), "does not exist"),
        (("send", ".", "--to", "nonsense"), "is not an address"),
        (("status",), "No node is running"),
        (("deadletter", "show", "x"), "No node is running"),
    ],
)
def test_one_sentence(arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert said in problem(*arguments)


def test_two_studies_are_not_mixed_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "old.dcm").touch()
    assert "not empty" in problem("synth", str(tmp_path))
