"""Gabor energy: how much of each orientation and scale stands at each place of a picture, whatever its phase."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainbench.numerics._shapes import Float

WAVELENGTH_PX = 4.0  # of every filter, on the picture as halved for its octave
_SIGMA_PX = 2.0  # half a wavelength: a bandwidth of about 1.1 octaves, as in primate V1 (De Valois et al. 1982)
_KERNEL_PX = 13
_REC709 = (0.2126, 0.7152, 0.0722)


def gabor_pairs(n_orientations: int) -> Float[Tensor, "filters 1 k k"]:
    """Quadrature pairs, first all even filters, then all odd ones; float32, 2 x `n_orientations` filters.

    Filter i prefers a grating whose luminance changes along the angle i * 180 / n_orientations degrees, counted from
    the rightward axis towards the bottom of the picture. Even filters have no response to uniform light. Each pair
    has energy 1 for its own grating of amplitude 1.
    """
    reach = np.arange(_KERNEL_PX) - _KERNEL_PX // 2
    y, x = np.meshgrid(reach, reach, indexing="ij")
    angles = np.pi * np.arange(n_orientations)[:, None, None] / n_orientations
    phase = 2 * np.pi / WAVELENGTH_PX * (x * np.cos(angles) + y * np.sin(angles))
    envelope = np.exp(-(x**2 + y**2) / (2 * _SIGMA_PX**2))
    even = envelope * (np.cos(phase) - (envelope * np.cos(phase)).sum((1, 2), keepdims=True) / envelope.sum())
    odd = envelope * np.sin(phase)
    even /= (even * np.cos(phase)).sum((1, 2), keepdims=True)
    odd /= (odd * np.sin(phase)).sum((1, 2), keepdims=True)
    return torch.from_numpy(np.concatenate([even, odd])[:, None].astype(np.float32))


class GaborEnergy(nn.Module):
    """sqrt(even² + odd²) of quadrature pairs on luminance, averaged over the cells of a `grid` x `grid` raster.

    Octave o is the same bank on the picture halved o times, so it sees wavelengths of 4 * 2^o pixels. All octaves
    have the same gain: pictures whose amplitude falls as 1/f, as natural ones do, drive them alike (Field 1987).
    """

    pairs: Tensor
    luminance: Tensor

    def __init__(self, *, octaves: Sequence[int], n_orientations: int, grid: int):
        super().__init__()
        self.octaves = tuple(octaves)
        self.grid = grid
        self.register_buffer("pairs", gabor_pairs(n_orientations))
        self.register_buffer("luminance", torch.tensor(_REC709).reshape(1, 3, 1, 1))

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c grid grid"]:
        """Channels are ordered octave by octave, within one by orientation. Pictures are RGB in [0, 1]."""
        luminance = (pictures * self.luminance).sum(1, keepdim=True)
        return torch.cat([self._energy(luminance, octave) for octave in self.octaves], dim=1)

    def _energy(self, luminance: Tensor, octave: int) -> Tensor:
        size = [math.ceil(side / 2**octave) for side in luminance.shape[-2:]]
        halved = functional.interpolate(luminance, size=size, mode="bilinear", antialias=True, align_corners=False)
        # reflected, not black, borders: black ones are edges that no picture has
        padded = functional.pad(halved, [_KERNEL_PX // 2] * 4, mode="reflect")
        # energy changes little from one pixel to the next: every second one will do, unless the raster needs all
        stride = 2 if min(size) >= 2 * self.grid else 1
        even, odd = functional.conv2d(padded, self.pairs, stride=stride).chunk(2, dim=1)
        return functional.adaptive_avg_pool2d((even**2 + odd**2).sqrt(), self.grid)
