"""A device that can be pulled out of a real worker: loaded by Python itself where this folder is on PYTHONPATH.

`onnx-cuda` then runs on the CPU until the folder named by FAULT_DIR holds a file `lost`, and fails as CUDA does from
then on, in the worker and in the child that tries whether it is back. Nothing of this is in the product.
"""

import os
import sys
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("FAULT_DIR")


def _install(folder: Path) -> None:
    from triage_models.errors import InferenceFailed
    from triage_models.runtimes import catalogue
    from triage_models.runtimes.onnx_cpu import OnnxCpu

    class Pulled(OnnxCpu):
        def __init__(self) -> None:
            super().__init__(1)
            self._name = "onnx-cuda"

        def load(self, network: bytes) -> None:
            self._look()
            super().load(network)

        def infer(self, batch: Any) -> Any:
            self._look()
            return super().infer(batch)

        def _look(self) -> None:
            if (folder / "lost").exists():
                raise InferenceFailed("CUDA: cudaErrorIllegalAddress")

    catalogue.OnnxCuda = Pulled  # type: ignore[misc, assignment]


if FOLDER and {"streams", "triage_models.runtimes.trial"} & set(sys.orig_argv):
    _install(Path(FOLDER))
