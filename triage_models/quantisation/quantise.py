"""`tocsin model quantize`: quantise, look at what changed, leave more in floating point until the gate lets it pass."""

import hashlib
import itertools
import lzma
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from triage_models.datasets.case import Case
from triage_models.errors import InferenceFailed
from triage_models.framing import clip_window, cut, head_box
from triage_models.manifest import Manifest, Quantised, load_manifest, network_bytes, save_manifest
from triage_models.ports import Array
from triage_models.quantisation.gate import BOUNDS, compared, refusals
from triage_models.quantisation.static import quantised
from triage_models.reader import HeadSlice, Reader
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.synthetic import generate
from triage_models.synthetic.series import Setting
from triage_models.training.evaluation import Outcome, read_outcomes

INT8_FILE = "network.int8.onnx.xz"

LADDER = (
    (1, "windows, first convolutions and heads"),
    (2, "windows, first two convolutions and heads"),
    (4, "windows, first four convolutions and heads"),
    (7, "windows, first seven convolutions and heads"),
)
"""(convolutions left in floating point from the input on, in words); tried in this order."""

CALIBRATION_SEED = 920_000_000
CALIBRATION_SERIES = 16
_BLEEDS = ("subdural", None, "intraparenchymal", "subarachnoid", "epidural", None, "intraventricular", None)

Say = Callable[[str], None]


class QuantisationRefused(InferenceFailed):
    """No quantised form of the network decides as the network does."""


def quantise(
    source: Path,
    target: Path,
    cases: Callable[[], Iterable[Case]],
    evaluation: str,
    *,
    threads: int,
    today: date,
    say: Say,
    squares_of: Callable[[Manifest], Array] | None = None,
) -> Manifest:
    """Writes the model with its quantised network to `target` (which may be `source`); returns its manifest.

    Args:
        cases: the labelled series of the gate, from the start at each call.
        evaluation: what they are, for the manifest.
        squares_of: the slices from which ranges are taken; `calibration_squares` when absent.

    Raises:
        QuantisationRefused: with what went beyond which bound.
    """
    manifest = load_manifest(source)
    network = network_bytes(source, manifest, manifest.network_file)
    say(f"Drawing {CALIBRATION_SERIES} synthetic series for the ranges …")
    squares = (squares_of or calibration_squares)(manifest)
    say("Reading the evaluation set in floating point …")
    whole = _outcomes(manifest, network, cases, threads)
    refused: list[str] = []
    for depth, kept in LADDER:
        say(f"Quantising; in floating point stay: {kept} …")
        small = quantised(network, squares, depth)
        figures = compared(whole, _outcomes(manifest, small, cases, threads), manifest.thresholds)
        refused = refusals(figures)
        if not refused:
            noted = Quantised(
                network_file=INT8_FILE,
                made_from=manifest.files[manifest.network_file],
                kept_whole=kept,
                calibration=f"{len(squares)} slices of {CALIBRATION_SERIES} synthetic series from {CALIBRATION_SEED}",
                evaluation=evaluation,
                figures={name: round(value, 5) for name, value in figures.items()},
                bounds=BOUNDS,
                made_on=today,
            )
            return _written(source, target, manifest, small, noted)
        say("Refused: " + "; ".join(refused))
    raise QuantisationRefused("no quantised form decides as the network does: " + "; ".join(refused))


def calibration_squares(manifest: Manifest) -> Array:
    """HU `[N, 1, S, S]` of synthetic slices, as the reader frames them."""
    return np.stack([_square(s, manifest) for s in _slices()])[:, None]


def _slices() -> Iterator[HeadSlice]:
    for k, bleed in zip(range(CALIBRATION_SERIES), itertools.cycle(_BLEEDS), strict=False):
        setting: Setting = "shifted" if k % 2 else "standard"
        series = generate(
            CALIBRATION_SEED + k, bleed, slices=12, thickness_mm=13.0, shape=(192, 192), setting=setting, averaged=False
        )
        for plane in series.voxels_hu:
            yield HeadSlice(plane.astype(np.float32), series.pixel_spacing_mm)


def _square(s: HeadSlice, manifest: Manifest) -> Array:
    windowed = clip_window(s.voxels_hu)
    return cut(windowed, head_box(windowed).grown(manifest.input.margin), manifest.input.size)


def _outcomes(
    manifest: Manifest, network: bytes, cases: Callable[[], Iterable[Case]], threads: int
) -> Sequence[Outcome]:
    runtime = OnnxCpu(threads)
    runtime.load(network)
    return read_outcomes(Reader(manifest, runtime), cases())


def _written(source: Path, target: Path, manifest: Manifest, small: bytes, noted: Quantised) -> Manifest:
    target.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        if not (target / name).exists() or not (target / name).samefile(source / name):
            shutil.copyfile(source / name, target / name)
    packed = lzma.compress(small, preset=9)
    (target / INT8_FILE).write_bytes(packed)
    files = {**manifest.files, INT8_FILE: hashlib.sha256(packed).hexdigest()}
    made = manifest.model_copy(update={"files": files, "int8": noted})
    save_manifest(target, made)
    return made
