"""Runs the alert service: ``python -m alerts``; with ``audit verify`` or ``audit export`` looks at its record instead.

Only this module reads settings, builds and wires.

Exit status: 0 after SIGTERM or SIGINT, 1 when a part of it broke (start it again), 2 for settings it cannot run with.
"""

import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial

import uvicorn
from prometheus_client import CollectorRegistry

from alerts.access.entrance import Entrance
from alerts.access.recognition import Recognition
from alerts.access.second_factor import Sealer
from alerts.access.sign_on import CALLBACK
from alerts.access.signing_in import SignIn
from alerts.access.trail import Views
from alerts.audit import Auditor
from alerts.auditing import audit_command
from alerts.broker import Inbound, Outbound, Reception
from alerts.channels.push import PushService, Vapid, fresh_private
from alerts.channels.webhook import WebhookChannel
from alerts.circuits import Circuits
from alerts.crew import Crew
from alerts.delivery import DOZE_SECONDS, LOOK_SECONDS, Delivery, deliver_until
from alerts.desk import Desk
from alerts.errors import SettingsRefused, StoreUnavailable
from alerts.hanging import PictureIntake, take_down_until
from alerts.heartbeat import Heartbeats
from alerts.intake import Intake
from alerts.links import Links, LinkSigner
from alerts.metrics import AlertMetrics
from alerts.pacs import PacsLink
from alerts.plan import Plan
from alerts.ports import Clock
from alerts.publishing import Publishing, publish_until
from alerts.revealing import revealing
from alerts.settings import PREFIX, Settings, load_cipher, load_oncall, load_recipients, load_settings
from alerts.store.claims import release
from alerts.store.database import Database
from alerts.store.gallery import Gallery, address_beside
from alerts.store.subscriptions import SubscriptionBook
from alerts.switchboard import Switchboard
from alerts.ticker import Ticker, tick_until
from alerts.timing import Bell, SystemClock
from alerts.web.app import create_app
from alerts.web.context import Context
from alerts.web.guard import House
from monitoring.exposition import Exposition
from monitoring.health import Health
from monitoring.host import HostMetrics
from monitoring.journal import open_journal
from monitoring.tracing import open_traces
from streams.contracts.topics import FINDINGS, IDENTITIES, PICTURES

log = logging.getLogger("alerts")

EXIT_OK, EXIT_BROKEN, EXIT_SETTINGS = 0, 1, 2
WATCH_SECONDS = 0.5
JOIN_SECONDS = 6.0
CLOSE_CONNECTIONS_SECONDS = 1
BACKLOG = 128
LINK_SECRET_BYTES = 32


def main() -> int:
    try:
        settings = load_settings()
        return audit_command(sys.argv[1:], settings) if sys.argv[1:] else run(settings)
    except SettingsRefused as error:
        sys.stderr.write(f"alerts: {error}\n")
        return EXIT_SETTINGS
    except StoreUnavailable as error:
        sys.stderr.write(f"alerts: the database is not available: {error}\n")
        return EXIT_BROKEN


