"""Synthetic head CT with voxel truth, from the MNI templates that nilearn carries."""

from triage_models.synthetic.series import SyntheticSeries, generate

__all__ = ["SyntheticSeries", "generate"]
