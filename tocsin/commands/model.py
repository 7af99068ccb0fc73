"""``tocsin train | calibrate | evaluate``, ``tocsin model add | list | use | verify | card``: all about the reader."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tocsin.console import err, out
from tocsin.data_directory import DataDirectory, default_root
from tocsin.errors import BadRequest, TocsinError
from triage_models.contract import Check, verify
from triage_models.errors import ModelError
from triage_models.manifest import Manifest, Threshold, load_manifest, save_manifest
from triage_models.reader import SHIPPED, Reader
from triage_models.store import ModelStore

app = typer.Typer(no_args_is_help=True, help="The models that read head CT: add, list, use, verify.")

StoreDir = Annotated[
    Path | None, typer.Option("--store", help="folder of the site's models (default: in the data folder)")
]
Data = Annotated[Path, typer.Option("--data", help="folder of the labelled data set", exists=True, file_okay=False)]
Format = Annotated[str, typer.Option("--format", help="synthetic, rsna2019, cq500 or ct-ich")]
Model = Annotated[Path | None, typer.Option("--model", help="model folder (default: the shipped one)")]


@contextmanager
def _model_errors() -> Iterator[None]:
    """A model's or a data set's fault is one sentence for a person."""
    try:
        yield
    except ModelError as error:
        raise TocsinError(str(error)) from error


def store_at(folder: Path | None) -> ModelStore:
    """The site's models: the folder asked for, else `models` in the data folder."""
    return ModelStore(folder or DataDirectory(default_root()).models)


@app.command("add")
def add(
    source: Annotated[Path, typer.Argument(help="model folder: manifest.json and its files")], store: StoreDir = None
) -> None:
    """Check a model folder against the contract and take it into the store."""
    with _model_errors():
        key = store_at(store).add(source)
    out.print(f"Added {key}. It reads nothing yet: tocsin model use {key}")


@app.command("list")
def list_(store: StoreDir = None) -> None:
    """The models of the store; the one in use is marked."""
    table = Table("in use", "key", "name", "version", "trained on", "series threshold")
    with _model_errors():
        for stored in store_at(store).models():
            m = stored.manifest
            final = f"{m.thresholds.final.value:.3f}"
            table.add_row("●" if stored.in_use else "", stored.key, m.name, m.version, m.trained_on.isoformat(), final)
    out.print(table)


@app.command("use")
def use(key: Annotated[str, typer.Argument(help="a key of `tocsin model list`")], store: StoreDir = None) -> None:
    """Read every series that begins from now on with this model."""
    with _model_errors():
        store_at(store).use(key)
    out.print(f"{key} reads the series that begin from now on.")


@app.command("verify")
def verify_(
    model: Annotated[str, typer.Argument(help="a key of the store, or a model folder")] = "shipped",
    store: StoreDir = None,
) -> None:
    """Run the contract's checks; exit status 1 when one fails."""
    with _model_errors():
        folder = Path(model) if Path(model).is_dir() else store_at(store).folder_of(model)
    checks = verify(folder)
    for check in checks:
        out.print(_line(check), markup=False)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


def _line(check: Check) -> str:
    return f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}"


@app.command("make-set")
def make_set(
    target: Annotated[Path, typer.Option("--out", help="folder of the set; cases that are there stay")],
    cases: Annotated[int, typer.Option(min=1, help="number of series")] = 100,
    first_seed: Annotated[int, typer.Option(help="never use a seed that a model was trained on")] = 900_000_000,
    setting: Annotated[str, typer.Option(help="standard or shifted")] = "shifted",
    mass_effect: Annotated[
        bool, typer.Option(help="bleeds of one side move the middle of the brain by up to 16 mm")
    ] = False,
) -> None:
    """Generate a labelled synthetic set for `tocsin evaluate` and `tocsin calibrate`."""
    from triage_models.datasets.case import write_case

    if setting not in ("standard", "shifted"):
        raise BadRequest(f"Setting {setting!r} is neither standard nor shifted.")
    target.mkdir(parents=True, exist_ok=True)
    with _model_errors():
        for seed in range(first_seed, first_seed + cases):
            write_case(target, seed, "shifted" if setting == "shifted" else "standard", mass_effect=mass_effect)
    err.print(f"{cases} series are in {target}.")


