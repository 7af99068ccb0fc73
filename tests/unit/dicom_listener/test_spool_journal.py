"""The spool: nothing that was durable is lost, nothing that failed is published as accepted, room is given back."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicom_listener.errors import CannotStart, SpoolFailed, SpoolFull
from dicom_listener.spool.journal import Spool
from dicom_listener.spool.segment import Entry
from dicom_listener.spool.spare import SPARE, SpareKeeper
from tests.support.node import until
from tests.unit.dicom_listener.spool_fakes import (
    BROKEN,
    NO_SPACE,
    READ_ONLY,
    FaultyDisk,
    a_message,
    segments,
    text_of,
)

MIB = 1 << 20


def texts(entries: list[Entry]) -> list[str]:
    return [text_of(entry.read()) for entry in entries]


def after_a_crash(spool: Spool, max_bytes: int = 64 * MIB) -> Spool:
    """A second process on the same folder; the first is gone without a word."""
    os.close(spool._claim)
    return Spool(spool.folder, max_bytes)


def test_messages_come_out_as_they_went_in(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    spool.append([a_message("a"), a_message("b", topic="ct.series.v1")])
    spool.append([a_message("c")])
    taken = spool.take()
    assert texts(taken) == ["a", "b", "c"]
    assert [entry.place.topic for entry in taken] == ["ct.slices.v1", "ct.series.v1", "ct.slices.v1"]
    assert taken[0].read().headers == a_message("a").headers
    assert spool.take() == []


def test_what_was_not_acknowledged_is_published_again_after_a_crash(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    for text in "abc":
        spool.append([a_message(text)])
    spool.acknowledge(spool.take()[0])
    assert texts(after_a_crash(spool).take()) == ["a", "b", "c"]  # at least once: its segment is still there


def test_an_acknowledged_segment_is_deleted_and_never_published_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)  # segments of 1 MiB
    for text in "ab":
        spool.append([a_message(text, size=MIB)])
    first, second = spool.take()
    assert len(segments(tmp_path)) == 2
    spool.acknowledge(first)
    assert len(segments(tmp_path)) == 1
    assert texts(after_a_crash(spool, 8 * MIB).take()) == [text_of(second.read())]


def test_a_clean_stop_with_nothing_waiting_leaves_an_empty_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    spool.append([a_message()])
    spool.acknowledge(spool.take()[0])
    spool.close()
    assert segments(tmp_path) == []


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    spool.append([a_message("whole")])
    (path,) = segments(tmp_path)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(path.read_bytes()[:-3])
    again = after_a_crash(spool)
    assert texts(again.take()) == ["whole"]
    assert path.stat().st_size == whole


def test_damage_in_the_middle_costs_one_record_and_the_file_is_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    for text in ("first", "second", "third"):
        spool.append([a_message(text, size=100)])
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    again = after_a_crash(spool)
    taken = again.take()
    assert texts(taken) == ["first", "third"]
    assert again.damaged_bytes > 100
    for entry in taken:
        again.acknowledge(entry)
    assert len(list(path.parent.glob(f"{path.stem}.*.damaged"))) == 1


@pytest.mark.parametrize("written", [0, 1, 30, 100])
def test_a_full_disk_refuses_and_leaves_no_trace(tmp_path: Path, written: int) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, 64 * MIB, disk=disk)
    spool.append([a_message("kept")])
    disk.write_error, disk.written_before_error = NO_SPACE, written
    with pytest.raises(SpoolFull):
        spool.append([a_message("lost", size=200)])
    disk.write_error = None
    spool.append([a_message("later")])
    assert texts(spool.take()) == ["kept", "later"]
    assert texts(after_a_crash(spool).take()) == ["kept", "later"]


def test_even_where_the_remains_cannot_be_cut(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, 64 * MIB, disk=disk)
    disk.write_error, disk.written_before_error, disk.truncate_error = READ_ONLY, 90, READ_ONLY
    with pytest.raises(SpoolFailed):
        spool.append([a_message("lost", size=200)])
    disk.write_error = disk.truncate_error = None
    spool.append([a_message("later")])
    assert texts(after_a_crash(spool).take()) == ["later"]


def test_a_failed_sync_fails_all_that_waited_for_it_and_the_next_succeeds(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, 64 * MIB, disk=disk)
    spool.append([a_message("kept")])
    disk.sync_error = BROKEN
    with pytest.raises(SpoolFailed):
        spool.append([a_message("lost")])
    disk.sync_error = None
    spool.append([a_message("later")])
    assert texts(spool.take()) == ["kept", "later"]
    assert texts(after_a_crash(spool).take()) == ["kept", "later"]


def test_the_bound_refuses_the_slice_but_not_the_ledger(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * MIB)
    spool.append([a_message("a", size=MIB)])
    with pytest.raises(SpoolFull):
        spool.append([a_message("b", size=MIB)])
    assert spool.trouble() is not None
    spool.append([a_message("account", topic="ct.series.v1")], reserved=True)
    assert texts(spool.take()) == ["a", "account"]


def test_room_comes_back_when_kafka_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * MIB)
    for _ in range(10):
        spool.append([a_message("a", size=MIB)])
        for entry in spool.take():
            spool.acknowledge(entry)
    assert spool.depth().messages == 0


def test_a_failed_append_is_trouble_until_one_succeeds_or_time_has_passed(tmp_path: Path) -> None:
    disk, time = FaultyDisk(), [100.0]
    spool = Spool(tmp_path, 64 * MIB, disk=disk, now=lambda: time[0])
    disk.write_error = NO_SPACE
    with pytest.raises(SpoolFull):
        spool.append([a_message("a")])
    assert spool.trouble() == "the disk is full"
    time[0] += 31
    assert spool.trouble() is None
    with pytest.raises(SpoolFull):
        spool.append([a_message("a")])
    disk.write_error = None
    spool.append([a_message("a")])
    assert spool.trouble() is None


def test_depth_and_age(tmp_path: Path) -> None:
    clock = iter([10.0, 20.0, 30.0])
    spool = Spool(tmp_path, 64 * MIB, now=lambda: next(clock))
    assert spool.depth().oldest_at is None
    spool.append([a_message("a"), a_message("b")])
    spool.append([a_message("c")])
    assert (spool.depth().messages, spool.depth().oldest_at) == (3, 10.0)
    for entry in spool.take()[:2]:
        spool.acknowledge(entry)
    assert (spool.depth().messages, spool.depth().oldest_at) == (1, 20.0)


def test_one_folder_belongs_to_one_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MIB)
    with pytest.raises(CannotStart, match="in use by another listener"):
        Spool(tmp_path, MIB)
    spool.close()
    Spool(tmp_path, MIB).close()


def test_the_folder_and_its_files_are_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MIB)
    spool.append([a_message()])
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in segments(tmp_path / "spool"))


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(CannotStart):
        Spool(tmp_path / "spool", MIB)


def test_several_associations_share_a_sync(tmp_path: Path) -> None:
    """While one sync is under way, the records of all others gather for the next."""
    writers = 8
    started, release = threading.Event(), threading.Event()

    class SlowDisk(FaultyDisk):
        def sync(self, descriptor: int) -> None:
            if self.syncs == 0:
                started.set()
                assert release.wait(10)
            super().sync(descriptor)

    disk = SlowDisk()
    spool = Spool(tmp_path, 64 * MIB, disk=disk)
    threads = [threading.Thread(target=spool.append, args=([a_message(str(n))],)) for n in range(writers)]
    threads[0].start()
    assert started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(spool._active.unsynced if spool._active else []) < writers:
        pass
    release.set()
    for thread in threads:
        thread.join(10)
    assert sorted(texts(spool.take())) == sorted(map(str, range(writers)))
    assert disk.syncs == 2


def ready(tmp_path: Path, max_bytes: int = 64 * MIB, disk: FaultyDisk | None = None) -> Spool:
    spool = Spool(tmp_path, max_bytes, disk=disk)
    spool.make_spare(lambda: True)
    return spool


def test_a_file_that_was_made_ready_does_not_grow_and_is_used_again(tmp_path: Path) -> None:
    spool = ready(tmp_path, 8 * MIB)  # segments of 1 MiB
    inodes = set()
    for n in range(6):
        spool.append([a_message(str(n), size=MIB // 2 + 1)])
        (path,) = segments(tmp_path)
        assert path.stat().st_size == MIB
        inodes.add(path.stat().st_ino)
        (entry,) = spool.take()
        assert text_of(entry.read()) == str(n)
        spool.acknowledge(entry)
        spool.tidy()
    assert len(inodes) == 1


def test_after_a_crash_nothing_comes_back_that_a_file_held_before(tmp_path: Path) -> None:
    spool = ready(tmp_path, 8 * MIB)
    for text in "abc":
        spool.append([a_message(text, size=1000)])
    for entry in spool.take():
        spool.acknowledge(entry)
    spool.tidy()
    spool.append([a_message("d", size=10)])
    (path,) = segments(tmp_path)
    again = after_a_crash(spool, 8 * MIB)
    assert texts(again.take()) == ["d"]
    assert path.stat().st_size < 1000
    assert again.damaged_bytes == 0


def test_room_that_was_made_ready_is_there_when_the_disk_is_full(tmp_path: Path) -> None:
    """The file system gives the blocks at the making; only then is the disk asked again."""
    spool = ready(tmp_path, 16 * MIB)  # segments of 2 MiB
    spool.append([a_message("a", size=MIB)])
    (path,) = segments(tmp_path)
    blocks = path.stat().st_blocks
    spool.append([a_message("b", size=MIB - 4096)])
    assert path.stat().st_blocks == blocks


def test_a_write_that_failed_leaves_nothing_in_a_ready_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = ready(tmp_path, disk=disk)
    spool.append([a_message("kept")])
    disk.sync_error = BROKEN
    with pytest.raises(SpoolFailed):
        spool.append([a_message("lost")])
    disk.sync_error = None
    spool.append([a_message("later")])
    assert texts(after_a_crash(spool).take()) == ["kept", "later"]


def test_two_files_take_turns_and_no_more_are_made(tmp_path: Path) -> None:
    spool = ready(tmp_path, 8 * MIB)  # segments of 1 MiB
    for text in "abc":
        spool.append([a_message(text, size=MIB)])
        spool.make_spare(lambda: True)
    first, second, _ = [path.stat().st_ino for path in segments(tmp_path)]
    assert not (tmp_path / SPARE).exists()
    for entry in spool.take():
        spool.acknowledge(entry)
    assert (tmp_path / SPARE).stat().st_ino in (first, second)
    assert (tmp_path / SPARE).stat().st_size == MIB


def test_no_spare_beyond_the_bound_and_none_is_left_at_the_end(tmp_path: Path) -> None:
    spool = ready(tmp_path, 2 * MIB)  # segments of 256 KiB
    for text in "abcdefg":
        spool.append([a_message(text, size=MIB // 4)])
        spool.make_spare(lambda: True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.is_file()) <= 2 * MIB
    spool.close()
    assert not list(tmp_path.glob("spare*"))


def test_the_keeper_makes_one_when_it_is_wanted_and_stops_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 * MIB)
    keeper = SpareKeeper(spool)
    keeper.start()
    until(lambda: (tmp_path / SPARE).exists(), 20, "a spare")
    spool.append([a_message()])
    until(lambda: (tmp_path / SPARE).exists(), 20, "the next spare")
    keeper.stop()


class SpoolMachine(RuleBasedStateMachine):
    """Appends, acknowledgements, faults and crashes in any order: what succeeded and was not acknowledged is there."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="spool-machine-"))
        self.disk = FaultyDisk()
        self.spool = Spool(self.folder, 16 * 4096, disk=self.disk)
        self.owed: set[str] = set()
        self.acknowledged: set[str] = set()
        self.failed: set[str] = set()
        self.entries: list[Entry] = []
        self.count = 0

    @rule(size=st.integers(0, 5000), fault=st.sampled_from([None, None, "write", "sync"]), torn=st.integers(0, 200))
    def append(self, size: int, fault: str | None, torn: int) -> None:
        self.count += 1
        text = f"m{self.count}"
        self.disk.write_error = NO_SPACE if fault == "write" else None
        self.disk.written_before_error = torn
        self.disk.sync_error = BROKEN if fault == "sync" else None
        try:
            self.spool.append([a_message(text, size=size)])
        except (SpoolFull, SpoolFailed):
            self.failed.add(text)
        else:
            self.owed.add(text)
        self.disk.write_error = self.disk.sync_error = None

    @rule()
    def take(self) -> None:
        self.entries += self.spool.take()

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        entry = self.entries.pop(data.draw(st.integers(0, len(self.entries) - 1)))
        text = text_of(entry.read())
        self.spool.acknowledge(entry)
        self.owed.discard(text)
        self.acknowledged.add(text)

    @rule()
    def make_spare(self) -> None:
        self.spool.make_spare(lambda: True)

    @rule()
    def tidy(self) -> None:
        self.spool.tidy()

    @rule(torn=st.binary(max_size=40))
    def crash(self, torn: bytes) -> None:
        os.close(self.spool._claim)
        found = segments(self.folder)
        if found and torn:
            with found[-1].open("ab") as file:
                file.write(torn)
        self.spool = Spool(self.folder, 16 * 4096, disk=self.disk)
        self.entries = self.spool.take()
        waiting = set(texts(self.entries))
        assert self.owed <= waiting
        assert not waiting & self.failed
        self.owed = waiting

    @invariant()
    def what_is_owed_is_counted(self) -> None:
        assert self.spool.depth().messages == len(self.owed)

    @invariant()
    def within_the_bound(self) -> None:
        assert sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file()) <= 16 * 4096

    def teardown(self) -> None:
        import shutil

        os.close(self.spool._claim)
        shutil.rmtree(self.folder)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
