"""Writes ``docs/reference.md`` from the code: every topic and setting. ``python -m tocsin.reference``.

A test compares the file with what this prints, so that the documentation cannot fall behind.
"""

import sys
from collections.abc import Iterator

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from alerts.settings import Settings as AlertsSettings
from dicom_listener.settings import Settings as ListenerSettings
from monitoring.settings import MonitoringSettings
from streams.contracts.topics import ALL
from streams.settings import StreamsSettings
from tocsin.heartbeat_settings import HeartbeatSettings

SETTINGS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("dicom_listener", ListenerSettings),
    ("streams", StreamsSettings),
    ("alerts", AlertsSettings),
    ("monitoring", MonitoringSettings),
    ("heartbeat", HeartbeatSettings),
)


def lines() -> Iterator[str]:
    """The document, line by line."""
    yield "# Reference"
    yield ""
    yield "Written by `python -m tocsin.reference`; do not edit."
    yield ""
    yield "## Topics"
    yield ""
    yield "| topic | key | from | to | kept |"
    yield "|---|---|---|---|---|"
    for topic in ALL:
        kept = "compacted" if topic.retention_ms is None else f"{topic.retention_ms // 3_600_000} h"
        yield f"| `{topic.name}` | {topic.key} | {topic.producer} | {topic.consumer} | {kept} |"
    yield ""
    yield "## Settings"
    for service, settings in SETTINGS:
        yield ""
        yield f"### {service}"
        yield ""
        yield "| environment variable | default | meaning |"
        yield "|---|---|---|"
        for name, field in settings.model_fields.items():
            yield f"| `{_variable(settings, name, field)}` | {_default(field)} | {_one_line(field.description)} |"
    yield ""
    yield "Metrics are in [metrics.md](metrics.md)."


def _variable(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return str(alias) if alias is not None else f"{settings.model_config.get('env_prefix', '')}{name.upper()}"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, tuple):
        return ", ".join(f"`{value}`" for value in field.default) or "–"
    return "–" if field.default in (None, "") else f"`{field.default}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
