"""``tocsin topics``: make the topics on a cluster, see them, and say how long they are kept."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from streams.contracts.topics import ALL, HOUR_MS
from tocsin.console import out
from tocsin.errors import BadRequest
from tocsin.kafka.broker import wait_until_answering
from tocsin.kafka.topics import TopicLayout, TopicOnCluster, create_topics, keep_for, topics_on

app = typer.Typer(no_args_is_help=True, help="The Kafka topics: make them, see them, say how long they are kept.")

DEFAULT_SERVERS = "127.0.0.1:9092"

Servers = Annotated[
    str, typer.Option("--bootstrap-servers", envvar="KAFKA_BOOTSTRAP_SERVERS", help="host:port, separated by commas")
]


@app.command()
def create(
    servers: Servers = DEFAULT_SERVERS,
    partitions: Annotated[
        int, typer.Option(min=1, help="of slices and ledger; at most so many stream workers share the load")
    ] = TopicLayout.partitions,
    replication_factor: Annotated[int, typer.Option(min=1, help="3 on a cluster of three")] = 1,
    min_insync_replicas: Annotated[int, typer.Option(min=1, help="2 on a cluster of three")] = 1,
    wait_seconds: Annotated[float, typer.Option(min=0, help="for the cluster to answer")] = 60.0,
) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    if min_insync_replicas > replication_factor:
        raise BadRequest("More replicas in sync than there are replicas: nothing could be written.")
    wait_until_answering(servers, wait_seconds)
    made = create_topics(servers, TopicLayout(partitions, replication_factor, min_insync_replicas))
    out.print(f"Created: {', '.join(made)}" if made else "All topics are there.")


@app.command("list")
def list_(servers: Servers = DEFAULT_SERVERS, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show each topic as it is on the cluster. Exit status 1 when one is missing."""
    found = topics_on(servers)
    missing = [topic.name for topic in ALL if topic.name not in {each.name for each in found}]
    if as_json:
        out.print_json(json.dumps({"topics": [asdict(each) for each in found], "missing": missing}))
    else:
        out.print(_table(found))
    if missing:
        raise BadRequest(f"Missing: {', '.join(missing)}. Make them with: tocsin topics create")


@app.command()
def keep(
    topic: Annotated[str, typer.Argument(help="one of: " + ", ".join(t.name for t in ALL if t.retention_ms))],
    hours: Annotated[float, typer.Option(min=0.1, help="messages older than this may be deleted")],
    servers: Servers = DEFAULT_SERVERS,
) -> None:
    """Say how long a topic's messages are kept."""
    known = {each.name: each for each in ALL}
    if topic not in known or known[topic].retention_ms is None:
        raise BadRequest(f"{topic} is no topic of ours whose messages grow old.")
    keep_for(servers, topic, round(hours * HOUR_MS))
    out.print(f"{topic} is kept for {hours:g} h.")


def _table(found: tuple[TopicOnCluster, ...]) -> Table:
    table = Table(title="Topics", title_justify="left")
    for column in ("Topic", "Partitions", "Replicas", "Min in sync", "Kept"):
        table.add_column(column)
    for each in found:
        kept = "newest per key" if each.retention_ms is None else f"{each.retention_ms / HOUR_MS:g} h"
        table.add_row(
            each.name, str(each.partitions), str(each.replication_factor), str(each.min_insync_replicas), kept
        )
    return table
