"""Changes to the text of the on-call document that keep its comments and its order: what a form or an import does."""

from collections.abc import Iterable
from datetime import datetime
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from alerts.errors import RotaRefused
from alerts.oncall import Override, instant
from alerts.plan import read_document


def with_override(text: str, rotation: str, override: Override) -> str:
    """The document with one more override, before the others: it is the one that counts.

    Raises:
        RotaRefused: the document cannot be read, or has no such rotation.
    """
    document = _loaded(text)
    _overrides(document, rotation).insert(0, _entry(override))
    return _written(document)


def with_duties(text: str, rotation: str, duties: Iterable[Override], start: datetime) -> str:
    """The document with these duties as the rotation's overrides, in place of all that end after ``start``.

    Raises:
        RotaRefused: the document cannot be read, or has no such rotation.
    """
    on_call, document = read_document(text), _loaded(text)
    overrides = _overrides(document, rotation)
    known = on_call.rotations[rotation].overrides
    past = [entry for entry, known in zip(overrides, known, strict=True) if instant(known.end, on_call.zone) <= start]
    overrides[:] = [*past, *(_entry(duty) for duty in duties)]
    return _written(document)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    return yaml


def _loaded(text: str) -> Any:
    try:
        return _yaml().load(text)
    except YAMLError:
        raise RotaRefused("it is not YAML") from None


def _overrides(document: Any, rotation: str) -> Any:
    try:
        known = document["rotations"][rotation]
    except (KeyError, TypeError):
        raise RotaRefused(f"there is no rotation {rotation!r}") from None
    return known.setdefault("overrides", [])


def _entry(override: Override) -> dict[str, str]:
    """Times are local, as a person would write them; with their offset where that was given."""
    return {"start": _time(override.start), "end": _time(override.end), "who": override.who}


def _time(value: datetime) -> str:
    return value.isoformat(timespec="minutes")


def _written(document: Any) -> str:
    out = StringIO()
    _yaml().dump(document, out)
    return out.getvalue()
