"""Ridge regression of many neuroids on one layer, each with a penalty of its own, from one eigendecomposition.

With centred training features X (n, p), K = X Xᵀ = U diag(λ) Uᵀ and z = Uᵀ y, every quantity of every penalty α is
cheap: fitted values U (λ/(λ+α) z), residual sum of squares Σ (α/(λ+α))² z² plus what lies outside the span of U,
degrees of freedom 1 + Σ λ/(λ+α). The intercept is the training mean and is not penalised. z, the one product over all
training stimuli, is made once (`coordinates`) and serves choosing and predicting.

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
from torch.nn.functional import mse_loss

from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.representation import Eigenbasis

SLACK = 1e-3  # by which rounding may move the bounds of a leave-one-out error against each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """Training responses: their mean (v,), what they are around it (n, v), that squared and summed (v,), that in the
    eigenbasis: z (k, v), and squares of z.
    """

    basis: Eigenbasis
    mean: Float[Tensor, " v"]
    centred: Float[Tensor, "n v"]
    total: Float[Tensor, " v"]
    z: Float[Tensor, "k v"]
    z2: Float[Tensor, "k v"]

    @property
    def spans_all(self) -> bool:
        """Whether the features could fit any responses: as many components as n centred stimuli have."""
        return self.basis.vectors.shape[1] == self.basis.n - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Each neuroid's penalty, as its index in the grid, and 1 - its cross-validated error / that of the mean."""

    index: Int[Tensor, " v"]
    cv_r2: Float[Tensor, " v"]


def penalties(basis: Eigenbasis, grid: Sequence[float]) -> Float[Tensor, " a"]:
    """The relative `grid` times the mean eigenvalue of the training Gram matrix: scaling the features scales them."""
    mean = basis.values.sum() / basis.n
    return torch.as_tensor(list(grid), dtype=torch.float64, device=basis.values.device) * mean.clamp_min(1e-300)


def coordinates(basis: Eigenbasis, y: Float[Tensor, "n v"]) -> Coordinates:
    """Training responses in the eigenbasis, in the precision of y."""
    mean = y.mean(dim=0)
    centred = y - mean
    z = basis.vectors.to(y.dtype).T @ centred
    total = centred.square().sum(dim=0)
    return Coordinates(basis=basis, mean=mean, centred=centred, total=total, z=z, z2=z.square())


def predict(fit: Coordinates, penalty: Float[Tensor, " v"], cross: Float[Tensor, "m k"]) -> Float[Tensor, "m v"]:
    """Predictions for m stimuli, each neuroid with its own penalty; `cross` is `Representation.cross(basis, rows)`."""
    return fit.mean + deviations(fit, penalty, cross)


def deviations(fit: Coordinates, penalty: Float[Tensor, " v"], cross: Float[Tensor, "m k"]) -> Float[Tensor, "m v"]:
    """Predictions less the training mean, which beside a large penalty would take all their digits."""
    dtype = fit.z.dtype  # a sum of positive numbers loses nothing in float32
    shrunk = fit.z / (fit.basis.values.to(dtype)[:, None] + penalty.to(dtype))
    return cross.to(dtype) @ shrunk


def select_gcv(fit: Coordinates, alphas: Float[Tensor, " a"]) -> Selection:
    """The penalty with the least generalised cross-validation error, for each neuroid."""
    basis, total = fit.basis, fit.total
    n, k = basis.vectors.shape
    keep = alphas[:, None] / (basis.values + alphas[:, None])  # (a, k): the share of each component left unexplained
    free = (n - 1 - k + keep.sum(dim=1)) / n  # 1 - df/n, without cancellation at small penalties
    rows = torch.cat([keep.square(), torch.ones_like(keep[:1])]).to(fit.z2.dtype)
    sums = rows @ fit.z2  # residuals inside the span for each penalty, and |z|²
    scale = (n * free.square()).to(total.dtype)
    return choose((sums[:-1] + _outside(fit, sums[-1])) / scale[:, None], total * n / (n - 1) ** 2)


