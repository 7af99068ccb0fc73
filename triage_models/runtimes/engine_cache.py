"""TensorRT engines on disk: one file per device, TensorRT version, network, precision and shapes.

Law: an engine is used only for exactly what it was built for, and only when its sha256 is the one noted beside it.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from triage_models.errors import RuntimeUnavailable, WeightsMismatch
from triage_models.runtimes.cuda_device import DeviceIdentity

SUFFIX = ".engine"


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built for. `batches`: (least, best, most) of each optimisation profile."""

    runtime: str
    device: DeviceIdentity
    tensorrt: str
    network_sha256: str
    batches: tuple[tuple[int, int, int], ...]

    @property
    def file_name(self) -> str:
        """Readable, and different for everything that differs."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
        device = re.sub(r"[^A-Za-z0-9]+", "-", self.device.name).strip("-").lower()
        return f"{self.runtime}-{device}-{digest}{SUFFIX}"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/tocsin/engines`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin" / "engines"


def any_engine(folder: Path, runtime: str) -> bool:
    """Is there an engine of this runtime at all?"""
    return next(folder.glob(f"{runtime}-*{SUFFIX}"), None) is not None


def save(folder: Path, key: EngineKey, plan: bytes) -> Path:
    """Writes an engine and its note; whoever reads sees both or the ones before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / key.file_name
    note = {**asdict(key), "sha256": hashlib.sha256(plan).hexdigest()}
    for target, content in ((path.with_suffix(".json"), json.dumps(note, indent=1).encode()), (path, plan)):
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(content)
        partial.replace(target)
    return path


def read(folder: Path, key: EngineKey) -> bytes:
    """The engine. Raises RuntimeUnavailable when there is none for this key, WeightsMismatch when it was changed."""
    path = folder / key.file_name
    try:
        plan = path.read_bytes()
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RuntimeUnavailable(
            f"no engine for {key.device.name}, TensorRT {key.tensorrt} and this network in {folder}: "
            "build it with `tocsin model build`"
        ) from error
    if note.get("sha256") != hashlib.sha256(plan).hexdigest():
        raise WeightsMismatch(f"{path} is not the engine that was built")
    return plan
