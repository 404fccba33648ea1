"""Similarity of two geometries, a layer's and a region's, over the same stimuli: nothing is fitted.

Each scorer compares n x n matrices of squared Euclidean distances (for `ssm`, of correlation distances), which hold all
of a geometry that rotation, translation and the choice of units leave: the centred Gram matrix is -1/2 of them, centred
on both sides. The brain's side is made of each subject's mean responses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import RDMs, take
from brainbench.core.score import Score
from brainbench.core.specs import Invariance, Scale, ScorerSpec
from brainbench.core.splits import Split
from brainbench.errors import UsageError
from brainbench.numerics import alignment, canonical, crossnobis
from brainbench.numerics.correlation import constant
from brainbench.numerics.rdm import square, upper
from brainbench.numerics.rdm_resampling import influence, resampled, spread_over_folds
from brainbench.numerics.representation import Representation

DISTANCES = ("crossnobis", "squared_euclidean")
N_PERMUTATIONS = 20  # of one side's stimuli, whose mean is what chance reaches
GEOMETRY: tuple[Invariance, ...] = ("scale", "rotation", "translation", "unit-permutation")

Agree = Callable[[Tensor, Tensor], Tensor]
Resample = Callable[[Tensor, Tensor, Tensor], Tensor]
Influence = Callable[[Tensor, Tensor], Tensor]


def over_folds(
    model: Tensor,
    target: RDMs,
    split: Split,
    agree: Agree,
    resample: Resample,
    *,
    moves: Influence | None = None,
    linear: bool = False,
    scale: Scale = "r",
) -> Score:
    """The Score of a comparison: `agree(x, y)` of matrices x (m, m) and y (s, m, m), over pairs of each fold's tests.

    `resample(x, y, weights)` gives the same under multiplicities (b, m), in the precision they come in: (b, s), and is
    `linear` in them where it is a jackknife. `moves(x, y)` (s, m, m) is how each pair moves the comparison: where it is
    given, replicates get the spread of the score (`spread_ratio`). Subjects whose matrix has gaps, and comparisons that
    are undefined, are NaN with a reason.
    """
    brain = torch.as_tensor(target.values, dtype=torch.float64, device=model.device)
    place = np.argsort(np.argsort(np.asarray(target.stimulus_ids)))  # by name: no order of rows moves a permutation
    rows = [
        tuple(torch.from_numpy(part[np.argsort(place[part])]).to(model.device) for part in fold)
        for fold in split.rows(target.stimulus_ids)
    ]
    gaps = brain.isfinite().logical_not().any(dim=(1, 2))
    whole = not model.isfinite().logical_not().any()
    brain = brain.nan_to_num()

    def over(at: Tensor) -> Tensor:
        found = agree(model[at][:, at], brain[:, at][:, :, at]) if whole else gaps * torch.nan
        flat = constant(upper(brain[:, at][:, :, at]).T)  # equal distances: no geometry that a layer could share
        return torch.where(gaps | flat, torch.nan, found)

    def resampled_folds(weights: np.ndarray, folds: Sequence[int], columns: np.ndarray) -> np.ndarray:
        w = torch.as_tensor(weights, device=model.device)
        at = torch.as_tensor(columns, device=model.device)
        tests = [rows[fold][1] for fold in folds]
        some = brain[at]
        out = torch.stack([resample(model[t][:, t], some[:, t][:, :, t], w[:, t]) for t in tests], dim=1)
        return torch.where(gaps[at], torch.nan, out).cpu().numpy()

    folds = torch.stack([over(test) for _, test in rows])
    undefined = folds.isnan().any(dim=0)
    flat = torch.stack([constant(upper(brain[:, t][:, :, t]).T) for _, t in rows]).any(dim=0)
    whole = whole and not any(constant(upper(model[t][:, t])[:, None]).any() for _, t in rows)
    luck = None
    if moves is not None and not undefined.all():
        names = {unit: number for number, unit in enumerate(sorted({split.unit[i] for i in target.stimulus_ids}))}
        units = torch.as_tensor([names[split.unit[i]] for i in target.stimulus_ids], device=model.device)
        tests = [test for _, test in rows]
        bins = np.unique(target.times or (0.0,) * folds.shape[1], return_inverse=True)[1]
        luck = np.zeros(folds.shape)
        # the subjects of a time bin are pooled, never its neighbours
        for number in set(bins[~undefined.cpu().numpy()]):
            own = torch.as_tensor(bins == number, device=model.device) & ~undefined
            moved = [moves(model[t][:, t], brain[own][:, t][:, :, t]) for t in tests]
            luck[:, bins == number] = spread_over_folds(moved, [units[t] for t in tests], linear=linear) - 1
    return Score(
        scale=scale,
        folds=folds.cpu().numpy(),
        train=torch.stack([over(train) for train, _ in rows]).cpu().numpy(),
        resample=resampled_folds,
        luck=luck,
        reason=tuple(
            "missing-stimuli"
            if gap
            else "zero-variance"
            if same
            else ("too-few-stimuli" if whole else "constant-features")
            if nan
            else ""
            for gap, same, nan in zip(gaps.tolist(), flat.tolist(), undefined.tolist())
        ),
    )


def of_layer(representation: Representation, target: RDMs, kind: str, device: str) -> Tensor:
    """The layer's matrix over the target's stimuli."""
    at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
    return representation.to(device).rdm(kind, at)


@dataclass(frozen=True, kw_only=True)
class CKA:
    """Centred kernel alignment with a linear kernel, debiased: about 0 for noise, 1 for one geometry.

    `estimator="plain"` keeps the diagonal and with it the noise: near 1 for independent features of many units, so it
    serves to reproduce published numbers, never to rank layers. See `numerics.alignment.cka`.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="cka", version=2, scale="r", requires="rdms", trains=False, invariances=GEOMETRY
    )
    rdm: ClassVar[str] = "squared_euclidean"

    estimator: str = "debiased"

    def __post_init__(self) -> None:
        if self.estimator not in ("debiased", "plain"):
            raise UsageError(f"CKA is 'debiased' or 'plain', not {self.estimator!r}")

    def agree(self, x: Tensor, y: Tensor) -> Tensor:
        """CKA of squared distances x (m, m) with each of y (s, m, m)."""
        measure = alignment.cka if self.estimator == "debiased" else alignment.cka_biased
        return measure(-x / 2, -y / 2)

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """CKA with every subject of `target`, over each fold's test stimuli."""
        debiased = self.estimator == "debiased"

        def resample(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return alignment.resampled_cka(-x / 2, -y / 2, w) if debiased else jackknifed(self.agree, x, y, w)

        def moves(x: Tensor, y: Tensor) -> Tensor:
            centring = alignment.u_centred if debiased else alignment.double_centred
            return alignment.pair_influence(-x / 2, -y / 2, centring)

        model = of_layer(representation, target, self.rdm, device)
        return over_folds(model, target, split, self.agree, resample, moves=moves, linear=not debiased)


@dataclass(frozen=True, kw_only=True)
class SSM:
    """Similarity of similarity matrices (Shi, Shea-Brown & Buice 2019): Spearman's correlation of two Pearson RSMs.

    The same number as `rsa` gives with correlation distances. `paper=True` flattens whole matrices, diagonal included,
    as that study did: the n shared ones lift independent data by about 3 / n.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="ssm",
        version=3,
        scale="r",
        requires="rdms",
        trains=False,
        invariances=("scale", "unit-permutation", "stimulus-scale", "stimulus-offset"),
    )
    rdm: ClassVar[str] = "correlation"

    paper: bool = False

    def agree(self, x: Tensor, y: Tensor) -> Tensor:
        """SSM of correlation distances x (m, m) with each of y (s, m, m)."""
        return alignment.ssm(x, y, paper=self.paper)

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """SSM with every subject of `target`, over each fold's test stimuli."""

        def resample(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return jackknifed(self.agree, x, y, w) if self.paper else resampled(x[None], y, w, "spearman")[:, 0]

        def moves(x: Tensor, y: Tensor) -> Tensor:
            pairs = influence(upper(x), upper(y).T, "spearman").T
            return square(pairs / pairs.shape[1])

        model = of_layer(representation, target, self.rdm, device)
        return over_folds(model, target, split, self.agree, resample, moves=moves, linear=self.paper)


@dataclass(frozen=True, kw_only=True)
class CCA:
    """Mean squared canonical correlation of the components that hold `variance` of each side (SVCCA), less chance.

    (mean square - null) / (1 - null) with the exact null max(p, q) / (m - 1) of m stimuli: about 0 for noise. NaN
    ("too-few-stimuli") where a side has as many components as stimuli allow, so that noise too would reach 1, or as
    many as one stimulus less would allow, so that replicates are not defined.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="cca",
        version=2,
        scale="r2",
        requires="rdms",
        trains=False,
        invariances=GEOMETRY,
        replicates="first-order",
    )
    rdm: ClassVar[str] = "squared_euclidean"

    variance: float = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.variance <= 1:
            raise UsageError(f"variance is a share in (0, 1]; got {self.variance}")

    def agree(self, x: Tensor, y: Tensor, *, spare: int = 1) -> Tensor:
        """The corrected mean square of distances x (m, m) with each y (s, m, m); NaN unless `spare` less would do."""
        basis, found = canonical.principal(-x / 2), []
        for other in (canonical.principal(-one / 2) for one in y):
            most = max(canonical.components(side, self.variance) for side in (basis, other))
            enough = most < len(x) - 1 - spare
            found.append(canonical.cca_corrected(basis, other, variance=self.variance) if enough else torch.nan)
        return torch.tensor(found, dtype=torch.float64, device=x.device)

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """CCA with every subject of `target`, over each fold's test stimuli."""
        model = of_layer(representation, target, self.rdm, device)
        without = partial(self.agree, spare=0)
        return over_folds(
            model, target, split, self.agree, lambda x, y, w: jackknifed(without, x, y, w), scale=self.spec.scale
        )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Procrustes shape similarity of two centred point clouds (Williams et al. 2021), less chance.

    s = |XᵀY|_* is the cosine of the angle that the best rotation leaves. It is high for noise, because each of many
    dimensions finds a partner; so the score is (s - s0) / (1 - s0) with s0 the mean over permutations of one side's
    stimuli: about 0 for noise, 1 for one shape.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="shape",
        version=2,
        scale="r",
        requires="rdms",
        trains=False,
        invariances=GEOMETRY,
        replicates="first-order",
    )
    rdm: ClassVar[str] = "squared_euclidean"

    def agree(self, x: Tensor, y: Tensor) -> Tensor:
        """The similarity of squared distances x (m, m) with each of y (s, m, m), less chance."""
        layer, others = _roots(x, y)
        return _less_chance(_shape(layer, others), self._chance(layer, others))

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """Shape similarity with every subject of `target`, over each fold's test stimuli."""

        def resample(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            chance = self._chance(*_roots(x, y))  # the same for every replicate
            return jackknifed(lambda a, b: _less_chance(_shape(*_roots(a, b)), chance), x, y, w)

        model = of_layer(representation, target, self.rdm, device)
        return over_folds(model, target, split, self.agree, resample)

    def _chance(self, layer: Tensor, others: list[Tensor]) -> Tensor:
        """The mean over permutations that belong to the number of stimuli; one side alone is permuted."""
        n = len(layer)
        drawn = torch.Generator().manual_seed(n)
        orders = torch.stack([torch.randperm(n, generator=drawn) for _ in range(N_PERMUTATIONS)]).to(layer.device)
        return torch.stack([canonical.shuffled_similarity(layer, other, orders) for other in others])


@dataclass(frozen=True, kw_only=True)
class Whitened:
    """Correlation (or cosine) of squared distances in the metric of their noise (Diedrichsen et al. 2021).

    Distances that share a stimulus share its noise; whitening takes that into account. `distances="crossnobis"`
    estimates the brain's from pairs of repetitions, whose noise does not meet, so they are 0 on average for equal
    stimuli; it needs two repetitions of every stimulus. The layer's are exact. `comparison="cosine"` is 0 for responses
    that are all noise, but above 0 for two unrelated geometries, whose distances are all positive.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="whitened", version=4, scale="r", requires="rdms", trains=False, invariances=GEOMETRY
    )

    comparison: str = "pearson"
    distances: str = "crossnobis"

    def __post_init__(self) -> None:
        for value, known in ((self.comparison, ("cosine", "pearson")), (self.distances, DISTANCES)):
            if value not in known:
                raise UsageError(f"the whitened scorer takes {' or '.join(known)}, not {value!r}")

    @property
    def rdm(self) -> str:
        """How the brain's side is measured."""
        return self.distances

    def agree(self, x: Tensor, y: Tensor) -> Tensor:
        """The comparison of squared distances x (m, m) with each of y (s, m, m)."""
        return crossnobis.whitened_cosine(x, y) if self.comparison == "cosine" else crossnobis.whitened_pearson(x, y)

    def score(self, representation: Representation, target: RDMs, split: Split, *, seed: int, device: str) -> Score:
        """The comparison with every subject of `target`, over each fold's test stimuli."""

        cosine = self.comparison == "cosine"

        def resample(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
            return jackknifed(self.agree, x, y, w) if cosine else crossnobis.resampled_whitened(x, y, w)

        def moves(x: Tensor, y: Tensor) -> Tensor:
            centring = alignment.double_centred if cosine else crossnobis.around_mean
            return alignment.pair_influence(x, y, centring)

        model = of_layer(representation, target, "squared_euclidean", device)
        return over_folds(model, target, split, self.agree, resample, moves=moves, linear=cosine)


def _roots(x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Point clouds (m, k) with squared distances x (m, m), and with each of y (s, m, m)."""
    return canonical.root(-x / 2), [canonical.root(-other / 2) for other in y]


def _shape(layer: Tensor, others: list[Tensor]) -> Tensor:
    return torch.stack([canonical.shape_similarity(layer, other) for other in others])


def _less_chance(value: Tensor, chance: Tensor) -> Tensor:
    return (value - chance) / (1 - chance)


def jackknifed(agree: Agree, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """`agree` under multiplicities (b, m), to first order: (b, s).

    θ + mean((w - 1) (m - 1) (θ - θ₋ᵢ)) with θ₋ᵢ without stimulus i (Efron & Stein 1981). It serves measures that copies
    of a stimulus would deceive, because two equal rows always agree. Its spread is not below that of the measure.
    """
    m = len(x)
    whole = agree(x, y)
    without = []
    for left_out in range(m):
        keep = torch.arange(m, device=x.device) != left_out
        without.append(agree(x[keep][:, keep], y[:, keep][:, :, keep]))
    influence = (m - 1) * (whole - torch.stack(without))
    influence = influence - influence.mean(dim=0)  # else replicates move with how many stimuli a fold happens to have
    weights = weights.double()
    return whole + (weights - 1) @ influence / weights.sum(dim=1, keepdim=True).clamp_min(1)
