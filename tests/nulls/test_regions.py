"""Regions of synthetic brains of which everything is known: how often does a comparison see what is not there?

What is compared is honest: scores are medians over neuroids of correlations over stimuli, replicates resample the
stimuli. The 99.9 % binomial band of 5 % in 300 brains is [.017, .097]. Where a test is on the safe side by construction
only the upper bound is asserted; docs/regions.md has the numbers.
"""

from functools import cache

import numpy as np
import pytest

from brainbench.analysis.comparison import Curve
from brainbench.analysis.regions import compare_regions

pytestmark = pytest.mark.slow

N_BRAINS, N_STIMULI, N_NEUROIDS, N_REPLICATES = 300, 100, 6, 300
DEPTHS = np.arange(1, 9) / 8
BAND = (0.017, 0.097)


def peak(at, width=0.3):
    return np.exp(-(((DEPTHS - at) / width) ** 2) / 2)


# What each layer knows of a region's signal: the correlation of its predictions with it.
FLAT = np.full(8, 0.45)
MIDDLE = 0.25 + 0.2 * peak(0.5)
RISING = 0.25 + 0.2 * DEPTHS


def brain(seed, knows, reliabilities, one_recording=True):
    """Curves of regions: one for each reliability (signal's correlation with responses), read as `knows` says."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI), N_REPLICATES)
    curves = []
    for number, (known, reliability) in enumerate(zip(knows, reliabilities)):
        if not one_recording:
            weights = rng.multinomial(N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI), N_REPLICATES)
        signal, noise = rng.normal(size=(2, N_STIMULI, N_NEUROIDS))
        responses = reliability * signal + np.sqrt(1 - reliability**2) * noise
        junk = rng.normal(size=(N_STIMULI, N_NEUROIDS))
        raw, replicates = [], []
        for share in known:
            junk = 0.8 * junk + 0.6 * rng.normal(size=junk.shape)  # neighbouring layers err alike
            predictions = share * signal + np.sqrt(1 - share**2) * junk
            raw.append(correlations(np.ones((1, N_STIMULI)), predictions, responses)[0])
            replicates.append(correlations(weights, predictions, responses))
        curves.append(curve(number, np.asarray(raw), np.asarray(replicates), reliability, one_recording))
    return curves


def correlations(weights, x, y):
    """(B,): the median over columns of weighted correlations."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    xy, xx, yy, mx, my = (weights @ z for z in (x * y, x * x, y * y, x, y))
    return np.median((xy - mx * my) / np.sqrt((xx - mx**2) * (yy - my**2)), axis=1)


def curve(number, raw, replicates, reach, one_recording):
    return Curve(
        benchmark=f"brain.{number}-x",
        region=str(number),
        recording="brain" if one_recording else f"brain {number}",
        synthetic=True,
        scorer="x",
        scale="r",
        layers=tuple(f"l{n}" for n in range(len(raw))),
        depths=DEPTHS,
        raw=raw,
        layer_replicates=replicates,
        score=raw.max(),
        replicates=replicates.max(axis=0),
        normalized=raw.max(),
        normalized_replicates=replicates.max(axis=0),
        reach=reach,
        n_stimuli=N_STIMULI,
        n_neuroids=N_NEUROIDS,
        n_excluded=0,
        resampled=f"{N_STIMULI} stimuli",
    )


# name: what the layers know of each region, how reliable the regions are, whether they are of one recording
ONE_STAGE = {
    "flat": ([FLAT] * 3, (1, 1, 1), True),
    "middle": ([MIDDLE] * 3, (1, 1, 1), True),
    "independent": ([MIDDLE] * 3, (1, 1, 1), False),
    "faint first": ([RISING] * 3, (0.2, 0.5, 0.95), True),
    "faint last": ([RISING[::-1]] * 3, (0.95, 0.5, 0.2), True),
}
LATER_AND_LATER = ([0.25 + 0.2 * peak(at) for at in (0.25, 0.5, 0.85)], (0.95, 0.9, 0.8), True)


@cache
def brains(name, n=N_BRAINS):
    knows, reliabilities, one_recording = ONE_STAGE.get(name, LATER_AND_LATER)
    return [brain([8, seed], knows, reliabilities, one_recording) for seed in range(n)]


@cache
def comparisons(name, n=N_BRAINS):
    return [compare_regions("m", curves) for curves in brains(name, n)]


def rate(p):
    p = np.asarray(p)
    assert np.isfinite(p).all()
    return float(np.mean(p < 0.05))
