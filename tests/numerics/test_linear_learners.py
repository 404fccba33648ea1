"""Learners in closed form: the identities that hold exactly, and the Bayes risk that is measured."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

from brainbench.errors import UsageError
from brainbench.numerics import linear_learners as ll


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_with_orthonormal_stimuli_one_step_is_least_squares_and_ridge_shrinks_by_n_over_n_plus_penalty():
    n, e = 40, 6
    x = torch.linalg.qr(normal(n, e)).Q * n**0.5
    y = normal(n, 3, seed=1)
    ols = torch.linalg.lstsq(x, y).solution
    torch.testing.assert_close(ll.gradient_step(x, y, rate=1.0), ols)
    torch.testing.assert_close(ll.ridge_weights(x, y, penalty=7.0), ols * n / (n + 7.0))


@pytest.mark.parametrize("n", [30, 4])
def test_without_a_penalty_it_is_least_squares_or_the_interpolation_of_least_norm(n):
    x, y = normal(n, 9), normal(n, 2, seed=1)
    expected = torch.from_numpy(np.linalg.lstsq(x.numpy(), y.numpy())[0])
    torch.testing.assert_close(ll.ridge_weights(x, y, penalty=0.0), expected)
    torch.testing.assert_close(ll.ridge_weights(x, y, penalty=1e-9), expected, rtol=1e-6, atol=1e-6)
    if n < 9:
        torch.testing.assert_close(x @ expected, y)


def test_ridge_is_sklearns():
    x, y = normal(25, 7), normal(25, 4, seed=1)
    theirs = Ridge(alpha=2.5, fit_intercept=False).fit(x.numpy(), y.numpy()).coef_.T
    torch.testing.assert_close(ll.ridge_weights(x, y, penalty=2.5), torch.from_numpy(theirs))


def test_the_posterior_under_an_isotropic_prior_is_ridge_with_the_ratio_of_variances():
    x, y = normal(15, 6), normal(15, 2, seed=1)
    prior = {"mean": torch.zeros(6, dtype=torch.float64), "covariance": 0.8 * torch.eye(6, dtype=torch.float64)}
    ours = ll.posterior_weights(x, y, noise=0.25, **prior)
    torch.testing.assert_close(ours, ll.ridge_weights(x, y, penalty=0.25 / 0.8))


def test_the_posterior_is_that_of_the_joint_gaussian():
    """Brute force: conditioning the joint covariance of (w, y)."""
    x, y, mean = normal(5, 3), normal(5, 2, seed=1), normal(3, seed=2)
    root = normal(3, 3, seed=3)
    c = root @ root.T
    joint = torch.zeros(8, 8, dtype=torch.float64)
    joint[:3, :3], joint[:3, 3:], joint[3:, :3] = c, c @ x.T, x @ c
    joint[3:, 3:] = x @ c @ x.T + 0.5 * torch.eye(5, dtype=torch.float64)
    precision = torch.linalg.inv(joint)
    within = torch.linalg.inv(precision[:3, :3])
    shift = -within @ precision[:3, 3:] @ (y - (x @ mean)[:, None])
    torch.testing.assert_close(ll.posterior_weights(x, y, mean=mean, covariance=c, noise=0.5), mean[:, None] + shift)
    torch.testing.assert_close(ll.posterior_covariance(x, covariance=c, noise=0.5), within)


def test_the_risk_is_what_is_measured():
    """d = 6, n = 15, σ = .5, τ = 1: the trace formula against 20,000 draws of weights and noise."""
    x = normal(15, 6, seed=5)
    w = normal(6, 20_000, seed=6)
    y = x @ w + 0.5 * normal(15, 20_000, seed=7)
    errors = (ll.ridge_weights(x, y, penalty=0.25) - w).square().sum(dim=0)
    risk = ll.bayes_risk(x, covariance=torch.eye(6, dtype=torch.float64), noise=0.25)
    assert abs(float(errors.mean()) - risk) < 4 * float(errors.std()) / 20_000**0.5
    direct = 0.25 * torch.linalg.inv(x.T @ x + 0.25 * torch.eye(6, dtype=torch.float64)).trace()
    assert risk == pytest.approx(float(direct), rel=1e-10)
    for penalty in (0.05, 1.0):  # no other penalty does better
        worse = (ll.ridge_weights(x, y, penalty=penalty) - w).square().sum(dim=0)
        assert worse.mean() > errors.mean()


def test_the_risk_over_random_stimuli_is_the_known_one():
    """d = 6, n = 15, σ = .5, τ = 1, Gaussian stimuli: .1767 on average over them, .1764 ± .0006 when measured."""
    x = normal(6000, 15, 6, seed=8)
    w, noise = normal(6000, 6, 1, seed=9), 0.5 * normal(6000, 15, 1, seed=10)
    prior = torch.eye(6, dtype=torch.float64)
    risks = torch.tensor([ll.bayes_risk(part, covariance=prior, noise=0.25) for part in x])
    errors = torch.tensor(
        [float((ll.ridge_weights(a, a @ b + c, penalty=0.25) - b).square().sum()) for a, b, c in zip(x, w, noise)]
    )
    for found in (risks, errors):
        assert abs(float(found.mean()) - 0.1767) < 4 * float(found.std()) / 6000**0.5
    assert float(risks.std()) / 6000**0.5 < 0.0007  # the formula is told from another that is 2 % off


def test_neighbours_are_sklearns_and_all_of_them_are_the_mean():
    x, y, query = normal(20, 4), normal(20, 3, seed=1), normal(6, 4, seed=2)
    theirs = KNeighborsRegressor(5).fit(x.numpy(), y.numpy()).predict(query.numpy())
    torch.testing.assert_close(ll.nearest(x, y, query, k=5), torch.from_numpy(theirs))
    torch.testing.assert_close(ll.nearest(x, y, query, k=20), y.mean(dim=0).expand(6, 3))


def test_a_pair_of_softmax_heads_is_a_debiased_step_up_to_the_square_of_the_sharpness():
    x, y, query = normal(30, 5), normal(30, 1, seed=1) + 3, normal(8, 5, seed=2)
    step = query @ x.T @ (y - y.mean(dim=0)) * 0.7 / 30
    off = [float((ll.softmax_pair(x, y, query, sharpness=s, rate=0.7) - step).abs().max()) for s in (0.1, 0.01, 0.001)]
    assert (
        off[0] < 0.5
        and off[1] == pytest.approx(off[0] / 100, rel=0.25)
        and off[2] == pytest.approx(off[1] / 100, rel=0.1)
    )
    single = (0.001 * query @ x.T).softmax(dim=1) @ y  # one head is biased by the mean response
    torch.testing.assert_close(single, y.mean(dim=0) + 0.001 * step / 0.7, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_softmax_pair_is_off_by_is_the_fourth_joint_cumulant(seed):
    """With logits s, off = rate · sharpness² κ(y, s, s, s) / 6: errors of 3.7e-6, 3.7e-4 and, with the next term seen,
    3.6e-2 at sharpness .001, .01 and .1 for a rate that makes the cumulant's factor 3.7."""
    x, y, query = normal(30, 3, seed=seed) * 0.3, normal(30, 1, seed=seed + 10) + 3, normal(1, 3, seed=seed + 20)
    s, z = (query @ x.T)[0], y[:, 0] - y.mean()
    s = s - s.mean()
    cumulant = float((z * s**3).mean() - 3 * (z * s).mean() * s.square().mean())
    rate = 3.7 * 6 / abs(cumulant)
    step = rate / 30 * query @ x.T @ (y - y.mean(dim=0))
    off = [float(ll.softmax_pair(x, y, query, sharpness=w, rate=rate) - step) for w in (0.001, 0.01, 0.1)]
    assert off[0] == pytest.approx(rate * 0.001**2 * cumulant / 6, rel=1e-3)
    assert abs(off[0]) == pytest.approx(3.7e-6, rel=1e-3)
    assert abs(off[1]) == pytest.approx(3.7e-4, rel=1e-2)
    assert abs(off[2]) == pytest.approx(3.6e-2, rel=0.1)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: ll.ridge_weights(x, y, penalty=-1.0),
        lambda x, y: ll.nearest(x, y, x, k=0),
        lambda x, y: ll.nearest(x, y, x, k=4),
        lambda x, y: ll.softmax_pair(x, y, x, sharpness=0.0, rate=1.0),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(UsageError):
        call(normal(3, 2), normal(3, 1))
