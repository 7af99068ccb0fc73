"""What Faust commits ends before the first message whose outcome is not durable.

Faust goes by its own account: it takes messages that it has passed over for acknowledged once it has fetched what is
behind them, lets one missing message at the head pass (`Consumer._new_offset`, `_add_gap`), and acknowledges what it
drops at a rebalance (seen with faust-streaming 0.15.3). A worker that was killed then would leave them unread for ever.
"""

from collections.abc import Callable, Collection
from typing import Any

from faust.types import TP

from streams.broker_view import Place
from streams.progress import Progress


def commit_in_order(
    consumer: Any, topics: Collection[str], progress: Progress, first_offset: Callable[[Place], int]
) -> None:
    """Make a consumer commit the partitions of these topics by what is durable.

    Args:
        first_offset: the first that the broker keeps of a partition: what was before it is not waited for.
    """
    by_faust = consumer._new_offset  # Faust has no public name for any of this

    def new_offset(where: TP) -> int | None:
        if where.topic not in topics:
            return by_faust(where)  # type: ignore[no-any-return]  # Faust's
        place = (where.topic, where.partition)
        start = max(consumer._committed_offset[where] or 0, first_offset(place))
        consumer._acked[where].clear()
        consumer._acked_index[where].clear()
        end = progress.durable_until(place, start)
        return end if end > start else None

    consumer._new_offset = new_offset
