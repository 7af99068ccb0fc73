"""A model is recalibrated on whatever a labelled set knows, and says what it was recalibrated on."""

import weakref
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.support.labelled import a_labelled_case
from triage_models.datasets.case import Case
from triage_models.errors import DatasetError
from triage_models.manifest import Manifest
from triage_models.reader import Reader
from triage_models.training.calibration import recalibrated, renewed, renewed_version

TODAY = date(2026, 3, 1)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.open()


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [a_labelled_case(11, "subdural"), a_labelled_case(12), a_labelled_case(13, "intraparenchymal")]


def fitted(reader: Reader, cases: Iterator[Case]) -> Manifest:
    return recalibrated(reader, cases, alpha=0.05, seed=0, today=TODAY)


def unlabelled(case: Case) -> Case:
    return replace(case, slice_labels=None, areas_mm2=None)


def test_everything_is_fitted_in_one_pass(reader: Reader, cases: list[Case]) -> None:
    manifest = fitted(reader, iter(cases))
    assert manifest.calibration != reader.manifest.calibration
    assert manifest.thresholds.slice.n_positive > 0
    assert manifest.thresholds.final.n_negative == 1
    assert manifest.thresholds.provisional.value == 1.0


def test_a_type_that_no_case_has_is_said_as_before(reader: Reader, cases: list[Case]) -> None:
    manifest = fitted(reader, iter(cases))
    for absent in ("epidural", "intraventricular"):
        assert manifest.calibration[absent] == reader.manifest.calibration[absent]
        assert manifest.series[absent] == reader.manifest.series[absent]
    assert manifest.series["subdural"] != reader.manifest.series["subdural"]
    assert manifest.measurements == reader.manifest.measurements, "too few cases to fit any"


def test_the_pixels_of_what_was_read_are_not_kept(reader: Reader) -> None:
    kept: list[weakref.ref[object]] = []

    def one_after_another() -> Iterator[Case]:
        for seed, bleed in ((11, "subdural"), (12, None), (13, None)):
            assert [one() for one in kept[:-1]] == [None] * len(kept[:-1])
            case = a_labelled_case(seed, bleed)
            kept.append(weakref.ref(case.slices[0].voxels_hu))
            yield case
            del case

    fitted(reader, one_after_another())
    assert [one() for one in kept] == [None, None, None]


def test_without_labels_of_slices_what_slices_say_stays(reader: Reader, cases: list[Case]) -> None:
    manifest = fitted(reader, map(unlabelled, cases))
    assert manifest.calibration == reader.manifest.calibration
    assert manifest.thresholds.slice == reader.manifest.thresholds.slice
    assert manifest.series != reader.manifest.series
    assert manifest.thresholds.final.chosen_on == TODAY


def test_labels_of_slices_with_a_bleed_only_are_not_enough(reader: Reader, cases: list[Case]) -> None:
    known = [case if case.labels[0] else unlabelled(case) for case in cases]
    manifest = fitted(reader, iter(known))
    assert manifest.thresholds.slice == reader.manifest.thresholds.slice


@pytest.mark.parametrize(("labels", "said"), [((), "0 series"), ((True,), "1 series .* 0 without"), ((False,), "0 se")])
def test_a_set_of_one_class_is_refused(reader: Reader, cases: list[Case], labels: tuple[bool, ...], said: str) -> None:
    few = [replace(cases[0], labels=np.full(6, there), slice_labels=None) for there in labels]
    with pytest.raises(DatasetError, match=said):
        fitted(reader, iter(few))


def test_a_recalibrated_model_claims_nothing_of_the_old_one(reader: Reader) -> None:
    version = renewed_version("0.4.0+20260101", TODAY)
    manifest = renewed(reader.manifest, version, "ward (cq500)", TODAY)
    assert manifest.version == "0.4.0+20260301"
    assert manifest.metrics == manifest.volume_errors == {}
    assert manifest.training_data.startswith(reader.manifest.training_data)
    final = reader.manifest.thresholds.final
    series = final.n_negative + final.n_positive
    assert f"Recalibrated after that on ward (cq500), {series} series, 2026-03-01" in manifest.training_data
    assert manifest.int8 is not None
    assert "before it was recalibrated" in manifest.int8.evaluation
