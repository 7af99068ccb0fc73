"""Settings of the dead-man's study, from the environment (prefix ``TOCSIN_HEARTBEAT_``) and secret files."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tocsin.heartbeat import Limits

MOUNTED_SECRETS = Path("/run/secrets")


class TestRecipient(BaseModel):
    """The webhook that alerts post to; of the address only the port matters here."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    secret: SecretStr


class HeartbeatSettings(BaseSettings):
    """One heart. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="TOCSIN_HEARTBEAT_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    to: str = "TOCSIN@127.0.0.1:11112"
    """AET@HOST:PORT of the DICOM port."""
    every_seconds: Annotated[float, Field(ge=10)] = 300.0
    """From the start of one study to the start of the next."""
    late_seconds: PositiveFloat = 30.0
    """From the first C-STORE to the test recipient; a later alert is a failure."""
    missing_seconds: PositiveFloat = 120.0
    """How long an alert is waited for."""
    site_secret_file: Annotated[Path, Field(validation_alias="TOCSIN_SITE_SECRET_FILE")]
    """The listener's: it makes the seal, and the study's key."""
    webhook_host: str = "127.0.0.1"
    """Address that the test recipient listens on."""
    webhook_port: Annotated[int, Field(ge=0, le=65535)] = 9106
    """Port of the test recipient."""
    webhook: TestRecipient
    """The same JSON as the alert service's TOCSIN_ALERTS_HEARTBEAT_WEBHOOK."""
    model_dir: Path | None = None
    """Folder of the model that the study is chosen with; the shipped one when absent."""
    metrics_host: str = "127.0.0.1"
    """Address of /metrics, /healthz and /readyz."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9105
    log_level: str = "INFO"

    @property
    def limits(self) -> Limits:
        return Limits(self.late_seconds, self.missing_seconds)
