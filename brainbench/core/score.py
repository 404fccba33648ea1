"""Score and Ceiling: numbers that carry their scale, and the one table that converts between scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from brainbench.core.specs import Scale
from brainbench.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The best score any model could reach, one value a neuroid (or a subject's RDM), estimated without a model.

    `scale` says what `value` is: "r2" is a share of variance (a reliability), "r" a correlation. `upper` is the
    second bound of methods that have two. NaN entries have their `reason`.
    """

    value: np.ndarray
    scale: Scale
    method: str
    upper: np.ndarray | None = None
    reason: tuple[str, ...] = ()


# what a raw score explains, and what there is to explain under a ceiling, both as shares of variance
_EXPLAINED: dict[Scale, Callable[[np.ndarray], np.ndarray]] = {
    "r": lambda raw: np.sign(raw) * raw**2,
    "r2": lambda raw: raw,
}
_EXPLAINABLE: dict[tuple[Scale, Scale], Callable[[np.ndarray], np.ndarray]] = {
    ("r", "r2"): lambda ceiling: ceiling,
    ("r", "r"): lambda ceiling: np.sign(ceiling) * ceiling**2,
    ("r2", "r2"): lambda ceiling: ceiling,
}


def normalized(raw: np.ndarray, scale: Scale, ceiling: Ceiling) -> np.ndarray:
    """Signed share of the explainable variance: sign(r) r² / ceiling on the r² scale, never clipped.

    NaN where raw or ceiling is NaN or the ceiling is not above 0, so everywhere where there is none. Raises UsageError
    for a pair of scales that has no conversion (an R² against a ceiling in r), because dividing them would be a number
    without a meaning.
    """
    return normalized_over_bins(raw[..., None], scale, replace(ceiling, value=ceiling.value[..., None]))


def normalized_over_bins(raw: np.ndarray, scale: Scale, ceiling: Ceiling) -> np.ndarray:
    """The same of several time bins together, the last axis of `raw` (..., V, T) and of the ceiling's value (V, T).

    What is explained in all bins over what is explainable in all: the mean of the bins' own shares would be that of the
    bins in which there is next to nothing to explain.
    """
    explained, explainable = explained_over_bins(raw, scale, ceiling)
    return explained / explainable


def explained_over_bins(raw: np.ndarray, scale: Scale, ceiling: Ceiling) -> tuple[np.ndarray, np.ndarray]:
    """What is explained (..., V) and what is explainable (V,) in all bins, in variance; NaN as in `normalized`."""
    usable = np.isfinite(ceiling.value) & (ceiling.value.sum(axis=-1, keepdims=True) > 0)
    if not usable.any():
        shape = np.broadcast_shapes(raw.shape, usable.shape)[:-1]
        return np.full(shape, np.nan), np.full(shape[-1:], np.nan)
    try:
        explained, explainable = _EXPLAINED[scale], _EXPLAINABLE[(scale, ceiling.scale)]
    except KeyError:
        raise UsageError(
            f"no conversion from a score on scale {scale!r} to a ceiling on scale {ceiling.scale!r}"
        ) from None
    whole = explainable(ceiling.value).sum(axis=-1)
    usable = usable.all(axis=-1) & (whole > 0)
    return np.where(usable, explained(raw).sum(axis=-1), np.nan), np.where(usable, whole, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well one layer agrees with one target: V columns (neuroids, or subjects' RDMs), F folds.

    `folds` (F, V) is the score on each fold's test stimuli, `train` (F, V) the cross-validated score inside each
    fold's training stimuli, on which layers are chosen. `resample(weights, folds, columns)` gives, for multiplicities
    (B, n) of the n stimuli and the numbers of some folds and columns, the scores (B, folds, columns) of the same
    predictions: nothing is fitted to multiplicities. `luck` (F, V) is the variance of the score over what `resample`
    shows of it, less 1: above 0 where noise in the training responses has a share in the predictions, below 0 where
    pairs of stimuli are scored. `reason` names, for each column, why it is NaN ("" where it is not). `extras` holds
    further (V,) or (F, V) arrays, or (F, V, D) where a column has a curve of D points.
    """

    scale: Scale
    folds: np.ndarray
    train: np.ndarray
    resample: Callable[[np.ndarray, Sequence[int], np.ndarray], np.ndarray]
    reason: tuple[str, ...]
    luck: np.ndarray | None = None
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def raw(self) -> np.ndarray:
        """Mean over folds of the per-fold score (V,); NaN where any fold is."""
        return self.folds.mean(axis=0)


def reasons(complete: Sequence[bool], valid: Sequence[bool]) -> tuple[str, ...]:
    """Why columns of responses have no score: a stimulus is missing, or else they are constant; "" for valid ones."""
    return tuple(
        "" if ok else "missing-stimuli" if not whole else "zero-variance" for whole, ok in zip(complete, valid)
    )
