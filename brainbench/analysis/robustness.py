"""What subsampling shows: how far score, best layer and ranking move where there are fewer stimuli or neuroids.

Draws of a share f of N without replacement overlap, so their spread is below that of a new sample of the same size, by
sqrt(1 - f) for a mean, and is 0 at f = 1 whatever the recording. `sd_fresh` = sd / sqrt(1 - f) undoes that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from brainbench.core.jsonable import jsonable

if TYPE_CHECKING:
    import pandas as pd

AXES = ("stimuli", "neuroids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One model at one number of stimuli or neuroids: D draws, of which `n_draws` have a score.

    `n` is their mean number. `layer_same`: share of draws in which the layer that most folds chose is that of the whole
    recording; `layer_near`: it or one next to it in depth; `layer_shift`: mean number of layers by which it is deeper.
    `scores` (D,) has NaN for a draw without a score, and `reason` says of the first of these why.
    """

    axis: str
    fraction: float
    n: float
    n_draws: int
    mean: float
    sd: float
    sd_fresh: float
    layer_same: float
    layer_near: float
    layer_shift: float
    scores: tuple[float, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """One model: its score and layer with all stimuli and neuroids, and with fewer."""

    model: str
    score: float
    layer: str | None
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The ranking of the models at one number: Kendall's tau-b with the ranking by all data, over draws.

    `same_first`: share of draws in which the best model is the one that is best with all data.
    """

    axis: str
    fraction: float
    n_draws: int
    tau: float
    tau_sd: float
    same_first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """One benchmark under subsampling; `missing` says of an axis that cannot be cut why."""

    benchmark: str
    synthetic: bool
    scale: str
    n_stimuli: int
    n_units: int  # of stimuli that are drawn: groups, such as movies, count once
    n_neuroids: int
    n_subjects: int  # 0 for labels, which are nobody's
    models: tuple[Stability, ...]
    orders: tuple[Order, ...]
    missing: dict[str, str]

    def table(self) -> pd.DataFrame:
        """One row a model and level."""
        import pandas as pd

        rows = [{"model": m.model, **asdict(level)} for m in self.models for level in m.levels]
        table = pd.DataFrame(rows).drop(columns="scores")
        return table.set_index(["model", "axis", "fraction"])

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers as null."""
        plain: dict[str, Any] = jsonable(self)
        return plain


def level(
    axis: str,
    fraction: float,
    *,
    numbers: Sequence[int],
    whole: int,
    scores: Sequence[float],
    layers: Sequence[int | None],
    best: int | None,
    reason: str = "",
) -> Level:
    """The summary of one level's draws: `numbers` of stimuli or neuroids out of `whole`, scores, and layers chosen.

    Layers are places in order of depth, None where nothing was chosen; `best` is that of all data. Spreads are NaN
    below two scores, shares where none is defined.
    """
    values = np.asarray(scores, dtype=float)
    finite = np.isfinite(values)
    some = values[finite]
    n = float(np.asarray(numbers, dtype=float)[finite].mean()) if len(some) else math.nan
    sd = float(some.std(ddof=1)) if len(some) > 1 else math.nan
    shift = np.asarray([c - best for c, ok in zip(layers, finite) if ok and c is not None and best is not None])
    left_out = 1 - n / whole
    return Level(
        axis=axis,
        fraction=fraction,
        n=n,
        n_draws=int(finite.sum()),
        mean=float(some.mean()) if len(some) else math.nan,
        sd=sd,
        sd_fresh=sd / math.sqrt(left_out) if left_out > 0 else math.nan,
        layer_same=float((shift == 0).mean()) if len(shift) else math.nan,
        layer_near=float((abs(shift) <= 1).mean()) if len(shift) else math.nan,
        layer_shift=float(shift.mean()) if len(shift) else math.nan,
        scores=tuple(values.tolist()),
        reason=reason,
    )


def orders(models: Sequence[Stability]) -> tuple[Order, ...]:
    """The ranking at each level that all models have, from draws in which all have a score; none for one model."""
    from scipy.stats import kendalltau

    if len(models) < 2:
        return ()
    whole = np.asarray([m.score for m in models])
    found = []
    for at in zip(*(m.levels for m in models)):
        scores = np.asarray([one.scores for one in at])  # (model, draw)
        scores = scores[:, np.isfinite(scores).all(axis=0)]
        tau = np.asarray([kendalltau(whole, draw).statistic for draw in scores.T])
        same = scores.argmax(axis=0) == whole.argmax() if scores.size else np.empty(0)
        found.append(
            Order(
                axis=at[0].axis,
                fraction=at[0].fraction,
                n_draws=scores.shape[1],
                tau=float(tau.mean()) if len(tau) else math.nan,
                tau_sd=float(tau.std(ddof=1)) if len(tau) > 1 else math.nan,
                same_first=float(same.mean()) if len(same) else math.nan,
            )
        )
    return tuple(found)
