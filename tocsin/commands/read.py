"""``tocsin read``: the reader over files, without Kafka or network."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from alerts import wording
from streams.contracts.findings import Outcome
from streams.pictures import BRAIN_WINDOW_HU
from tocsin import offline
from tocsin.console import err, out
from tocsin.errors import BadRequest, TocsinError
from tocsin.offline import Frame, Refusal, SeriesResult, SliceResult
from triage_models.errors import ModelError
from triage_models.labels import LABELS
from triage_models.opening import open_reader

SHORT = dict(zip(LABELS, ("any", "EDH", "IPH", "IVH", "SAH", "SDH"), strict=True))


def read(
    paths: Annotated[
        list[Path], typer.Argument(help="DICOM files, pictures (PNG, JPEG, BMP, TIFF), or folders of them")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of lines")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="a table with a row per slice instead of lines")] = False,
    model: Annotated[Path | None, typer.Option(help="folder of another model")] = None,
    window: Annotated[
        tuple[float, float], typer.Option(help="HU that black and white of a picture stand for")
    ] = BRAIN_WINDOW_HU,
) -> None:
    """Read head CT slices: a line per slice, then a line per series.

    Exit status 0 when at least one slice was read, whatever was found in it; 1 when none was; 2 for a bad command line.
    Every file is in the output: read, or with the reason why not.
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if not window[0] < window[1]:
        raise typer.BadParameter("black must stand for less than white", param_hint="--window")
    frames, refusals = _load(paths, window)
    try:
        reader, _ = open_reader(model)
        results = list(offline.read(frames, reader))
    except ModelError as error:
        raise TocsinError(f"The model cannot be used: {error}") from error
    threshold = reader.manifest.thresholds.slice.value
    if as_json:
        out.print_json(json.dumps(_document(results, refusals, threshold)))
    elif as_csv:
        _write_table(results, refusals, threshold)
    else:
        _print(results, refusals, threshold)
    if not any(slice_.reading for result in results for slice_ in result.slices):
        raise typer.Exit(1)


def _load(paths: list[Path], window_hu: tuple[float, float]) -> tuple[list[Frame], list[Refusal]]:
    frames: list[Frame] = []
    refusals: list[Refusal] = []
    for path in paths:
        if not path.exists():
            raise BadRequest(f"{path} does not exist.")
        for file in sorted(p for p in path.rglob("*") if not p.is_dir()) if path.is_dir() else [path]:
            for found in offline.load(file, window_hu):
                refusals.append(found) if isinstance(found, Refusal) else frames.append(found)
    return frames, refusals


# As lines


def _print(results: list[SeriesResult], refusals: list[Refusal], threshold: float) -> None:
    for refusal in refusals:
        out.print(f"{_printable(refusal.path)}  not read: {refusal.reason} ({refusal.comment})", markup=False)
    for result in results:
        for slice_ in result.slices:
            out.print(f"{_name(slice_)}  {_slice_line(slice_, threshold)}", markup=False)
    for result in results:
        out.print(_series_line(result), markup=False)
        for line in wording.measurement_words(result.finding):
            out.print(f"  measured by machine: {line}", markup=False)
    if not results:
        err.print("No slice was found.")


def _name(slice_: SliceResult) -> str:
    header = slice_.frame.header
    frame = f" frame {header.frame_number}" if header.number_of_frames > 1 else ""
    return f"{_printable(slice_.frame.path)}{frame}"


