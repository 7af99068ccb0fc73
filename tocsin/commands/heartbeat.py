"""``tocsin heartbeat``: the dead-man's study, every few minutes or once."""

import json
import logging
import signal
import threading
import time
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from monitoring.exposition import Exposition
from monitoring.health import Health
from monitoring.host import HostMetrics
from monitoring.journal import open_journal
from streams.contracts.errors import WeakSecret
from streams.contracts.ids import SiteSecret
from tocsin.console import out
from tocsin.errors import BadRequest, PortTaken
from tocsin.heartbeat import Beat, BeatOutcome, Heart, beating_head
from tocsin.heartbeat_metrics import HeartbeatMetrics
from tocsin.heartbeat_settings import MOUNTED_SECRETS, HeartbeatSettings
from tocsin.scanner import Destination
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.errors import ModelError

journal = logging.getLogger("heartbeat")


def heartbeat(
    once: Annotated[
        bool, typer.Option("--once", help="one study; exit status 1 unless its alert came in time")
    ] = False,
) -> None:
    """Send a synthetic bleed through the real DICOM port to a test recipient, and ring when it does not come back.

    Settings come from TOCSIN_HEARTBEAT_* (docs/reference.md). No doctor is told, and nothing clinical counts it.
    """
    settings = _settings()
    open_journal("heartbeat", settings.log_level)
    logging.getLogger("streams").setLevel(logging.WARNING)  # they read the head here, and nobody's series
    recipient = _recipient(settings)
    try:
        heart = _heart(settings, recipient)
        if once:
            beat = heart.beat()
            out.print_json(json.dumps(_fields(beat)))
            raise typer.Exit(0 if beat.outcome is BeatOutcome.SUCCESS else 1)
        _beat_until_stopped(heart, settings)
    finally:
        recipient.close()


def _settings() -> HeartbeatSettings:
    secrets = MOUNTED_SECRETS if MOUNTED_SECRETS.is_dir() else None
    try:
        return HeartbeatSettings(_secrets_dir=secrets)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadRequest(f"Settings of the heartbeat: {faults}.") from None


def _recipient(settings: HeartbeatSettings) -> WebhookReceiver:
    at = f"{settings.webhook_host}:{settings.webhook_port}"
    try:
        return WebhookReceiver(settings.webhook.secret.get_secret_value(), settings.webhook_host, settings.webhook_port)
    except OSError as error:
        raise PortTaken(f"The test recipient cannot listen on {at}: {error.strerror}.") from None


def _heart(settings: HeartbeatSettings, recipient: WebhookReceiver) -> Heart:
    try:
        secret = SiteSecret(settings.site_secret_file.read_bytes())
        head = beating_head(settings.model_dir, lambda text: journal.info("looking for a head", extra={"found": text}))
    except OSError as error:
        raise BadRequest(f"{settings.site_secret_file} cannot be read: {error.strerror}.") from None
    except (WeakSecret, ModelError) as error:
        raise BadRequest(f"The heartbeat cannot start: {error}.") from None
    return Heart(head, Destination.parse(settings.to), secret, recipient, settings.limits)


def _beat_until_stopped(heart: Heart, settings: HeartbeatSettings) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = HeartbeatMetrics(CollectorRegistry())
    metrics.every.set(settings.every_seconds)
    HostMetrics(metrics.registry)
    last: list[Beat] = []
    health = Health(readiness={"heartbeat": lambda: _trouble(last)})
    try:
        exposition = Exposition(metrics.registry, health, (settings.metrics_host, settings.metrics_port)).start()
    except OSError as error:
        raise PortTaken(f"{settings.metrics_host}:{settings.metrics_port} cannot be used: {error.strerror}.") from None
    journal.info("beating", extra={"to": settings.to, "every_seconds": settings.every_seconds})
    while not stop.is_set():
        started = time.monotonic()
        beat = heart.beat()
        last[:] = [beat]
        metrics.ended(beat)
        journal.log(logging.INFO if beat.outcome is BeatOutcome.SUCCESS else logging.ERROR, "beat", extra=_fields(beat))
        stop.wait(max(0.0, started + settings.every_seconds - time.monotonic()))
    exposition.close()


def _trouble(last: list[Beat]) -> str | None:
    if not last or last[0].outcome is BeatOutcome.SUCCESS:
        return None
    return f"the last dead-man's study was {last[0].outcome}"


def _fields(beat: Beat) -> dict[str, object]:
    return {
        "study": beat.study_key,
        "sent_at": beat.sent_at.isoformat(timespec="milliseconds"),
        "outcome": beat.outcome,
        "seconds": beat.seconds,
        "detail": beat.detail,
    }
