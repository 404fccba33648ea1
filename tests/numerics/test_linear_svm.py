import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import LinearSVC

from brainbench.errors import InputError, LeakageError
from brainbench.numerics import linear_svm
from brainbench.numerics.linear_svm import COSTS, gram_features, machines, svm_accuracy


def planted(n=120, p=20, n_classes=4, strength=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % n_classes
    centres = strength * torch.randn(n_classes, p, dtype=torch.float64, generator=generator)
    return centres[labels] + torch.randn(n, p, dtype=torch.float64, generator=generator), labels


def halves(n, n_splits=4):
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(s)) for s in range(n_splits)]
    return [(order[: 2 * n // 3], order[2 * n // 3 :]) for order in orders]


@pytest.mark.parametrize("strength", [0.2, 0.6])
def test_accuracy_equals_a_grid_search_by_scikit_learn(strength):
    x, labels = planted(strength=strength)
    ours = svm_accuracy(x, labels, halves(120), seed=3)
    theirs = []
    for train, test in halves(120):
        fit, out = x[train].numpy(), x[test].numpy()
        mean = fit.mean(axis=0)
        length = np.linalg.norm(fit - mean) / len(fit) ** 0.5
        folds = StratifiedKFold(3, shuffle=True, random_state=3)
        # scaled once for all folds here, in each fold by us: C is in other units by a part in a hundred
        search = GridSearchCV(LinearSVC(dual=False), {"C": COSTS}, cv=folds).fit((fit - mean) / length, labels[train])
        theirs.append(search.score((out - mean) / length, labels[test]))
    np.testing.assert_allclose(ours, theirs, atol=1.01 / 40)


@pytest.mark.parametrize("p, n_classes", [(10, 4), (70, 4), (400, 4), (30, 2)])
def test_machines_are_those_of_scikit_learn_at_every_cost(p, n_classes):
    """Tall features are solved among units, wide ones among stimuli; both reach the one minimum there is."""
    x, labels = planted(p=p, n_classes=n_classes, strength=0.3)
    x = torch.cat([x / p**0.5, torch.ones(120, 1, dtype=torch.float64)], dim=1)
    signs = (labels[:, None] == torch.arange(n_classes)).double() * 2 - 1
    ours = machines(x, signs, COSTS)
    for weights, cost in zip(ours, COSTS):
        machine = LinearSVC(C=cost, dual=False, tol=1e-10, max_iter=100_000).fit(x[:, :-1], labels)
        theirs = torch.as_tensor(np.hstack([machine.coef_, machine.intercept_[:, None]])).T
        if n_classes == 2:  # one machine there, whose mirror is the other
            theirs = torch.cat([-theirs, theirs], dim=1)
        np.testing.assert_allclose(weights, theirs, atol=1e-5 * float(theirs.abs().max()))


def test_a_row_that_is_there_twice_and_rows_on_the_margin_come_to_an_end():
    x = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    signs = torch.tensor([[1.0], [1.0], [-1.0], [-1.0], [1.0]], dtype=torch.float64)
    ours = machines(torch.cat([x, x]), torch.cat([signs, signs]), [1e-6, 1.0, 1e9])
    assert torch.isfinite(ours).all()
    np.testing.assert_allclose(ours[2, :, 0], [2, 1], atol=1e-6)  # the hard margin: 2 x + 1 = 1 at the row at 0


@pytest.mark.parametrize("p", [10, 400])
def test_features_of_the_gram_matrix_give_the_same_machine(p):
    x, labels = planted(p=p)
    x = x + 3
    from_gram = gram_features(x @ x.T)
    assert from_gram.shape[1] == min(p, 120)
    np.testing.assert_allclose(from_gram @ from_gram.T, x @ x.T, atol=1e-8 * float((x @ x.T).abs().max()))
    train, test = halves(120)[0]
    said = []
    for features in (x, from_gram):
        centred = features - features[train].mean(dim=0)
        signs = (labels[train][:, None] == torch.arange(4)).double() * 2 - 1
        said.append(centred[test] @ machines(centred[train], signs, [1.0])[0])
    np.testing.assert_allclose(said[0], said[1], atol=1e-8)
    np.testing.assert_array_equal(svm_accuracy(x, labels, halves(120)), svm_accuracy(from_gram, labels, halves(120)))


def test_translation_and_scaling_change_nothing():
    x, labels = planted(strength=0.4)
    before = svm_accuracy(x, labels, halves(120))
    np.testing.assert_array_equal(before, svm_accuracy(1e3 * x + 500, labels, halves(120)))


def test_separable_categories_are_all_right_and_noise_is_at_chance():
    x, labels = planted(strength=6.0)
    assert (svm_accuracy(x, labels, halves(120)) == 1).all()
    x, labels = planted(n=400, strength=0.0)
    accuracy = svm_accuracy(x, labels, halves(400, 6))
    assert accuracy.mean() == pytest.approx(0.25, abs=0.08)


def test_cost_is_chosen_without_the_test_rows(monkeypatch):
    x, labels = planted()
    train, test = halves(120)[0]
    seen = []
    true = linear_svm._predicted

    def spy(x, y, fit, held, costs):
        seen.append((set(fit.tolist()) | set(held.tolist()), set(held.tolist())))
        return true(x, y, fit, held, costs)

    monkeypatch.setattr(linear_svm, "_predicted", spy)
    svm_accuracy(x, labels, [(train, test)])
    assert len(seen) == 3 + 1
    assert all(rows <= set(train.tolist()) for rows, _ in seen[:-1])
    assert seen[-1][1] == set(test.tolist())


def test_leaks_and_small_categories_are_refused():
    x, labels = planted(n=24)
    rows = torch.arange(24)
    with pytest.raises(LeakageError):
        svm_accuracy(x, labels, [(rows[:20], rows[19:])])
    with pytest.raises(InputError, match="2 training stimuli"):
        svm_accuracy(x, labels, [(rows[:8], rows[8:])])


def test_a_step_that_gains_nothing_is_the_last():
    """A row on the margin was in and out of it by rounding, and every step was taken, for ever."""
    half = torch.tensor([[2.0, 1], [1, 2], [1, 1], [2, 0]], dtype=torch.float64)
    labels = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0])
    rows = torch.arange(8)
    whole = linear_svm._predicted(torch.cat([half, -half]), labels, rows, rows, linear_svm.COSTS)
    assert bool((whole == labels).all())
