"""The journal's record: whole or not there."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_listener.messages import OutgoingMessage, unpack
from dicom_listener.spool.record import Damage, Found, Record, build, scan

messages = st.builds(
    OutgoingMessage,
    topic=st.sampled_from(["ct.slices.v1", "ct.series.v1"]),
    key=st.text(alphabet="0123456789abcdef", min_size=1, max_size=8),
    value=st.binary(max_size=60),
    headers=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=9)), max_size=2).map(tuple),
)
records = st.lists(st.lists(messages, min_size=1, max_size=3), min_size=1, max_size=4)


def flat(record: Record, segment: int = 0) -> bytes:
    return b"".join(bytes(b) for b in record.buffers(segment))


@given(records)
def test_what_was_written_is_read_back(written: list[list[OutgoingMessage]]) -> None:
    segment = b"".join(flat(build(group, 1.5)) for group in written)
    found = list(scan(segment))
    assert all(isinstance(one, Found) and one.at == 1.5 for one in found)
    read = [[unpack(segment, p.offset)[0] for p in one.places] for one in found if isinstance(one, Found)]
    assert [[(m.topic, m.key, bytes(m.value), m.headers) for m in g] for g in read] == [
        [(m.topic, m.key, m.value, m.headers) for m in g] for g in written
    ]


@given(records, st.data())
def test_a_cut_segment_gives_all_whole_records_and_one_torn_tail(
    written: list[list[OutgoingMessage]], data: st.DataObject
) -> None:
    parts = [flat(build(group, 0.0)) for group in written]
    segment = b"".join(parts)
    cut = data.draw(st.integers(0, len(segment) - 1))
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    found = list(scan(segment[:cut]))
    assert sum(isinstance(one, Found) for one in found) == sum(end <= cut for end in ends)
    tail = [one for one in found if isinstance(one, Damage)]
    assert all(one.torn_tail for one in tail)
    assert len(tail) == (cut not in (0, *ends))


@settings(max_examples=60)
@given(records, st.data())
def test_damage_costs_its_own_record_only(written: list[list[OutgoingMessage]], data: st.DataObject) -> None:
    parts = [flat(build(group, 0.0)) for group in written]
    broken = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[broken]) - 1))
    spoiled = bytearray(parts[broken])
    spoiled[at] ^= 1 << data.draw(st.integers(0, 7))
    found = list(scan(b"".join([*parts[:broken], bytes(spoiled), *parts[broken + 1 :]])))
    assert sum(isinstance(one, Found) for one in found) == len(parts) - 1
    (damage,) = [one for one in found if isinstance(one, Damage)]
    assert damage.size == len(parts[broken])
    assert damage.torn_tail == (broken == len(parts) - 1)


@given(records, records)
def test_what_a_file_held_before_it_was_used_again_is_not_read(
    before: list[list[OutgoingMessage]], now: list[list[OutgoingMessage]]
) -> None:
    old, new = (b"".join(flat(build(g, 0.0), n) for g in written) for n, written in ((7, before), (8, now)))
    found = list(scan(new + old[len(new) :], 8))
    assert sum(isinstance(one, Found) for one in found) == len(now)
    assert all(one.torn_tail for one in found if isinstance(one, Damage))
    assert list(scan(old, 8)) == [Damage(0, len(old), torn_tail=True)]


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_damage_and_no_crash(noise: bytes) -> None:
    assert sum(one.size for one in scan(noise)) == len(noise)
    assert sum(one.size for one in scan(b"TSR2" + noise)) == len(noise) + 4


def test_values_are_not_copied() -> None:
    value = os.urandom(1000)
    assert any(memoryview(b).obj is value for b in build([OutgoingMessage("t", "k", value)], 0.0).buffers())
