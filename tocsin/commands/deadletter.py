"""``tocsin deadletter``: what could not be processed, and its second chance.

Two places: the dead-letter topic, and the spool's folder of last resort for what not even that topic takes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from rich.table import Table

from dicom_listener.messages import OutgoingMessage, unpack
from dicom_listener.spool import record as records
from dicom_listener.spool.journal import REJECTED_FOLDER
from streams.contracts.deadletters import DEADLETTER_HEADER, MessageSetAside
from streams.contracts.errors import MalformedEvent
from streams.contracts.topics import ALL, DEADLETTERS, MAX_MESSAGE_BYTES
from tocsin.commands.up import DataDir, directory_of
from tocsin.console import err, out
from tocsin.errors import BadRequest, KafkaUnavailable
from tocsin.kafka import reading
from tocsin.node import running_node

app = typer.Typer(no_args_is_help=True, help="Messages that could not be processed: list, show, replay.")

POLL_MS = 2_000
FILE_PREFIX = "file:"

Servers = Annotated[
    str | None, typer.Option("--kafka", envvar="KAFKA_BOOTSTRAP_SERVERS", help="host:port; that of the running node")
]
Id = Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="as shown by 'list'")]


@app.command("list")
def list_(kafka: Servers = None, data_dir: DataDir = None) -> None:
    """All dead letters, oldest first; then what no topic takes, which lies in files of the spool."""
    table = Table("Id", "When", "From", "Reason", "Detail", "Bytes")
    for record in _all(servers_of(kafka, data_dir)):
        note = _note(record)
        table.add_row(
            f"{record.partition}:{record.offset}",
            note.at.isoformat(timespec="seconds") if note else "?",
            f"{note.service} {note.source_topic}" if note else "?",
            note.reason if note else "?",
            note.detail if note else "no readable note",
            str(len(record.value or b"")),
        )
    for path, message in _in_files(data_dir):
        note = _noted(dict(message.headers).get(DEADLETTER_HEADER, "").encode(), path.name)
        table.add_row(
            f"{FILE_PREFIX}{path.stem.lstrip('0')}",
            note.at.isoformat(timespec="seconds") if note else "?",
            f"{note.service} {note.source_topic}" if note else "?",
            note.reason if note else "?",
            f"{note.detail if note else 'no readable note'}; {path}",
            str(len(message.value)),
        )
    out.print(table if table.row_count else "There is no dead letter.")


@app.command()
def show(
    identifier: Id,
    kafka: Servers = None,
    data_dir: DataDir = None,
    save: Annotated[Path | None, typer.Option(help="write the message's value to this file")] = None,
) -> None:
    """One dead letter: its note and its headers; the value can be saved."""
    record = _one(servers_of(kafka, data_dir), identifier)
    out.print(f"key: {(record.key or b'').decode(errors='replace')}", markup=False)
    for name, value in record.headers:
        out.print(f"header {name}: {value.decode(errors='replace')}", markup=False)
    out.print(f"value: {len(record.value or b'')} bytes")
    if save is not None:
        save.write_bytes(record.value or b"")
        out.print(f"value written to {save}", markup=False)


@app.command()
def replay(identifier: Id, kafka: Servers = None, data_dir: DataDir = None) -> None:
    """Put a dead letter back on the topic it came from, as it was; it stays in the dead letters too."""
    servers = servers_of(kafka, data_dir)
    record = _one(servers, identifier)
    note = _note(record)
    if note is None or note.source_topic not in {topic.name for topic in ALL if topic is not DEADLETTERS}:
        raise BadRequest(f"Dead letter {identifier} does not say which of our topics it came from.")
    headers = [(name, value) for name, value in record.headers if name != DEADLETTER_HEADER]
    producer = KafkaProducer(
        bootstrap_servers=servers.split(","),
        acks="all",
        max_request_size=MAX_MESSAGE_BYTES,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=10_000,
    )
    try:
        place = producer.send(note.source_topic, key=record.key, value=record.value, headers=headers).get(timeout=20)
    except KafkaError as error:
        raise KafkaUnavailable(f"{note.source_topic} did not take the message: {type(error).__name__}.") from error
    finally:
        producer.close()
    out.print(f"{identifier} is on {note.source_topic} again, at {place.partition}:{place.offset}")


def servers_of(kafka: str | None, data_dir: Path | None) -> str:
    """The cluster that is asked for, else that of the running node."""
    return kafka or running_node(directory_of(data_dir)).addresses.bootstrap_servers


def _consumer(servers: str) -> KafkaConsumer:
    try:
        return KafkaConsumer(
            bootstrap_servers=servers.split(","),
            enable_auto_commit=False,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=10_000,
        )
    except KafkaError as error:
        raise KafkaUnavailable(f"No Kafka answers at {servers}: {type(error).__name__}.") from error


def _all(servers: str) -> Iterator[Any]:
    return reading.records(servers, DEADLETTERS.name)


def _one(servers: str, identifier: str) -> Any:
    partition, _, offset = identifier.partition(":")
    if not (partition.isdigit() and offset.isdigit()):
        raise BadRequest(f"{identifier!r} is not PARTITION:OFFSET, such as 0:17.")
    consumer = _consumer(servers)
    try:
        place = TopicPartition(DEADLETTERS.name, int(partition))
        if int(partition) not in (consumer.partitions_for_topic(DEADLETTERS.name) or ()):
            raise BadRequest(f"There is no dead letter {identifier}.")
        consumer.assign([place])
        consumer.seek(place, int(offset))
        for record in consumer.poll(POLL_MS, max_records=1).get(place, ()):
            if record.offset == int(offset):
                return record
    finally:
        consumer.close()
    raise BadRequest(f"There is no dead letter {identifier}.")


def _in_files(data_dir: Path | None) -> Iterator[tuple[Path, OutgoingMessage]]:
    """What the spools' folders of last resort hold."""
    for path in sorted(directory_of(data_dir).spool.rglob(f"{REJECTED_FOLDER}/*.record")):
        data = path.read_bytes()
        for found in records.scan(data):
            for place in found.places if isinstance(found, records.Found) else ():
                yield path, unpack(data, place.offset)[0]


def _note(record: Any) -> MessageSetAside | None:
    return _noted(dict(record.headers).get(DEADLETTER_HEADER, b""), f"{record.partition}:{record.offset}")


def _noted(encoded: bytes, name: str) -> MessageSetAside | None:
    try:
        return MessageSetAside.decode(encoded)
    except MalformedEvent as error:
        err.print(f"{name} has no readable note ({type(error).__name__})", markup=False)
        return None
