"""The reader: slices in, calibrated readings out; readings in any order, six series probabilities out.

Loads ONNX only: neither torch nor any training package. Deterministic; one caller at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from triage_models.bleeds import BleedMeasurement, Fraction, NotNegative, Segmented, TypeFinding, measure_bleeds
from triage_models.errors import InferenceFailed, UnreadableSlice
from triage_models.framing import Box, clip_window, cut, head_box, paste
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import Manifest, load_manifest, network_bytes
from triage_models.midline import Midline, enclosed, head_midline, shares
from triage_models.midline_shift import Middle, MidlineMeasurement, Placed, find_middle, measure_midline
from triage_models.ports import Array, Inference, Runtime, nonsense
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.series_score import series_features, series_probabilities, stack_readings

SHIPPED = Path(__file__).parent / "shipped"
"""The model that comes with Tocsin."""

HEAT_MAP_SIZE = 96
"""Longer side of a heat map, pixels."""

_PRESENT = 0.5
_LEAST_AREA_MM2 = 10.0
_POSSIBLE = 0.1
_BATCH = 16

_SOFT_HU, _EVEN_HU, _ONE_DENSITY_HU, _LEAST_SOFT = (12.0, 60.0), 9.0, 12.0, 0.05
_LEAST_SPREAD_HU, _BEYOND_NOISE = 0.2, 0.55
"""Means of 4 × 4 cells vary 0.4 times as much as the cells' own values in white noise, 0.7 to 2.8 times in a brain."""


@dataclass(frozen=True)
class HeadSlice:
    """One slice of a head.

    `voxels_hu` float32 `[rows, columns]`; `pixel_spacing_mm` (between rows, between columns);
    `thickness_mm` when known.
    """

    voxels_hu: NDArray[np.float32]
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float | None = None


class SliceReading(BaseModel):
    """What was read in one slice: small enough to be kept for every slice of a running series.

    `probabilities` (no type above `any`) and calibrated `logits` in the order of LABELS; `embedding` int8 values;
    `heat_map_peak` (row, column) as fractions of the image; `peak_across`: its distance from the head's middle as a
    share of the head's width, negative to the image's left; `expected_mm2`: per type that is possible anywhere in the
    slice the sum of the segmentation's probabilities, as an area; `middle`: where the middle of the brain is, if that
    can be seen; `brain_share`: how much of the head's box looks like brain and is enclosed by bone, `brain_mm2` as an
    area; `soft_share`: how much looks like brain, enclosed or not, as in a picture that cuts the head; `runtime`: which
    back end read it, `degraded`: another one should have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probabilities: tuple[Fraction, ...] = Field(min_length=6, max_length=6)
    logits: tuple[float, ...] = Field(min_length=6, max_length=6)
    embedding: tuple[Annotated[int, Field(ge=-127, le=127)], ...]
    heat_map_peak: tuple[Fraction, Fraction]
    heat_map_peak_value: Fraction
    peak_across: float = 0.0
    findings: dict[str, TypeFinding]
    expected_mm2: dict[str, NotNegative] = {}
    middle: Middle | None = None
    brain_share: Fraction
    brain_mm2: NotNegative = 0.0
    soft_share: Fraction = 0.0
    runtime: str = ""
    degraded: bool = False


class SeriesScore(BaseModel):
    """Six series probabilities from the slices so far.

    `strongest` per label: index into the readings given. What is told of a bleed's size comes from `Reader.measure`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probabilities: tuple[Fraction, ...] = Field(min_length=6, max_length=6)
    strongest: tuple[int, ...] = Field(min_length=6, max_length=6)
    slices: int

    @property
    def any(self) -> float:
        """The probability of a bleed of any type."""
        return self.probabilities[0]


