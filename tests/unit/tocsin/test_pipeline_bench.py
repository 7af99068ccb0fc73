"""The heads of the pipeline bench: what one study changes is not changed in another."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tocsin.pipeline_bench import Head, _thinned


def a_slice() -> Dataset:
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data_set.StudyInstanceUID = data_set.SeriesInstanceUID = data_set.SOPInstanceUID = "1.2.3"
    data_set.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data_set.ImagePositionPatient = [-100, -100, 40]
    data_set.SliceThickness = 5
    return data_set


def test_the_parts_of_a_thick_slice_lie_side_by_side() -> None:
    thick = a_slice()
    places = [float(part.ImagePositionPatient[2]) for part in _thinned(thick, 2)]
    assert np.allclose(places, [38.75, 41.25])
    assert [float(part.SliceThickness) for part in _thinned(thick, 2)] == [2.5, 2.5]
    assert float(thick.ImagePositionPatient[2]) == 40


def test_two_studies_of_one_head_have_uids_of_their_own() -> None:
    head = Head("none", (a_slice(), a_slice()))
    one, other = head.study(), head.study()
    assert all(file.data_set is not None for file in (*one, *other))
    uids = [str(file.data_set.SOPInstanceUID) for file in (*one, *other) if file.data_set is not None]
    assert len(set(uids)) == 4
    studies = [{str(f.data_set.StudyInstanceUID) for f in study if f.data_set is not None} for study in (one, other)]
    assert [len(found) for found in studies] == [1, 1]
    assert studies[0] != studies[1]
