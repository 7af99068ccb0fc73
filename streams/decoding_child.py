"""``python -m streams.decoding_child``: decodes frames for a worker, in a process that may die.

Codecs are C and C++, and their input comes from the network: a codestream that breaks one must cost one slice, not the
worker with every series it holds. Frames come in on standard input and go out on standard output::

    in:  length of header (4, big-endian), header (SliceAccepted as JSON), length of pixels (4), pixels
    out: ``V``, length (4), little-endian int32 [Rows, Columns]      or      ``E``, length (4), reason as UTF-8

The process limits its own memory and its time, and ends with its parent.
"""

import math
import resource
import struct
import sys
from typing import BinaryIO

from streams.contracts.errors import MalformedEvent
from streams.contracts.slices import SliceAccepted
from streams.errors import PixelsUnreadable
from streams.voxels import stored_values

LENGTH = struct.Struct(">I")
VALUES, ERROR = b"V", b"E"

MAX_MEMORY_BYTES = 3 * 1024**3
"""Address space; a 4096 × 4096 frame takes a few hundred megabytes to decode."""


CPU_SECONDS = 12
"""For one frame; whoever asked has given up before. A codec that spins ends by this where its parent is gone."""


def main() -> None:
    """Serve until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's pixels
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (header := _read(source)) is not None and (pixels := _read(source)) is not None:
        _limit_time()
        kind, answer = _decoded(header, pixels)
        target.write(kind + LENGTH.pack(len(answer)))
        target.write(answer)
        target.flush()


def _limit_time() -> None:
    """The kernel ends the process (SIGXCPU) when it has worked so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS, resource.RLIM_INFINITY))


def _decoded(header: bytes, pixels: bytes) -> tuple[bytes, bytes]:
    try:
        values = stored_values(SliceAccepted.decode(header), pixels)
    except (PixelsUnreadable, MalformedEvent) as error:
        return ERROR, str(error).encode()
    except MemoryError:
        return ERROR, b"decoding wants more memory than it may have"
    return VALUES, values.astype("<i4").tobytes()


def _read(source: BinaryIO) -> bytes | None:
    length = source.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    return source.read(LENGTH.unpack(length)[0])


if __name__ == "__main__":
    main()
