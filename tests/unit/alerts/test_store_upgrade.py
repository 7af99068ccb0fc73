"""A database of an earlier version becomes one of this version, whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from alerts.errors import SettingsRefused
from alerts.store.database import Database
from alerts.store.schema import Base
from alerts.store.steps import configuration
from alerts.store.upgrade import FOLDER, VERSIONS


def at_step(tmp_path: Path, step: str) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite3'}")
    with database.upgrading() as connection:
        command.upgrade(configuration(connection), step)
    return database


def test_the_steps_lead_to_the_tables_of_the_code(tmp_path: Path) -> None:
    """Where this fails: ``python -m alerts.store.migrations "what it is for"`` writes the step that is missing."""
    database = at_step(tmp_path, "head")
    with database.upgrading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_there_is_one_line_of_steps_in_the_order_of_their_numbers() -> None:
    """Two steps of the same number: one of them is to be numbered anew, behind the other."""
    steps = ScriptDirectory(str(FOLDER))
    assert len(steps.get_heads()) == 1
    line = [step.revision for step in steps.walk_revisions()][::-1]
    assert line == [f"{number:04}" for number in range(1, len(line) + 1)]
    assert len(list(VERSIONS.glob("[0-9]*.py"))) == len(line)


def test_a_database_from_before_versions_were_kept_is_taken_over(tmp_path: Path) -> None:
    database = at_step(tmp_path, "0001")
    with database.upgrading() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("INSERT INTO meta VALUES ('schema_version', '1')"))
    assert database.prepare() is False
    assert database.secret("link_secret", b"new") == b"new"


def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    database = at_step(tmp_path, "head")
    with database.upgrading() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsRefused, match=r"9999.*later version"):
        database.prepare()


def test_a_step_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    database = at_step(tmp_path, "0001")
    with database.upgrading() as connection:
        connection.execute(text("CREATE TABLE sessions (in_the_way INTEGER)"))  # step 2 makes others before this one
    before = tables_of(database)
    with pytest.raises(Exception, match="OperationalError"):
        database.prepare()
    assert tables_of(database) == before


def tables_of(database: Database) -> Any:
    with database.upgrading() as connection:
        names = connection.execute(text("SELECT name, sql FROM sqlite_master ORDER BY name")).all()
        return names, connection.execute(text("SELECT version_num FROM alembic_version")).all()
