"""The truth about a synthetic series in one file, to compare with what a reader says of its DICOM objects."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import dcmread

from triage_models.labels import LABELS, TYPES
from triage_models.synthetic.series import SyntheticSeries


def write_truth(series: SyntheticSeries, slices: Sequence[Path], path: Path) -> None:
    """Writes an `.npz` for the series whose slices were written to `slices`, foot to head; every array in that order.

    `slice_labels` bool `[S, 6]`, `label_names` `[6]`; `masks` uint8 `[S, H, W]`: 0 no bleed, else 1 + the index in
    `mask_names` `[5]`; `positions_mm` `[S]` along the normal; `pixel_spacing_mm` (between rows, between columns);
    `sop_instance_uids` `[S]`.
    """
    uids = [str(dcmread(one, stop_before_pixels=True).SOPInstanceUID) for one in slices]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            slice_labels=series.labels,
            label_names=np.array(LABELS),
            masks=series.masks,
            mask_names=np.array(TYPES),
            positions_mm=series.positions_mm,
            pixel_spacing_mm=np.array(series.pixel_spacing_mm),
            sop_instance_uids=np.array(uids),
        )