class Reader:
    """A model, opened.

    Args:
        expected: the runtime that should read; a reading by any other says that it is degraded.
    """

    def __init__(self, manifest: Manifest, runtime: Inference, expected: str | None = None) -> None:
        self.manifest = manifest
        self.runtime = runtime
        self.expected = runtime.name if expected is None else expected

    @classmethod
    def open(cls, model_dir: Path | None = None, *, runtime: Runtime | None = None, threads: int = 2) -> "Reader":
        """The model of a folder (None: the shipped one), verified. Raises ManifestError, InferenceFailed."""
        folder = SHIPPED if model_dir is None else model_dir
        manifest = load_manifest(folder)
        chosen = OnnxCpu(threads) if runtime is None else runtime
        chosen.load(network_bytes(folder, manifest, manifest.network_file))
        return cls(manifest, chosen)

    @property
    def runtime_name(self) -> str:
        """Which back end reads, for alerts and logs."""
        return self.runtime.name

    def warm_up(self) -> None:
        """One inference on an empty slice, so that the first patient does not wait."""
        self.read([HeadSlice(np.zeros((64, 64), np.float32), (3.0, 3.0))])

    def read(self, slices: Sequence[HeadSlice]) -> list[tuple[SliceReading, NDArray[np.uint8]]]:
        """A reading and a heat map (uint8, the whole image, longer side 96) per slice.

        Raises UnreadableSlice for a broken slice, InferenceFailed when the network does.
        """
        out: list[tuple[SliceReading, NDArray[np.uint8]]] = []
        for start in range(0, len(slices), _BATCH):
            out.extend(self._read_batch(slices[start : start + _BATCH]))
        return out

    def score(self, readings: Sequence[tuple[float, SliceReading]]) -> SeriesScore:
        """The series probabilities from (position in mm along the normal, reading) pairs: any subset, any order."""
        if not readings:
            raise ValueError("a series score needs at least one reading")
        triples = [(position, r.logits, _areas(r)) for position, r in readings]
        positions, logits, areas = stack_readings(triples)
        features = series_features(positions, logits, areas)
        return SeriesScore(
            probabilities=series_probabilities(self.manifest, features),
            strongest=tuple(int(i) for i in logits.argmax(0)),
            slices=len(readings),
        )

    def measure(self, readings: Sequence[tuple[float, SliceReading]]) -> list[BleedMeasurement]:
        """Volume, density, side and size of each type segmented in the readings, largest first."""
        return measure_bleeds([segmented(*pair) for pair in readings], self.manifest.measurements)

    def measure_midline(self, readings: Sequence[tuple[float, SliceReading]]) -> MidlineMeasurement | None:
        """How far the middle of the brain lies off the skull's; None where the readings do not show it."""
        placed = [Placed(position, reading.brain_mm2, reading.middle) for position, reading in readings]
        return measure_midline(placed, self.manifest.measurements.midline_shift_mm)

    def _read_batch(self, slices: Sequence[HeadSlice]) -> list[tuple[SliceReading, NDArray[np.uint8]]]:
        framed = [self._frame(s) for s in slices]
        batch = np.stack([square for square, _ in framed])[:, None]
        outputs = self.runtime.infer(batch)
        wrong = nonsense(outputs, len(slices))
        if wrong is not None:
            raise InferenceFailed(wrong)
        return [
            self._reading(s, square, box, *(outputs[name][i] for name in ("logits", "segmentation", "embedding")))
            for i, (s, (square, box)) in enumerate(zip(slices, framed, strict=True))
        ]

    def _frame(self, s: HeadSlice) -> tuple[Array, Box]:
        _check_slice(s)
        windowed = clip_window(s.voxels_hu)
        box = head_box(windowed).grown(self.manifest.input.margin)
        return cut(windowed, box, self.manifest.input.size), box

    def _reading(
        self, s: HeadSlice, square: Array, box: Box, logits: Array, segmentation: Array, embedding: Array
    ) -> tuple[SliceReading, NDArray[np.uint8]]:
        calibrated = self._calibrate(logits)
        probabilities = 1 / (1 + np.exp(-calibrated))
        probabilities = np.minimum(probabilities, probabilities[0])
        heat = paste(_heat(segmentation, probabilities), box, s.voxels_hu.shape, _heat_shape(s.voxels_hu.shape))
        peak = np.unravel_index(int(heat.argmax()), heat.shape)
        down, across = ((float(i) + 0.5) / n for i, n in zip(peak, heat.shape, strict=True))
        inside, small = enclosed(square)
        midline, brain_share = head_midline(inside), _brain_share(inside, small)
        reading = SliceReading(
            probabilities=tuple(round(float(p), 5) for p in probabilities),
            logits=tuple(round(float(v), 3) for v in calibrated),
            embedding=tuple(int(v) for v in np.clip(np.rint(embedding * 32), -127, 127)),
            heat_map_peak=(down, across),
            peak_across=_from_middle(s, box, midline, down, across),
            heat_map_peak_value=float(np.clip(heat.max(), 0, 1)),
            findings=_findings(s, square, box, segmentation, midline),
            expected_mm2=_expected_mm2(_cell_mm2(s, box, segmentation), segmentation),
            middle=find_middle(square, midline, _pixel_mm(s, box, square)),
            brain_share=brain_share,
            brain_mm2=round(brain_share * _box_mm2(s, box), 1),
            soft_share=_soft_share(square, small),
            runtime=self.runtime.name,
            degraded=self.runtime.name != self.expected,
        )
        return reading, np.clip(np.rint(heat * 255), 0, 255).astype(np.uint8)

    def _calibrate(self, logits: Array) -> NDArray[np.float64]:
        table = [self.manifest.calibration[label] for label in LABELS]
        scaled = [float(v) / c.temperature + c.bias for v, c in zip(logits, table, strict=True)]
        return np.clip(np.array(scaled, np.float64), -12, 12)


