"""Comparing RDMs: strictly upper triangles, several measures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Bool, Float
from brainbench.numerics.correlation import constant, midranks, pearson

COMPARISONS = ("spearman", "pearson", "kendall", "cosine")
CONCORDANCES = 2**24  # pairs of pairs of stimuli that are looked at together


def upper(rdm: Float[Tensor, "*s n n"]) -> Float[Tensor, "*s q"]:
    """The strictly upper triangle, row by row: the diagonal is never part of a comparison."""
    n = rdm.shape[-1]
    i, j = torch.triu_indices(n, n, offset=1)
    return rdm[..., i, j]


def square(pairs: Float[Tensor, "s q"]) -> Float[Tensor, "s n n"]:
    """Symmetric matrices with these entries above the diagonal, row by row, and 0 on it: what `upper` takes apart."""
    n = round((1 + (1 + 8 * pairs.shape[1]) ** 0.5) / 2)
    i, j = torch.triu_indices(n, n, offset=1, device=pairs.device)
    out = pairs.new_zeros(len(pairs), n, n)
    out[:, i, j] = out[:, j, i] = pairs
    return out


def compare(x: Float[Tensor, " q"], y: Float[Tensor, "q s"], how: str) -> Float[Tensor, " s"]:
    """Agreement of one condensed RDM x with each column of y; NaN where a side is constant (cosine: 0) or not finite.

    `spearman`, `pearson`, `cosine`, and `kendall`: tau-a (concordant minus discordant over all pairs of pairs).
    """
    check_comparison(how)
    x, y = x.double(), y.double()
    finite = torch.isfinite(x).all() & torch.isfinite(y).all(dim=0)
    x, y = x.nan_to_num()[:, None], y.nan_to_num()
    if how == "kendall":
        out = tau_a(x[:, 0], y, torch.ones(1, len(x), dtype=x.dtype, device=x.device))[0]
    elif how == "cosine":
        out = (x * y).sum(dim=0) / (x.norm(dim=0) * y.norm(dim=0))
    else:
        if how == "spearman":
            x, y = midranks(x), midranks(y)
        out = pearson(x.expand_as(y), y)
    return torch.where(finite, out, torch.nan)


def check_comparison(how: str) -> None:
    """Raises UsageError where there is no comparison of that name."""
    if how not in COMPARISONS:
        raise UsageError(f"no comparison {how!r} of RDMs; there are {', '.join(COMPARISONS)}")


def tau_a(x: Float[Tensor, " q"], y: Float[Tensor, "q s"], pairs: Float[Tensor, "b q"]) -> Float[Tensor, "b s"]:
    """Kendall's tau-a of x with each column of y where entry i occurs `pairs[b, i]` times; NaN for a constant side.

    It is that of the repeated entries: copies of one tie with each other, which lowers it a little.
    """
    total = pairs.sum(dim=1)
    out = torch.zeros(len(pairs), y.shape[1], dtype=torch.float64, device=x.device)
    for column, c in enumerate(y.T):
        for rows, agree in concordances(x, c):
            out[:, column] += ((pairs[:, rows] @ agree) * pairs).sum(dim=1)
    flat = torch.stack([_flat(x, pairs) | _flat(c, pairs) for c in y.T], dim=1)
    return torch.where(flat, torch.nan, out / (total * (total - 1))[:, None])


def _flat(x: Float[Tensor, " q"], pairs: Float[Tensor, "b q"]) -> Bool[Tensor, " b"]:
    """Whether the entries of x that occur are all the same number."""
    highest, lowest = (torch.where(pairs > 0, x, beyond) for beyond in (-torch.inf, torch.inf))
    return highest.amax(dim=1) == lowest.amin(dim=1)


def concordances(x: Float[Tensor, " q"], y: Float[Tensor, " q"]) -> Iterator[tuple[slice, Float[Tensor, "r q"]]]:
    """1 where two entries are in one order in x and y, -1 where not, 0 for a tie: some rows at a time.

    The whole matrix of 300 stimuli has 45,000² entries.
    """
    height = max(1, CONCORDANCES // len(x))
    for start in range(0, len(x), height):
        rows = slice(start, start + height)
        yield rows, torch.sign(x[rows, None] - x) * torch.sign(y[rows, None] - y)


def pooled(rdms: Float[Tensor, "q s"], how: str) -> Float[Tensor, " q"]:
    """The mean RDM of several subjects, each first brought to what the comparison looks at.

    Ranks for Spearman and Kendall, z-scores for Pearson, unit length for cosine. Averaging raw RDMs and comparing
    ranks would give an upper bound that a model can pass. Columns that are not finite, or the same everywhere, are left
    out; NaN where none is left.
    """
    check_comparison(how)
    rdms = rdms[:, torch.isfinite(rdms).all(dim=0) & ~constant(rdms)].double()
    if not rdms.shape[1]:
        return rdms.new_full((len(rdms),), torch.nan)
    if how in ("spearman", "kendall"):
        rdms = midranks(rdms)
    elif how == "pearson":
        rdms = (rdms - rdms.mean(dim=0)) / rdms.std(dim=0)
    else:
        rdms = rdms / rdms.norm(dim=0)
    return rdms.mean(dim=1)
