import numpy as np
import pytest
import torch

from brainbench.errors import InputError, UsageError
from brainbench.numerics.noise_matching import (
    MULTI_UNIT,
    SINGLE_UNIT,
    RateNoise,
    RecordingNoise,
    as_measured,
    noise_matched,
    random_units,
    recording_noise,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def recording(n=300, r=40, v=30, slope=0.3, intercept=0.5, law="sd", seed=0):
    """Repetitions whose noise grows with the response as told, in units of their own; not yet of variance 1."""
    g = generator(seed)
    signal = 4 + torch.randn(n, 1, v, dtype=torch.float64, generator=g)
    line = slope * signal + intercept
    sd = line if law == "sd" else line.sqrt()
    return signal + sd * torch.randn(n, r, v, dtype=torch.float64, generator=g)


def reference(values, law):
    """The paper's equations 5 to 8 with loops and numpy's line fit, over the presentations there were."""
    values = values.double().numpy()
    values = values / np.nanstd(values)
    slopes, intercepts = [], []
    for site in range(values.shape[2]):
        cells = [cell[np.isfinite(cell)] for cell in values[:, :, site]]
        cells = [cell for cell in cells if len(cell) >= 2]
        spread = [cell.std(ddof=1) if law == "sd" else cell.var(ddof=1) for cell in cells]
        slope, intercept = np.polyfit([cell.mean() for cell in cells], spread, 1)
        slopes.append(slope)
        intercepts.append(intercept)
    slope, intercept = np.mean(slopes), np.mean(intercepts)
    shown = np.isfinite(values).any(axis=1)
    counts = np.isfinite(values).sum(axis=1)[shown]
    means = np.array([np.nanmean(values[i, :, j]) for i, j in zip(*np.nonzero(shown))])
    total = np.mean((means - np.nanmean(values)) ** 2)
    line = slope * means + intercept
    noise = np.mean((line**2 if law == "sd" else np.maximum(line, 0)) / counts)
    return slope, intercept, total, noise, len(counts) / np.sum(1 / counts)


@pytest.mark.parametrize("law", ["sd", "variance"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fit_equals_the_equations_written_out_with_missing_repetitions(law, dtype):
    values = recording(n=20, r=6, v=4)
    values[torch.rand(values.shape, generator=generator(5)) < 0.25] = torch.nan
    values[3, :, 1] = torch.nan  # never shown
    values[4, 1:, 2], values[4, 0, 2] = torch.nan, 3.0  # shown once
    ours = recording_noise(values.to(dtype), law=law)
    slope, intercept, total, noise, repetitions = reference(values.to(dtype), law)
    assert ours.law.law == law
    found = (ours.law.slope, ours.law.intercept, ours.total, ours.noise, ours.repetitions)
    np.testing.assert_allclose(found, (slope, intercept, total, noise, repetitions), rtol=1e-6)


@pytest.mark.parametrize("law", ["sd", "variance"])
def test_fit_finds_the_noise_that_was_put_in(law):
    """Slope and intercept of a line between quantities that both scale as the responses do, or as their square."""
    values = recording(n=400, r=100, v=60, slope=0.3, intercept=0.5, law=law)
    unit = float(values.std(correction=0))
    found = recording_noise(values, law=law)
    scale = 1 if law == "sd" else unit
    assert found.law.slope == pytest.approx(0.3 / scale, rel=0.03)
    assert found.law.intercept == pytest.approx(0.5 / scale / unit, rel=0.08)
    clean = 1 / unit**2  # the signal has variance 1
    assert found.total - found.noise == pytest.approx(clean, rel=0.04)


def test_units_of_the_responses_do_not_matter():
    values = recording(n=30, r=5, v=4)
    one, other = recording_noise(values), recording_noise(values * 37)
    assert other.law.slope == pytest.approx(one.law.slope) and other.law.intercept == pytest.approx(one.law.intercept)
    assert other.total == pytest.approx(one.total) and other.noise == pytest.approx(one.noise)


def test_silent_sites_have_no_line_and_no_say():
    values = recording(n=30, r=5, v=4)
    slopes = recording_noise(torch.cat([values, torch.zeros(30, 5, 2, dtype=torch.float64)], dim=2)).law.slope
    assert slopes == pytest.approx(recording_noise(values).law.slope)  # an SD over a mean: no units
    steady = torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.2, 0.2]], dtype=torch.float64).repeat(5, 1)[:, :, None]
    with pytest.raises(InputError, match="no site"):  # its means differ by rounding, its SDs in earnest
        recording_noise(steady)
    with pytest.raises(InputError, match="no site"):
        recording_noise(values[:, :1])
    with pytest.raises(InputError, match="no site"):
        recording_noise(torch.ones(6, 4, 2))
    with pytest.raises(InputError, match="no response"):
        recording_noise(torch.full((3, 2, 2), torch.nan))


def test_variance_of_the_papers_noise_is_the_closed_form():
    """(a² var s + (a mean s + b)²) / T = 0.0184255 for multi-unit sites, T = 47, s of mean 0 and variance 1."""
    assert (MULTI_UNIT.slope, MULTI_UNIT.intercept, MULTI_UNIT.law) == (0.14, 0.92, "sd")
    assert (SINGLE_UNIT.slope, SINGLE_UNIT.intercept, SINGLE_UNIT.law) == (0.76, 0.71, "sd")
    s = torch.randn(1000, 1000, dtype=torch.float64, generator=generator())
    s = (s - s.mean()) / s.std(correction=0)
    assert float(MULTI_UNIT.variance(s, 47).mean()) == pytest.approx(0.0184255, abs=5e-8)
    assert float(SINGLE_UNIT.variance(s + 2, 6).mean()) == pytest.approx((0.76**2 + 2.23**2) / 6, rel=1e-9)
    poisson = RateNoise(slope=1.0, intercept=0.0, law="variance")
    np.testing.assert_allclose(poisson.variance(torch.tensor([3.0, -1.0]), 2), [1.5, 0.0])


