"""The synthetic visual cortex: four small image-computable stages, which generate the `insilico` recordings."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainbench.numerics._shapes import Float
from brainbench.numerics.gabor import GaborEnergy

SIZE_PX = 128  # the side of the pictures that its grids are laid out for
STAGES = ("V1", "V2", "V4", "IT")
DIMENSIONS = 20  # of each stage's code

_SEED = 1
_RECOVERY = 0.02  # share of the gain control that does not depend on the picture; keeps uniform pictures finite
_LEAK = 0.6  # how much of an input of the non-preferred sign comes through, turned positive


class SimpleToComplex(nn.Module):
    """Complex cells: Gabor energy of 2 octaves and 4 orientations at 16 x 16 places, under divisive normalisation.

    Comes out as 8 channels at 8 x 8 overlapping places.
    """

    def __init__(self) -> None:
        super().__init__()
        self.energy = GaborEnergy(octaves=(1, 2), n_orientations=4, grid=16)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        return _pooled(_normalised(self.energy(pictures), reach=3), kernel=7)


class Opponent(nn.Module):
    """Random contrasts between the channels and places of the stage below, rectified, normalised, pooled.

    The weights of a unit add up to 0, so it answers to what differs between its inputs. Leaky full-wave rectification
    max(u, -leak u) makes that answer nearly an even function, which no linear readout of the stage below can follow.
    """

    weight: Tensor

    def __init__(self, *, channels_in: int, channels: int, kernel: int, pool: int, seed: int):
        super().__init__()
        weight = np.random.default_rng([_SEED, seed]).normal(size=(channels, channels_in, kernel, kernel))
        weight -= weight.mean(axis=(1, 2, 3), keepdims=True)
        weight /= np.linalg.norm(weight.reshape(channels, -1), axis=1)[:, None, None, None]
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)))
        self.pool = pool

    def forward(self, below: Float[Tensor, "b c_in y_in x_in"]) -> Float[Tensor, "b c y x"]:
        margin = (self.weight.shape[-1] - 1) // 2
        contrast = functional.conv2d(functional.pad(below, [margin] * 4, mode="replicate"), self.weight)
        return _pooled(_normalised(torch.maximum(contrast, -_LEAK * contrast), reach=1), kernel=self.pool)


class Cascade(nn.Module):
    """V1, V2, V4, IT: codes of 20 dimensions, each a fixed random projection of its stage's maps.

    Takes RGB in [0, 1] of 128 px. The maps (`stages.V1`, ...) read one another: 512, 384, 192 and 64 values, with
    receptive fields that grow until IT sees the whole picture; the codes (`V1`, ...) are what neuroids read out. All
    weights are fixed. Returns the codes by stage.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(
            OrderedDict(
                V1=SimpleToComplex(),
                V2=Opponent(channels_in=8, channels=24, kernel=3, pool=5, seed=2),
                V4=Opponent(channels_in=24, channels=48, kernel=3, pool=3, seed=3),
                IT=Opponent(channels_in=48, channels=64, kernel=2, pool=1, seed=4),
            )
        )
        for seed, (stage, size) in enumerate(zip(STAGES, (512, 384, 192, 64))):
            self.add_module(stage, Code(size, seed=seed))

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b d"]]:
        codes, maps = {}, pictures
        for stage, module in self.stages.items():
            maps = module(maps)
            codes[stage] = self.get_submodule(stage)(maps)
        return codes


class Code(nn.Module):
    """Projection of a stage's maps on 20 random orthonormal directions: so few that 320 stimuli teach any readout."""

    weight: Tensor

    def __init__(self, size: int, *, seed: int):
        super().__init__()
        directions, _ = np.linalg.qr(np.random.default_rng([_SEED, 10 + seed]).normal(size=(size, DIMENSIONS)))
        self.register_buffer("weight", torch.from_numpy(directions.astype(np.float32)))

    def forward(self, maps: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d"]:
        return maps.flatten(1) @ self.weight


def _normalised(maps: Tensor, *, reach: int) -> Tensor:
    """Each unit over the mean of all channels within `reach` places, less 1 (Heeger 1992)."""
    pool = functional.avg_pool2d(
        maps.mean(1, keepdim=True), reach, stride=1, padding=reach // 2, count_include_pad=False
    )
    return maps / (pool + _RECOVERY) - 1


def _pooled(maps: Tensor, *, kernel: int) -> Tensor:
    """Means over `kernel` x `kernel` places around every second one; overlapping, as receptive fields are."""
    if kernel == 1:
        return maps
    return functional.avg_pool2d(maps, kernel, stride=2, padding=kernel // 2, count_include_pad=False)
