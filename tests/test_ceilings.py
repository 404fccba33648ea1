"""Ceilings of RDMs: what one subject without a signal, or without dissimilarities at all, takes from the others."""

import numpy as np
import pytest
import torch

from brainbench.ceilings import of_rdms
from brainbench.core.arrays import RDMs
from brainbench.core.splits import Fold, Split
from brainbench.numerics.crossnobis import crossnobis
from brainbench.numerics.representation import Representation
from brainbench.scorers.rsa import RSA
from brainbench.scorers.similarity import CCA, CKA, SSM, Shape, Whitened

IDS = tuple(f"s{n:02d}" for n in range(60))
SPLIT = Split(
    folds=(Fold(train=IDS[:30], test=IDS[30:]), Fold(train=IDS[30:], test=IDS[:30])), unit={name: name for name in IDS}
)


def bounds(matrices, scorer):
    subjects = tuple("abcdef"[: len(matrices)])
    found = of_rdms("leave_one_subject_out", RDMs(stimulus_ids=IDS, subjects=subjects, values=matrices), SPLIT, scorer)
    return found.value, found.upper


@pytest.fixture(scope="module")
def good():
    """Three subjects that share a geometry."""
    rng = np.random.default_rng(0)
    geometry = rng.normal(size=(60, 8))
    features = [geometry @ rng.normal(size=(8, 30)) + rng.normal(size=(60, 30)) for _ in range(3)]
    return np.stack([Representation.from_features(torch.tensor(x), IDS).rdm("euclidean").numpy() for x in features])


@pytest.mark.parametrize("seed", range(3))
def test_a_subject_without_signal_has_the_weight_of_one(seed):
    """Unbiased distances without signal are 0 on average: divided by their mean, they swamped all others."""
    rng = np.random.default_rng(seed)
    geometry, found = rng.normal(size=(60, 15)), []
    for strength in (0.5, 0.5, 0.5, 0.0):
        signal = strength * geometry @ rng.normal(size=(15, 40)) / np.sqrt(15)
        found.append(crossnobis(torch.as_tensor(signal[:, None] + rng.normal(size=(60, 4, 40)))).numpy())
    alone, _ = bounds(np.stack(found[:3]), Whitened())
    lower, above = bounds(np.stack(found), Whitened())
    assert alone.min() > 0.2 and (lower[:3] > 0.4 * alone).all() and abs(lower[3]) < 0.15 and above[3] < 0.8


@pytest.mark.parametrize("spoil", ["zero", "gap"])
@pytest.mark.parametrize(
    "scorer",
    [CKA(), Whitened(), SSM(), CCA(), Shape(), RSA(comparison="pearson"), RSA(comparison="cosine"), RSA()],
    ids=["cka", "whitened", "ssm", "cca", "shape", "pearson", "cosine", "spearman"],
)
def test_a_subject_without_dissimilarities_takes_nobodys_bound(good, scorer, spoil):
    fourth = np.zeros((60, 60))
    if spoil == "gap":
        fourth = good[0].copy()
        fourth[[5, 40]] = fourth[:, [5, 40]] = np.nan  # one stimulus of each fold
    lower, above = bounds(good, scorer)
    with_it = bounds(np.concatenate([good, fourth[None]]), scorer)
    for three, four in zip((lower, above), with_it):
        np.testing.assert_allclose(four[:3], three, atol=1e-9)
        assert np.isnan(four[3])


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "pearson", "cosine"])
def test_where_nobody_else_has_a_pattern_there_is_no_bound(good, comparison):
    flat = 1.0 - np.eye(60)
    lower, _ = bounds(np.stack([good[0], flat]), RSA(comparison=comparison))
    assert np.isnan(lower[0])
