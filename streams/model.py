"""What a finding says about the model that made it, and about what it ran on."""

from collections.abc import Iterable

from streams.contracts.findings import Model
from triage_models.reader import Reader, SliceReading


def describe(reader: Reader) -> Model:
    """Name, version, digest and runtime of an opened model."""
    manifest = reader.manifest
    return Model(
        name=manifest.name,
        version=manifest.version,
        sha256=manifest.files[manifest.network_file],
        runtime=reader.runtime_name,
    )


def as_read(model: Model, readings: Iterable[SliceReading]) -> Model:
    """The model with every runtime that had a part in these readings; degraded when one was not the one that should."""
    made = list(readings)
    runtimes = sorted({reading.runtime for reading in made if reading.runtime})
    return model.model_copy(
        update={
            "runtime": ", ".join(runtimes) or model.runtime,
            "degraded": model.degraded or any(reading.degraded for reading in made),
        }
    )