def _check_slice(s: HeadSlice) -> None:
    if s.voxels_hu.ndim != 2 or min(s.voxels_hu.shape) < 32:
        raise UnreadableSlice(f"a slice is two-dimensional and at least 32×32, not {s.voxels_hu.shape}")
    if not np.isfinite(s.voxels_hu).all():
        raise UnreadableSlice("the slice holds values that are no numbers")
    if not all(np.isfinite(v) and v > 0 for v in s.pixel_spacing_mm):
        raise UnreadableSlice(f"pixel spacing {s.pixel_spacing_mm} is not positive")


def _areas(reading: SliceReading) -> list[float]:
    return [reading.findings[name].area_mm2 if name in reading.findings else 0.0 for name in TYPES]


def _heat(segmentation: Array, probabilities: NDArray[np.float64]) -> Array:
    """The segmentation of all types together, no brighter than the slice's probability of a bleed."""
    together = 1 - np.prod(1 - np.clip(segmentation, 0, 1), axis=0)
    return np.asarray(together * np.sqrt(probabilities[0]), np.float32)


def _heat_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = min(1.0, HEAT_MAP_SIZE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def segmented(position_mm: float, reading: SliceReading) -> Segmented:
    """What a reading says of the segmentation alone."""
    return Segmented(position_mm, reading.findings, reading.expected_mm2)


def _from_middle(s: HeadSlice, box: Box, midline: Midline, down: float, across: float) -> float:
    """How far a point (image fractions) lies from the head's middle, as a share of the box's width."""
    row = (down * s.voxels_hu.shape[0] - box.top) / box.height
    column = (across * s.voxels_hu.shape[1] - box.left) / box.width
    return round(float(column - (midline.top + (midline.bottom - midline.top) * row)), 4)


def _pixel_mm(s: HeadSlice, box: Box, square: Array) -> tuple[float, float]:
    """(between rows, between columns) of the square."""
    return (
        box.height * s.pixel_spacing_mm[0] / square.shape[0],
        box.width * s.pixel_spacing_mm[1] / square.shape[1],
    )


def _cell_mm2(s: HeadSlice, box: Box, segmentation: Array) -> float:
    return _box_mm2(s, box) / float(segmentation[0].size)


def _box_mm2(s: HeadSlice, box: Box) -> float:
    return float(box.height * s.pixel_spacing_mm[0] * box.width * s.pixel_spacing_mm[1])


def _expected_mm2(cell_mm2: float, segmentation: Array) -> dict[str, float]:
    """Per type that is possible somewhere in the slice."""
    areas = zip(TYPES, segmentation, strict=True)
    return {name: round(float(layer.sum()) * cell_mm2, 1) for name, layer in areas if layer.max() >= _POSSIBLE}


def _findings(s: HeadSlice, square: Array, box: Box, segmentation: Array, midline: Midline) -> dict[str, TypeFinding]:
    """Area, density, side and centroid of each type that covers at least 10 mm²."""
    cell_mm2 = _cell_mm2(s, box, segmentation)
    hu = square.reshape(segmentation.shape[1], -1, segmentation.shape[2], square.shape[1] // segmentation.shape[2])
    hu = hu.mean((1, 3))
    out = {}
    for name, layer in zip(TYPES, segmentation, strict=True):
        sure = np.where(layer >= _PRESENT, layer, 0)
        area = float(sure.sum()) * cell_mm2
        if area >= _LEAST_AREA_MM2:
            out[name] = _finding(sure, hu, area, box, s, midline)
    return out


def _finding(sure: Array, hu: Array, area: float, box: Box, s: HeadSlice, midline: Midline) -> TypeFinding:
    shape = s.voxels_hu.shape
    row, column = ndimage.center_of_mass(sure)
    down, across = (row + 0.5) / sure.shape[0], (column + 0.5) / sure.shape[1]
    left, right = shares(sure, midline)
    centroid = (
        float(np.clip((box.top + down * box.height) / shape[0], 0, 1)),
        float(np.clip((box.left + across * box.width) / shape[1], 0, 1)),
    )
    return TypeFinding(
        area_mm2=round(area, 1),
        mean_hu=round(float((hu * sure).sum() / sure.sum()), 1),
        diameter_mm=round(_diameter_mm(sure > 0, box, s.pixel_spacing_mm), 1),
        left=round(left, 3),
        right=round(right, 3),
        centroid=centroid,
    )


def _diameter_mm(inside: NDArray[np.bool_], box: Box, spacing_mm: tuple[float, float]) -> float:
    """The longest extent over twelve directions of the largest connected part, one cell's size included."""
    parts, count = ndimage.label(inside)
    if count == 0:
        return 0.0
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    cell_mm = np.array([box.height * spacing_mm[0], box.width * spacing_mm[1]]) / inside.shape
    points_mm = np.argwhere(largest) * cell_mm
    angles = np.arange(12) * np.pi / 12
    along = points_mm @ np.stack([np.cos(angles), np.sin(angles)])
    return float(np.ptp(along, axis=0).max() + cell_mm.mean())


def _soft_share(square: Array, small: Array) -> float:
    """The share of cells that are even, of one density, and as different from each other as brain is; 0 where they
    differ no more than noise does, or where there is no noise at all, as in a drawing."""
    cells = square.shape[0] // small.shape[0]
    blocks = square.reshape(small.shape[0], cells, small.shape[1], cells)
    spread = np.sqrt(np.maximum((blocks * blocks).mean((1, 3)) - small * small, 0))
    soft = (small > _SOFT_HU[0]) & (small < _SOFT_HU[1]) & (spread < _EVEN_HU)
    if soft.mean() < _LEAST_SOFT:
        return 0.0
    soft &= np.abs(small - np.median(small[soft])) < _ONE_DENSITY_HU
    within = float(np.median(spread[soft]))
    if within < _LEAST_SPREAD_HU or float(small[soft].std()) < _BEYOND_NOISE * within:
        return 0.0
    return round(float(soft.mean()), 4)


def _brain_share(inside: NDArray[np.bool_], small: Array) -> float:
    """Soft tissue enclosed by bone, as a share of the head's box; independent of the network."""
    return round(float((inside & (small > 12) & (small < 70)).mean()), 4)
