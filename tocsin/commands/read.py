"""``tocsin read``: the reader over files, without Kafka or network."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from alerts import wording
from streams.contracts.findings import Outcome
from streams.pictures import BRAIN_WINDOW_HU
from tocsin import offline
from tocsin.console import err, out
from tocsin.errors import BadRequest, TocsinError
from tocsin.offline import Refusal, SeriesResult, SliceResult
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
    """Read head CT slices: of each series a line per slice, then one for the whole.

    Exit status 0 when at least one slice was read, whatever was found in it; 1 when none was; 2 for a bad command line.
    Every file is in the output: read, or with the reason why not.
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if not window[0] < window[1]:
        raise typer.BadParameter("black must stand for less than white", param_hint="--window")
    files = files_of(paths)
    try:
        reader, _ = open_reader(model)
        threshold = reader.manifest.thresholds.slice.value
        report: _Report = _Document(threshold) if as_json else _Table(threshold) if as_csv else _Lines(threshold)
        any_read = _report(offline.read(files, reader, window), report)
    except ModelError as error:
        raise TocsinError(f"The model cannot be used: {error}") from error
    if not any_read:
        raise typer.Exit(1)


def files_of(paths: list[Path]) -> Iterator[Path]:
    """The files, those of a folder in order; also what looks like one and cannot be read, for it to be said."""
    for path in paths:
        if not path.exists():
            raise BadRequest(f"{path} does not exist.")
    return (file for path in paths for file in (_within(path) if path.is_dir() else [path]))


def _within(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: found.append(Path(error.filename))):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        found.extend(Path(parent) / name for name in (*names, *links))
    return sorted(found)


class _Report(Protocol):
    """How results are written, one after the other."""

    def refused(self, refusal: Refusal) -> None: ...

    def series(self, result: SeriesResult) -> None: ...

    def end(self) -> None: ...


def _report(results: Iterable[SeriesResult | Refusal], report: _Report) -> bool:
    """Write all; was any slice read?"""
    any_read = False
    for result in results:
        if isinstance(result, Refusal):
            report.refused(result)
        else:
            report.series(result)
            any_read = any_read or any(slice_.reading for slice_ in result.slices)
    report.end()
    return any_read


# As lines


class _Lines:
    def __init__(self, threshold: float) -> None:
        self._threshold, self._series = threshold, 0

    def refused(self, refusal: Refusal) -> None:
        out.print(f"{printable(refusal.path)}  not read: {refusal.reason} ({refusal.comment})", markup=False)

    def series(self, result: SeriesResult) -> None:
        self._series += 1
        for slice_ in result.slices:
            out.print(f"{_name(slice_)}  {_slice_line(slice_, self._threshold)}", markup=False)
        out.print(_series_line(result), markup=False)
        for line in wording.measurement_words(result.finding):
            out.print(f"  measured by machine: {line}", markup=False)

    def end(self) -> None:
        if not self._series:
            err.print("No slice was found.")


def _name(slice_: SliceResult) -> str:
    header = slice_.frame.header
    frame = f" frame {header.frame_number}" if header.number_of_frames > 1 else ""
    return f"{printable(slice_.frame.path)}{frame}"


def printable(path: Path) -> str:
    """A file's name on one line, whatever is in it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))


def _slice_line(slice_: SliceResult, threshold: float) -> str:
    if slice_.reading is None:
        reason = slice_.record.reason if slice_.record else None
        return f"not read: {reason} ({wording.SLICE_REASONS[reason]})" if reason else "not read: failed"
    reading = slice_.reading.reading
    scores = "  ".join(f"{SHORT[name]} {p:.3f}" for name, p in zip(LABELS, reading.probabilities, strict=True))
    row, column = reading.heat_map_peak
    verdict = _VERDICTS[reading.probabilities[0] >= threshold, slice_.brain_seen]
    slab = f"  (mean of {len(slice_.reading.members)} thin slices)" if len(slice_.reading.members) > 1 else ""
    remark = f"  ({slice_.frame.remark})" if slice_.frame.remark else ""
    return f"{scores}  peak {reading.heat_map_peak_value:.2f} at {row:.2f},{column:.2f}  {verdict}{slab}{remark}"


_VERDICTS = {
    (True, True): "BLEED SUSPECTED",
    (True, False): "BLEED SUSPECTED, but no brain seen",
    (False, True): "no bleed found",
    (False, False): "NO BRAIN SEEN: this says nothing",
}
"""By what was found and what was seen: *not assessed* is never shown as *no bleed*."""


def _files_of(result: SeriesResult) -> str:
    """Which files a series is made of: the one, or how many and the first."""
    paths = sorted({slice_.frame.path for slice_ in result.slices})
    first = printable(Path(paths[0].name))
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
        f"series {finding.series_key[:8]} ({_files_of(result)}): {words[finding.outcome]}  {score}  "
        f"{wording.coverage_words(covered)}, {covered.extent_mm:.0f} mm  [{reasons}]"
    )


# As a table


COLUMNS = (
    *("path", "frame_number", "series_key", "InstanceNumber", "position_mm", "reason", "remark"),
    *LABELS,
    *("positive", "brain_seen", "series_any", "series_outcome"),
)


class _Table:
    """RFC 4180, with a header; what was not read has its reason and no probabilities."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._table = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore")
        self._table.writeheader()

    def refused(self, refusal: Refusal) -> None:
        self._table.writerow({"path": refusal.path, "reason": refusal.reason, "remark": refusal.comment})

    def series(self, result: SeriesResult) -> None:
        of_series = {"series_any": result.finding.score, "series_outcome": result.finding.outcome}
        for slice_ in result.slices:
            row = _slice_document(slice_, self._threshold)
            self._table.writerow({**row, **row.get("probabilities", {}), **of_series})

    def end(self) -> None:
        """Each row is written already."""


# As JSON


class _Document:
    """One document, written at the end."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._slices: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []
        self._series: list[dict[str, Any]] = []

    def refused(self, refusal: Refusal) -> None:
        self._refused.append({"path": str(refusal.path), "reason": refusal.reason, "comment": refusal.comment})

    def series(self, result: SeriesResult) -> None:
        self._slices += [_slice_document(slice_, self._threshold) for slice_ in result.slices]
        self._series.append(_series_document(result))

    def end(self) -> None:
        document = {
            "slice_threshold": self._threshold,
            "slices": self._slices,
            "refused": self._refused,
            "series": self._series,
        }
        out.print_json(json.dumps(document))


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
        "positive": _positive(slice_, threshold),
        "brain_seen": slice_.brain_seen,
        "heat_map_peak": {"row": row, "column": column, "value": reading.heat_map_peak_value},
        "slices_averaged": len(slice_.reading.members),
    }


def _positive(slice_: SliceResult, threshold: float) -> bool | None:
    """None where nothing suspicious was found in what shows no brain: that is no negative."""
    assert slice_.reading is not None
    return slice_.reading.reading.probabilities[0] >= threshold or (False if slice_.brain_seen else None)


def _series_document(result: SeriesResult) -> dict[str, Any]:
    finding = result.finding.model_dump(mode="json", exclude={"key_slices"})
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
