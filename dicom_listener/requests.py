"""From the fragments of an association to its requests.

Law: within the limits, and in step. A data set that nobody announced is read and dropped; a command that comes where a
data set is awaited ends that message, which is answered as cut off, and begins the next.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dicom_listener import commands
from dicom_listener.admission import StoreCommand
from dicom_listener.commands import C_STORE_RQ, Command
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.memory import MemoryBudget
from streams.contracts.series import RefusalReason

LAST_FRAGMENT = 0x02
COMMAND_FRAGMENT = 0x01
"""Bits of the message control header (PS3.8 E.2)."""
MAX_COMMAND_BYTES = 64 * 1024
"""A C-STORE command set has about 200."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message of a peer's. ``data_set`` is a C-STORE's; what comes with another command is not kept."""

    context_id: int
    command: Command
    data_set: IncomingObject | None = None

    def release(self) -> None:
        """It is dealt with, or will never be whole."""
        if self.data_set is not None:
            self.data_set.release()


class RequestAssembler:
    """One for each association; for the thread that reads.

    Args:
        syntax_of: the transfer syntax that was agreed for a presentation context; empty where none was.
        max_bytes: of one data set.
        budget: shared by all associations.
    """

    def __init__(self, syntax_of: Callable[[int], str], max_bytes: int, budget: MemoryBudget) -> None:
        self._syntax_of, self._max_bytes, self._budget = syntax_of, max_bytes, budget
        self._command = bytearray()
        self._awaiting: Request | None = None

    def take(self, context_id: int, fragment: memoryview) -> Iterator[Request]:
        """The requests that are whole with this fragment, its message control header included.

        Raises:
            ValueError: no command set is so long.
        """
        last, part = bool(fragment[0] & LAST_FRAGMENT), fragment[1:]
        if fragment[0] & COMMAND_FRAGMENT:
            yield from self._cut_off()
            yield from self._take_command(context_id, part, last)
        elif self._awaiting is not None:
            if self._awaiting.data_set is not None:
                self._awaiting.data_set.write(part)
            if last:
                yield from self._whole()

    def end(self) -> Iterator[Request]:
        """The association is over: the message that is not whole, and will never be, if there is one."""
        yield from self._cut_off()

    def _take_command(self, context_id: int, part: memoryview, last: bool) -> Iterator[Request]:
        if len(self._command) + len(part) > MAX_COMMAND_BYTES:
            raise ValueError("no command set is so long")
        self._command += part
        if not last:
            return
        command = commands.read(bytes(self._command))
        self._command.clear()
        self._awaiting = Request(context_id, command, self._data_set(context_id, command))
        if not command.announces_data_set:
            yield from self._whole()

    def _data_set(self, context_id: int, command: Command) -> IncomingObject | None:
        """It is read while it arrives, from the first fragment on."""
        if command.field != C_STORE_RQ:
            return None
        said = StoreCommand(command.sop_class_uid, command.sop_instance_uid, self._syntax_of(context_id))
        return IncomingObject(said, self._max_bytes, self._budget)

    def _whole(self) -> Iterator[Request]:
        request, self._awaiting = self._awaiting, None
        if request is not None:
            yield request

    def _cut_off(self) -> Iterator[Request]:
        for request in self._whole():
            if request.data_set is not None:
                request.data_set.refuse(Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the data set ended too early"))
            yield request
