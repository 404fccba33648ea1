from itertools import combinations

import numpy as np
import pytest
import torch

from brainbench.core.arrays import RDMs
from brainbench.core.splits import Fold, Split
from brainbench.errors import AlignmentError, UsageError
from brainbench.numerics.rdm import compare, upper
from brainbench.numerics.rdm_resampling import influence, spread_ratio
from brainbench.scorers.rsa import RSA


def rdms(case, noise=0.0, subjects=3):
    ids = case.block().stimulus_ids
    generator = torch.Generator().manual_seed(5)
    values = [
        case.representation(case.features + noise * torch.randn(120, 60, generator=generator)).rdm("correlation")
        for _ in range(subjects)
    ]
    return RDMs(stimulus_ids=ids, subjects=tuple("abc"[:subjects]), values=torch.stack(values).numpy())


def score(case, target, scorer=None, representation=None):
    return (scorer or RSA()).score(representation or case.representation(), target, case.split, seed=0, device="cpu")


@pytest.mark.parametrize("comparison", ["spearman", "pearson", "kendall", "cosine"])
def test_the_same_geometry_scores_one_and_noise_lowers_it(case, comparison):
    scorer = RSA(comparison=comparison)
    np.testing.assert_allclose(score(case, rdms(case), scorer).folds, 1, atol=1e-9)
    little, much = (score(case, rdms(case, noise=x), scorer).raw.mean() for x in (0.5, 2.0))
    assert 1 > little > much


def test_folds_use_pairs_of_test_stimuli_and_layers_are_chosen_on_the_others(case):
    target = rdms(case, noise=1.0)
    result = score(case, target)
    ids = list(target.stimulus_ids)
    for number, fold in enumerate(case.split.folds):
        for part, got in ((fold.test, result.folds), (fold.train, result.train)):
            rows = [ids.index(i) for i in part]
            model = case.representation().rdm("correlation")[rows][:, rows]
            brain = torch.as_tensor(target.values[:, rows][:, :, rows])
            np.testing.assert_allclose(got[number], compare(upper(model), upper(brain).T, "spearman"), atol=1e-12)
    everything = compare(
        upper(case.representation().rdm("correlation")), upper(torch.as_tensor(target.values)).T, "spearman"
    )
    np.testing.assert_allclose(result.extras["all_pairs"], everything, atol=1e-12)


def test_scrambled_test_stimuli_leave_the_training_score_alone(case):
    target = rdms(case, noise=1.0)
    test = [list(target.stimulus_ids).index(i) for i in case.split.folds[1].test]
    values = target.values.copy()
    values[:, test] = 0.5
    values[:, :, test] = 0.5
    scrambled = RDMs(stimulus_ids=target.stimulus_ids, subjects=target.subjects, values=values)
    np.testing.assert_array_equal(score(case, scrambled).train[1], score(case, target).train[1])


def test_rows_are_joined_by_id(case):
    order = np.random.default_rng(0).permutation(120)
    ids = tuple(np.asarray(case.block().stimulus_ids)[order])
    moved = case.representation(case.features[order], ids)
    np.testing.assert_allclose(score(case, rdms(case), representation=moved).folds, 1, atol=1e-9)
    with pytest.raises(AlignmentError):
        score(case, rdms(case), representation=case.representation(case.features[:50], case.block().stimulus_ids[:50]))


def test_a_subject_with_gaps_is_nan_with_a_reason(case):
    target = rdms(case)
    values = target.values.copy()
    values[1, 3, 5] = values[1, 5, 3] = np.nan
    result = score(case, RDMs(stimulus_ids=target.stimulus_ids, subjects=target.subjects, values=values))
    assert result.reason == ("", "missing-stimuli", "")
    assert np.isnan(result.extras["all_pairs"]).tolist() == [False, True, False]
    dead = case.representation(torch.ones(120, 60))  # a layer that says nothing has no say in that
    result = score(case, RDMs(stimulus_ids=target.stimulus_ids, subjects=target.subjects, values=values), None, dead)
    assert result.reason == ("constant-features", "missing-stimuli", "constant-features")


