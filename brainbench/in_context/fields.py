"""The Bayes estimate under a prior of receptive fields: a mixture of Gaussians, each with a window on the grid.

A neuroid with window m has weights w ~ N(0, a D^½ R_m D^½): D are the learned variances of the components, R_m is the
window, squared, between the axes of the projection (the identity where there is no window). With kernel K_m = X C_m Xᵀ
that a makes as large on average as without a window, and learned noise σ², a neuroid's evidence for m is the density
N(y; 0, K_m + σ²I). The estimate is the mean of the Gaussian estimates, weighted by evidence: it finds out where a
neuroid looks as far as the context tells, and is ridge where it does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.numerics._shapes import Float

WIDTHS = (0.8, 1.5)  # standard deviations of windows, in places


def windows(side: int) -> Float[Tensor, "m places"]:
    """No window, then a Gaussian one around every place of the grid for each width."""
    at = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    apart = torch.cdist(at, at).square()
    return torch.cat([torch.ones(1, side**2), *(torch.exp(-apart / (2 * width**2)) for width in WIDTHS)])


def between_axes(axes: Float[Tensor, "p e"], side: int) -> Float[Tensor, "m e e"]:
    """R_m: axesᵀ W_m² axes for axes that are made of length 1; features are (channel, place), places last."""
    unit = axes / axes.norm(dim=0)
    maps = unit.unflatten(0, (-1, side**2))
    squares = windows(side).to(axes).square()
    by_place = torch.einsum("cpe,cpf->pef", maps, maps)
    return torch.einsum("mp,pef->mef", squares, by_place)


@torch.no_grad()
def estimate(
    x: Float[Tensor, "s e"],
    y: Float[Tensor, "s v"],
    variance: Float[Tensor, " e"],
    noise: Float[Tensor, ""],
    fields: Float[Tensor, "m e e"],
) -> Float[Tensor, "v e"]:
    """Weights of v neuroids that saw the same s stimuli; features and responses are centred. Zeros for s < 2."""
    s, v = y.shape
    weights = x.new_zeros(v, x.shape[1])
    if s < 2:
        return weights
    root = variance.sqrt()
    scaled, target = x * root, y.double()
    size = scaled.square().sum()
    evidence, parts = [], []
    for field in fields:
        spread = scaled @ field
        spread = spread * (size / (spread * scaled).sum())  # every window is given the same signal
        gram = spread.double() @ scaled.double().T
        gram.diagonal().add_(noise.double())
        half = torch.linalg.cholesky(gram)
        solved = torch.cholesky_solve(target, half)
        evidence.append(-half.diagonal().log().sum() - (target * solved).sum(dim=0) / 2)
        parts.append((spread * root, solved))
    share = torch.stack(evidence).softmax(dim=0)
    for (spread, solved), own in zip(parts, share):
        weights += (solved * own).to(x).T @ spread
    return weights
