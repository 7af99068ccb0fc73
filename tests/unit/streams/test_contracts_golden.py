"""The bytes of a topic's version never change: these are them."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from streams.contracts.errors import IdentityUnreadable, MalformedEvent, WeakSecret
from streams.contracts.findings import (
    BleedMeasured,
    Clocks,
    Coverage,
    Estimate,
    FindingProduced,
    FindingReason,
    FindingStatus,
    Measurements,
    MidlineShift,
    Outcome,
    Side,
)
from streams.contracts.identities import IdentityCipher, SeriesIdentity, StudyIdentity
from streams.contracts.ids import SiteSecret
from streams.contracts.pictures import SlicePictured
from streams.contracts.series import (
    LedgerKind,
    SeriesClockTicked,
    SeriesLedgerEntry,
    SeriesPictured,
    decode_series_event,
)
from streams.contracts.slices import SliceAccepted
from streams.contracts.topics import ALL, IDENTITIES, MAX_MESSAGE_BYTES, working_topics

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
SECRET = SiteSecret(bytes(range(32)))
STUDY, SERIES, SOP, ASSOCIATION = ("0" * 31 + digit for digit in "1234")


def test_keys() -> None:
    assert SECRET.study_key("1.2.3") == "1aae6e50e63819a4006efa4a2187e382"
    assert SECRET.series_key("1.2.3", "1.2.3.4") == "ea79d85944a5bd8ae1eafa5b3276c4f0"
    assert SECRET.sop_digest("1.2.3.4.5") == "b65ea653c12ed7645d9d3c11874f799c"


def test_keys_depend_on_kind_boundary_and_site() -> None:
    assert SECRET.study_key("1.2.3") != SECRET.sop_digest("1.2.3")
    assert SECRET.series_key("1.2", "3") != SECRET.series_key("1", "2.3")
    assert SiteSecret(bytes(32)).study_key("1.2.3") != SECRET.study_key("1.2.3")


def test_short_secrets_are_refused() -> None:
    with pytest.raises(WeakSecret, match="31 bytes"):
        SiteSecret(bytes(31))
    with pytest.raises(WeakSecret, match="16 bytes"):
        IdentityCipher(bytes(16))


SLICE = SliceAccepted(
    study_key=STUDY,
    series_key=SERIES,
    sop_digest=SOP,
    association=ASSOCIATION,
    accepted_at=AT,
    pixel_sha256="a" * 64,
    SOPClass="CTImageStorage",
    TransferSyntax="ExplicitVRLittleEndian",
    Modality="CT",
    ImageType=("ORIGINAL", "PRIMARY", "AXIAL"),
    Rows=512,
    Columns=512,
    SamplesPerPixel=1,
    PhotometricInterpretation="MONOCHROME2",
    BitsAllocated=16,
    BitsStored=12,
    HighBit=11,
    PixelRepresentation=0,
    RescaleSlope=1.0,
    RescaleIntercept=-1024.0,
    PixelSpacing=(0.45, 0.45),
    SliceThickness=5.0,
    ImagePositionPatient=(-115.0, -115.0, 10.0),
    ImageOrientationPatient=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    ConvolutionKernel=("H30s",),
    InstanceNumber=7,
)
SLICE_BYTES = (
    b'{"study_key":"00000000000000000000000000000001","series_key":"00000000000000000000000000000002",'
    b'"sop_digest":"00000000000000000000000000000003","frame_number":1,"number_of_frames":1,'
    b'"association":"00000000000000000000000000000004","accepted_at":"2026-01-02T03:04:05.678000Z",'
    b'"pixel_sha256":"' + b"a" * 64 + b'","conflicting":false,"SOPClass":"CTImageStorage",'
    b'"TransferSyntax":"ExplicitVRLittleEndian","Modality":"CT","ImageType":["ORIGINAL","PRIMARY","AXIAL"],'
    b'"Rows":512,"Columns":512,"SamplesPerPixel":1,"PhotometricInterpretation":"MONOCHROME2","BitsAllocated":16,'
    b'"BitsStored":12,"HighBit":11,"PixelRepresentation":0,"RescaleSlope":1.0,"RescaleIntercept":-1024.0,'
    b'"PixelSpacing":[0.45,0.45],"SliceThickness":5.0,"ImagePositionPatient":[-115.0,-115.0,10.0],'
    b'"ImageOrientationPatient":[1.0,0.0,0.0,0.0,1.0,0.0],"ConvolutionKernel":["H30s"],"InstanceNumber":7,'
    b'"unreadable":[]}'
)


def test_slice_bytes() -> None:
    assert SLICE.encode() == SLICE_BYTES
    assert SliceAccepted.decode(SLICE_BYTES) == SLICE


def test_series_bytes() -> None:
    entry = SeriesLedgerEntry(
        kind=LedgerKind.RELEASED,
        study_key=STUDY,
        series_key=SERIES,
        association=ASSOCIATION,
        calling_ae="CT1",
        at=AT,
        frames_accepted=32,
    )
    assert entry.encode() == (
        b'{"kind":"released","study_key":"00000000000000000000000000000001",'
        b'"series_key":"00000000000000000000000000000002","association":"00000000000000000000000000000004",'
        b'"calling_ae":"CT1","at":"2026-01-02T03:04:05.678000Z","frames_accepted":32,"refused":{},"refused_objects":{}}'
    )
    assert decode_series_event(entry.encode()) == entry
    tick = SeriesClockTicked(study_key=STUDY, series_key=SERIES, at=AT)
    assert decode_series_event(tick.encode()) == tick


def test_finding_bytes() -> None:
    finding = FindingProduced(
        study_key=STUDY,
        series_key=SERIES,
        revision=1,
        status=FindingStatus.FAILED,
        outcome=Outcome.FAILED,
        reasons=(FindingReason.SLICES_MISSING,),
        coverage=Coverage(slices_accepted=3, slices_read=0),
        clocks=Clocks(first_slice=AT, last_slice=AT, produced=AT),
    )
    assert finding.encode() == (
        b'{"study_key":"00000000000000000000000000000001","series_key":"00000000000000000000000000000002",'
        b'"revision":1,"status":"failed","outcome":"failed","reasons":["slices_missing"],"probabilities":{},'
        b'"key_slices":[],"coverage":{"slices_accepted":3,"slices_read":0,"frames_in_ledger":0,"unread":{},'
        b'"refused":{},"extent_mm":0.0,"largest_gap_mm":0.0},"clocks":{"first_slice":"2026-01-02T03:04:05.678000Z",'
        b'"last_slice":"2026-01-02T03:04:05.678000Z","produced":"2026-01-02T03:04:05.678000Z"}}'
    )
    assert FindingProduced.decode(finding.encode()) == finding


def test_measurement_bytes() -> None:
    measurements = Measurements(
        bleeds=(
            BleedMeasured(
                label="subdural",
                side=Side.LEFT,
                volume_ml=Estimate(value=31.5, low=14.0, high=70.2),
                mean_hu=Estimate(value=62.0),
                diameter_mm=Estimate(value=81.0, low=60.0, high=95.0),
                extent_mm=70.0,
                slices=14,
                first_instance=9,
                last_instance=22,
            ),
        ),
        midline_shift=MidlineShift(
            shift_mm=Estimate(value=7.0, low=4.5, high=9.5), towards=Side.RIGHT, position_mm=41.0
        ),
    )
    assert measurements.encode() == (
        b'{"bleeds":[{"label":"subdural","side":"left","volume_ml":{"value":31.5,"low":14.0,"high":70.2},'
        b'"mean_hu":{"value":62.0},"diameter_mm":{"value":81.0,"low":60.0,"high":95.0},"extent_mm":70.0,"slices":14,'
        b'"first_instance":9,"last_instance":22}],"midline_shift":{"shift_mm":{"value":7.0,"low":4.5,"high":9.5},'
        b'"towards":"right","position_mm":41.0}}'
    )
    assert Measurements.decode(measurements.encode()) == measurements


@pytest.mark.parametrize(
    ("status", "outcome", "score", "read"),
    [
        (FindingStatus.PROVISIONAL, Outcome.NEGATIVE, 0.1, 30),
        (FindingStatus.FAILED, Outcome.NEGATIVE, 0.1, 30),
        (FindingStatus.FINAL, Outcome.NEGATIVE, None, 30),
        (FindingStatus.FINAL, Outcome.NEGATIVE, 0.1, 0),
    ],
)
def test_a_negative_that_nobody_computed_cannot_exist(
    status: FindingStatus, outcome: Outcome, score: float | None, read: int
) -> None:
    with pytest.raises(ValidationError):
        FindingProduced(
            study_key=STUDY,
            series_key=SERIES,
            revision=1,
            status=status,
            outcome=outcome,
            reasons=(FindingReason.BELOW_FINAL_THRESHOLD,),
            score=score,
            coverage=Coverage(slices_accepted=read, slices_read=read),
            clocks=Clocks(first_slice=AT, last_slice=AT, produced=AT),
        )


def test_malformed_bytes_name_the_place_and_not_the_content() -> None:
    broken = json.loads(SLICE_BYTES) | {"Modality": "Jane Doe", "PatientName": "Jane Doe"}
    with pytest.raises(MalformedEvent, match="Modality") as caught:
        SliceAccepted.decode(json.dumps(broken).encode())
    assert "Jane" not in str(caught.value)
    with pytest.raises(MalformedEvent):
        SliceAccepted.decode(b"\xff\x00")
    with pytest.raises(MalformedEvent):
        decode_series_event(b"{}")


STUDY_IDENTITY = StudyIdentity(study_key=STUDY, StudyInstanceUID="1.2.3", PatientName="Doe^Jane")
SEALED_PREFIX = "01799993ac000000000000000000000000759ec6aac048fae263cdd017220ea1a9e273666318b1501fb0ae83b3f5cf6d66"


def test_identity_envelope() -> None:
    cipher = IdentityCipher(bytes(range(32)))
    envelope = cipher.seal(STUDY_IDENTITY, STUDY, nonce=bytes(12))
    assert envelope.hex().startswith(SEALED_PREFIX)
    assert b"Jane" not in envelope
    assert cipher.open(envelope, STUDY) == STUDY_IDENTITY
    series = SeriesIdentity(study_key=STUDY, series_key=SERIES, SeriesInstanceUID="1.2.3.4")
    assert cipher.open(cipher.seal(series, series.message_key, bytes(12)), series.message_key) == series


def test_an_envelope_opens_only_whole_with_its_key_and_for_its_study() -> None:
    cipher = IdentityCipher(bytes(range(32)))
    envelope = cipher.seal(STUDY_IDENTITY, STUDY, nonce=bytes(12))
    altered = envelope[:-1] + bytes([envelope[-1] ^ 1])
    for key, envelope_, study in (
        (bytes(range(32)), altered, STUDY),
        (bytes(range(32)), envelope, SERIES),
        (bytes(32), envelope, STUDY),
        (bytes(range(32)), b"plain", STUDY),
    ):
        with pytest.raises(IdentityUnreadable):
            IdentityCipher(key).open(envelope_, study)


def test_every_topic_takes_the_largest_message_and_only_identities_are_compacted() -> None:
    for topic in ALL:
        config = topic.config(min_insync_replicas=2)
        assert config["max.message.bytes"] == str(MAX_MESSAGE_BYTES)
        assert config["min.insync.replicas"] == "2"
        assert (config["cleanup.policy"] == "compact") == (topic is IDENTITIES)
    assert IDENTITIES not in list(working_topics())


PICTURE = SlicePictured(
    study_key=STUDY,
    series_key=SERIES,
    unit=f"{SOP}:1",
    sop_digest=SOP,
    digest="d" * 32,
    InstanceNumber=7,
    position_mm=10.0,
    thickness_mm=5.0,
    Rows=512,
    Columns=512,
    PixelSpacing=(0.45, 0.45),
    ImagePositionPatient=(-115.0, -115.0, 10.0),
    ImageOrientationPatient=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    at=AT,
)
PICTURE_BYTES = (
    b'{"study_key":"00000000000000000000000000000001","series_key":"00000000000000000000000000000002",'
    b'"unit":"00000000000000000000000000000003:1","sop_digest":"00000000000000000000000000000003","frame_number":1,'
    b'"digest":"dddddddddddddddddddddddddddddddd","slices":1,"InstanceNumber":7,"position_mm":10.0,"thickness_mm":5.0,'
    b'"Rows":512,"Columns":512,"PixelSpacing":[0.45,0.45],"ImagePositionPatient":[-115.0,-115.0,10.0],'
    b'"ImageOrientationPatient":[1.0,0.0,0.0,0.0,1.0,0.0],"at":"2026-01-02T03:04:05.678000Z"}'
)


def test_picture() -> None:
    assert PICTURE.encode() == PICTURE_BYTES
    assert SlicePictured.decode(PICTURE_BYTES) == PICTURE


def test_the_ledger_knows_what_has_been_pictured() -> None:
    event = SeriesPictured(study_key=STUDY, series_key=SERIES, revision=2, at=AT)
    assert decode_series_event(event.encode()) == event
