"""Compares the tables with the steps so far and writes the next: ``python -m alerts.store.migrations "what for"``."""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command

from alerts.store.database import Database
from alerts.store.steps import configuration
from alerts.store.upgrade import VERSIONS


def main() -> None:
    title = sys.argv[1]
    number = f"{1 + max(int(step.name[:4]) for step in VERSIONS.glob('[0-9]*.py')):04}"
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'empty.sqlite3'}")
        with database.upgrading() as connection:
            command.upgrade(configuration(connection), "head")
        with database.upgrading() as connection:
            command.revision(configuration(connection), title, autogenerate=True, rev_id=number)
        database.close()
    for made in VERSIONS.glob(f"{number}_*.py"):
        made.rename(made.with_name(re.sub(r"\W+", "_", f"{number} {title}".lower()).strip("_") + ".py"))


if __name__ == "__main__":
    main()
