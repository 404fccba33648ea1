"""Linear support vector machines: how well the categories of new stimuli are told by a linear readout of a layer.

The companion of kernel analysis in Cadieu et al. (2014), PLoS Comput Biol 10, e1003963. One-vs-all machines with
squared hinge loss; their cost C is chosen inside each fold's training stimuli (`numerics.linear_svm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from brainbench.core.arrays import Labels, take
from brainbench.core.score import Score
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import InputError
from brainbench.numerics.linear_svm import svm_readings
from brainbench.numerics.representation import Representation


@dataclass(frozen=True, kw_only=True)
class SVM:
    """Share of a fold's test stimuli that linear machines fitted to its training stimuli put into their category.

    `Score.train` is the same share in folds inside the training stimuli, at the cost that is best there. `extras` has
    that `cost`, and `chance`: what the machines' answers would score if the test stimuli's categories were shuffled,
    Σ over categories of (share of answers) x (share of test stimuli), so 1/8 for eight that are equally frequent.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="svm",
        version=3,
        scale="share",
        requires="labels",
        trains=True,
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )

    def score(self, representation: Representation, target: Labels, split: Split, *, seed: int, device: str) -> Score:
        """The share for the one column of categories; NaN with a reason where they, or the layer, cannot be read."""
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"))
        layer = representation.to("cpu")  # many small solves are no work for a GPU
        codes = torch.as_tensor(target.codes)
        names = {unit: number for number, unit in enumerate(sorted(set(split.unit.values())))}
        units = torch.as_tensor([names[split.unit[i]] for i in target.stimulus_ids])
        order = np.argsort(np.asarray(target.stimulus_ids))  # of the inner folds' deal
        rows = [[order[np.isin(order, side)] for side in fold] for fold in split.rows(target.stimulus_ids)]
        reason = "missing-stimuli" if (codes < 0).any() else "one-category" if len(set(target.values)) < 2 else ""
        right: list[np.ndarray] = []
        score, train, cost, chance = found = np.full((4, len(rows), 1), np.nan)
        for fold, (fit, test) in enumerate([] if reason else rows):
            features = _coordinates(layer, at[fit], at[test])
            if features is None:
                reason = "constant-features"
                break
            if not set(codes[test].tolist()) <= set(codes[fit].tolist()):
                reason = "untrained-category"
                break
            both = np.concatenate([fit, test])
            sides = torch.arange(len(fit)), torch.arange(len(fit), len(both))
            try:
                (reading,) = svm_readings(features, codes[both], [sides], units=units[both], seed=seed)
            except InputError:  # a category of two training stimuli, say
                reason = "too-few-stimuli"
                break
            said, true = reading.predicted.numpy(), codes[test].numpy()
            right.append(said == true)
            score[fold], train[fold], cost[fold] = right[-1].mean(), reading.inner, reading.cost
            chance[fold] = sum((said == c).mean() * (true == c).mean() for c in np.unique(true))
        if reason:
            found[...] = np.nan

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            out = np.full((len(weights), len(wanted), 1), np.nan)
            for place, fold in enumerate([] if reason else wanted):
                times = weights[:, rows[fold][1]].astype(np.float64)
                total = times.sum(axis=1)
                np.divide(times @ right[fold], total, out=out[:, place, 0], where=total > 0)
            return out[:, :, columns]

        return Score(
            scale="share",
            folds=score,
            train=train,
            resample=resample,
            luck=np.ones(train.shape),  # not known, so as much as there can be
            reason=(reason,),
            extras={"cost": cost, "chance": chance},
        )


def _coordinates(layer: Representation, fit: torch.Tensor, test: torch.Tensor) -> torch.Tensor | None:
    """Both sides' features along the principal components of the training stimuli; None where these do not vary.

    What lies across them adds nothing to products with training features, so the machine is that of the features.
    """
    basis = layer.eigh(fit)
    if not float(basis.values.sum()) > 1e-12 * float(layer.gram[fit, fit].sum()):
        return None
    length = basis.values.sqrt()
    return torch.cat([basis.vectors * length, layer.cross(basis, test) / length])
