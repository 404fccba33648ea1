"""From a context in a recording's units to a readout in the same units: normalise, anchor, correct, undo.

Features are centred on the context and scaled to a root mean square norm of 1 over it; responses are standardised over
it, so neither offset nor unit of a recording matters. The anchor is the Bayes estimate of the weights under a Gaussian
prior that was learned (a variance for each feature, one for the noise): ridge in its most general form, in closed
form, with nothing chosen on the context. The network adds to the weights of the first features what the context says
beyond that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainbench.errors import InputError, UsageError
from brainbench.in_context.fields import estimate
from brainbench.in_context.network import Architecture, Encoder
from brainbench.numerics._shapes import Float


class Reader(nn.Module):
    """The network with its anchor. `forward` gives (b, e + 1): weights and bias of b neuroids, in their own units.

    `n_anchored` features are read by the anchor, the first of them by the network; `anchored=False` is the network
    alone. `shared` readouts, of neuroids that saw the same context, have the anchor of `in_context.fields`, with mean
    and receptive fields, where `fields` are known, instead of the Gaussian one; only they teach the prior. Without a
    context all neuroids have one readout, in the units of standardised features and responses.
    """

    fields: Tensor | None

    def __init__(
        self, architecture: Architecture, n_anchored: int, *, anchored: bool = True, fields: Tensor | None = None
    ):
        super().__init__()
        if n_anchored < architecture.n_features:
            raise UsageError(f"an anchor on {n_anchored} features is narrower than the {architecture.n_features} read")
        self.encoder = Encoder(architecture)
        self.n_anchored, self.anchored = n_anchored, anchored
        self.log_variance = nn.Parameter(torch.zeros(n_anchored))
        self.log_noise = nn.Parameter(torch.zeros(()))
        self.mean = nn.Parameter(torch.zeros(n_anchored))
        self.log_odds = nn.Parameter(torch.zeros(0 if fields is None else len(fields)))
        self.register_buffer("fields", fields, persistent=False)
        if anchored:  # what is added starts at nothing
            last = [*self.encoder.exit.inner[-1].parameters(), *self.encoder.exit.bypass.parameters()]
            for parameter in last:
                nn.init.zeros_(parameter)

    def forward(self, features: Float[Tensor, "b s e"], responses: Float[Tensor, "b s"]) -> Float[Tensor, "b e_1"]:
        """Readouts with the Gaussian anchor, each neuroid's from a context of its own.

        Raises InputError for a context of 1, which has no spread, UsageError for features of another width.
        """
        x, y, undo = self._seen(features, responses)
        first = None
        with torch.autocast(x.device.type, enabled=False):  # a Gram matrix of 8 bits may have no Cholesky factor
            if self.anchored:
                first = anchor(x, y, self.log_variance.detach().exp(), self.log_noise.detach().exp())
        return undo(self._added(x, y, first))

    def shared(self, features: Float[Tensor, "s e"], responses: Float[Tensor, "s b"]) -> Float[Tensor, "b e_1"]:
        """Readouts of neuroids that saw the same stimuli. Raises as `forward` does."""
        b = responses.shape[1]
        x, y, undo = self._seen(features.expand(b, -1, -1), responses.T)
        first = None
        with torch.autocast(x.device.type, enabled=False):
            if self.anchored and self.fields is not None:
                first = estimate(
                    x[0],
                    y.T,
                    self.log_variance.exp(),
                    self.log_noise.exp(),
                    self.fields,
                    mean=self.mean,
                    log_odds=self.log_odds,
                )
            elif self.anchored:
                first = anchor(x, y, self.log_variance.exp(), self.log_noise.exp())
        return undo(self._added(x, y, first))

    def _seen(self, features: Tensor, responses: Tensor) -> tuple[Tensor, Tensor, _Undo]:
        if features.shape[-1] != self.n_anchored:
            raise UsageError(f"this network was trained on {self.n_anchored} features, not {features.shape[-1]}")
        return normalized(features, responses)

    def _added(self, x: Tensor, y: Tensor, first: Tensor | None) -> Tensor:
        """What the network writes, with the anchor's weights under it."""
        read = self.encoder.architecture.n_features
        omega = self.encoder(x[..., :read], y).to(x.dtype)
        weights = nn.functional.pad(omega[:, :-1], (0, self.n_anchored - read))
        return torch.cat([weights if first is None else weights + first, omega[:, -1:]], dim=1)


def normalized(features: Float[Tensor, "b s e"], responses: Float[Tensor, "b s"]) -> tuple[Tensor, Tensor, _Undo]:
    """Features and responses as the network sees them, and what brings its readout back to their units.

    A neuroid that is constant over the context has responses of 0. Raises InputError for a context of 1.
    """
    s = features.shape[1]
    if s == 1:
        raise InputError("a context of one stimulus has no spread: give none, or 2 or more")
    if s == 0:
        zero = features.new_zeros(len(features), 1)
        undo = _Undo(
            centre=features.new_zeros(len(features), features.shape[2]), scale=zero + 1, mean=zero, sd=zero + 1
        )
        return features, responses, undo
    centre, mean = features.mean(dim=1), responses.mean(dim=1, keepdim=True)
    x, y = features - centre[:, None], responses - mean
    scale = x.square().sum(dim=2).mean(dim=1, keepdim=True).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    sd = y.square().mean(dim=1, keepdim=True).sqrt()
    safe = torch.where(sd > 1e-6 * mean.abs(), sd, torch.inf)
    return x / scale[:, None], y / safe, _Undo(centre=centre, scale=scale, mean=mean, sd=sd)


class _Undo:
    """The way back from a readout of normalised features and responses."""

    def __init__(self, *, centre: Tensor, scale: Tensor, mean: Tensor, sd: Tensor):
        self.centre, self.scale, self.mean, self.sd = centre, scale, mean, sd

    def __call__(self, omega: Float[Tensor, "b e_1"]) -> Float[Tensor, "b e_1"]:
        weights = omega[:, :-1] * (self.sd / self.scale)
        bias = self.mean + self.sd * omega[:, -1:] - (weights * self.centre).sum(dim=1, keepdim=True)
        return torch.cat([weights, bias], dim=1)


def anchor(
    x: Float[Tensor, "b s e"], y: Float[Tensor, "b s"], variance: Float[Tensor, " e"], noise: Float[Tensor, ""]
) -> Float[Tensor, "b e"]:
    """The posterior mean of each neuroid's weights under independent N(0, variance) and noise (see linear_learners)."""
    if x.shape[1] == 0:
        return x.new_zeros(len(x), x.shape[2])
    spread = x * variance
    gram = spread @ x.transpose(1, 2) + noise * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    solved = torch.cholesky_solve(y[..., None], torch.linalg.cholesky(gram))
    return (spread * solved).sum(dim=1)
