"""Another model is put to use while series arrive: none is lost, and none is read by two."""

import shutil
from pathlib import Path

import pytest

from streams.contracts.findings import FindingReason, Outcome
from streams.contracts.series import LedgerKind
from streams.models import ModelChange, OneFolder, OpenModels, opened
from tests.support.slices import a_slice, key
from tests.support.stream_worker import CLEAN, FakeReader, Worker, a_model
from triage_models.errors import ManifestError
from triage_models.manifest import load_manifest, save_manifest
from triage_models.reader import SHIPPED, Reader
from triage_models.store import ModelStore


@pytest.fixture
def worker() -> Worker:
    return Worker()


def send(worker: Worker, numbers: range, series: str = "series") -> None:
    for number in numbers:
        worker.send(a_slice(number, series_key=key(series), sop_digest=key(f"{series} {number}")), CLEAN)


def finish(worker: Worker, frames: int, series: str = "series") -> None:
    worker.account(LedgerKind.RELEASED, frames, series_key=key(series))
    worker.wait(3)


def another_model(worker: Worker) -> FakeReader:
    reader = FakeReader()
    worker.models.use(a_model(reader, "model 2"))
    return reader


def model_of(worker: Worker) -> str:
    assert worker.last.model is not None
    return worker.last.model.version


def test_a_series_is_finished_by_the_model_it_began_with_and_the_next_is_read_by_the_new_one(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 15))
    new = another_model(worker)
    send(worker, range(15, 29))
    finish(worker, 28)
    assert model_of(worker) == "model 1"
    assert new.reads == 0
    worker.account(LedgerKind.OPENED, series_key=key("next"))
    send(worker, range(1, 29), "next")
    finish(worker, 28, "next")
    assert model_of(worker) == "model 2"
    assert (worker.reader.reads, new.reads) == (28, 28)


def test_the_worker_that_takes_over_goes_on_with_the_same_model(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 15))
    new = another_model(worker)
    worker.restart()
    send(worker, range(15, 29))
    finish(worker, 28)
    assert model_of(worker) == "model 1"
    assert new.reads == 0
    assert worker.last.outcome is Outcome.NEGATIVE


def test_a_series_whose_model_is_gone_is_read_again_from_the_start_and_says_so(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 15))
    new = another_model(worker)
    del worker.models.at_hand["model 1"]
    worker.restart()
    send(worker, range(15, 29))
    finish(worker, 28)
    assert new.reads == 28
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.coverage.slices_read == 28
    assert FindingReason.MODEL_CHANGED in worker.last.reasons
    assert model_of(worker) == "model 2"


def test_a_model_that_goes_just_before_the_end_costs_nothing_but_time(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 29))
    new = another_model(worker)
    del worker.models.at_hand["model 1"]
    finish(worker, 28)
    assert new.reads == 28
    assert worker.last.coverage.slices_read == 28
    worker.restart()
    worker.force_tick()
    assert len(worker.findings) == 1


def test_what_the_lost_model_read_is_not_counted_after_a_restart(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 15))
    another_model(worker)
    del worker.models.at_hand["model 1"]
    send(worker, range(15, 16))
    worker.restart()
    (state,) = [worker.store.load(series) for series in worker.store.summaries]
    assert state is not None
    assert len(state.readings) == 15
    assert {unit.model for unit in state.readings.values()} == {"model 2"}


def test_without_any_model_a_series_fails_and_the_next_is_read_once_there_is_one(worker: Worker) -> None:
    chosen = worker.models.chosen
    worker.models.chosen = None
    worker.account(LedgerKind.OPENED)
    send(worker, range(1, 29))
    finish(worker, 28)
    assert worker.last.outcome is Outcome.FAILED
    worker.models.chosen = chosen
    send(worker, range(1, 29), "next")
    finish(worker, 28, "next")
    assert worker.last.outcome is Outcome.NEGATIVE


# The shelf


