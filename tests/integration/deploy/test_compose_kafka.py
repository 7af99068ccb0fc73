"""The compose file's Kafka without Docker: the image's own configuration step on the environment, then a broker."""

import subprocess
from pathlib import Path

from tests.unit.deploy.compose import environment
from tocsin.kafka.broker import child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics, topics_on
from tocsin.ports import free_ports

LOG4J2 = "Configuration: {Appenders: {}, Loggers: {Root: {level: WARN}}}\n"


def test_a_broker_starts_with_the_environment_of_the_compose_file_and_takes_our_topics(tmp_path: Path) -> None:
    kafka = find_distribution()
    port, controller = free_ports(2)
    defaults, mounted, final, data = (tmp_path / name for name in ("defaults", "mounted", "config", "data"))
    for folder in (defaults, mounted, final):
        folder.mkdir()
    (defaults / "server.properties").write_text("")
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (defaults / name).write_text(LOG4J2)
    here = {
        name: value.replace("kafka:9093", f"127.0.0.1:{controller}")
        .replace("kafka:9092", f"127.0.0.1:{port}")
        .replace(
            "PLAINTEXT://:9092,CONTROLLER://:9093", f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"
        )
        .replace("/var/lib/kafka/data", str(data))
        for name, value in environment("kafka").items()
    }
    java = [kafka.java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", kafka.class_path]
    wrapper = ["kafka.docker.KafkaDockerWrapper", "setup", "-D", defaults, "-M", mounted, "-F", final]
    done = subprocess.run([*java, *wrapper], env=child_environment() | here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    properties = final / "server.properties"
    assert properties.read_text()

    with (tmp_path / "console").open("wb") as console:
        broker = subprocess.Popen(
            [*java, "kafka.Kafka", properties], env=child_environment(), stdout=console, stderr=console
        )
    try:
        servers = f"127.0.0.1:{port}"
        wait_until_answering(servers)
        create_topics(servers, TopicLayout())
        made = {topic.name: topic.partitions for topic in topics_on(servers)}
        assert (made["ct.slices.v1"], made["ct.series.v1"]) == (4, 4)
    finally:
        broker.kill()
        broker.wait()
