"""Whole runs of RSA on synthetic subjects of which everything is known: are intervals and p-values what they say?"""

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
from brainbench.datasets.insilico import Insilico
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import interval, two_sided
from brainbench.scorers.rsa import RSA
from brainbench.targets import targets

pytestmark = pytest.mark.slow

N_BRAINS, N_STIMULI, N_NEUROIDS, N_LATENTS = 150, 60, 20, 10
SUBJECTS = tuple(f"s{i}" for i in range(8))
ORACLE, PARTLY = slice(0, 4), slice(2, 6)  # the latents that a model sees; neuroids read 0 to 3
BENCHMARK = known()["insilico.V4-rsa"].model_copy(update={"subjects": SUBJECTS})
LAYER = (LayerSpec(name="l", depth=0.0, pooling="flatten"),)
SCORER = RSA(**BENCHMARK.params)


class Brains:
    """A Dataset: each subject's neuroids read four of ten Gaussian latents of the stimuli, under noise."""

    spec = Insilico.spec

    def __init__(self, seed):
        rng = np.random.default_rng([1, seed])
        self.ids = tuple(f"s{i:04d}" for i in range(N_STIMULI))
        self.latents = rng.normal(size=(N_STIMULI, N_LATENTS))
        size = (N_STIMULI, N_NEUROIDS)
        self.values = {
            subject: self.latents[:, ORACLE] @ rng.normal(size=(4, N_NEUROIDS)) + 1.5 * rng.normal(size=size)
            for subject in SUBJECTS
        }
        (self.target,) = targets(self, [BENCHMARK], SCORER)

    def stimuli(self):
        table = pd.DataFrame({"sha256": self.ids}, index=pd.Index(self.ids, name="stimulus_id"))
        return StimulusSet(name="brains", table=table, open=lambda name: pytest.fail("no pictures are needed"))

    def responses(self, subject, *, regions=None, sessions=None):
        return responses_array(
            self.values[subject],
            stimulus_id=self.ids,
            repetition=[0] * N_STIMULI,
            session=["1"] * N_STIMULI,
            neuroid_id=[f"u{v}" for v in range(N_NEUROIDS)],
            region=["V4"] * N_NEUROIDS,
        )

    def run(self, features):
        """What an entry is made of, for a model with this one layer (stimulus, unit)."""
        layer = Representation.from_features(torch.tensor(features), self.ids)
        score = SCORER.score(layer, self.target.data, self.target.split, seed=0, device="cpu")
        return aggregate(BENCHMARK, LAYER, [self.target], [[score]])


@cache
def entries():
    """For every brain the runs of models of six kinds; those called `same` know as much, beside noise of their own."""
    out = []
    for seed in range(N_BRAINS):
        brains, rng = Brains(seed), np.random.default_rng([2, seed])
        nothing = rng.normal(size=(2, N_STIMULI, 6))
        noisy = [np.c_[brains.latents[:, PARTLY], rng.normal(size=(N_STIMULI, 6))] for _ in range(2)]
        layers = {
            "unrelated": nothing[0],
            "other": nothing[1],
            "partly": brains.latents[:, PARTLY],
            "oracle": brains.latents[:, ORACLE],
            "same": noisy[0],
            "same2": noisy[1],
        }
        out.append({name: brains.run(x) for name, x in layers.items()})
    return out


def scores(name):
    return np.array([entry[name].raw for entry in entries()])


def replicates(name):
    return np.array([entry[name].replicates for entry in entries()])


def held(values, drawn):
    """Asserts that the intervals hold the mean over brains as often as they say, and are as wide as brains differ.

    The mean of 150 brains is the truth but for a twelfth of their spread. Of 150 intervals of 95 %, between 88 and
    99.5 % hold it 99.9 % of the time; a spread measured on 150 brains is known to 19 % so surely, and replicates of
    models that know nothing are some 8 % too wide. Without the correction they would be 75 % too wide.
    """
    low, high = np.array([interval(r) for r in drawn]).T
    assert 0.88 <= np.mean((low <= values.mean()) & (values.mean() <= high)) <= 0.995
    assert 0.8 <= np.sqrt(drawn.var(axis=1).mean()) / values.std(ddof=1) <= 1.3


@pytest.mark.parametrize("name", ["unrelated", "partly", "oracle"])
def test_intervals_of_a_score_are_as_wide_as_brains_differ(name):
    held(scores(name), replicates(name))


@pytest.mark.parametrize(("one", "two"), [("unrelated", "other"), ("partly", "unrelated"), ("oracle", "partly")])
def test_intervals_of_a_difference_are_as_wide_as_brains_differ(one, two):
    held(scores(one) - scores(two), replicates(one) - replicates(two))


def test_a_model_that_knows_nothing_scores_zero():
    values = scores("unrelated")
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(N_BRAINS)


def test_p_values_are_as_rare_as_they_say():
    """The 99.9 % binomial bound of 5 % of 150 is .12, of 300 .097. For models that know the same p may be strict."""
    zero = [two_sided(r) for name in ("unrelated", "other") for r in replicates(name)]
    null = [two_sided(r) for r in replicates("unrelated") - replicates("other")]
    same = [two_sided(r) for r in replicates("same") - replicates("same2")]
    for p, bound in ((zero, 0.097), (null, 0.12), (same, 0.12)):
        assert np.mean(np.asarray(p) < 0.05) <= bound
    assert np.mean(np.asarray(zero) < 0.05) >= 0.01
