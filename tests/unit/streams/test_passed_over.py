"""A message that Faust passed over and that was read directly is committed like any other, by Faust's own reckoning."""

from typing import Any

import pytest
from faust.types import TP

from streams.app import acknowledge, create_app
from streams.contracts.topics import SLICES
from streams.settings import StreamsSettings

PLACE = (SLICES.name, 0)
WHERE = TP(*PLACE)


@pytest.fixture
def consumer() -> Any:
    """Offsets 3 and 4 are done; 1 and 2 were passed over, 1 being the next to be committed."""
    consumer: Any = create_app(StreamsSettings())._new_consumer()
    consumer._committed_offset[WHERE] = 1
    consumer._acked[WHERE].extend((3, 4))
    consumer._acked_index[WHERE].update((3, 4))
    return consumer


def test_faust_goes_no_further_than_what_it_passed_over(consumer: Any) -> None:
    assert consumer._new_offset(WHERE) is None


def test_what_was_read_directly_closes_the_gap(consumer: Any) -> None:
    acknowledge(consumer, PLACE, 1)
    acknowledge(consumer, PLACE, 2)
    acknowledge(consumer, PLACE, 2)
    assert consumer._new_offset(WHERE) == 5


def test_what_is_committed_already_is_no_news(consumer: Any) -> None:
    acknowledge(consumer, PLACE, 0)
    assert 0 not in consumer._acked[WHERE]
