"""Settings of the broker watch, from the environment (prefix ``TOCSIN_MONITORING_``). Read by ``__main__`` alone."""

from pydantic import Field, PositiveFloat
from pydantic_settings import BaseSettings, SettingsConfigDict


class MonitoringSettings(BaseSettings):
    """Whose lag is measured, and where it is told."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_MONITORING_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    """Host:port, several separated by commas."""
    consumers: dict[str, tuple[str, ...]] = {
        "tocsin-streams": ("ct.slices.v1", "ct.series.v1"),
        "tocsin-alerts": ("triage.findings.v1", "phi.identities.v1"),
    }
    """JSON: the consumer groups, and the topics that each must keep up with."""
    topics: tuple[str, ...] = (
        "ct.slices.v1",
        "ct.series.v1",
        "phi.identities.v1",
        "ct.pictures.v1",
        "triage.findings.v1",
        "triage.alerts.v1",
        "triage.deadletter.v1",
    )
    """JSON: the topics whose messages are counted."""
    deadletter_topic: str = "triage.deadletter.v1"
    """The topic whose newest message is looked at: it rings for 15 minutes."""
    look_seconds: PositiveFloat = 2.0
    """Between two questions to the broker."""
    metrics_host: str = "127.0.0.1"
    """Address of /metrics, /healthz and /readyz."""
    metrics_port: int = Field(9104, ge=0, le=65535)
    log_level: str = "INFO"
    """Of the journal on standard error."""

    @property
    def bootstrap_servers(self) -> list[str]:
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",") if server.strip()]
