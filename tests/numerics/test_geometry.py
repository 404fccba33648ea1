import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from brainbench.errors import InputError, UsageError
from brainbench.numerics.geometry import (
    balanced_dichotomies,
    best_pairs,
    ccgp,
    condition_means,
    coordinates,
    decodability,
    parallelism_score,
    shattering,
    variable_pairs,
)

LEVELS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
SQUARE = 2 * LEVELS.double() - 1
SIMPLEX = torch.eye(4, dtype=torch.float64)
FIRST, SECOND = variable_pairs(LEVELS, 0), variable_pairs(LEVELS, 1)
XOR = torch.tensor([[0, 1], [3, 2]])  # equal bits against unequal bits


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stimuli(means, *, each=6, noise=0.0, seed=0):
    """Features, conditions and folds of `each` stimuli a condition, one stimulus of each condition a fold."""
    conditions = torch.arange(len(means)).repeat(each)
    folds = torch.arange(each).repeat_interleave(len(means))
    return means[conditions] + noise * randn(len(conditions), means.shape[1], seed=seed), conditions, folds


def test_coordinates_have_the_distances_of_the_features():
    x = randn(9, 30) + 4
    z = coordinates(x @ x.T)
    assert z.shape[1] == 8
    np.testing.assert_allclose(torch.cdist(z, z), torch.cdist(x, x), atol=1e-9)
    np.testing.assert_allclose(z.mean(dim=0), 0, atol=1e-12)
    assert coordinates(torch.full((9, 9), 1e4 / 3)).shape == (9, 0)


def test_condition_means():
    x, conditions, _ = stimuli(randn(5, 3), noise=1.0)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    got = condition_means(x[order], conditions[order])
    np.testing.assert_allclose(got, [x[conditions == c].mean(dim=0).tolist() for c in range(5)], rtol=1e-12)
    with pytest.raises(InputError, match="at least one"):
        condition_means(x, conditions + (conditions > 2).long())


