import numpy as np
import pytest
import scipy.stats
import torch

from brainbench.numerics.correlation import (
    explained_variance,
    midranks,
    ordered,
    pearson,
    r2,
    weighted_midranks,
    weighted_pearson,
)


def columns(seed=0, n=40, k=3):
    x = torch.randn(2, n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x[0], x[0] * 0.5 + x[1]


def test_pearson_equals_scipy():
    x, y = columns()
    expected = [scipy.stats.pearsonr(x[:, i], y[:, i])[0] for i in range(3)]
    np.testing.assert_allclose(pearson(x, y), expected, atol=1e-14)


def test_a_constant_column_is_nan_not_zero():
    x, y = columns()
    y[:, 1] = 0.1
    assert torch.isnan(pearson(x, y)).tolist() == [False, True, False]
    assert torch.isnan(r2(x, y)).tolist() == [False, True, False]
    assert torch.isnan(weighted_pearson(x, y, torch.ones(1, 40, dtype=torch.float64)))[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("shift", [0.5, -2.0])
def test_a_shifted_prediction_has_ev_1_and_less_r2(shift):
    _, y = columns()
    var = y.var(dim=0, correction=0)
    np.testing.assert_allclose(explained_variance(y + shift, y), 1, atol=1e-12)
    np.testing.assert_allclose(r2(y + shift, y), 1 - shift**2 / var, atol=1e-12)
    np.testing.assert_allclose(pearson(y + shift, y), 1, atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, -1.0, 2.0])
def test_a_scaled_prediction(scale):
    _, y = columns()
    y = y - y.mean(dim=0)
    for metric in (r2, explained_variance):
        np.testing.assert_allclose(metric(scale * y, y), 1 - (1 - scale) ** 2, atol=1e-12)
    np.testing.assert_allclose(pearson(scale * y, y), np.sign(scale), atol=1e-12)


def test_multiplicities_equal_repeating_rows():
    x, y = columns()
    weights = torch.randint(0, 4, (5, 40), generator=torch.Generator().manual_seed(1)).double()
    for b, r in enumerate(weighted_pearson(x, y, weights)):
        rows = torch.repeat_interleave(torch.arange(40), weights[b].long())
        np.testing.assert_allclose(r, pearson(x[rows], y[rows]), atol=1e-12)


def test_a_large_mean_does_not_cancel():
    x, y = columns()
    ones = torch.ones(1, 40)
    np.testing.assert_allclose(
        weighted_pearson((x + 1e4).float(), (y - 1e4).float(), ones)[0], pearson(x, y), atol=5e-3
    )


def test_midranks_equal_scipy_with_ties():
    x = torch.randint(0, 6, (50, 2), generator=torch.Generator().manual_seed(2)).double()
    np.testing.assert_array_equal(midranks(x), scipy.stats.rankdata(x, axis=0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("ties", [True, False])
def test_weighted_midranks_equal_ranks_of_the_resample(ties, dtype):
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 9, (30,), generator=generator).double() if ties else torch.rand(30, generator=generator)
    weights = torch.randint(0, 3, (4, 30), generator=generator).to(dtype)
    order = ordered(x)
    assert (order.ends is None) != ties
    ranks = weighted_midranks(order, weights)
    assert ranks.dtype == dtype
    for b in range(4):
        rows = torch.repeat_interleave(torch.arange(30), weights[b].long())
        np.testing.assert_array_equal(ranks[b, rows], scipy.stats.rankdata(x[rows]))


def test_midranks_are_put_where_asked():
    x, weights = torch.rand(20, generator=torch.Generator().manual_seed(0)), torch.ones(2, 20)
    into = torch.empty(2, 20)
    weighted_midranks(ordered(x), weights, out=into)
    np.testing.assert_array_equal(into, np.tile(scipy.stats.rankdata(x), (2, 1)))
