"""What a training makes of features and responses: a fixed projection, and a prior that real neuroids determine.

The projection is onto the leading principal components of the training stimuli's features, scaled so that a stimulus
has a mean squared norm of 1. With standardised responses y and components x_k of variance λ_k over n stimuli, the
slope b_k of y on x_k has E b_k² = w_k² + σ²/(n λ_k): what is above the noise, averaged over neuroids and smoothed over
neighbouring components, is the variance of real neuroids' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.in_context.tasks import Prior, Recorded, symmetries
from brainbench.in_context.training import Material
from brainbench.numerics._shapes import Float

N_DRAWS = 4096  # synthetic neuroids that the prior's own spectrum is measured on


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Features (n, p) to e numbers a stimulus: (x - mean) @ axes."""

    mean: Float[Tensor, " p"]
    axes: Float[Tensor, "p e"]

    def __call__(self, features: Float[Tensor, "n p"]) -> Float[Tensor, "n e"]:
        return (features - self.mean) @ self.axes


def principal(features: Float[Tensor, "n p"], e: int) -> Projection:
    """The projection on the e leading components, scaled to a mean squared norm of 1 before any is left out.

    Signs are such that each axis' largest entry is positive. Raises InputError where there are fewer than e.
    """
    if e > min(len(features) - 1, features.shape[1]):
        raise InputError(f"{features.shape[1]} features of {len(features)} stimuli do not have {e} components")
    x = features.double()
    mean = x.mean(dim=0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    axes = vectors.flip(1)[:, :e]
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0)[None]).sign()
    return Projection(mean=mean.float(), axes=(axes / values.sum().sqrt()).float())


def spectrum(x: Float[Tensor, "n e"], sessions: Sequence[Recorded]) -> tuple[Float[Tensor, " e"], float]:
    """The variance of real neuroids' weights on each component, and of what the components leave unexplained.

    Variances are averaged over neuroids, and over components whose numbers are within a third of each other. Without
    neuroids nothing is known of them: all components have the same variance, and signal as much as noise.
    """
    total, noise, count = torch.zeros(x.shape[1], dtype=torch.float64), 0.0, 0
    for part in (part for part in sessions if part.responses.shape[1]):
        z = x[part.rows].double()
        z = z - z.mean(dim=0)
        y = part.responses.double()
        y = (y - y.mean(dim=0)) / y.std(dim=0, correction=0).clamp_min(1e-12)
        power = z.square().sum(dim=0)
        slopes = z.T @ y / power[:, None]
        above = slopes.square() - 1 / power[:, None]  # noise is at most all of the variance
        total += above.sum(dim=1)
        noise += float((1 - (above.clamp_min(0) * power[:, None] / len(z)).sum(dim=0)).clamp(0.1, 1).sum())
        count += y.shape[1]
    if not count:
        return torch.full((x.shape[1],), 0.5), 0.5
    rough = (total / count).clamp_min(0)
    number = torch.arange(1, len(rough) + 1, dtype=torch.float64)
    near = (number[:, None] / number).log().abs() <= 0.3
    smooth = (near * rough).sum(dim=1) / near.sum(dim=1)
    return smooth.clamp_min(1e-3 * float(smooth.max())).float(), noise / count


def material(
    grid: Float[Tensor, "n p"], side: int, e: int, sessions: Sequence[Recorded]
) -> tuple[Material, Projection, Float[Tensor, " e"], float]:
    """What to train on from features (channel, place) of the training stimuli and the training neuroids.

    Gives the material, the projection, and the variances of weights and noise. Raises InputError for features that are
    no grid of side² places.
    """
    places = side**2
    if grid.shape[1] % places:
        raise InputError(f"{grid.shape[1]} features are not channels on {side} x {side} places")
    projection = principal(grid, e)
    maps = grid.reshape(len(grid), -1, places)
    views = torch.stack([projection(maps[:, :, order].flatten(1)) for order in symmetries(side)])
    variance, noise = spectrum(views[0], sessions)
    plain = Prior(axes=projection.axes * len(projection.axes) ** 0.5, gain=torch.ones(e), side=side)
    drawn = plain.weights(N_DRAWS, torch.Generator().manual_seed(0)).square().mean(dim=0)
    prior = Prior(axes=plain.axes, gain=(variance / drawn).sqrt(), side=side)
    return Material(views=views, prior=prior, sessions=list(sessions)), projection, variance, noise
