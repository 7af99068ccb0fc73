"""The embedded broker's configuration."""

from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, new_cluster_id
from tocsin.kafka.distribution import Distribution


def test_a_cluster_id_never_begins_with_a_dash() -> None:
    dash, plain = UUID(bytes=b"\xfb" * 16), UUID(bytes=b"\x00" * 16)
    with patch("uuid.uuid4", side_effect=[dash, plain]):
        assert new_cluster_id() == "A" * 22


def test_the_command_keeps_the_heap_small_and_ends_when_memory_does(tmp_path: Path) -> None:
    broker = EmbeddedBroker(Distribution(Path("java"), "jars/*"), BrokerFiles(tmp_path), 1, 2)
    command = broker.command()
    assert "-Xmx512m" in command
    assert "-XX:+ExitOnOutOfMemoryError" in command
    assert command[-2:] == ["kafka.Kafka", str(tmp_path / "server.properties")]
