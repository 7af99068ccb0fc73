"""An object while it arrives: its header is judged as soon as it is whole, its pixels are hashed as they come.

So that little is left to do between the last byte and the sender's answer. What is decided early is exactly what
would be decided at the end: the header is the same bytes.
"""

import hashlib
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

from dicom_listener.admission import (
    HashedPixels,
    JudgedHeader,
    PlacedObject,
    StoreCommand,
    WholeObject,
    judge_header,
)
from dicom_listener.dataset import inflate, parse
from dicom_listener.errors import Unacceptable
from dicom_listener.memory import MemoryBudget
from dicom_listener.messages import Buffer
from dicom_listener.pixels import value_of_pixels
from dicom_listener.syntaxes import SYNTAXES
from streams.contracts.series import RefusalReason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ATTEMPTS_AT_BYTES = (4 * 1024, 64 * 1024)
"""Sizes from which reading the header is tried early; a longer one is read when all has arrived."""


class IncomingObject(BytesIO):
    """A data set that is being written to.

    Args:
        max_bytes: of what is kept, and of what a deflated data set may inflate to.
        budget: shared by all that are being received; :meth:`release` gives this object's part back.
    """

    def __init__(self, command: StoreCommand, max_bytes: int, budget: MemoryBudget | None = None) -> None:
        super().__init__()
        self.command, self._max_bytes = command, max_bytes
        self._budget, self._taken = budget, 0
        self._syntax = SYNTAXES.get(command.transfer_syntax_uid)
        self._attempts = list(ATTEMPTS_AT_BYTES)
        self._judged: JudgedHeader | None = None
        self._hasher: _FrameHasher | None = None
        self._refusal: Unacceptable | None = None
        self._no_room: Unacceptable | None = None
        """It will be refused, once its header has told where it belongs."""
        self._placed: PlacedObject | None = None

    def write(self, data: "ReadableBuffer") -> int:
        view = memoryview(data)
        start = self.tell()
        if not self._room_for(start, view.nbytes):
            return view.nbytes
        super().write(view)
        if self._judged is None:
            self._try_header(start + view.nbytes)
        elif self._hasher is not None:
            self._hasher.feed(start, view)
        if self._no_room is not None and (self._judged is not None or self.tell() >= ATTEMPTS_AT_BYTES[-1]):
            self.refuse(self._no_room)
        return view.nbytes

    @property
    def placed(self) -> PlacedObject | None:
        """Where it belongs, as far as that is known yet."""
        return self._judged.placed if self._judged is not None else self._placed

    def whole(self) -> WholeObject:
        """All has arrived.

        Raises:
            Unacceptable: refused already, in a syntax that is not ours, or no data set.
        """
        if self._no_room is not None and self._refusal is None:
            self._read_place()
            self.refuse(self._no_room)
        if self._refusal is not None:
            raise self._refusal
        if self._syntax is None:
            raise Unacceptable(RefusalReason.UNSUPPORTED_TRANSFER_SYNTAX, "this transfer syntax is not accepted")
        body: Buffer = self.getvalue()
        if self._syntax.deflated:
            body = inflate(body, self._max_bytes)
        if self._judged is not None:
            return WholeObject(self._judged, body, self._hasher.result() if self._hasher else None)
        return WholeObject(judge_header(parse(body, self._syntax), self.command), body)

    def refuse(self, refusal: Unacceptable) -> None:
        """Whatever it holds or may still bring, it cannot be accepted; what it held is let go."""
        self._refusal, self._placed = refusal, self.placed
        self._judged = self._hasher = None
        self.seek(0)
        self.truncate()
        self.release()

    def release(self) -> None:
        """The object is dealt with, or will never be whole."""
        if self._budget is not None:
            self._budget.give(self._taken)
        self._taken = 0

    def _room_for(self, start: int, count: int) -> bool:
        """What finds no room is still read from the peer, but not kept; the sender gets a status at the end."""
        if self._refusal is not None:
            return False
        if start + count > self._max_bytes:
            self.refuse(Unacceptable(RefusalReason.TOO_LARGE, "the object is larger than the limit"))
        elif self._no_room is not None:
            return True  # at most what a header takes, see write
        elif self._budget is not None and not self._budget.take(count):
            self._no_room = Unacceptable(RefusalReason.SPOOL_FULL, "no memory now, try again")
            if self._judged is None:
                return True
            self.refuse(self._no_room)
        else:
            self._taken += count
            return True
        return False

    def _read_place(self) -> None:
        """Of an object that is shorter than the first attempt."""
        with suppress(Unacceptable):
            if self._syntax is not None and not self._syntax.deflated:
                self._judged = judge_header(parse(self.getvalue(), self._syntax), self.command)

    def _try_header(self, size: int) -> None:
        if self._syntax is None or self._syntax.deflated or not self._attempts or size < self._attempts[0]:
            return
        self._attempts = [at for at in self._attempts if at > size]
        so_far = self.getbuffer()
        try:
            parsed = parse(so_far, self._syntax)
            if parsed.pixel_element_offset is None:
                return
            start, _ = value_of_pixels(parsed, so_far)
        except Unacceptable:
            return
        finally:
            so_far.release()
        self._judged = judge_header(parsed, self.command)
        facts = self._judged.facts
        if facts is not None and facts.pixels.NumberOfFrames == 1 and not self._syntax.encapsulated:
            self._hasher = _FrameHasher(start, start + facts.pixels.frame_bytes)
            with self.getbuffer() as so_far:
                self._hasher.feed(0, so_far)


class _FrameHasher:
    """Hashes one range of a stream."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._reached = start
        self._sha256 = hashlib.sha256()

    def feed(self, offset: int, data: memoryview) -> None:
        """The next bytes, which lie at ``offset`` of the stream."""
        part = data[max(self._reached - offset, 0) : max(self._end - offset, 0)]
        self._sha256.update(part)
        self._reached += part.nbytes

    def result(self) -> HashedPixels | None:
        """None where the range has not arrived entirely."""
        return HashedPixels(self._start, self._end, self._sha256.hexdigest()) if self._reached == self._end else None
