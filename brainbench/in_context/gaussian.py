"""Neuroids whose best readout is known, and how near a network that was trained on them comes to it.

Stimuli are x ~ N(0, I_e) and a neuroid's weights w ~ N(0, I/e), so that its signal x·w has a variance of 1; responses
have noise of variance σ². Given a context, no readout has a smaller expected squared error for a new stimulus than the
posterior mean ŵ, which is ridge with λ = σ² e, and its error is tr σ² (XᵀX + λI)⁻¹ (see `numerics.linear_learners`). A
readout ω with bias b has E|ω - ŵ|² + b² on top of that: its excess risk, 0 for the posterior mean and for nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.in_context.network import Encoder, predicted, preset
from brainbench.in_context.tasks import Batch
from brainbench.in_context.training import Plan, Stage, descend, generator_at, size_at
from brainbench.numerics._shapes import Float
from brainbench.numerics.linear_learners import bayes_risk, ridge_weights

N_NEUROIDS = 1000  # that each risk is the mean of


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """The prior: e features, and noise of variance `noise`, beside a signal of 1."""

    n_features: int
    noise: float

    def __post_init__(self) -> None:
        if self.n_features < 1 or not (math.isfinite(self.noise) and self.noise > 0):
            raise UsageError(f"Gaussian neuroids have 1 or more features and noise above 0, got {self}")

    @property
    def penalty(self) -> float:
        """λ of the ridge that is the Bayes estimate: the noise's variance over that of a weight."""
        return self.noise * self.n_features

    def drawn(self, b: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Stimuli (b, n, e), responses (b, n) and weights (b, e) of b neuroids."""
        x = torch.randn(b, n, self.n_features, generator=generator)
        w = torch.randn(b, self.n_features, generator=generator) / math.sqrt(self.n_features)
        noise = torch.randn(b, n, generator=generator) * math.sqrt(self.noise)
        return x, (x @ w[..., None])[..., 0] + noise, w

    def step_risk(self, n: int) -> float:
        """The risk of one step of gradient descent from 0 with the best rate for n pairs.

        With XᵀX/n of mean I and mean square (1 + (e + 1)/n) I, a rate η has the risk (1 - η)² + η² (e + 1 + λ)/n,
        which is least, 1 - η, for η = 1 / (1 + (e + 1 + λ)/n).
        """
        return 1 - 1 / (1 + (self.n_features + 1 + self.penalty) / n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Mean squared errors of the signal for new stimuli, which has a variance of 1, from contexts of one size.

    `bayes` is the closed form over the very contexts that `network` read, whose error is exact over queries. `excess`
    is what the network has above it by the identity of this module, and `low` to `high` its 95 % interval over
    neuroids; network - bayes agrees with it but for the luck of weights and noise, of standard error `luck`.
    """

    size: int
    bayes: float
    network: float
    luck: float
    excess: float
    low: float
    high: float
    untrained: float
    step: float


def trained(
    prior: Gaussian,
    *,
    name: str,
    largest: int,
    steps: int,
    seed: int,
    after: Callable[[int, float], None] = lambda step, loss: None,
) -> tuple[Encoder, Encoder]:
    """A network with the sizes of preset `name` before and after training on neuroids of the prior, in evaluation mode.

    Contexts have 2 to `largest` pairs. The network stands alone: neither is anything normalised nor has it an anchor.
    """
    plan = Plan(
        stages=(Stage(kind="synthetic", steps=steps, context=(2, largest)),), seed=seed, decay=0.0, largest_batch=256
    )
    torch.manual_seed(seed)
    encoder = Encoder(replace(preset(name), n_features=prior.n_features))
    torch.manual_seed(seed)
    untrained = Encoder(encoder.architecture)

    def loss_at(step: int) -> Tensor:
        batch = _batch(prior, plan, step)
        weights = encoder(batch.features[:, : batch.responses.shape[1]], batch.responses)
        return (predicted(weights, batch.features[:, batch.responses.shape[1] :]) - batch.targets).square().mean()

    optimizer = torch.optim.AdamW(encoder.parameters(), betas=(0.9, 0.98), weight_decay=plan.decay)
    descend(encoder, optimizer, plan, loss_at, after=after)
    return untrained.eval(), encoder.eval()


def _batch(prior: Gaussian, plan: Plan, step: int) -> Batch:
    """The neuroids of one step; what is learned from is the signal."""
    generator = generator_at(plan, step)
    s = size_at(plan, step, generator)
    b = max(4, min(plan.largest_batch, 4 * plan.tokens // s))
    x, y, w = prior.drawn(b, s + plan.n_queries, generator)
    return Batch(features=x, responses=y[:, :s], targets=(x[:, s:] @ w[..., None])[..., 0])


@torch.no_grad()
def risk(prior: Gaussian, untrained: Encoder, network: Encoder, *, size: int, seed: int) -> Risk:
    """The risks at one size of context, on neuroids that no training draws."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence([seed, size], spawn_key=(1,)).generate_state(1)[0])
    )
    x, y, w = prior.drawn(N_NEUROIDS, size, generator)
    covariance = torch.eye(prior.n_features, dtype=torch.double) / prior.n_features
    wide = x.double()
    bayes = torch.tensor([bayes_risk(one, covariance=covariance, noise=prior.noise) for one in wide])
    posterior = torch.stack(
        [ridge_weights(one, own[:, None], penalty=prior.penalty)[:, 0] for one, own in zip(wide, y.double())]
    )

    omega, before = network(x, y).double(), untrained(x, y).double()
    realised, excess = _apart(omega, w.double()), _apart(omega, posterior)
    spread = 1.96 * float(excess.std()) / math.sqrt(len(excess))
    return Risk(
        size=size,
        bayes=float(bayes.mean()),
        network=float(realised.mean()),
        luck=float((realised - bayes).std()) / math.sqrt(len(bayes)),
        excess=float(excess.mean()),
        low=float(excess.mean()) - spread,
        high=float(excess.mean()) + spread,
        untrained=float(bayes.mean() + _apart(before, posterior).mean()),
        step=prior.step_risk(size),
    )


def _apart(omega: Float[Tensor, "b e_1"], weights: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
    """The expected squared difference of two readouts' predictions for x ~ N(0, I); the second has no bias."""
    return (omega[:, :-1] - weights).square().sum(dim=1) + omega[:, -1].square()
