"""The data set formats by name, as `--format` takes them."""

from collections.abc import Callable, Iterator
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
    """The cases of a folder. Raises DatasetError for an unknown format or another layout."""
    if name not in FORMATS:
        raise DatasetError(f"format {name!r} is none of {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder")
    return FORMATS[name](folder)
