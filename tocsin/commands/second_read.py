"""``tocsin second-read``: somebody else's model, or a site's own 3-D network, on whole series in files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tocsin.commands.read import files_of, printable
from tocsin.console import err, out
from tocsin.errors import BadRequest
from tocsin.offline import Refusal
from tocsin.second_opinion import SecondOpinion, second_opinions
from triage_models.second_readers.opinion import SecondReader
from triage_models.second_readers.programs import SECOND_READERS
from triage_models.second_readers.volume import VolumeReader


def second_read(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them")],
    reader: Annotated[str, typer.Option(help=f"{', '.join(SECOND_READERS)}, or a file of `tocsin model train-volume`")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of lines")] = False,
) -> None:
    """A second reader's opinion on whole series; its program is installed apart, its licence and terms are its own.

    Exit status 0 when every series was read, 1 when one was not; 2 for a bad command line. What is asked is not on the
    way of any alert: it takes minutes on a CPU.
    """
    asked, all_read = reader_of(reader), True
    opinions: list[SecondOpinion] = []
    for found in second_opinions(files_of(paths), asked):
        if isinstance(found, Refusal):
            err.print(f"{printable(found.path)}  not read: {found.reason} ({found.comment})", markup=False)
            continue
        opinions.append(found)
        all_read = all_read and found.opinion is not None
        if not as_json:
            out.print(_line(found), markup=False)
    if as_json:
        out.print_json(json.dumps([_document(one) for one in opinions]))
    if not opinions:
        err.print("No slice was found.")
    if not opinions or not all_read:
        raise typer.Exit(1)


def reader_of(name: str) -> SecondReader:
    """By name, or a file with the state of a 3-D network."""
    if name in SECOND_READERS:
        return SECOND_READERS[name]
    if Path(name).is_file():
        return VolumeReader(Path(name))
    raise BadRequest(f"{name!r} is none of {', '.join(SECOND_READERS)}, and no file.")


def _line(one: SecondOpinion) -> str:
    series = f"series {one.series_key[:8]}"
    if one.opinion is None:
        return f"{series}: NOT READ: {one.reason}"
    opinion = one.opinion
    found = [f"{name} {volume:g} mL" for name, volume in opinion.volumes_ml.items()]
    found += [f"{name} {probability:.3f}" for name, probability in opinion.probabilities.items()]
    return f"{series} ({one.slices} slices), {opinion.reader}: {', '.join(found)}  [{opinion.licence}]"


def _document(one: SecondOpinion) -> dict[str, object]:
    if one.opinion is None:
        return {"series": one.series_key, "slices": one.slices, "reason": one.reason}
    opinion = one.opinion
    return {
        "series": one.series_key,
        "slices": one.slices,
        "reader": opinion.reader,
        "licence": opinion.licence,
        "volumes_ml": dict(opinion.volumes_ml),
        "probabilities": dict(opinion.probabilities),
    }
