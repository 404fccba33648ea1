"""What trainings of the in-context encoder are worth on neuroids that they held out: `train scaling`, `train held-out`.

Intervals are over neuroids drawn anew, the same ones for all that is compared. The held-out neuroids' stimuli were seen
in training, with the responses of others: what is found here chooses between trainings and readouts, and a score of
other animals is a benchmark's to give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from brainbench.errors import InputError
from brainbench.in_context import checkpoint
from brainbench.in_context.ensemble import ensembled, said, subsets
from brainbench.in_context.tasks import Recorded
from brainbench.in_context.training import explained, optimizer_of, train
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import interval
from brainbench.scorers.few_shot import FewShotRidge
from brainbench.settings import Setting
from brainbench.training import Order, prepared, sources

N_REPLICATES = 2000
N_DRAWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Mean explained variance over `n` neuroids from contexts of `size`, with its interval, and how much more it is
    than the reference's, with that of pairs. NaN where there is nothing to compare, or no neuroid.
    """

    what: str
    size: int
    n: int
    ev: float
    low: float
    high: float
    difference: float = float("nan")
    difference_low: float = float("nan")
    difference_high: float = float("nan")


def scaling(
    order: Order, counts: Sequence[int], sizes: Sequence[int], setting: Setting, *, tell: Callable[[str], None]
) -> list[Explained]:
    """Held-out neuroids after trainings of one length on `counts` neuroids, each more than the last's and those too.

    The reference is the first count. Beside them stand the neuroids that were learned from: what is remembered of them
    is no score. Raises as `training.in_context` does, and InputError for more neuroids than there are.
    """
    everything = sources(order, setting)
    chosen = [everything.some(n) for n in counts]
    found: list[Explained] = []
    first: dict[int, np.ndarray] = {}
    for n, source in zip(counts, chosen):
        reader, stuff, _, plan = prepared(order, source)
        reader.to(setting.device)
        tell(f"training on {n} neuroids: {plan.steps} steps")
        train(reader, optimizer_of(reader, plan), stuff, plan)
        predict = partial(said, reader.eval())
        for size in sizes:
            values = _values(predict, stuff.views, source.held, size)
            found.append(_told(f"{n}", size, values, first.setdefault(size, values)))
            found.append(_told(f"{n}, learned from", size, _values(predict, stuff.views, source.learned, size), None))
    return found


def held_out(name: str, sizes: Sequence[int], setting: Setting) -> list[Explained]:
    """The held-out neuroids of a checkpoint's training, by ridge, by the encoder in one pass, and by its ensembles.

    The reference is the one pass. Raises InputError where recordings or the network are not those of the training, and
    as `checkpoint.load` does.
    """
    found = checkpoint.load(name)
    card = found.card
    order = Order(
        dataset=card["seen"]["dataset"],
        subjects=tuple(card["seen"]["subjects"]),
        model=card["model"],
        layer=card["layer"],
    )
    source = sources(order, setting)
    found.keep_network(source.network)
    if source.sha256 != card["seen"]["sha256"] or not set(card["seen"]["neuroids"]) <= set(source.names):
        raise InputError(
            f"{order.dataset} is not the recording that {name!r} was trained on: nothing is held out of it"
        )
    views = found.projection(source.grid)[None]
    reader = found.reader.to(setting.device)

    def averaged(parts: Callable[[int], Sequence[Tensor]]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        return lambda x, y, query: ensembled(reader, x, y, query, parts(len(x)))

    readouts: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "in-context": partial(said, reader),
        "ridge": _ridge,
        "mean of 8 subsets of 90 %": averaged(lambda n: subsets(n, 8, 0.9)),
        "mean of 2 halves": averaged(lambda n: torch.arange(n).tensor_split(2)),
    }
    told = []
    for size in sizes:
        values = {what: _values(predict, views, source.held, size) for what, predict in readouts.items()}
        told += [_told(what, size, own, values["in-context"]) for what, own in values.items()]
    return told


def _ridge(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    both = torch.cat([x, query])
    rows = torch.arange(len(both))
    features = Representation.from_features(both, [str(row) for row in rows.tolist()])
    scorer = FewShotRidge(support=len(x))
    return scorer.predictions(features, rows[: len(x)], y - y.mean(dim=0), rows[len(x) :]) + y.mean(dim=0)


def _values(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor], views: Tensor, sessions: Sequence[Recorded], size: int
) -> np.ndarray:
    there = [part for part in sessions if part.responses.shape[1]]
    return explained(predict, views, there, size=size, n_draws=N_DRAWS).double().numpy()


def _told(what: str, size: int, values: np.ndarray, reference: np.ndarray | None) -> Explained:
    varies = np.isfinite(values)
    values, reference = values[varies], reference if reference is None else reference[varies]
    if not len(values):
        return Explained(what=what, size=size, n=0, ev=float("nan"), low=float("nan"), high=float("nan"))
    drawn = np.random.default_rng(0).integers(len(values), size=(N_REPLICATES, len(values)))
    low, high = interval(values[drawn].mean(axis=1))
    alone = Explained(what=what, size=size, n=len(values), ev=float(values.mean()), low=low, high=high)
    if reference is None:
        return alone
    more = values - reference
    low, high = interval(more[drawn].mean(axis=1))
    return replace(alone, difference=float(more.mean()), difference_low=low, difference_high=high)