def _outside(fit: Coordinates, inside: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
    """What of each neuroid's sum of squares lies outside the span of the features, `inside` being |z|².

    Exactly 0 where they span all that varies: the difference would be rounding, and no penalty takes it away.
    """
    return torch.zeros_like(inside) if fit.spans_all else (fit.total - inside).clamp_min(0)


def select_loo(fit: Coordinates, alphas: Float[Tensor, " a"]) -> Selection:
    """The penalty with the least exact leave-one-out error, for each neuroid.

    The error lies between the mean squared residual times the least and times the largest (1 / (1 - leverage))², and
    residuals of all penalties are cheap: a penalty that cannot be the best of a neuroid is not tried on it.
    """
    n = fit.basis.n
    u = fit.basis.vectors.to(fit.z.dtype)
    u2 = u.double().square()
    keep = alphas[:, None] / (fit.basis.values + alphas[:, None])  # (a, k), what is left of each component
    room = 0 if fit.spans_all else (1 - 1 / n - u2.sum(dim=1)).clamp_min(0)
    weights = (1 / (keep @ u2.T + room)).to(u.dtype)  # (a, n): 1 / (1 - leverage), sums of positive numbers
    rows = torch.cat([keep.square(), torch.ones_like(keep[:1])]).to(u.dtype)
    within, (inside,) = (rows @ fit.z2).split([len(alphas), 1])
    residual = (within + _outside(fit, inside)) / n
    least = weights.amin(dim=1).square()[:, None] * residual
    most = (weights.amax(dim=1).square()[:, None] * residual).amin(dim=0)
    errors = torch.full_like(residual, torch.inf)
    for number, (share, weight) in enumerate(zip(keep.to(u.dtype), weights[:, :, None])):
        some = (least[number] <= most * (1 + SLACK)).nonzero()[:, 0]
        z, centred = fit.z.index_select(1, some), fit.centred.index_select(1, some)
        if fit.spans_all:
            off = ((u * weight * share) @ z).square()  # nothing cancels, however small the penalty
        else:
            off = mse_loss((u * weight * (1 - share)) @ z, centred * weight, reduction="none")  # squared in one pass
        errors[number, some] = off.sum(dim=0) / n
        most = torch.minimum(most, errors[number])
    return choose(errors, fit.total * n / (n - 1) ** 2)


def luck(fit: Coordinates, alphas: Float[Tensor, " a"], index: Int[Tensor, " v"]) -> Float[Tensor, " v"]:
    """The share of the variance of each neuroid's fitted values that noise in its training responses accounts for.

    With s = λ/(λ+α) fitted values vary by Σ (s z)², of which σ² Σ s² is expected from noise of variance σ² alone; σ²
    is RSS / (n - df). Between 0, for features that tell all, and 1, for features that tell nothing.
    """
    n = fit.basis.n
    shrink = fit.basis.values / (fit.basis.values + alphas[:, None])
    z2 = fit.z2
    rows = torch.cat([shrink.square(), (1 - shrink).square(), torch.ones_like(shrink[:1])]).to(z2.dtype)
    fitted, within, (inside,) = (rows @ z2).split([len(alphas), len(alphas), 1])
    residual = within.gather(0, index[None])[0] + _outside(fit, inside)
    noise = residual / (n - 1 - shrink.sum(dim=1)).to(z2.dtype)[index].clamp_min(1)
    expected = noise * shrink.square().sum(dim=1).to(z2.dtype)[index]
    return (expected / fitted.gather(0, index[None])[0]).clamp(0, 1).nan_to_num(1.0)


def held_out_errors(
    fit: Coordinates, cross: Float[Tensor, "m k"], y: Float[Tensor, "m v"], alphas: Float[Tensor, " a"]
) -> tuple[Float[Tensor, "a v"], Float[Tensor, " v"]]:
    """Squared errors summed over m stimuli left out of the fit, for each penalty, and those of the training mean.

    Sums of several inner folds, whose sizes may differ, add up to what `choose` takes.
    """
    target = y - fit.mean
    shrink = (1 / (fit.basis.values + alphas[:, None])).to(y.dtype)
    readout = cross.to(y.dtype) * shrink[:, None]  # (a, m, k): what maps z to the predictions of each penalty
    off = (readout.flatten(0, 1) @ fit.z).view(*readout.shape[:2], -1) - target
    return off.square().sum(dim=1), target.square().sum(dim=0)


def choose(errors: Float[Tensor, "a v"], without_features: Float[Tensor, " v"]) -> Selection:
    """The penalty with the least error, for each neuroid; `without_features` is the error of the mean alone."""
    least, index = errors.min(dim=0)
    return Selection(index=index, cv_r2=1 - least / without_features)
