"""Two systems matched unit by unit: one partner, the best partner, few partners, all (Li, Yosinski et al. 2015).

Each unit of the second system is looked for among those of the first. Partners are chosen, and readouts fitted, on
training stimuli, and correlated with the unit on the others (`scorers.matching`, `scorers.ridge`). All four levels are
means over the same units and stimuli, so their differences are paired: one-to-one below best partner says that units
crowd on few partners, best partner below few that a unit here is a few there, few below all that dimensions are shared
and units are not. Groups of units (`numerics.matching.groups`) are made on one fold's training stimuli.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Block
from brainbench.core.score import Score
from brainbench.core.specs import fingerprint
from brainbench.core.splits import Split
from brainbench.cuts import nanmean
from brainbench.errors import InputError
from brainbench.numerics.lasso import sparse_prediction
from brainbench.numerics.matching import groups, unit_correlations
from brainbench.numerics.noise_matching import random_units
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import interval, multiplicities, seed_of
from brainbench.replicates import spread
from brainbench.scorers.matching import PENALTIES, Matching
from brainbench.scorers.ridge import Ridge

N_REPLICATES = 1000
LEVELS: dict[str, Any] = {
    "one-to-one": Matching(partners="bipartite"),
    "best partner": Matching(partners="semi"),
    "few": Matching(partners="sparse"),
    "all": Ridge(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Mean r over units on held-out stimuli, and its difference from the level before, with 95 % intervals.

    `n_partners` is how many units a prediction rests on, a mean over units. The first level has no difference: NaN.
    """

    name: str
    r: float
    low: float
    high: float
    n_partners: float
    difference: float
    difference_low: float
    difference_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The lasso at one penalty: means over units of held-out r, and of how many units it takes."""

    penalty: float
    r: float
    n_partners: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Units of both systems that go together: how many, and the mean correlation across systems on held-out stimuli.

    `within` is over pairs of a unit of the first and one of the second, `outside` over pairs with one of the two in
    the group; NaN where there is no pair.
    """

    n_first: int
    n_second: int
    within: float
    outside: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A layer of each system: `n_first` and `n_second` units that vary, of `of_first` and `of_second` there are.

    `correlations` (n_first, n_second), on one fold's held-out stimuli, are ordered by group, which begins at the
    `borders` of either side.
    """

    first: str
    second: str
    n_stimuli: int
    n_first: int
    n_second: int
    of_first: int
    of_second: int
    levels: list[Level]
    path: list[Step]
    groups: list[Group]
    correlations: list[list[float]]
    borders: tuple[list[int], list[int]]


def matched(
    first: Representation,
    second: Representation,
    split: Split,
    *,
    names: tuple[str, str],
    n_units: int,
    n_groups: int,
    device: str = "cpu",
) -> Matched:
    """Every level, the lasso's path and groups, of at most `n_units` units of each side, drawn at random where more.

    Layers of equal width are drawn alike, so that a network matches itself. Units that do not vary over the stimuli, or
    over those of one fold, are left out. Raises UsageError where a side has no features but a Gram matrix, InputError
    where nothing of it varies.
    """
    x, y = (_drawn(side, split, n_units) for side in (first, second))
    for side, name in zip((x, y), names):
        if not side.shape[1]:
            raise InputError(f"no unit of {name} varies over the stimuli of every fold")
    ids = second.stimulus_ids
    block = Block(
        stimulus_ids=ids,
        neuroid_ids=tuple(map(str, range(y.shape[1]))),
        regions=("",) * y.shape[1],
        values=y[:, None].numpy(),
    )
    layer = Representation.from_features(x, ids)
    scores = {name: scorer.score(layer, block, split, seed=0, device=device) for name, scorer in LEVELS.items()}
    train, test = (torch.from_numpy(rows) for rows in split.rows(ids)[0])
    at_x, at_y = groups(x[train], y[train], n_groups=min(n_groups, x.shape[1] + y.shape[1]), seed=0)
    c = unit_correlations(x[test], y[test])
    order_x, order_y = at_x.argsort(stable=True), at_y.argsort(stable=True)
    labels = range(int(max(at_x.max(), at_y.max())) + 1)
    return Matched(
        first=names[0],
        second=names[1],
        n_stimuli=len(ids),
        n_first=x.shape[1],
        n_second=y.shape[1],
        of_first=first.n_units,
        of_second=second.n_units,
        levels=_levels(scores, split, ids, x.shape[1]),
        path=_path(x, y, split, ids),
        groups=[_group(c, at_x == label, at_y == label) for label in labels],
        correlations=c[order_x][:, order_y].tolist(),
        borders=(_borders(at_x, labels), _borders(at_y, labels)),
    )


def _drawn(layer: Representation, split: Split, n_units: int) -> Tensor:
    """(stimulus, unit) the units that vary on both sides of every fold, or as many of them as are wanted."""
    x = layer.units.double().cpu()
    varies = torch.stack(
        [x[rows].amax(dim=0) > x[rows].amin(dim=0) for fold in split.rows(layer.stimulus_ids) for rows in fold]
    )
    x = x[:, varies.all(dim=0)]
    return x if x.shape[1] <= n_units else x[:, random_units(x.shape[1], n_units, n_draws=1, seed=0)[0].sort().values]


def _levels(scores: dict[str, Score], split: Split, ids: Sequence[str], n_candidates: int) -> list[Level]:
    units = [split.unit[name] for name in ids]
    weights = multiplicities(units, N_REPLICATES, seed_of(fingerprint({"matching": units}), "stimuli"))
    # the same at all levels
    columns = np.flatnonzero(np.isfinite([score.raw for score in scores.values()]).all(axis=0))
    found: list[Level] = []
    before: tuple[float, np.ndarray] | None = None
    for name, score in scores.items():
        drawn = _replicates(score, weights, columns)
        r = float(score.raw[columns].mean())
        low, high = interval(drawn)
        less = (float("nan"),) * 3 if before is None else (r - before[0], *interval(drawn - before[1]))
        partners = score.extras["n_partners"][:, columns] if name == "few" else n_candidates if name == "all" else 1
        found.append(
            Level(
                name=name,
                r=r,
                low=low,
                high=high,
                n_partners=float(np.mean(partners)),
                difference=less[0],
                difference_low=less[1],
                difference_high=less[2],
            )
        )
        before = r, drawn
    return found


def _replicates(score: Score, weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(B,): mean r over units; what other training stimuli would have changed is added, as to those of entries."""
    drawn = nanmean(np.moveaxis(score.resample(weights, range(len(score.folds)), columns), 1, 2))
    luck = np.zeros(len(columns)) if score.luck is None else nanmean(score.luck[:, columns].T)
    return nanmean(spread(drawn, luck))


def _path(x: Tensor, y: Tensor, split: Split, ids: Sequence[str]) -> list[Step]:
    """Means over folds and units; where a unit has no weights its prediction is worth 0."""
    folds = [
        sparse_prediction(x[train], y[train], x[test], y[test], penalties=PENALTIES)
        for train, test in split.rows(tuple(ids))
    ]
    r = torch.stack([torch.where(f.n_units == 0, 0.0, f.r) for f in folds]).nanmean(dim=(0, 2))
    n = torch.stack([f.n_units for f in folds]).nanmean(dim=(0, 2))
    return [Step(penalty=penalty, r=float(a), n_partners=float(b)) for penalty, a, b in zip(folds[0].penalties, r, n)]


def _borders(at: Tensor, labels: range) -> list[int]:
    return [int((at < label).sum()) for label in labels]


def _group(c: Tensor, in_x: Tensor, in_y: Tensor) -> Group:
    inside = in_x[:, None] & in_y
    return Group(
        n_first=int(in_x.sum()),
        n_second=int(in_y.sum()),
        within=float(c[inside].mean()),
        outside=float(c[in_x[:, None] ^ in_y].mean()),
    )
