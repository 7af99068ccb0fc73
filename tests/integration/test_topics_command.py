"""``tocsin topics`` against a real broker."""

import json
import subprocess
import sys

from streams.contracts.topics import ALL


def topics(servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin", "topics", *arguments, "--bootstrap-servers", servers]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_second_creation_changes_nothing(kafka: str) -> None:
    done = topics(kafka, "create", "--partitions", "9")
    assert (done.returncode, done.stdout) == (0, "All topics are there.\n")
    assert {topic["partitions"] for topic in json.loads(topics(kafka, "list", "--json").stdout)["topics"]} == {1, 4}


def test_how_long_a_topic_is_kept_can_be_said_and_is_shown(kafka: str) -> None:
    assert topics(kafka, "keep", "triage.alerts.v1", "--hours", "36").returncode == 0
    shown = {t["name"]: t["retention_ms"] for t in json.loads(topics(kafka, "list", "--json").stdout)["topics"]}
    assert shown["triage.alerts.v1"] == 36 * 3_600_000
    assert set(shown) == {topic.name for topic in ALL}


def test_what_makes_no_sense_is_refused_in_a_sentence(kafka: str) -> None:
    compacted = topics(kafka, "keep", "phi.identities.v1", "--hours", "1")
    assert (compacted.returncode, "grow old" in compacted.stderr) == (1, True)
    replicas = topics(kafka, "create", "--min-insync-replicas", "2")
    assert (replicas.returncode, "nothing could be written" in replicas.stderr) == (1, True)
