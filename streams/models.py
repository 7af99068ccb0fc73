"""The models that this worker reads with: the one in use, and those that open series began with.

Laws: a series is finished by the model it began with, also by the worker that takes it over, for as long as that model
can be had; a model that cannot be opened changes nothing. A look whether another is in use costs a read and a ``stat``.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from streams.contracts.findings import Model
from streams.model import describe
from triage_models.errors import ModelError
from triage_models.manifest import Manifest, Thresholds, load_manifest
from triage_models.reader import Reader

logger = logging.getLogger(__name__)

KEPT = 3
"""Models held open: the one in use, and others that open series began with; each is some tens of megabytes."""


class ModelChange(StrEnum):
    """What came of a change of the model in use."""

    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(frozen=True)
class OpenModel:
    """A model, ready to read."""

    identity: str
    reader: Reader
    described: Model

    @property
    def thresholds(self) -> Thresholds:
        return self.reader.manifest.thresholds


def opened(reader: Reader) -> OpenModel:
    """A reader as the streams know it."""
    return OpenModel(reader.manifest.identity, reader, describe(reader))


class Source(Protocol):
    """Where models lie; `triage_models.store.ModelStore` is one."""

    def in_use(self) -> Path:
        """The folder to open for the next series. Raises ManifestError when it is not there."""
        ...

    def folders(self) -> Iterable[Path]:
        """Every folder in which a model may be."""
        ...

    def stamp(self) -> object:
        """Equal as long as nothing has changed about what is in use; cheap."""
        ...


@dataclass(frozen=True)
class OneFolder:
    """A source with one model, which is always in use."""

    folder: Path

    def in_use(self) -> Path:
        return self.folder

    def folders(self) -> Iterable[Path]:
        return (self.folder,)

    def stamp(self) -> object:
        return self.folder


@dataclass(frozen=True)
class OneModel:
    """The :class:`streams.ports.Models` of a reader that is open already, or of none."""

    model: OpenModel | None

    def in_use(self) -> OpenModel | None:
        return self.model

    def of(self, identity: str) -> OpenModel | None:
        return self.model if self.model is not None and self.model.identity == identity else None


class OpenModels:
    """The :class:`streams.ports.Models` of a worker.

    Args:
        open_reader: opens a folder, warmed up. Raises ModelError or OSError.
        changed: told of every attempt to change the model in use.
    """

    def __init__(
        self, source: Source, open_reader: Callable[[Path], Reader], changed: Callable[[ModelChange], None]
    ) -> None:
        self._source = source
        self._open_reader = open_reader
        self._changed = changed
        self._stamp: object = None
        self._in_use: OpenModel | None = None
        self._held: dict[str, OpenModel] = {}
        self._turn = threading.Lock()

    def in_use(self) -> OpenModel | None:
        return self._in_use

    def look(self) -> None:
        """Open the model in use if it has changed. Blocks while it does; slices are read meanwhile by the old one."""
        with self._turn:
            try:
                stamp = self._source.stamp()
                if stamp == self._stamp:
                    return
                self._stamp = stamp
                model = self._opened(self._source.in_use())
            except (ModelError, OSError) as error:
                self._changed(ModelChange.REFUSED)
                logger.critical("the model in use cannot be opened; %s: %s", self._consequence(), error)
                return
            self._in_use = self._hold(model)
            self._changed(ModelChange.TAKEN)
            logger.info("series that begin now are read by %s %s", model.described.name, model.described.version)

    def of(self, identity: str) -> OpenModel | None:
        held = self._held.get(identity)
        if held is not None:
            return held
        with self._turn:
            for folder in self._source.folders():
                if _identity_of(folder) == identity:
                    try:
                        return self._hold(self._opened(folder))
                    except (ModelError, OSError) as error:
                        logger.error("a model that a series began with cannot be opened: %s", error)
        return None

    def _consequence(self) -> str:
        if self._in_use is None:
            return "every series will end as failed"
        return f"{self._in_use.described.name} {self._in_use.described.version} goes on reading"

    def _opened(self, folder: Path) -> OpenModel:
        return opened(self._open_reader(folder))

    def _hold(self, model: OpenModel) -> OpenModel:
        """Keep it; let go of what was opened longest ago and is not in use."""
        held = {key: kept for key, kept in self._held.items() if key != model.identity} | {model.identity: model}
        spare = [key for key, kept in held.items() if kept is not self._in_use and kept is not model]
        for key in spare[: max(0, len(held) - KEPT)]:
            del held[key]
        self._held = held
        return model


def _identity_of(folder: Path) -> str | None:
    try:
        manifest: Manifest = load_manifest(folder)
    except (ModelError, OSError):
        return None
    return manifest.identity
