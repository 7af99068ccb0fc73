#!/usr/bin/env python3
"""Makes the secret files that docker-compose.yml mounts: ``python3 deploy/make_secrets.py [FOLDER]``.

Needs nothing but Python. What is there already is left as it is. The folder is its owner's alone; the files in it can
be read by everyone who gets that far, because a container mounts each of them and reads it as a user of its own.
"""

import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

KEY_BYTES = 32
FOLDER_MODE, FILE_MODE, EDITABLE_MODE = 0o700, 0o444, 0o644
DEFAULT_FOLDER = Path(__file__).parent / "secrets"

RECIPIENTS = """\
# Who is told: docs/alerts.md. The alert service does not start before there is somebody in this list.
# - {name: switchboard, webhook: {url: "https://pager.hospital.example/tocsin", secret: "at least 16 characters"}}
# E-mail needs a server as well: smtp.json beside this file.
recipients: []
"""

NO_SMTP = "null\n"

EDITED = ("recipients.yaml", "smtp.json")
"""Files that people write; the others are made once."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    for name, make in contents(folder).items():
        file = folder / name
        if file.exists():
            print(f"{file} is there and stays")  # noqa: T201 - a script for a person
            continue
        file.write_bytes(make())
        file.chmod(EDITABLE_MODE if name in EDITED else FILE_MODE)
        print(f"{file} made")  # noqa: T201 - a script for a person


def contents(folder: Path) -> dict[str, Callable[[], bytes]]:
    """File name → its content, in the order in which they are made."""
    return {
        "site_secret": lambda: secrets.token_bytes(KEY_BYTES),
        "identity_key": lambda: secrets.token_bytes(KEY_BYTES),
        "postgres_password": password,
        "database_url": lambda: database_url((folder / "postgres_password").read_text()),
        "grafana_password": password,
        "heartbeat_webhook": heartbeat_webhook,
        "recipients.yaml": RECIPIENTS.encode,
        "smtp.json": NO_SMTP.encode,
    }


def password() -> bytes:
    return secrets.token_urlsafe(KEY_BYTES).encode()


def heartbeat_webhook() -> bytes:
    """Where the alert service posts dead-man's studies, and what signs them."""
    return json.dumps({"url": "http://heartbeat:9106/alerts", "secret": password().decode()}).encode()


def database_url(password: str) -> bytes:
    return f"postgresql+psycopg://tocsin:{password}@postgres:5432/tocsin".encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER)
