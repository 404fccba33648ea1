import itertools

import numpy as np
import pytest
import torch

from brainbench.errors import InputError, UsageError
from brainbench.numerics.lasso import sparse_prediction
from brainbench.numerics.matching import (
    bipartite,
    dead,
    groups,
    match_score,
    semi_matching,
    unit_correlations,
)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_correlations_equal_numpy_and_dead_units_are_nan():
    x, y = randn(20, 4) + 3, randn(20, 6, seed=1) * 5
    np.testing.assert_allclose(unit_correlations(x, y), np.corrcoef(x.T, y.T)[:4, 4:], atol=1e-13)
    x[:, 2] = 0.7
    y[3, 5] = torch.nan
    got = unit_correlations(x, y)
    assert torch.isnan(got[2]).all() and torch.isnan(got[:, 5]).all()
    assert int(torch.isnan(got).sum()) == 6 + 4 - 1
    assert dead(x).tolist() == [False, False, True, False]
    moved = unit_correlations(x * torch.tensor([2.0, 3, 1, 0.1]) - 8, y)
    np.testing.assert_allclose(moved, got, atol=1e-12)
    with pytest.raises(InputError, match="at least 3"):
        unit_correlations(x[:2], y[:2])


def test_two_by_two_closed_form():
    c = torch.tensor([[0.9, 0.8], [0.85, 0.1]], dtype=torch.float64)
    one, many = bipartite(c), semi_matching(c)
    assert list(zip(one.x.tolist(), one.y.tolist())) == [(0, 1), (1, 0)]
    assert float(one.correlation.mean()) == pytest.approx(0.825)
    assert many.y.tolist() == [0, 0] and float(many.correlation.mean()) == pytest.approx(0.875)


@pytest.mark.parametrize("p,q", [(5, 5), (4, 6), (6, 4)])
def test_bipartite_is_the_best_of_all_and_semi_matching_is_never_below(p, q):
    for seed in range(5):
        c = torch.tanh(randn(p, q, seed=seed))
        best = max(
            sum(float(c[i, j]) for i, j in (zip(range(p), o) if p <= q else zip(o, range(q))))
            for o in itertools.permutations(range(max(p, q)), min(p, q))
        )
        one, many = bipartite(c), semi_matching(c)
        assert float(one.correlation.sum()) == pytest.approx(best, rel=1e-12)
        assert len(one.x) == min(p, q) and len(set(one.x.tolist())) == len(set(one.y.tolist())) == min(p, q)
        assert bool((many.correlation[one.x] >= one.correlation).all()) and len(many.x) == p


