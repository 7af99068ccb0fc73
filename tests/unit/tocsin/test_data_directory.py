"""Secrets are made once and for the owner; one node per directory; taken ports are said."""

import socket
import stat
from pathlib import Path

import pytest

from tocsin.data_directory import DataDirectory
from tocsin.errors import DataDirectoryInUse, NodeNotRunning, PortTaken, TocsinError
from tocsin.node import running_node
from tocsin.ports import LOOPBACK, demand_free, free_ports, free_run


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.create()
    first = directory.site_secret.read_bytes()
    directory.create()
    assert directory.site_secret.read_bytes() == first
    assert len(first) == 32
    assert first != directory.identity_key.read_bytes()
    for secret in (directory.site_secret, directory.identity_key):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_second_node_is_kept_out(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.create()
    with directory.locked(), pytest.raises(DataDirectoryInUse), directory.locked():
        pass
    with directory.locked():
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TocsinError, match="cannot be used"):
        DataDirectory(tmp_path / "file" / "data").create()


def test_no_node_is_said(tmp_path: Path) -> None:
    with pytest.raises(NodeNotRunning, match="tocsin up"):
        running_node(DataDirectory(tmp_path))


def test_a_taken_port_is_said_with_its_purpose() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port}.*the page"):
            demand_free(LOOPBACK, port, "the page")


def test_free_ports_are_distinct_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        demand_free(LOOPBACK, port, "a test")
    first = free_run(3)
    for port in range(first, first + 3):
        demand_free(LOOPBACK, port, "a test")
