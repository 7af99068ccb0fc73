"""How fast a reader is here: milliseconds per slice and slices per second, whole path from HU to reading.

Compared with plain torch on the same architecture where torch is installed (its speed does not depend on the weights).
"""

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from triage_models.reader import HeadSlice, Reader

_SIDE = 512


def bench_inference(
    model_dir: Path | None = None, *, slices: int = 64, threads: tuple[int, ...] = (1, 2)
) -> dict[str, object]:
    """Figures ready for JSON; times are medians over single-slice calls, so noise of the machine matters little."""
    images = _images(slices)
    results = {str(n): _timed_reader(model_dir, n, images) for n in threads}
    reader = Reader.open(model_dir)
    return {
        "model": reader.manifest.name,
        "version": reader.manifest.version,
        "input_size": reader.manifest.input.size,
        "image_side": _SIDE,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "reader_by_threads": results,
        "plain_torch_network_only": _timed_torch(reader.manifest.input.size, threads, slices),
        "series_score_ms_for_60_slices": _timed_score(reader, images),
    }


def _timed_torch(size: int, threads: tuple[int, ...], repeats: int) -> dict[str, dict[str, float]] | None:
    """The same architecture as plain torch in evaluation mode; None where torch is not installed."""
    try:
        from triage_models.training.torch_forward import plain_torch
    except ImportError:
        return None
    batch = np.full((1, 1, size, size), 30.0, np.float32)
    out = {}
    for count in threads:
        forward = plain_torch(count)
        forward(batch)
        out[str(count)] = _summary([_seconds(partial(forward, batch)) for _ in range(repeats)])
    return out


def _images(count: int) -> list[HeadSlice]:
    """Ellipses with noise: timing does not depend on what is in the picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    head = np.where(np.hypot(x / 0.6, y / 0.8) < 1, 35.0, -1000.0)
    return [
        HeadSlice((head + rng.normal(0, 4, head.shape)).astype(np.float32), (0.45, 0.45), 5.0) for _ in range(count)
    ]


def _timed_reader(model_dir: Path | None, threads: int, images: list[HeadSlice]) -> dict[str, dict[str, float]]:
    reader = Reader.open(model_dir, threads=threads)
    reader.warm_up()
    whole = _summary([_seconds(partial(reader.read, [image])) for image in images])
    size = reader.manifest.input.size
    batch = np.full((1, 1, size, size), 30.0, np.float32)
    network = _summary([_seconds(lambda: reader.runtime.infer(batch)) for _ in images])
    return {"whole_path": whole, "network_only": network}


def _timed_score(reader: Reader, images: list[HeadSlice]) -> float:
    readings = [(5.0 * k, reading) for k, (reading, _) in enumerate(reader.read([images[0]] * 60))]
    return round(1000 * float(np.median([_seconds(lambda: reader.score(readings)) for _ in range(20)])), 3)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(1000 * float(np.median(seconds)), 3),
        "p95_ms": round(1000 * float(np.quantile(seconds, 0.95)), 3),
        "slices_per_second": round(1 / float(np.median(seconds)), 1),
    }
