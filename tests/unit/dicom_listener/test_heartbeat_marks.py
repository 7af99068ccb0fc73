"""What is the dead-man's study at the door, and what is a patient: when in doubt, a patient."""

import hashlib

import pytest
from pydicom.dataset import Dataset

from dicom_listener.errors import SpoolFull
from dicom_listener.ledger import AssociationLedger
from streams.contracts.heartbeat import CALLING_AE
from streams.contracts.ids import SiteSecret
from tests.unit.dicom_listener.ct_objects import a_ct, a_request
from tests.unit.dicom_listener.test_intake import Desk
from tocsin.heartbeat import seal

SECRET = SiteSecret(b"s" * 32)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def sealed(number: int = 1, **changes: object) -> Dataset:
    dataset = a_ct(number, **changes)
    seal(dataset, SECRET)
    return dataset


def store(desk: Desk, dataset: Dataset, calling_ae: str = CALLING_AE) -> int:
    return desk.intake.store(a_request(dataset), AssociationLedger("e" * 32, calling_ae)).status


def test_a_sealed_object_from_the_heart_is_marked_and_names_nobody(desk: Desk) -> None:
    assert store(desk, sealed()) == 0
    assert [event.heartbeat for event in desk.log.slices] == [True]
    assert desk.log.on("phi.identities.v1") == []
    assert desk.count("slices_accepted_total") == desk.count("scanner_slices_total", scanner="other") == 0
    assert desk.count("heartbeat_slices_total") == 1


def test_a_patient_is_not_marked(desk: Desk) -> None:
    assert store(desk, a_ct(), "CT1") == 0
    assert b"heartbeat" not in bytes(dict(desk.log.on("ct.slices.v1")[0].headers)["slice"].encode())
    assert len(desk.log.on("phi.identities.v1")) == 2


def test_a_scanner_that_has_the_heart_s_ae_title_by_mistake_is_a_scanner(desk: Desk) -> None:
    assert store(desk, a_ct()) == 0
    assert [event.heartbeat for event in desk.log.slices] == [None]
    assert len(desk.log.on("phi.identities.v1")) == 2


def test_a_sealed_object_from_a_scanner_is_a_patient_s(desk: Desk) -> None:
    store(desk, sealed(), "CT1")
    assert [event.heartbeat for event in desk.log.slices] == [None]


@pytest.mark.parametrize("attribute", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_seal_is_void_under_another_uid(desk: Desk, attribute: str) -> None:
    dataset = sealed()
    setattr(dataset, attribute, "1.2.3.99")
    store(desk, dataset)
    assert [event.heartbeat for event in desk.log.slices] == [None]


def test_a_seal_is_void_on_other_pixels(desk: Desk) -> None:
    """Whoever copies a seal cannot hide a patient under it."""
    dataset = sealed()
    dataset.PixelData = a_ct(2).PixelData
    assert hashlib.sha256(dataset.PixelData).digest() != hashlib.sha256(a_ct(1).PixelData).digest()
    store(desk, dataset)
    assert [event.heartbeat for event in desk.log.slices] == [None]


def test_a_seal_of_another_site_is_void(desk: Desk) -> None:
    dataset = a_ct()
    seal(dataset, SiteSecret(b"o" * 32))
    store(desk, dataset)
    assert [event.heartbeat for event in desk.log.slices] == [None]


def test_a_study_whose_first_object_was_sealed_is_named_when_a_patient_s_comes(desk: Desk) -> None:
    store(desk, sealed())
    store(desk, a_ct(2), "CT1")
    assert len(desk.log.on("phi.identities.v1")) == 2


def test_a_refused_heartbeat_announces_no_series(desk: Desk) -> None:
    desk.log.error = SpoolFull("full")
    assert store(desk, sealed()) == 0xA700
    assert desk.log.records == []
