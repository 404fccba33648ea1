"""Making a model's features as few and as noisy as a recording's sites, so that the two compare on equal terms.

Noise grows with the response: over repetitions of one stimulus, SD = a x mean + b. With a and b from the recording,
features s, scaled to the recording's signal variance, get noise N(0, (a s + b)²/T), as the mean of T repetitions has
(Cadieu et al. 2014, PLoS Comput Biol, equations 5-10). All responses are in units of the SD of all single
presentations at all sites around one mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Bool, Float, Int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateNoise:
    """How the noise of one presentation depends on the mean response: slope x mean + intercept.

    `law="sd"`: that is its SD, as in the paper's equations. `"variance"`: its variance, as in the paper's words and
    for Poisson counts; negative values count as 0.
    """

    slope: float
    intercept: float
    law: Literal["sd", "variance"] = "sd"

    def variance(
        self, mean: Float[Tensor, "*s"], repetitions: int | float | Float[Tensor, "*s"]
    ) -> Float[Tensor, "*s"]:
        """Noise variance of the mean of so many repetitions, where the mean response is `mean`."""
        line = self.slope * mean + self.intercept
        return (line.square() if self.law == "sd" else line.clamp_min(0)) / repetitions


MULTI_UNIT = RateNoise(slope=0.14, intercept=0.92)  # V4 and IT multi-unit sites of the paper, with T = 47
SINGLE_UNIT = RateNoise(slope=0.76, intercept=0.71)  # and its isolated single units, with T = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingNoise:
    """What of a recording's variance is noise.

    `total` is the variance of the means over repetitions around the mean over stimuli and sites, `noise` the part of
    it that `law` gives for those means, and `repetitions` the harmonic mean number of repetitions.
    """

    law: RateNoise
    repetitions: int | float
    total: float
    noise: float


def recording_noise(
    values: Float[Tensor, "n r v"], *, law: Literal["sd", "variance"] = "sd", per_site: bool = False
) -> RecordingNoise:
    """The noise of responses to n stimuli in r repetitions at v sites; NaN where there was no presentation.

    At each site a line is fitted by least squares to the SD (n - 1 in the denominator; or the variance) over
    repetitions against the mean over them, for stimuli with two repetitions or more; slopes and intercepts are
    averaged over sites. Sites without two different means have no line and are left out of that average. `per_site`
    takes each site's mean off and divides by the SD of its presentations first: raw counts differ between sites by more
    than between stimuli, and that tells nothing of a stimulus. An SD of few
    repetitions is too small on average, by 5 % at T = 6; a variance is not. Raises InputError where no site has a
    line, or nothing was presented.
    """
    present = torch.isfinite(values)
    if not present.any():
        raise InputError("there is no response")
    values = torch.where(present, values.double(), 0.0)
    if per_site:
        n, size = present.sum(dim=(0, 1)).clamp_min(1), values.abs().amax(dim=(0, 1))
        values = torch.where(present, values - values.sum(dim=(0, 1)) / n, 0.0)
        spread = (values.square().sum(dim=(0, 1)) / n).sqrt()
        present = present & (spread > 1e-12 * size)  # a site that always says the same has no unit to be measured in
        values = torch.where(present, values / spread, 0.0)
    count = present.sum(dim=1).double()
    centre = values.sum() / present.sum()
    unit = torch.where(present, values - centre, 0.0).square().sum().div(present.sum()).sqrt()
    values = values / unit
    mean = values.sum(dim=1) / count.clamp_min(1)
    squares = torch.where(present, values - mean[:, None], 0.0).square().sum(dim=1)
    variance = squares / (count - 1).clamp_min(1)
    slope, intercept = _lines(mean, variance.sqrt() if law == "sd" else variance, count >= 2)
    fitted = torch.isfinite(slope)
    if not fitted.any():
        raise InputError("no site has repetitions of stimuli that it responds to differently: no noise can be fitted")
    model = RateNoise(slope=float(slope[fitted].mean()), intercept=float(intercept[fitted].mean()), law=law)
    shown = count > 0
    means, repetitions = mean[shown], count[shown]
    return RecordingNoise(
        law=model,
        repetitions=float(1 / (1 / repetitions).mean()),
        total=float((means - centre / unit).square().mean()),
        noise=float(model.variance(means, repetitions).mean()),
    )


def noise_matched(
    features: Float[Tensor, "n p"], noise: RecordingNoise, *, generator: torch.Generator
) -> Float[Tensor, "n p"]:
    """Features with the signal variance and the noise of a recording, float64.

    They are scaled, not shifted, so that their variance around the mean over stimuli and units is `total - noise`,
    and then each entry s gets noise of variance law.variance(s, repetitions). The generator is the CPU's, so every
    device gets the same noise. Raises InputError where the features are all the same number, or the noise is all of
    the recording's variance.
    """
    signal = noise.total - noise.noise
    if not signal > 0:
        raise InputError(f"noise {noise.noise:.4g} leaves no signal in a total variance of {noise.total:.4g}")
    spread = features.double().var(correction=0)
    if not spread > 0:
        raise InputError("features are all the same number, or not finite: they cannot be scaled to a variance")
    scaled = features.double() * (signal / spread).sqrt()
    drawn = torch.randn(scaled.shape, dtype=torch.float64, generator=generator).to(scaled.device)
    return scaled + noise.law.variance(scaled, noise.repetitions).sqrt() * drawn


def as_measured(
    features: Float[Tensor, "n p"], noise: RecordingNoise, n_units: int, *, seed: int
) -> Float[Tensor, "n u"]:
    """As many random units as there are sites, each around its mean, under the noise of the recording's means.

    For noise that was fitted `per_site`: units, like sites, differ in what they respond to alone. Rows are stimuli in
    an order that belongs to them, since noise is drawn row by row. Raises as `random_units` and `noise_matched` do.
    """
    drawn = random_units(features.shape[1], n_units, n_draws=1, seed=seed)[0].to(features.device)
    x = features[:, drawn].double()
    return noise_matched(x - x.mean(dim=0), noise, generator=torch.Generator().manual_seed(seed))


def random_units(n_units: int, n_wanted: int, *, n_draws: int = 10, seed: int) -> Int[Tensor, "b k"]:
    """Columns of each random subset of a layer's units, as many as there are sites; no unit twice in a draw.

    Raises UsageError where the layer has fewer units than are wanted.
    """
    if not 0 < n_wanted <= n_units:
        raise UsageError(f"{n_wanted} units wanted of {n_units}")
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(n_units, generator=generator)[:n_wanted] for _ in range(n_draws)])


def _lines(
    x: Float[Tensor, "n v"], y: Float[Tensor, "n v"], usable: Bool[Tensor, "n v"]
) -> tuple[Float[Tensor, " v"], Float[Tensor, " v"]]:
    """Least-squares slope and intercept of y on x for each column over its usable rows; NaN where x does not vary."""
    count = usable.sum(dim=0).clamp_min(1)
    mean_x, mean_y = (torch.where(usable, side, 0.0).sum(dim=0) / count for side in (x, y))
    dx = torch.where(usable, x - mean_x, 0.0)
    power = dx.square().sum(dim=0)
    varies = power > 1e-24 * torch.where(usable, x, 0.0).square().sum(dim=0)  # else the means differ by rounding
    slope = torch.where(varies, (dx * (y - mean_y)).sum(dim=0) / power, torch.nan)
    return slope, mean_y - slope * mean_x
