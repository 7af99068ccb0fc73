"""What no topic takes lies in files of the spool, and is listed with the dead letters."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from dicom_listener.messages import OutgoingMessage
from dicom_listener.rejected import RejectedFolder
from dicom_listener.spool.journal import REJECTED_FOLDER
from streams.contracts.deadletters import DEADLETTER_HEADER
from tocsin.__main__ import app
from tocsin.commands import deadletter


def test_a_rejected_message_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spool in (tmp_path / "spool", tmp_path / "spool" / "process-1"):
        (spool / REJECTED_FOLDER).mkdir(parents=True)
        RejectedFolder(spool).keep(
            OutgoingMessage("triage.deadletter.v1", "k" * 32, b"12345", ((DEADLETTER_HEADER, "no note"),))
        )
    monkeypatch.setattr(deadletter, "_all", lambda servers: iter(()))
    monkeypatch.setattr(deadletter, "running_node", lambda directory: SimpleNamespace())
    done = CliRunner().invoke(app, ["deadletter", "list", "--kafka", "x:1", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output.count("file:1") == 2
    assert "no readable note" in done.output
