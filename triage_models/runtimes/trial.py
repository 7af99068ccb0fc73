"""``python -m triage_models.runtimes.trial``: can a fresh process load this runtime and run it?

A lost device leaves a process's context broken for good, and a broken driver may take the process with it: whether a
device is back is found out in a child, never among the slices.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from triage_models.errors import ModelError
from triage_models.runtimes.faults import RuntimeFault, fault_of

TIMEOUT_SECONDS = 120.0
"""Loading CUDA, cuDNN or TensorRT for the first time after a reset takes tens of seconds."""


def trial_in_child(name: str, folder: Path, threads: int, engines: Path) -> RuntimeFault | None:
    """None when a child ran the runtime on the reference slices, else the fault."""
    command = [sys.executable, "-m", "triage_models.runtimes.trial", name, str(folder)]
    command += ["--threads", str(threads), "--engines", str(engines)]
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return RuntimeFault.DEVICE_LOST
    if done.returncode == 0:
        return None
    told = done.stdout.decode(errors="replace").strip()
    return RuntimeFault(told) if told in set(RuntimeFault) else RuntimeFault.OTHER


def main() -> int:
    """Exit status 0, or 1 with the fault on standard output."""
    from triage_models.manifest import load_manifest
    from triage_models.ports import nonsense
    from triage_models.runtimes.catalogue import Place, make, network_for
    from triage_models.runtimes.names import RuntimeName
    from triage_models.runtimes.reference_slice import reference_batch

    parser = argparse.ArgumentParser(prog="triage_models.runtimes.trial")
    parser.add_argument("name", type=RuntimeName)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engines", type=Path, required=True)
    asked = parser.parse_args()
    os.nice(10)
    try:
        manifest = load_manifest(asked.folder)
        runtime = make(asked.name, Place(asked.threads, asked.engines))
        runtime.load(network_for(asked.name, asked.folder, manifest))
        batch = reference_batch(manifest.input.size)
        wrong = nonsense(runtime.infer(batch), len(batch))
    except ModelError as error:
        print(fault_of(error).value)  # noqa: T201 - the answer to the parent
        return 1
    if wrong is not None:
        print(RuntimeFault.NONSENSE.value)  # noqa: T201 - the answer to the parent
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
