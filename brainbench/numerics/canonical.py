"""Canonical correlations and Procrustes shape distances of two layers, from the eigenbases of their Gram matrices.

With the centred Gram X Xᵀ = U diag(λ) Uᵀ, both are singular values of U_xᵀ U_y: bare for the canonical correlations
(Hotelling 1936; SVCCA: Raghu et al. 2017), scaled by √λ on both sides for Procrustes, where |XᵀY|_* is their sum
(Schönemann 1966; Williams, Kunz, Kornblith & Linderman 2021). Bases come from `Representation.eigh`, which decomposes
each layer once for ridge and for these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.representation import Eigenbasis


@dataclass(frozen=True, slots=True, kw_only=True)
class CCA:
    """Mean canonical correlation, mean of its square, what noise would reach, and how many components each side has.

    `null` is the mean square that independent subspaces of these dimensions have, max(p, q) / (n - 1); `corrected` is
    (mean_square - null) / (1 - null): 0 for noise, 1 for one subspace in the other, NaN where noise too would reach 1.
    """

    mean: float
    mean_square: float
    null: float
    corrected: float
    components: tuple[int, int]


def cca(x: Eigenbasis, y: Eigenbasis, *, variance: float = 0.99) -> CCA:
    """Agreement of the subspaces that hold `variance` of each side (SVCCA), beside its exact null.

    Means are over min(p, q) canonical correlations, 0 to 1. All NaN where a side has no components. Invariant to every
    invertible linear map within the kept subspaces. Raises InputError where the sides differ in the number of stimuli,
    UsageError for a variance outside (0, 1].
    """
    r = canonical_correlations(x, y, variance=variance)
    p, q = components(x, variance), components(y, variance)
    square = float(r.square().mean())
    null = max(p, q) / (x.n - 1) if p and q else float("nan")
    corrected = (square - null) / (1 - null) if null < 1 else float("nan")
    return CCA(mean=float(r.mean()), mean_square=square, null=null, corrected=corrected, components=(p, q))


def canonical_correlations(x: Eigenbasis, y: Eigenbasis, *, variance: float = 0.99) -> Float[Tensor, " k"]:
    """The min(p, q) canonical correlations, descending, of the leading components that hold `variance` of each side."""
    _same_stimuli(x, y)
    u, v = x.vectors[:, : components(x, variance)], y.vectors[:, : components(y, variance)]
    return torch.linalg.svdvals(u.T @ v).clamp_max(1)


def components(basis: Eigenbasis, variance: float) -> int:
    """The least number of leading components whose eigenvalues sum to `variance` of all."""
    if not 0 < variance <= 1:
        raise UsageError(f"variance is a share in (0, 1]; got {variance}")
    share = basis.values.cumsum(dim=0) / basis.values.sum()
    return int((share < variance - 1e-12).sum()) + 1 if len(share) else 0  # all of it, up to rounding, is all of it


def shape_similarity(x: Eigenbasis, y: Eigenbasis) -> Float[Tensor, ""]:
    """|XᵀY|_* of centred features of unit Frobenius norm: 1 for equal shapes, NaN where a side is constant.

    The cosine of the angle that the best rotation leaves, and the Bures (fidelity) similarity of the two Grams, trace
    √(√K L √K). Taken as singular values and not as roots of eigenvalues of K L, which would lose half of the digits.
    High for noise: each of many dimensions finds a partner. Raises InputError where the numbers of stimuli differ.
    """
    _same_stimuli(x, y)
    a, b = (basis.vectors * (basis.values / basis.values.sum()).sqrt() for basis in (x, y))
    if 0 in (a.shape[1], b.shape[1]):
        return torch.tensor(torch.nan, dtype=torch.float64, device=a.device)
    return torch.linalg.svdvals(a.T @ b).sum().clamp_max(1)


def shuffled_similarity(x: Eigenbasis, y: Eigenbasis, orders: Int[Tensor, "b n"]) -> Float[Tensor, ""]:
    """The mean `shape_similarity` over orders of the stimuli of x: what chance reaches. NaN as there.

    As roots of eigenvalues, many times as quick as singular values and good to 1e-7, which a mean of few orders does
    not show.
    """
    _same_stimuli(x, y)
    a, b = (basis.vectors * (basis.values / basis.values.sum()).sqrt() for basis in (x, y))
    if 0 in (a.shape[1], b.shape[1]):
        return torch.tensor(torch.nan, dtype=torch.float64, device=a.device)
    products = [a[order].T @ b for order in orders]
    small = [m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m for m in products]
    return torch.stack([torch.linalg.eigvalsh(m).clamp_min(0).sqrt().sum().clamp_max(1) for m in small]).mean()


def procrustes_distance(x: Eigenbasis, y: Eigenbasis) -> Float[Tensor, ""]:
    """min over rotations Q of |X - Y Q|, features centred and of unit Frobenius norm: √(2 - 2 s), 0 to √2.

    A metric. Near 0 it is good to 1e-8, the root of float64's precision. NaN and errors as in `shape_similarity`.
    """
    return (2 - 2 * shape_similarity(x, y)).sqrt()


def angular_distance(x: Eigenbasis, y: Eigenbasis) -> Float[Tensor, ""]:
    """The angular shape distance arccos s in radians, 0 to π/2: the geodesic beside `procrustes_distance`."""
    return shape_similarity(x, y).arccos()


def _same_stimuli(x: Eigenbasis, y: Eigenbasis) -> None:
    if x.n != y.n:
        raise InputError(f"bases of {x.n} and {y.n} stimuli cannot be compared")
