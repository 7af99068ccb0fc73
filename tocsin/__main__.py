"""``tocsin``: the command line."""

import sys

import typer

from alerts.errors import AlertsError
from tocsin.commands import audit, bench, deadletter, feedback, model, oncall, token, topics, user
from tocsin.commands.backup import backup, restore
from tocsin.commands.case import case
from tocsin.commands.demo import demo
from tocsin.commands.heartbeat import heartbeat
from tocsin.commands.read import read
from tocsin.commands.replay import replay
from tocsin.commands.second_read import second_read
from tocsin.commands.selftest import selftest
from tocsin.commands.send import send
from tocsin.commands.status import status
from tocsin.commands.synth import synth
from tocsin.commands.up import up
from tocsin.console import err
from tocsin.errors import TocsinError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Streaming emergency triage for head CT. Not a medical device.",
)
for command in (
    up,
    demo,
    send,
    synth,
    read,
    second_read,
    status,
    case,
    backup,
    restore,
    replay,
    selftest,
    heartbeat,
    model.train,
    model.calibrate,
    model.evaluate,
):
    app.command()(command)
app.add_typer(oncall.app, name="oncall")
app.add_typer(audit.app, name="audit")
app.add_typer(feedback.app, name="feedback")
app.add_typer(deadletter.app, name="deadletter")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(topics.app, name="topics")
app.add_typer(bench.app, name="bench")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run one command; an error of ours is one sentence and exit status 1."""
    try:
        app()
    except (TocsinError, AlertsError) as error:
        err.print(f"[bold red]tocsin:[/bold red] {error}", markup=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
