"""Neuroids to learn from: synthetic ones with a prior like that of real ones, and real ones made more by symmetry.

A synthetic neuroid is a linear readout of features on a grid of places: weights are a receptive field (a Gaussian
window of random centre and width, or none) times a tuning over channels, of which a random share is common to all
places. Its spectrum is that of the features' components, raised so that the mean square of each component's weight is
what real training neuroids have. Its responses are signal and Gaussian noise; the share of signal is uniform between
bounds, and what is learned from is the signal, which has no noise. Mirroring and turning the grid makes real neuroids
into ones with receptive fields elsewhere: features of a convolutional network of a mirrored picture are nearly the
mirrored features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brainbench.numerics._shapes import Float, Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What synthetic neuroids are like.

    `axes` (side² · c, e) maps weights of features on the grid (places last) to weights of the e components; `gain` (e,)
    brings these to the spectrum of real neuroids. `ev` bounds the share of signal, `fields` the standard deviations
    of receptive fields in places; a share `whole` of neuroids has none.
    """

    axes: Tensor
    gain: Tensor
    side: int
    ev: tuple[float, float] = (0.15, 0.85)
    fields: tuple[float, float] = (0.5, 2.0)
    whole: float = 0.25

    def weights(self, n: int, generator: torch.Generator) -> Float[Tensor, "n e"]:
        """Weights of n neuroids drawn from the prior, of any scale."""
        places = self.side**2
        channels = len(self.axes) // places
        common = torch.randn(n, channels, 1, generator=generator)
        own = torch.randn(n, channels, places, generator=generator)
        share = torch.rand(n, 1, 1, generator=generator)
        tuning = share.sqrt() * common + (1 - share).sqrt() * own
        windows = self._windows(n, generator)
        return ((tuning * windows[:, None]).flatten(1) @ self.axes) * self.gain

    def _windows(self, n: int, generator: torch.Generator) -> Float[Tensor, "n places"]:
        centre = torch.rand(n, 2, generator=generator) * self.side - 0.5
        low, high = self.fields
        width = low * (high / low) ** torch.rand(n, 1, generator=generator)
        at = torch.cartesian_prod(torch.arange(self.side), torch.arange(self.side)).to(centre.dtype)
        window = torch.exp(-(at[None] - centre[:, None]).square().sum(dim=2) / (2 * width**2))
        none = torch.rand(n, 1, generator=generator) < self.whole
        return torch.where(none, torch.ones_like(window), window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Real neuroids that saw the same stimuli: `rows` of the features, and responses (n, v), one column a neuroid."""

    rows: Int[Tensor, " n"]
    responses: Float[Tensor, "n v"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Neuroids with a context and queries: features (b, s + u, e), responses (b, s), targets (b, u)."""

    features: Float[Tensor, "b s_u e"]
    responses: Float[Tensor, "b s"]
    targets: Float[Tensor, "b u"]

    def to(self, device: torch.device) -> Batch:
        """The same on a device; random numbers are drawn on the CPU, so all devices learn from the same neuroids."""
        return Batch(
            features=self.features.to(device), responses=self.responses.to(device), targets=self.targets.to(device)
        )


def synthetic_batch(
    views: Float[Tensor, "a n e"], prior: Prior, *, b: int, s: int, u: int, generator: torch.Generator
) -> Batch:
    """Neuroids of the prior on random stimuli, each in a random one of the `views` of the features.

    Targets are the signal, in units in which the responses have a variance of 1 over the s + u stimuli.
    """
    x = _drawn(views, b, s + u, generator)
    signal = (x @ prior.weights(b, generator).to(x)[..., None])[..., 0]
    signal = signal - signal.mean(dim=1, keepdim=True)
    signal = signal / signal.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
    low, high = prior.ev
    ev = low + (high - low) * torch.rand(b, 1, generator=generator).to(x)
    noise = torch.randn(b, s, generator=generator).to(x)
    signal = signal * ev.sqrt()
    return Batch(features=x, responses=signal[:, :s] + noise * (1 - ev).sqrt(), targets=signal[:, s:])


def _drawn(views: Tensor, b: int, n: int, generator: torch.Generator) -> Tensor:
    rows = torch.stack([torch.randperm(views.shape[1], generator=generator)[:n] for _ in range(b)])
    view = torch.randint(len(views), (b, 1), generator=generator)
    return views[view.to(views.device), rows.to(views.device)]


def real_batch(
    views: Float[Tensor, "a n e"], sessions: list[Recorded], *, s: int, u: int, generator: torch.Generator
) -> Batch:
    """All real neuroids of one random session, standardised over it, on the same s + u random stimuli.

    Targets are their responses to the queries. A session with more neuroids is drawn more often.
    """
    n = torch.tensor([part.responses.shape[1] for part in sessions], dtype=torch.double)
    part = sessions[int(torch.multinomial(n, 1, generator=generator))]
    at = torch.randperm(len(part.rows), generator=generator)[: s + u]
    view = int(torch.randint(len(views), (), generator=generator))
    y = (part.responses - part.responses.mean(dim=0)) / part.responses.std(dim=0, correction=0).clamp_min(1e-12)
    y = y[at.to(y.device)].T
    x = views[view][part.rows[at]]
    return Batch(features=x.expand(len(y), -1, -1), responses=y[:, :s], targets=y[:, s:])


def symmetries(side: int) -> list[Int[Tensor, " places"]]:
    """The eight ways to mirror and turn a square grid, as orders of its places; the first leaves it as it is."""
    at = torch.arange(side**2).view(side, side)
    turned = [torch.rot90(at, turn) for turn in range(4)]
    return [grid.flatten() for grid in (*turned, *(grid.T for grid in turned))]
