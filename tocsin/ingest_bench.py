"""Measures ingest: durable slices per second of this node, beside the neighbours that are installed.

Neighbours: bare pynetdicom that receives and discards, DCMTK's ``storescp``, and Orthanc as it comes and with
TCP_NODELAY. Same clients, same slices, interleaved rounds, each server in a process of its own. The figures of one
machine compare; those of two do not.
"""

import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, _config, evt

from tocsin import scanner
from tocsin.ports import LOOPBACK, free_ports
from tocsin.scanner import Destination, find_files

AE_TITLE = "TOCSIN"
START_SECONDS = 20.0
STOP_SECONDS = 20.0
MATRIX = 512
MAX_PDU_BYTES = 131_072
NO_DELAY = {"TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "131072"}
"""Of DCMTK: without them Nagle's algorithm meets delayed acknowledgements, and it is 20 times too slow."""


def measure_ingest(
    slices: int = 120,
    rounds: int = 3,
    associations: int = 1,
    processes: int = 1,
    bootstrap_servers: str | None = None,
    neighbours: bool = True,
) -> dict[str, object]:
    """Slices per second by server and client.

    Args:
        slices: per association and round.
        rounds: the servers take turns; the median counts.
        associations: opened at the same time, each by a client process of its own; when several, each round also
            measures one alone with this node.
        processes: of our listener.
        bootstrap_servers: where the listener publishes meanwhile; without it the spool keeps everything.
        neighbours: beside bare pynetdicom, measure what else is installed.
    """
    rates: dict[str, dict[str, list[float]]] = {}
    alone: dict[str, list[float]] = {}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-bench-")))
        series = [_series(work / f"series{n}", slices) for n in range(associations)]
        ports = {
            "tocsin": stack.enter_context(_tocsin(work, processes, bootstrap_servers)),
            "bare_pynetdicom": stack.enter_context(_bare()),
        }
        for name, server in (_neighbours(work) if neighbours else {}).items():
            ports[name] = stack.enter_context(server)
        for _ in range(rounds):
            for client, command in _clients().items():
                for name, port in ports.items():
                    rates.setdefault(client, {}).setdefault(name, []).append(_rate(command, port, series))
                series = [_with_new_uids(files) for files in series]
                if associations > 1:
                    alone.setdefault(client, []).append(_rate(command, ports["tocsin"], series[:1]))
                    series = [_with_new_uids(files) for files in series]
    return {
        "slices": slices,
        "rounds": rounds,
        "associations": associations,
        "processes": processes,
        "publishing": bootstrap_servers is not None,
        "by_client": {client: _summary(by_server, alone.get(client)) for client, by_server in rates.items()},
    }


def _summary(rates: dict[str, list[float]], alone: list[float] | None) -> dict[str, object]:
    medians = {server: statistics.median(values) for server, values in rates.items()}
    one = statistics.median(alone) if alone else None
    beside_one = {"tocsin_one_association": round(one, 1), "over_one": round(medians["tocsin"] / one, 2)} if one else {}
    return {
        "slices_per_second": {server: round(median, 1) for server, median in medians.items()},
        "rounds": {server: [round(rate, 1) for rate in values] for server, values in rates.items()},
        "tocsin_over": {
            server: round(medians["tocsin"] / median, 2) for server, median in medians.items() if server != "tocsin"
        },
        **beside_one,
    }


# -- the slices --------------------------------------------------------------------------------------------------


def _series(folder: Path, count: int) -> list[Path]:
    """Files of one CT series with noise for pixels, so that nothing can compress it away."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    study, series = generate_uid(), generate_uid()
    return [_write(folder / f"{i:04d}.dcm", _slice(i, study, series, noise)) for i in range(count)]


def _slice(number: int, study: str, series: str, noise: np.random.Generator) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.Modality, ds.PatientName, ds.PatientID = "CT", "Bench^Ingest", "BENCH"
    ds.ImageType, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], number + 1
    ds.Rows = ds.Columns = MATRIX
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelSpacing, ds.SliceThickness = [0.45, 0.45], 5
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 5 * number], [1, 0, 0, 0, 1, 0]
    ds.PixelData = noise.integers(0, 4096, (MATRIX, MATRIX), dtype=np.uint16).tobytes()
    return ds


def _write(path: Path, ds: Dataset) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def _with_new_uids(files: list[Path]) -> list[Path]:
    """The same series as if acquired anew, for each round and client: repetitions would be recognised and cost less."""
    series = generate_uid()
    for path in files:
        ds = dcmread(path)
        ds.SOPInstanceUID, ds.SeriesInstanceUID = generate_uid(), series
        _write(path, ds)
    return files


# -- the servers -------------------------------------------------------------------------------------------------


@contextmanager
def _tocsin(work: Path, processes: int, bootstrap_servers: str | None) -> Iterator[int]:
    port = free_ports(1)[0]
    for name in ("site", "identity"):
        (work / name).write_bytes(secrets.token_bytes(32))
    environment = os.environ | {
        "TOCSIN_SITE_SECRET_FILE": str(work / "site"),
        "TOCSIN_IDENTITY_KEY_FILE": str(work / "identity"),
        "TOCSIN_LISTENER_SPOOL_DIR": str(work / "spool"),
        "TOCSIN_LISTENER_PORT": str(port),
        "TOCSIN_LISTENER_METRICS_PORT": "0",
        "TOCSIN_LISTENER_PROCESSES": str(processes),
        "TOCSIN_LISTENER_LOG_LEVEL": "ERROR",
        "TOCSIN_LISTENER_DRAIN_SECONDS": "0",
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers or f"{LOOPBACK}:{free_ports(1)[0]}",
    }
    with _running([sys.executable, "-m", "dicom_listener"], port, environment):
        yield port


@contextmanager
def _bare() -> Iterator[int]:
    port = free_ports(1)[0]
    with _running([sys.executable, "-m", "tocsin.ingest_bench", "bare", str(port)], port, dict(os.environ)):
        yield port


def _neighbours(work: Path) -> dict[str, AbstractContextManager[int]]:
    """Servers that are installed, ready to be started."""
    found: dict[str, AbstractContextManager[int]] = {}
    if shutil.which("storescp"):
        found["dcmtk_storescp"] = _storescp(work)
    orthanc = shutil.which("Orthanc")
    if orthanc:
        found["orthanc"] = _orthanc(orthanc, work / "orthanc", {})
        found["orthanc_nodelay"] = _orthanc(orthanc, work / "orthanc-nodelay", NO_DELAY)
    return found


@contextmanager
def _storescp(work: Path) -> Iterator[int]:
    port, folder = free_ports(1)[0], work / "storescp"
    folder.mkdir()
    command = ["storescp", "--fork", "--max-pdu", str(MAX_PDU_BYTES), "-od", str(folder), "-aet", AE_TITLE, str(port)]
    with _running(command, port, os.environ | NO_DELAY):
        yield port


@contextmanager
def _orthanc(program: str, folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """With its default settings but for ports and folders."""
    port = free_ports(1)[0]
    folder.mkdir()
    settings = {
        "DicomPort": port,
        "DicomAet": AE_TITLE,
        "HttpPort": free_ports(1)[0],
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with _running([program, str(folder / "orthanc.json")], port, os.environ | environment):
        yield port


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    output = None if command[0] == sys.executable else subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603 - our own commands
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def serve_bare(port: int) -> None:
    """The yardstick: pynetdicom with its own best settings, receiving and discarding."""
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(AE_TITLE)
    ae.maximum_pdu_size = MAX_PDU_BYTES
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.start_server((LOOPBACK, port), block=True, evt_handlers=[(evt.EVT_C_STORE, lambda _event: 0x0000)])


# -- the clients -------------------------------------------------------------------------------------------------


def _clients() -> dict[str, Callable[[int, list[Path]], list[str]]]:
    """Commands that send the files of one series over one association and print the seconds it took, or take them."""
    clients: dict[str, Callable[[int, list[Path]], list[str]]] = {"pynetdicom": _pynetdicom_command}
    if shutil.which("storescu"):
        clients["storescu"] = _storescu_command
    return clients


def _pynetdicom_command(port: int, files: list[Path]) -> list[str]:
    return [sys.executable, "-m", "tocsin.ingest_bench", "send", str(port), *map(str, files)]


def _storescu_command(port: int, files: list[Path]) -> list[str]:
    return ["storescu", "-aec", AE_TITLE, "--max-pdu", str(MAX_PDU_BYTES), LOOPBACK, str(port), *map(str, files)]


def _rate(command: Callable[[int, list[Path]], list[str]], port: int, series: list[list[Path]]) -> float:
    environment = os.environ | NO_DELAY
    os.sync()  # neither the client's files nor another server's writes are to be flushed within this measurement
    started = time.monotonic()
    processes = [
        subprocess.Popen(command(port, files), env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own commands
        for files in series
    ]
    outputs = [process.communicate()[0] for process in processes]
    elapsed = time.monotonic() - started
    if any(process.returncode for process in processes):
        raise RuntimeError("a client could not send its series")
    inner = [float(output) for output in outputs if output.strip()]
    return sum(map(len, series)) / (max(inner) if inner else elapsed)


def send(port: int, paths: Sequence[str]) -> float:
    """Send files over one association; seconds from the first request to the last answer."""
    _config.LOG_HANDLER_LEVEL = "none"
    files = [replace(file, data_set=dcmread(file.path)) for file in find_files(map(Path, paths))[0]]
    outcome = scanner.send(files, Destination(AE_TITLE, LOOPBACK, port), "BENCH")
    if outcome.refused:
        raise SystemExit(f"{len(outcome.refused)} of {len(files)} slices were refused")
    return outcome.seconds


def main(arguments: Sequence[str]) -> None:
    """In a process of its own, so that neither server nor client waits for another's interpreter lock."""
    match arguments:
        case ["bare", port]:
            serve_bare(int(port))
        case ["send", port, *files]:
            print(send(int(port), files))  # noqa: T201 - read by the parent
        case _:
            raise SystemExit("usage: python -m tocsin.ingest_bench bare PORT | send PORT FILE…")


if __name__ == "__main__":
    main(sys.argv[1:])
