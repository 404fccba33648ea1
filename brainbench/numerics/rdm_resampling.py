"""RDM comparisons under stimulus multiplicities, and how far their spread is from that of the score itself.

A sample in which stimulus i occurs w_i times holds pair (i, j) w_i w_j times. Pearson and cosine need five sums over
pairs, so all samples, layers and subjects are one matrix product. Spearman needs every RDM's ranks in every sample:
each RDM is sorted once, a rank is a running sum of pair weights in that order, and layers and subjects share theirs.

A comparison is nearly a mean over pairs, of which two share a stimulus or none. Resampling stimuli shows three times
the variance of the part in which pairs are independent of each other (Efron & Stein 1981): `spread_ratio` says by how
much too wide replicates are, from each pair's `influence`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.correlation import Order, midranks, ordered, weighted_midranks
from brainbench.numerics.rdm import check_comparison, compare, concordances, tau_a, upper

PAIRS = 8192  # pairs, and
SAMPLES = 256  # samples, whose weights make one factor of a matrix product: it fits into a cache
RANKS = 2**18  # ranks of one RDM that are made at a time, which fit into a cache, too


def resampled(
    x: Float[Tensor, "l n n"], y: Float[Tensor, "s n n"], weights: Float[Tensor, "b n"], how: str
) -> Float[Tensor, "b l s"]:
    """`compare` of each RDM x with each y in each sample in which stimulus i occurs `weights[b, i]` times; float64.

    Pairs of a stimulus with its own copy are left out: their distance is 0 by construction, not by measurement. Ranks
    are those within the sample. RDMs are centred, scaled and sorted in float64; pairs are weighed and summed in the
    precision of `weights`: float32 is off by some 1e-7 and twice as quick. NaN where a side is constant in the sample
    or not finite. Raises UsageError for an unknown comparison.
    """
    check_comparison(how)
    rdms = upper(torch.cat([x, y]).double())
    finite = torch.isfinite(rdms).all(dim=1)
    models, brains = rdms.nan_to_num().split([len(x), len(y)])
    run = {"spearman": _spearman, "kendall": _tau_a, "pearson": _pearson, "cosine": _cosine}[how]
    return torch.where(finite[: len(x), None] & finite[len(x) :], run(models, brains, weights), torch.nan)


def _sums(x: Tensor, y: Tensor, weights: Tensor, *, means: bool) -> list[Tensor]:
    """Weighted sums over pairs (b, ...) of 1, x, y where `means` are asked for, and of x², y², x y."""
    n = weights.shape[1]
    rows, columns = torch.triu_indices(n, n, offset=1, device=weights.device)
    x, y, by_stimulus = x.to(weights.dtype), y.to(weights.dtype), weights.T.contiguous()
    total: Tensor | None = None
    for i, j, u, v in zip(rows.split(PAIRS), columns.split(PAIRS), x.split(PAIRS, 1), y.split(PAIRS, 1)):
        first = [torch.ones_like(u[:1]), u, v] if means else []
        moments = torch.cat([*first, u.square(), v.square(), (u[:, None] * v).flatten(0, 1)]).T
        parts = [
            (w.index_select(0, i) * w.index_select(0, j)).T @ moments  # the weights of these pairs, (pair, sample)
            for w in by_stimulus.split(SAMPLES, dim=1)
        ]
        block = torch.cat(parts).double()
        total = block if total is None else total + block
    assert total is not None
    sizes = ([1, len(x), len(y)] if means else []) + [len(x), len(y), len(x) * len(y)]
    return list(total.split(sizes, dim=1))


def _pearson(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    # around the mean and in units of the spread over all pairs, which keeps the sums from cancelling
    x, y = ((v - v.mean(dim=1, keepdim=True)) / _scale(v.std(dim=1, keepdim=True)) for v in (x, y))
    count, sx, sy, xx, yy, xy = _sums(x, y, weights, means=True)
    tiny = 1e-12 if weights.dtype == torch.float64 else 1e-6
    flat_x, flat_y = (sq - s.square() / count <= tiny * sq for s, sq in ((sx, xx), (sy, yy)))
    xx, yy = xx - sx.square() / count, yy - sy.square() / count
    xy = xy.unflatten(1, (len(x), len(y))) - sx[:, :, None] * sy[:, None] / count[:, :, None]
    out = xy / (xx[:, :, None] * yy[:, None]).sqrt()
    return torch.where(flat_x[:, :, None] | flat_y[:, None], torch.nan, out)


def _cosine(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    x, y = (v / _scale(v.square().mean(dim=1, keepdim=True).sqrt()) for v in (x, y))
    xx, yy, xy = _sums(x, y, weights, means=False)
    return xy.unflatten(1, (len(x), len(y))) / (xx[:, :, None] * yy[:, None]).sqrt()


def _scale(value: Tensor) -> Tensor:
    return torch.where(value > 0, value, 1.0)


def _spearman(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    n, (layers, q) = weights.shape[1], x.shape
    rows, columns = torch.triu_indices(n, n, offset=1, device=weights.device)
    orders = [ordered(rdm) for rdm in (*x, *y)]
    out = []
    for part in weights.split(max(1, RANKS // q)):
        pairs = part.index_select(1, rows) * part.index_select(1, columns)
        ranks = pairs.new_empty(len(orders), *pairs.shape)
        for order, into in zip(orders, ranks):
            weighted_midranks(order, pairs, out=into)
        count = pairs.sum(dim=1, dtype=torch.float64)
        middle = (count + 1)[:, None].to(pairs.dtype) / 2  # the mean rank, whatever is ranked
        own = (pairs.square() * pairs).sum(dim=1, dtype=torch.float64)
        cubes = (count**3 - own) / 12  # Σ w (rank - middle)² if only copies tie
        squares = torch.stack([
            cubes if order.ends is None else (pairs * (rank - middle).square()).sum(dim=1, dtype=torch.float64)
            for order, rank in zip(orders, ranks)
        ], dim=1)  # fmt: skip
        ranks[layers:].sub_(middle).mul_(pairs)  # sums to 0 over pairs, so the layers' need no centring
        products = torch.bmm(ranks[:layers].transpose(0, 1), ranks[layers:].permute(1, 2, 0)).double()
        norm = (squares[:, :layers, None] * squares[:, None, layers:]).sqrt()
        out.append(torch.where(norm > 0, products / norm, torch.nan))
    return torch.cat(out)


def _tau_a(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    n = weights.shape[1]
    rows, columns = torch.triu_indices(n, n, offset=1, device=weights.device)
    weights = weights.double()
    parts = [w[:, rows] * w[:, columns] for w in weights.split(SAMPLES)]
    return torch.stack([torch.cat([tau_a(rdm, y.T, pairs) for pairs in parts]) for rdm in x], dim=1)


def influence(x: Float[Tensor, " q"], y: Float[Tensor, "q s"], how: str) -> Float[Tensor, "q s"]:
    """How each pair moves `compare(x, y, how)`: pairs of weights w change it by mean((w - 1) influence), at first.

    Each column has mean 0. With c(x, y) = x y of standardised values it is c(x, y) - r (c(x, x) + c(y, y)) / 2 around
    its mean; for Spearman these are ranks, and c has what a pair's weight does to the other pairs' ranks, too; for
    tau-a it is twice the pair's mean concordance. NaN where a side is constant or not finite. Raises UsageError for
    an unknown comparison.
    """
    check_comparison(how)
    y = y.double()
    defined = torch.isfinite(compare(x, y, how))
    x, y = x.double().nan_to_num()[:, None], y.nan_to_num()
    if how == "kendall":
        means = [torch.cat([agree.mean(dim=1) for _, agree in concordances(x[:, 0], c)]) for c in y.T]
        out = 2 * torch.stack(means, dim=1)
    else:
        of_x: list[Order] = []
        of_y: list[Order] = []
        if how == "spearman":
            of_x, of_y = [ordered(x[:, 0])] * y.shape[1], [ordered(c) for c in y.T]
            x, y = midranks(x), midranks(y)
        x = x.expand_as(y)
        if how != "cosine":
            x, y = x - x.mean(dim=0), y - y.mean(dim=0)
        xx, yy, xy = x.square().mean(dim=0), y.square().mean(dim=0), (x * y).mean(dim=0)
        own = _moved(x, x, of_x, of_x) / xx + _moved(y, y, of_y, of_y) / yy
        out = (_moved(x, y, of_x, of_y) - xy * own / 2) / (xx * yy).sqrt()
    return torch.where(defined, out - out.mean(dim=0), torch.nan)


def _moved(x: Tensor, y: Tensor, of_x: list[Order], of_y: list[Order]) -> Tensor:
    """What a pair adds to the sum of x y, up to a constant: its own product, and what it moves others' ranks by.

    It lifts all that rank above it, which adds up to minus the sum over those below, because ranks are centred.
    """
    out = x * y
    for k, (a, b) in enumerate(zip(of_x, of_y)):
        below = weighted_midranks(a, y[None, :, k]) + weighted_midranks(b, x[None, :, k])
        out[:, k] -= below[0]
    return out


def spread_ratio(influences: Float[Tensor, "s n n"], fold: int | float, *, linear: bool = False) -> float:
    """The variance that a mean over pairs of stimuli and over subjects has, over that of its replicates.

    `influences` has each subject's pairs as a symmetric matrix, summed over folds, 0 where a pair is in none; `fold` is
    how many stimuli a fold has. With A and B the sums of squares of rows' sums and of pairs, replicates show A + B and
    (A - B) n (n - 1) / ((n - 2) (n - 3)) has the score's variance as its mean (Σ h of all pairs of n stimuli, around
    its mean). Replicates divide by their own pairs, which are (n - 1) / n as many. Those that are `linear` in weights,
    of a jackknife, show A (n - 1)² / (n - 2)² instead of A + B. 1 for folds of less than 4.
    """
    if fold < 4:
        return 1.0
    mean = influences.mean(dim=0)
    row, pair = _overlaps(mean[None])
    own_row, own_pair = (v / len(influences) ** 2 for v in _overlaps(influences - mean))
    shown = row + own_row if linear else row + pair + own_row + own_pair
    once = (fold - 2) / (fold - 1) if linear else (fold - 1) / fold
    few = fold * (fold - 1) / ((fold - 2) * (fold - 3)) * once**2
    true = max(few * (row - pair - own_row + own_pair), pair - own_pair, 0.0)
    return true / shown if shown > 0 else 1.0


def spread_over_folds(
    influences: Sequence[Float[Tensor, "s _m _m"]], folds: Sequence[Int[Tensor, " _m"]], *, linear: bool = False
) -> float:
    """`spread_ratio` of a mean over folds, from the influences of each fold's pairs; `folds` names stimuli's units.

    What is drawn together is one unit; pairs within one are on the diagonal. Subjects with a NaN have no say; 1 where
    none is left.
    """
    n = int(torch.cat(list(folds)).max()) + 1
    total = influences[0].new_zeros(len(influences[0]), n, n)
    for moved, units in zip(influences, folds):
        by_column = total.new_zeros(len(total), len(units), n).index_add_(2, units, moved)
        total.index_add_(1, units, by_column)
    defined = total.isfinite().all(dim=2).all(dim=1)
    sizes = [len(units.unique()) for units in folds]
    return spread_ratio(total[defined], sum(sizes) / len(sizes), linear=linear) if defined.any() else 1.0


def _overlaps(h: Tensor) -> tuple[float, float]:
    """Sums of squares of the rows' sums, and of the pairs."""
    return float(h.sum(dim=2).square().sum()), float(h.triu(diagonal=1).square().sum())
