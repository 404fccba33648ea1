"""Canonical correlations and Procrustes shape distances of two sides, from what their centred Gram matrices hold.

With the centred Gram X Xᵀ = U diag(λ) Uᵀ, both are singular values: of U_xᵀ U_y for the canonical correlations
(Hotelling 1936; SVCCA: Raghu et al. 2017), of XᵀY for Procrustes, where |XᵀY|_* is their sum (Schönemann 1966;
Williams, Kunz, Kornblith & Linderman 2021). Any X with that Gram gives the same: `root` makes one that is as narrow as
the rank, and `principal` takes bases from it: for the 50 neuroids of a session nothing of all stimuli is decomposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import InputError, UsageError
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.alignment import double_centred
from brainbench.numerics.representation import Eigenbasis, Representation

TINY = 1e-12  # of the longest squared length: a root leaves out what is below


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
    square, null = float(r.square().mean()), _null(p, q, x.n)
    return CCA(mean=float(r.mean()), mean_square=square, null=null, corrected=_less(square, null), components=(p, q))


def cca_corrected(x: Eigenbasis, y: Eigenbasis, *, variance: float = 0.99) -> float:
    """`cca(x, y).corrected` alone, without canonical correlations: the sum of their squares is |U_xᵀ U_y|²."""
    _same_stimuli(x.vectors, y.vectors)
    p, q = components(x, variance), components(y, variance)
    square = float((x.vectors[:, :p].T @ y.vectors[:, :q]).square().sum()) / max(min(p, q), 1)
    return _less(square, _null(p, q, x.n))


def canonical_correlations(x: Eigenbasis, y: Eigenbasis, *, variance: float = 0.99) -> Float[Tensor, " k"]:
    """The min(p, q) canonical correlations, descending, of the leading components that hold `variance` of each side."""
    _same_stimuli(x.vectors, y.vectors)
    u, v = x.vectors[:, : components(x, variance)], y.vectors[:, : components(y, variance)]
    return torch.linalg.svdvals(u.T @ v).clamp_max(1)


def components(basis: Eigenbasis, variance: float) -> int:
    """The least number of leading components whose eigenvalues sum to `variance` of all."""
    if not 0 < variance <= 1:
        raise UsageError(f"variance is a share in (0, 1]; got {variance}")
    share = basis.values.cumsum(dim=0) / basis.values.sum()
    return int((share < variance - 1e-12).sum()) + 1 if len(share) else 0  # all of it, up to rounding, is all of it


def principal(gram: Float[Tensor, "n n"]) -> Eigenbasis:
    """The eigenbasis of a Gram matrix, centred on all its rows: by way of a narrow `root` where there is one."""
    narrow, names = root(gram), [str(row) for row in range(len(gram))]
    if 2 * narrow.shape[1] < len(gram):
        side = Representation.from_features(narrow, names)
    else:
        side = Representation.from_gram(gram, torch.zeros_like(gram[0]), len(gram), names)
    return side.eigh(torch.arange(len(gram), device=gram.device))


def root(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n k"]:
    """Some X (n, k) whose X Xᵀ is the centred Gram matrix, k its rank; float64. No column where all rows are one.

    -1/2 squared distances serve as well (Torgerson 1952). Cholesky's factor with pivots (Higham 1990), n k² operations:
    centred features, up to a rotation. Of a matrix that is no Gram matrix, such as that of distances which contradict
    each other, it is the components of positive strength, by eigendecomposition. Raises InputError for what is not
    finite.
    """
    from scipy.linalg.lapack import dpstrf  # here, because it takes as long to import as the rest of a small command

    if not gram.isfinite().all():
        raise InputError("the Gram matrix holds NaN or infinity")
    centred = double_centred(gram.detach())
    longest = max(float(gram.diagonal().max()), float(centred.abs().max()))
    if centred.abs().max() <= TINY * longest:  # which LAPACK does not ask of the first column
        return centred[:, :0]
    factor, pivots, rank, _ = dpstrf(centred.cpu().numpy(), lower=1, tol=TINY * longest)
    lower = np.zeros((len(gram), rank))
    lower[pivots - 1] = np.tril(factor[:, :rank])
    found = torch.from_numpy(lower).to(gram.device)
    probe = torch.arange(len(gram), dtype=torch.float64, device=gram.device).cos()
    expected = centred @ probe
    if (found @ (probe @ found) - expected).norm() <= 1e-6 * max(float(expected.norm()), longest):
        return found
    values, vectors = torch.linalg.eigh(centred)
    positive = values > TINY * longest
    return vectors[:, positive] * values[positive].sqrt()


def shape_similarity(x: Float[Tensor, "n k"], y: Float[Tensor, "m l"]) -> Float[Tensor, ""]:
    """|XᵀY|_* of features, or of any `root`, centred and of unit Frobenius norm: 1 for equal shapes.

    The cosine of the angle that the best rotation leaves, and the Bures (fidelity) similarity of the two Grams, trace
    √(√K L √K). Taken as singular values and not as roots of eigenvalues of K L, which would lose half of the digits.
    High for noise: each of many dimensions finds a partner. NaN where a side is constant. Raises InputError where the
    numbers of stimuli differ.
    """
    a, b = _of_unit_norm(x), _of_unit_norm(y)
    _same_stimuli(a, b)
    return torch.linalg.svdvals(a.T @ b).sum().clamp_max(1) if a.numel() and b.numel() else _undefined(x)


def shuffled_similarity(
    x: Float[Tensor, "n k"], y: Float[Tensor, "m l"], orders: Int[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """The mean `shape_similarity` over orders of the stimuli of x: what chance reaches. NaN as there.

    Roots of eigenvalues take the place of singular values: many times as quick, and good to 1e-7, which a mean of few
    orders does not show.
    """
    a, b = _of_unit_norm(x), _of_unit_norm(y)
    _same_stimuli(a, b)
    if not a.numel() or not b.numel():
        return _undefined(x)
    if a.shape[1] < b.shape[1]:
        wide, narrow = b, a
    else:
        wide, narrow, orders = a, b, orders.argsort(dim=1)  # to move y there is to move x back
    found = []
    for order in orders:
        product = wide.T @ narrow[order]
        found.append(torch.linalg.eigvalsh(product.T @ product).clamp_min(0).sqrt().sum().clamp_max(1))
    return torch.stack(found).mean()


def procrustes_distance(x: Float[Tensor, "n k"], y: Float[Tensor, "m l"]) -> Float[Tensor, ""]:
    """min over rotations Q of |X - Y Q|, features centred and of unit Frobenius norm: √(2 - 2 s), 0 to √2.

    A metric. Near 0 it is good to 1e-8, the root of float64's precision. NaN and errors as in `shape_similarity`.
    """
    return (2 - 2 * shape_similarity(x, y)).sqrt()


def angular_distance(x: Float[Tensor, "n k"], y: Float[Tensor, "m l"]) -> Float[Tensor, ""]:
    """The angular shape distance arccos s in radians, 0 to π/2: the geodesic beside `procrustes_distance`."""
    return shape_similarity(x, y).arccos()


def _of_unit_norm(x: Tensor) -> Float[Tensor, "n k"]:
    """Centred, and without columns where no more than rounding is left."""
    centred = x.double() - x.double().mean(dim=0)
    norm = centred.norm()
    return centred / norm if norm > TINY * x.norm() else centred[:, :0]


def _undefined(x: Tensor) -> Float[Tensor, ""]:
    return torch.tensor(torch.nan, dtype=torch.float64, device=x.device)


def _null(p: int, q: int, n: int) -> float:
    return max(p, q) / (n - 1) if p and q else float("nan")


def _less(square: float, null: float) -> float:
    return (square - null) / (1 - null) if null < 1 else float("nan")


def _same_stimuli(x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise InputError(f"{len(x)} and {len(y)} stimuli cannot be compared")
