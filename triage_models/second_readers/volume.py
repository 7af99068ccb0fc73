"""A site's own 3-D network, trained with `tocsin model train-volume`, as a second reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.labels import LABELS
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import Opinion


@dataclass(frozen=True)
class VolumeReader:
    """Reads a whole series with the network whose state is in a file; needs the `train` extra."""

    state: Path
    name: str = "3-D network"
    licence: str = "the site's own; no medical device"

    def is_available(self) -> bool:
        """True when torch and MONAI are installed."""
        return find_spec("torch") is not None and find_spec("monai") is not None

    def read(self, slices: Sequence[HeadSlice], spacing_mm: float, work: Path) -> Opinion:
        """The network's six probabilities, calibrated if its training held series out; see `SecondReader.read`."""
        if not self.is_available():
            raise RuntimeUnavailable("a 3-D network needs the `train` extra: pip install 'tocsin[train]'")
        from triage_models.training.volume_networks import read_state

        trained = read_state(self.state)
        values = trained.probabilities(slices)
        if not all(0 <= value <= 1 for value in values):
            raise InferenceFailed(f"{self.state.name} answers with what is no probability")
        found = {label: round(value, 4) for label, value in zip(LABELS, values, strict=True)}
        licence = self.licence if trained.calibration else f"{self.licence}; not calibrated"
        return Opinion(f"{trained.name} ({self.state.name})", licence, probabilities=found)
