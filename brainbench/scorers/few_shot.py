"""Encoding from few stimuli: a readout sees disjoint draws of some training stimuli, and is scored on each fold's test.

Draws are consecutive slices of one fixed shuffle of a fold's training stimuli, the same for every readout and for every
neuroid, so readouts can be compared pair by pair. What belongs together stays together in the shuffle, and nothing is
chosen on stimuli that belong to those of the draw.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Block, take
from brainbench.core.score import Score, reasons
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import InputError, NotApplicableError, UsageError
from brainbench.in_context import checkpoint
from brainbench.in_context.ensemble import ensembled, said, subsets
from brainbench.numerics import ridge
from brainbench.numerics.correlation import constant, pearson, weighted_pearson
from brainbench.numerics.representation import Representation
from brainbench.scorers.ridge import responses

GRID = tuple(float(g) for g in np.logspace(-4, 4, 17))
VARIANTS = ("refit", "fold_averaged")
N_FOLDS = 5  # contiguous ones, of the variant that averages and where stimuli belong together
LEAST = 10  # stimuli outside a draw: layers are chosen on what it predicts of them


@dataclass(frozen=True, kw_only=True)
class _FewShot(ABC):
    """`support` stimuli a draw, at most `n_draws` disjoint draws a fold; `sizes` is the curve beside the score.

    The score is Pearson's r on the fold's test stimuli, averaged over draws; `train` is the same on the training
    stimuli that do not belong to any of the draw. A size that the fold has too few stimuli for is NaN on the curve, and
    so is one whose draws are each of a single group.
    """

    support: int = 100
    n_draws: int = 5
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if min((self.support, *self.sizes)) < 3 or self.n_draws < 1:
            raise UsageError("few-shot readouts need 3 or more stimuli a draw, and 1 draw")

    @abstractmethod
    def predictions(
        self,
        representation: Representation,
        context: Tensor,
        y: Tensor,
        rows: Tensor,
        parts: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Responses (rows, neuroids) predicted from `context`, rows of the representation, and their responses y.

        Whatever is chosen is chosen with one of the `parts` of the context left out at a time: where there are none,
        its stimuli may be left out one by one. Predictions may lack a number of their own for each neuroid: no
        correlation minds, and float32 has more digits.
        """

    def score(self, representation: Representation, target: Block, split: Split, *, seed: int, device: str) -> Score:
        """Predictivity of every neuroid from few stimuli; constant or incomplete neuroids are NaN with a reason.

        Raises InputError where a fold's training stimuli leave fewer than 10 beside those that belong to a draw, and
        where all stimuli of a draw belong together.
        """
        if target.values.ndim != 3:
            raise UsageError("few-shot readouts score responses without a time axis: make bins columns, Block.unrolled")
        representation = representation.to(device)
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        y = responses(target, slice(None), device)
        complete = y.isfinite().all(dim=0)
        y = y.nan_to_num()
        v = y.shape[1]
        parts = [[torch.as_tensor(rows, device=device) for rows in fold] for fold in split.rows(target.stimulus_ids)]
        shown: list[tuple[Tensor, list[Tensor]]] = []
        folds, train, luck = torch.full((3, len(parts), v), torch.nan, device=device)
        curve = torch.full((len(parts), v, len(self.sizes)), torch.nan, device=device)
        flat = torch.zeros(v, dtype=torch.bool, device=device)
        numbers = {unit: number for number, unit in enumerate(sorted(set(split.unit.values())))}
        units = torch.tensor([numbers[split.unit[name]] for name in target.stimulus_ids], device=device)
        for number, (learned, test) in enumerate(parts):
            names = [target.stimulus_ids[row] for row in learned.tolist()]
            order = _together(learned[torch.as_tensor(_shuffled(names, number), device=device)], units)
            flat |= constant(y[test]) | constant(y[learned])
            guesses, inside = [], []
            for draw in self._draws(order, self.support):
                rest = order[~torch.isin(units[order], units[draw])]
                left_out = _parts(units[draw])
                if len(rest) < LEAST:
                    raise InputError(
                        f"a fold has {len(learned)} training stimuli: a draw of {self.support} leaves {len(rest)} that "
                        f"belong to none of it, and layers are chosen on {LEAST} at least"
                    )
                if left_out is not None and len(left_out) < 2:
                    raise InputError(f"the {self.support} stimuli of a draw are of one group: no penalty can be chosen")
                both = self.predictions(representation, at[draw], y[draw], at[torch.cat([test, rest])], left_out)
                guesses.append(both[: len(test)])
                inside.append(_finite(pearson(both[len(test) :], y[rest])))
            if not guesses:
                raise InputError(f"a fold has {len(learned)} training stimuli: no draw of {self.support} leaves others")
            folds[number] = torch.stack([_finite(pearson(guess, y[test])) for guess in guesses]).mean(dim=0)
            train[number] = torch.stack(inside).mean(dim=0)
            luck[number] = _luck(guesses, y[test])
            shown.append((test, guesses))
            for place, size in enumerate(self.sizes):
                drawn = [(draw, _parts(units[draw])) for draw in self._draws(order, size)]
                r = [
                    _finite(pearson(self.predictions(representation, at[d], y[d], at[test], out), y[test]))
                    for d, out in drawn
                    if out is None or len(out) > 1
                ]
                if r:
                    curve[number, :, place] = torch.stack(r).mean(dim=0)
        valid = complete & ~flat

        def known(values: Tensor) -> np.ndarray:
            shape = (len(parts), v) + (1,) * (values.ndim - 2)
            return torch.where(valid.expand(len(parts), v).reshape(shape), values, torch.nan).double().cpu().numpy()

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float32, device=device)
            some = torch.as_tensor(columns, device=device)
            out = torch.empty(len(w), len(wanted), len(columns), device=device)
            for place, fold in enumerate(wanted):
                test, guesses = shown[fold]
                truth = y[test][:, some]
                drawn = [weighted_pearson(g[:, some], truth, w[:, test]) for g in guesses]
                mean = torch.stack([_finite(d) for d in drawn]).mean(dim=0)
                absent = weighted_pearson(truth, truth, w[:, test]).isnan()  # the neuroid, in that sample
                out[:, place] = torch.where(absent, torch.nan, mean)
            return torch.where(valid[some], out, torch.nan).cpu().numpy()

        extras = {"support": known(curve)} if self.sizes else {}
        return Score(
            scale="r",
            folds=known(folds),
            train=known(train),
            resample=resample,
            luck=known(luck),
            reason=reasons(complete.tolist(), valid.tolist()),
            extras=extras,
        )

    def _draws(self, order: Tensor, size: int) -> list[Tensor]:
        return [order[start : start + size] for start in range(0, len(order) - size + 1, size)][: self.n_draws]


