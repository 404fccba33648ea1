import numpy as np
import pytest
import sklearn.decomposition
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import brainbench.numerics.spectrum as spectrum_module
from brainbench.errors import InputError, UsageError
from brainbench.numerics.representation import Representation
from brainbench.numerics.spectrum import (
    alpha_req,
    cross_validated_spectrum,
    eigenvalues,
    eigenvalues_of_features,
    participation_ratio,
    rank,
    rankme,
)


def spectrum(*values):
    return torch.tensor(values, dtype=torch.float64)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n,p", [(40, 12), (12, 40)])
def test_eigenvalues_are_those_of_the_covariance_on_both_sides_of_n_equal_p(n, p):
    """scikit-learn 1.9.1; it divides by n - 1."""
    x = randn(n, p) + 3
    theirs = sklearn.decomposition.PCA().fit(x.numpy()).explained_variance_ * (n - 1) / n
    ours = eigenvalues(x @ x.T)
    assert len(ours) == min(n - 1, p)
    np.testing.assert_allclose(ours, theirs[: len(ours)], rtol=1e-10)
    kept = Representation.from_features(x, [str(i) for i in range(n)]).eigh(torch.arange(n)).values
    np.testing.assert_allclose(ours, kept / n, rtol=1e-9)


def test_the_number_of_units_bounds_the_rank_of_a_gram_multiplied_in_float32():
    x = randn(40, 6).float() + 10
    assert len(eigenvalues(x @ x.T)) > 6
    np.testing.assert_allclose(
        eigenvalues(x @ x.T, n_units=6), torch.linalg.eigvalsh(x.T.cov(correction=0)).flip(0), rtol=1e-3
    )


def test_a_layer_without_variance_has_no_spectrum():
    """Centring leaves rounding of a constant layer, which is not a dimension."""
    x = 1e4 / 3 + 1e-12 * randn(20, 7)  # alike to the last digit
    assert len(x.unique()) > 1
    values = eigenvalues(x @ x.T)
    assert rank(values) == 0
    assert np.isnan(rankme(values, on="covariance")) and np.isnan(participation_ratio(values))
    assert np.isnan(alpha_req(values).exponent)


@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_equal_eigenvalues_count_themselves(d):
    values = torch.full((d,), 0.3, dtype=torch.float64)
    for count in (rankme(values, on="covariance"), rankme(values, on="singular"), participation_ratio(values)):
        assert count == pytest.approx(d, rel=1e-12)


def test_closed_forms():
    assert rankme(spectrum(0.8, 0.2), on="covariance") == pytest.approx(1.64938, abs=5e-6)
    assert rankme(spectrum(4, 1), on="singular") == pytest.approx(1.88988, abs=5e-6)  # singular values 2:1
    assert rankme(spectrum(0.75, 0.25), on="covariance") == pytest.approx(1.75477, abs=5e-6)
    assert participation_ratio(spectrum(3, 1)) == pytest.approx(1.6, rel=1e-12)
    assert rankme(spectrum(5, 0, 0), on="covariance") == pytest.approx(1, rel=1e-12)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=12), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=50)
def test_bounds_and_scale(values, scale):
    values = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    pr, cov, sing = participation_ratio(values), rankme(values, on="covariance"), rankme(values, on="singular")
    slack = 1 + 1e-9
    assert pr * slack >= 1 and pr <= cov * slack and cov <= sing * slack and sing <= rank(values) * slack
    assert rankme(values * scale, on="covariance") == pytest.approx(cov, rel=1e-9)
    assert participation_ratio(values * scale) == pytest.approx(pr, rel=1e-9)


def test_rotation_offset_and_scale_of_the_features_leave_the_spectrum_alone():
    x = randn(30, 8) * torch.arange(1, 9)
    moved = 5 * x @ torch.linalg.qr(randn(8, 8, seed=3))[0] + 2
    base, other = eigenvalues(x @ x.T), eigenvalues(moved @ moved.T)
    np.testing.assert_allclose(other, 25 * base, rtol=1e-9)


