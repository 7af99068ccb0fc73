"""The manifest: what a model folder holds, what it is for, and where its thresholds come from.

Law: weights are used only when their sha256 is the manifest's. A folder holds `manifest.json` and the files it names.
"""

import hashlib
import lzma
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triage_models.errors import ManifestError, WeightsMismatch
from triage_models.framing import WINDOW_HU
from triage_models.labels import LABELS

MANIFEST_FILE = "manifest.json"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Immutable, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(Frozen):
    """A probability at or above which something is said, and the evidence for choosing it.

    `alpha`: the share of negatives that the choice allows above it (for the final and slice thresholds: the share
    observed); `n_negative`, `n_positive`: cases it was chosen on; `method` in words.
    """

    value: Probability
    alpha: Probability
    n_negative: int = Field(ge=0)
    n_positive: int = Field(ge=0)
    chosen_on: date
    method: str


class Thresholds(Frozen):
    """`provisional`: running maximum while slices arrive; `final`: closed series; `slice`: one slice by itself."""

    provisional: Threshold
    final: Threshold
    slice: Threshold


class Calibration(Frozen):
    """probability = sigmoid(logit / temperature + bias)."""

    temperature: float = Field(gt=0)
    bias: float = 0.0


FEATURES = ("strongest", "strongest_smoothed", "mean_of_three", "log_volume")
"""What a series model weighs; `triage_models.series_score` says how each is made."""


class SeriesHead(Frozen):
    """Logistic series model of one label: the weights of FEATURES."""

    weights: tuple[float, ...] = Field(min_length=len(FEATURES), max_length=len(FEATURES))
    bias: float


class InputContract(Frozen):
    """What the network takes: float32 HU `[N, 1, size, size]`, the head's box stretched to the square."""

    size: int = Field(ge=32, le=1024)
    low_hu: float
    high_hu: float
    margin: float = Field(ge=0, le=0.5, description="share of the head's box added on every side")

    @model_validator(mode="after")
    def _as_shown(self) -> "InputContract":
        if (self.low_hu, self.high_hu) != WINDOW_HU:
            shown = "{:g} to {:g} HU".format(*WINDOW_HU)
            raise ValueError(f"the reader shows a network {shown}, not {self.low_hu:g} to {self.high_hu:g} HU")
        return self


class PowerFit(Frozen):
    """true ≈ factor · measured^exponent; 95 % of new cases are expected between `low` and `high` times that.

    `n`: labelled cases that it was fitted on.
    """

    factor: float = Field(gt=0)
    exponent: float = Field(gt=0)
    low: float = Field(gt=0, le=1)
    high: float = Field(ge=1)
    n: int = Field(ge=1)

    def estimate(self, measured: float) -> tuple[float, float, float]:
        """(value, low, high) for something measured, 0 or more."""
        value = self.factor * float(measured**self.exponent)
        return value, self.low * value, self.high * value


class OffsetFit(Frozen):
    """true ≈ measured + offset; 95 % of new cases are expected between `low` and `high` added to that."""

    offset: float
    low: float = Field(le=0)
    high: float = Field(ge=0)
    n: int = Field(ge=1)

    def estimate(self, measured: float) -> tuple[float, float, float]:
        """(value, low, high) for something measured."""
        value = measured + self.offset
        return value, value + self.low, value + self.high


class MeasurementFit(Frozen):
    """How what is segmented relates to what is there, per type; what is not named was never compared with a truth."""

    volume_ml: dict[str, PowerFit] = {}
    diameter_mm: dict[str, PowerFit] = {}
    mean_hu: dict[str, OffsetFit] = {}
    midline_shift_mm: OffsetFit | None = None


class Quantiles(Frozen):
    """Quantiles 0, 5 … 100 % of a score on the calibration set, for drift monitoring."""

    negative: tuple[float, ...]
    positive: tuple[float, ...]


class Quantised(Frozen):
    """The network in 8-bit integers, and the evidence that it decides as the one it was made from.

    `kept_whole`: the parts left in floating point, in words; `calibration` and
    `evaluation` say on what; `figures`: what the gate measured, `bounds`: what it allowed
    (`triage_models.quantisation.gate`).
    """

    network_file: str
    made_from: Sha256
    kept_whole: str
    calibration: str
    evaluation: str
    figures: dict[str, float]
    bounds: dict[str, float]
    made_on: date


class Manifest(Frozen):
    """Everything a reader, an operator and a doctor may ask about a model."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    files: dict[str, Sha256]
    network_file: str
    opset: int = Field(ge=11)
    input: InputContract
    labels: tuple[str, ...] = LABELS
    embedding_size: int = Field(ge=1, le=256)
    calibration: dict[str, Calibration]
    series: dict[str, SeriesHead]
    thresholds: Thresholds
    training_data: str
    intended_use: str
    not_intended_for: str
    limitations: tuple[str, ...] = ()
    metrics: dict[str, float]
    volume_errors: dict[str, tuple[float, float, float]] = Field(
        default={},
        description="per type: 2.5 %, 50 % and 97.5 % quantile of true over measured volume, on the evaluation set",
    )
    measurements: MeasurementFit = MeasurementFit()
    reference_scores: Quantiles
    int8: Quantised | None = None
    code_version: str
    trained_on: date
    training_hardware: str
    license: str

    @property
    def identity(self) -> str:
        """sha256 over everything in here: two models with the same weights and other thresholds are two models."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        if self.labels != LABELS:
            raise ValueError(f"labels must be {LABELS}")
        for name, table in (("calibration", self.calibration), ("series", self.series)):
            if set(table) != set(LABELS):
                raise ValueError(f"{name} must have exactly the labels {LABELS}")
        if self.network_file not in self.files:
            raise ValueError(f"network_file {self.network_file!r} is not among the files")
        if self.int8 is not None and self.int8.network_file not in self.files:
            raise ValueError(f"the quantised network {self.int8.network_file!r} is not among the files")
        if self.int8 is not None and self.int8.made_from != self.files[self.network_file]:
            raise ValueError("the quantised network was made from another network than this model's")
        if any(Path(name).name != name for name in self.files):
            raise ValueError("files are plain names inside the model folder")
        return self


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a model folder. Raises ManifestError when it is missing or invalid."""
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ManifestError(f"{folder} has no {MANIFEST_FILE}") from error
    except ValidationError as error:
        raise ManifestError(f"{path}: {error}") from error


def verified_bytes(folder: Path, manifest: Manifest, name: str) -> bytes:
    """The content of one file, checked. Raises WeightsMismatch when it is not the file the manifest describes."""
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"{folder} lacks {name}, which its manifest names") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.files[name]:
        raise WeightsMismatch(f"{folder / name} has sha256 {digest}, the manifest says {manifest.files[name]}")
    return content


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Every file of the manifest, also what is only fallen back on. Raises as :func:`verified_bytes` does."""
    for name in manifest.files:
        verified_bytes(folder, manifest, name)


PACKED = ".xz"
"""Ending of a network's file that is compressed: a repository that ships a model keeps it smaller."""


def network_bytes(folder: Path, manifest: Manifest, name: str) -> bytes:
    """An ONNX network, verified, and unpacked where its name ends in `.xz`.

    Raises WeightsMismatch, and ManifestError where it cannot be unpacked.
    """
    content = verified_bytes(folder, manifest, name)
    try:
        return lzma.decompress(content) if name.endswith(PACKED) else content
    except lzma.LZMAError as error:
        raise ManifestError(f"{folder / name} cannot be unpacked: {error}") from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest so that a reader never sees half of it."""
    partial = folder / (MANIFEST_FILE + ".partial")
    partial.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST_FILE)
