"""``python -m alerts audit verify`` and ``python -m alerts audit export``: the record, from the command line."""

import sys
from collections.abc import Sequence
from typing import TextIO

from alerts.audit import export
from alerts.errors import SettingsRefused
from alerts.settings import Settings
from alerts.store.database import Database
from alerts.store.record import verify

EXIT_OK, EXIT_FORGED = 0, 1
USAGE = "usage: python -m alerts [audit verify | audit export]"


def audit_command(arguments: Sequence[str], settings: Settings) -> int:
    """Run one of the two; the export goes to standard output as CSV.

    Raises:
        SettingsRefused: not one of the two, or the database cannot be used.
        StoreUnavailable: the database is away.
    """
    match list(arguments):
        case ["audit", "verify"]:
            return verify_record(Database(settings.database_url), sys.stdout)
        case ["audit", "export"]:
            export_record(Database(settings.database_url), sys.stdout)
            return EXIT_OK
    raise SettingsRefused(USAGE)


def export_record(database: Database, out: TextIO) -> None:
    with database.reading() as session:
        export(session, out)


def verify_record(database: Database, out: TextIO) -> int:
    """Say whether the record is whole; returns the exit status."""
    with database.reading() as session:
        found = verify(session)
    if found.broken_at is None:
        out.write(f"the record is whole: {found.entries} entries, head {found.head}\n")
        return EXIT_OK
    out.write(f"THE RECORD HAS BEEN ALTERED: entry {found.broken_at} does not fit\n")
    return EXIT_FORGED
