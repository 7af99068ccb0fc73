"""The data set formats by name, as `--format` takes them."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from triage_models.datasets import cq500, ct_ich, rsna2019
from triage_models.datasets.case import Case, synthetic_cases
from triage_models.errors import DatasetError

FORMATS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "synthetic": synthetic_cases,
    "rsna2019": rsna2019.cases,
    "cq500": cq500.cases,
    "ct-ich": ct_ich.cases,
}


def cases_of(folder: Path, name: str) -> Iterator[Case]:
    """The cases of a folder, at least one. Raises DatasetError for an unknown format, another layout, or none."""
    if name not in FORMATS:
        raise DatasetError(f"format {name!r} is none of {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder")
    found = FORMATS[name](folder)
    first = next(found, None)
    if first is None:
        raise DatasetError(f"{folder} holds no series that can be read")
    return chain([first], found)
