"""Which unit of one system is which unit of another, and whether there is such a unit at all.

From the correlations C (p, q) of two systems' units over stimuli: one-to-one partners that maximise the sum of C
(`bipartite`), the best partner of each unit (`semi_matching`) and groups of units across systems (`groups`). Li,
Yosinski et al. 2015; their prediction of each unit from few of the other system's is `numerics.lasso`. One-to-one far
below semi-matching means shared dimensions without shared units; both far below dense prediction means a code that is
spread over units. Partners are chosen on some stimuli and scored on others: the best of q noise correlations is high.
Correlations are signed; `absolute=True` lets a unit match its negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Bool, Float, Int
from brainbench.numerics.correlation import constant, pearson


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Units of x and their partners in y, the correlation they were matched on, and how many units were dead.

    Dead units (constant, or not finite for some stimulus) have no partner. `sign` is the match's own, -1 only where
    the matching was `absolute`.
    """

    x: Int[Tensor, " k"]
    y: Int[Tensor, " k"]
    correlation: Float[Tensor, " k"]
    sign: Float[Tensor, " k"]
    dead_x: int
    dead_y: int


def dead(features: Float[Tensor, "n p"]) -> Bool[Tensor, " p"]:
    """True for units that are constant, or not finite for some stimulus: nothing correlates with them."""
    return constant(features) | ~torch.isfinite(features).all(dim=0)


def unit_correlations(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"]) -> Float[Tensor, "p q"]:
    """Pearson correlation over stimuli of each unit of x with each of y, float64; NaN rows and columns of dead units.

    Positions of a convolution may stand as further stimuli, but they are not independent ones: leave out whole
    stimuli, not positions. Raises InputError below 3 stimuli, where every correlation is 1 or -1.
    """
    if len(x) < 3:
        raise InputError(f"{len(x)} stimuli: correlations need at least 3")
    scores = []
    for side in (x, y):
        live = side.double() - side.double().mean(dim=0)
        scores.append(torch.where(dead(side), torch.nan, live / live.norm(dim=0)))
    return (scores[0].T @ scores[1]).clamp(-1, 1)


def bipartite(correlations: Float[Tensor, "p q"], *, absolute: bool = False) -> Matching:
    """One-to-one partners with the largest sum of correlations: min(p, q) pairs of live units (Hungarian algorithm)."""
    from scipy.optimize import linear_sum_assignment

    rows, columns, live = _live(correlations, absolute=absolute)
    at_x, at_y = linear_sum_assignment(live.cpu().numpy(), maximize=True)
    return _matching(correlations, rows[torch.as_tensor(at_x)], columns[torch.as_tensor(at_y)], absolute=absolute)


def semi_matching(correlations: Float[Tensor, "p q"], *, absolute: bool = False) -> Matching:
    """Each live unit of x with its best partner in y, who may serve many: never below `bipartite` for any unit."""
    rows, columns, live = _live(correlations, absolute=absolute)
    best = columns[live.argmax(dim=1)] if len(columns) else columns
    return _matching(correlations, rows[: len(best)], best, absolute=absolute)


def match_score(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], matching: Matching) -> Float[Tensor, " k"]:
    """Correlation of each matched pair over these stimuli, times the sign it was matched with; NaN where constant.

    Give it stimuli that the matching has not seen. Pairs of noise then have 0 on average, and a partner
    y = x + noise of variance s² has 1 / √(1 + s²).
    """
    return matching.sign * pearson(x[:, matching.x].double(), y[:, matching.y].double())


def groups(
    x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], *, n_groups: int, seed: int, absolute: bool = False
) -> tuple[Int[Tensor, " p"], Int[Tensor, " q"]]:
    """The group, 0..n_groups-1, of each unit of x and of y: many-to-many matching. -1 for dead units.

    Spectral clustering (Ng, Jordan & Weiss 2002, but that every unit keeps its link of 1 to itself) of the graph that
    links all p + q units by their positive correlations (by |C| if `absolute`), within systems as well as between. A
    group may hold units of one system only: those are what the other lacks. Raises UsageError for more groups than
    live units.
    """
    from sklearn.cluster import KMeans

    units = torch.cat([x.double(), y.double()], dim=1)
    live = ~dead(units)
    if not 1 <= n_groups <= int(live.sum()):
        raise UsageError(f"{n_groups} groups of {int(live.sum())} units")
    between = unit_correlations(units[:, live], units[:, live])
    links = between.abs() if absolute else between.clamp_min(0)
    root = links.sum(dim=0).sqrt()
    leading = torch.linalg.eigh(links / root / root[:, None])[1][:, -n_groups:]
    leading = leading / leading.norm(dim=1, keepdim=True).clamp_min(1e-300)
    found = KMeans(n_groups, n_init=10, random_state=seed).fit_predict(leading.cpu().numpy())
    out = torch.full((units.shape[1],), -1, dtype=torch.long)
    out[live.cpu()] = torch.as_tensor(found).long()
    return out[: x.shape[1]], out[x.shape[1] :]


def _live(correlations: Tensor, *, absolute: bool) -> tuple[Tensor, Tensor, Tensor]:
    finite = torch.isfinite(correlations)
    rows, columns = (torch.nonzero(finite.any(dim=d)).flatten() for d in (1, 0))
    live = correlations[rows][:, columns]
    if not bool(torch.isfinite(live).all()):
        raise InputError("correlations are missing for single pairs, not for whole units")
    return rows, columns, live.abs() if absolute else live


def _matching(correlations: Tensor, at_x: Tensor, at_y: Tensor, *, absolute: bool) -> Matching:
    matched = correlations[at_x, at_y]
    finite = torch.isfinite(correlations)
    return Matching(
        x=at_x,
        y=at_y,
        correlation=matched,
        sign=torch.where(matched < 0, -1.0, 1.0).double() if absolute else torch.ones_like(matched),
        dead_x=int((~finite.any(dim=1)).sum()),
        dead_y=int((~finite.any(dim=0)).sum()),
    )
