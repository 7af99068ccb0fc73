"""``tocsin synth``: a synthetic head CT series as DICOM files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tocsin.console import out
from tocsin.errors import BadRequest
from triage_models.errors import ModelError
from triage_models.labels import TYPES

Bleed = StrEnum("Bleed", {"none": "none", **{name: name for name in TYPES}})  # type: ignore[misc]  # members from the labels

_TRUTH = (
    "file (.npz) for the truth, slice by slice from foot to head: slice_labels (S × 6, named by label_names), masks "
    "(S × rows × columns: 0 none, 1 to 5 as in mask_names), positions_mm, pixel_spacing_mm, sop_instance_uids"
)


def synth(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="folder to write into; made when missing")],
    bleed: Annotated[Bleed, typer.Option(help="the hemorrhage in the head")] = Bleed.none,  # type: ignore[attr-defined]
    seed: Annotated[int, typer.Option(help="the same seed gives the same head", min=0)] = 1,
    slices: Annotated[int, typer.Option(min=1, max=1000)] = 32,
    thickness: Annotated[float, typer.Option(help="mm", min=0.3, max=20)] = 5.0,
    size: Annotated[int, typer.Option(help="rows and columns", min=64, max=1024)] = 512,
    syntax: Annotated[str, typer.Option(help="transfer syntax by its keyword")] = "ExplicitVRLittleEndian",
    truth: Annotated[Path | None, typer.Option(help=_TRUTH)] = None,
) -> None:
    """Write a valid head CT series with consistent geometry and UIDs: nobody's head, and it says so."""
    from tocsin.synthetic_patients import readable_head  # the generator's imports take a second
    from triage_models.synthetic.dicom import write_series
    from triage_models.synthetic.truth_file import write_truth

    if folder.is_dir() and any(folder.iterdir()):
        raise BadRequest(f"{folder} is not empty: choose another folder, so that two studies are not mixed.")
    try:
        series = readable_head(seed, str(bleed), slices=slices, thickness_mm=thickness, side=size)
        paths = write_series(series, folder, syntax=syntax)
        if truth is not None:
            write_truth(series, paths, truth)
    except (ModelError, ValueError) as error:
        raise BadRequest(f"No series was made: {error}") from error
    except OSError as error:
        raise BadRequest(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    volumes = ", ".join(f"{name} {ml:.1f} mL" for name, ml in series.volumes_ml.items() if ml > 0) or "no bleed"
    out.print(f"{len(paths)} slices of {thickness} mm written to {folder} ({volumes})", markup=False)
