"""Training of a reader: synthetic neuroids, then longer contexts, then real neuroids; exact to resume.

Every random number of step t comes from a generator seeded with (seed, t), and the rate of learning is a function of
t, so a run that was killed and goes on from its last state ends with the very bytes of one that was not. The loss is
the mean squared error of predictions for queries, in units of the responses' standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.in_context.network import predicted
from brainbench.in_context.readout import Reader
from brainbench.in_context.tasks import Batch, Prior, Recorded, real_batch, synthetic_batch
from brainbench.numerics._shapes import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """So many steps on neuroids of one `kind`, with contexts between two sizes (uniform on a log scale)."""

    kind: Literal["synthetic", "real"]
    steps: int
    context: tuple[int, int]

    def __post_init__(self) -> None:
        if self.steps < 0 or not 2 <= self.context[0] <= self.context[1]:
            raise UsageError(f"a stage has 0 or more steps and contexts of 2 or more, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a training depends on but its data. A step holds about `tokens` pairs, and `n_queries` a neuroid."""

    stages: tuple[Stage, ...]
    seed: int = 0
    rate: float = 1e-3
    decay: float = 0.01
    warmup: int = 100
    tokens: int = 2048
    n_queries: int = 64
    largest_batch: int = 48
    precision: Literal["float32", "bf16"] = "float32"

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that a step falls in."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        raise UsageError(f"the plan has {self.steps} steps")

    def rate_at(self, step: int) -> float:
        """A linear rise, then half a cosine down to a hundredth."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        along = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is learned from: views (a, n, e) of the training stimuli's features, the prior, and real neuroids."""

    views: Float[Tensor, "a n e"]
    prior: Prior
    sessions: list[Recorded]


def optimizer_of(reader: Reader, plan: Plan) -> torch.optim.AdamW:
    """AdamW; the prior's few numbers are not decayed."""
    prior = [reader.log_variance, reader.log_noise]
    return torch.optim.AdamW(
        [
            {"params": list(reader.encoder.parameters()), "weight_decay": plan.decay},
            {"params": prior, "weight_decay": 0.0},
        ],
        lr=plan.rate,
        betas=(0.9, 0.98),
    )


def train(
    reader: Reader,
    optimizer: torch.optim.Optimizer,
    material: Material,
    plan: Plan,
    *,
    start: int = 0,
    after: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """Bring `reader` from step `start` to the end of the plan; `after` is told each step's number and loss.

    It is trained where it lies: batches are moved to its device.
    """
    reader.train()
    device = reader.log_noise.device
    for step in range(start, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        batch = batch_of(material, plan, step).to(device)
        loss = loss_of(reader, batch, plan.precision, shared=plan.stage(step).kind == "real")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        after(step, float(loss.detach()))


def batch_of(material: Material, plan: Plan, step: int) -> Batch:
    """The neuroids of one step: a function of the plan's seed and the step."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([plan.seed, step]).generate_state(1)[0]))
    stage = plan.stage(step)
    low, high = (math.log(size) for size in stage.context)
    s = round(math.exp(low + (high - low) * float(torch.rand((), generator=generator))))
    b = max(4, min(plan.largest_batch, plan.tokens // s))
    if stage.kind == "real":
        if float(torch.rand((), generator=generator)) < 0.05:
            s = 0  # what all neuroids have in common
        return real_batch(material.views, material.sessions, s=s, u=plan.n_queries, generator=generator)
    return synthetic_batch(material.views, material.prior, b=b, s=s, u=plan.n_queries, generator=generator)


def loss_of(reader: Reader, batch: Batch, precision: str = "float32", *, shared: bool = False) -> Tensor:
    """Mean squared error for the queries; `shared` says that all neuroids have the first one's stimuli."""
    s = batch.responses.shape[1]
    with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=precision == "bf16"):
        if shared:
            weights = reader.shared(batch.features[0, :s], batch.responses.T)
        else:
            weights = reader(batch.features[:, :s], batch.responses)
    return (predicted(weights.float(), batch.features[:, s:]) - batch.targets).square().mean()


@torch.no_grad()
def held_out_ev(
    reader: Reader, views: Tensor, sessions: Sequence[Recorded], *, size: int, n_draws: int = 2, seed: int = 0
) -> float:
    """Mean explained variance of neuroids that nothing was learned from, on stimuli outside contexts of `size`."""
    was_training = reader.training
    reader.eval()
    device = reader.log_noise.device
    found = []
    for part in sessions:
        for draw in range(n_draws):
            order = torch.randperm(len(part.rows), generator=torch.Generator().manual_seed(seed + draw))
            context, query = order[:size], order[size:][-300:]
            x = views[0][part.rows].to(device)
            y = part.responses.T.to(device)
            weights = reader.shared(x[context], y[:, context].T)
            off = y[:, query] - predicted(weights, x[query].expand(len(y), -1, -1))
            found.append(1 - off.var(dim=1) / y[:, query].var(dim=1))
    reader.train(was_training)
    return float(torch.cat(found).mean())
