"""What a reader says of stimuli, and test-time ensembling: the mean of what it says after each of several contexts.

Predictions are linear in the readout, so their mean is the prediction of the mean readout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brainbench.in_context.readout import Reader
from brainbench.numerics._shapes import Float, Int

NEUROIDS = 256  # read at a time: tokens are neuroids x stimuli x width


@torch.no_grad()
def said(
    reader: Reader, x: Float[Tensor, "s e"], y: Float[Tensor, "s v"], query: Float[Tensor, "u e"]
) -> Float[Tensor, "u v"]:
    """Responses to the queries, predicted from a context that all v neuroids share. Raises as `Reader.shared` does."""
    device = reader.log_noise.device
    weights = torch.cat([reader.shared(x.to(device), some) for some in torch.split(y.to(device), NEUROIDS, dim=1)])
    return query.to(device) @ weights[:, :-1].T + weights[:, -1]


def ensembled(
    reader: Reader,
    x: Float[Tensor, "s e"],
    y: Float[Tensor, "s v"],
    query: Float[Tensor, "u e"],
    parts: Sequence[Int[Tensor, " n"]],
) -> Float[Tensor, "u v"]:
    """The mean prediction from each of `parts`, rows of the context: nothing changes where all are the context."""
    return torch.stack([said(reader, x[part], y[part], query) for part in parts]).mean(dim=0)


def subsets(n: int, count: int, share: float) -> list[Int[Tensor, " n"]]:
    """`count` random subsets of a share of n rows, the same ones whenever asked."""
    generator = torch.Generator().manual_seed(n)
    return [torch.randperm(n, generator=generator)[: round(share * n)] for _ in range(count)]
