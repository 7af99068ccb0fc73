"""``tocsin up``: all services on this machine, until Ctrl-C."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler
from rich.table import Table

from tocsin.console import err, out
from tocsin.data_directory import DataDirectory, default_root
from tocsin.kafka.topics import TopicLayout
from tocsin.node import Addresses, Node, with_environment
from tocsin.ports import LOOPBACK

SHORTEST_BEAT_SECONDS = 10.0

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="where spool, Kafka, alerts and secrets live", envvar="TOCSIN_DATA_DIR"),
]


def directory_of(data_dir: Path | None) -> DataDirectory:
    return DataDirectory((data_dir or default_root()).absolute())


def up(
    data_dir: DataDir = None,
    ae_title: Annotated[str, typer.Option(envvar="TOCSIN_LISTENER_AE_TITLE")] = "TOCSIN",
    dicom_host: Annotated[
        str, typer.Option(help="0.0.0.0 for scanners on the network", envvar="TOCSIN_LISTENER_HOST")
    ] = LOOPBACK,
    dicom_port: Annotated[int, typer.Option(envvar="TOCSIN_LISTENER_PORT")] = 11112,
    web_host: Annotated[str, typer.Option(envvar="TOCSIN_ALERTS_HOST")] = LOOPBACK,
    web_port: Annotated[int, typer.Option(envvar="TOCSIN_ALERTS_PORT")] = 8080,
    kafka_port: Annotated[int, typer.Option(help="of the embedded Kafka; the next one is its controller's")] = 19092,
    metrics_port: Annotated[
        int,
        typer.Option(help="of the listener, on loopback; the next three are those of streams, alerts and monitoring"),
    ] = 9101,
    workers: Annotated[
        int, typer.Option(help="processes that read slices, sharing the partitions", min=1, max=TopicLayout.partitions)
    ] = 1,
    listeners: Annotated[
        int,
        typer.Option(help="processes that listen on the DICOM port", min=1, max=16, envvar="TOCSIN_LISTENER_PROCESSES"),
    ] = 1,
    heartbeat: Annotated[
        float,
        typer.Option(
            help="minutes between two dead-man's studies to a test recipient; 0: none",
            min=0,
            envvar="TOCSIN_HEARTBEAT_MINUTES",
        ),
    ] = 0,
) -> None:
    """Run Kafka, listener, streams, alerts and monitoring on this machine; what crashes is started again.

    With KAFKA_BOOTSTRAP_SERVERS set, that cluster is used and none is started.
    """
    addresses = Addresses(
        dicom_host=dicom_host,
        dicom_port=dicom_port,
        ae_title=ae_title,
        web_host=web_host,
        web_port=web_port,
        kafka_port=kafka_port,
        kafka_controller_port=kafka_port + 1,
        listener_metrics_port=metrics_port,
        streams_metrics_port=metrics_port + 1,
        alerts_metrics_port=metrics_port + 2,
        further_metrics_port=metrics_port + 10,
        workers=workers,
        listeners=listeners,
        monitoring_metrics_port=metrics_port + 3,
        heartbeat_metrics_port=metrics_port + 4,
        heartbeat_webhook_port=metrics_port + 5,
    )
    show_log()
    seconds = max(heartbeat * 60, SHORTEST_BEAT_SECONDS) if heartbeat else None
    asyncio.run(_run(Node(directory_of(data_dir), with_environment(addresses), say, heartbeat_seconds=seconds)))


def say(text: str) -> None:
    err.print(f"[dim]{text} …[/dim]")


def show_log() -> None:
    """Remarks of the supervisor, such as a restart, go to the terminal."""
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    for library in ("kafka", "pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def stop_signal() -> asyncio.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _run(node: Node) -> None:
    stop = stop_signal()
    starting = asyncio.create_task(_serve(node, stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not node.serving:
        starting.cancel()
    try:
        await starting
    except asyncio.CancelledError:
        err.print("Stopped while starting.")


async def _serve(node: Node, stop: asyncio.Event) -> None:
    async with node.running():
        out.print(table_of(node))
        out.print("Ctrl-C stops it.")
        record = asyncio.create_task(node.keep_record())
        await stop.wait()
        record.cancel()


def table_of(node: Node) -> Table:
    """Where the node's parts are."""
    at = node.addresses
    table = Table(title="Tocsin is running", title_justify="left", show_header=False)
    table.add_row("Scanners send to", f"{at.ae_title}@{at.dicom_host}:{at.dicom_port}")
    table.add_row("Page", os.environ.get("TOCSIN_ALERTS_PUBLIC_URL") or at.page_url)
    table.add_row("Kafka", at.bootstrap_servers)
    for service, port in at.metrics_ports().items():
        table.add_row(f"Metrics of {service}", f"http://{LOOPBACK}:{port}/metrics")
    table.add_row("Data and logs", str(node.directory.root))
    return table
