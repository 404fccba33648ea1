import numpy as np
import pandas as pd
import pytest
import torch

from brainbench.core.arrays import Block
from brainbench.core.splits import grouped_folds
from brainbench.numerics.representation import Representation

IDS = tuple(f"s{i:03d}" for i in range(120))


class Case:
    """120 stimuli, features of 60 units, 6 neuroids that read them out with noise, 3 repetitions, 5 folds."""

    def __init__(self, seed=0, noise=1.0):
        rng = np.random.default_rng(seed)
        self.features = torch.as_tensor(rng.normal(size=(120, 60)))
        signal = self.features.numpy()[:, :8] @ rng.normal(size=(8, 6)) / 8**0.5
        self.values = (signal[:, None] + noise * rng.normal(size=(120, 3, 6))).astype(np.float32)
        table = pd.DataFrame({"sha256": IDS}, index=pd.Index(IDS, name="stimulus_id"))
        self.split = grouped_folds(table, n_folds=5, seed=1)

    def block(self, values=None, ids=IDS):
        values = self.values if values is None else values
        names = tuple(f"u{i}" for i in range(values.shape[2]))
        return Block(stimulus_ids=ids, neuroid_ids=names, regions=("V4",) * len(names), values=values)

    def representation(self, features=None, ids=IDS):
        return Representation.from_features(self.features if features is None else features, ids)


@pytest.fixture
def case():
    return Case()