def test_a_noisy_copy_is_found_and_its_correlation_is_that_of_the_noise():
    """y = x[:, order] + noise of sd .5: mean r 1/√1.25 = .8944 on stimuli that were not matched on."""
    x = randn(6000, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    y = x[:, order] + 0.5 * randn(6000, 40, seed=2)
    matching = bipartite(unit_correlations(x[:500], y[:500]))
    assert torch.equal(order[matching.y], matching.x)
    # 40 independent correlations over 5,500 stimuli: a mean within .0009 has four standard errors
    assert float(match_score(x[500:], y[500:], matching).mean()) == pytest.approx(1.25**-0.5, abs=0.0011)
    assert float(semi_matching(unit_correlations(x[:500], y[:500])).correlation.mean()) == pytest.approx(
        0.894, abs=0.01
    )


def test_partners_of_noise_are_high_where_they_were_chosen_and_zero_elsewhere():
    """The trap: 60 units and 50 stimuli of noise."""
    x, y = randn(1050, 60), randn(1050, 60, seed=1)
    matching = semi_matching(unit_correlations(x[:50], y[:50]))
    assert float(matching.correlation.mean()) > 0.3
    assert abs(float(match_score(x[50:], y[50:], matching).mean())) < 4 / (60 * 1000) ** 0.5


def test_a_negative_copy_counts_only_where_it_is_declared():
    x = randn(300, 3)
    y = torch.stack([-x[:, 0], x[:, 1], randn(300, seed=4)], dim=1)
    c = unit_correlations(x, y)
    signed, either = bipartite(c), bipartite(c, absolute=True)
    assert (signed.x[0], signed.y[0]) != (0, 0) and signed.sign.tolist() == [1, 1, 1]
    assert either.y[:2].tolist() == [0, 1] and either.sign[:2].tolist() == [-1, 1]
    assert float(either.correlation[0]) == pytest.approx(-1)
    np.testing.assert_allclose(match_score(x, y, either)[:2], 1, atol=1e-12)
    assert semi_matching(c, absolute=True).y[0] == 0 and semi_matching(c).y[0] != 0


def test_the_sign_is_fixed_before_scoring():
    """|r| of noise on new stimuli would not average to 0."""
    x, y = randn(2050, 60), randn(2050, 60, seed=1)
    matching = semi_matching(unit_correlations(x[:50], y[:50]), absolute=True)
    assert (matching.sign == -1).any()
    assert abs(float(match_score(x[50:], y[50:], matching).mean())) < 4 / (60 * 2000) ** 0.5


def test_dead_units_have_no_partner_and_are_counted():
    x, y = randn(30, 4), randn(30, 3, seed=1)
    x[:, 1], y[:, 0] = 0, 5
    for matching in (bipartite(unit_correlations(x, y)), semi_matching(unit_correlations(x, y))):
        assert (matching.dead_x, matching.dead_y) == (1, 1)
        assert 1 not in matching.x and 0 not in matching.y
    nothing = semi_matching(unit_correlations(x, torch.zeros(30, 2, dtype=torch.float64)))
    assert len(nothing.x) == 0 and (nothing.dead_x, nothing.dead_y) == (4, 2)
    gap = unit_correlations(x, y)
    gap[0, 1] = torch.nan
    with pytest.raises(InputError, match="single pairs"):
        bipartite(gap)


def test_a_rotation_hides_partners_and_not_the_span():
    """What matching calls different, least squares predicts in full: shared dimensions without shared units."""
    x = randn(400, 12)
    y = x @ torch.linalg.qr(randn(12, 12, seed=1))[0]
    matching = bipartite(unit_correlations(x[:200], y[:200]))
    assert float(match_score(x[200:], y[200:], matching).mean()) < 0.75
    dense = sparse_prediction(x[:200], y[:200], x[200:], y[200:], penalties=[1e-4])
    assert float(dense.r.min()) > 0.9999


def orthonormal(n, p):
    """XᵀX = n I with columns that sum to 0, which makes them standardised already."""
    raw = randn(n, p)
    return torch.linalg.qr(raw - raw.mean(dim=0))[0] * n**0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_are_found_exactly(seed):
    """Units that respond to one of three independent latents, in both systems; a fourth that only y has."""
    n = 96
    latents = orthonormal(n, 4)
    in_x, in_y = torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([2, 0, 1, 3, 3, 0, 2])
    at_x, at_y = groups(latents[:, in_x], latents[:, in_y], n_groups=4, seed=seed)
    found, truth = torch.cat([at_x, at_y]), torch.cat([in_x, in_y])
    assert torch.equal(found[:, None] == found[None], truth[:, None] == truth[None])
    noisy = torch.cat([latents[:, in_x], latents[:, in_y]], dim=1) + 0.5 * randn(n, 13, seed=5)
    at_x, at_y = groups(noisy[:, :6], noisy[:, 6:], n_groups=4, seed=seed)
    found = torch.cat([at_x, at_y])
    assert torch.equal(found[:, None] == found[None], truth[:, None] == truth[None])


def test_opposite_units_are_one_group_only_where_declared_and_dead_ones_none():
    latents = orthonormal(60, 2)
    x = torch.stack([latents[:, 0], -latents[:, 0], latents[:, 1], 0 * latents[:, 0]], dim=1)
    at_x, _ = groups(x, latents, n_groups=3, seed=0)
    assert at_x[0] != at_x[1] and at_x[3] == -1
    at_x, at_y = groups(x, latents, n_groups=2, seed=0, absolute=True)
    assert at_x[0] == at_x[1] == at_y[0] and at_x[2] == at_y[1] != at_x[0]
    with pytest.raises(UsageError, match="6 groups of 5 units"):
        groups(x, latents, n_groups=6, seed=0)
