"""Shards for training hold what was asked for, and nothing of another seed."""

import numpy as np
import pytest

from triage_models.errors import GenerationFailed
from triage_models.synthetic.lesions import Sheet
from triage_models.synthetic.mimics import DenseFalx
from triage_models.synthetic.series import head_of_seed
from triage_models.training.shards import make_midline_shard


def is_dense(seed: int) -> bool:
    if seed % 2:
        return any(isinstance(mimic, DenseFalx) for mimic in head_of_seed(seed, None).mimics)
    return any(isinstance(lesion, Sheet) for lesion in head_of_seed(seed, "subdural").lesions.items)


def test_a_midline_shard_holds_the_heads_with_a_dense_midline() -> None:
    first, seeds = 776, 4
    chosen = [seed for seed in range(first, first + seeds) if is_dense(seed)]
    assert {seed % 2 for seed in chosen} == {0, 1}
    assert len(chosen) < seeds
    shard = make_midline_shard(first, seeds, slices=4)
    assert shard.heads.tolist() == np.repeat(chosen, 4).tolist()
    bleeding = shard.labels[:, 0]
    assert bleeding.any()
    assert not bleeding[shard.heads % 2 == 1].any()
    assert ((shard.masks > 0).any((1, 2)) == bleeding).all()


def test_seeds_without_such_a_head_are_refused() -> None:
    seed = next(seed for seed in range(700, 800) if not is_dense(seed))
    with pytest.raises(GenerationFailed, match="dense midline"):
        make_midline_shard(seed, 1, slices=2)
