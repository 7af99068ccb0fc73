"""``make vendor``: fetches NiiVue from npm by its ordinary client and packs it for the page's MPR and 3-D views.

Part of the set-up where npm is there, and of the image; without the file the page shows slices only, and says so. Given
a package that npm has fetched before, it needs no npm. Standard library only: it runs before anything is installed.
"""

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import unquote

PACKAGE, VERSION = "@niivue/niivue", "0.69.0"
SHA256 = "bcb456b66a26e20126b7257c2b6071f48b347b7f910f99bca26721a71a96cbed"
"""Of the unpacked bundle."""

FOLDER = Path(__file__).parent / "static" / "vendor"
FILE = FOLDER / f"niivue-{VERSION}.min.js.gz"

BUNDLE = "package/dist/index.min.js"
HEAD, TAIL = 'export const esm = "', '"'
"""The package's smallest bundle is a module percent-encoded in a string."""


def bundle(tarball: Path) -> bytes:
    with tarfile.open(tarball) as package:
        member = package.extractfile(BUNDLE)
        text = member.read().decode().strip().rstrip(";") if member else ""
    if not text.startswith(HEAD):
        raise ValueError(f"{tarball.name} holds no {BUNDLE} of the expected form")
    return unquote(text.removeprefix(HEAD).removesuffix(TAIL)).encode()


def from_npm() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # fixed arguments
        (tarball,) = Path(folder).glob("*.tgz")
        return bundle(tarball)


def main(tarball: str = "") -> int:
    if FILE.exists() and not tarball:
        return 0
    data = bundle(Path(tarball)) if tarball else from_npm()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        sys.stderr.write(f"the bundle's SHA-256 is {digest}, expected {SHA256}\n")
        return 1
    FILE.write_bytes(gzip.compress(data, 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