def run(settings: Settings) -> int:
    """Build all, run until told to stop, take all down.

    Raises:
        SettingsRefused: it cannot be built with these settings.
    """
    recipients, cipher = load_recipients(settings), load_cipher(settings)
    clock = SystemClock()
    oncall_text = load_oncall(settings, recipients, clock.now())
    database = Database(settings.database_url)
    gallery = Gallery(settings.pictures_url or address_beside(settings.database_url))
    door = listen(settings.host, settings.port)
    open_journal("alerts", settings.log_level)
    quiet_libraries()

    check_certificate(settings)
    crew, delivery_bell, publish_bell = Crew(), Bell(), Bell()
    metrics = AlertMetrics(CollectorRegistry())
    HostMetrics(metrics.registry, {"store": database.folder} if database.folder else {})
    metrics.recipients.set(len(recipients.names) if recipients else 0)
    scheme = "https" if settings.tls_certificate_file else "http"
    url = settings.public_url or f"{scheme}://{settings.host}:{door.getsockname()[1]}"
    holder = settings.instance or f"{socket.gethostname()}:{door.getsockname()[1]}"

    def wake() -> None:
        delivery_bell.ring()
        publish_bell.ring()

    signer = LinkSigner(lambda: database.secret("link_secret", secrets.token_bytes(LINK_SECRET_BYTES)))
    links = Links(url, settings.place, signer)
    plan = Plan(recipients, timedelta(seconds=settings.remind_after_seconds), database, clock)
    parts = frozenset(settings.message_parts)
    desk = Desk(database, clock, settings.policy(), recipients, plan, links, wake, parts, metrics.answered, cipher)
    outbound = Outbound(settings.kafka_bootstrap_servers)
    publisher = Outbound(settings.kafka_bootstrap_servers)
    pictures_aside = Outbound(settings.kafka_bootstrap_servers)
    reception, auditor = Reception(clock, metrics), Auditor()
    test_recipient = WebhookChannel(settings.heartbeat_webhook, clock) if settings.heartbeat_webhook else None
    heartbeats = Heartbeats(database.touch, clock, settings.policy(), links, test_recipient)
    traces = open_traces("alerts", os.environ)
    intake = Intake(desk, metrics, outbound.set_aside, heartbeats.take, traces)
    servers, group = settings.kafka_bootstrap_servers, settings.kafka_group
    inbound = Inbound(servers, (FINDINGS, IDENTITIES), group, holder, intake, reception, crew.stop)
    hanger = PictureIntake(gallery, clock, metrics, pictures_aside.set_aside)
    pictures = Inbound(servers, (PICTURES,), f"{group}-pictures", holder, hanger, None, crew.stop)
    vapid = cache(lambda: Vapid(database.secret("vapid_private", fresh_private()), settings.contact))
    push = PushService(SubscriptionBook(database), vapid, settings.push_services, clock)
    switchboard = Switchboard.of(recipients, settings.smtp, push, clock)
    circuits = Circuits(switchboard.providers)
    delivery = Delivery(
        database,
        clock,
        switchboard,
        metrics,
        holder,
        circuits=circuits,
        flood=settings.flood(),
        reveal=revealing(database, cipher, parts),
        recorded=publish_bell.ring,
        failed=desk.not_delivered,
        traces=traces,
    )
    publishing = Publishing(database, clock, publisher, metrics, holder)
    health = Health({"threads": crew.missing}, {"database": lambda: writable(database)})
    context = Context(
        database=database,
        clock=clock,
        desk=desk,
        cipher=cipher,
        recipients=recipients,
        reception=reception,
        metrics=metrics,
        stop=crew.stop,
        signer=signer,
        auditor=auditor,
        identify=Recognition(database, clock, settings.lifetime, settings.asks_nobody_here),
        views=Views(database, clock),
        entrance=entrance_of(settings, database, clock, url),
        health=health,
        gallery=gallery,
        pacs=PacsLink(settings.pacs_url) if settings.pacs_url else None,
        plan=plan,
        push=push,
        circuits=circuits,
    )
    exposition = expose(metrics, health, settings)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: crew.stop.set())
    server = web_server(create_app(context, house_of(settings)), settings)
    crew.start("web", lambda: server.run(sockets=[door]))
    try:
        stores, consumers = (database, gallery), (inbound, pictures)
        if prepare(stores, signer, holder, consumers, desk, lambda: plan.start(oncall_text), crew):
            for worker in range(settings.workers):
                idle = DOZE_SECONDS if worker else LOOK_SECONDS
                work = partial(deliver_until, crew.stop, delivery, delivery_bell, idle)
                crew.start(f"delivery-{worker}", work)
            crew.start("publishing", lambda: publish_until(crew.stop, publishing, publish_bell))
            crew.start("heartbeat", lambda: heartbeats.deliver_until(crew.stop))
            crew.start(
                "ticker",
                lambda: tick_until(crew.stop, Ticker(desk, metrics, reception, auditor, plan.refresh, circuits)),
            )
            crew.start("consumer", inbound.run)
            crew.start("pictures", pictures.run)
            keep = timedelta(hours=settings.pictures_keep_hours)
            crew.start("pictures-down", lambda: take_down_until(crew.stop, gallery, clock, keep))
            log.info("ready", extra={"url": url, "metrics_port": exposition.port})
        return watch(crew)
    finally:
        crew.stop.set()
        server.should_exit = True
        wake()
        crew.join(JOIN_SECONDS)
        outbound.close()
        publisher.close()
        pictures_aside.close()
        exposition.close()
        traces.close()
        database.close()
        gallery.close()
        log.info("stopped")


