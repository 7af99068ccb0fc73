"""Run by Alembic: configures it for the connection that :mod:`alerts.store.steps` hands over."""

from typing import Any, Literal

from alembic import context

from alerts.store.schema import Base, Instant


def _plain(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Steps name no type of ours: they must mean the same for ever."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    render_item=_plain,
)
context.run_migrations()
