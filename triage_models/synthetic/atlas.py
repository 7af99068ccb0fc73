"""The template anatomy that every synthetic head starts from.

Grey and white matter come from the MNI152 2009 templates that the nilearn package carries (loaded from the
installed package at run time, never copied). Everything else (cavity, ventricles, depth) is derived here.
Coordinates are MNI millimetres, RAS: +x right, +y anterior, +z superior.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from triage_models.errors import GenerationFailed

Field = NDArray[np.float32]

_GREY = "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz"
_WHITE = "mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz"
_FINE_MM = 1.0
_COARSE_MM = 2.0


@dataclass(frozen=True)
class Atlas:
    """Template fields on regular grids, `[x, y, z]`.

    `grey`, `white` 0–1 at 1 mm; `ventricle` 0–1 at 1 mm; `cavity_mm` at 2 mm: signed distance to the inner
    table of the skull, negative inside; `origin_mm`: MNI coordinate of voxel (0, 0, 0) of every grid.
    """

    grey: Field
    white: Field
    ventricle: Field
    cavity_mm: Field
    origin_mm: tuple[float, float, float]

    def sample(self, name: str, points_mm: Field) -> Field:
        """The field `name` at `points_mm` `[3, ...]`; outside the grid the nearest value."""
        field: Field = getattr(self, name)
        step = _COARSE_MM if name == "cavity_mm" else _FINE_MM
        return sample_grid(field, points_mm, self.origin_mm, step)


def sample_grid(field: Field, points_mm: Field, origin_mm: tuple[float, float, float], step_mm: float) -> Field:
    """Trilinear values of a regular grid at `points_mm` `[3, ...]`, edges continued."""
    index = (points_mm - np.asarray(origin_mm, np.float32).reshape(3, *[1] * (points_mm.ndim - 1))) / np.float32(
        step_mm
    )
    out = np.empty(points_mm.shape[1:], np.float32)
    ndimage.map_coordinates(field, index, output=out, order=1, mode="nearest")
    return out


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """The atlas, built once per process (about two seconds)."""
    grey, origin = _template(_GREY)
    white, _ = _template(_WHITE)
    tissue = grey + white
    brain = ndimage.binary_fill_holes(tissue > 0.25)
    cavity = _cavity(brain, origin)
    return Atlas(
        grey=grey,
        white=white,
        ventricle=_ventricle(tissue, cavity, origin),
        cavity_mm=cavity,
        origin_mm=origin,
    )


def _template(name: str) -> tuple[Field, tuple[float, float, float]]:
    """One nilearn template scaled to 0–1, padded so that skull and face fit on the grid."""
    import nibabel
    import nilearn

    path = Path(nilearn.__file__).parent / "datasets" / "data" / name
    if not path.is_file():
        raise GenerationFailed(f"nilearn's installation lacks the template {name}")
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj, np.float32) / 255.0
    pad = 24
    origin = tuple(float(v) - pad for v in image.affine[:3, 3])
    return np.pad(voxels, pad).astype(np.float32), (origin[0], origin[1], origin[2])


def _cavity(brain: NDArray[np.bool_], origin: tuple[float, float, float]) -> Field:
    """Signed distance (mm, negative inside) to a smooth closed surface just outside the brain."""
    coarse = brain[::2, ::2, ::2]
    outside = ndimage.distance_transform_edt(~coarse, sampling=_COARSE_MM)
    grown = (outside < 9.0) | _suprasellar(brain.shape, origin)
    closed = ndimage.distance_transform_edt(grown, sampling=_COARSE_MM) > 6.5
    inside = ndimage.distance_transform_edt(closed, sampling=_COARSE_MM)
    signed = ndimage.distance_transform_edt(~closed, sampling=_COARSE_MM) - inside
    return np.asarray(ndimage.gaussian_filter(signed, 1.2), np.float32)


def _suprasellar(shape: tuple[int, ...], origin: tuple[float, float, float]) -> NDArray[np.bool_]:
    """The suprasellar cistern: fluid in front of the brain stem that the brain mask leaves out."""
    x, y, z = (np.arange(n, dtype=np.float32)[::2] + o for n, o in zip(shape, origin, strict=True))
    r2 = (x[:, None, None] / 17) ** 2 + ((y[None, :, None] - 1) / 19) ** 2 + ((z[None, None, :] + 17) / 15) ** 2
    return np.asarray(r2 < 1, np.bool_)


def _ventricle(tissue: Field, cavity: Field, origin: tuple[float, float, float]) -> Field:
    """Lateral, third and fourth ventricles: deep fluid near the midline, told from cisterns by position."""
    x, y, z = (np.arange(n, dtype=np.float32) + o for n, o in zip(tissue.shape, origin, strict=True))
    depth = -ndimage.zoom(cavity, 2.0, order=1)
    depth = np.pad(depth, [(0, max(0, n - m)) for n, m in zip(tissue.shape, depth.shape, strict=True)], mode="edge")
    depth = depth[tuple(slice(0, n) for n in tissue.shape)]
    ax = np.abs(x)[:, None, None]
    yy, zz = y[None, :, None], z[None, None, :]
    lateral = (depth > 22) & (zz > -4) & (zz < 34) & (ax < 42) & (yy > -62) & (yy < 34) & ~((ax < 6) & (yy < -34))
    lateral &= ~((ax > 22) & (yy > -28)) & ~((ax < 4) & (zz > 26))
    temporal = (depth > 14) & (zz > -22) & (zz <= -2) & (ax > 22) & (ax < 42) & (yy > -45) & (yy < -6)
    third = (ax < 5) & (yy > -26) & (yy < 4) & (zz > -12) & (zz < 12)
    fourth = (ax < 14) & (yy > -54) & (yy < -34) & (zz > -48) & (zz < -16)
    fluid = np.clip(1.0 - tissue, 0, 1)
    where = ndimage.gaussian_filter((lateral | temporal | third | fourth).astype(np.float32), 1.0)
    return np.asarray(fluid * where, np.float32)
