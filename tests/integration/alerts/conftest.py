"""Real far sides for the alert service: an HTTP receiver, an SMTP server, a PostgreSQL server."""

import os
import shutil
import socketserver
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from alerts.store.database import Database

DATABASE_USER = "nobody"
"""PostgreSQL refuses to run as root."""


class MailServer(socketserver.ThreadingTCPServer):
    """As much of RFC 5321 as a mail needs; ``codes`` are the answers to the coming messages, then 250."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailSession)
        self.mails: list[Message] = []
        self.codes: list[int] = []
        self.port = int(self.server_address[1])
        self.hangs_after_accepting = False


class _MailSession(socketserver.StreamRequestHandler):
    server: MailServer

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self._say("220 mail.test ESMTP")
        while line := self.rfile.readline():
            match line.split()[0].upper():
                case b"EHLO" | b"HELO":
                    self._say("250 mail.test")
                case b"DATA":
                    self._data()
                case b"QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _data(self) -> None:
        self._say("354 go on")
        lines = list(iter(self.rfile.readline, b".\r\n"))
        code = self.server.codes.pop(0) if self.server.codes else 250
        if code == 250:
            self.server.mails.append(message_from_bytes(b"".join(lines)))
        self._say(f"{code} so be it")
        if self.server.hangs_after_accepting:
            self.connection.close()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _postgresql_programs() -> Path | None:
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy address of an empty database on a PostgreSQL server of our own."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(os.path.realpath(f"/tmp/tocsin-postgresql-{os.getpid()}"))
    folder.mkdir()
    user = DATABASE_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data, log = folder / "data", folder / "log"
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"

    def run(program: str, *arguments: str) -> None:
        subprocess.run([programs / program, *arguments], user=user, check=True, capture_output=True, cwd=folder, env={})

    try:
        run("initdb", "-D", str(data), "-A", "trust", "-U", "tocsin", "-E", "UTF8")
        run("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        yield f"postgresql+psycopg://tocsin@/postgres?host={folder}"
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_postgresql(postgresql: str) -> str:
    """The same, with nothing in it."""
    database = Database(postgresql)
    with database.writing() as session:
        session.execute(text("DROP SCHEMA public CASCADE"))
        session.execute(text("CREATE SCHEMA public"))
    database.close()
    return postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shared.sqlite3'}"
        return
    yield request.getfixturevalue("empty_postgresql")
