"""``tocsin user``: who may sign in to the page. No secret is ever typed here: the owner of an account sets it up."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from alerts.access import accounts
from alerts.access.accounts import INVITED_FOR
from alerts.access.permissions import Role
from tocsin.commands.alert_store import alert_store, page_url, whoever_types
from tocsin.commands.up import DataDir
from tocsin.console import err, out

app = typer.Typer(no_args_is_help=True, help="Accounts of the page: add, list, reset, disable.")

Login = Annotated[str, typer.Argument(help="small letters and digits, such as a.gruen")]
Roles = Annotated[list[Role], typer.Option("--role", help="may be given several times")]


@app.command()
def add(
    login: Login,
    name: Annotated[str, typer.Option(help="as people say it; goes on record, such as 'Dr Anna Grün'")],
    role: Roles,
    data_dir: DataDir = None,
) -> None:
    """Make an account and print the link by which its owner chooses a password and sets up an authenticator app."""
    with alert_store(data_dir) as store, store.writing() as session:
        invitation = accounts.add(session, login, name, role, datetime.now(UTC), whoever_types())
    _print_invitation(login, f"{page_url(data_dir)}/welcome/{invitation}")


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """All accounts."""
    with alert_store(data_dir) as store, store.reading() as session:
        found = accounts.every(session)
    table, now = Table("Login", "Name", "Roles", "From", "State", "Second factor", "Last signed in"), datetime.now(UTC)
    for account in found:
        seen = account.signed_in_at.isoformat(timespec="minutes") if account.signed_in_at else "never"
        second = "there" if account.origin == accounts.Origin.SIGN_ON else "yes" if account.has_second_factor else "no"
        roles = ", ".join(account.roles) or "none"
        table.add_row(account.login, account.name, roles, account.origin, account.state(now), second, seen)
    out.print(table if found else "There is no account: on this machine the page asks nobody who they are.")


@app.command()
def reset(login: Login, data_dir: DataDir = None) -> None:
    """Forget password and second factor, end all sessions, and print a new link to set the account up."""
    with alert_store(data_dir) as store, store.writing() as session:
        invitation = accounts.reset(session, login, datetime.now(UTC), whoever_types())
    _print_invitation(login, f"{page_url(data_dir)}/welcome/{invitation}")


@app.command()
def disable(login: Login, data_dir: DataDir = None) -> None:
    """Let nobody in with this account any more; who is signed in is out at once."""
    with alert_store(data_dir) as store, store.writing() as session:
        accounts.disable(session, login, datetime.now(UTC), whoever_types())
    out.print(f"{login} is disabled.", markup=False)


@app.command()
def enable(login: Login, data_dir: DataDir = None) -> None:
    """Let a disabled account in again, with the password it had."""
    with alert_store(data_dir) as store, store.writing() as session:
        accounts.enable(session, login, datetime.now(UTC), whoever_types())
    out.print(f"{login} may sign in again.", markup=False)


@app.command()
def roles(login: Login, role: Roles, data_dir: DataDir = None) -> None:
    """Give an account these roles instead of those it has; it holds from the next click on."""
    with alert_store(data_dir) as store, store.writing() as session:
        accounts.set_roles(session, login, role, datetime.now(UTC), whoever_types())
    out.print(f"{login} is now: {', '.join(sorted(set(role)))}", markup=False)


def _print_invitation(login: str, link: str) -> None:
    hours = round(INVITED_FOR.total_seconds() / 3600)
    err.print(f"Give this link to the owner of {login}, and to nobody else. It works once, for {hours} hours:")
    out.print(link, markup=False, soft_wrap=True, highlight=False)
