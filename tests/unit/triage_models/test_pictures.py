"""Pictures are made of what people make pictures of, whatever the coordinates of a series."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.labelled import a_labelled_case
from triage_models.reader import Reader
from triage_models.training.pictures import Pictures, showing_brain

BRAIN_MM2 = np.array([0.0, 900.0, 3000.0, 8000.0, 9000.0, 10_000.0, 7000.0, 3900.0, 100.0])


@pytest.fixture
def pictures() -> Pictures:
    return Pictures(Reader.open(), 3)


def test_slices_with_much_brain_are_shown() -> None:
    assert showing_brain(BRAIN_MM2).tolist() == [3, 4, 5, 6]


def test_without_any_brain_measured_every_slice_may_be_shown() -> None:
    assert showing_brain(np.zeros(4)).tolist() == [0, 1, 2, 3]


def test_where_a_series_begins_does_not_matter() -> None:
    reader, case = Reader.open(), a_labelled_case(21)
    logits = []
    for moved in (case, replace(case, positions_mm=case.positions_mm + 700)):
        pictures = Pictures(reader, 3)
        pictures.add(moved, BRAIN_MM2)
        logits.append(pictures.logits)
    assert logits[0].shape == (4, 6)
    assert np.array_equal(*logits)


def test_a_series_without_labels_of_its_slices_has_no_pictures(pictures: Pictures) -> None:
    pictures.add(replace(a_labelled_case(21), slice_labels=None), BRAIN_MM2)
    assert pictures.logits.shape == pictures.labels.shape == (0, 6)
    assert not pictures.show_both


def test_both_kinds_are_needed(pictures: Pictures) -> None:
    pictures.add(a_labelled_case(21), BRAIN_MM2)
    assert not pictures.show_both
    bleeding = a_labelled_case(22, "intraparenchymal")
    pictures.add(bleeding, BRAIN_MM2)
    assert pictures.show_both
    assert bleeding.slice_labels is not None
    shown = pictures.labels[4:]
    assert shown.any(0).tolist() == bleeding.labels.tolist()
    assert shown[:, 0].all()


def test_a_bleed_that_is_in_no_slice_that_was_read_has_no_pictures(pictures: Pictures) -> None:
    case = a_labelled_case(22, "intraparenchymal")
    assert case.slice_labels is not None
    pictures.add(replace(case, slice_labels=np.zeros_like(case.slice_labels)), BRAIN_MM2)
    assert len(pictures.logits) == 0