def _printable(path: Path) -> str:
    """A file's name on one line, whatever is in it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))


def _slice_line(slice_: SliceResult, threshold: float) -> str:
    if slice_.reading is None:
        reason = slice_.record.reason if slice_.record else None
        return f"not read: {reason} ({wording.SLICE_REASONS[reason]})" if reason else "not read: failed"
    reading = slice_.reading.reading
    scores = "  ".join(f"{SHORT[name]} {p:.3f}" for name, p in zip(LABELS, reading.probabilities, strict=True))
    row, column = reading.heat_map_peak
    verdict = "BLEED SUSPECTED" if reading.probabilities[0] >= threshold else "no bleed found"
    slab = f"  (mean of {len(slice_.reading.members)} thin slices)" if len(slice_.reading.members) > 1 else ""
    remark = f"  ({slice_.frame.remark})" if slice_.frame.remark else ""
    return f"{scores}  peak {reading.heat_map_peak_value:.2f} at {row:.2f},{column:.2f}  {verdict}{slab}{remark}"


def _files(result: SeriesResult) -> str:
    """Which files a series is made of: the one, or how many and the first."""
    paths = sorted({slice_.frame.path for slice_ in result.slices})
    first = _printable(Path(paths[0].name))
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


def _series_line(result: SeriesResult) -> str:
    finding, covered = result.finding, result.finding.coverage
    words = {
        Outcome.POSITIVE: "BLEED SUSPECTED",
        Outcome.NEGATIVE: "no bleed found",
        Outcome.NOT_ASSESSABLE: "NOT ASSESSABLE",
        Outcome.FAILED: "FAILED: not analysed",
    }
    score = f"score {finding.score:.3f}, threshold {finding.threshold:.3f}" if finding.score is not None else "no score"
    reasons = ", ".join(finding.reasons)
    return (
        f"series {finding.series_key[:8]} ({_files(result)}): {words[finding.outcome]}  {score}  "
        f"{wording.coverage_words(covered)}, {covered.extent_mm:.0f} mm  [{reasons}]"
    )


# As a table


COLUMNS = (
    *("path", "frame_number", "series_key", "InstanceNumber", "position_mm", "reason", "remark"),
    *LABELS,
    *("positive", "series_any", "series_outcome"),
)


def _write_table(results: list[SeriesResult], refusals: list[Refusal], threshold: float) -> None:
    """RFC 4180, with a header; what was not read has its reason and no probabilities."""
    table = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore")
    table.writeheader()
    for result in results:
        of_series = {"series_any": result.finding.score, "series_outcome": result.finding.outcome}
        for slice_ in result.slices:
            row = _slice_document(slice_, threshold)
            table.writerow({**row, **row.get("probabilities", {}), **of_series})
    for refusal in refusals:
        table.writerow({"path": refusal.path, "reason": refusal.reason, "remark": refusal.comment})


# As JSON


def _document(results: list[SeriesResult], refusals: list[Refusal], threshold: float) -> dict[str, Any]:
    return {
        "slice_threshold": threshold,
        "slices": [_slice_document(slice_, threshold) for result in results for slice_ in result.slices],
        "refused": [{"path": str(r.path), "reason": r.reason, "comment": r.comment} for r in refusals],
        "series": [_series_document(result) for result in results],
    }


def _slice_document(slice_: SliceResult, threshold: float) -> dict[str, Any]:
    header = slice_.frame.header
    document: dict[str, Any] = {
        "path": str(slice_.frame.path),
        "frame_number": header.frame_number,
        "series_key": header.series_key,
        "InstanceNumber": header.InstanceNumber,
        "position_mm": slice_.record.position_mm if slice_.record else None,
        "reason": slice_.record.reason if slice_.record else "failed",
        "remark": slice_.frame.remark,
    }
    if slice_.reading is None:
        return document
    reading = slice_.reading.reading
    row, column = reading.heat_map_peak
    return document | {
        "probabilities": dict(zip(LABELS, reading.probabilities, strict=True)),
        "positive": reading.probabilities[0] >= threshold,
        "heat_map_peak": {"row": row, "column": column, "value": reading.heat_map_peak_value},
        "slices_averaged": len(slice_.reading.members),
    }


def _series_document(result: SeriesResult) -> dict[str, Any]:
    finding = result.finding.model_dump(mode="json", exclude={"key_slices": {"__all__": {"image_png", "heat_map_png"}}})
    return {name: finding[name] for name in _OF_A_SERIES}


_OF_A_SERIES = (
    "series_key",
    "status",
    "outcome",
    "reasons",
    "score",
    "threshold",
    "probabilities",
    "measurements",
    "coverage",
    "model",
)
