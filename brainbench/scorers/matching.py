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
from brainbench.core.score import Score, reasons
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics import matching
from brainbench.numerics.correlation import constant, pearson, weighted_pearson
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
        version=2,
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
        rows = [[torch.as_tensor(some, device=device) for some in fold] for fold in split.rows(target.stimulus_ids)]
        varies = ~torch.stack([constant(y[some]) for fold in rows for some in fold]).any(dim=0)
        valid = complete & varies
        together = self._together(target, valid)
        pairs, folds, train, luck = [], [], [], []
        read: list[SparseReadout] = []
        for fit, test in rows:
            halves = _halves([split.unit[target.stimulus_ids[row]] for row in fit.tolist()])
            one, two = (torch.as_tensor(np.flatnonzero(halves == side), device=device) for side in (0, 1))
            enough = min(len(one), len(two)) >= 3  # correlations of fewer say nothing
            inner = [(one, two), (two, one)] if enough else []
            fitted = x[fit], y[fit]
            nothing = torch.full_like(y[0], torch.nan)
            if self.partners == "sparse":
                (every,) = together
                found = sparse_readout(fitted[0], fitted[1][:, every], inner, penalties=PENALTIES)
                whole = torch.ones(len(every), dtype=x.dtype, device=device)
                own = torch.arange(len(every), device=device)
                pairs.append(_Pairs(unit=own, neuroid=every, share=whole, weights=found.weights))
                read.append(found)
                train.append(nothing.index_copy(0, every, found.inner_r.to(nothing)))
                luck.append(nothing.index_copy(0, every, found.luck.to(nothing)))
            else:
                pairs.append(self._pairs(*fitted, together))
                tried = [self._pairs(fitted[0][a], fitted[1][a], together) for a, _ in inner]
                scored = [own.scores(fitted[0][b], fitted[1][b]) for own, (_, b) in zip(tried, inner)]
                train.append(torch.stack(scored).mean(dim=0) if inner else nothing)
                luck.append(_luck(*(own.predicted(x[test], len(valid)) for own in tried)) if inner else nothing + 1)
            folds.append(pairs[-1].scores(x[test], y[test]))

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float64, device=device)
            some = torch.as_tensor(columns, device=device)
            tests = [rows[fold][1] for fold in wanted]
            out = [pairs[fold].resampled(x[t], y[t], w[:, t]) for fold, t in zip(wanted, tests)]
            return torch.where(valid, torch.stack(out, dim=1), torch.nan)[:, :, some].cpu().numpy()

        def known(values: Sequence[Tensor]) -> np.ndarray:
            return torch.where(valid, torch.stack(list(values)), torch.nan).cpu().numpy()

        def of_all(values: Sequence[Tensor]) -> np.ndarray:
            (every,) = together
            return known([torch.full_like(y[0], torch.nan).index_copy(0, every, one.to(y)) for one in values])

        return Score(
            scale="r",
            folds=known(folds),
            train=known(train),
            resample=resample,
            luck=known(luck),
            reason=reasons(complete.tolist(), valid.tolist()),
            extras={
                "n_partners": of_all([found.n_units for found in read]),
                "penalty": of_all([found.penalty for found in read]),
            }
            if read
            else {},
        )

    @property
    def joint(self) -> bool:
        """Whether a neuroid's partner depends on the other neuroids of its region."""
        return self.partners in ("bipartite", "soft")

    def _together(self, target: Block, valid: Tensor) -> list[Tensor]:
        """The columns that are matched together: those of one region in one time bin, if it matters at all."""
        columns = torch.nonzero(valid).flatten()
        if not self.joint:
            return [columns]
        times = target.times or (0.0,) * len(target.regions)
        found: dict[tuple[str, float], list[int]] = {}
        for column in columns.tolist():
            found.setdefault((target.regions[column], times[column]), []).append(column)
        return [torch.tensor(some, device=valid.device) for some in found.values()]

    def _pairs(self, x: Tensor, y: Tensor, together: Sequence[Tensor]) -> _Pairs:
        """The partners chosen on these stimuli."""
        found = [(columns, self._matched(x, y[:, columns])) for columns in together]
        none = torch.empty(0, dtype=torch.long, device=x.device)
        return _Pairs(
            unit=torch.cat([none, *(pairs.unit for _, pairs in found)]),
            neuroid=torch.cat([none, *(columns[pairs.neuroid] for columns, pairs in found)]),
            share=torch.cat([none.double(), *(pairs.share for _, pairs in found)]),
        )

    def _matched(self, x: Tensor, y: Tensor) -> _Pairs:
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
        once = torch.ones(1, len(x), dtype=x.dtype, device=x.device)
        return self._summed(weighted_pearson(*self._sides(x, y), once).nan_to_num(), y.shape[1])[0]

    def resampled(self, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        """(B, V) the same under multiplicities; NaN where a resample leaves nothing of the neuroid itself."""
        r = self._summed(weighted_pearson(*self._sides(x, y), weights).nan_to_num(), y.shape[1])
        return torch.where(weighted_pearson(y, y, weights).isnan(), torch.nan, r)

    def predicted(self, x: Tensor, n_neuroids: int) -> Tensor:
        """(n, V) what stands for each neuroid: its units in standard deviations, summed by share."""
        found = x[:, self.unit]
        z = (found - found.mean(dim=0)) / found.std(dim=0, correction=0)
        return self._summed(z.nan_to_num(), n_neuroids)

    def _sides(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = x if self.weights is None else x @ self.weights
        return x[:, self.unit], y[:, self.neuroid]

    def _summed(self, values: Tensor, n_neuroids: int) -> Tensor:
        out = torch.zeros(len(values), n_neuroids, dtype=values.dtype, device=values.device)
        return out.index_add(1, self.neuroid, values * self.share)


def _luck(one: Tensor, two: Tensor) -> Tensor:
    """(V,) the share of luck in what both halves predict together, from how they agree on stimuli of neither."""
    same = pearson(one, two).nan_to_num().clamp(0, 1)
    return (1 - same) / (1 + same)


def _halves(units: Sequence[str]) -> np.ndarray:
    """0 or 1 for each training stimulus; what belongs together is on one side."""
    side = {unit: number % 2 for number, unit in enumerate(sorted(set(units)))}
    return np.asarray([side[unit] for unit in units])
