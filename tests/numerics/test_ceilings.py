import numpy as np
import pytest
import torch

from brainbench.numerics import ceilings
from brainbench.numerics.ceilings import noise_ceiling, spearman_brown, split_half
from brainbench.numerics.correlation import pearson


def trials(n, r, v, explainable, seed=0):
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(n, 1, v, generator=generator) * explainable**0.5
    return signal + torch.randn(n, r, v, generator=generator) * (1 - explainable) ** 0.5


def generator():
    return torch.Generator().manual_seed(1)


def test_spearman_brown_closed_form():
    assert float(spearman_brown(torch.tensor(0.5), 2)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("m", [2, 3, 4, 7])
@pytest.mark.parametrize("rho", [0.1, 0.4])
def test_split_half_is_the_reliability_of_the_mean_of_m(m, rho):
    """Not that of a single presentation, rho: the mean of m has m rho / (1 + (m - 1) rho)."""
    estimate = split_half(trials(4000, m, 12, rho), n_splits=20, generator=generator()).mean()
    assert float(estimate) == pytest.approx(m * rho / (1 + (m - 1) * rho), abs=0.012)


def test_unequal_repetitions_and_single_ones():
    values = trials(3000, 8, 10, 0.3)
    values[:1000, 4:] = torch.nan  # 1000 stimuli with 4 repetitions
    both = split_half(values, n_splits=10, generator=generator()).mean()
    assert float(both) == pytest.approx(0.3 / (0.3 + 0.7 * (1 / 4 + 2 / 8) / 3), abs=0.012)
    values[2000:, 1:] = torch.nan  # 1000 with one: no halves, but their noise is in what is scored
    three = split_half(values, n_splits=10, generator=generator()).mean()
    assert float(three) == pytest.approx(0.3 / (0.3 + 0.7 * (1 / 4 + 1 / 8 + 1) / 3), abs=0.012)


@pytest.mark.parametrize(("m", "k"), [(2, 2), (3, 9 / 4), (7, 49 / 24)])
def test_the_step_from_half_to_whole_is_exact_to_float64(monkeypatch, m, k):
    steps = []
    monkeypatch.setattr(ceilings, "spearman_brown", lambda rho, step: steps.append(step) or rho)
    split_half(trials(1001, m, 2, 0.3).double(), n_splits=1, generator=generator())
    assert steps[0].tolist() == pytest.approx([k, k], rel=1e-13)


def test_halves_that_contradict_each_other_are_unreliable_not_perfect():
    """Spearman-Brown has a pole at -1 / (k - 1), and is positive beyond it."""
    values = trials(60, 3, 1, 0.5)
    values[:, 1] = -values[:, 0]
    values[:, 2] = 0
    assert float(split_half(values, n_splits=10, generator=generator())) < 0


def test_no_repetition_is_nan():
    assert torch.isnan(split_half(trials(50, 1, 3, 0.5), n_splits=3, generator=generator())).all()


def test_a_constant_neuroid_is_nan():
    values = trials(50, 4, 2, 0.5)
    values[:, :, 1] = 3.0
    assert torch.isnan(split_half(values, n_splits=3, generator=generator())).tolist() == [False, True]


def test_noise_has_a_ceiling_near_zero_on_average():
    assert abs(float(split_half(trials(300, 4, 200, 0.0), n_splits=10, generator=generator()).mean())) < 0.02


def test_noise_ceiling_by_hand():
    """Two stimuli, repetitions (1, 3) and (5, 7): noise variance 2, total variance 5, so signal 3."""
    values = torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]]])
    snr, ceiling = noise_ceiling(values)
    assert snr.item() == pytest.approx((3 / 2) ** 0.5)
    assert ceiling.item() == pytest.approx(1.5 / (1.5 + 0.5))


def test_noise_ceiling_of_unequal_repetitions_by_hand():
    """Repetitions (1, 3), (5, 7) and 8 alone, which weighs as much as both of another: noise 2, 1/m 1/2, 1/2 and 1."""
    values = torch.tensor([[[1.0], [3.0]], [[5.0], [7.0]], [[8.0], [torch.nan]]])
    signal = np.var([1, 3, 5, 7, 8, 8]) - 2
    snr, ceiling = noise_ceiling(values)
    assert snr.item() == pytest.approx((signal / 2) ** 0.5)
    assert ceiling.item() == pytest.approx(signal / (signal + 2 * (0.5 + 0.5 + 1) / 3))


def test_a_stimulus_that_is_shown_a_hundred_times_has_no_hundredfold_say_in_the_ceiling():
    """A blank, say: signal and noise of variance 1, four repetitions of the others."""
    generator = torch.Generator().manual_seed(3)
    signal = torch.randn(40, 1, 2000, generator=generator)
    values = signal + torch.randn(40, 100, 2000, generator=generator)
    values[1:, 4:] = torch.nan
    assert noise_ceiling(values)[1].mean().item() == pytest.approx(0.804, abs=0.02)  # 1 / (1 + mean of 1/m)


def test_a_ratio_of_1_is_a_ceiling_of_three_quarters_for_three_repetitions():
    """[VER] s = 1, m = 3: s² / (s² + 1/3) = 0.75, and the signal correlates with the mean by its root."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(20000, 1, 1, generator=generator)
    values = signal + torch.randn(20000, 3, 1, generator=generator)
    snr, ceiling = noise_ceiling(values)
    assert snr.item() == pytest.approx(1, abs=0.02)
    assert ceiling.item() == pytest.approx(0.75, abs=0.01)
    r = float(pearson(signal[:, 0], values.mean(dim=1)))
    assert r == pytest.approx(ceiling.item() ** 0.5, abs=0.01) and r == pytest.approx(0.866, abs=0.005)


def test_noise_ceiling_is_that_of_halves():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3000, 1, 4, generator=generator) + 1.5 * torch.randn(3000, 4, 4, generator=generator)
    values[::3, 3] = torch.nan
    by_halves = split_half(values, n_splits=20, generator=generator)
    torch.testing.assert_close(noise_ceiling(values)[1], by_halves, atol=0.03, rtol=0)


def test_noise_ceiling_of_many_neuroids_is_that_of_each():
    """More than are taken at a time: in order, none lost."""
    values = torch.randn(6, 3, 140, generator=torch.Generator().manual_seed(2))
    ratio, share = noise_ceiling(values)
    for at in (0, 63, 64, 127, 128, 139):
        one = noise_ceiling(values[:, :, at : at + 1])
        torch.testing.assert_close((ratio[at : at + 1], share[at : at + 1]), one)
    assert ratio.shape == share.shape == (140,)


def test_noise_ceiling_is_missing_without_repetitions_and_0_without_signal():
    single = torch.tensor([[[1.0, 2.0], [torch.nan, 2.0]], [[2.0, 2.0], [torch.nan, 2.0]]])
    snr, ceiling = noise_ceiling(single)
    assert torch.isnan(snr).all() and torch.isnan(ceiling).all()  # one repetition, and a constant
    opposed = torch.tensor([[[1.0], [-1.0]], [[-1.0], [1.0]]])
    assert [x.item() for x in noise_ceiling(opposed)] == [0.0, 0.0]
