"""Training of a reader: synthetic neuroids, then longer contexts, then real neuroids; exact to resume.

Every random number of step t comes from a generator seeded with (seed, t), and the rate of learning is a function of
t, so a run that was killed and goes on from its last state ends with the very bytes of one that was not. The loss is
the mean squared error of predictions for queries, in units of the responses' standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from brainbench.errors import InputError, UsageError
from brainbench.in_context.ensemble import said
from brainbench.in_context.network import predicted
from brainbench.in_context.readout import Reader
from brainbench.in_context.tasks import Batch, Prior, Recorded, real_batch, synthetic_batch
from brainbench.numerics._shapes import Float
from brainbench.numerics.correlation import constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """So many steps on neuroids of one `kind`, with contexts between two sizes (uniform on a log scale).

    `rate` is the highest rate of learning in the stage.
    """

    kind: Literal["synthetic", "real"]
    steps: int
    context: tuple[int, int]
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.steps < 0 or not 2 <= self.context[0] <= self.context[1]:
            raise UsageError(f"a stage has 0 or more steps and contexts of 2 or more, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a training depends on but its data. A step holds about `tokens` pairs, and `n_queries` a neuroid."""

    stages: tuple[Stage, ...]
    seed: int = 0
    decay: float = 0.01
    warmup: int = 50
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
        return self._within(step)[0]

    def rate_at(self, step: int) -> float:
        """In each stage a linear rise, then half a cosine down to a hundredth."""
        stage, step = self._within(step)
        if step < self.warmup:
            return stage.rate * (step + 1) / self.warmup
        along = (step - self.warmup) / max(1, stage.steps - self.warmup)
        return stage.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))

    def _within(self, step: int) -> tuple[Stage, int]:
        """The stage of a step, and the step's number in it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise UsageError(f"the plan has {self.steps} steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is learned from: views (a, n, e) of the training stimuli's features, the prior, and real neuroids."""

    views: Float[Tensor, "a n e"]
    prior: Prior
    sessions: list[Recorded]


def optimizer_of(reader: Reader, plan: Plan) -> torch.optim.AdamW:
    """AdamW; the prior's few numbers are not decayed, and learn `speed` times as fast as the network."""
    odds = [reader.log_variance, reader.log_noise, reader.log_odds]
    return torch.optim.AdamW(
        [
            {"params": list(reader.encoder.parameters()), "weight_decay": plan.decay, "speed": 1.0},
            {"params": odds, "weight_decay": 0.0, "speed": 100.0},
            {"params": [reader.mean], "weight_decay": 0.0, "speed": 10.0},
        ],
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
    device = reader.log_noise.device

    def loss_at(step: int) -> Tensor:
        batch = batch_of(material, plan, step).to(device)
        return loss_of(reader, batch, plan.precision, shared=plan.stage(step).kind == "real")

    descend(reader, optimizer, plan, loss_at, start=start, after=after)


def descend(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    loss_at: Callable[[int], Tensor],
    *,
    start: int = 0,
    after: Callable[[int, float], None],
) -> None:
    """Take the plan's steps from `start` on, each down the gradient of that step's loss; `network` is changed."""
    network.train()
    for step in range(start, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step) * group.get("speed", 1.0)
        loss = loss_at(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        after(step, float(loss.detach()))


def generator_at(plan: Plan, step: int) -> torch.Generator:
    """The random numbers of one step: a function of the plan's seed and the step."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([plan.seed, step]).generate_state(1)[0]))


def size_at(plan: Plan, step: int, generator: torch.Generator) -> int:
    """The size of one step's contexts, drawn uniformly on a log scale."""
    low, high = (math.log(size) for size in plan.stage(step).context)
    return round(math.exp(low + (high - low) * float(torch.rand((), generator=generator))))


def batch_of(material: Material, plan: Plan, step: int) -> Batch:
    """The neuroids of one step: a function of the plan's seed and the step."""
    generator = generator_at(plan, step)
    stage = plan.stage(step)
    s = size_at(plan, step, generator)
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


def held_out_ev(reader: Reader, views: Tensor, sessions: Sequence[Recorded], *, size: int, n_draws: int) -> float:
    """Mean explained variance of neuroids that nothing was learned from, on stimuli outside contexts of `size`."""
    was_training = reader.training
    reader.eval()
    found = explained(partial(said, reader), views, sessions, size=size, n_draws=n_draws)
    reader.train(was_training)
    return float(found.nanmean())


def explained(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    views: Float[Tensor, "a n e"],
    sessions: Sequence[Recorded],
    *,
    size: int,
    n_draws: int,
) -> Float[Tensor, " v"]:
    """Each neuroid's explained variance for up to 300 stimuli of its session: the mean over disjoint contexts.

    `predict` gives responses to queries from a context's features and responses; contexts are consecutive slices of
    one shuffle of a session, the same for all neuroids and whatever predicts, and the queries are its end. There are
    `n_draws` of them, or as many as the session has. A neuroid that is constant over the queries is NaN. Raises
    InputError where a session leaves no 2 queries.
    """
    found = [torch.zeros(0)]
    for part in sessions:
        if not part.responses.shape[1]:  # a session of few neuroids may hold none of them out
            continue
        n = len(part.rows)
        n_queries = min(300, n - size)
        if n_queries < 2:
            raise InputError(f"a session of {n} stimuli leaves no queries beside contexts of {size}")
        order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
        x, y = views[0][part.rows], part.responses
        query = order[-n_queries:]
        draws = torch.split(order[: n - n_queries], size)[:n_draws]
        off = torch.stack([y[query] - predict(x[d], y[d], x[query]).to(y) for d in draws if len(d) == size])
        share = (1 - off.var(dim=1) / y[query].var(dim=0)).mean(dim=0)
        found.append(torch.where(constant(y[query]), torch.nan, share))
    return torch.cat(found)