@app.command("quantize")
def quantize(
    data: Data,
    target: Annotated[Path, typer.Option("--out", help="folder for the model with its quantised network")],
    data_format: Format = "synthetic",
    model: Model = None,
    cases: Annotated[int, typer.Option(min=1, help="series of the set to use at most")] = 400,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Quantise a model's network to 8 bits, if it then still decides alike on a labelled set (needs `quantize` extra).

    Exit status 1, and nothing written, when every quantised form goes beyond the gate's bounds.
    """
    from itertools import islice

    from triage_models.datasets.formats import cases_of
    from triage_models.quantisation.quantise import quantise

    with _model_errors():
        manifest = quantise(
            model or SHIPPED,
            target,
            lambda: islice(cases_of(data, data_format), cases),
            f"{data.name} ({data_format})",
            threads=threads,
            today=_today(),
            say=lambda text: err.print(text, markup=False),
        )
    assert manifest.int8 is not None
    out.print_json(json.dumps({"kept_whole": manifest.int8.kept_whole, **manifest.int8.figures}))


@app.command("build")
def build(
    model: Model = None,
    runtime: Annotated[str, typer.Option(help="tensorrt-fp16 or tensorrt-int8")] = "tensorrt-fp16",
    engines: Annotated[Path | None, typer.Option(help="folder of engines (default: in the user's cache)")] = None,
) -> None:
    """Build a TensorRT engine for this machine's GPU, ahead of its use (needs the `gpu` extra; minutes)."""
    from triage_models.runtimes.catalogue import network_for
    from triage_models.runtimes.engine_cache import default_folder
    from triage_models.runtimes.names import RuntimeName
    from triage_models.runtimes.tensorrt_build import REWRITINGS
    from triage_models.runtimes.tensorrt_build import build as build_engine

    if runtime not in REWRITINGS:
        raise BadRequest(f"{runtime!r} is none of {', '.join(REWRITINGS)}.")
    folder = model or SHIPPED
    with _model_errors():
        network = network_for(RuntimeName(runtime), folder, load_manifest(folder))
        path = build_engine(runtime, network, engines or default_folder())
    out.print(f"{path}")


@app.command("train-volume")
def train_volume(
    data: Data,
    target: Annotated[Path, typer.Option("--out", help="file for the network's state")],
    network: Annotated[str, typer.Option(help="resnet3d, densenet3d or vit3d")] = "resnet3d",
    data_format: Format = "synthetic",
    validation: Annotated[
        Path | None,
        typer.Option(help="labelled set to choose the best state by and to calibrate on (default: a fifth of --data)"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="optimizer steps")] = 2000,
    device: Annotated[str, typer.Option(help="cpu or cuda (default: cuda where there is one)")] = "",
) -> None:
    """Train a 3-D network for a second read of whole series (needs the `train` extra; wants a GPU)."""
    try:
        import torch

        from triage_models.training.volume_fit import fit_volumes
        from triage_models.training.volume_networks import VOLUME_NETWORKS
    except ImportError as error:
        raise TocsinError("Training needs the `train` extra: pip install 'tocsin[train]'.") from error
    from triage_models.datasets.formats import cases_of

    if network not in VOLUME_NETWORKS:
        raise BadRequest(f"{network!r} is none of {', '.join(VOLUME_NETWORKS)}.")
    if device not in ("", "cpu", "cuda"):
        raise BadRequest(f"{device!r} is neither cpu nor cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise TocsinError("torch finds no GPU here.")
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    held_out = None if validation is None else cases_of(validation, data_format)
    with _model_errors():
        fit = fit_volumes(network, cases_of(data, data_format), target, steps=steps, validation=held_out, device=chosen)
    told = "not measured: they are not of both kinds" if fit.auc is None else f"AUC {fit.auc:.3f}"
    err.print(
        f"{target}: loss {fit.losses[0]:.3f} at first, {fit.losses[-1]:.3f} at last; "
        f"on {fit.held_out} series held out: {told}."
    )


@app.command("card")
def card(
    model: Model = None,
    target: Annotated[Path | None, typer.Option("--out", help="file to write (default: print)")] = None,
) -> None:
    """The model card, from the manifest."""
    from triage_models.card import model_card

    with _model_errors():
        text = model_card(load_manifest(model or SHIPPED))
    if target is None:
        out.print(text, markup=False)
    else:
        target.write_text(text, encoding="utf-8")


def train(
    target: Annotated[Path, typer.Option("--out", help="folder for the model")],
    work: Annotated[
        Path, typer.Option("--work", help="folder for data and checkpoints; a run that was cut off goes on")
    ],
    plan: Annotated[str, typer.Option(help="a committed plan of triage_models/training/recipes")] = "shipped",
    version: Annotated[str, typer.Option(help="version written to the manifest")] = "0.0.0-local",
    hardware: Annotated[str, typer.Option(help="what it ran on, for the manifest")] = "",
) -> None:
    """Train a reader from a committed plan (needs the `train` extra): generate, fit, calibrate, export."""
    try:
        import torch
    except ImportError as error:
        raise TocsinError("Training needs the `train` extra: pip install 'tocsin[train]'.") from error
    from triage_models.training.pipeline import train as run

    told = hardware or f"{os.cpu_count()} CPU cores, torch {torch.__version__}"
    with _model_errors():
        manifest = run(plan, work, target, version=version, hardware=told, today=_today())
    out.print(
        f"{manifest.name} {manifest.version} is in {target}. Evaluate it on data of your own before anything else."
    )


def calibrate(
    data: Data,
    target: Annotated[Path, typer.Option("--out", help="folder for the recalibrated model")],
    data_format: Format = "synthetic",
    model: Model = None,
    alpha: Annotated[float, typer.Option(min=0.001, max=0.5, help="share of negatives that may alert early")] = 0.05,
    seed: Annotated[int, typer.Option(help="of the random prefixes")] = 0,
    version: Annotated[
        str | None, typer.Option(help="of the recalibrated model (default: the old one with today's date)")
    ] = None,
) -> None:
    """Fit probabilities, series model and thresholds on a labelled set; the weights stay as they are.

    Where no slice of the set is labelled, the calibration and the threshold of single slices stay as they were.
    """
    import shutil

    from triage_models.datasets.formats import cases_of
    from triage_models.training.calibration import recalibrated, renewed, renewed_version

    source = model or SHIPPED
    if target.exists() and any(target.iterdir()):
        raise BadRequest(f"{target} is not empty.")
    with _model_errors():
        reader = Reader.open(source)
        fitted = recalibrated(reader, cases_of(data, data_format), alpha=alpha, seed=seed, today=_today())
    chosen = version or renewed_version(reader.manifest.version, _today())
    manifest = renewed(fitted, chosen, f"{data.resolve().name} ({data_format})", _today())
    target.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        shutil.copyfile(source / name, target / name)
    save_manifest(target, manifest)
    out.print(f"{manifest.name} {manifest.version}", markup=False)
    out.print(_threshold_lines(manifest), markup=False)


def _threshold_lines(manifest: Manifest) -> str:
    t = manifest.thresholds
    rows = (("provisional", t.provisional), ("final", t.final), ("slice", t.slice))
    lines = [
        f"{name}: {v.value:.4f} (negatives above: {v.alpha:.3f}; n = {v.n_negative} + {v.n_positive}; {v.method})"
        for name, v in rows
    ]
    return "\n".join([*lines, *_few_negatives(t.provisional)])


def _few_negatives(provisional: Threshold) -> list[str]:
    """A sentence where no threshold can keep what was asked for."""
    from triage_models.training.measures import least_negatives

    needed = least_negatives(provisional.alpha)
    if provisional.n_negative >= needed:
        return []
    many = f"a share of {provisional.alpha:g} of negatives, {needed} series without a bleed are needed"
    return [f"Nothing will be told while slices arrive: for {many}, and there are {provisional.n_negative}."]


def evaluate(
    data: Data,
    data_format: Format = "synthetic",
    model: Model = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="file for every figure")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="file for a one-page report")] = None,
    pictures: Annotated[bool, typer.Option(help="also read single slices as brain-windowed pictures")] = False,
    record: Annotated[bool, typer.Option(help="write the main figures into the manifest of --model")] = False,
) -> None:
    """How good a model is on a labelled set, with the interval of every figure."""
    from triage_models.datasets.formats import cases_of
    from triage_models.training.evaluation import PICTURE_SEED, picture_report, read_outcomes, recorded, report
    from triage_models.training.pictures import Pictures
    from triage_models.training.report_page import page

    if record and (model is None or model.resolve() == SHIPPED.resolve()):
        raise BadRequest("--record needs --model with a folder of your own: the shipped model stays as it is.")
    with _model_errors():
        reader = Reader.open(model)
        shown = Pictures(reader, PICTURE_SEED) if pictures else None
        outcomes = read_outcomes(reader, cases_of(data, data_format), shown)
        figures: dict[str, Any] = report(reader, outcomes)
        figures["data"] = f"{data.name} ({data_format})"
        if shown is not None:
            figures["pictures"] = picture_report(reader, shown)
    if record and model is not None:
        save_manifest(model, recorded(reader.manifest, figures, outcomes))
    _write(as_json, lambda: json.dumps(figures, indent=1))
    _write(html, lambda: page(figures))
    series = figures["series"]
    out.print_json(json.dumps({k: series[k] for k in ("n", "auc", "sensitivity", "specificity")}))


def _write(target: Path | None, text: Callable[[], str]) -> None:
    if target is not None:
        target.write_text(text(), encoding="utf-8")
        err.print(f"Wrote {target}.")


def _today() -> date:
    return datetime.now(UTC).date()
