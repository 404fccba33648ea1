"""Comparing RDMs: strictly upper triangles, several measures, and all of them under stimulus multiplicities."""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Float
from brainbench.numerics.correlation import constant, midranks, pearson, weighted_midranks

COMPARISONS = ("spearman", "pearson", "kendall", "cosine")
PAIR_SAMPLES = 128  # samples whose pairs are weighed at a time: bounds the (samples, pairs) matrices


def upper(rdm: Float[Tensor, "*s n n"]) -> Float[Tensor, "*s q"]:
    """The strictly upper triangle, row by row: the diagonal is never part of a comparison."""
    n = rdm.shape[-1]
    i, j = torch.triu_indices(n, n, offset=1)
    return rdm[..., i, j]


def compare(x: Float[Tensor, " q"], y: Float[Tensor, "q s"], how: str) -> Float[Tensor, " s"]:
    """Agreement of one condensed RDM x with each column of y; NaN where a side is constant or not finite.

    `spearman`, `pearson`, `cosine`, and `kendall`: tau-a (concordant minus discordant over all pairs of pairs).
    """
    _check(how)
    x, y = x.double(), y.double()
    finite = torch.isfinite(x).all() & torch.isfinite(y).all(dim=0)
    x, y = x.nan_to_num()[:, None], y.nan_to_num()
    if how == "kendall":
        out = _tau_a(x[:, 0], y, torch.ones(1, len(x), dtype=x.dtype, device=x.device))[0]
    elif how == "cosine":
        out = (x * y).sum(dim=0) / (x.norm(dim=0) * y.norm(dim=0))
    else:
        if how == "spearman":
            x, y = midranks(x), midranks(y)
        out = pearson(x.expand_as(y), y)
    return torch.where(finite, out, torch.nan)


def resampled(
    x: Float[Tensor, "n n"], y: Float[Tensor, "s n n"], weights: Float[Tensor, "b n"], how: str
) -> Float[Tensor, "b s"]:
    """`compare` of RDM x with each y in each sample in which stimulus i occurs `weights[b, i]` times.

    Pairs of a stimulus with its own copy are left out: their distance is 0 by construction, not by measurement. Ranks
    are those within the sample. Pearson and cosine are quadratic forms wᵀ M w of the multiplicities: one matrix
    product a moment. Rank types weigh the pairs: sorted once, ranked for all samples at once.
    """
    _check(how)
    weights = weights.double()
    rows, columns = torch.triu_indices(x.shape[0], x.shape[0], offset=1)
    condensed, others = upper(x.double()), upper(y.double()).T
    finite = torch.isfinite(condensed).all() & torch.isfinite(others).all(dim=0)
    condensed, others = condensed.nan_to_num(), others.nan_to_num()
    if how in ("pearson", "cosine"):
        out = _moments(condensed, others, weights, (rows, columns), centred=how == "pearson")
    else:
        agree = _spearman if how == "spearman" else _tau_a
        parts = weights.split(PAIR_SAMPLES)
        out = torch.cat([agree(condensed, others, w[:, rows] * w[:, columns]) for w in parts])
    return torch.where(finite, out, torch.nan)


def _check(how: str) -> None:
    if how not in COMPARISONS:
        raise UsageError(f"no comparison {how!r} of RDMs; there are {', '.join(COMPARISONS)}")


def _moments(x: Tensor, y: Tensor, weights: Tensor, pairs: tuple[Tensor, Tensor], *, centred: bool) -> Tensor:
    n = weights.shape[1]

    def total(values: Tensor) -> Tensor:
        """Sum over pairs of the sample, of each column of condensed values (q, k): (b, k)."""
        square = torch.zeros(values.shape[1], n, n, dtype=values.dtype, device=values.device)
        square[:, pairs[0], pairs[1]] = values.T
        return torch.stack([((weights @ matrix) * weights).sum(dim=1) for matrix in square], dim=1)

    if centred:  # on the unweighted means, which keeps the sums below from cancelling
        x, y = x - x.mean(), y - y.mean(dim=0)
    x = x[:, None]
    sums = total(torch.cat([x.square(), y.square(), x * y], dim=1))
    s = y.shape[1]
    xx, yy, xy = sums[:, :1], sums[:, 1 : s + 1], sums[:, s + 1 :]
    if centred:
        means = total(torch.cat([torch.ones_like(x), x, y], dim=1))
        count, sx, sy = means[:, :1], means[:, 1:2], means[:, 2:]
        tiny = 1e-12
        flat = (xx - sx.square() / count <= tiny * xx) | (yy - sy.square() / count <= tiny * yy)
        xx, yy, xy = xx - sx.square() / count, yy - sy.square() / count, xy - sx * sy / count
        return torch.where(flat, torch.nan, xy / (xx * yy).sqrt())
    return xy / (xx * yy).sqrt()


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
    _check(how)
    rdms = rdms[:, torch.isfinite(rdms).all(dim=0)].double()
    if how in ("spearman", "kendall"):
        rdms = midranks(rdms)
    elif how == "pearson":
        rdms = (rdms - rdms.mean(dim=0)) / rdms.std(dim=0)
    else:
        rdms = rdms / rdms.norm(dim=0)
    return rdms.mean(dim=1)
