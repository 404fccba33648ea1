import numpy as np
import pytest

from brainbench.numerics.max_statistic import bins_above_zero, signal_p


def test_the_largest_of_many_is_held_against_the_largest_of_many():
    draws = np.random.default_rng(0).normal(size=(20, 4000))
    one, many = signal_p(np.array([2.0]), draws[:1]), signal_p(np.full(20, 2.0), draws)
    assert one == pytest.approx(0.0228, abs=0.006)  # P(z > 2)
    assert many == pytest.approx(1 - (1 - 0.02275) ** 20, abs=0.03)


def test_what_is_not_known_has_no_p():
    draws = np.random.default_rng(0).normal(size=(2, 99))
    gap = np.vstack([draws[:1], np.full((1, 99), np.nan)])
    assert np.isnan(signal_p(np.array([0.1, np.nan]), draws)) and np.isnan(signal_p(np.array([0.1, 0.2]), gap))
    p, _ = bins_above_zero(np.array([9.0, np.nan]), draws)
    assert p[0] == 0.01 and np.isnan(p[1])
