"""What a finding says about the model that made it."""

from streams.contracts.findings import Model
from triage_models.reader import Reader


def describe(reader: Reader) -> Model:
    """Name, version, digest and runtime of an opened model."""
    manifest = reader.manifest
    return Model(
        name=manifest.name,
        version=manifest.version,
        sha256=manifest.files[manifest.network_file],
        runtime=reader.runtime_name,
    )
