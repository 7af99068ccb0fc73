"""Writing to a Kafka that may be away for a moment: try again until it is confirmed, or say that it is not.

A broker that restarts is back within seconds; a worker that gave up at once would add its own restart, its group's
rebalance and its state's recovery to that. Everything written through here may be written twice: all of it is
idempotent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from streams.errors import StateNotDurable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25


async def durably(
    write: Callable[[], Awaitable[object]], what: str, attempt_seconds: float, patience_seconds: float
) -> None:
    """Await ``write`` until it succeeds.

    Args:
        write: starts one attempt; awaited to its confirmation.
        attempt_seconds: an attempt that takes longer has failed.
        patience_seconds: no new attempt is begun after this.

    Raises:
        StateNotDurable: never confirmed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            await asyncio.wait_for(_whole(write), attempt_seconds)
        except Exception as error:
            if loop.time() >= deadline:
                raise StateNotDurable(f"{what}: not confirmed: {type(error).__name__}") from error
            logger.warning("a write was not confirmed and is tried again", extra={"what": what})
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def _whole(write: Callable[[], Awaitable[object]]) -> None:
    await write()
