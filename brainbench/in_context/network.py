"""The in-context voxel encoder: (features, response) pairs of one neuroid in, the weights of its linear readout out.

A token is [x_i; y_i]. Learned registers come first, nothing tells positions, and pre-norm SwiGLU blocks attend with
queries whose input is scaled by ln N (N counts the registers too), so that attention stays as sharp in a long context
as in a short one: the weight of a token whose logit leads by g is N^g / (N^g + N - 1) whatever N is. The first
register leaves as ω, E weights and a bias: the prediction is ω_1..E · x + ω_E+1 (BraInCoRL, Yu et al. 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

from brainbench.errors import UnknownNameError, UsageError
from brainbench.numerics._shapes import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The sizes of a network: E features, D dimensions inside, and the rest. `dropout` is a share, in training only."""

    n_features: int
    width: int
    n_layers: int
    n_heads: int
    hidden: int  # of each SwiGLU
    n_registers: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.n_features, self.width, self.n_layers, self.n_heads, self.hidden, self.n_registers)
        if min(sizes) < 1 or self.width % self.n_heads or not 0 <= self.dropout < 1:
            raise UsageError(f"no network has these sizes: {self}; heads must divide the width, and all be at least 1")


PRESETS = {
    "tiny": Architecture(n_features=8, width=16, n_layers=2, n_heads=2, hidden=32),
    "small": Architecture(n_features=128, width=144, n_layers=3, n_heads=4, hidden=192),
    "clip": Architecture(n_features=512, width=560, n_layers=20, n_heads=10, hidden=2048),
    "dino": Architecture(n_features=768, width=800, n_layers=20, n_heads=10, hidden=2048),
    "siglip": Architecture(n_features=1152, width=1200, n_layers=20, n_heads=10, hidden=2048),
}


def preset(name: str) -> Architecture:
    """The architecture of this name. Raises UnknownNameError for another."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]


class Encoder(nn.Module):
    """The hyper-network: `forward` gives the readout of each neuroid from its context alone."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        a = architecture
        self.architecture = a
        self.registers = nn.Parameter(torch.randn(a.n_registers, a.width) / math.sqrt(a.width + 1))
        self.entry = _Residual(a.n_features + 1, a.width, 2 * a.width, a.dropout)
        self.blocks = nn.ModuleList(_Block(a) for _ in range(a.n_layers))
        self.exit = _Residual(a.width, a.n_features + 1, 2 * a.width, a.dropout)
        self.dropout = nn.Dropout(a.dropout)

    def forward(self, features: Float[Tensor, "b s e"], responses: Float[Tensor, "b s"]) -> Float[Tensor, "b e_1"]:
        """Weights and bias ω of b neuroids, each from its own s pairs; with s = 0 the same constant for all.

        The order of pairs changes ω by rounding alone, and neuroids know nothing of each other. Raises UsageError
        for features of another width than the network was made for.
        """
        if features.shape[-1] != self.architecture.n_features:
            raise UsageError(
                f"this network reads {self.architecture.n_features} features a stimulus, got {features.shape[-1]}"
            )
        tokens = self.entry(torch.cat([features, responses[..., None]], dim=-1))
        hidden = torch.cat([self.registers.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        omega: Tensor = self.exit(hidden[:, 0])
        return omega


def predicted(weights: Float[Tensor, "b e_1"], query: Float[Tensor, "b u e"]) -> Float[Tensor, "b u"]:
    """ω_1..E · x + ω_E+1: the responses of b neuroids to u stimuli each."""
    return (query @ weights[:, :-1, None])[..., 0] + weights[:, -1:]


def n_parameters(architecture: Architecture) -> int:
    """How many numbers a network of this architecture learns; nothing is allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Encoder(architecture).parameters())


class _Residual(nn.Module):
    """Two layers beside a linear bypass."""

    def __init__(self, n_in: int, n_out: int, hidden: int, dropout: float):
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(n_in),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            nn.Linear(n_in, hidden),
            nn.LayerNorm(hidden),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_out),
        )
        self.bypass = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bypass(x) + self.inner(x)
        return out


class _Block(nn.Module):
    """Attention among tokens, then SwiGLU on each, both on normalised input and added to what was there."""

    def __init__(self, a: Architecture):
        super().__init__()
        self.n_heads = a.n_heads
        self.norm_attention, self.norm_token = nn.LayerNorm(a.width), nn.LayerNorm(a.width)
        self.query, self.key = nn.Linear(a.width, a.width), nn.Linear(a.width, a.width)
        self.value, self.out = nn.Linear(a.width, a.width), nn.Linear(a.width, a.width)
        self.gated, self.back = nn.Linear(a.width, 2 * a.hidden), nn.Linear(a.hidden, a.width)
        self.dropout = nn.Dropout(a.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        z = self.norm_attention(hidden)
        # the input of the projection is scaled, so its bias is not
        query = linear(z * math.log(z.shape[1]), self.query.weight, self.query.bias)
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (query, self.key(z), self.value(z))
        )
        attended = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        hidden = hidden + self.dropout(self.out(attended))
        gate, value = self.gated(self.norm_token(hidden)).chunk(2, dim=-1)
        out: Tensor = hidden + self.back(silu(gate) * value)
        return out
