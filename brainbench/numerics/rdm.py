"""Comparing RDMs: strictly upper triangles, several measures, and all of them under stimulus multiplicities."""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Float
from brainbench.numerics.correlation import constant, midranks, weighted_midranks, weighted_pearson

COMPARISONS = ("spearman", "pearson", "kendall", "cosine")


def upper(rdm: Float[Tensor, "*s n n"]) -> Float[Tensor, "*s q"]:
    """The strictly upper triangle, row by row: the diagonal is never part of a comparison."""
    n = rdm.shape[-1]
    i, j = torch.triu_indices(n, n, offset=1)
    return rdm[..., i, j]


def pair_weights(weights: Float[Tensor, "b n"]) -> Float[Tensor, "b q"]:
    """How often each pair of different stimuli occurs when stimulus i occurs `weights[b, i]` times.

    Pairs of a stimulus with its own copy are left out: their distance is 0 by construction, not by measurement.
    """
    i, j = torch.triu_indices(weights.shape[1], weights.shape[1], offset=1)
    return weights[:, i] * weights[:, j]


def compare(x: Float[Tensor, " q"], y: Float[Tensor, "q s"], how: str) -> Float[Tensor, " s"]:
    """Agreement of one condensed RDM x with each column of y; NaN where a side is constant or not finite.

    `spearman`, `pearson`, `cosine`, and `kendall`: tau-a (concordant minus discordant over all pairs of pairs).
    """
    return compare_weighted(x, y, torch.ones(1, len(x), dtype=torch.float64, device=x.device), how)[0]


def compare_weighted(
    x: Float[Tensor, " q"], y: Float[Tensor, "q s"], pairs: Float[Tensor, "b q"], how: str
) -> Float[Tensor, "b s"]:
    """`compare` in each sample in which pair q occurs `pairs[b, q]` times; ranks are those within the sample."""
    x, y, pairs = x.double(), y.double(), pairs.double()
    finite = torch.isfinite(x).all() & torch.isfinite(y).all(dim=0)
    x, y = x.nan_to_num(), y.nan_to_num()
    if how == "pearson":
        out = weighted_pearson(x[:, None].expand_as(y), y, pairs)
    elif how == "spearman":
        out = _spearman(x, y, pairs)
    elif how == "cosine":
        out = (pairs @ (x[:, None] * y)) / ((pairs @ x.square()[:, None]) * (pairs @ y.square())).sqrt()
    elif how == "kendall":
        out = _tau_a(x, y, pairs)
    else:
        raise UsageError(f"no comparison {how!r} of RDMs; there are {', '.join(COMPARISONS)}")
    return torch.where(finite, out, torch.nan)


def _spearman(x: Tensor, y: Tensor, pairs: Tensor) -> Tensor:
    weights = pairs.T.contiguous()
    middle = (weights.sum(dim=0) + 1) / 2  # the mean rank of any sample of that size
    ranks_x = weighted_midranks(x, weights) - middle
    weighted_x = weights * ranks_x
    norm_x = (weighted_x * ranks_x).sum(dim=0)
    out = torch.empty(len(pairs), y.shape[1], dtype=torch.float64, device=x.device)
    for column in range(y.shape[1]):
        ranks_y = weighted_midranks(y[:, column], weights) - middle
        norm = (norm_x * (weights * ranks_y.square()).sum(dim=0)).sqrt()
        out[:, column] = torch.where(norm > 0, (weighted_x * ranks_y).sum(dim=0) / norm, torch.nan)
    return out


def _tau_a(x: Tensor, y: Tensor, pairs: Tensor) -> Tensor:
    sign_x = torch.sign(x[:, None] - x[None])
    total = pairs.sum(dim=1)
    out = torch.empty(len(pairs), y.shape[1], dtype=torch.float64, device=x.device)
    for column in range(y.shape[1]):
        agree = sign_x * torch.sign(y[:, None, column] - y[None, :, column])
        out[:, column] = ((pairs @ agree) * pairs).sum(dim=1) / (total * (total - 1))
    flat = constant(x[:, None]) | constant(y)
    return torch.where(flat, torch.nan, out)


def pooled(rdms: Float[Tensor, "q s"], how: str) -> Float[Tensor, " q"]:
    """The mean RDM of several subjects, each first brought to what the comparison looks at.

    Ranks for Spearman and Kendall, z-scores for Pearson, unit length for cosine. Averaging raw RDMs and comparing
    ranks would give an upper bound that a model can pass. Columns that are not finite are left out.
    """
    rdms = rdms[:, torch.isfinite(rdms).all(dim=0)].double()
    if how in ("spearman", "kendall"):
        rdms = midranks(rdms)
    elif how == "pearson":
        rdms = (rdms - rdms.mean(dim=0)) / rdms.std(dim=0)
    elif how == "cosine":
        rdms = rdms / rdms.norm(dim=0)
    else:
        raise UsageError(f"no comparison {how!r} of RDMs; there are {', '.join(COMPARISONS)}")
    return rdms.mean(dim=1)
