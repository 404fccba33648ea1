import numpy as np
import pandas as pd
import pytest
import torch

from brainbench.core.arrays import Block, Labels
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


class Categories:
    """120 stimuli of 4 categories that lie around centres in 20 dimensions, dealt into halves twice."""

    def __init__(self, seed=0, strength=0.7, n_versions=0):
        rng = np.random.default_rng(seed)
        categories = np.arange(120) % 4
        self.features = torch.as_tensor(strength * rng.normal(size=(4, 20))[categories] + rng.normal(size=(120, 20)))
        values = np.array([f"category {c}" for c in categories], dtype=object)
        if n_versions:  # stimuli that are nearly another one of their category, 60 places on
            self.features[:n_versions] = self.features[60 : 60 + n_versions] + 1e-3 * torch.as_tensor(
                rng.normal(size=(n_versions, 20))
            )
        group = np.array([IDS[i + 60] if i < n_versions else IDS[i] for i in range(120)], dtype=object)
        self.target = Labels(stimulus_ids=IDS, values=values)
        table = pd.DataFrame(
            {"sha256": IDS, "stratum": values, "group": group}, index=pd.Index(IDS, name="stimulus_id")
        )
        self.split = grouped_folds(table, n_folds=2, n_repeats=2, seed=1)

    def rows(self, fold):
        """Places of the fold's training and test stimuli."""
        return [torch.as_tensor(side) for side in self.split.rows(IDS)[fold]]

    @property
    def codes(self):
        return torch.as_tensor(self.target.codes)

    def gram(self, rows):
        return self.features[rows] @ self.features[rows].T

    def score(self, scorer, features=None, target=None, representation=None, split=None):
        layer = representation or Representation.from_features(self.features if features is None else features, IDS)
        target = self.target if target is None else target
        return scorer.score(layer, target, split or self.split, seed=0, device="cpu")


@pytest.fixture
def categories():
    return Categories()


@pytest.fixture
def make():
    return Categories
