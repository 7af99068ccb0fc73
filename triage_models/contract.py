"""What every model folder must satisfy before it may read a patient: checked by running it, not by believing it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triage_models.errors import ManifestError, ModelError
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import Manifest, load_manifest, network_bytes, verify_files
from triage_models.opset import opset_of
from triage_models.ports import Array, Runtime
from triage_models.runtimes.onnx_cpu import OnnxCpu

_LATENCY_LIMIT_MS = 250.0
"""Per slice on this machine's CPU: above it the promise of an alert within seconds cannot be kept."""

_REPEATS = 8

_MOST_LOGITS_APART = 3.0
"""Between a network and its quantised form on inputs that are no heads: on even bone the shipped ones are 1.6 apart."""


@dataclass(frozen=True)
class Check:
    """One point of the contract."""

    name: str
    passed: bool
    detail: str


def verify(folder: Path, small: Runtime | None = None) -> list[Check]:
    """Every point, in order; what cannot be checked any more after a failure is left out.

    Args:
        small: what runs the quantised network (default: ONNX Runtime, where this processor multiplies 8-bit numbers).
    """
    try:
        manifest = load_manifest(folder)
        verify_files(folder, manifest)
        network = network_bytes(folder, manifest, manifest.network_file)
        _check_opset(manifest, network)
        runtime = OnnxCpu()
        runtime.load(network)
    except ModelError as error:
        return [Check("manifest and weights", False, str(error))]
    loaded = Check(
        "manifest and weights", True, f"{manifest.name} {manifest.version}, opset {manifest.opset}, sha256 matches"
    )
    answers = _checked("", (*_ANSWERS, ("latency", _quick)), manifest, runtime)
    if not all(check.passed for check in answers):
        return [loaded, *answers]
    return [loaded, *answers, *_quantised(folder, manifest, small or OnnxCpu(int8=True), runtime)]


def _check_opset(manifest: Manifest, network: bytes) -> None:
    asked = opset_of(network)
    if asked != manifest.opset:
        raise ManifestError(f"the network asks for opset {asked}, its manifest says {manifest.opset}")


def _quantised(folder: Path, manifest: Manifest, small: Runtime, whole: Runtime) -> list[Check]:
    if manifest.int8 is None or not small.is_available():
        return []
    try:
        small.load(network_bytes(folder, manifest, manifest.int8.network_file))
    except ModelError as error:
        return [Check("quantised network", False, str(error))]
    checks = (*_ANSWERS, ("nearness", lambda name, m, runtime: _near(name, m, runtime, whole)))
    return _checked("quantised network: ", checks, manifest, small)


def _checked(
    prefix: str, checks: "Sequence[tuple[str, _Checker]]", manifest: Manifest, runtime: Runtime
) -> list[Check]:
    """The first is of the outputs' shapes: where it fails the others have nothing to look at."""
    first, *others = checks
    shapes = _guarded(f"{prefix}{first[0]}", first[1], manifest, runtime)
    if not shapes.passed:
        return [shapes]
    return [shapes, *(_guarded(f"{prefix}{name}", check, manifest, runtime) for name, check in others)]


def _guarded(name: str, check: "_Checker", manifest: Manifest, runtime: Runtime) -> Check:
    try:
        return check(name, manifest, runtime)
    except ModelError as error:
        return Check(name, False, str(error))


def _inputs(manifest: Manifest) -> Array:
    """Air, bone, brain, noise, and HU far outside the window."""
    size = manifest.input.size
    rng = np.random.default_rng(0)
    planes = [np.full((size, size), v, np.float32) for v in (-1024.0, 3071.0, 32.0)]
    planes.append(rng.normal(32, 10, (size, size)).astype(np.float32))
    planes.append(rng.uniform(-1024, 3071, (size, size)).astype(np.float32))
    return np.stack(planes)[:, None]


def _shapes(name: str, manifest: Manifest, runtime: Runtime) -> Check:
    batch = _inputs(manifest)
    outputs = runtime.infer(batch)
    wanted = {"logits": (len(batch), len(LABELS)), "embedding": (len(batch), manifest.embedding_size)}
    wrong = [
        f"{k} is {outputs[k].shape if k in outputs else 'missing'}, not {v}"
        for k, v in wanted.items()
        if k not in outputs or outputs[k].shape != v
    ]
    segmentation = outputs.get("segmentation")
    if segmentation is None or segmentation.ndim != 4 or segmentation.shape[:2] != (len(batch), len(TYPES)):
        wrong.append(f"segmentation is not [N, {len(TYPES)}, s, s]")
    elif manifest.input.size % segmentation.shape[2] or segmentation.shape[2] != segmentation.shape[3]:
        wrong.append(f"segmentation of {segmentation.shape[2:]} does not divide the input's {manifest.input.size}")
    return Check(name, not wrong, "; ".join(wrong) or "logits, segmentation and embedding as agreed, any batch size")


def _finite(name: str, manifest: Manifest, runtime: Runtime) -> Check:
    outputs = runtime.infer(_inputs(manifest))
    broken = [key for key, value in outputs.items() if not np.isfinite(value).all()]
    range_ok = bool(((outputs["segmentation"] >= 0) & (outputs["segmentation"] <= 1)).all())
    detail = f"not finite: {', '.join(broken)}" if broken else "finite on air, bone, brain, noise and extreme HU"
    return Check(name, not broken and range_ok, detail if range_ok else "segmentation leaves 0–1")


def _deterministic(name: str, manifest: Manifest, runtime: Runtime) -> Check:
    batch = _inputs(manifest)
    one, other = runtime.infer(batch), runtime.infer(batch)
    same = all(np.array_equal(one[key], other[key]) for key in one)
    return Check(name, same, "two runs agree to the bit" if same else "two runs of the same slices differ")


def _batch_free(name: str, manifest: Manifest, runtime: Runtime) -> Check:
    batch = _inputs(manifest)
    together = runtime.infer(batch)["logits"]
    alone = np.concatenate([runtime.infer(batch[k : k + 1])["logits"] for k in range(len(batch))])
    worst = float(np.abs(together - alone).max())
    return Check(name, worst < 1e-2, f"logits differ by at most {worst:.1e} between batches")


def _quick(name: str, manifest: Manifest, runtime: Runtime) -> Check:
    one = _inputs(manifest)[:1]
    runtime.infer(one)
    seconds = [_seconds(lambda: runtime.infer(one)) for _ in range(_REPEATS)]
    median = 1000 * float(np.median(seconds))
    return Check(name, median <= _LATENCY_LIMIT_MS, f"{median:.1f} ms per slice (limit {_LATENCY_LIMIT_MS:g} ms)")


def _near(name: str, manifest: Manifest, runtime: Runtime, whole: Runtime) -> Check:
    batch = _inputs(manifest)
    worst = float(np.abs(runtime.infer(batch)["logits"] - whole.infer(batch)["logits"]).max())
    detail = f"logits are at most {worst:.2f} from the whole network's (limit {_MOST_LOGITS_APART:g})"
    return Check(name, worst <= _MOST_LOGITS_APART, detail)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


_Checker = Callable[[str, Manifest, Runtime], Check]

_ANSWERS: tuple[tuple[str, _Checker], ...] = (
    ("shapes", _shapes),
    ("finite outputs", _finite),
    ("determinism", _deterministic),
    ("independence of the batch", _batch_free),
)
