from dataclasses import replace

import numpy as np
import pytest
import torch

from brainbench.core.arrays import Labels
from brainbench.numerics.linear_svm import COSTS, svm_accuracy
from brainbench.numerics.representation import Representation
from brainbench.scorers.svm import SVM

ONE = np.zeros(1, dtype=int)


def test_a_fold_is_the_accuracy_of_machines_on_its_test_stimuli(categories):
    """The inner folds are dealt in another way here, which respects versions: at one cost both are the same machine."""
    result = categories.score(SVM())
    for number in range(4):
        cost = result.extras["cost"][number, 0]
        assert cost in COSTS
        (expected,) = svm_accuracy(
            categories.features, categories.codes, [tuple(categories.rows(number))], costs=[cost]
        )
        assert result.folds[number, 0] == pytest.approx(float(expected))
    assert result.reason == ("",) and (result.luck == 1).all()


def test_more_units_than_stimuli_are_read_from_the_gram_matrix(categories):
    x = categories.features @ torch.linalg.qr(torch.randn(300, 20, dtype=torch.float64))[0].T
    full = Representation.from_features(x, categories.target.stimulus_ids)
    wide = Representation.from_gram(full.gram, full.unit_mean, 300, full.stimulus_ids)
    np.testing.assert_array_equal(categories.score(SVM(), representation=wide).folds, categories.score(SVM()).folds)


def test_the_training_share_is_that_of_inner_folds_and_does_not_see_the_test_stimuli(categories):
    before = categories.score(SVM())
    values = categories.target.values.copy()
    test = categories.rows(2)[1].numpy()
    values[test] = np.random.default_rng(0).permutation(values[test])
    after = categories.score(SVM(), target=Labels(stimulus_ids=categories.target.stimulus_ids, values=values))
    assert after.train[2] == before.train[2] and after.extras["cost"][2] == before.extras["cost"][2]
    assert after.folds[2] < before.folds[2] - 0.2
    assert abs(before.train - before.folds).max() < 0.2


def test_versions_of_a_stimulus_are_in_one_inner_fold(make):
    """In noise of which a third are near-copies, inner folds that tore versions apart would tell categories."""
    whole, torn = [], []
    for seed in range(4):  # one of them reads .29 to .35 by chance, and another processor rounds to another machine
        case = make(strength=0.0, n_versions=60, seed=seed)
        whole.append(case.score(SVM()).train.mean())
        case.split.unit.update({i: i for i in case.target.stimulus_ids})
        torn.append(case.score(SVM()).train.mean())
    assert np.mean(whole) < 0.37 and np.mean(torn) > 0.7


def test_replicates_are_weighted_shares_of_the_same_answers(categories):
    result = categories.score(SVM())
    weights = np.random.default_rng(3).integers(0, 4, size=(3, 120)).astype(np.float32)
    weights[2, categories.rows(1)[1]] = 0
    got = result.resample(weights, [1, 3], ONE)
    ones = result.resample(np.ones((1, 120)), range(4), ONE)[0]
    np.testing.assert_allclose(ones, result.folds, atol=1e-12)
    assert got.shape == (3, 2, 1) and np.isnan(got[2, 0, 0])
    single = np.eye(120, dtype=np.float32)[categories.rows(3)[1].numpy()]
    right = result.resample(single, [3], ONE)[:, 0, 0]
    assert set(right) == {0.0, 1.0} and right.mean() == pytest.approx(result.folds[3, 0])
    w = weights[0][categories.rows(3)[1].numpy()]
    assert got[0, 1, 0] == pytest.approx((w * right).sum() / w.sum())


def test_chance_is_what_shuffled_test_categories_would_score(make):
    rng = np.random.default_rng(0)
    case = make()
    rare = case.target.values.copy()
    rare[: 4 * 20 : 4] = "category 1"  # sizes 10, 50, 30, 30
    case.target = Labels(stimulus_ids=case.target.stimulus_ids, values=rare)
    result = case.score(SVM())
    test = case.rows(0)[1].numpy()
    told = said(case, result, test)
    answers = [np.mean(rng.permutation(rare[test]) == told) for _ in range(400)]
    assert np.mean(answers) == pytest.approx(result.extras["chance"][0, 0], abs=0.01)
    assert result.extras["chance"][0, 0] > 0.25
    assert make().score(SVM()).extras["chance"].mean() == pytest.approx(0.25, abs=0.01)


def said(case, result, test):
    """The machines' answers, found by asking for each category in turn whether it is right."""
    answers = np.empty(len(test), dtype=object)
    for category in sorted(set(case.target.values)):
        values = case.target.values.copy()
        values[test] = category
        first = replace(case.split, folds=case.split.folds[:1])
        right = case.score(SVM(), target=Labels(stimulus_ids=case.target.stimulus_ids, values=values), split=first)
        hit = right.resample(np.eye(120)[test], [0], ONE)[:, 0, 0]
        answers[hit == 1] = category
    return answers


@pytest.mark.parametrize(
    "change, features, reason",
    [
        (lambda v: v.fill("a"), None, "one-category"),
        (lambda v: v.put(3, None), None, "missing-stimuli"),
        (lambda v: v.put([5, 6, 7], "rare"), None, "too-few-stimuli"),
        (lambda v: None, torch.ones(120, 3), "constant-features"),
    ],
)
def test_what_cannot_be_read_is_nan_with_a_reason(categories, change, features, reason):
    values = categories.target.values.copy()
    change(values)
    target = Labels(stimulus_ids=categories.target.stimulus_ids, values=values)
    result = categories.score(SVM(), features=features, target=target)
    assert result.reason == (reason,)
    for found in (result.folds, result.train, result.extras["chance"], result.resample(np.ones((2, 120)), [0], ONE)):
        assert np.isnan(found).all()


def test_a_category_that_no_machine_was_trained_on_is_named(categories):
    values = categories.target.values.copy()
    values[categories.rows(1)[1].numpy()] = "unseen"
    result = categories.score(SVM(), target=Labels(stimulus_ids=categories.target.stimulus_ids, values=values))
    assert result.reason == ("untrained-category",) and np.isnan(result.folds).all()
