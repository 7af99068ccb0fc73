"""What the image installs is what pyproject.toml asks for."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.deploy.compose import ROOT

RENEW = "renew deploy/requirements (docs/operations.md)"


def locked(name: str) -> dict[str, set[str]]:
    """Package → its versions, which may differ by platform."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "deploy" / "requirements" / name).read_text().splitlines():
        if pinned := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            found.setdefault(canonicalize_name(pinned[1]), set()).add(pinned[2])
    return found


def test_every_dependency_is_pinned_to_a_version_that_satisfies_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {"cpu.txt": extras["postgresql"], "gpu.txt": [*extras["postgresql"], *extras["gpu"]]}
    for file, more in asked.items():
        pinned(
            locked(file),
            [text for text in [*project["dependencies"], *more] if file == "cpu.txt" or not cpu_only(text)],
        )


def cpu_only(text: str) -> bool:
    """The GPU's runtime takes the place of this one."""
    return Requirement(text).name == "onnxruntime"


def pinned(pins: dict[str, set[str]], wanted_texts: list[str]) -> None:
    for text in wanted_texts:
        wanted = Requirement(text)
        versions = pins.get(canonicalize_name(wanted.name), set())
        assert versions, f"{wanted.name} is not pinned: {RENEW}"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted} is {versions}: {RENEW}"


def test_every_pin_has_its_hash() -> None:
    for name in ("cpu.txt", "gpu.txt", "build.txt"):
        text = (ROOT / "deploy" / "requirements" / name).read_text()
        assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(
            re.findall(r"==[^\n]*\\\n    --hash=sha256:", text)
        )
        assert "://" not in text
