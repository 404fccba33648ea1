import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from brainbench.errors import InputError
from brainbench.numerics.factorization import factorization, marginal_r2, within_span
from brainbench.numerics.geometry import coordinates

BITS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
SIGNS = 2 * BITS.double() - 1
GRID = torch.tensor(list(itertools.product(range(3), range(4))))


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def additive(labels, p=6, seed=0):
    return randn(3, p, seed=seed)[labels[:, 0]] + randn(4, p, seed=seed + 1)[labels[:, 1]] + 3


def test_balanced_closed_forms():
    """A balanced additive grid 1, pure XOR 0, variances A = 4, B = 1, AB = 1 read 5/6, with either estimator."""
    a, b = SIGNS.T
    for features, labels, expected in (
        (additive(GRID), GRID, 1),
        ((a * b)[:, None], BITS, 0),
        (torch.stack([2 * a, b, a * b], dim=1), BITS, 5 / 6),
    ):
        assert factorization(features, labels).r2 == pytest.approx(expected, abs=1e-12)
        assert marginal_r2(features, labels) == pytest.approx(expected, abs=1e-12)


def test_additive_features_stay_additive_with_cells_missing_and_marginal_means_do_not_see_it():
    """9 of 12 cells. Level numbers added up: marginal means give exactly 7/8 with the first three cells missing, and
    6/7, the .86 of METHODS section 17, with 00, 13 and 20 missing.
    """
    for missing, expected in (([0, 1, 2], 7 / 8), ([0, 7, 8], 6 / 7)):
        labels = GRID[[cell for cell in range(12) if cell not in missing]]
        z = labels.sum(dim=1, keepdim=True).double()
        assert marginal_r2(z, labels) == pytest.approx(expected, abs=1e-12)
        assert factorization(z, labels).r2 == pytest.approx(1, abs=1e-12)
    values = []
    for seed in range(20):
        keep = torch.randperm(12, generator=torch.Generator().manual_seed(seed))[:9]
        if len(GRID[keep, 0].unique()) == 3 and len(GRID[keep, 1].unique()) == 4:
            values.append(marginal_r2(additive(GRID, seed=seed)[keep], GRID[keep]))
            assert factorization(additive(GRID, seed=seed)[keep], GRID[keep]).r2 == pytest.approx(1, abs=1e-12)
    assert min(values) > 0.8 and max(values) < 0.97 and np.mean(values) == pytest.approx(0.88, abs=0.03)


def test_unequal_cells_of_a_full_design_are_no_obstacle():
    labels = torch.cat([GRID, GRID[:5], GRID[:5]])
    assert factorization(additive(labels), labels).r2 == pytest.approx(1, abs=1e-12)
    assert marginal_r2(additive(labels), labels) < 0.99


def test_r2_equals_scikit_learn_on_one_hot_levels():
    """scikit-learn 1.9.1, on an unbalanced design with interactions and noise."""
    labels = torch.cat([GRID, GRID[2:9], GRID[4:]])
    z = additive(labels) + randn(12, 6, seed=5)[labels[:, 0] * 4 + labels[:, 1]] + randn(len(labels), 6, seed=7)
    hot = OneHotEncoder().fit_transform(labels.numpy()).toarray()
    fitted = LinearRegression().fit(hot, z.numpy()).predict(hot)
    expected = 1 - ((z.numpy() - fitted) ** 2).sum() / ((z - z.mean(dim=0)) ** 2).sum()
    assert factorization(z, labels).r2 == pytest.approx(float(expected), rel=1e-10)


def test_chance_is_the_mean_over_shuffles():
    """A trap: 30 stimuli and 5 free parameters explain 5/29 of anything."""
    labels = torch.stack([torch.arange(30) % 3, torch.arange(30) % 4], dim=1)
    z = randn(30, 8)
    got = factorization(z, labels)
    assert got.chance == pytest.approx(5 / 29)
    generator = torch.Generator().manual_seed(0)
    shuffled = [factorization(z, labels[torch.randperm(30, generator=generator)]) for _ in range(300)]
    r2 = np.array([s.r2 for s in shuffled])
    assert abs(r2.mean() - 5 / 29) < 3.5 * r2.std() / 300**0.5
    assert abs(np.mean([s.adjusted for s in shuffled])) < 0.02
    assert factorization(additive(GRID), GRID).adjusted == pytest.approx(1)


