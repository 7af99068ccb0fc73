"""Identities leave sealed, once, and again when they change."""

from pydicom.dataset import Dataset

from dicom_listener.identities import IdentityRegister
from dicom_listener.identity import series_identity, study_identity
from streams.contracts.identities import IdentityCipher, StudyIdentity
from streams.contracts.ids import SiteSecret
from tests.unit.dicom_listener.ct_objects import SERIES, STUDY, a_ct

SECRET, CIPHER = SiteSecret(b"s" * 32), IdentityCipher(b"k" * 32)


def parsed(ds: Dataset) -> Dataset:
    from io import BytesIO

    from pydicom.filereader import read_dataset

    from tests.unit.dicom_listener.ct_objects import encoded

    return read_dataset(BytesIO(encoded(ds)), False, True)


def who(**changes: object) -> StudyIdentity:
    return study_identity(parsed(a_ct(**changes)), STUDY, SECRET)


def test_once_until_it_changes() -> None:
    register = IdentityRegister(CIPHER)
    first = register.unpublished(who())
    assert first is not None
    assert register.unpublished(who()) is not None, "not durable yet, so it goes along again"
    register.published(first)
    assert register.unpublished(who()) is None
    assert register.unpublished(who(PatientName="Doe^Janet")) is not None


def test_only_the_key_opens_it() -> None:
    sealed = IdentityRegister(CIPHER).unpublished(who())
    assert sealed is not None
    envelope = bytes(sealed.message.value)
    assert b"Doe" not in envelope
    assert STUDY.encode() not in envelope
    opened = CIPHER.open(envelope, sealed.message.key)
    assert isinstance(opened, StudyIdentity)
    assert (opened.PatientName, opened.StudyInstanceUID) == ("Doe^Jane", STUDY)


def test_two_seals_of_one_identity_differ() -> None:
    register = IdentityRegister(CIPHER)
    one, two = register.unpublished(who()), register.unpublished(who())
    assert one is not None
    assert two is not None
    assert one.message.value != two.message.value


def test_a_series_goes_under_its_study() -> None:
    sealed = IdentityRegister(CIPHER).unpublished(series_identity(parsed(a_ct()), STUDY, SERIES, SECRET))
    assert sealed is not None
    study_key, series_key = sealed.message.key.split(":")
    assert study_key == SECRET.study_key(STUDY)
    assert series_key == SECRET.series_key(STUDY, SERIES)


def test_names_of_every_script() -> None:
    ds = a_ct(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen=山田^太郎")
    assert who(SpecificCharacterSet="ISO_IR 192", PatientName=ds.PatientName).PatientName == "Müller^Jürgen=山田^太郎"
    assert who(SpecificCharacterSet="ISO_IR 100", PatientName="Müller").PatientName == "Müller"


def test_an_unknown_character_set_is_no_reason_to_stumble() -> None:
    assert who(SpecificCharacterSet="KLINGON").PatientName == "Doe^Jane"


def test_patients_are_told_apart_by_issuer() -> None:
    assert who(IssuerOfPatientID="A").patient_key != who(IssuerOfPatientID="B").patient_key
    assert who(PatientID=None).patient_key is None
