"""Ridge regression of many neuroids on one layer, each with a penalty of its own, from one eigendecomposition.

With centred training features X (n, p), K = X Xᵀ = U diag(λ) Uᵀ and z = Uᵀ y, every quantity of every penalty α is
cheap: fitted values U (λ/(λ+α) z), residual sum of squares Σ (α/(λ+α))² z² plus what lies outside the span of U,
degrees of freedom 1 + Σ λ/(λ+α). The intercept is the training mean and is not penalised.

Penalties are chosen per neuroid inside the training set, by
- `gcv`: generalised cross-validation (Golub, Heath & Wahba 1979), n RSS / (n - df)²: the leave-one-out error with
  every leverage replaced by its mean. One small product over z², no pass over stimuli.
- `loo`: the exact leave-one-out error, mean of (residual / (1 - leverage))².
- `kfold`: refits without whole inner folds, which is what grouped stimuli (frames of a movie) need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.numerics._shapes import Bool, Float, Int
from brainbench.numerics.representation import Eigenbasis

COLUMNS = 8192  # neuroids solved at a time: keeps the (penalties, neuroids) and (stimuli, neuroids) blocks in bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Each neuroid's penalty, as its index in the grid, and 1 - its cross-validated error / that of the mean."""

    index: Int[Tensor, " v"]
    cv_r2: Float[Tensor, " v"]

    def at_edge(self, n_penalties: int) -> Bool[Tensor, " v"]:
        """True where the first or last penalty of the grid won: the grid may be too short for that neuroid."""
        return (self.index == 0) | (self.index == n_penalties - 1)


def penalties(basis: Eigenbasis, grid: Sequence[float]) -> Float[Tensor, " a"]:
    """The relative `grid` times the mean eigenvalue of the training Gram matrix: scaling the features scales them."""
    mean = basis.values.sum() / basis.n
    return torch.as_tensor(list(grid), dtype=torch.float64, device=basis.values.device) * mean.clamp_min(1e-300)


def predict(
    basis: Eigenbasis, y: Float[Tensor, "n v"], penalty: Float[Tensor, " v"], cross: Float[Tensor, "m k"]
) -> Float[Tensor, "m v"]:
    """Predictions for m stimuli from training responses y; `cross` is `Representation.cross(basis, rows)`."""
    mean = y.mean(dim=0)
    z = basis.vectors.to(y.dtype).T @ (y - mean)
    shrunk = z / (basis.values[:, None] + penalty).to(y.dtype)
    return cross.to(y.dtype) @ shrunk + mean


def select_gcv(basis: Eigenbasis, y: Float[Tensor, "n v"], alphas: Float[Tensor, " a"]) -> Selection:
    """The penalty with the least generalised cross-validation error, for each neuroid."""
    n, k = basis.vectors.shape
    keep = alphas[:, None] / (basis.values + alphas[:, None])  # (a, k): the share of each component left unexplained
    free = (n - 1 - k + keep.sum(dim=1)) / n  # 1 - df/n, without cancellation at small penalties
    weights, scale = keep.square().to(y.dtype), (n * free.square()).to(y.dtype)
    yc = y - y.mean(dim=0)
    z2 = (basis.vectors.to(y.dtype).T @ yc).square()
    total = yc.square().sum(dim=0)
    outside = (total - z2.sum(dim=0)).clamp_min(0)
    return _choose((weights @ z2 + outside) / scale[:, None], total * n / (n - 1) ** 2)


def select_loo(basis: Eigenbasis, y: Float[Tensor, "n v"], alphas: Float[Tensor, " a"]) -> Selection:
    """The penalty with the least exact leave-one-out error, for each neuroid."""
    n = basis.n
    u = basis.vectors.to(y.dtype)
    yc = y - y.mean(dim=0)
    z = u.T @ yc
    errors = []
    for alpha in alphas:
        shrink = (basis.values / (basis.values + alpha)).to(y.dtype)
        leverage = 1 / n + u.square() @ shrink
        residual = yc - u @ (shrink[:, None] * z)
        errors.append((residual / (1 - leverage)[:, None]).square().mean(dim=0))
    return _choose(torch.stack(errors), yc.square().sum(dim=0) * n / (n - 1) ** 2)


def select_kfold(
    folds: Sequence[tuple[Eigenbasis, Float[Tensor, "_ _"], Float[Tensor, "_ v"], Float[Tensor, "_ v"]]],
    alphas: Float[Tensor, " a"],
) -> Selection:
    """The penalty with the least squared error summed over inner folds, for each neuroid.

    `folds` holds, for each inner fold: the eigenbasis of what is fitted on, the cross products to what is left out,
    and the responses of both. Inner folds may differ in size.
    """
    parts = []
    for basis, cross, y_fit, y_out in folds:
        mean = y_fit.mean(dim=0)
        z = basis.vectors.to(y_fit.dtype).T @ (y_fit - mean)
        left = cross.to(y_fit.dtype)
        target = y_out - mean
        shrunk = (1 / (basis.values + alphas[:, None])).to(y_fit.dtype)
        errors = torch.stack([(target - left @ (s[:, None] * z)).square().sum(dim=0) for s in shrunk])
        parts.append((errors, target.square().sum(dim=0)))
    return _choose(torch.stack([e for e, _ in parts]).sum(dim=0), torch.stack([t for _, t in parts]).sum(dim=0))


def _choose(errors: Float[Tensor, "a v"], without_features: Float[Tensor, " v"]) -> Selection:
    least, index = errors.min(dim=0)
    return Selection(index=index, cv_r2=1 - least / without_features)
