"""Linear encoding: how well a ridge readout of a layer predicts each neuroid on stimuli it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Block, take
from brainbench.core.score import Score, reasons
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics import ridge
from brainbench.numerics.correlation import agreement, constant, weighted_pearson
from brainbench.numerics.representation import Eigenbasis, Representation

SELECTIONS = ("gcv", "loo", "kfold")
COLUMNS = 2048  # most neuroids solved at a time, which keeps the blocks of a solve in cache
BLOCK = 2**24  # most numbers in a block of responses, which bounds its memory however many stimuli there are


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Ridge regression from centred features to the mean over repetitions, one penalty a neuroid.

    `select` says how penalties are chosen inside the training stimuli (see `numerics.ridge`); `kfold` uses the
    split's other folds as inner folds, so groups stay whole. `grid` holds penalties relative to the mean eigenvalue
    of the training Gram matrix. `standardize` scales each unit to a standard deviation of 1 over the training stimuli,
    and needs the features themselves, which layers of up to 4,096 units, or as many as stimuli, keep. The score is
    Pearson's r on each fold's test stimuli; `extras` has R², explained variance (`ev`), and for each fold the chosen
    `penalty` (index) and whether it is at the grid's edge (`at_edge`).
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="ridge",
        version=3,
        scale="r",
        requires="responses",
        trains=True,
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )

    select: str = "gcv"
    grid: tuple[float, ...] = tuple(float(g) for g in np.logspace(-4, 4, 17))
    standardize: bool = False

    def __post_init__(self) -> None:
        if self.select not in SELECTIONS:
            raise UsageError(f"ridge selects penalties by {', '.join(SELECTIONS)}; got {self.select!r}")
        if len(self.grid) < 2 or any(a >= b for a, b in zip(self.grid, self.grid[1:])) or self.grid[0] <= 0:
            raise UsageError(f"the grid of penalties must be positive and ascending, got {list(self.grid)}")

    def score(self, representation: Representation, target: Block, split: Split, *, seed: int, device: str) -> Score:
        """Predictivity of every neuroid of `target`; neuroids that are constant or incomplete are NaN with a reason.

        Responses are read a block of neuroids at a time, so `target.values` may be a memory map.
        """
        if target.values.ndim != 3:
            raise UsageError("ridge scores responses without a time axis: make bins columns, Block.unrolled")
        representation = representation.to(device)
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        parts = [[torch.as_tensor(rows, device=device) for rows in fold] for fold in split.rows(target.stimulus_ids)]
        folds = [self._fold(representation, at, train, test) for train, test in parts]
        inner = self._inner(representation, at, folds) if self.select == "kfold" else []

        n_folds, v = len(folds), len(target.neuroid_ids)
        predicted = [torch.empty(len(fold.test), v, dtype=torch.float32, device=device) for fold in folds]
        index = torch.empty(n_folds, v, dtype=torch.long, device=device)
        train, luck, *metrics = torch.empty(5, n_folds, v, dtype=torch.float32, device=device)
        complete, varies = np.empty(v, dtype=bool), torch.empty(v, dtype=torch.bool, device=device)
        width = max(1, min(COLUMNS, BLOCK // len(target.stimulus_ids)))
        solves = [slice(start, start + width) for start in range(0, v, width)]
        for columns in solves:
            y = responses(target, columns, device)
            complete[columns] = y[0].isfinite().cpu()  # a gap anywhere makes the mean, and so the whole column, NaN
            y = y.nan_to_num()
            flat = torch.zeros(y.shape[1], dtype=torch.bool, device=device)
            held_out = self._held_out_errors(inner, folds, y)
            for number, fold in enumerate(folds):
                fit = ridge.coordinates(fold.basis, y.index_select(0, fold.train))
                choice = self._choose(fit, fold, held_out.get(number))
                truth = y[fold.test] - fit.mean  # no metric minds what both sides are less by
                flat |= constant(fit.centred) | constant(truth)
                guess = ridge.deviations(fit, fold.alphas[choice.index], fold.cross)
                index[number, columns], train[number, columns] = choice.index, choice.cv_r2
                luck[number, columns] = ridge.luck(fit, fold.alphas, choice.index)
                for out, values in zip(metrics, agreement(guess, truth)):
                    out[number, columns] = values
                predicted[number][:, columns] = guess
            varies[columns] = ~flat

        valid = torch.as_tensor(complete, device=device) & varies

        def by_fold(values: Tensor) -> np.ndarray:
            return torch.where(valid, values, torch.nan).double().cpu().numpy()

        tests = [fold.test for fold in folds]  # all that `resample` needs of them: bases are large, and scores are many

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float32, device=device)
            out = torch.empty(len(w), len(wanted), len(columns), dtype=w.dtype, device=device)
            for start in range(0, len(columns), width):
                some = columns[start : start + width]
                y = responses(target, some, device).nan_to_num()
                for place, f in enumerate(wanted):
                    guess = predicted[f][:, torch.as_tensor(some, device=device)]
                    out[:, place, start : start + len(some)] = weighted_pearson(guess, y[tests[f]], w[:, tests[f]])
            out[:, :, ~valid[torch.as_tensor(columns, device=device)]] = torch.nan
            return out.cpu().numpy()

        r, r2, ev = metrics
        at_edge = (index == 0) | (index == len(self.grid) - 1)
        return Score(
            scale="r",
            folds=by_fold(r),
            train=by_fold(train),
            resample=resample,
            reason=reasons(complete.tolist(), valid.tolist()),
            luck=by_fold(luck),
            extras={
                "r2": by_fold(r2),
                "ev": by_fold(ev),
                "penalty": index.cpu().numpy(),
                "at_edge": at_edge.cpu().numpy(),
            },
        )

    def _fold(self, representation: Representation, at: Tensor, train: Tensor, test: Tensor) -> _Fold:
        """The solve of one fold, in float32 from its float64 decomposition on."""
        if self.standardize:
            representation = representation.standardized(at[train])
        basis = representation.eigh(at[train])
        cross = representation.cross(basis, at[test])
        return _Fold(
            train=train,
            test=test,
            basis=replace(basis, vectors=basis.vectors.float()),
            cross=cross.float(),
            alphas=ridge.penalties(basis, self.grid),
        )

    def _inner(self, representation: Representation, at: Tensor, folds: Sequence[_Fold]) -> list[_Inner]:
        """For k-fold selection: every set of stimuli that some fold's penalties are fitted on without an inner fold.

        Leaving out folds i and j leaves the same stimuli whichever of them is the test and whichever the inner fold:
        one decomposition and one set of coordinates serve both. Raises UsageError where no two stimuli are left, and
        where a fold has no inner fold at all.
        """
        shared: dict[bytes, _Inner] = {}
        for number, fold in enumerate(folds):
            used = False
            in_train = torch.zeros(len(at), dtype=torch.bool, device=at.device)
            in_train[fold.train] = True
            for other in folds:
                left_out = other.test[in_train[other.test]]  # repeated splits: other repeats' folds overlap the test
                if other is fold or not len(left_out):
                    continue
                fitted = in_train.clone()
                fitted[left_out] = False
                rows = fitted.nonzero()[:, 0]
                if len(rows) < 2:
                    raise UsageError(
                        f"ridge with select='kfold' would fit on {len(rows)} stimuli: of {len(folds)} folds one is the "
                        "test and one is left out. In the benchmark set n_folds to 3 or more, or select to gcv or loo."
                    )
                scaled = representation.standardized(at[rows]) if self.standardize else representation
                key = rows.cpu().numpy().tobytes()
                if key not in shared:
                    basis = scaled.eigh(at[rows])
                    shared[key] = _Inner(rows=rows, basis=basis, uses=[])
                cross = scaled.cross(shared[key].basis, at[left_out])
                shared[key].uses.append((number, left_out, cross))
                used = True
            if not used:
                raise UsageError(
                    "ridge with select='kfold' leaves out the test stimuli of other folds, and none of them are among "
                    f"the training stimuli of fold {number + 1} of {len(folds)}. Set select to gcv or loo, or give "
                    "folds that take turns."
                )
        return list(shared.values())

    def _held_out_errors(
        self, inner: Sequence[_Inner], folds: Sequence[_Fold], y: Tensor
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """For k-fold selection: for each fold, errors of every penalty and of the mean summed over its inner folds."""
        sums: dict[int, tuple[Tensor, Tensor]] = {}
        for part in inner:
            fit = ridge.coordinates(part.basis, y[part.rows])
            for number, left_out, cross in part.uses:
                errors, mean_only = ridge.held_out_errors(fit, cross, y[left_out], folds[number].alphas)
                before = sums.get(number, (0.0, 0.0))
                sums[number] = (before[0] + errors, before[1] + mean_only)
        return sums

    def _choose(self, fit: ridge.Coordinates, fold: _Fold, held_out: tuple[Tensor, Tensor] | None) -> ridge.Selection:
        if held_out is not None:
            return ridge.choose(*held_out)
        return (ridge.select_gcv if self.select == "gcv" else ridge.select_loo)(fit, fold.alphas)


def responses(target: Block, columns: slice | np.ndarray, device: str) -> Tensor:
    """The mean responses of some neuroids around their mean over stimuli, in units near their SD; NaN for a gap.

    No score depends on their mean or unit, and float32 has no digits left for what is small beside a mean, nor room for
    the squares of fields in tesla. Units are powers of two, which round nothing.
    """
    y = target.mean(columns)
    y = y - y.mean(axis=0)
    scale = y.std(axis=0)
    unit = np.exp2(np.floor(np.log2(np.where(scale > 0, scale, 1.0))))
    return torch.as_tensor(y / unit, dtype=torch.float32, device=device)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """One fold: rows of the target, the eigenbasis of the training rows, products of the test rows, and penalties."""

    train: Tensor
    test: Tensor
    basis: Eigenbasis
    cross: Tensor
    alphas: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inner:
    """A set of training rows, and its uses: (fold number, rows left out, their cross products)."""

    rows: Tensor
    basis: Eigenbasis
    uses: list[tuple[int, Tensor, Tensor]]
