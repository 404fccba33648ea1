"""Sparse prediction: closed forms, scikit-learn's lasso, and penalties chosen inside the training stimuli."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from brainbench.errors import UsageError
from brainbench.numerics.lasso import sparse_prediction, sparse_readout


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def orthonormal(n, p):
    """XᵀX = n I with columns that sum to 0, which makes them standardised already."""
    raw = randn(n, p)
    return torch.linalg.qr(raw - raw.mean(dim=0))[0] * n**0.5


def test_the_lasso_on_orthonormal_features_is_a_soft_threshold():
    """w = sign(c) max(|c| - penalty, 0) with c = Xᵀy/n; then loss = (1 - Σ (c² - (c - w)²)) / 2."""
    x = orthonormal(64, 6)
    y = x @ torch.tensor([0.8, -0.5, 0.2, 0.05, 0, 0], dtype=torch.float64)[:, None] + 0.1 * randn(64, 1, seed=3)
    y = (y - y.mean()) / y.std(correction=0)
    c = (x.T @ y / 64)[:, 0]
    got = sparse_prediction(x, y, x, y, penalties=[1.0, 0.3, 0.1, 0.03])
    for row, penalty in enumerate(got.penalties):
        w = torch.sign(c) * (c.abs() - penalty).clamp_min(0)
        assert got.n_units[row, 0] == (w != 0).sum()
        expected = (1 - (c.square() - (c - w).square()).sum()) / 2
        assert float(got.loss[row, 0]) == pytest.approx(float(expected), abs=1e-4)
    assert float(got.loss[0, 0]) == pytest.approx(0.5, abs=1e-12)  # all weights 0: nothing is predicted
    assert torch.isnan(got.r[0, 0]) and got.n_units[0, 0] == 0


@pytest.mark.parametrize("penalty", [0.3, 0.1, 0.03])
def test_weights_on_orthonormal_features_are_thresholded_correlations_with_their_signs(penalty):
    """METHODS section 8: w = sign(c) max(|c| - penalty, 0), c = Xᵀy/n, in units of y for units of x."""
    x = orthonormal(64, 6)
    y = x @ torch.tensor([[0.8, -0.5, 0.2, 0.05, 0, 0], [0, -0.9, 0, 0.3, 0, -0.2]], dtype=torch.float64).T
    y = y + 0.1 * randn(64, 2, seed=3)
    y = (y - y.mean(dim=0)) / y.std(dim=0, correction=0)
    c = x.T @ y / 64
    w = torch.sign(c) * (c.abs() - penalty).clamp_min(0)
    got = sparse_readout(x, y, (), penalties=[penalty])
    np.testing.assert_allclose(got.weights, w, atol=1e-4)  # where the solver stops
    np.testing.assert_array_equal(got.weights.sign(), w.sign())
    assert got.n_units.tolist() == (w != 0).sum(dim=0).tolist()
    moved = sparse_readout(5 * x + 2, 3 * y - 1, (), penalties=[penalty])
    np.testing.assert_allclose(moved.weights, w * 3 / 5, atol=1e-4)


def test_sparse_prediction_equals_scikit_learn_unit_by_unit():
    """scikit-learn 1.9.1; its path over several targets at once is a different, joint selection."""
    x = randn(80, 10) * torch.arange(1, 11) + 4
    y = x @ (randn(10, 3, seed=1) * (randn(10, 3, seed=2) > 0.5)) + 5 * randn(80, 3, seed=3)
    got = sparse_prediction(x[:50], y[:50], x[50:], y[50:], penalties=[0.1, 0.03])
    z = ((x - x[:50].mean(dim=0)) / x[:50].std(dim=0, correction=0)).numpy()
    t = ((y - y[:50].mean(dim=0)) / y[:50].std(dim=0, correction=0)).numpy()
    for row, penalty in enumerate((0.1, 0.03)):
        for unit in range(3):
            fit = Lasso(penalty, fit_intercept=False, tol=1e-10).fit(z[:50], t[:50, unit])
            predicted = fit.predict(z[50:])
            np.testing.assert_allclose(got.loss[row, unit], ((t[50:, unit] - predicted) ** 2).mean() / 2, rtol=2e-3)
            np.testing.assert_allclose(got.r[row, unit], np.corrcoef(t[50:, unit], predicted)[0, 1], atol=1e-3)
            assert got.n_units[row, unit] == np.count_nonzero(fit.coef_)


def test_one_unit_among_many_is_predicted_by_that_unit_alone():
    x = randn(300, 50)
    y = 3 * x[:, [7]] + 1
    y = torch.cat([y, torch.zeros(300, 1, dtype=torch.float64)], dim=1)
    x[:, 20] = 2.0
    got = sparse_prediction(x[:200], y[:200], x[200:], y[200:], penalties=[0.3])
    assert got.n_units[0, 0] == 1 and float(got.r[0, 0]) == pytest.approx(1)
    assert torch.isnan(got.loss[0, 1]) and (got.dead_x, got.dead_y) == (1, 1)
    with pytest.raises(UsageError, match="positive"):
        sparse_prediction(x, y, x, y, penalties=[0.1, 0.0])


def test_a_fit_that_did_not_converge_is_nan(monkeypatch):
    monkeypatch.setattr("brainbench.numerics.lasso.MOST_STEPS", 1)
    latent = randn(60, 1)
    x = latent + 0.01 * randn(60, 40, seed=1)
    got = sparse_prediction(x, randn(60, 2, seed=2), x, randn(60, 2, seed=2), penalties=[1e-3])
    assert torch.isnan(got.loss).all()


HALVES = ((torch.arange(0, 150), torch.arange(150, 300)), (torch.arange(150, 300), torch.arange(0, 150)))


def test_a_sum_of_three_units_among_many_is_read_from_about_three():
    """Held-out r of the readout is that of the signal, 1/√(1 + .25); the penalty is chosen for each unit of y."""
    x = 5 * randn(2300, 40) + 3
    signal = (x[:, :3] - 3).sum(dim=1, keepdim=True) / 75**0.5
    y = torch.cat([signal + 0.5 * randn(2300, 1, seed=1), randn(2300, 1, seed=2)], dim=1)
    got = sparse_readout(x[:300], y[:300], HALVES)
    predicted = x[300:] @ got.weights
    assert float(torch.corrcoef(torch.stack([predicted[:, 0], y[300:, 0]]))[0, 1]) == pytest.approx(0.894, abs=0.02)
    np.testing.assert_allclose(got.weights[:3, 0], 1 / 75**0.5, rtol=0.2)  # of features as they are, not scaled
    assert 3 <= got.n_units[0] <= 20 and got.inner_r[0] == pytest.approx(0.894, abs=0.05)
    assert got.penalty[1] > got.penalty[0] and abs(got.inner_r[1]) < 0.2


def test_the_penalty_is_that_with_the_least_loss_inside():
    x, y = randn(300, 10), randn(300, 4, seed=1) + randn(300, 1)
    tried = [sparse_prediction(x[a], y[a], x[b], y[b]) for a, b in HALVES]
    best = (tried[0].loss + tried[1].loss).argmin(dim=0)
    got = sparse_readout(x, y, HALVES)
    assert got.penalty.tolist() == [tried[0].penalties[i] for i in best]
    assert got.inner_r.tolist() == pytest.approx(
        [float((tried[0].r[i, v].nan_to_num() + tried[1].r[i, v].nan_to_num()) / 2) for v, i in enumerate(best)]
    )


def test_a_unit_that_is_silent_in_one_half_gets_the_penalty_of_the_other():
    """So sparse that it responds in the first half alone; one that is silent in neither chooses as ever."""
    x = randn(300, 10)
    x[150:, 0] = 0
    y = torch.cat([2 * x[:, :1], x[:, 1:2] + randn(300, 1, seed=1)], dim=1)
    got = sparse_readout(x, y, HALVES)
    (fit, held), _ = HALVES
    judged = sparse_prediction(x[fit], y[fit], x[held], y[held])
    assert got.penalty[0] == judged.penalties[int(judged.loss[:, 0].argmin())]
    assert got.n_units[0] == 1 and float(got.weights[0, 0]) == pytest.approx(2 * (1 - float(got.penalty[0])), rel=1e-4)
    both = sum(sparse_prediction(x[a], y[a, 1:], x[b], y[b, 1:]).loss[:, 0] for a, b in HALVES)
    assert got.penalty[1] == judged.penalties[int(both.argmin())]
    steps = torch.cat([torch.zeros(150, 1), torch.ones(150, 1)]).double()  # silent in both halves, though not in all
    assert sparse_readout(x + 5 * steps, steps, HALVES).n_units[0] == 0


def test_a_penalty_that_does_not_converge_in_one_half_is_not_chosen_on_the_other(monkeypatch):
    def stuck(x, y, x_test, y_test, *, penalties):
        found = sparse_prediction(x, y, x_test, y_test, penalties=penalties)
        found.loss[1:, 0] = torch.where(x[0, 0] == first, torch.nan, 0.0)
        return found

    x = randn(300, 5)
    first = x[0, 0]
    monkeypatch.setattr("brainbench.numerics.lasso.sparse_prediction", stuck)
    assert sparse_readout(x, x[:, :1], HALVES).penalty[0] == 1


def test_noise_and_dead_units_are_read_from_nothing():
    x = torch.cat([randn(300, 30), torch.ones(300, 1, dtype=torch.float64)], dim=1)
    y = torch.cat([x[:, :1], torch.zeros(300, 1, dtype=torch.float64)], dim=1)
    got = sparse_readout(x, y, HALVES)
    assert got.n_units.tolist() == [1, 0] and float(got.weights[0, 0]) == pytest.approx(1, abs=0.02)
    assert torch.isfinite(got.weights).all() and got.inner_r[1] == 0
    assert sparse_readout(x, y, ()).weights.abs().sum() == 0 and sparse_readout(x, y, ()).inner_r.isnan().all()


def test_one_unit_that_is_not_finite_is_read_by_nobody_and_makes_no_luck():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(80, 6, generator=generator)
    y = x[:, :3] + 0.05 * torch.randn(80, 3, generator=generator)
    inner = [(torch.arange(40), torch.arange(40, 80)), (torch.arange(40, 80), torch.arange(40))]
    without = sparse_readout(x, y, inner).luck
    broken = torch.cat([x, torch.full((80, 1), torch.nan)], dim=1)
    torch.testing.assert_close(sparse_readout(broken, y, inner).luck, without)
    assert (without < 0.1).all()
