"""Mends a loss in Faust: after a recovery every partition is sought, also one whose committed offset is 0 or missing.

Faust recovers its tables, resumes fetching, throws away what was fetched until then, and seeks to the committed
offsets. Faust skips a partition without one, and aiokafka skips the offset 0: what was thrown away there is never read
(seen with faust-streaming 0.15.3: a worker killed in its first seconds, 13 slices skipped by the next one).
"""

from collections.abc import Callable, Collection

import faust

BEGINNING = 0
"""Where retention has removed the first messages, ``auto_offset_reset=earliest`` finds the first that is left."""


def seek_every_partition(app: faust.App, topics: Collection[str], sought: Callable[[], None]) -> None:
    """Make the consumer of an application, not yet started, seek all partitions of these topics.

    ``sought`` is called each time it has: only then is it known where each partition goes on.

    Not those of the changelogs: what is fetched of them after the recovery is read by nobody, and stops the flow.
    """
    consumer = app.consumer
    perform_seek = consumer.perform_seek

    async def perform_whole_seek() -> None:
        await perform_seek()
        for place in consumer.assignment():
            if place.topic in topics and not consumer._committed_offset.get(place):  # Faust has no public name for it
                await consumer.seek(place, BEGINNING)
        sought()

    consumer.perform_seek = perform_whole_seek