def _shuffled(names: Sequence[str], seed: int) -> np.ndarray:
    """A random order that hangs on the names, not on the rows they stand in."""
    return np.argsort(np.asarray(names))[np.random.default_rng(seed).permutation(len(names))]


def _together(order: Tensor, units: Tensor) -> Tensor:
    """The same rows with those of one unit (the number of each row's) together, where the first of them is."""
    first: dict[int, int] = {}
    places = [first.setdefault(unit, place) for place, unit in enumerate(units[order].tolist())]
    return order[torch.tensor(places, device=order.device).argsort(stable=True)]


def _parts(units: Tensor) -> list[Tensor] | None:
    """Places to leave out in turn, whole units, of which one draw has its own together; None where all differ."""
    _, which = torch.unique_consecutive(units, return_inverse=True)
    n_units = int(which[-1]) + 1
    if n_units == len(units):
        return None
    part = which * min(N_FOLDS, n_units) // n_units
    return [torch.nonzero(part == number).flatten() for number in range(int(part[-1]) + 1)]


def _luck(guesses: Sequence[Tensor], y: Tensor) -> Tensor:
    """(V,) the variance of mean r that comes with the draws, over that which comes with the test stimuli.

    Draws are disjoint, so what r varies by from one to the next, over their number D, is the first. The second is the
    mean square of the influence of single test stimuli, z z' - r (z² + z'²) / 2 averaged over draws, over their number.
    Where there is nothing to learn, both are the same. With one draw it is not known, so it is taken to be that.
    """
    if len(guesses) == 1:
        return torch.ones_like(y[0])
    t = (y - y.mean(dim=0)) / y.std(dim=0, correction=0)
    z = torch.stack([(g - g.mean(dim=0)) / g.std(dim=0, correction=0) for g in guesses]).nan_to_num()
    r = (z * t).mean(dim=1)
    influence = (z * t - r[:, None] * (z.square() + t.square()) / 2).mean(dim=0)
    by_draw = r.var(dim=0) / len(guesses)
    return (by_draw * len(y) / influence.square().mean(dim=0)).nan_to_num(1.0)


def _finite(r: Tensor) -> Tensor:
    """A readout that says the same of all stimuli, from a draw in which the neuroid was constant, has told nothing."""
    return r.nan_to_num(0.0)


