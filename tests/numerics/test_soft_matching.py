import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from brainbench.errors import InputError
from brainbench.numerics.matching import unit_correlations
from brainbench.numerics.soft_matching import soft_matching, soft_matching_distance, transport_plan


def features(n=40, p=6, seed=0):
    return torch.randn(n, p, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.7


def test_equal_numbers_are_the_best_of_all_permutations():
    r = unit_correlations(features(), features(seed=1)).numpy()
    best = max(r[np.arange(6), list(order)].mean() for order in itertools.permutations(range(6)))
    np.testing.assert_allclose(soft_matching(features(), features(seed=1)), best, atol=1e-14)


def test_one_to_one_gives_up_what_the_largest_entries_of_rows_do_not():
    """METHODS section 8: rows 0 and 1 both want column 0 (.875); one to one they reach .825."""
    c = torch.tensor([[0.9, 0.8], [0.85, 0.1]], dtype=torch.float64)
    plan = transport_plan(c)
    np.testing.assert_array_equal(plan, [[0, 0.5], [0.5, 0]])
    np.testing.assert_allclose((plan * c).sum(), 0.825, rtol=1e-14)


def test_noisy_permuted_units_are_found():
    """METHODS section 8: the mean correlation is 1 / √(1 + σ²), .8944 for σ = .5."""
    x = features(4000, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    y = x[:, order] + 0.5 * (features(4000, 12, 1) - 0.7)
    plan = transport_plan(unit_correlations(x, y))
    np.testing.assert_array_equal(plan.argmax(dim=0), order)
    np.testing.assert_allclose(soft_matching(x, y), 1 / math.sqrt(1.25), atol=0.005)


@pytest.mark.parametrize("p, q", [(6, 6), (6, 4), (3, 7), (1, 5), (61, 53)])
def test_a_linear_programme_finds_no_better_plan_and_masses_are_kept(p, q):
    r = unit_correlations(features(p=p), features(p=q, seed=1))
    plan = transport_plan(r)
    masses = np.concatenate([np.full(p, 1 / p), np.full(q, 1 / q)])
    equations = np.concatenate([np.kron(np.eye(p), np.ones(q)), np.kron(np.ones(p), np.eye(q))])
    best = -linprog(-r.numpy().ravel(), A_eq=equations, b_eq=masses, bounds=(0, None)).fun
    np.testing.assert_allclose((plan * r).sum(), best, atol=1e-12)
    assert (plan >= 0).all()
    np.testing.assert_allclose(equations @ plan.numpy().ravel(), masses, atol=1e-12)


def test_a_large_layer_is_matched_to_the_end():
    """The dual bound proves the plan: no mass can be moved for gain."""
    r = torch.randn(4000, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    used = transport_plan(r).nonzero().numpy()
    a, b = used[:, 0], used[:, 1]
    r = r.numpy()
    exchanged = r[a][:, b] + r[a][:, b].T  # of every two pairs that are used, each with the other's neuroid
    assert (r[a, b][:, None] + r[a, b] >= exchanged - 1e-9).all()


def test_every_unit_twice_is_still_a_perfect_match():
    x = features()
    np.testing.assert_allclose(soft_matching(x, torch.cat([x, x], dim=1)), 1, atol=1e-12)
    assert soft_matching_distance(x, torch.cat([x, x], dim=1)) < 1e-6


def test_soft_matching_ignores_order_scale_and_offset_of_units_but_not_rotation_or_sign():
    x = features()
    scale = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64)
    moved = (x * scale + 7)[:, torch.randperm(6, generator=torch.Generator().manual_seed(0))]
    np.testing.assert_allclose(soft_matching(x, moved), 1, atol=1e-12)
    assert soft_matching(x, x @ torch.linalg.qr(features(6, 6, 3) - 0.7)[0]) < 0.9
    assert soft_matching(x, -x) < 0.5


def test_the_distance_is_that_of_units_of_norm_one_and_obeys_the_triangle_inequality():
    sides = [features(p=p, seed=s) for s, p in enumerate((3, 4, 6, 12))]
    d = np.array([[float(soft_matching_distance(a, b)) for b in sides] for a in sides])
    assert (d[:, None] <= d[:, :, None] + d[None] + 1e-7).all()
    units = [(s - s.mean(dim=0)) / (s - s.mean(dim=0)).norm(dim=0) for s in sides[:2]]
    costs = torch.cdist(units[0].T, units[1].T).square()
    plan = transport_plan(-costs)
    np.testing.assert_allclose(d[0, 1], (plan * costs).sum().sqrt(), atol=1e-12)


def test_noise_matches_itself_on_the_stimuli_it_was_matched_on_only():
    x, y = features(236, 50), features(236, 60, 1)
    plan = transport_plan(unit_correlations(x[:118], y[:118]))
    assert (plan * unit_correlations(x[:118], y[:118])).sum() > 0.15
    assert abs(float((plan * unit_correlations(x[118:], y[118:])).sum())) < 0.04


def test_a_constant_unit_is_named():
    x = features()
    x[:, 2] = 0.1
    with pytest.raises(InputError, match="constant"):
        soft_matching(x, features())
