"""Opening a model with the runtimes that a site asks for."""

from pathlib import Path

from triage_models.manifest import load_manifest, verify_files
from triage_models.reader import SHIPPED, Reader
from triage_models.runtimes.catalogue import Place, open_chain
from triage_models.runtimes.chain import ChainWatch, RuntimeChain
from triage_models.runtimes.engine_cache import default_folder
from triage_models.runtimes.names import AUTO


def open_reader(
    folder: Path | None = None,
    *,
    runtimes: str = AUTO,
    threads: int = 2,
    engines: Path | None = None,
    watch: ChainWatch | None = None,
) -> tuple[Reader, RuntimeChain]:
    """A model folder (None: the shipped one), verified, on every runtime that was asked for, warmed up.

    Raises:
        ManifestError: the folder is no model, or not the one that its manifest describes.
        RuntimeUnavailable: a runtime that does not exist was asked for.
        InferenceFailed: no runtime can be used.
    """
    model = SHIPPED if folder is None else folder
    manifest = load_manifest(model)
    verify_files(model, manifest)
    chain = open_chain(model, runtimes, Place(threads, engines or default_folder()), watch)
    return Reader(manifest, chain, chain.expected), chain
