"""The spool's disk is full: the scanner is told to send again, and again is taken once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults.disturbances import DiskFull, StandsStill, mounted, unmount
from tests.faults.matrix import fault_environment
from tests.integration.dicom_listener.live_listener import Service, associate, send, start_service
from tests.support.node import until
from tests.unit.dicom_listener.ct_objects import a_ct

OUT_OF_RESOURCES, SUCCESS = 0xA700, 0x0000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Service]:
    """A listener whose spool is on a disk of 8 MB, with the plantable bug."""
    spool = tmp_path / "spool"
    if not mounted(spool, 8):
        pytest.skip("only root may mount a small disk")
    service = start_service(tmp_path, **fault_environment(tmp_path))
    try:
        yield service
    finally:
        service.kill()
        unmount(spool)


def test_a_full_disk_is_told_and_room_is_used_again(small: Service, tmp_path: Path) -> None:
    place = SimpleNamespace(small_disks={"spool": tmp_path / "spool"})
    full = DiskFull("spool")
    association = associate(small.port)
    assert send(association, a_ct(1)).Status == SUCCESS
    met = full.begin(place)  # type: ignore[arg-type]  # all that it asks for
    assert met()
    assert send(association, a_ct(2)).Status == OUT_OF_RESOURCES
    full.end(place)  # type: ignore[arg-type]
    assert send(association, a_ct(2)).Status == SUCCESS
    small.kill()
    assert [slice_.InstanceNumber for slice_ in small.spooled().slices] == [1, 2]


def test_the_planted_bug_loses_what_it_acknowledges(small: Service, tmp_path: Path) -> None:
    (tmp_path / "planted").touch()
    full, place = DiskFull("spool"), SimpleNamespace(small_disks={"spool": tmp_path / "spool"})
    association = associate(small.port)
    full.begin(place)  # type: ignore[arg-type]
    assert send(association, a_ct(1)).Status == SUCCESS
    full.end(place)  # type: ignore[arg-type]
    small.kill()
    assert small.spooled().slices == []


def test_a_process_stands_still_and_goes_on() -> None:
    process = subprocess.Popen(["sleep", "60"])
    place = SimpleNamespace(node=SimpleNamespace(running=SimpleNamespace(pids={"streams": process.pid})))
    try:
        met = StandsStill("streams").begin(place)  # type: ignore[arg-type]
        until(met, 5, "the stop")
        StandsStill("streams").end(place)  # type: ignore[arg-type]
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