@dataclass(frozen=True, kw_only=True)
class FewShotRidge(_FewShot):
    """Ridge from few stimuli, its penalty chosen for each neuroid by leave-one-out on the draw.

    Where stimuli of the draw belong together, whole groups are left out, a fifth of them at a time.
    `variant` is `refit`, one fit on the whole draw, or `fold_averaged`, the mean of five fits that each leave out one
    of five contiguous folds, with the penalty that predicts those best.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="few_shot_ridge",
        version=4,
        scale="r",
        requires="responses",
        trains=True,
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )
    variant: str = "refit"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise UsageError(f"few-shot ridge is {' or '.join(VARIANTS)}; got {self.variant!r}")

    def predictions(
        self,
        representation: Representation,
        context: Tensor,
        y: Tensor,
        rows: Tensor,
        parts: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Raises nothing of its own."""
        basis = representation.eigh(context)
        alphas = ridge.penalties(basis, GRID)
        refit = self.variant == "refit"
        if refit and parts is None:
            fit = ridge.coordinates(basis, y)
            index = ridge.select_loo(fit, alphas).index
            return ridge.deviations(fit, alphas[index], representation.cross(basis, rows))
        errors, mean_only, fits = torch.zeros(()), torch.zeros(()), []
        for out in parts or torch.tensor_split(torch.arange(len(context), device=context.device), N_FOLDS):
            kept = torch.ones(len(context), dtype=torch.bool, device=context.device)
            kept[out] = False
            inner = representation.eigh(context[kept])
            fit = ridge.coordinates(inner, y[kept])
            wrong, plain = ridge.held_out_errors(fit, representation.cross(inner, context[out]), y[out], alphas)
            errors, mean_only = errors.to(wrong) + wrong, mean_only.to(plain) + plain
            fits.append((fit, inner))
        index = ridge.choose(errors, mean_only).index
        if refit:
            fits = [(ridge.coordinates(basis, y), basis)]
        each = [ridge.deviations(fit, alphas[index], representation.cross(own, rows)) for fit, own in fits]
        return torch.stack(each).mean(dim=0)


@dataclass(frozen=True, kw_only=True)
class InContext(_FewShot):
    """The in-context encoder: a trained network reads the draw and writes each neuroid's readout; nothing is fitted.

    `encoder` is a shipped name, a .safetensors file or a checkpoint in memory, and the features must be those that it
    reads. A benchmark names none: each model `in_context:NAME` is read by its own (`of_model`). Without one, in direct
    use alone, the readout is the anchor with equal variances: ridge with a fixed penalty, of any features. `subsets` is
    test-time ensembling: that many random subsets of a `share` of the draw are read, and their readouts averaged; 0 is
    the draw itself, read once.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="in_context",
        version=3,
        scale="r",
        requires="responses",
        trains=True,
        # without an encoder; one reads the components that it was trained on, in their order
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )
    encoder: str | checkpoint.Checkpoint = ""
    subsets: int = 0
    share: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        fewest = min((self.support, *self.sizes))
        if self.subsets < 0 or not 2 <= self.share * fewest <= fewest:
            raise UsageError(f"{self.subsets} subsets of a share {self.share} of {fewest} stimuli cannot be read")

    @property
    def seen(self) -> dict[str, object]:
        """What the encoder's training saw (see `in_context.checkpoint.Checkpoint`): nothing without one."""
        return self._checkpoint.card["seen"] if self.encoder else {}

    @property
    def _checkpoint(self) -> checkpoint.Checkpoint:
        return checkpoint.load(self.encoder) if isinstance(self.encoder, str) else self.encoder

    def of_model(self, model: Any) -> InContext:
        """The scorer with the encoder of this model.

        Raises NotApplicableError for a model without one, UsageError where the scorer has one: it would read the
        features of another's.
        """
        if self.encoder:
            raise UsageError("a benchmark names no encoder: each model in_context:NAME brings its own")
        own = getattr(model, "encoder", None)
        if not isinstance(own, checkpoint.Checkpoint):
            raise NotApplicableError(
                f"{model.spec.id} has no in-context encoder: `brainbench train in-context` trains one for a layer of a "
                "network (docs/in_context.md)"
            )
        return replace(self, encoder=own)

    def predictions(
        self,
        representation: Representation,
        context: Tensor,
        y: Tensor,
        rows: Tensor,
        parts: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Nothing is chosen, so `parts` do not matter.

        Raises NotApplicableError for features that the encoder does not read."""
        if not self.encoder:
            return self._without(representation, context, y, rows)
        reader = self._checkpoint.reader.to(y.device)
        if representation.features is None or representation.n_units != reader.n_anchored:
            raise NotApplicableError(
                f"the encoder reads {reader.n_anchored} features, those of a model in_context:NAME; these are "
                f"{representation.n_units} of another"
            )
        x = representation.features.float()
        if not self.subsets:
            return said(reader, x[context], y, x[rows])
        parts = [part.to(y.device) for part in subsets(len(context), self.subsets, self.share)]
        return ensembled(reader, x[context], y, x[rows], parts)

    def _without(self, representation: Representation, context: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        basis = representation.eigh(context)
        fit = ridge.coordinates(basis, y)
        penalty = ridge.penalties(basis, (1.0,)).expand(y.shape[1])
        return ridge.deviations(fit, penalty, representation.cross(basis, rows))