def test_one_pair_of_test_stimuli_is_too_few_and_no_lack_of_variance(case):
    target = rdms(case)
    names = target.stimulus_ids
    two = Split(folds=(Fold(train=names[2:], test=names[:2]),), unit={name: name for name in names})
    found = RSA().score(case.representation(), target, two, seed=0, device="cpu")
    assert set(found.reason) == {"too-few-stimuli"} and np.isnan(found.raw).all()


def test_replicates_of_ones_are_the_score(case):
    result = score(case, rdms(case, noise=1.0))
    np.testing.assert_allclose(
        result.resample(np.ones((1, 120)), range(5), np.arange(result.folds.shape[1]))[0], result.folds, atol=1e-12
    )


def test_an_independent_geometry_reads_zero_without_the_diagonal_bonus(case):
    scores = []
    for seed in range(20):
        other = torch.randn(120, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(100 + seed))
        scores.append(score(case, rdms(case), representation=case.representation(other)).raw.mean())
    assert abs(np.mean(scores)) < 0.02  # a diagonal left in would add 3/n = .125 at 24 test stimuli


def test_luck_is_that_of_pairs_in_the_units_that_are_resampled_together(case):
    """For units of two stimuli: the pairs of four stimuli are one, and a pair within a unit is on the diagonal."""
    target, pairs = rdms(case, noise=2.0), {i: f"u{n // 2}" for n, i in enumerate(case.block().stimulus_ids)}
    folds = tuple(
        Fold(train=(), test=tuple(i for i in pairs if (int(pairs[i][1:]) + number) % 5 == 0)) for number in range(5)
    )
    folds = tuple(Fold(train=tuple(set(pairs) - set(fold.test)), test=fold.test) for fold in folds)
    result = RSA().score(case.representation(), target, Split(folds=folds, unit=pairs), seed=0, device="cpu")
    model, total = case.representation().rdm("correlation"), np.zeros((3, 60, 60))
    for fold in folds:
        rows = [list(pairs).index(i) for i in fold.test]
        brain = torch.as_tensor(target.values[:, rows][:, :, rows])
        moved = influence(upper(model[rows][:, rows]), upper(brain).T, "spearman").T
        for (i, j), h in zip(combinations(rows, 2), moved.T / moved.shape[1]):
            total[:, i // 2, j // 2] += h.numpy()
            total[:, j // 2, i // 2] += h.numpy()
    np.testing.assert_allclose(result.luck + 1, spread_ratio(torch.as_tensor(total), 12), rtol=1e-10)


def test_luck_is_negative_and_that_of_an_unrelated_geometry_more_so(case):
    other = torch.randn(120, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    target = rdms(case, noise=1.0)
    unrelated = score(case, target, representation=case.representation(other)).luck
    assert (unrelated < -0.4).all() and (unrelated == unrelated[0, 0]).all()
    assert (
        score(case, RDMs(stimulus_ids=target.stimulus_ids, subjects=("a",), values=target.values[:1])).luck.min() >= -1
    )


def test_a_subject_with_gaps_has_no_say_in_luck(case):
    target = rdms(case, noise=1.0)
    values = target.values.copy()
    values[1, 3, 5] = values[1, 5, 3] = np.nan
    two = RDMs(stimulus_ids=target.stimulus_ids, subjects=("a", "c"), values=target.values[[0, 2]])
    gap = RDMs(stimulus_ids=target.stimulus_ids, subjects=target.subjects, values=values)
    np.testing.assert_allclose(score(case, gap).luck[0, 0], score(case, two).luck[0, 0], rtol=1e-12)


@pytest.mark.parametrize("params", [{"rdm": "x"}, {"comparison": "tau"}])
def test_wrong_parameters_are_usage_errors(params):
    with pytest.raises(UsageError):
        RSA(**params)
