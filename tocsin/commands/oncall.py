"""``tocsin oncall``: who is on call, what is wrong with the rota, and duties from a calendar."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from alerts.amending import with_duties
from alerts.calendars import duties, frame_of
from alerts.errors import AlertsError, RotaRefused, SettingsRefused
from alerts.oncall import OnCall, mistakes
from alerts.plan import read_document
from alerts.recipients import Recipients
from alerts.rota import problems, spans
from alerts.settings import Settings, load_recipients
from alerts.store import rotas
from tocsin.commands.alert_store import alert_settings, open_store
from tocsin.commands.up import DataDir
from tocsin.console import out
from tocsin.errors import BadRequest

app = typer.Typer(no_args_is_help=True, help="Who is on call, what is wrong with the rota, duties from a calendar.")

File = Annotated[Path | None, typer.Option("--file", help="an on-call file; the rota that is in force when absent")]
At = Annotated[str | None, typer.Option(help="such as 2026-03-29T02:30; in the rota's time zone; now when absent")]


@app.command()
def who(at: At = None, file: File = None, data_dir: DataDir = None) -> None:
    """Who would be rung, by policy and step, and who is on duty in each rotation."""
    on_call = _document(file, alert_settings(data_dir))
    instant = _instant(at, on_call)
    out.print(f"{instant.astimezone(on_call.zone):%A %Y-%m-%d %H:%M %Z}", markup=False)
    table = Table("Rotation", "On duty", "Until")
    for name in on_call.rotations:
        span = spans(on_call, [name], instant, instant + timedelta(days=14))[0]
        table.add_row(name, _people(span.names), f"{span.end.astimezone(on_call.zone):%a %Y-%m-%d %H:%M}")
    out.print(table)
    table = Table("Policy", "Step", "Rings", "Then waits")
    for policy in on_call.policies:
        for number, step in enumerate(policy.steps, 1):
            rings = on_call.resolve(step.notify, instant) or on_call.resolve(policy.fall_back, instant)
            table.add_row(policy.name, str(number), _people(rings), f"{step.wait_minutes:g} min")
        people = _people(on_call.resolve(policy.fall_back, instant))
        table.add_row(policy.name, "fall-back", people, f"{policy.fall_back_every_minutes:g} min, again and again")
    out.print(table)


@app.command()
def check(file: File = None, data_dir: DataDir = None) -> None:
    """What is wrong with the rota now or in the next four weeks. Exit status 1 when anything is."""
    settings = alert_settings(data_dir)
    on_call = _document(file, settings)
    found = problems(on_call, _recipients(settings), datetime.now(UTC))
    for problem in found:
        out.print(f"{problem.kind}: {problem.words}", markup=False)
    if found:
        raise typer.Exit(1)
    out.print("The rota has no problem in the next four weeks.")


@app.command("import")
def import_(
    calendar: Annotated[Path, typer.Argument(help="an iCalendar file (.ics)")],
    rotation: Annotated[str, typer.Option(help="whose overrides the duties become")],
    name: Annotated[list[str] | None, typer.Option(help="'name in the calendar=recipient'; repeat as needed")] = None,
    weeks: Annotated[int, typer.Option(help="how far ahead", min=1, max=260)] = 52,
    file: File = None,
    save: Annotated[bool, typer.Option(help="put the result in force instead of printing it")] = False,
    data_dir: DataDir = None,
) -> None:
    """Take a rotation's coming duties from a calendar. Prints the new document; --save puts it in force."""
    settings = alert_settings(data_dir)
    recipients, now = _recipients(settings), datetime.now(UTC)
    text, number = _text(file, settings)
    try:
        frame = frame_of(read_document(text), rotation, now, now + timedelta(weeks=weeks))
        read = duties(_read(calendar), recipients, _names(name or []), frame)
        if read.unknown:
            raise BadRequest(f"Who is meant by {', '.join(map(repr, read.unknown))}? Say so with --name.")
        changed = with_duties(text, rotation, read.overrides, now)
        if wrong := mistakes(read_document(changed), recipients.names if recipients else ()):
            raise BadRequest(f"The result cannot be used: {wrong[0]}.")
        if not save:
            out.out(changed, end="", highlight=False)
            return
        database = open_store(settings)
        with database.writing() as session:
            saved = rotas.save(session, changed, "tocsin oncall import", now, number)
    except AlertsError as error:
        raise BadRequest(f"{calendar}: {error}") from None
    out.print(f"{len(read.overrides)} duties; version {saved} is in force.")


def _document(file: Path | None, settings: Settings) -> OnCall:
    text, _ = _text(file, settings)
    try:
        return read_document(text)
    except RotaRefused as error:
        raise BadRequest(f"The rota cannot be read: {error}") from None


def _text(file: Path | None, settings: Settings) -> tuple[str, int]:
    """The document and the number of its version; 0 for a file."""
    if file is not None:
        return _read(file), 0
    with open_store(settings).reading() as session:
        number = rotas.newest_number(session)
        version = rotas.version(session, number)
    if version is None:
        raise BadRequest("No rota is in force: everybody is rung. Write one on the page, or name a --file.")
    return version.text, number


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None


def _recipients(settings: Settings) -> Recipients | None:
    try:
        return load_recipients(settings)
    except SettingsRefused as error:
        raise BadRequest(str(error)) from None


def _names(pairs: list[str]) -> dict[str, str]:
    names = dict(pair.partition("=")[::2] for pair in pairs)
    if "" in names.values():
        raise BadRequest("--name is 'name in the calendar=recipient'.")
    return names


def _instant(at: str | None, on_call: OnCall) -> datetime:
    if at is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        raise BadRequest(f"{at!r} is no time; write it like 2026-03-29T02:30.") from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=on_call.zone)).astimezone(UTC)


def _people(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "NOBODY"