def test_injected_noise_has_the_variance_it_should_and_the_whole_that_of_the_recording():
    noise = RecordingNoise(law=MULTI_UNIT, repetitions=47, total=0.2, noise=0.02)
    features = 5 * torch.randn(2000, 300, dtype=torch.float64, generator=generator(1)) - 3
    before = features.clone()
    out = noise_matched(features, noise, generator=generator(2))
    scaled = features * (0.18 / features.var(correction=0)).sqrt()
    expected = (0.14**2 * 0.18 + (0.14 * scaled.mean() + 0.92) ** 2) / 47
    injected = out - scaled
    assert float(injected.square().mean()) == pytest.approx(float(expected), rel=0.01)
    assert abs(float(injected.mean())) < 1e-3
    assert float(out.var(correction=0)) == pytest.approx(0.18 + float(expected), rel=0.01)
    high = scaled > scaled.median()  # the noise grows with the feature
    ratio = injected[high].square().mean() / injected[~high].square().mean()
    wanted = MULTI_UNIT.variance(scaled[high], 47).mean() / MULTI_UNIT.variance(scaled[~high], 47).mean()
    assert wanted > 1.15 and float(ratio) == pytest.approx(float(wanted), rel=0.02)
    assert torch.equal(features, before)
    assert torch.equal(out, noise_matched(features, noise, generator=generator(2)))


def test_units_of_the_features_do_not_matter():
    noise = RecordingNoise(law=MULTI_UNIT, repetitions=47, total=0.2, noise=0.02)
    features = torch.randn(20, 10, generator=generator(1))
    one, other = (noise_matched(f, noise, generator=generator(2)) for f in (features, 8 * features))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_recording_of_noise_alone_and_flat_features_are_refused():
    noise = RecordingNoise(law=MULTI_UNIT, repetitions=47, total=0.02, noise=0.02)
    with pytest.raises(InputError, match="no signal"):
        noise_matched(torch.randn(5, 3, generator=generator()), noise, generator=generator())
    fine = RecordingNoise(law=MULTI_UNIT, repetitions=47, total=0.2, noise=0.02)
    with pytest.raises(InputError, match="same number"):
        noise_matched(torch.ones(5, 3), fine, generator=generator())


def test_random_units_are_fixed_by_the_seed_and_never_twice_in_a_draw():
    columns = random_units(500, 80, seed=2)
    assert columns.shape == (10, 80) and columns.min() >= 0 and columns.max() < 500
    assert all(len(draw.unique()) == 80 for draw in columns)
    assert len({tuple(draw.tolist()) for draw in columns}) == 10
    assert torch.equal(columns, random_units(500, 80, seed=2))
    assert not torch.equal(columns, random_units(500, 80, seed=3))
    assert sorted(random_units(7, 7, n_draws=1, seed=0)[0].tolist()) == list(range(7))
    for wanted in (0, 501):
        with pytest.raises(UsageError, match="wanted of 500"):
            random_units(500, wanted, seed=0)


@pytest.mark.parametrize("law", ["sd", "variance"])
def test_sites_of_different_rates_are_standardised_first(law):
    """Raw rates differ between sites by ten times what stimuli move them: the noise must be that of one site."""
    values = recording(n=200, r=40, v=20, law=law) + 50 * torch.rand(20, dtype=torch.float64, generator=generator(1))
    values = values * (1 + 3 * torch.rand(20, dtype=torch.float64, generator=generator(2)))
    z = (values - values.mean(dim=(0, 1))) / values.std(dim=(0, 1), correction=0)
    repeated = float(z.var(dim=1).mean() / 40)
    found = recording_noise(values, law=law, per_site=True)
    assert found.noise == pytest.approx(repeated, rel=0.03) and found.total == pytest.approx(
        float(z.mean(dim=1).square().mean())
    )
    assert recording_noise(values, law=law).noise < 0.5 * repeated
    for always in (3.0, 0.1, 1 / 3):  # the mean of the latter two is off by rounding
        with_dead = torch.cat([values, torch.full_like(values[:, :, :1], always)], dim=2)
        same = recording_noise(with_dead, law=law, per_site=True)
        assert (same.law.slope, same.noise, same.total) == pytest.approx((found.law.slope, found.noise, found.total))


def test_units_as_measured_are_drawn_and_centred():
    noise = recording_noise(recording(), per_site=True)
    x = 100 + 7 * torch.randn(400, 60, dtype=torch.float64, generator=generator(3))
    got = as_measured(x, noise, 30, seed=4)
    assert got.shape == (400, 30) and abs(float(got.mean())) < 0.05
    assert float(got.var(correction=0)) == pytest.approx(noise.total, rel=0.1)
    best = torch.corrcoef(torch.cat([x, got], dim=1).T)[:60, 60:].amax(dim=0)
    assert (best > 0.9).all()  # each is one of the layer's units
    assert torch.equal(got, as_measured(x, noise, 30, seed=4)) and not torch.equal(
        got, as_measured(x, noise, 30, seed=5)
    )
