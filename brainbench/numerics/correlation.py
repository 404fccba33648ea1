"""Agreement of predictions with responses, column by column, and under stimulus multiplicities.

Every function returns NaN for a column that is constant on either side: a correlation is not defined there, and 0
would be a score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainbench.numerics._shapes import Bool, Float, Int


def constant(x: Float[Tensor, "n k"]) -> Bool[Tensor, " k"]:
    """True for columns whose entries are all the same number."""
    return x.amax(dim=0) == x.amin(dim=0)  # aminmax is eight times slower down a column


def pearson(x: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, " k"]:
    """Pearson correlation of each column of x with the same column of y; NaN where either is constant."""
    xc, yc = x - x.mean(dim=0), y - y.mean(dim=0)
    r = (xc * yc).sum(dim=0) / (xc.norm(dim=0) * yc.norm(dim=0))
    return torch.where(constant(x) | constant(y), torch.nan, r)


def r2(predicted: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, " k"]:
    """1 - sum of squared errors / sum of squares around the mean of y itself; NaN where y is constant."""
    residual = (y - predicted).square().sum(dim=0)
    return torch.where(constant(y), torch.nan, 1 - residual / (y - y.mean(dim=0)).square().sum(dim=0))


def explained_variance(predicted: Float[Tensor, "n k"], y: Float[Tensor, "n k"]) -> Float[Tensor, " k"]:
    """1 - var(y - predicted) / var(y): R² forgiven a wrong mean, so never below it; NaN where y is constant."""
    error = (y - predicted).var(dim=0, correction=0)
    return torch.where(constant(y), torch.nan, 1 - error / y.var(dim=0, correction=0))


def agreement(
    predicted: Float[Tensor, "n k"], y: Float[Tensor, "n k"]
) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"], Float[Tensor, " k"]]:
    """`pearson`, `r2` and `explained_variance` of the same columns, from sums that are made once."""
    mean_p, mean_y = predicted.mean(dim=0), y.mean(dim=0)
    p, t = predicted - mean_p, y - mean_y
    pp, tt, pt = p.square().sum(dim=0), t.square().sum(dim=0), (p * t).sum(dim=0)
    flat_p, flat_y = constant(predicted), constant(y)
    r = torch.where(flat_p | flat_y, torch.nan, pt / (pp.sqrt() * tt.sqrt()))
    error = (t - p).square().sum(dim=0)
    ev = torch.where(flat_y, torch.nan, 1 - error / tt)
    return r, ev - len(y) * (mean_y - mean_p).square() / tt, ev


def weighted_pearson(
    x: Float[Tensor, "n k"], y: Float[Tensor, "n k"], weights: Float[Tensor, "b n"]
) -> Float[Tensor, "b k"]:
    """Pearson correlation of each column pair under each row of multiplicities, as five matrix products.

    Equal to repeating row i of x and y `weights[b, i]` times. NaN where a column is constant on the rows that have
    weight, up to rounding: a variance below 1e-12 (float64) or 1e-6 (float32) of the unweighted one counts as none.
    """
    xc, yc = x - x.mean(dim=0), y - y.mean(dim=0)  # keeps the sums below from cancelling
    total = weights.sum(dim=1, keepdim=True)
    mean_x, mean_y = weights @ xc / total, weights @ yc / total
    var_x = weights @ xc.square() / total - mean_x.square()
    var_y = weights @ yc.square() / total - mean_y.square()
    cov = weights @ (xc * yc) / total - mean_x * mean_y
    tiny = 1e-12 if x.dtype == torch.float64 else 1e-6
    undefined = (var_x <= tiny * xc.square().mean(dim=0)) | (var_y <= tiny * yc.square().mean(dim=0))
    undefined |= constant(x) | constant(y)
    return torch.where(undefined, torch.nan, cov / (var_x.clamp_min(0).sqrt() * var_y.clamp_min(0).sqrt()))


@dataclass(frozen=True, slots=True)
class Order:
    """The ascending order of n values; where several tie, `ends` has the place of each tie's last, else None.

    `order` (n,) sorts the values, `tie` (n,) is the number of each value among the distinct ones.
    """

    order: Int[Tensor, " n"]
    tie: Int[Tensor, " n"]
    ends: Int[Tensor, " t"] | None


def ordered(x: Float[Tensor, " n"]) -> Order:
    """The order of x, which `weighted_midranks` needs once for all samples."""
    # NumPy sorts three times as quick as torch on a processor; the order of ties means nothing
    order = torch.from_numpy(np.argsort(x.detach().double().numpy())) if x.device.type == "cpu" else x.argsort()
    _, number, counts = torch.unique_consecutive(x[order], return_inverse=True, return_counts=True)
    tie = torch.empty_like(order)
    tie[order] = number
    return Order(order, tie, None if len(counts) == len(x) else counts.cumsum(0) - 1)


def midranks(x: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Ranks 1..n down each column, ties sharing their mean rank, as float64."""
    once = torch.ones(1, len(x), dtype=torch.float64, device=x.device)
    return torch.stack([weighted_midranks(ordered(column), once)[0] for column in x.T], dim=1)


def weighted_midranks(
    order: Order, weights: Float[Tensor, "b n"], *, out: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "b n"]:
    """Midranks in each sample in which value i occurs `weights[b, i]` times, in the precision of the weights.

    The rank of a value is the weight of all smaller ones plus half of (the weight of its ties + 1): exact in float32
    up to 2²³ values a sample. `out` is where to put them, as in torch.
    """
    own = weights.index_select(1, order.order)
    upto = own.cumsum(dim=1)
    if order.ends is not None:
        upto = upto.index_select(1, order.ends)
        own = upto.diff(dim=1, prepend=torch.zeros_like(upto[:, :1]))
    middle = upto.sub_(own, alpha=0.5).add_(0.5)
    return torch.index_select(middle, 1, order.tie, out=out)
