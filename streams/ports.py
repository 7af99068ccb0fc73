"""What the processing of a series needs from the world around it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced
from streams.contracts.pictures import SlicePictured
from streams.contracts.series import SeriesPictured
from streams.contracts.slices import SliceAccepted
from streams.models import OpenModel
from streams.series_state import Entry, SeriesState


class StateStore(Protocol):
    """Durable series state."""

    def load(self, series_key: str) -> SeriesState | None:
        """The series as last saved; None when it is new."""
        ...

    async def save(self, state: SeriesState, entries: Sequence[tuple[int, Entry]]) -> None:
        """Take the summary and these journal entries (with their ordinals), to be made durable in the order of saving.

        Raises:
            StateNotDurable: what was saved before cannot be, and its messages must be processed again.
        """
        ...

    def then(self, do: Callable[[], object]) -> None:
        """Do something once everything that was saved until now is durable."""
        ...


class FindingSink(Protocol):
    async def publish(self, finding: FindingProduced) -> None:
        """Return when the finding is durable on its topic."""
        ...


class DeadLetterSink(Protocol):
    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        """Keep the message that is being processed for an operator; return when it is durable."""
        ...


class FrameSource(Protocol):
    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        """A frame that came earlier, with its pixel bytes. Blocks; called in the executor.

        Raises:
            LookupError: it is no longer there.
        """
        ...


class Models(Protocol):
    """The models at hand."""

    def in_use(self) -> OpenModel | None:
        """For series that begin now; None where none could be opened. Returns at once."""
        ...

    def of(self, identity: str) -> OpenModel | None:
        """The one that a series began with; None where it cannot be had any more. May block; called in the executor."""
        ...


class PictureSink(Protocol):
    """Where pictures go. Both return when it is durable, and raise StateNotDurable when it is not."""

    async def publish_picture(self, event: SlicePictured, packed: bytes, heat_map_png: bytes | None) -> None: ...

    async def pictured(self, event: SeriesPictured, partition: int) -> None:
        """All pictures of a series, as of a revision, are published."""
        ...
