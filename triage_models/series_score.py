"""From the readings of some slices of a series to six probabilities, valid on any subset in any order.

Features per label (`FEATURES` of the manifest), all defined from one slice on: the strongest slice, the strongest after
averaging with neighbours (a bleed is rarely in one slice only), the mean of the three strongest, and the area
segmented. A logistic model over them, fitted on prefixes of all lengths, is in the manifest. Cost: microseconds per
slice.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triage_models.labels import LABELS
from triage_models.manifest import Manifest

_NEIGHBOUR_MM = 8.0
_LOGIT_LIMIT = 12.0


def series_features(
    positions_mm: NDArray[np.float64], logits: NDArray[np.float64], area_mm2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`[6, 4]` features from positions `[S]`, calibrated logits `[S, 6]` and areas `[S, 6]` (`any`: their sum)."""
    order = np.argsort(positions_mm, kind="stable")
    place, value = positions_mm[order], np.clip(logits[order], -_LOGIT_LIMIT, _LOGIT_LIMIT)
    smooth = _with_neighbours(place, value)
    three = np.sort(value, axis=0)[-3:].mean(0)
    volume_ml = _volume_ml(place, area_mm2[order])
    return np.stack([value.max(0), smooth.max(0), three, np.log1p(volume_ml)], axis=1)


def _with_neighbours(place: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each slice with half the weight from neighbours within 8 mm."""
    distance = np.abs(place[:, None] - place[None, :])
    weight = np.where(distance <= _NEIGHBOUR_MM, 0.5, 0.0)
    np.fill_diagonal(weight, 1.0)
    out: NDArray[np.float64] = weight @ value / weight.sum(1, keepdims=True)
    return out


def _volume_ml(place: NDArray[np.float64], area_mm2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas times the share of the axis that each slice stands for (at most 6 mm: gaps are not filled in)."""
    if len(place) == 1:
        return np.asarray(area_mm2[0] * 5.0 / 1000)
    share = np.clip(np.gradient(place), 0.5, 6.0)
    return np.asarray((area_mm2 * share[:, None]).sum(0) / 1000)


def series_probabilities(manifest: Manifest, features: NDArray[np.float64]) -> tuple[float, ...]:
    """Six probabilities from `[6, 4]` features; no type is likelier than `any`."""
    out = []
    for label, row in zip(LABELS, features, strict=True):
        head = manifest.series[label]
        z = float(np.dot(row, head.weights)) + head.bias
        out.append(float(1 / (1 + np.exp(-np.clip(z, -30, 30)))))
    return tuple(min(p, out[0]) for p in out)


def stack_readings(
    readings: Sequence[tuple[float, Sequence[float], Sequence[float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(positions `[S]`, logits `[S, 6]`, areas `[S, 6]`) of (position, logits, areas of the five types) triples."""
    positions = np.array([r[0] for r in readings], np.float64)
    logits = np.array([r[1] for r in readings], np.float64)
    types = np.array([r[2] for r in readings], np.float64)
    return positions, logits, np.concatenate([types.sum(1, keepdims=True), types], axis=1)
