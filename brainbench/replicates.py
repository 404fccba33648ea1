"""Replicates: a score under draws of stimuli and subjects that belong to the recording, not to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainbench.benchmarks import N_REPLICATES, Benchmark
from brainbench.core.score import Score, explained_over_bins
from brainbench.core.specs import Scale, fingerprint
from brainbench.cuts import Cut, medians_of, nanmean, over_subjects, share_over_subjects
from brainbench.numerics.resampling import multiplicities, seed_of

AT_ONCE = 2_000_000  # numbers resampled and summarised at a time: bounds what both copy


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Which stimuli and subjects each replicate holds, and how often."""

    key: str
    told: str
    stimuli: list[np.ndarray]  # (B, n) for each target
    subjects: np.ndarray | None  # (B, S); None for one subject


def draws_of(benchmark: Benchmark, cuts: Sequence[Cut], subjects: Sequence[str]) -> Draws:
    """Whole groups of stimuli, and subjects, drawn with replacement.

    The random numbers belong to the recording and to what is drawn from it, so replicates of any two models pair up,
    and those of two regions that were shown the same stimuli to the same subjects.
    """
    unit_of: dict[str, str] = {}
    for cut in cuts:
        unit_of |= cut.target.split.unit
    ids, names = sorted(unit_of), sorted(set(subjects))
    key = fingerprint({"recording": benchmark.recording, "stimuli": unit_of, "subjects": names})
    weights = multiplicities([unit_of[i] for i in ids], N_REPLICATES, seed_of(key, "stimuli"))
    place = {name: at for at, name in enumerate(ids)}
    units = len(set(unit_of.values()))
    told = f"{len(ids)} stimuli" + (f" in {units} groups" if units < len(ids) else "")
    if names != [""]:
        told += f", {len(names)} subjects" if len(names) > 1 else " (one subject)"
    return Draws(
        key=key,
        told=told,
        stimuli=[weights[:, [place[i] for i in cut.target.data.stimulus_ids]] for cut in cuts],
        subjects=multiplicities(names, N_REPLICATES, seed_of(key, "subjects")) if len(names) > 1 else None,
    )


def summarised(
    cuts: Sequence[Cut], picked: Sequence[int], draws: Draws, benchmark: Benchmark, scale: Scale
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The score (B,), normalized (B,) and in every bin (B, T) under the draws, with the layer picked for each fold.

    One subject's columns are drawn at a time (of RDMs, all subjects'), and only their medians kept. A share is that of
    all subjects' RDMs, or the mean of subjects' medians over neuroids.
    """
    n_bins = len(cuts[0].inside)
    names = sorted({name for cut in cuts for name in cut.subjects})
    medians = np.full((2 + n_bins, N_REPLICATES, len(names)), np.nan)
    whole_subjects = cuts[0].whole_subjects
    all_explainable = np.full(len(names), np.nan)
    together: dict[frozenset[str], list[int]] = {}
    for number, cut in enumerate(cuts):
        together.setdefault(frozenset(cut.subjects), []).append(number)
    for numbers in together.values() if len(picked) else ():
        own = [cuts[number] for number in numbers]
        subjects = [name for cut in own for name in cut.subjects]
        drawn = _replicates(own, picked, [draws.stimuli[number] for number in numbers])  # (B, V, T)
        values = np.concatenate([cut.target.ceilings[benchmark.ceiling].value[cut.places] for cut in own])
        ceiling = replace(own[0].target.ceilings[benchmark.ceiling], value=values[:, own[0].inside])
        columns = [names.index(name) for name in sorted(set(subjects))]
        for rows in np.array_split(np.arange(len(drawn)), max(1, drawn.size // AT_ONCE)):
            some = drawn[rows]
            inside = some[:, :, own[0].inside]
            at = np.ix_(rows, np.asarray(columns))
            medians[0][at] = medians_of(inside.mean(axis=2), subjects)
            explained, explainable = explained_over_bins(inside, scale, ceiling)
            medians[1][at] = medians_of(explained if whole_subjects else explained / explainable, subjects)
            all_explainable[columns] = medians_of(explainable[None], subjects)[0]
            for bin_ in range(n_bins) if benchmark.window_s is not None else ():
                medians[2 + bin_][at] = medians_of(some[:, :, bin_], subjects)
    raw, share, *in_bins = (over_subjects(one, draws.subjects) for one in medians)
    if whole_subjects:
        share = share_over_subjects(medians[1], all_explainable, draws.subjects)
    return raw, share, np.stack(in_bins, axis=1)


def _replicates(cuts: Sequence[Cut], picked: Sequence[int], stimuli: Sequence[np.ndarray]) -> np.ndarray:
    """(B, V, T) float32: every column's score under the draws, each fold with the layer that is `picked` for it.

    Predictions stay as they are: what is resampled is what they are scored on. What another training set would have
    changed is added: where predictions are all luck, each pair of stimuli enters the score twice, once as training and
    test and once as test and training, so the variance is twice what resampling the tests shows; where none is, it is
    that. So each column's replicates are spread around their mean by sqrt(1 + luck).
    """
    out = np.empty((N_REPLICATES, sum(cut.places.size for cut in cuts)), dtype=np.float32)
    start = 0
    for cut, weights in zip(cuts, stimuli):
        columns = cut.places.ravel()
        total, count = np.zeros((2, N_REPLICATES, len(columns)), dtype=np.float32)
        whole = np.ones(len(columns), dtype=bool)  # else replicates are of other folds than the score
        some = np.array_split(np.arange(len(columns)), max(1, N_REPLICATES * len(picked) * len(columns) // AT_ONCE))
        for layer in sorted(set(picked)):  # outside, because a score that did not fit into memory is made again
            folds = [fold for fold, of_fold in enumerate(picked) if of_fold == layer]
            for at in some:
                by_fold = cut.scores[layer].resample(weights, folds, columns[at])
                finite = np.isfinite(by_fold)  # a fold may lose all its stimuli in a replicate
                count[:, at] += finite.sum(axis=1)
                whole[at] &= finite.any(axis=0).all(axis=0)
                total[:, at] += np.where(finite, by_fold, 0).sum(axis=1)
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        each = np.stack([cut.scores[layer].folds[fold, columns] for fold, layer in enumerate(picked)])
        mean[:, ~np.isfinite(each).all(axis=0) | ~whole] = np.nan  # what is not in the score is not in its replicates
        luck = nanmean(np.stack([_luck(cut.scores[layer], f)[columns] for f, layer in enumerate(picked)], axis=-1))
        out[:, start : start + len(columns)] = spread(mean, luck)
        start += len(columns)
    return out.reshape(N_REPLICATES, -1, cuts[0].places.shape[1])


def spread(replicates: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """(B, V): each column's replicates around their mean, sqrt(1 + its luck (V,)) times as far."""
    centre = nanmean(replicates.T)
    wider: np.ndarray = centre + (replicates - centre) * np.sqrt(1 + luck)
    return wider


def _luck(score: Score, fold: int) -> np.ndarray:
    return np.zeros(score.folds.shape[1]) if score.luck is None else score.luck[fold]
