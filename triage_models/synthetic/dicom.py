"""A synthetic series as DICOM CT Image Storage objects (PS3.3 A.3), for demonstrations and dead-man's studies.

Laws: every object says that it is synthetic; UIDs follow from the seed, so the same series written twice is the same
study; pixel data is stored losslessly in the transfer syntax asked for, by an encoder that is really installed.
"""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from triage_models.errors import GenerationFailed
from triage_models.synthetic.series import SyntheticSeries

SYNTAXES: dict[str, UID] = {
    "ExplicitVRLittleEndian": ExplicitVRLittleEndian,
    "ImplicitVRLittleEndian": ImplicitVRLittleEndian,
    "DeflatedExplicitVRLittleEndian": DeflatedExplicitVRLittleEndian,
    "RLELossless": RLELossless,
    "JPEGLSLossless": JPEGLSLossless,
    "JPEG2000Lossless": JPEG2000Lossless,
    "JPEGLosslessSV1": JPEGLosslessSV1,
}
"""Transfer syntaxes by name; JPEGLosslessSV1 only where an installed codec can encode it."""

_RESCALE_INTERCEPT = -1024
_MANUFACTURER = "Tocsin synthetic CT"
_WRITTEN_AS_IS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def write_series(
    series: SyntheticSeries,
    out_dir: Path,
    *,
    syntax: str = "ExplicitVRLittleEndian",
    patient_name: str = "SYNTHETIC^TOCSIN",
    patient_id: str | None = None,
    acquired: datetime | None = None,
    uid_salt: str = "",
) -> list[Path]:
    """Writes one file per slice, foot to head, and returns their paths.

    `uid_salt` makes a new study of the same seed (a demonstration that is sent twice). `acquired` is the study's date
    and time (default: 2000-01-01 12:00, so that the output is reproducible). Raises GenerationFailed for a syntax that
    is unknown or that no installed codec encodes.
    """
    if syntax not in SYNTAXES:
        raise GenerationFailed(f"transfer syntax {syntax!r} is none of {', '.join(SYNTAXES)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    when = acquired or datetime(2000, 1, 1, 12)  # noqa: DTZ001  # DICOM DA/TM carry local time
    paths = []
    for index in range(len(series.voxels_hu)):
        dataset = slice_dataset(series, index, patient_name, patient_id, when, uid_salt)
        _encode(dataset, SYNTAXES[syntax])
        path = out_dir / f"slice-{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_dataset(
    series: SyntheticSeries, index: int, patient_name: str, patient_id: str | None, acquired: datetime, uid_salt: str
) -> Dataset:
    """One slice as an uncompressed CT Image object (explicit VR little endian)."""
    dataset = Dataset()
    _identify(dataset, series, index, patient_name, patient_id, acquired, uid_salt)
    _place(dataset, series, index)
    _fill_pixels(dataset, series.voxels_hu[index])
    return dataset


def _uid(series: SyntheticSeries, salt: str, *what: str) -> UID:
    return generate_uid(
        entropy_srcs=["tocsin-synthetic", str(series.seed), str(series.bleed), series.setting, salt, *what]
    )