def test_rotation_offset_scale_names_of_levels_and_the_gram_do_not_matter():
    labels = torch.cat([GRID, GRID[2:9]])
    z = additive(labels) + 0.5 * randn(len(labels), 6, seed=3)
    base = factorization(z, labels)
    moved = 4 * z @ torch.linalg.qr(randn(6, 6, seed=8))[0] - 9
    renamed = torch.stack([(labels[:, 0] * 5 - 7) * -1, labels[:, 1] + 100], dim=1)
    for other in (factorization(moved, renamed), factorization(coordinates(moved @ moved.T), labels)):
        for name in ("r2", "chance", "adjusted", "cos_within", "cos_across"):
            assert getattr(other, name) == pytest.approx(getattr(base, name), rel=1e-9)
        assert other.k95.tolist() == base.k95.tolist()


def test_directions_of_concepts():
    """Orthogonal axes: cosines 0 across. Two levels: 1 within. Simplex of 4 levels: 3 components, cosines 1/3."""
    simplex = torch.eye(4, dtype=torch.float64)
    z = torch.cat([torch.tensor([-1.0, 0, 1])[GRID[:, 0], None].double(), simplex[GRID[:, 1]]], dim=1)
    got = factorization(z, GRID)
    assert got.k95.tolist() == [1, 3] and got.cos_across == pytest.approx(0, abs=1e-12)
    two = factorization(SIGNS, BITS)
    assert two.cos_within == pytest.approx(1) and two.k95.tolist() == [1, 1]
    labels = torch.tensor(list(itertools.product(range(4), range(2))))
    pair = factorization(torch.cat([simplex[labels[:, 0]], labels[:, 1:].double()], dim=1), labels)
    assert pair.cos_within == pytest.approx((6 / 3 + 1) / 7)
    same_axis = factorization((SIGNS[:, :1] + 2 * SIGNS[:, 1:]), BITS)
    assert same_axis.cos_across == pytest.approx(1) and same_axis.r2 == pytest.approx(1)


def test_cosines_do_not_inherit_an_unbalanced_design():
    """Concepts that occur together are not coded together."""
    labels = torch.cat([BITS, BITS[[0, 3]].repeat(6, 1)])
    got = factorization(2 * labels.double() - 1, labels)
    assert got.cos_across == pytest.approx(0, abs=1e-12)
    means = [(2 * labels.double() - 1)[labels[:, k] == 1].mean(dim=0) for k in (0, 1)]
    assert float(torch.nn.functional.cosine_similarity(*means, dim=0)) > 0.9


def test_k95_counts_components_of_the_levels():
    levels = torch.arange(4)[:, None].repeat(2, 2)
    levels[:, 1] = torch.arange(2).repeat_interleave(4)
    spread = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)
    for scale, expected in (((10.0, 1, 1), 1), ((3.0, 1.5, 0.5), 2), ((1.0, 1, 1), 3)):
        z = (spread * torch.tensor(scale))[levels[:, 0]]
        got = factorization(z, levels)
        assert got.k95[0] == expected and torch.isnan(got.k95[1])  # the second concept moves nothing


def test_nested_concepts_have_an_r2_and_no_directions():
    labels = torch.stack([torch.arange(12) % 4, torch.arange(12) % 2], dim=1)
    got = factorization(randn(12, 5), labels)
    assert 0 < got.r2 < 1 and got.chance == pytest.approx(3 / 11)
    assert np.isnan(got.cos_across) and torch.isnan(got.k95).all()


def test_undefined_is_nan_or_named():
    assert np.isnan(factorization(torch.full((4, 3), 0.1), BITS).r2)
    assert np.isnan(marginal_r2(torch.full((4, 3), 0.1), BITS))
    with pytest.raises(InputError, match="concept 1 has one level"):
        factorization(SIGNS, torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1]]))


def test_within_span_keeps_what_the_directions_see():
    """XOR on an axis of its own is out of sight of probes for the two bits."""
    a, b = SIGNS.T
    z = torch.stack([a, b, 3 * a * b, 0 * a], dim=1)
    probes = torch.tensor([[1.0, 1, 0, 0], [1, -1, 0, 0], [2, 2, 0, 0]], dtype=torch.float64)
    seen = within_span(z, probes)
    assert seen.shape == (4, 2)
    assert factorization(z, BITS).r2 == pytest.approx(2 / 11) and factorization(seen, BITS).r2 == pytest.approx(1)
