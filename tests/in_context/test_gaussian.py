"""Gaussian neuroids: the bound, the best single step, and a network that training brings towards the bound."""

import pytest
import torch

from brainbench.errors import UsageError
from brainbench.in_context.gaussian import Gaussian, risk, trained
from brainbench.numerics.linear_learners import gradient_step, ridge_weights

PRIOR = Gaussian(n_features=4, noise=0.5)


def test_no_network_is_below_the_bayes_risk_and_training_brings_it_nearer():
    before, network = trained(PRIOR, name="tiny", largest=16, steps=60, seed=0)
    for size in (4, 16):
        found = risk(PRIOR, before, network, size=size, seed=0)
        assert found.network > found.bayes - 3 * found.luck
        assert found.network - found.bayes == pytest.approx(found.excess, abs=4 * found.luck)
        assert 0 < found.low < found.excess < found.untrained - found.bayes


def test_the_closed_forms_are_what_ridge_and_one_step_reach():
    x, y, w = PRIOR.drawn(4000, 6, torch.Generator().manual_seed(0))
    rate = 1 - PRIOR.step_risk(6)
    step = torch.stack([gradient_step(a, b[:, None], rate=rate)[:, 0] for a, b in zip(x, y)])
    ridge = torch.stack([ridge_weights(a, b[:, None], penalty=PRIOR.penalty)[:, 0] for a, b in zip(x, y)])
    of_step, of_ridge = ((found - w).square().sum(dim=1).mean() for found in (step, ridge))
    assert float(of_step) == pytest.approx(PRIOR.step_risk(6), rel=0.05)
    assert float(of_ridge) < float(of_step)


def test_a_prior_without_noise_is_refused():
    with pytest.raises(UsageError, match="noise above 0"):
        Gaussian(n_features=4, noise=0.0)
