"""When the alert service may say that it hears of new findings."""

import pytest

from alerts.broker import SILENT_SECONDS, connected


class Consumer:
    """As much of Kafka's consumer as is asked."""

    def __init__(self, silent_seconds: float, assigned: int, topics: tuple[str, ...]) -> None:
        self._silent_seconds, self._assigned, self._topics = silent_seconds, assigned, topics

    def metrics(self) -> dict[str, dict[str, float]]:
        return {"consumer-coordinator-metrics": {"last-heartbeat-seconds-ago": self._silent_seconds}}

    def assignment(self) -> set[int]:
        return set(range(self._assigned))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self._topics else None


@pytest.mark.parametrize(
    ("silent_seconds", "assigned", "topics", "hears"),
    [
        (1.0, 2, ("findings", "identities"), True),
        (SILENT_SECONDS + 1, 2, ("findings", "identities"), False),
        (float("inf"), 0, ("findings", "identities"), False),  # not in the group yet
        (1.0, 0, ("findings", "identities"), True),  # another instance has all partitions: this one stands by
        (1.0, 0, ("identities",), False),  # nobody has them: there are none
        (1.0, 0, (), False),
    ],
)
def test_in_the_group_and_read_by_somebody(
    silent_seconds: float, assigned: int, topics: tuple[str, ...], hears: bool
) -> None:
    assert connected(Consumer(silent_seconds, assigned, topics), ("findings", "identities")) is hears
