"""The models of a site: a folder of model folders, and a pointer to the one in use.

Law: a model enters only whole and verified; switching is one atomic rename of the pointer, so whoever looks sees the
old model or the new one. What a running worker does with the pointer is in ``streams.models``.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triage_models.contract import verify
from triage_models.errors import ManifestError
from triage_models.manifest import MANIFEST_FILE, Manifest, load_manifest
from triage_models.reader import SHIPPED

_POINTER = "in-use"
_SHIPPED_KEY = "shipped"


@dataclass(frozen=True)
class Stored:
    """One model of the store."""

    key: str
    folder: Path
    manifest: Manifest
    in_use: bool


class ModelStore:
    """The models under one folder; the shipped model is always there under the key `shipped`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> str:
        """Verifies and copies a model folder; returns its key. Raises ManifestError when it breaks the contract."""
        failed = [check for check in verify(source) if not check.passed]
        if failed:
            raise ManifestError("; ".join(f"{check.name}: {check.detail}" for check in failed))
        manifest = load_manifest(source)
        key = re.sub(r"[^A-Za-z0-9._-]", "-", f"{manifest.name}-{manifest.version}")
        target, partial = self._folder / key, self._folder / f".{key}.partial"
        if target.exists():
            raise ManifestError(f"{key} is in the store already; a changed model needs another version")
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in (MANIFEST_FILE, *manifest.files):
            shutil.copyfile(source / name, partial / name)
        partial.replace(target)
        return key

    def use(self, key: str) -> Path:
        """Points to a model from now on. Raises ManifestError for an unknown or broken one."""
        folder = self.folder_of(key)
        failed = [check for check in verify(folder) if not check.passed]
        if failed:
            raise ManifestError("; ".join(f"{check.name}: {check.detail}" for check in failed))
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{_POINTER}.partial"
        partial.write_text(key + "\n", encoding="utf-8")
        partial.replace(self._folder / _POINTER)
        return folder

    def folder_of(self, key: str) -> Path:
        """The folder of a key."""
        if key == _SHIPPED_KEY:
            return SHIPPED
        if Path(key).name != key or not (self._folder / key).is_dir():
            raise ManifestError(f"the store has no model {key!r}")
        return self._folder / key

    def key_in_use(self) -> str:
        """The key pointed to; `shipped` when nobody chose."""
        try:
            return (self._folder / _POINTER).read_text(encoding="utf-8").strip() or _SHIPPED_KEY
        except FileNotFoundError:
            return _SHIPPED_KEY

    def in_use(self) -> Path:
        """The folder to open for the next series."""
        return self.folder_of(self.key_in_use())

    def stamp(self) -> tuple[str, int]:
        """Another one when another model is in use or its manifest was replaced; costs a read and a stat."""
        key = self.key_in_use()
        manifest = (SHIPPED if key == _SHIPPED_KEY else self._folder / key) / MANIFEST_FILE
        return key, manifest.stat().st_mtime_ns if manifest.exists() else 0

    def folders(self) -> Sequence[Path]:
        """Every model's folder, the shipped one first."""
        return [SHIPPED, *(p.parent for p in sorted(self._folder.glob(f"[!.]*/{MANIFEST_FILE}")))]

    def models(self) -> Sequence[Stored]:
        """Every model, the shipped one first."""
        chosen = self.key_in_use()
        keyed = [(_SHIPPED_KEY if folder == SHIPPED else folder.name, folder) for folder in self.folders()]
        return [Stored(key, folder, load_manifest(folder), key == chosen) for key, folder in keyed]