def quiet_libraries() -> None:
    """Kafka's client repeats itself several times a second while the broker is away; ``Reception`` says it once."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def listen(host: str, port: int) -> socket.socket:
    """The page's socket.

    Raises:
        SettingsRefused: the port is taken, or the address is not ours.
    """
    try:
        return socket.create_server((host, port), family=family_of(host), backlog=BACKLOG)
    except OSError as error:
        raise SettingsRefused(f"{PREFIX}HOST and PORT: cannot listen on {host} port {port}: {error.strerror}") from None


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def expose(metrics: AlertMetrics, health: Health, settings: Settings) -> Exposition:
    """The side door with metrics and health.

    Raises:
        SettingsRefused: its port is taken, or the address is not ours.
    """
    address = (settings.metrics_host, settings.metrics_port)
    try:
        return Exposition(metrics.registry, health, address).start()
    except OSError as error:
        raise SettingsRefused(f"{PREFIX}METRICS_HOST and METRICS_PORT: cannot listen: {error.strerror}") from None


def house_of(settings: Settings) -> House:
    """The names of the page: the address it listens on is one, unless that is all of them."""
    listens = () if settings.host in ("0.0.0.0", "::") else (settings.host,)  # noqa: S104 - compared, not bound
    return House.of(settings.public_url, (*settings.allowed_hosts, *listens))


def entrance_of(settings: Settings, database: Database, clock: Clock, url: str) -> Entrance:
    """The ways in.

    Raises:
        SettingsRefused: a secret cannot be read.
    """

    @cache
    def sealer() -> Sealer:
        kept = database.secret("access_secret", secrets.token_bytes(LINK_SECRET_BYTES))
        return Sealer(kept, settings.identity_key_file.read_bytes() if settings.identity_key_file else b"")

    @cache
    def flow_secret() -> bytes:
        return database.secret("sign_on_secret", secrets.token_bytes(LINK_SECRET_BYTES))

    sign_in = SignIn(database, clock, sealer, settings.lifetime, settings.second_factor)
    if settings.sign_on is None:
        return Entrance(sign_in, None)
    from alerts.access.provider import Provider  # half a second that a restart need not take without a sign-on

    return Entrance(sign_in, Provider(settings.sign_on, f"{url}{CALLBACK}", flow_secret))


def check_certificate(settings: Settings) -> None:
    """See that certificate and key can be used, before anything is started.

    Raises:
        SettingsRefused: unreadable, or the key does not belong to the certificate.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=no_passphrase)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise SettingsRefused(f"{PREFIX}TLS_CERTIFICATE_FILE and TLS_KEY_FILE cannot be used: {reason}") from None


def no_passphrase() -> str:
    """OpenSSL would otherwise ask the terminal."""
    raise ValueError("the key has a passphrase")


def web_server(app: Callable[..., object], settings: Settings) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=settings.tls_certificate_file,
        ssl_keyfile=settings.tls_key_file,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=CLOSE_CONNECTIONS_SECONDS,
    )
    return uvicorn.Server(config)


def prepare(
    stores: tuple[Database, Gallery],
    signer: LinkSigner,
    holder: str,
    consumers: tuple[Inbound, Inbound],
    desk: Desk,
    start_plan: Callable[[], None],
    crew: Crew,
) -> bool:
    """Wait for the databases, however long; False when asked to stop before they came."""
    (database, gallery), (inbound, pictures) = stores, consumers
    said = False
    while not crew.stop.is_set():
        try:
            inbound.from_the_beginning = database.prepare() or database.was_restored() or inbound.from_the_beginning
            inbound.rewound = database.forget_restored
            pictures.from_the_beginning = gallery.prepare() or pictures.from_the_beginning
            with database.writing() as session:
                release(session, holder)
            signer.prime()
            start_plan()
            desk.drop_gone()
            return True
        except StoreUnavailable as error:
            if not said:
                log.error("the database is not available", extra={"error": str(error)})
            said = True
            crew.stop.wait(WATCH_SECONDS)
    return False


def writable(database: Database) -> str | None:
    """Why the database cannot be written, in words; None when it can."""
    try:
        database.touch()
    except StoreUnavailable as error:
        return f"the database cannot be written: {error}"
    return None


def watch(crew: Crew) -> int:
    """Sleep until told to stop, or until a part is missing."""
    while not crew.stop.wait(WATCH_SECONDS):
        if missing := crew.missing():
            log.critical("giving up", extra={"why": missing})
            return EXIT_BROKEN
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