def test_an_exact_power_law_has_its_exponent():
    fit = alpha_req(torch.arange(1, 401, dtype=torch.float64) ** -1.3)
    assert fit.exponent == pytest.approx(1.3, rel=1e-10)
    assert fit.r2 == pytest.approx(1, abs=1e-12)
    assert fit.n_points == 190  # the 11th to the 200th: half of the rank
    assert fit.head == pytest.approx(1.3, rel=1e-9) and fit.tail == pytest.approx(1.3, rel=1e-9)
    assert alpha_req(torch.arange(1, 3001, dtype=torch.float64) ** -0.8).n_points == 490  # 11..500


def test_the_fit_starts_at_the_eleventh_and_shows_a_bend():
    """A head of its own does not count; a knee at 100 shows in head and tail."""
    i = torch.arange(1, 1001, dtype=torch.float64)
    values = i**-1.0
    values[:10] *= 100
    assert alpha_req(values).exponent == pytest.approx(1, rel=1e-9)
    bent = torch.where(i < 74.2, i**-0.5, 74.2**1.5 * i**-2.0)  # 74.2: the middle of 11..500 in ln i
    fit = alpha_req(bent)
    assert fit.head == pytest.approx(0.5, abs=1e-6) and fit.tail == pytest.approx(2, abs=1e-6)
    assert 0.9 < fit.r2 < 0.99  # which r² hardly notices


def test_too_few_eigenvalues_have_no_exponent():
    """Rank 25: only the 11th and 12th are in range, and any line fits two points."""
    assert np.isnan(alpha_req(torch.arange(1, 26, dtype=torch.float64) ** -1.0).exponent)
    assert alpha_req(torch.arange(1, 27, dtype=torch.float64) ** -1.0).n_points == 3
    flat = alpha_req(torch.ones(100, dtype=torch.float64))
    assert flat.exponent == 0 and np.isnan(flat.r2)


def test_wrong_calls_are_named():
    with pytest.raises(UsageError, match="entropy"):
        rankme(spectrum(1, 1), on="entropy")
    with pytest.raises(UsageError, match="from 0"):
        alpha_req(spectrum(1, 1), first=0)
    with pytest.raises(InputError, match="negative"):
        rankme(spectrum(1, -0.1), on="covariance")
    with pytest.raises(InputError, match="NaN"):
        eigenvalues(torch.full((3, 3), torch.nan))


def recording(n=60, r=4, v=20, noise=1.0, shared=0.0, seed=0):
    """Two signal dimensions of variance 4 and 1; noise of each presentation, some of it shared by the neuroids."""
    latent = randn(n, 2, seed=seed)
    latent = torch.linalg.qr(latent - latent.mean(dim=0))[0] * n**0.5 * torch.tensor([2.0, 1.0])
    axes = torch.linalg.qr(randn(v, 2, seed=seed + 1))[0]
    private, common = randn(n, r, v, seed=seed + 2), randn(n, r, 1, seed=seed + 3)
    return (latent @ axes.T)[:, None] + noise * private + shared * common


def test_without_noise_it_is_the_ordinary_spectrum():
    x = recording(noise=0)
    ours = cross_validated_spectrum(x, n_splits=2, generator=generator())
    np.testing.assert_allclose(ours.values[:2], [4, 1], rtol=1e-9)
    np.testing.assert_allclose(ours.values[2:], 0, atol=1e-9)
    moved = cross_validated_spectrum(x + 100 * randn(20), n_splits=2, generator=generator())
    np.testing.assert_allclose(moved.values, ours.values, atol=1e-8)
    assert (ours.n_stimuli, ours.n_neuroids) == (60, 20)


