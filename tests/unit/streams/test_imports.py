"""What an import of the contracts loads: the listener and the alerts must stay light."""

import subprocess
import sys

HEAVY = ("faust", "torch", "onnxruntime", "numpy", "kafka", "pydicom", "triage_models")


def test_the_contracts_load_nothing_heavy() -> None:
    code = (
        "import pkgutil, sys, streams.contracts as c\n"
        "for m in pkgutil.iter_modules(c.__path__, c.__name__ + '.'): __import__(m.name)\n"
        f"print([h for h in {HEAVY!r} if h in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
