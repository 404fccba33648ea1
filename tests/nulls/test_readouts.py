"""Partners and few-shot readouts on synthetic brains: are replicates as wide as brains differ?

Neither is resampled, so what other training stimuli would have chosen is added by `luck`. Without it replicates are
two thirds as wide, and p < .05 comes three times too often.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from brainbench.core.arrays import Block
from brainbench.core.splits import grouped_folds
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import multiplicities, seed_of, two_sided
from brainbench.scorers.few_shot import FewShotRidge
from brainbench.scorers.matching import Matching

pytestmark = pytest.mark.slow

N_BRAINS, N, N_REPLICATES = 80, 120, 300
IDS = tuple(f"s{i:03d}" for i in range(N))
SPLIT = grouped_folds(pd.DataFrame({"sha256": IDS}, index=list(IDS)), n_folds=5, seed=0)
WEIGHTS = multiplicities([SPLIT.unit[i] for i in IDS], N_REPLICATES, seed_of("ab" * 32, "stimuli"))


def run(scorer, y, x):
    block = Block(stimulus_ids=IDS, neuroid_ids=("n",), regions=("V4",), values=y[:, None, None].astype("f4"))
    layer = Representation.from_features(torch.tensor(x, dtype=torch.float32), IDS)
    score = scorer.score(layer, block, SPLIT, seed=0, device="cpu")
    drawn = np.nanmean(score.resample(WEIGHTS, range(5), np.array([0])), axis=1)[:, 0]
    return score.raw[0], drawn.mean() + (drawn - drawn.mean()) * np.sqrt(1 + score.luck.mean())


@pytest.mark.parametrize("scorer", [Matching(), FewShotRidge(support=20)], ids=["matching", "few-shot"])
@pytest.mark.parametrize("signal", [0.0, 1.0], ids=["noise", "half"])
def test_replicates_are_as_wide_as_brains_differ(scorer, signal):
    """A spread measured on 80 brains is known to 26 % so surely (99.9 %), and .14 is the bound of 5 % of 80."""
    raw, spread, p = [], [], []
    readout = np.random.default_rng(0).normal(size=6)
    for seed in range(N_BRAINS):
        rng = np.random.default_rng([seed, 1])
        latents, x = rng.normal(size=(N, 6)), rng.normal(size=(N, 20))
        x[:, :6] += signal * latents
        score, drawn = run(scorer, signal * latents @ readout + 1.7 * rng.normal(size=N), x)
        raw.append(score)
        spread.append(drawn.std())
        p.append(two_sided(drawn) < 0.05)
    assert 0.75 <= np.mean(spread) / np.std(raw) <= 1.35
    assert signal or np.mean(p) <= 0.14
