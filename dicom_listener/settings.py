"""Settings of the listener, from the environment. Every limit has its unit in its name.

Read by ``__main__`` alone.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dicom_listener.errors import CannotStart
from dicom_listener.peers import Peer
from dicom_listener.tls import TlsFiles

GIB = 1 << 30


class Settings(BaseSettings):
    """``TOCSIN_LISTENER_*``, and the names that all services share."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_LISTENER_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    kafka_bootstrap_servers: Annotated[str, Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")] = "127.0.0.1:9092"
    """Host:port, several separated by commas."""
    site_secret_file: Annotated[Path, Field(validation_alias="TOCSIN_SITE_SECRET_FILE")]
    """At least 32 bytes; makes the pseudonymous keys."""
    identity_key_file: Annotated[Path, Field(validation_alias="TOCSIN_IDENTITY_KEY_FILE")]
    """Exactly 32 bytes; seals the identities."""

    ae_title: Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,14}[\x21-\x7e])?$")] = "TOCSIN"
    """Ours; an association that calls another title is rejected."""
    host: str = "127.0.0.1"
    """Address that the DICOM port listens on; all interfaces are 0.0.0.0."""
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 takes a free one and says which in the journal."""
    metrics_host: str = "127.0.0.1"
    """Address of /metrics, /healthz and /readyz."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9101
    """The first process's; the next ones take the ports behind it. 0 takes a free one."""
    log_level: str = "INFO"
    """Of the journal on standard error."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Listening on the same port. The caps and byte bounds below hold for each."""
    worker: Annotated[int, Field(ge=0)] | None = None
    """Set by the process that starts the others: the number of this one."""

    spool_dir: Path
    """On a local disk that keeps its word about fdatasync; one process per folder."""
    spool_max_bytes: Annotated[int, Field(ge=1 << 20)] = 10 * GIB
    """About 20 000 slices of 512×512, or a hundred studies while Kafka is away."""

    peers: tuple[Peer, ...] = ()
    """JSON list of {"ae_title": …, "address": address or CIDR}; empty lets any peer in."""
    scanners: tuple[str, ...] = ()
    """JSON list of AE titles that the metrics tell apart, besides those of the peers; the others count as one."""
    max_associations: Annotated[int, Field(ge=1)] = 64
    """Open at one time; more are rejected as transient."""
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 32
    """From one address."""
    reserved_associations: Annotated[int, Field(ge=0)] = 8
    """Of the total, kept for addresses that have none open."""
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 24)] = 131_072
    """Announced to the sender (PS3.8 D.1); DCMTK's own maximum."""
    max_object_bytes: Annotated[int, Field(ge=1 << 20)] = GIB
    """Of one data set; 2000 frames of an Enhanced CT."""
    max_incoming_bytes: Annotated[int, Field(ge=1 << 20)] = 2 * GIB
    """Of all that is being received at one time; beyond it senders are asked to try again."""
    tls_certificate_file: Path | None = None
    """PEM chain; with the key and the authorities, the port speaks TLS only, and peers must show a certificate."""
    tls_key_file: Path | None = None
    """PEM, without a passphrase."""
    tls_authorities_file: Path | None = None
    """PEM; whose certificates a peer may show."""
    request_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    """From connection to a whole A-ASSOCIATE-RQ (ARTIM, PS3.8 9.1.5)."""
    pdu_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    """For one PDU, from its first byte to its last."""
    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """An association without a PDU for so long is aborted."""
    stop_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    """On SIGTERM, for running associations to end."""
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    """On SIGTERM, for the spool to reach Kafka."""

    @property
    def tls_files(self) -> TlsFiles | None:
        """None where TLS is off.

        Raises:
            CannotStart: some of the three files are set and some are not.
        """
        certificate, key, authorities = self.tls_certificate_file, self.tls_key_file, self.tls_authorities_file
        if certificate and key and authorities:
            return TlsFiles(certificate, key, authorities)
        if certificate or key or authorities:
            raise CannotStart("TLS needs a certificate, its key and the authorities: set all three files or none")
        return None

    @property
    def known_scanners(self) -> frozenset[str]:
        """Calling AE titles that may be a label of a metric: bounded, and chosen by the site."""
        return frozenset(self.scanners) | {peer.ae_title for peer in self.peers if peer.ae_title != "*"}

    @property
    def bootstrap_servers(self) -> list[str]:
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",") if server.strip()]