def test_one_halving_equals_projecting_both_halves_on_the_components_of_each(monkeypatch):
    x = recording(n=15, r=2, v=6)
    a, b = (x[:, j] - x[:, j].mean(dim=0) for j in (0, 1))
    monkeypatch.setattr(spectrum_module, "_halves", lambda *_: (a, b))
    expected = np.zeros(6)
    for own, other in ((a, b), (b, a)):
        axes = np.linalg.svd(own.numpy(), full_matrices=False)[2]
        expected += ((own.numpy() @ axes.T) * (other.numpy() @ axes.T)).mean(axis=0) / 2
    ours = cross_validated_spectrum(x, n_splits=3, generator=generator()).values
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_each_presentation_is_in_one_half_and_halves_differ_by_one_at_most():
    x = torch.eye(5, dtype=torch.float64).repeat(200, 1, 1)  # presentation j is unit vector j
    present = torch.ones(200, 5, dtype=torch.bool)
    present[:100, 4] = False
    a, b = spectrum_module._halves(x * present[..., None], present, generator())
    a, b = ((h - h.min(dim=0).values) > 1e-9 for h in (a, b))
    assert not (a & b).any() and bool(((a | b) == present).all())
    assert set(a[:100].sum(dim=1).tolist()) == {2} and set(a[100:].sum(dim=1).tolist()) == {2, 3}


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_noise_alone_averages_to_zero(shared):
    """Shared noise too: a presentation goes to one half with all of its neuroids."""
    runs = [randn(20, 4, 8, seed=s) + shared * randn(20, 4, 1, seed=1000 + s) for s in range(150)]
    got = torch.stack(
        [cross_validated_spectrum(x, n_splits=3, generator=generator(s)).values for s, x in enumerate(runs)]
    )
    z = got.mean(dim=0) / (got.std(dim=0) / len(runs) ** 0.5)
    assert z.abs().max() < 3.5
    naive = torch.stack([torch.linalg.eigvalsh(x.mean(dim=1).T.cov(correction=0)).max() for x in runs]).mean()
    assert got.mean(dim=0).abs().max() < 0.15 * naive


def test_noise_is_taken_off_the_spectrum():
    """Total signal variance 5, of which centring removes nothing here; the plain spectrum adds noise v/r = 5."""
    runs = torch.stack(
        [cross_validated_spectrum(recording(seed=10 * s), n_splits=4, generator=generator(s)).values for s in range(40)]
    )
    total = runs.sum(dim=1)
    assert abs(total.mean() - 5) < 3.5 * total.std() / 40**0.5
    assert abs(float(runs.mean(dim=0)[0]) - 4) < 0.2 and abs(float(runs.mean(dim=0)[1]) - 1) < 0.15
    assert runs.mean(dim=0)[2:].abs().max() < 0.05
    plain = recording().mean(dim=1)
    assert torch.linalg.eigvalsh(plain.T.cov(correction=0)).sum() > 9


def test_gaps_are_left_out_and_counted():
    x = recording(n=30, r=5, v=6)
    x[:, :, 5] = torch.nan  # never recorded
    x[0, 1:] = torch.nan  # one presentation: no halves
    x[1, 3:, 2] = torch.nan  # two presentations without neuroid 2
    got = cross_validated_spectrum(x, n_splits=3, generator=generator())
    assert (got.n_stimuli, got.n_neuroids) == (29, 5)
    assert torch.isfinite(got.values).all()
    kept = x[1:, :, :5].clone()
    kept[0, 3:] = torch.nan
    same = cross_validated_spectrum(kept, n_splits=3, generator=generator()).values
    np.testing.assert_allclose(got.values, same, rtol=1e-12)


def test_single_presentations_have_no_cross_validated_spectrum():
    assert torch.isnan(cross_validated_spectrum(randn(10, 1, 4), n_splits=2, generator=generator()).values).all()


def test_cross_validated_values_below_zero_are_kept_and_have_no_exponent():
    got = cross_validated_spectrum(randn(30, 2, 40), n_splits=5, generator=generator()).values
    assert (got < 0).any()
    values = torch.arange(1, 101, dtype=torch.float64) ** -1.0
    values[45] *= -1
    fit = alpha_req(values)
    assert np.isnan([fit.exponent, fit.r2, fit.head, fit.tail]).all()


def test_one_stimulus_has_no_spectrum():
    assert eigenvalues(torch.ones(1, 1)).shape == eigenvalues_of_features(torch.ones(1, 3)).shape == (0,)