def _identify(
    d: Dataset, series: SyntheticSeries, index: int, name: str, patient_id: str | None, when: datetime, salt: str
) -> None:
    meta = FileMetaDataset()
    d.SpecificCharacterSet = "ISO_IR 192"
    d.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.SOPClassUID = meta.MediaStorageSOPClassUID = CTImageStorage
    d.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = _uid(
        series, salt, "image", str(len(series.voxels_hu)), str(index)
    )
    d.StudyInstanceUID = _uid(series, salt, "study")
    d.SeriesInstanceUID = _uid(series, salt, "series", str(series.thickness_mm), str(series.voxels_hu.shape))
    d.FrameOfReferenceUID = _uid(series, salt, "frame of reference")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta = meta
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = when.strftime("%Y%m%d")
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = when.strftime("%H%M%S")
    d.AccessionNumber, d.Modality, d.Manufacturer = f"SYN{series.seed % 10**10}", "CT", _MANUFACTURER
    d.InstitutionName, d.ManufacturerModelName = "SYNTHETIC", _MANUFACTURER
    d.ReferringPhysicianName, d.StudyDescription, d.SeriesDescription = "", "SYNTHETIC HEAD CT", "SYNTHETIC HEAD AXIAL"
    d.PatientName, d.PatientID = name, patient_id or f"SYNTHETIC-{series.seed}"
    d.PatientBirthDate, d.PatientSex = "", "O"
    d.StudyID, d.SeriesNumber, d.InstanceNumber, d.AcquisitionNumber = "1", 2, index + 1, 1
    d.BodyPartExamined, d.ImageComments = "HEAD", "Synthetic image: not a patient"
    d.ProtocolName, d.PatientPosition, d.PositionReferenceIndicator, d.Laterality = "SYNTHETIC HEAD", "HFS", "", ""


def _place(d: Dataset, series: SyntheticSeries, index: int) -> None:
    d.KVP, d.ConvolutionKernel = str(series.kvp), series.kernel
    d.SliceThickness = _decimal(series.thickness_mm)
    d.SpacingBetweenSlices = _decimal(series.spacing_mm)
    d.GantryDetectorTilt = _decimal(series.gantry_tilt_degrees)
    d.PixelSpacing = [_decimal(v) for v in series.pixel_spacing_mm]
    d.ImageOrientationPatient = [_decimal(v) for v in series.orientation]
    d.ImagePositionPatient = [_decimal(float(v)) for v in series.origins_mm[index]]
    d.SliceLocation = _decimal(float(series.positions_mm[index]))


def _decimal(value: float) -> str:
    """At most 16 characters (DS, PS3.5 6.2)."""
    return f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def _fill_pixels(d: Dataset, plane_hu: NDArray[np.int16]) -> None:
    stored = np.clip(plane_hu.astype(np.int32) - _RESCALE_INTERCEPT, 0, 4095).astype("<u2")
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = stored.shape
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = str(_RESCALE_INTERCEPT), "1", "HU"
    d.WindowCenter, d.WindowWidth = "40", "80"
    d.PixelData = stored.tobytes()
    d["PixelData"].VR = "OW"


def _encode(d: Dataset, syntax: UID) -> None:
    if syntax in _WRITTEN_AS_IS:
        d.file_meta.TransferSyntaxUID = syntax
        return
    if syntax in (JPEGLosslessSV1, JPEG2000Lossless):
        _encode_by_gdcm(d, syntax)
        return
    try:
        d.compress(syntax, generate_instance_uid=False)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise GenerationFailed(f"no installed codec encodes {syntax.name}: {error}") from error


def _encode_by_gdcm(d: Dataset, syntax: UID) -> None:
    """JPEG Lossless SV1 (process 14) and JPEG 2000: encoded by GDCM, the rest of the object stays ours."""
    try:
        import gdcm  # type: ignore[import-untyped]  # ships no type information
    except ImportError as error:
        raise GenerationFailed(f"no installed codec encodes {syntax.name}: python-gdcm is missing") from error
    with TemporaryDirectory() as folder:
        plain, encoded = Path(folder) / "plain.dcm", Path(folder) / "encoded.dcm"
        d.save_as(plain, enforce_file_format=True)
        reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(plain))
        target = gdcm.TransferSyntax.GetTSType(str(syntax))
        change.SetTransferSyntax(gdcm.TransferSyntax(target))
        if reader.Read():
            change.SetInput(reader.GetImage())
        if not change.Change():
            raise GenerationFailed(f"GDCM does not encode {syntax.name}")
        writer.SetFileName(str(encoded))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise GenerationFailed(f"GDCM could not write {syntax.name}")
        d.PixelData = dcmread(encoded).PixelData
    d["PixelData"].VR = "OB"
    d["PixelData"].is_undefined_length = True
    d.file_meta.TransferSyntaxUID = syntax
