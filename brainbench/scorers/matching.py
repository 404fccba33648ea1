"""Matching units: how well single units of a layer stand for single neuroids. Unlike ridge and RSA it sees the axes.

Each neuroid's partners are chosen on the training stimuli, and correlated with it on the test stimuli: the best of many
noise correlations is high on the stimuli it was chosen on. Li, Yosinski et al. 2015; Khosla & Williams 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Block, take
from brainbench.core.score import Score
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics import matching
from brainbench.numerics.correlation import constant, weighted_pearson
from brainbench.numerics.lasso import SparseReadout, sparse_readout
from brainbench.numerics.representation import Representation
from brainbench.numerics.soft_matching import transport_plan

PARTNERS = ("semi", "bipartite", "soft", "sparse")
PENALTIES = (1.0, 0.3, 0.2, 0.1, 0.06, 0.03, 0.02, 0.01)  # below, nothing is sparse among as many units as stimuli


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Pearson's r of each neuroid with its partner among a layer's units, on stimuli that the choice has not seen.

    `partners` says who may be one: `semi`, the unit that correlates best, who may serve many neuroids; `bipartite`,
    one unit for one neuroid, so that the sum of correlations is largest; `soft`, the plan that moves equal masses of
    neuroids onto equal masses of units at the largest mean correlation, each neuroid scored as the mean over the units
    it goes to; `sparse`, few units that predict it together, by the lasso, the penalty chosen for each neuroid on
    halves of the training stimuli: `extras` has their number, `n_partners`, and the `penalty`. Correlations are signed.
    A neuroid that no unit is left for, and one whose partner is constant on the test stimuli, scores 0: every layer is
    scored on the same neuroids. Units of a convolution are its channels, averaged over space. Layers are chosen on
    matches of one half of the training stimuli scored on the other (of `sparse`, at the penalty that is best there).
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="matching",
        version=1,
        scale="r",
        requires="responses",
        trains=True,
        reads="units",
        invariances=("scale", "translation", "unit-permutation"),
    )

    partners: str = "semi"

    def __post_init__(self) -> None:
        if self.partners not in PARTNERS:
            raise UsageError(f"partners are {', '.join(PARTNERS)}; got {self.partners!r}")

    def score(self, representation: Representation, target: Block, split: Split, *, seed: int, device: str) -> Score:
        """The score of every neuroid of `target`; those that are constant or incomplete are NaN with a reason.

        Raises UsageError for a layer of which only the Gram matrix was kept.
        """
        if target.values.ndim != 3:
            raise UsageError("matching scores responses without a time axis: make bins columns, Block.unrolled")
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"))
        x = representation.units.double().cpu()[at].to(device)
        y = torch.as_tensor(target.mean(), device=device)
        complete = y.isfinite().all(dim=0)
        y = y.nan_to_num()
        halves = _halves(split, target.stimulus_ids)
        varies = torch.ones_like(complete)
        tests, pairs, folds, train = [], [], [], []
        read: list[SparseReadout] = []
        for fit, test in split.rows(target.stimulus_ids):
            rows = torch.as_tensor(fit, device=device), torch.as_tensor(test, device=device)
            varies &= ~constant(y[rows[0]]) & ~constant(y[rows[1]])
            tests.append(rows[1])
            one, two = (torch.as_tensor(np.flatnonzero(halves[fit] == side), device=device) for side in (0, 1))
            enough = min(len(one), len(two)) >= 3  # correlations of fewer say nothing
            inner = [(one, two), (two, one)] if enough else []
            fitted = x[rows[0]], y[rows[0]]
            if self.partners == "sparse":
                read.append(sparse_readout(*fitted, inner, penalties=PENALTIES))
                every = torch.arange(y.shape[1], device=device)
                whole = torch.ones(len(every), dtype=x.dtype, device=device)
                pairs.append(_Pairs(unit=every, neuroid=every, share=whole, weights=read[-1].weights))
                train.append(read[-1].inner_r.to(device))
            else:
                pairs.append(self._pairs(*fitted))
                found = [
                    self._pairs(*(side[a] for side in fitted)).scores(*(side[b] for side in fitted)) for a, b in inner
                ]
                train.append(torch.stack(found).mean(dim=0) if found else torch.full_like(y[0], torch.nan))
            folds.append(pairs[-1].scores(x[rows[1]], y[rows[1]]))
        valid = complete & varies

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float64, device=device)
            some = torch.as_tensor(columns, device=device)
            out = [pairs[fold].resampled(x[tests[fold]], y[tests[fold]], w[:, tests[fold]]) for fold in wanted]
            return torch.where(valid, torch.stack(out, dim=1), torch.nan)[:, :, some].cpu().numpy()

        return Score(
            scale="r",
            folds=torch.where(valid, torch.stack(folds), torch.nan).cpu().numpy(),
            train=torch.where(valid, torch.stack(train), torch.nan).cpu().numpy(),
            resample=resample,
            reason=tuple(
                "" if ok else "missing-stimuli" if not c else "zero-variance"
                for ok, c in zip(valid.tolist(), complete.tolist())
            ),
            extras={
                "n_partners": torch.stack([found.n_units for found in read]).numpy(),
                "penalty": torch.stack([found.penalty for found in read]).numpy(),
            }
            if read
            else {},
        )

    def _pairs(self, x: Tensor, y: Tensor) -> _Pairs:
        """The partners chosen on these stimuli."""
        between = matching.unit_correlations(x, y)
        if self.partners == "soft":
            rows, columns = (torch.nonzero(between.isfinite().any(dim=d)).flatten() for d in (1, 0))
            if not len(rows):
                return _Pairs(unit=rows, neuroid=rows, share=rows.double())
            plan = transport_plan(between[rows][:, columns])
            unit, neuroid = torch.nonzero(plan > 1e-12, as_tuple=True)
            share = plan[unit, neuroid] * len(columns)
            return _Pairs(unit=rows[unit], neuroid=columns[neuroid], share=share)
        choose = matching.bipartite if self.partners == "bipartite" else matching.semi_matching
        found = choose(between.T)
        return _Pairs(unit=found.y, neuroid=found.x, share=torch.ones_like(found.correlation))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Units and the neuroids they stand for, each with its share in that neuroid's score.

    With `weights` (p, u) the u units are sums of the layer's p.
    """

    unit: Tensor
    neuroid: Tensor
    share: Tensor
    weights: Tensor | None = None

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """(V,) the correlations over these stimuli, summed by share; 0 for a neuroid without a partner."""
        return self.resampled(x, y, torch.ones(1, len(x), dtype=x.dtype, device=x.device))[0]

    def resampled(self, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """(B, V) the same under multiplicities; NaN where a resample leaves nothing of the neuroid itself."""
        x = x if self.weights is None else x @ self.weights
        r = weighted_pearson(x[:, self.unit], y[:, self.neuroid], weights).nan_to_num() * self.share
        return torch.zeros(len(weights), y.shape[1], dtype=r.dtype, device=r.device).index_add(1, self.neuroid, r)


def _halves(split: Split, ids: tuple[str, ...]) -> np.ndarray:
    """0 or 1 for each stimulus; what belongs together is on one side."""
    side = {unit: number % 2 for number, unit in enumerate(sorted(set(split.unit.values())))}
    return np.asarray([side[split.unit[name]] for name in ids])
