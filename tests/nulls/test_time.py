"""Brains that a model knows nothing of: how often does some time bin seem to be above 0?

Noise is smooth over time, as recordings are, and shared between sensors. Small on purpose: 60 stimuli, 4 sensors,
12 bins, two layers of which one is chosen.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from brainbench.aggregate import aggregate
from brainbench.benchmarks import known
from brainbench.core.arrays import responses_array
from brainbench.core.specs import LayerSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets.insilico import InsilicoMeg
from brainbench.numerics.representation import Representation
from brainbench.scorers import load
from brainbench.targets import targets

pytestmark = pytest.mark.slow

N_BRAINS, N_STIMULI, N_BINS = 120, 60, 12
FIRST = 1000  # the seeds before these served to choose how noise is measured
IDS = tuple(f"s{n:03d}" for n in range(N_STIMULI))
LAYERS = tuple(LayerSpec(name=f"l{n}", depth=n / 2, pooling="flatten") for n in (1, 2))


class Noise:
    """A recording of two subjects in which no bin has anything to do with any stimulus' features."""

    spec = InsilicoMeg.spec

    def __init__(self, seed):
        self.seed = seed

    def stimuli(self):
        table = pd.DataFrame({"sha256": IDS}, index=pd.Index(IDS, name="stimulus_id"))
        return StimulusSet(name="noise", table=table)

    def responses(self, subject, *, regions=None, sessions=None):
        rng = np.random.default_rng([self.seed, ord(subject[-1])])
        noise = rng.normal(size=(2, N_STIMULI, 4, N_BINS + 2)) + rng.normal(size=(2, N_STIMULI, 1, N_BINS + 2))
        smooth = noise[..., :-2] + noise[..., 1:-1] + noise[..., 2:]
        return responses_array(
            smooth.reshape(2 * N_STIMULI, 4, N_BINS),
            stimulus_id=IDS * 2,
            repetition=np.repeat([0, 1], N_STIMULI),
            session=["1"] * 2 * N_STIMULI,
            neuroid_id=[f"{subject}{n}" for n in range(4)],
            region=["sensors"] * 4,
            time_s=(np.arange(N_BINS) / 50).tolist(),
        )


@cache
def benchmark(name):
    """Ridge of one subject: with two, noise counts with stimuli and with subjects, and the test is stricter yet."""
    fields = {"ceiling": "none", "window_s": (0.05, 0.2), "subjects": ("s1",) if name == "ridge" else None}
    return known()[f"insilico_meg.sensors-{name}"].model_copy(update=fields)


@cache
def courses(name):
    asks, found = benchmark(name), []
    scorer = load(asks.scorer, asks.params)
    for seed in range(FIRST, FIRST + N_BRAINS):
        rng = np.random.default_rng([seed, 9])
        asked = targets(Noise(seed), [asks], scorer)
        layers = [Representation.from_features(torch.tensor(rng.normal(size=(N_STIMULI, 8))), IDS) for _ in LAYERS]
        scores = [[scorer.score(layer, t.data, t.split, seed=0, device="cpu") for layer in layers] for t in asked]
        found.append(aggregate(asks, LAYERS, asked, scores).time_course)
    return found


@pytest.mark.parametrize("name", ["ridge", "rsa"])
def test_some_bin_is_significant_in_one_of_twenty_brains(name):
    """At most the 99.9 % binomial bound of 5 % for 120 brains; pointwise intervals lie above 0 far oftener."""
    some = np.mean([any(p < 0.05 for p in course.p) for course in courses(name)])
    uncorrected = np.mean([any(low > 0 for low in course.low) for course in courses(name)])
    assert some <= 0.117 < uncorrected


@pytest.mark.parametrize("name", ["ridge", "rsa"])
def test_latencies_are_undefined_where_there_is_nothing(name):
    assert np.mean([course.onset_s is None for course in courses(name)]) >= 0.95 - 0.04
    assert np.mean([course.peak_s is None for course in courses(name)]) >= 0.95 - 0.06
    assert all(course.reason for course in courses(name) if course.onset_s is None)
