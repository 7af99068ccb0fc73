"""``python -m tests.faults``: the fault matrix as a table. Exit status 1 when a row fails.

Every crash point of every service and every disturbance is played on one node, one after the other; ``--short`` plays
some of each.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.disturbances import DISTURBANCES, SHORT_DISTURBANCES, disturb, hospital, possible
from tests.faults.matrix import POINTS, SHORT, CrashPoint, Row, play
from tests.support.patients import Patients


def main(arguments: Sequence[str]) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help="some rows of each kind")
    options.add_argument("--only", default="", help="rows whose name contains this")
    chosen = options.parse_args(arguments)
    faults = (*SHORT, *SHORT_DISTURBANCES) if chosen.short else (*POINTS, *DISTURBANCES)
    table = Table("fault", "fired", "alert after the last slice", "violations", title="Fault matrix")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-faults-") as folder:
        patients = Patients(Path(folder) / "patients")
        with hospital(Path(folder)) as place:
            for fault in (each for each in faults if chosen.only in str(each)):
                if isinstance(fault, CrashPoint):
                    row = play(place.node, patients, place.faults, fault)
                elif possible(fault, place):
                    row = disturb(place, patients, fault)
                else:
                    table.add_row(str(fault), "not possible", "needs root, to mount a small disk", "")
                    continue
                rows.append(row)
                seconds = "never" if row.alert_seconds is None else f"{row.alert_seconds:.1f} s"
                table.add_row(str(fault), "yes" if row.fired else "NO", seconds, "; ".join(row.problems) or "none")
                Console(stderr=True).print(f"{fault}: {'passed' if row.passed else 'FAILED'} {seconds}", markup=False)
    Console().print(table)
    return 0 if rows and all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
