"""A model folder from a training run: network, calibration, thresholds, figures, manifest."""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from triage_models.datasets.case import Case
from triage_models.framing import WINDOW_HU
from triage_models.labels import LABELS
from triage_models.manifest import (
    Calibration,
    InputContract,
    Manifest,
    Quantiles,
    SeriesHead,
    Threshold,
    Thresholds,
    load_manifest,
    save_manifest,
)
from triage_models.reader import Reader
from triage_models.training.calibration import recalibrated
from triage_models.training.export import NETWORK_FILE, OPSET, export_onnx, load_network
from triage_models.training.fit import Recipe

INTENDED_USE = (
    "Research and engineering demonstration of streaming triage: orders non-contrast adult head CT by suspicion of "
    "acute intracranial hemorrhage so that a qualified reader looks sooner. Every result needs a human reading."
)
NOT_INTENDED_FOR = (
    "Diagnosis, ruling out hemorrhage, children, contrast or bone-kernel series, other body parts, or any use as a "
    "medical device: it is none, and it was never tested on patients by its makers."
)


@dataclass(frozen=True)
class Story:
    """What a manifest tells in words."""

    name: str
    version: str
    training_data: str
    limitations: tuple[str, ...]
    hardware: str


@dataclass(frozen=True)
class Member:
    """One trained network: its recipe and its weights."""

    recipe: Recipe
    weights: Path


def assemble(
    members: Sequence[Member], folder: Path, cases: Iterable[Case], story: Story, *, alpha: float, today: date
) -> Manifest:
    """Exports, calibrates on `cases`, writes the folder. Raises what the reader raises when the result is no model."""
    recipe = members[0].recipe
    digest = export_onnx([load_network(m.recipe, m.weights) for m in members], recipe.size, folder)
    save_manifest(folder, _neutral(recipe, digest, story, today))
    reader = Reader.open(folder)
    final = recalibrated(reader, cases, alpha=alpha, seed=recipe.seed, today=today)
    save_manifest(folder, final)
    return load_manifest(folder)


def _neutral(recipe: Recipe, digest: str, story: Story, today: date) -> Manifest:
    nothing = Threshold(value=1.0, alpha=0.0, n_negative=0, n_positive=0, chosen_on=today, method="not calibrated yet")
    return Manifest(
        name=story.name,
        version=story.version,
        files={NETWORK_FILE: digest},
        network_file=NETWORK_FILE,
        opset=OPSET,
        input=InputContract(size=recipe.size, low_hu=WINDOW_HU[0], high_hu=WINDOW_HU[1], margin=recipe.margin),
        embedding_size=recipe.widths.embedding,
        calibration={name: Calibration(temperature=1.0) for name in LABELS},
        series={name: SeriesHead(weights=(0.0, 1.0, 0.0, 0.0), bias=0.0) for name in LABELS},
        thresholds=Thresholds(provisional=nothing, final=nothing, slice=nothing),
        training_data=story.training_data,
        intended_use=INTENDED_USE,
        not_intended_for=NOT_INTENDED_FOR,
        limitations=story.limitations,
        metrics={},
        reference_scores=Quantiles(negative=(), positive=()),
        code_version=code_version(),
        trained_on=today,
        training_hardware=story.hardware,
        license="Apache-2.0",
    )


def code_version() -> str:
    """The commit that this code was checked out at, or the distribution's version."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments, no shell
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"],  # noqa: S607  # git from the user's PATH
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        from importlib.metadata import version

        return version("tocsin")
