"""``tocsin token``: what programs identify themselves with to the API."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from alerts.access import tokens
from alerts.access.permissions import Permission
from alerts.access.trail import AccessEvent, record_access
from tocsin.commands.alert_store import alert_store, whoever_types
from tocsin.commands.up import DataDir
from tocsin.console import err, out

app = typer.Typer(no_args_is_help=True, help="API tokens for programs: create, list, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="of the program; goes on record with what it does")],
    scope: Annotated[list[Permission], typer.Option("--scope", help="may be given several times")],
    days: Annotated[int, typer.Option(help="how long it is good for, at most 366")] = 90,
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it. It is not kept here and cannot be shown again."""
    now = datetime.now(UTC)
    with alert_store(data_dir) as store, store.writing() as session:
        token = tokens.create(session, name, scope, days, now)
        facts = {"token": name, "scopes": sorted(set(scope)), "days": days}
        record_access(session, now, AccessEvent.TOKEN_CREATED, **facts, by=whoever_types())
    err.print(f"Send it as 'Authorization: Bearer …'. It is good for {days} days and is not shown again:")
    out.print(token, markup=False, soft_wrap=True, highlight=False)


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """All tokens that ever were."""
    with alert_store(data_dir) as store, store.reading() as session:
        found = tokens.every(session)
    table, now = Table("Id", "Name", "Scopes", "State", "Until", "Last used"), datetime.now(UTC)
    for token in found:
        used = token.used_at.isoformat(timespec="minutes") if token.used_at else "never"
        until = token.expires_at.isoformat(timespec="minutes")
        table.add_row(token.token_id, token.name, "\n".join(token.scopes), token.state(now), until, used)
    out.print(table if found else "There is no token.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="as shown by 'list'")], data_dir: DataDir = None
) -> None:
    """Make a token worth nothing, at once."""
    now = datetime.now(UTC)
    with alert_store(data_dir) as store, store.writing() as session:
        tokens.revoke(session, name, now)
        record_access(session, now, AccessEvent.TOKEN_REVOKED, token=name, by=whoever_types())
    out.print(f"{name} is revoked.", markup=False)
