"""Linear encoding: how well a ridge readout of a layer predicts each neuroid on stimuli it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Block, take
from brainbench.core.score import Score
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics import ridge
from brainbench.numerics.correlation import constant, explained_variance, pearson, r2, weighted_pearson
from brainbench.numerics.representation import Eigenbasis, Representation

SELECTIONS = ("gcv", "loo", "kfold")


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Ridge regression from centred features to the mean over repetitions, one penalty a neuroid.

    `select` says how penalties are chosen inside the training stimuli (see `numerics.ridge`); `kfold` uses the
    split's other folds as inner folds, so groups stay whole. `grid` holds penalties relative to the mean eigenvalue
    of the training Gram matrix. The score is Pearson's r on each fold's test stimuli; `extras` has R², explained
    variance (`ev`), and for each fold the chosen `penalty` (index) and whether it is at the grid's edge (`at_edge`).
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="ridge",
        version=1,
        scale="r",
        requires="responses",
        trains=True,
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )

    select: str = "gcv"
    grid: tuple[float, ...] = tuple(float(g) for g in np.logspace(-4, 4, 17))

    def __post_init__(self) -> None:
        if self.select not in SELECTIONS:
            raise UsageError(f"ridge selects penalties by {', '.join(SELECTIONS)}; got {self.select!r}")
        if len(self.grid) < 2 or any(a >= b for a, b in zip(self.grid, self.grid[1:])) or self.grid[0] <= 0:
            raise UsageError(f"the grid of penalties must be positive and ascending, got {list(self.grid)}")

    def score(self, representation: Representation, target: Block, split: Split, *, seed: int, device: str) -> Score:
        """Predictivity of every neuroid of `target`; neuroids that are constant or incomplete are NaN with a reason."""
        representation = representation.to(device)
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        responses = target.mean()
        if responses.ndim != 2:
            raise UsageError("ridge scores responses without a time axis; select a time bin first")
        complete = np.isfinite(responses).all(axis=0)
        y = torch.as_tensor(np.where(complete, responses, 0.0), dtype=torch.float32, device=device)
        row_of = {name: row for row, name in enumerate(target.stimulus_ids)}
        tests = [torch.as_tensor([row_of[i] for i in fold.test], device=device) for fold in split.folds]
        trains = [torch.as_tensor([row_of[i] for i in fold.train], device=device) for fold in split.folds]

        predicted = []
        chosen = []
        for train, test in zip(trains, tests):
            basis = representation.eigh(at[train])
            alphas = ridge.penalties(basis, self.grid)
            cross = representation.cross(basis, at[test])
            inner = self._inner(representation, at, train, [t for t in tests if t is not test])
            out = torch.empty(len(test), y.shape[1], device=device)
            picks = []
            for start in range(0, y.shape[1], ridge.COLUMNS):
                columns = slice(start, start + ridge.COLUMNS)
                pick = self._choose(basis, y[train, columns], alphas, inner, y[:, columns])
                out[:, columns] = ridge.predict(
                    basis, y[train, columns], alphas[pick.index].to(basis.values.dtype), cross
                )
                picks.append(pick)
            predicted.append(out)
            chosen.append((torch.cat([p.index for p in picks]), torch.cat([p.cv_r2 for p in picks]), len(alphas)))

        flat = [constant(y[rows]) for rows in (*trains, *tests)]
        varies = ~torch.stack(flat).any(dim=0).cpu().numpy()
        reason = tuple(
            "" if c and v else "missing-stimuli" if not c else "zero-variance" for c, v in zip(complete, varies)
        )
        valid = torch.as_tensor(complete & varies, device=device)

        def by_fold(metric: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
            rows = [metric(p, y[test]) for p, test in zip(predicted, tests)]
            return torch.where(valid, torch.stack(rows), torch.nan).double().cpu().numpy()

        def resample(weights: np.ndarray, folds: Sequence[int]) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float32, device=device)
            rows = [weighted_pearson(predicted[f], y[tests[f]], w[:, tests[f]]) for f in folds]
            return torch.where(valid, torch.stack(rows, dim=1), torch.nan).cpu().numpy()

        index = torch.stack([c[0] for c in chosen])
        return Score(
            scale="r",
            folds=by_fold(pearson),
            train=torch.where(valid, torch.stack([c[1] for c in chosen]), torch.nan).double().cpu().numpy(),
            resample=resample,
            reason=reason,
            extras={
                "r2": by_fold(r2),
                "ev": by_fold(explained_variance),
                "penalty": index.cpu().numpy(),
                "at_edge": ((index == 0) | (index == len(self.grid) - 1)).cpu().numpy(),
            },
        )

    def _inner(
        self, representation: Representation, at: Tensor, train: Tensor, other_tests: list[Tensor]
    ) -> list[tuple[Eigenbasis, Tensor, Tensor, Tensor]]:
        """For k-fold selection: basis, cross products, rows fitted and rows left out, for each inner fold."""
        if self.select != "kfold":
            return []
        inner = []
        in_train = torch.zeros(len(at), dtype=torch.bool, device=train.device)
        in_train[train] = True
        for left_out in other_tests:
            out = left_out[in_train[left_out]]  # repeated splits: folds of other repeats overlap the test stimuli
            fitted = in_train.clone()
            fitted[out] = False
            rows = fitted.nonzero()[:, 0]
            basis = representation.eigh(at[rows])
            inner.append((basis, representation.cross(basis, at[out]), rows, out))
        return inner

    def _choose(
        self,
        basis: Eigenbasis,
        y_train: Tensor,
        alphas: Tensor,
        inner: list[tuple[Eigenbasis, Tensor, Tensor, Tensor]],
        y: Tensor,
    ) -> ridge.Selection:
        if self.select == "gcv":
            return ridge.select_gcv(basis, y_train, alphas)
        if self.select == "loo":
            return ridge.select_loo(basis, y_train, alphas)
        return ridge.select_kfold([(b, cross, y[fit], y[out]) for b, cross, fit, out in inner], alphas)