@pytest.mark.parametrize("m,total", [(2, 1), (4, 3), (6, 10), (8, 35), (12, 462)])
def test_all_balanced_dichotomies_once(m, total):
    sides = balanced_dichotomies(m, seed=0)
    assert sides.shape == (total, m) and math.comb(m, m // 2) // 2 == total
    assert bool((sides.sum(dim=1) == m // 2).all())
    assert len({frozenset([tuple(s.tolist()), tuple((~s).tolist())]) for s in sides}) == total


def test_above_the_limit_they_are_drawn_without_repeats_and_from_the_seed_alone():
    first, again, other = (balanced_dichotomies(16, seed=s, limit=200) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({tuple(s.tolist()) for s in first}) == 200
    assert bool(first[:, 0].all()) and bool((first.sum(dim=1) == 8).all())
    share = first[:, 1:].double().mean(dim=0)
    assert bool(((share - 7 / 15).abs() < 4.5 * (7 / 15 * 8 / 15 / 200) ** 0.5).all())
    with pytest.raises(UsageError, match="even"):
        balanced_dichotomies(5, seed=0)


def test_pairs_of_a_variable_differ_in_it_alone():
    assert FIRST.tolist() == [[0, 2], [1, 3]] and SECOND.tolist() == [[0, 1], [2, 3]]
    cube = torch.tensor(list(itertools.product([0, 1], [3, 7], [0, 1, 2])))
    pairs = variable_pairs(cube, 1)
    assert len(pairs) == 6
    assert bool((cube[pairs[:, 1]] - cube[pairs[:, 0]] == torch.tensor([0, 4, 0])).all())
    with pytest.raises(UsageError, match="3 levels"):
        variable_pairs(cube, 2)
    with pytest.raises(UsageError, match=r"no partner|not crossed"):
        variable_pairs(cube[:-1], 1)
    with pytest.raises(UsageError, match=r"not crossed|no partner"):
        variable_pairs(cube[1:], 1)


def test_a_square_is_parallel_and_a_simplex_is_not():
    for means, expected in ((SQUARE, 1.0), (SQUARE * torch.tensor([5.0, 0.1]) + 3, 1.0), (SIMPLEX, 0.0)):
        for pairs in (FIRST, SECOND):
            assert parallelism_score(means, pairs) == pytest.approx(expected, abs=1e-12)


def test_parallelism_is_the_mean_cosine_of_every_two_coding_vectors():
    means = randn(8, 5)
    pairs = torch.tensor([[0, 4], [1, 5], [2, 6], [3, 7]])
    v = (means[4:] - means[:4]).numpy()
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(v, 2)]
    assert parallelism_score(means, pairs) == pytest.approx(np.mean(cosines), rel=1e-12)
    rotated = 3 * means @ torch.linalg.qr(randn(5, 5, seed=1))[0] + 7
    assert parallelism_score(rotated, pairs) == pytest.approx(np.mean(cosines), rel=1e-9)
    z = coordinates(means @ means.T)
    assert parallelism_score(z, pairs) == pytest.approx(np.mean(cosines), rel=1e-9)


def test_a_shared_condition_is_refused_and_a_zero_vector_undefined():
    """Coding vectors a - c and b - c of noise have cosine 1/2: the noise of c."""
    with pytest.raises(UsageError, match="two pairs"):
        parallelism_score(randn(4, 3), torch.tensor([[0, 1], [0, 2]]))
    same = SQUARE.clone()
    same[2] = same[0]
    assert np.isnan(parallelism_score(same, FIRST))
    assert np.isnan(parallelism_score(SQUARE, FIRST[:1]))


def test_the_best_pairing_is_the_best_of_all():
    means = randn(8, 3)
    for dichotomy in balanced_dichotomies(8, seed=0)[:5]:
        best = best_pairs(means, dichotomy)
        low, high = torch.nonzero(~dichotomy).flatten(), torch.nonzero(dichotomy).flatten()
        every = [
            parallelism_score(means, torch.stack([low, high[list(order)]], dim=1))
            for order in itertools.permutations(range(4))
        ]
        assert parallelism_score(means, best) == pytest.approx(max(every), rel=1e-12)
        assert bool(dichotomy[best[:, 1]].all()) and not bool(dichotomy[best[:, 0]].any())
    with pytest.raises(UsageError, match="at most 8"):
        best_pairs(randn(18, 2), torch.arange(18) < 9)


def test_the_best_pairing_finds_the_variable():
    assert sorted(best_pairs(SQUARE, torch.tensor([False, False, True, True])).tolist()) == FIRST.tolist()
    assert best_pairs(SQUARE[:2], torch.tensor([False, True])).tolist() == [[0, 1]]


@pytest.mark.parametrize("scale", [(1.0, 1.0), (3.0, 1.0), (1.0, 0.2)])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_square_generalises_across_conditions_in_both_variables(scale, noise):
    x, conditions, _ = stimuli(SQUARE * torch.tensor(scale), noise=noise)
    assert ccgp(x, conditions, FIRST) == 1 and ccgp(x, conditions, SECOND) == 1
    assert ccgp(x, conditions, XOR) == 0  # what is learnt of the one pair is wrong for the other


def test_a_simplex_is_at_chance():
    x, conditions, _ = stimuli(SIMPLEX)
    for pairs in (FIRST, SECOND, XOR):
        assert ccgp(x, conditions, pairs) == 0.5
        assert ccgp(x, conditions, pairs, every_split=True) == 0.5
    noisy = [ccgp(*stimuli(SIMPLEX, noise=0.1, seed=s)[:2], FIRST) for s in range(40)]
    assert abs(np.mean(noisy) - 0.5) < 3.5 * np.std(noisy) / 40**0.5


def test_splits_that_cut_across_pairs_lower_a_square():
    """Two of the four splits of a square fit its diagonal: chance if it is a square, else the longer side decides."""
    x, conditions, _ = stimuli(SQUARE)
    assert ccgp(x, conditions, FIRST, every_split=True) == 0.75
    x, conditions, _ = stimuli(SQUARE * torch.tensor([2.0, 1.0]))
    assert ccgp(x, conditions, FIRST, every_split=True) == 1
    assert ccgp(x, conditions, SECOND, every_split=True) == 0.5


def test_ccgp_equals_brute_force():
    x, conditions, _ = stimuli(randn(8, 10, seed=4), noise=0.8)
    pairs = torch.tensor([[0, 4], [1, 5], [2, 6], [3, 7]])
    for every in (False, True):
        scores = []
        for i, j in itertools.product(range(4), range(4)):
            if i == j or every:
                test = (conditions == i) | (conditions == 4 + j)
                train = ~test
                z = (x - x[train].mean(dim=0)) / (x[train] - x[train].mean(dim=0)).square().sum(dim=1).mean().sqrt()
                fit = SVC(kernel="linear", tol=1e-6, class_weight="balanced").fit(z[train], conditions[train] >= 4)
                scores.append(float((fit.predict(z[test]) == (conditions[test] >= 4).numpy()).mean()))
        assert ccgp(x, conditions, pairs, every_split=every) == pytest.approx(np.mean(scores), abs=1e-12)


def test_conditions_outside_the_pairs_take_no_part():
    x, conditions, _ = stimuli(torch.cat([SQUARE, 100 * randn(2, 2)]))
    assert ccgp(x, conditions, FIRST) == 1
    assert np.isnan(ccgp(x, conditions, FIRST[:1]))


def test_two_thirds_of_a_square_and_all_of_a_simplex_are_separable():
    square, simplex = (shattering(*stimuli(m), seed=0) for m in (SQUARE, SIMPLEX))
    assert (square.accuracy == 1).double().mean() == pytest.approx(2 / 3)
    # what is left is XOR
    assert square.accuracy.tolist() == [1, 1, 0.5] and square.dichotomies[2].tolist() == [True, False, False, True]
    assert square.dimension == pytest.approx(2.5 / 3) and square.n_possible == 3
    assert simplex.dimension == 1
    noisy = shattering(*stimuli(SQUARE, each=10, noise=0.1), seed=0)
    assert (noisy.accuracy > 0.9).double().mean() == pytest.approx(2 / 3)
    sampled = shattering(*stimuli(torch.eye(8, dtype=torch.float64), each=2), seed=0, limit=4)
    assert len(sampled.accuracy) == 4 and sampled.n_possible == 35 and sampled.dimension == 1


def test_shattering_needs_every_condition_in_training():
    x, conditions, _ = stimuli(SQUARE)
    with pytest.raises(InputError, match="no stimulus to train on"):
        shattering(x, conditions, conditions, seed=0)


def test_decodability_equals_scikit_learn_and_knows_no_axes():
    """scikit-learn 1.9.1, fold by fold, on features scaled as the docstring says."""
    x = randn(60, 12)
    labels = x[:, 0] + 0.8 * randn(60, seed=1) > 0.5
    folds = torch.arange(60) % 5
    hits = torch.zeros(60, dtype=torch.float64)
    for f in range(5):
        train, test = folds != f, folds == f
        z = (x - x[train].mean(dim=0)) / (x[train] - x[train].mean(dim=0)).square().sum(dim=1).mean().sqrt()
        fit = SVC(kernel="linear", tol=1e-6, class_weight="balanced").fit(z[train], labels[train])
        hits[test] = torch.as_tensor(fit.predict(z[test]) == labels[test].numpy()).double()
    expected = float(hits[labels].mean() + hits[~labels].mean()) / 2
    assert 0.6 < expected < 1
    assert decodability(x, labels, folds) == pytest.approx(expected, abs=1e-12)
    moved = 40 * x @ torch.linalg.qr(randn(12, 12, seed=2))[0] + 1000
    assert decodability(moved, labels, folds) == pytest.approx(expected, abs=1e-12)
    assert decodability(coordinates(moved @ moved.T), labels, folds) == pytest.approx(expected, abs=1e-12)
    assert decodability(x.float(), labels, folds) == pytest.approx(expected, abs=1e-12)


def test_presentations_of_one_stimulus_in_two_folds_leak():
    """The trap: every stimulus shown twice, labels at random. Folds by presentation read far above chance."""
    stimulus = torch.arange(40).repeat_interleave(2)
    x = randn(40, 200)[stimulus] + 0.1 * randn(80, 200, seed=1)
    labels = (torch.rand(40, generator=torch.Generator().manual_seed(3)) < 0.5)[stimulus]
    assert decodability(x, labels, torch.arange(80) % 2) > 0.95
    assert decodability(x, labels, stimulus % 2) < 0.65


def test_decodability_of_unbalanced_labels_has_chance_at_one_half():
    x = randn(400, 5)
    labels = torch.arange(400) % 10 == 0
    assert abs(decodability(x, labels, torch.arange(400) // 40) - 0.5) < 0.1
    assert decodability(torch.ones(400, 5), labels, torch.arange(400) // 40) == 0.5
    with pytest.raises(InputError, match="one label"):
        decodability(x, torch.zeros(400, dtype=torch.bool), torch.arange(400) % 2)


def test_a_pairing_of_equal_conditions_is_never_the_best():
    means = randn(6, 5)
    means[4] = means[0]  # one pair has no coding vector, so its cosines are undefined
    dichotomy = torch.tensor([False, False, False, True, True, True])
    pairs = best_pairs(means, dichotomy)
    assert [0, 4] not in pairs.tolist() and math.isfinite(parallelism_score(means, pairs))
