from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV

from brainbench.numerics import ridge
from brainbench.numerics.representation import Representation

GRID = tuple(np.logspace(-4, 4, 9))


def problem(n, p, v=7, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, dtype=dtype, generator=generator) + 1
    readout = torch.randn(5, v, dtype=dtype, generator=generator)
    y = x[:, :5] @ readout + 2 * torch.randn(n, v, dtype=dtype, generator=generator)
    return x, y


def both_forms(x):
    ids = [str(i) for i in range(len(x))]
    kept = Representation.from_features(x, ids)
    return kept, Representation.from_gram(kept.gram, kept.unit_mean, kept.n_units, ids)


@pytest.mark.parametrize("n, p", [(60, 200), (200, 30), (50, 50)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_predictions_equal_scikit_learn_with_a_penalty_per_neuroid(n, p, dtype, tolerance):
    x, y = problem(n, p, dtype=dtype)
    train, test = torch.arange(0, n - 10), torch.arange(n - 10, n)
    for representation in both_forms(x):
        basis = representation.eigh(train)
        penalty = ridge.penalties(basis, GRID)[torch.tensor([1, 2, 4, 5, 6, 7, 8])]
        ours = ridge.predict(ridge.coordinates(basis, y[train]), penalty, representation.cross(basis, test))
        theirs = Ridge(alpha=penalty.numpy()).fit(x[train].double(), y[train].double()).predict(x[test].double())
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("n, p", [(40, 100), (100, 20)])
def test_leave_one_out_chooses_as_scikit_learn(n, p):
    x, y = problem(n, p)
    (representation, _), rows = both_forms(x), torch.arange(n)
    basis = representation.eigh(rows)
    alphas = ridge.penalties(basis, GRID)
    chosen = alphas[ridge.select_loo(ridge.coordinates(basis, y), alphas).index]
    theirs = RidgeCV(alphas=alphas.numpy(), alpha_per_target=True).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(chosen, theirs.alpha_)


def test_gcv_error_equals_its_definition():
    x, y = problem(30, 80)
    (representation, _), rows = both_forms(x), torch.arange(30)
    basis = representation.eigh(rows)
    alphas = ridge.penalties(basis, GRID)
    selection = ridge.select_gcv(ridge.coordinates(basis, y), alphas)
    centred = (x - x.mean(dim=0)).numpy()
    gram = centred @ centred.T
    errors = []
    for alpha in alphas.numpy():
        hat = gram @ np.linalg.inv(gram + alpha * np.eye(30)) + 1 / 30
        residual = y.numpy() - hat @ y.numpy()
        errors.append((residual**2).sum(axis=0) / 30 / (1 - np.trace(hat) / 30) ** 2)
    np.testing.assert_array_equal(selection.index, np.argmin(errors, axis=0))
    mean_only = y.var(dim=0, correction=0) / (1 - 1 / 30) ** 2
    np.testing.assert_allclose(selection.cv_r2, 1 - np.min(errors, axis=0) / mean_only.numpy(), rtol=1e-8)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n, p", [(60, 150), (120, 40)])
def test_kfold_chooses_and_predicts_as_himalaya(n, p):
    """himalaya 0.4.11 KernelRidgeCV on features centred by hand; penalties that tie in its float32 may differ."""
    from himalaya.kernel_ridge import KernelRidgeCV

    x, y = problem(n, p)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    (representation, _), folds = both_forms(x), torch.arange(n) % 3
    rows = torch.arange(n)
    alphas = ridge.penalties(representation.eigh(rows), GRID)
    splits = [((folds != f).nonzero()[:, 0].numpy(), (folds == f).nonzero()[:, 0].numpy()) for f in range(3)]
    theirs = KernelRidgeCV(alphas=alphas.numpy(), cv=splits, kernel="linear", fit_intercept=True)
    theirs.fit(x.numpy(), y.numpy())
    inner = []
    for fit, out in splits:
        basis = representation.eigh(torch.as_tensor(fit))
        cross = representation.cross(basis, torch.as_tensor(out))
        inner.append(ridge.held_out_errors(ridge.coordinates(basis, y[fit]), cross, y[out], alphas))
    ours = ridge.choose(sum(errors for errors, _ in inner), sum(mean_only for _, mean_only in inner))
    np.testing.assert_allclose(alphas[ours.index], theirs.best_alphas_, rtol=1e-6)
    basis = representation.eigh(rows)
    predicted = ridge.predict(ridge.coordinates(basis, y), alphas[ours.index], representation.cross(basis, rows))
    np.testing.assert_allclose(predicted, theirs.predict(x.numpy()), atol=1e-8)


def test_orthonormal_features_shrink_by_n_over_n_plus_lambda():
    n = 64
    x = torch.linalg.qr(torch.randn(n, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    x = torch.linalg.qr(x - x.mean(dim=0))[0] * n**0.5
    y = x @ torch.ones(9, 1, dtype=torch.float64)
    representation = Representation.from_features(x, [str(i) for i in range(n)])
    basis = representation.eigh(torch.arange(n))
    fitted = ridge.predict(
        ridge.coordinates(basis, y), torch.tensor([32.0], dtype=torch.float64), representation.cross(basis, basis.rows)
    )
    np.testing.assert_allclose(fitted, y * n / (n + 32.0), atol=1e-10)


def test_collinear_features_stay_finite():
    x, _ = problem(30, 10)
    x = torch.cat([x, x, x], dim=1)
    representation = Representation.from_features(x, [str(i) for i in range(30)])
    basis = representation.eigh(torch.arange(30))
    assert len(basis.values) == 10
    noise = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    selection = ridge.select_gcv(ridge.coordinates(basis, noise), ridge.penalties(basis, (1e-9, 1e-8)))
    assert torch.isfinite(selection.cv_r2).all()


def test_scaling_the_features_changes_no_prediction():
    x, y = problem(40, 90)
    outs = []
    for factor in (1.0, 1e3):
        representation = Representation.from_features(x * factor, [str(i) for i in range(40)])
        basis = representation.eigh(torch.arange(30))
        penalty = ridge.penalties(basis, GRID)[torch.full((7,), 5)]
        outs.append(
            ridge.predict(ridge.coordinates(basis, y[:30]), penalty, representation.cross(basis, torch.arange(30, 40)))
        )
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-9)


def by_brute_force(x, y, alphas, *, gcv):
    """Errors of every penalty from the hat matrix itself, float64 (a, v)."""
    xc, yc = (x - x.mean(0)).double().numpy(), (y - y.mean(0)).double().numpy()
    values, vectors = np.linalg.eigh(xc @ xc.T)
    values, vectors = values[1:].clip(0), vectors[:, 1:]  # the first is the mean, which is taken off
    errors = []
    for alpha in alphas.numpy():
        keep = alpha / (values + alpha)
        residual = (vectors * keep) @ (vectors.T @ yc)
        free = (vectors**2 * keep).sum(axis=1, keepdims=True)
        errors.append(((residual / (free.mean() if gcv else free)) ** 2).mean(axis=0))
    return np.stack(errors)


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("n, p", [(40, 39), (40, 41), (100, 300)])
@pytest.mark.parametrize("gcv", [True, False])
def test_float32_chooses_as_float64_where_features_can_fit_anything(n, p, noise, gcv):
    """Of 17 penalties and of some far smaller: residuals near 0 must not drown in what they are the rest of."""
    generator = torch.Generator().manual_seed(n + p)
    x = torch.randn(n, p, generator=generator)
    y = x @ torch.randn(p, 60, generator=generator) / p**0.5 + noise * torch.randn(n, 60, generator=generator)
    basis = Representation.from_features(x, [str(i) for i in range(n)]).eigh(torch.arange(n))
    assert basis.vectors.shape[1] == n - 1
    for grid in (np.logspace(-4, 4, 17), np.logspace(-8, -2, 4)):
        alphas = ridge.penalties(basis, tuple(grid))
        chosen = (ridge.select_gcv if gcv else ridge.select_loo)(
            ridge.coordinates(replace(basis, vectors=basis.vectors.float()), y), alphas
        )
        errors = by_brute_force(x, y, alphas, gcv=gcv)
        regret = np.take_along_axis(errors, chosen.index[None].numpy(), axis=0)[0] / errors.min(axis=0)
        assert regret.max() < 1.001
        mean_only = y.double().var(dim=0, correction=0).numpy() * n**2 / (n - 1) ** 2
        np.testing.assert_allclose(chosen.cv_r2, 1 - errors.min(axis=0) / mean_only, atol=2e-4)


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_dual_and_primal_forms_predict_alike_down_to_small_penalties(decay):
    """Singular values i^-decay; kept features are multiplied in float64, so their Gram matrix loses no component."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 250, generator=generator) * torch.arange(1, 251) ** -decay
    y = torch.randn(300, 20, dtype=torch.float64, generator=generator)
    kept, dual = both_forms(x)
    train, test = torch.arange(270), torch.arange(270, 300)
    predicted = []
    for representation in (kept, dual):
        basis = representation.eigh(train)
        alphas = ridge.penalties(basis, (1e-4, 1e-2, 1.0))
        fit, cross = ridge.coordinates(basis, y[train]), representation.cross(basis, test)
        predicted.append(torch.stack([ridge.predict(fit, a.expand(20), cross) for a in alphas]))
    assert (predicted[0] - predicted[1]).norm() < 1e-5 * predicted[0].norm()


def test_a_large_penalty_leaves_the_digits_of_predictions():
    x, y = problem(60, 100, dtype=torch.float32)
    basis = Representation.from_features(x, [str(i) for i in range(60)]).eigh(torch.arange(60))
    small = ridge.deviations(ridge.coordinates(basis, y), torch.full((7,), 1e9), basis.vectors * basis.values)
    exact = ridge.deviations(
        ridge.coordinates(basis, y.double()), torch.full((7,), 1e9, dtype=torch.float64), basis.vectors * basis.values
    )
    np.testing.assert_allclose(small, exact, rtol=1e-3, atol=1e-5 * exact.abs().max())
