"""Sparse projections: distances are kept as far as the lemma says, and the matrix is what it is said to be."""

import math

import pytest
import torch

from brainbench.errors import UsageError
from brainbench.numerics.projection import _projection, dimensions_for, projected


@pytest.mark.parametrize("n, distortion", [(100, 0.1), (9000, 0.2), (2, 0.5)])
def test_the_bound_is_that_of_the_lemma(n, distortion):
    from sklearn.random_projection import johnson_lindenstrauss_min_dim

    assert dimensions_for(n, distortion) - int(johnson_lindenstrauss_min_dim(n, eps=distortion)) in (
        0,
        1,
    )  # theirs is cut


def test_distances_stay_within_the_distortion():
    n, p, distortion = 60, 20_000, 0.3
    x = torch.randn(n, p, generator=torch.Generator().manual_seed(0))
    y = projected(x, dimensions_for(n, distortion))
    pairs = torch.pdist(y).square() / torch.pdist(x).square()
    assert 1 - distortion < pairs.min() and pairs.max() < 1 + distortion
    assert pairs.mean() == pytest.approx(1, abs=0.03)


def test_entries_are_rare_and_of_one_size_with_either_sign():
    p, k = 10_000, 400
    matrix = _projection(p, k)
    values = matrix.values()
    assert matrix.shape == (k, p)
    assert len(values) == pytest.approx(k * math.sqrt(p), rel=0.02)
    torch.testing.assert_close(values.abs(), torch.full_like(values, math.sqrt(math.sqrt(p) / k)))
    assert abs(values.sign().mean()) < 0.02
    rows, columns = matrix.indices()
    assert torch.unique(rows * p + columns).shape == rows.shape  # no place twice
    assert (torch.bincount(rows, minlength=k) - 100).abs().max() < 50  # evenly over rows, and over columns:
    assert torch.bincount(columns // 1000, minlength=10).float().std() < 150


def test_it_is_the_same_every_time_and_linear():
    x = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    once = projected(x, 20)
    _projection.cache_clear()
    torch.testing.assert_close(projected(x, 20), once, rtol=0, atol=0)
    torch.testing.assert_close(projected(2 * x[:1], 20), 2 * once[:1])
    assert projected(x.double(), 20).dtype == torch.float64


@pytest.mark.parametrize("n, distortion", [(1, 0.1), (10, 0.0), (10, 1.0)])
def test_what_no_lemma_covers_is_refused(n, distortion):
    with pytest.raises(UsageError, match="between 0 and 1"):
        dimensions_for(n, distortion)
