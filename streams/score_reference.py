"""What scores should look like: the calibration set's own, for drift that shows without any label.

Scores of a site's series are a mixture of negatives' and positives' in a proportion that nobody knows beforehand. The
reference is therefore given for several prevalences; whoever compares takes the one that fits best, and what is left
is drift that no mix of patients explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from triage_models.manifest import Manifest

SCORE_BOUNDS = tuple(round(0.05 * step, 2) for step in range(1, 21))
PREVALENCES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ScoreReference:
    """Quantiles of the scores, from 0 to 100 % in equal steps, and the sizes of the samples behind them."""

    negative: Sequence[float]
    positive: Sequence[float]
    negatives: int
    positives: int

    @classmethod
    def of(cls, manifest: Manifest) -> "ScoreReference":
        quantiles, chosen = manifest.reference_scores, manifest.thresholds.final
        return cls(quantiles.negative, quantiles.positive, chosen.n_negative, chosen.n_positive)

    def share(self, bound: float, prevalence: float) -> float:
        """Expected share of series with a score of at most ``bound``."""
        return (1 - prevalence) * share_below(bound, self.negative) + prevalence * share_below(bound, self.positive)


def share_below(bound: float, quantiles: Sequence[float]) -> float:
    """Cumulative distribution at ``bound``, linear between the quantiles."""
    if bound < quantiles[0]:
        return 0.0
    steps = len(quantiles) - 1
    for step, (low, high) in enumerate(pairwise(quantiles)):
        if low <= bound < high:
            return (step + (bound - low) / (high - low)) / steps
    return 1.0
