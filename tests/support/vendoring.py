"""``make vendor``: fetches NiiVue from npm by its ordinary client and packs it for the page.

Needs npm; done by hand when the version changes, and the result is committed.
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

FOLDER = Path(__file__).parents[2] / "alerts" / "web" / "static" / "vendor"
FILE = FOLDER / f"niivue-{VERSION}.min.js.gz"

BUNDLE = "package/dist/index.min.js"
HEAD, TAIL = 'export const esm = "', '"'
"""The package's smallest bundle is a module percent-encoded in a string."""


def bundle(tarball: Path) -> bytes:
    with tarfile.open(tarball) as package:
        member = package.extractfile(BUNDLE)
        assert member
        text = member.read().decode().strip().rstrip(";")
    assert text.startswith(HEAD)
    return unquote(text.removeprefix(HEAD).removesuffix(TAIL)).encode()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True)
        (tarball,) = Path(folder).glob("*.tgz")
        data = bundle(tarball)
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        sys.stderr.write(f"the bundle's SHA-256 is {digest}, expected {SHA256}\n")
        return 1
    FILE.write_bytes(gzip.compress(data, 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
