"""The Bayes estimate under a prior of receptive fields: a mixture of Gaussians, each with a window on the grid.

A neuroid with window m has weights w ~ N(w₀, a D^½ R_m D^½): w₀ is what neuroids have in common, D are the variances
of the components, R_m is the window, squared, between the axes of the projection (the identity where there is no
window). With kernel K_m = X C_m Xᵀ that a makes as large on average as without a window, noise σ² and prior odds π_m, a
neuroid's evidence for m is π_m N(y; X w₀, K_m + σ²I). The estimate is the mean of the Gaussian estimates, weighted by
evidence: it finds out where a neuroid looks as far as the context tells, and is ridge towards w₀ where it does not. All
of w₀, D, σ² and π are learned: the estimate has gradients.
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


def estimate(
    x: Float[Tensor, "s e"],
    y: Float[Tensor, "s v"],
    variance: Float[Tensor, " e"],
    noise: Float[Tensor, ""],
    fields: Float[Tensor, "m e e"],
    *,
    mean: Float[Tensor, " e"],
    log_odds: Float[Tensor, " m"],
) -> Float[Tensor, "v e"]:
    """Weights of v neuroids that saw the same s stimuli; features and responses are centred. The mean for s < 2."""
    s, v = y.shape
    if s < 2:
        return mean.expand(v, -1)
    root = variance.sqrt()
    scaled, target = x * root, (y - (x @ mean)[:, None]).double()
    spread = torch.einsum("se,mef->msf", scaled, fields)
    given = (spread * scaled).sum(dim=(1, 2))
    spread = spread * (scaled.square().sum() / given)[:, None, None]  # every window is given the same signal
    gram = (spread @ scaled.T).double() + noise.double() * torch.eye(s, dtype=torch.double, device=x.device)
    half = torch.linalg.cholesky(gram)
    solved = torch.cholesky_solve(target.expand(len(fields), -1, -1), half)
    evidence = -half.diagonal(dim1=1, dim2=2).log().sum(dim=1)[:, None] - (target * solved).sum(dim=1) / 2
    share = (evidence + log_odds[:, None]).softmax(dim=0)
    found = torch.einsum("msv,msf->vf", (solved * share[:, None]).to(x), spread)
    return mean + found * root
