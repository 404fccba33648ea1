"""What a comparison of regions takes and what it holds: facts, and their form as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from brainbench.core.jsonable import jsonable

if TYPE_CHECKING:
    import pandas as pd

_ARRAYS = ("layer_replicates", "replicates", "normalized_replicates")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One region of one recording: its score, and its curve over the L layers, each with B replicates.

    `reach` is what a perfect model would score, on the scale of `raw`; NaN where the recording does not tell. Curves
    with one `recording` have their replicates under the same resamplings, which `resampled` puts in words.
    """

    benchmark: str
    region: str
    recording: str
    synthetic: bool
    scorer: str
    scale: str
    layers: tuple[str, ...]
    depths: np.ndarray  # (L,)
    raw: np.ndarray  # (L,)
    layer_replicates: np.ndarray  # (L, B)
    score: float
    replicates: np.ndarray  # (B,)
    normalized: float
    normalized_replicates: np.ndarray  # (B,)
    reach: float
    n_stimuli: int
    n_neuroids: int
    n_excluded: int
    resampled: str
    counted: str = "neuroids"  # what `n_neuroids` counts: RDMs have one column a subject
    reason: str = ""  # why there is no score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """What a curve says. `best` is the number of its highest layer; None (and NaN) where no layer has a score.

    `low` and `high` bound each layer, `score_low` to `normalized_high` the score; `shares` holds in how many of the
    replicates each layer is the highest, `depth_low` and `depth_high` the percentile interval of the highest one's
    depth. `p_signal`: p that no layer scores above 0, by the largest layer of the null.
    """

    label: str
    curve: Curve
    low: np.ndarray  # (L,)
    high: np.ndarray  # (L,)
    score_low: float
    score_high: float
    normalized_low: float
    normalized_high: float
    best: int | None
    layer: str | None
    depth: float
    depth_low: float
    depth_high: float
    shares: np.ndarray  # (L,)
    p_signal: float

    @property
    def doubt(self) -> str:
        """What is said behind its best layer where no layer is told from 0, for then that is luck."""
        return " (n.s.)" if self.p_signal > 0.05 else ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """`second` minus `first`, in the order of the regions, with 95 % intervals; q is p over all pairs (BH 1995).

    `depth_p` is two-sided, from the null in which both regions have one curve (`depth_order`). `interaction` (L,) is
    the difference of the curves, each without its mean over layers; `interaction_p`, `_low` and `_high` hold for all
    layers and pairs at once. `paired`: both are of one recording, and of the same subjects.
    """

    first: str
    second: str
    paired: bool
    raw: float
    raw_low: float
    raw_high: float
    raw_p: float
    raw_q: float
    normalized: float
    normalized_low: float
    normalized_high: float
    normalized_p: float
    normalized_q: float
    depth: float
    depth_low: float
    depth_high: float
    depth_p: float
    depth_q: float
    interaction: np.ndarray  # (L,)
    interaction_low: np.ndarray  # (L,)
    interaction_high: np.ndarray  # (L,)
    interaction_p: np.ndarray  # (L,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Whether best depth rises over the regions as they were given.

    `trend` is the slope of best depth, per step from region to region, with its percentile interval; `p` is one-sided
    against one curve for all regions. `every_step_p` is the largest one-sided p of neighbouring regions: below .05 the
    order is strictly monotone (each step is shown). `increasing` and `not_decreasing` are shares of replicates.
    """

    trend: float
    low: float
    high: float
    p: float
    every_step_p: float
    increasing: float
    not_decreasing: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """One model's regions against each other. `corrected`: interactions are of curves divided by their `reach`."""

    model: str
    regions: tuple[Region, ...]
    pairs: tuple[Pair, ...]
    order: Order
    corrected: bool

    @property
    def synthetic(self) -> bool:
        """Whether any of the recordings is."""
        return any(region.curve.synthetic for region in self.regions)

    @property
    def interaction_p(self) -> float:
        """p that all regions have one curve up to an offset: the smallest of all layers and pairs."""
        p = np.concatenate([pair.interaction_p for pair in self.pairs])
        return float(np.nanmin(p)) if np.isfinite(p).any() else float("nan")

    def table(self) -> pd.DataFrame:
        """One row a region."""
        import pandas as pd

        rows = [_fields(region, "label", "curve", "low", "high", "shares") for region in self.regions]
        names = (
            "benchmark",
            "synthetic",
            "score",
            "normalized",
            "reach",
            "n_stimuli",
            "n_neuroids",
            "n_excluded",
            "reason",
        )
        rows = [{n: getattr(r.curve, n) for n in names} | row for r, row in zip(self.regions, rows)]
        return pd.DataFrame(rows, index=pd.Index([region.label for region in self.regions], name="region"))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers as null; without the replicates."""
        regions = [_fields(r, "curve") | {"curve": _fields(r.curve, *_ARRAYS)} for r in self.regions]
        shown = _fields(self) | {"regions": regions, "interaction_p": self.interaction_p}
        plain: dict[str, Any] = jsonable(shown)
        return plain


def _fields(thing: Any, *left_out: str) -> dict[str, Any]:
    return {f.name: getattr(thing, f.name) for f in fields(thing) if f.name not in left_out}
