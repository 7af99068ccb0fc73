"""One directory holds everything a single-machine node owns: spool, Kafka, alert store, secrets, logs.

The two secrets are made at the first start and readable by the owner alone. A lock keeps a second node out.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.contracts.ids import SECRET_BYTES
from tocsin.errors import DataDirectoryInUse, TocsinError

OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700


def default_root() -> Path:
    """``TOCSIN_DATA_DIR``, else ``$XDG_DATA_HOME/tocsin`` (XDG Base Directory Specification)."""
    chosen = os.environ.get("TOCSIN_DATA_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "tocsin"


@dataclass(frozen=True)
class DataDirectory:
    root: Path

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def models(self) -> Path:
        """The site's own models; see `tocsin model`."""
        return self.root / "models"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.root / 'alerts.sqlite'}"

    @property
    def site_secret(self) -> Path:
        return self.root / "secrets" / "site_secret"

    @property
    def identity_key(self) -> Path:
        return self.root / "secrets" / "identity_key"

    @property
    def node_file(self) -> Path:
        """Addresses and process ids of the running node, for the other commands."""
        return self.root / "node.json"

    def create(self) -> None:
        """Make the folders and, the first time, the secrets.

        Raises:
            TocsinError: the directory cannot be written.
        """
        try:
            for folder in (self.root, self.spool, self.logs, self.site_secret.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
            for secret in (self.site_secret, self.identity_key):
                _make_secret(secret)
        except OSError as error:
            raise TocsinError(f"The data directory {self.root} cannot be used: {error.strerror}.") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other nodes out while we run.

        Raises:
            DataDirectoryInUse: another process holds the lock.
        """
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DataDirectoryInUse(
                    f"Another Tocsin is running on {self.root}. Stop it, or choose another directory with --data-dir."
                ) from None
            yield
        finally:
            os.close(descriptor)


def _make_secret(path: Path) -> None:
    if path.exists():
        return
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    try:
        os.write(descriptor, secrets.token_bytes(SECRET_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(path)
