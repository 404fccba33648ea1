"""Representational similarity: how alike the dissimilarities of a layer and of a brain region are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import RDMs, take
from brainbench.core.score import Score
from brainbench.core.specs import ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics.correlation import constant
from brainbench.numerics.rdm import COMPARISONS, compare, square, upper
from brainbench.numerics.rdm_resampling import influence, resampled, spread_over_folds
from brainbench.numerics.representation import Representation

RDM_KINDS = ("correlation", "euclidean")
NORMALIZATIONS = ("none", "univariate")


@dataclass(frozen=True, kw_only=True)
class RSA:
    """Agreement of the layer's RDM with each subject's, over pairs of a fold's test stimuli.

    `rdm` is how the layer's dissimilarities (and those of responses, where no RDMs were released) are measured,
    `comparison` how two RDMs are compared. `noise_normalization="univariate"` divides each neuroid by the standard
    deviation of its repetitions around their mean in the fold's training stimuli, before responses become RDMs.
    Nothing else is fitted; the training stimuli of a fold serve to choose a layer on: `Score.train` is the same
    comparison over their pairs. `extras["all_pairs"]` compares over all stimuli.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="rsa",
        version=3,
        scale="r",
        requires="rdms",
        trains=False,
        invariances=("scale", "unit-permutation", "stimulus-scale", "stimulus-offset"),
    )

    rdm: str = "correlation"
    comparison: str = "spearman"
    noise_normalization: str = "none"

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.rdm, RDM_KINDS, "RDM"),
            (self.comparison, COMPARISONS, "comparison"),
            (self.noise_normalization, NORMALIZATIONS, "noise normalization"),
        ):
            if value not in known:
                raise UsageError(f"no {what} {value!r}; there are {', '.join(known)}")

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """Agreement with every subject of `target`; one whose RDM has gaps or is constant is NaN with a reason."""
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        model = representation.to(device).rdm(self.rdm, at)
        whole = torch.as_tensor(target.values, device=device)

        def brain(
            fold: int,
        ) -> Tensor:  # in the precision it came in: of many bins only some are made float64 at a time
            return whole if whole.ndim == 3 else whole[fold]

        rows = [tuple(map(torch.from_numpy, fold)) for fold in split.rows(target.stimulus_ids)]
        names = {unit: number for number, unit in enumerate(sorted({split.unit[i] for i in target.stimulus_ids}))}
        units = torch.as_tensor([names[split.unit[i]] for i in target.stimulus_ids], device=device)

        def pairs(fold: int, rows: Tensor, columns: slice | np.ndarray = slice(None)) -> tuple[Tensor, Tensor]:
            return upper(model[rows][:, rows]), upper(brain(fold)[columns][:, rows][:, :, rows].double()).T

        def resample(weights: np.ndarray, folds: Sequence[int], columns: np.ndarray) -> np.ndarray:
            at = torch.as_tensor(columns, device=device)
            w = torch.as_tensor(weights, device=device)
            out = []
            for fold in folds:
                t = rows[fold][1]
                some = brain(fold)[at][:, t][:, :, t].double()
                out.append(resampled(model[None, t][:, :, t], some, w[:, t], self.comparison)[:, 0])
            return torch.stack(out, dim=1).cpu().numpy()

        tests = [(fold, test) for fold, (_, test) in enumerate(rows)]
        folds = torch.stack([compare(*pairs(*at), self.comparison) for at in tests])
        train = torch.stack([compare(*pairs(f, train), self.comparison) for f, (train, _) in enumerate(rows)])
        gaps = ~np.isfinite(target.values).all(axis=(-2, -1)).reshape(-1, folds.shape[1]).all(axis=0)
        flat = torch.stack([constant(pairs(*at)[1]) for at in tests]).any(dim=0) & folds.isnan().any(dim=0)
        bins = np.unique(target.times or (0.0,) * folds.shape[1], return_inverse=True)[1]
        too_wide = self._too_wide(pairs, [test for _, test in tests], units, bins)
        every, distinct = torch.arange(len(model), device=device), len(whole) if whole.ndim == 4 else 1
        all_pairs = [compare(*pairs(fold, every), self.comparison) for fold in range(distinct)]
        few = min(len(test) for _, test in tests) < 3  # one pair
        model_gap = not torch.isfinite(model).all()
        return Score(
            scale="r",
            folds=folds.cpu().numpy(),
            train=train.cpu().numpy(),
            resample=resample,
            luck=np.broadcast_to(too_wide - 1, folds.shape),
            reason=tuple(
                "missing-stimuli"
                if gap
                else "constant-features"
                if model_gap
                else "too-few-stimuli"
                if few
                else "zero-variance"
                if same
                else ""
                for gap, same in zip(gaps, flat.tolist())
            ),
            extras={"all_pairs": (all_pairs[0] if whole.ndim == 3 else torch.stack(all_pairs)).cpu().numpy()},
        )

    def _too_wide(
        self, pairs: Callable[..., tuple[Tensor, Tensor]], tests: list[Tensor], units: Tensor, bins: np.ndarray
    ) -> np.ndarray:
        """What variances are too wide by, (column,): of the mean over folds and the subjects of a column's time bin.

        `pairs` gives those of a fold's rows of some columns, `units` is what stimuli are resampled as, `bins` the
        number of each column's bin.
        """
        out = np.ones(len(bins))
        for number in np.unique(bins):
            own = np.flatnonzero(bins == number)
            moved = []
            for fold, test in enumerate(tests):
                by_pair = influence(*pairs(fold, test, own), self.comparison).T
                moved.append(square(by_pair / by_pair.shape[1]))
            out[own] = spread_over_folds(moved, [units[test] for test in tests])
        return out
