"""Settings of the stream workers, from the environment (prefix ``TOCSIN_STREAMS_``)."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.closing import ClosingRules
from streams.gallery import Pictured
from triage_models.errors import RuntimeUnavailable
from triage_models.runtimes.names import named


class StreamsSettings(BaseSettings):
    """One stream worker. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_STREAMS_", extra="ignore", populate_by_name=True, use_attribute_docstrings=True
    )

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    """host:port, several separated by commas."""
    app_id: str = "tocsin-streams"
    """Consumer group; also the prefix of the changelog topics."""
    instance: str | None = None
    """Name of this worker, unlike any other's and the same after a restart: a restarted worker is then given its
    partitions back at once (static membership) instead of waiting for its former self to expire."""
    model_dir: Path | None = None
    """Folder of the one model that reads, whatever the store says."""
    model_store: Path | None = None
    """Folder of the site's models (`tocsin model add | use`): the one in use reads every series that begins. Without it
    and without `model_dir` the shipped model reads."""
    inference_threads: PositiveInt = 2
    runtimes: str = "auto"
    """What runs the network: `auto`, the best that this machine has; or names of docs/runtimes.md separated by commas,
    the first being the one that should: every finding read by another says that it is degraded."""
    engines_dir: Path | None = None
    """Folder of TensorRT engines made by `tocsin model build`; in the user's cache folder when absent."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(9102, ge=0, le=65535)
    log_level: str = "INFO"
    kafka_wait_seconds: PositiveFloat = 60.0
    """How long to wait at the start for the cluster and its topics."""
    session_timeout_seconds: PositiveFloat = 6.0
    """A dead worker's partitions are given away after this; the promise of 30 s depends on it."""
    heartbeat_seconds: PositiveFloat = 2.0
    rebalance_timeout_seconds: PositiveFloat = 10.0
    request_timeout_seconds: PositiveFloat = 10.0
    patience_seconds: PositiveFloat = 30.0
    """How long a write is tried again while Kafka is away; after that the worker ends and starts afresh."""
    commit_interval_seconds: PositiveFloat = 1.0
    buffer_messages: PositiveInt = 16
    """Messages held per stream: at 525 kB each, 8 MB. What is held cannot be overtaken by the ledger."""
    read_ahead: int = Field(4, ge=0, le=32)
    """Slices that are read together where several wait; below 2 each is read alone. A GPU likes 16."""
    tick_seconds: PositiveFloat = 0.25
    stall_seconds: PositiveFloat = 20.0
    """A worker that processes nothing for this long while messages wait ends, to be started again."""
    keep_hours: PositiveFloat = 24.0
    """The state of a closed series is kept this long, for late slices."""
    table_standby_replicas: int = Field(0, ge=0)
    """Further workers that keep a copy of each series' state; 1 where more than one worker runs."""
    topic_replication_factor: PositiveInt = 1
    pictures: Pictured = Pictured.READABLE
    """Which series people can look at on the page: none, positive, or readable (every series, once it is closed)."""
    picture_side: int = Field(512, ge=64, le=1024)
    """Longest side of those pictures, pixels; larger slices are reduced by whole factors."""
    settle_seconds: PositiveFloat = 1.0
    settle_many_seconds: PositiveFloat = 4.0
    quiet_seconds: PositiveFloat = 10.0
    quiet_open_seconds: PositiveFloat = 30.0
    overdue_seconds: PositiveFloat = 1800.0

    @field_validator("runtimes")
    @classmethod
    def _runtimes_exist(cls, value: str) -> str:
        try:
            named(value)
        except RuntimeUnavailable as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def durability(self) -> tuple[float, float]:
        """(seconds for one attempt to write, seconds until attempts end)."""
        return self.request_timeout_seconds, self.patience_seconds

    @property
    def closing_rules(self) -> ClosingRules:
        return ClosingRules(
            settle_seconds=self.settle_seconds,
            settle_many_seconds=self.settle_many_seconds,
            quiet_seconds=self.quiet_seconds,
            quiet_open_seconds=self.quiet_open_seconds,
            overdue_seconds=self.overdue_seconds,
        )
