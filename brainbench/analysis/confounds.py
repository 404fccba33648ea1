"""Which diagnostics of layers go with their scores: what a difference in score may be about, beside the brain.

A score of one model says nothing about why. Over models, or over the layers of one, a score may rise with depth, width
or dimensionality as well as with what is computed. The panel sets the numbers side by side, and the rank correlation of
score with each diagnostic, with its interval (Bonett & Wright 2000). It ranks nothing, and it subtracts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainbench.analysis.models import check_comparable, told_apart
from brainbench.core.jsonable import jsonable
from brainbench.entry import Entry, Layer

FEWEST = 5  # points below which nothing is said: of four, one order in twelve is perfect
FEW = 3  # components that carry 90 % of a geometry: see docs/scorers/feature_strength.md
_COMPARED = {"rsa": "correlation", "ssm": "correlation", "cka": "squared_euclidean"}  # scorers, and their usual RDM


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """Spearman correlation of score with a diagnostic over `n` points, with its 95 % interval.

    NaN where fewer than 5 points have both, or one of the two is the same for all.
    """

    diagnostic: str
    n: int
    rho: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confounded:
    """One model: its score and interval, and the layer that most folds chose, with what that layer is like.

    `over_layers` correlates the scores of its layers, each fixed in turn.
    """

    model: str
    raw: float
    low: float
    high: float
    layer: str
    depth: float
    geometry: dict[str, float | None]
    over_layers: tuple[Association, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One benchmark's models, best first.

    `over_models` correlates their scores with the diagnostics of their chosen layers. `within_models` is the mean over
    models of `over_layers`, its interval by Student's t with models as the sample.
    """

    benchmark: str
    synthetic: bool
    scale: str
    models: tuple[Confounded, ...]
    over_models: tuple[Association, ...]
    within_models: tuple[Association, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers as null."""
        plain: dict[str, Any] = jsonable(self)
        return plain


def panel(entries: Sequence[Entry]) -> Panel:
    """The panel of entries of one benchmark; those without a score are out.

    Raises UsageError where entries are not of one benchmark, InputError where a model occurs twice.
    """
    scored = sorted((e for e in entries if e.status == "ok"), key=lambda e: (-(e.raw or 0.0), e.model))
    check_comparable(scored)
    models = [_confounded(entry, label) for entry, label in zip(scored, told_apart(scored))]
    names = list(dict.fromkeys(name for m in models for name in m.geometry if name != "n_stimuli"))
    raw = [m.raw for m in models]
    over = [association(name, raw, [m.geometry.get(name) for m in models]) for name in names]
    return Panel(
        benchmark=entries[0].benchmark,
        synthetic=entries[0].synthetic,
        scale=entries[0].scale,
        models=tuple(models),
        over_models=(association("depth", raw, [m.depth for m in models]), *over),
        within_models=tuple(_mean([a for m in models for a in m.over_layers], name) for name in ("depth", *names)),
    )


def few_components(entry: Entry) -> tuple[str, float, float] | None:
    """For a score of geometries: its layer, how many components carry 90 % of it, and the share of the first.

    None where they are more than 3, for scores other than by RSA, SSM and CKA, and where the layer is not known.
    """
    scorer = entry.scorer.split()[0]
    if entry.status != "ok" or scorer not in _COMPARED:
        return None
    params = entry.benchmark_identity.get("params", {})
    of = "_correlation" if params.get("rdm", _COMPARED[scorer]) == "correlation" else ""
    layer = chosen(entry)
    count = layer.geometry.get(f"dominant_components{of}") if layer else None
    share = layer.geometry.get(f"dominant_share{of}") if layer else None
    if layer is None or count is None or share is None or count > FEW:
        return None
    return layer.layer, count, share


def chosen(entry: Entry) -> Layer | None:
    """The layer that most folds chose; of several poolings of one place, the one that is best on training stimuli."""
    found = [layer for layer in entry.layers if layer.layer == entry.layer]
    return max(found, key=lambda layer: -math.inf if layer.train is None else layer.train, default=None)


def association(diagnostic: str, scores: Iterable[float | None], values: Iterable[float | None]) -> Association:
    """The rank correlation of the points that have both, and its interval.

    With z = atanh(rho), that is tanh(z -+ 1.96 sqrt((1 + rho² / 2) / (n - 3))). A perfect order is taken as half a
    step, of one exchange of neighbours, below 1: atanh(1) would bound it by 1 from both sides.
    """
    from scipy.stats import spearmanr

    pairs = np.asarray([(s, v) for s, v in zip(scores, values) if _finite(s) and _finite(v)], dtype=float)
    nothing = Association(diagnostic=diagnostic, n=len(pairs), rho=math.nan, low=math.nan, high=math.nan)
    if len(pairs) < FEWEST or (np.ptp(pairs, axis=0) == 0).any():
        return nothing
    n, rho = len(pairs), float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    most = 1 - 6 / (n * (n * n - 1))
    z = math.atanh(min(max(rho, -most), most))
    half = 1.959964 * math.sqrt((1 + rho * rho / 2) / (n - 3))
    low, high = min(rho, math.tanh(z - half)), max(rho, math.tanh(z + half))
    return Association(diagnostic=diagnostic, n=n, rho=rho, low=low, high=high)


def _confounded(entry: Entry, label: str) -> Confounded:
    layer = chosen(entry)
    names = list(dict.fromkeys(name for one in entry.layers for name in one.geometry if name != "n_stimuli"))
    raw = [one.raw for one in entry.layers]
    return Confounded(
        model=label,
        raw=_number(entry.raw),
        low=_number(entry.low),
        high=_number(entry.high),
        layer=entry.layer or "",
        depth=math.nan if layer is None else layer.depth,
        geometry={} if layer is None else dict(layer.geometry),
        over_layers=(
            association("depth", raw, [one.depth for one in entry.layers]),
            *(association(name, raw, [one.geometry.get(name) for one in entry.layers]) for name in names),
        ),
    )


def _mean(found: Sequence[Association], diagnostic: str) -> Association:
    """The mean over models; a sample of models, each with its own rank correlation."""
    from scipy.stats import t

    rho = np.asarray([a.rho for a in found if a.diagnostic == diagnostic and math.isfinite(a.rho)])
    if len(rho) < FEWEST:
        return Association(diagnostic=diagnostic, n=len(rho), rho=math.nan, low=math.nan, high=math.nan)
    mean = float(rho.mean())
    half = float(t.ppf(0.975, len(rho) - 1) * rho.std(ddof=1) / math.sqrt(len(rho)))
    return Association(
        diagnostic=diagnostic, n=len(rho), rho=mean, low=max(-1.0, mean - half), high=min(1.0, mean + half)
    )


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
