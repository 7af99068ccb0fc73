"""A real Kafka for the integration tests: the embedded broker, one for the whole test session."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.ports import free_ports


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a running broker that has all topics."""
    root: Path = tmp_path_factory.mktemp("kafka")
    port, controller_port = free_ports(2)
    broker = EmbeddedBroker(find_distribution(), BrokerFiles(root), port, controller_port)
    broker.prepare()
    with broker.files.console.open("wb") as console:
        process = subprocess.Popen(broker.command(), stdout=console, stderr=console, env=child_environment())
    try:
        wait_until_answering(broker.bootstrap_servers)
        create_topics(broker.bootstrap_servers, TopicLayout())
        yield broker.bootstrap_servers
    finally:
        process.terminate()
        process.wait(timeout=30)
