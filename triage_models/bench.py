"""How fast a reader is here: the whole path from HU to reading, and the network on every runtime of this machine.

Each runtime runs in a process of its own. On a machine with other work `best_ms` and `cpu_ms_per_slice` (processor
time) say more than the median.
"""

import concurrent.futures
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from triage_models.errors import ModelError, RuntimeUnavailable
from triage_models.manifest import Manifest, load_manifest, network_bytes
from triage_models.opening import open_reader
from triage_models.ports import Array
from triage_models.reader import SHIPPED, HeadSlice, Reader
from triage_models.roofline import Chip, Work, measured_cpu, seconds_at_best, work_of
from triage_models.runtimes.catalogue import CATALOGUE, Place, make, network_for
from triage_models.runtimes.engine_cache import default_folder
from triage_models.runtimes.names import RuntimeName
from triage_models.runtimes.onnx_cuda import device_present
from triage_models.runtimes.reference_slice import reference_batch

Figures = dict[str, object]

_SIDE = 512
_CPU_RUNTIMES = tuple(name for name in RuntimeName if name.value.startswith(("onnx-cpu", "openvino", "torch")))


def bench_inference(
    model_dir: Path | None = None,
    *,
    slices: int = 64,
    threads: tuple[int, ...] = (1, 2),
    batches: Sequence[int] = (1, 8),
    runtimes: Sequence[RuntimeName] = tuple(RuntimeName),
) -> Figures:
    """Figures ready for JSON: latencies over single calls, in milliseconds.

    `of_torch`: times as fast as PyTorch run eagerly, at the same batch; `of_roofline`: share of what the processor
    could do at best (`triage_models.roofline`); None where PyTorch or `onnx` is not installed, or for a GPU.
    """
    folder = model_dir or SHIPPED
    manifest = load_manifest(folder)
    return {
        "model": manifest.name,
        "version": manifest.version,
        "input_size": manifest.input.size,
        "image_side": _SIDE,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "gpu": device_present(),
        },
        "whole_path_by_threads": {str(n): _whole_path(folder, n, _images(slices)) for n in threads},
        "runtimes_by_threads": {
            str(n): _runtimes(folder, manifest, n, tuple(batches), runtimes, slices) for n in threads
        },
    }


def _whole_path(folder: Path, threads: int, images: list[HeadSlice]) -> Figures:
    """HU to reading, on the runtimes that a worker would take by itself."""
    reader, _ = open_reader(folder, threads=threads)
    reader.warm_up()
    figures: Figures = {"runtime": reader.runtime_name}
    figures |= _summary(_timed([partial(reader.read, [image]) for image in images]), 1)
    return {**figures, "series_score_ms_for_60_slices": _timed_score(reader, images)}


def _runtimes(
    folder: Path,
    manifest: Manifest,
    threads: int,
    batches: tuple[int, ...],
    names: Sequence[RuntimeName],
    repeats: int,
) -> Figures:
    rows: dict[str, Figures] = {}
    for name in names:
        asked = (name, folder, threads, batches, repeats)
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, spawn) as alone:
            rows[name.value] = alone.submit(_one_runtime, *asked).result()
    _compare(rows, folder, manifest, threads)
    return dict(rows)


def _one_runtime(name: RuntimeName, folder: Path, threads: int, batches: tuple[int, ...], repeats: int) -> Figures:
    """In a process of its own: each batch size, and the memory that loading and running took."""
    manifest = load_manifest(folder)
    runtime = make(name, Place(threads, default_folder()))
    if not runtime.is_available():
        return {"not_run": "not installed, no such device, or no engine"}
    before = _resident_mb()
    try:
        runtime.load(network_for(name, folder, manifest))
        slices = reference_batch(manifest.input.size)
        figures: Figures = {}
        for batch in batches:
            stacked: Array = np.resize(slices, (batch, *slices.shape[1:]))
            runtime.infer(stacked)
            runtime.infer(stacked)
            figures[f"batch_{batch}"] = _summary(_timed([partial(runtime.infer, stacked)] * repeats), batch)
    except ModelError as error:
        return {"not_run": str(error)}
    figures["memory_mb"] = round(_resident_mb() - before, 1)
    return figures


def _resident_mb() -> float:
    """Memory of this process now (proc(5), statm); the peak would be its parent's."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def _compare(rows: dict[str, Figures], folder: Path, manifest: Manifest, threads: int) -> None:
    """Adds the ratios to plain torch and to the processor's roofline."""
    work: Work | None = None
    chip: Chip | None = None
    try:
        work = work_of(network_bytes(folder, manifest, manifest.network_file))
        chip = measured_cpu(threads)
    except RuntimeUnavailable:
        pass  # the ratio is left out
    plain = rows.get(RuntimeName.TORCH.value, {})
    for name, row in rows.items():
        for key, figures in row.items():
            if isinstance(figures, dict):
                other = plain.get(key)
                figures["of_torch"] = round(other["p50_ms"] / figures["p50_ms"], 2) if isinstance(other, dict) else None
                figures["of_roofline"] = _of_roofline(name, int(key.removeprefix("batch_")), figures, work, chip)


def _of_roofline(
    name: str, batch: int, figures: dict[str, float], work: Work | None, chip: Chip | None
) -> float | None:
    runtime = RuntimeName(name)
    if work is None or chip is None or runtime not in _CPU_RUNTIMES:
        return None
    best = seconds_at_best(work, chip, batch, int8=CATALOGUE[runtime].int8)
    return round(1000 * best / figures["best_ms"], 3)


def _images(count: int) -> list[HeadSlice]:
    """Ellipses with noise: timing does not depend on what is in the picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    head = np.where(np.hypot(x / 0.6, y / 0.8) < 1, 35.0, -1000.0)
    return [
        HeadSlice((head + rng.normal(0, 4, head.shape)).astype(np.float32), (0.45, 0.45), 5.0) for _ in range(count)
    ]


def _timed_score(reader: Reader, images: list[HeadSlice]) -> float:
    readings = [(5.0 * k, reading) for k, (reading, _) in enumerate(reader.read([images[0]] * 60))]
    times = _timed([lambda: reader.score(readings)] * 20)
    return round(1000 * float(np.median([wall for wall, _ in times])), 3)


def _timed(work: Sequence[Callable[[], object]]) -> list[tuple[float, float]]:
    """(wall, processor) seconds of each call."""
    times = []
    for call in work:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def _summary(times: Sequence[tuple[float, float]], batch: int) -> dict[str, float]:
    """Of calls with `batch` slices each: latency of a call; slices per second and processor time per slice."""
    wall, cpu = (1000 * np.array([t[k] for t in times]) for k in (0, 1))
    return {
        "p50_ms": round(float(np.median(wall)), 3),
        "p99_ms": round(float(np.quantile(wall, 0.99)), 3),
        "best_ms": round(float(wall.min()), 3),
        "cpu_ms_per_slice": round(float(np.median(cpu)) / batch, 3),
        "slices_per_second": round(1000 * batch / float(np.median(wall)), 1),
    }