class Watched:
    """OpenModels on a store, with what it told of."""

    def __init__(self, store: ModelStore) -> None:
        self.told: list[ModelChange] = []
        self.opened: list[Path] = []
        self.models = OpenModels(store, self._open, self.told.append)
        self.models.look()

    def _open(self, folder: Path) -> Reader:
        self.opened.append(folder)
        return Reader.open(folder, threads=1)

    @property
    def version(self) -> str:
        model = self.models.in_use()
        assert model is not None
        return model.described.version


def a_version(folder: Path, version: str) -> Path:
    shutil.copytree(SHIPPED, folder)
    save_manifest(folder, load_manifest(folder).model_copy(update={"name": "site", "version": version}))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    for version in ("1", "2"):
        store.add(a_version(tmp_path / version, version))
    return store


def test_the_model_in_use_is_opened_once_and_another_when_it_is_chosen(store: ModelStore) -> None:
    store.use("site-1")
    watched = Watched(store)
    first = watched.models.in_use()
    watched.models.look()
    assert (watched.version, len(watched.opened)) == ("1", 1)
    store.use("site-2")
    watched.models.look()
    assert (watched.version, watched.told) == ("2", [ModelChange.TAKEN] * 2)
    assert first is not None
    assert watched.models.of(first.identity) is first


def test_a_broken_model_is_refused_once_and_the_old_one_stays(store: ModelStore, tmp_path: Path) -> None:
    store.use("site-1")
    watched = Watched(store)
    store.use("site-2")
    with (tmp_path / "store" / "site-2" / "network.onnx.xz").open("ab") as file:
        file.write(b"x")
    for _ in range(3):
        watched.models.look()
    assert watched.version == "1"
    assert watched.told == [ModelChange.TAKEN, ModelChange.REFUSED]


def test_a_chosen_model_that_was_removed_is_refused_once(store: ModelStore, tmp_path: Path) -> None:
    store.use("site-1")
    watched = Watched(store)
    store.use("site-2")
    shutil.rmtree(tmp_path / "store" / "site-2")
    for _ in range(3):
        watched.models.look()
    assert (watched.version, watched.told) == ("1", [ModelChange.TAKEN, ModelChange.REFUSED])


def test_a_fresh_worker_finds_the_model_that_a_series_began_with(store: ModelStore) -> None:
    store.use("site-1")
    began = Watched(store).models.in_use()
    assert began is not None
    store.use("site-2")
    fresh = Watched(store)
    found = fresh.models.of(began.identity)
    assert found is not None
    assert found.described.version == "1"
    assert fresh.version == "2"
    assert fresh.models.of("no such model") is None


def test_few_models_are_held_and_the_one_in_use_always_is(store: ModelStore, tmp_path: Path) -> None:
    watched = Watched(store)
    for version in ("3", "4", "5"):
        store.add(a_version(tmp_path / version, version))
        identity = load_manifest(tmp_path / version).identity
        assert watched.models.of(identity) is not None
    opened_before = len(watched.opened)
    in_use = watched.models.in_use()
    assert in_use is not None
    assert watched.models.of(in_use.identity) is in_use
    assert watched.models.of(load_manifest(tmp_path / "3").identity) is not None
    assert len(watched.opened) == opened_before + 1


def test_other_thresholds_are_another_model(tmp_path: Path) -> None:
    assert load_manifest(a_version(tmp_path / "a", "1")).identity != load_manifest(SHIPPED).identity


def test_without_any_model_that_opens_there_is_none(tmp_path: Path) -> None:
    def fail(folder: Path) -> Reader:
        raise ManifestError("planned")

    told: list[ModelChange] = []
    models = OpenModels(OneFolder(tmp_path), fail, told.append)
    models.look()
    assert models.in_use() is None
    assert told == [ModelChange.REFUSED]
    assert opened(Reader.open()).described.name == load_manifest(SHIPPED).name
