"""Representational similarity: how alike the dissimilarities of a layer and of a brain region are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

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


@dataclass(frozen=True, kw_only=True)
class RSA:
    """Agreement of the layer's RDM with each subject's, over pairs of a fold's test stimuli.

    `rdm` is how the layer's dissimilarities (and those of responses, where no RDMs were released) are measured,
    `comparison` how two RDMs are compared. Nothing is fitted; the training stimuli of a fold serve to choose a layer
    on: `Score.train` is the same comparison over their pairs. `extras["all_pairs"]` (S,) compares over all stimuli.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="rsa",
        version=2,
        scale="r",
        requires="rdms",
        trains=False,
        invariances=("scale", "unit-permutation", "stimulus-scale", "stimulus-offset"),
    )

    rdm: str = "correlation"
    comparison: str = "spearman"

    def __post_init__(self) -> None:
        for value, known, what in ((self.rdm, RDM_KINDS, "RDM"), (self.comparison, COMPARISONS, "comparison")):
            if value not in known:
                raise UsageError(f"no {what} {value!r}; there are {', '.join(known)}")

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """Agreement with every subject of `target`; one whose RDM has gaps or is constant is NaN with a reason."""
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        model = representation.to(device).rdm(self.rdm, at)
        brain = torch.as_tensor(target.values, dtype=torch.float64, device=device)
        rows = [tuple(map(torch.from_numpy, fold)) for fold in split.rows(target.stimulus_ids)]
        names = {unit: number for number, unit in enumerate(sorted({split.unit[i] for i in target.stimulus_ids}))}
        units = torch.as_tensor([names[split.unit[i]] for i in target.stimulus_ids], device=device)

        def pairs(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return upper(model[rows][:, rows]), upper(brain[:, rows][:, :, rows]).T

        def resample(weights: np.ndarray, folds: Sequence[int], columns: np.ndarray) -> np.ndarray:
            some = brain[torch.as_tensor(columns, device=device)]
            w = torch.as_tensor(weights, device=device)
            tests = [rows[fold][1] for fold in folds]
            out = [resampled(model[None, t][:, :, t], some[:, t][:, :, t], w[:, t], self.comparison) for t in tests]
            return torch.stack([one[:, 0] for one in out], dim=1).cpu().numpy()

        folds = torch.stack([compare(*pairs(test), self.comparison) for _, test in rows])
        gaps = ~np.isfinite(target.values).all(axis=(1, 2))
        flat = torch.stack([constant(pairs(test)[1]) for _, test in rows]).any(dim=0) & folds.isnan().any(dim=0)
        luck = np.full(folds.shape, self._too_wide(model, brain, [test for _, test in rows], units) - 1)
        model_gap = not torch.isfinite(model).all()
        return Score(
            scale="r",
            folds=folds.cpu().numpy(),
            train=torch.stack([compare(*pairs(train), self.comparison) for train, _ in rows]).cpu().numpy(),
            resample=resample,
            luck=luck,
            reason=tuple(
                "constant-features" if model_gap else "missing-stimuli" if gap else "zero-variance" if same else ""
                for gap, same in zip(gaps, flat.tolist())
            ),
            extras={"all_pairs": compare(upper(model), upper(brain).T, self.comparison).cpu().numpy()},
        )

    def _too_wide(
        self, model: torch.Tensor, brain: torch.Tensor, tests: list[torch.Tensor], units: torch.Tensor
    ) -> float:
        """`spread_ratio` of the mean over folds and subjects, in units that are resampled together."""
        moved = []
        for test in tests:
            pairs = influence(upper(model[test][:, test]), upper(brain[:, test][:, :, test]).T, self.comparison).T
            moved.append(square(pairs / pairs.shape[1]))
        return spread_over_folds(moved, [units[test] for test in tests])
