"""Selectivity: exact where the readout is known, sklearn's ridge, replicates as refits, and what cannot be fitted."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from brainbench.errors import InputError
from brainbench.numerics.selectivity import GRID, preferred, readouts, selectivity


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_without_noise_it_is_the_projection_of_the_true_weights_whatever_the_length_of_a_prompt():
    x, w, t = normal(200, 6) + 3, normal(6, 4, seed=1), normal(3, 6, seed=2)
    y = x @ w + 17
    found = selectivity(readouts(x, 5 * y), t)
    expected = (t / t.norm(dim=1, keepdim=True)) @ w / y.std(dim=0, correction=0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(selectivity(readouts(x, y), 100 * t), found)
    assert preferred(found).tolist() == expected.argmax(dim=0).tolist()


@pytest.mark.parametrize("n", [40, 8])
def test_weights_and_penalties_are_those_of_sklearn(n):
    x, y = normal(n, 12), 4 * normal(n, 9, seed=1) + 2
    y = y + x @ normal(12, 9, seed=2)
    fitted = readouts(x, y)
    z = ((y - y.mean(dim=0)) / y.std(dim=0, correction=0)).numpy()
    scale = float((x - x.mean(dim=0)).square().sum()) / n
    found = selectivity(fitted, torch.eye(12, dtype=torch.float64))
    for v in range(9):
        errors = {
            g: float(((cross_val_predict(Ridge(alpha=g * scale), x, z[:, v], cv=LeaveOneOut()) - z[:, v]) ** 2).sum())
            for g in GRID
        }
        best = min(errors, key=errors.get)
        assert float(fitted.penalty[v]) == pytest.approx(best * scale)
        theirs = Ridge(alpha=best * scale).fit(x.numpy(), z[:, v]).coef_
        torch.testing.assert_close(found[:, v], torch.from_numpy(theirs), rtol=1e-6, atol=1e-8)


def test_a_stimulus_that_counts_twice_is_one_that_is_there_twice():
    x, y, t = normal(30, 5), normal(30, 2, seed=1), normal(3, 5, seed=2)
    fitted = readouts(x, y)
    count = torch.arange(30) % 3
    rows = torch.repeat_interleave(torch.arange(30), count)
    again = type(fitted)(x=fitted.x[rows], y=fitted.y[rows], penalty=fitted.penalty, cv_r2=fitted.cv_r2)
    torch.testing.assert_close(selectivity(fitted, t, count.float()), selectivity(again, t))
    torch.testing.assert_close(selectivity(fitted, t, torch.ones(30)), selectivity(fitted, t))


def test_a_direction_without_length_is_undefined():
    assert selectivity(readouts(normal(9, 3), normal(9, 2, seed=1)), torch.zeros(1, 3)).isnan().all()


def test_no_neuroid_prefers_what_is_undefined():
    found = torch.tensor([[torch.nan, torch.nan], [-0.1, 0.2], [-0.2, 0.3]])
    assert preferred(found).tolist() == [1, 2]


def test_what_cannot_be_fitted_is_refused():
    x, y = normal(9, 3), normal(9, 2, seed=1)
    for features, responses in ((x[:2], y[:2]), (x * 0 + 1, y), (x, y[:, :1] * 0 + 0.1)):
        with pytest.raises(InputError, match="3 or more stimuli"):
            readouts(features, responses)
