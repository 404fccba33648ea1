"""From columns of scores to the numbers of an entry.

Layers are chosen fold by fold on `Score.train`, so no test stimulus has a say in which layer it is scored with. A
value over columns is always the median over neuroids within a subject, then the mean over subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainbench.benchmarks import N_REPLICATES, Benchmark
from brainbench.core.arrays import RDMs
from brainbench.core.score import Ceiling, Score, normalized
from brainbench.core.specs import LayerSpec
from brainbench.entry import Layer, Optimistic, Subject
from brainbench.errors import InputError
from brainbench.numerics.resampling import interval, multiplicities, seed_of
from brainbench.targets import Target

# a target, the places of one region's columns in it, and its score for each layer
Cut = tuple[Target, np.ndarray, Sequence[Score]]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """One benchmark's numbers for one model: V columns of S subjects, B replicates."""

    layers: tuple[LayerSpec, ...]
    train: np.ndarray  # (L,) mean over folds
    layer_raw: np.ndarray  # (L,)
    chosen: tuple[int, ...]  # the layer of each fold
    subjects: tuple[str, ...]  # of each column
    column_raw: np.ndarray  # (V,)
    column_normalized: np.ndarray  # (V,)
    ceiling: Ceiling
    excluded: dict[str, int]
    n_stimuli: int
    replicates: np.ndarray  # (B,)
    normalized_replicates: np.ndarray  # (B,)
    resampled: str
    extras: dict[str, float]

    @property
    def raw(self) -> float:
        """The score: every fold with the layer chosen on its training stimuli."""
        return over_columns(self.column_raw, self.subjects)

    @property
    def normalized(self) -> float:
        """The score as a share of what can be explained."""
        return over_columns(self.column_normalized, self.subjects)

    @property
    def layer(self) -> str | None:
        """The layer that most folds chose, the shallower one of a tie; None where nothing could be chosen."""
        return None if not self.chosen else self.layers[Counter(sorted(self.chosen)).most_common(1)[0][0]].name


def over_columns(values: np.ndarray, subjects: Sequence[str]) -> float:
    """Median over each subject's finite columns, mean over subjects that have one; NaN where none has."""
    return float(_over_columns(values[None], subjects, None)[0])


def _over_columns(values: np.ndarray, subjects: Sequence[str], weights: np.ndarray | None) -> np.ndarray:
    """(B, V) -> (B,): the same for each row, subjects counted `weights` (B, S) times."""
    names = sorted(set(subjects))
    labels = np.asarray(subjects)
    medians = np.stack([_nanmedian(values[:, labels == name]) for name in names], axis=1)
    weights = np.ones(medians.shape) if weights is None else weights
    present = np.isfinite(medians) * weights
    total = present.sum(axis=1)
    weighted = np.where(np.isfinite(medians), medians, 0.0) * weights
    out = np.full(len(medians), np.nan)
    np.divide(weighted.sum(axis=1), total, out=out, where=total > 0)
    return out


def _nanmedian(values: np.ndarray) -> np.ndarray:
    out = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    out[some] = np.nanmedian(values[some], axis=1)
    return out


def aggregate(
    benchmark: Benchmark, layers: tuple[LayerSpec, ...], asked: Sequence[Target], scores: Sequence[Sequence[Score]]
) -> Columns:
    """The columns of one benchmark's region, from the scores of every target (outer) and layer (inner).

    Raises InputError where the recording has no column in that region.
    """
    cut: list[Cut] = [
        (target, np.flatnonzero(np.asarray(target.regions) == benchmark.region), by_layer)
        for target, by_layer in zip(asked, scores)
    ]
    cut = [item for item in cut if len(item[1])]
    if not cut:
        raise InputError(f"{benchmark.id}: the recording has no column in region {benchmark.region!r}")
    subjects = tuple(target.subjects[c] for target, columns, _ in cut for c in columns)
    n_layers = len(layers)
    folds = [np.concatenate([by[layer].folds[:, c] for _, c, by in cut], axis=1) for layer in range(n_layers)]
    train = [np.concatenate([by[layer].train[:, c] for _, c, by in cut], axis=1) for layer in range(n_layers)]
    on_train = np.stack([_over_columns(t, subjects, None) for t in train])  # (L, F)
    # A layer that gives a fold's test stimuli no score at all (a dead layer, or one that is undefined for a stimulus)
    # cannot be chosen there. Which layers those are depends on features alone.
    on_train[np.stack([~np.isfinite(f).any(axis=1) for f in folds])] = np.nan
    usable = np.isfinite(on_train).any(axis=0).all()
    chosen = tuple(int(c) for c in np.nanargmax(on_train, axis=0)) if usable else ()
    column_raw = (
        np.stack([folds[layer][fold] for fold, layer in enumerate(chosen)]).mean(axis=0)
        if usable
        else np.full(len(subjects), np.nan)
    )
    # why a column is out: its own reason, the same for all layers, or that this layer predicts one number for all
    reasons = [by[0].reason[c] for _, columns, by in cut for c in columns]
    out = [r or "constant-prediction" for r, value in zip(reasons, column_raw) if not np.isfinite(value)]
    left_out = Counter({"incomplete-neuroid": sum(t.data.left_out for t, _, _ in cut if isinstance(t.data, RDMs))})
    ceiling = _joined([(target.ceilings[benchmark.ceiling], columns) for target, columns, _ in cut])
    scale = scores[0][0].scale
    replicates, normalized_replicates, resampled = _replicates(benchmark, cut, chosen, subjects, ceiling, scale)
    extras = {}
    if usable:
        for name in cut[0][2][0].extras:
            extras[name] = _extra(name, cut, chosen, subjects, np.isfinite(column_raw))
    with np.errstate(all="ignore"):
        share = normalized(column_raw, scale, ceiling)
    return Columns(
        layers=layers,
        train=_nanmean(on_train),
        layer_raw=np.asarray([over_columns(f.mean(axis=0), subjects) for f in folds]),
        chosen=chosen,
        subjects=subjects,
        column_raw=column_raw,
        column_normalized=share,
        ceiling=ceiling,
        excluded=dict(sorted((Counter(out) + left_out).items())),
        n_stimuli=len({i for target, _, _ in cut for i in target.stimuli.ids}),
        replicates=replicates,
        normalized_replicates=normalized_replicates,
        resampled=resampled,
        extras=extras,
    )


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is finite; NaN where nothing is."""
    count = np.isfinite(values).sum(axis=-1)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis=-1)
    out = np.full(count.shape, np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


def _joined(parts: Sequence[tuple[Ceiling, np.ndarray]]) -> Ceiling:
    first = parts[0][0]
    return Ceiling(
        value=np.concatenate([c.value[at] for c, at in parts]),
        scale=first.scale,
        method=first.method,
        upper=None if first.upper is None else np.concatenate([c.upper[at] for c, at in parts if c.upper is not None]),
        reason=tuple(c.reason[i] for c, at in parts for i in at),
    )


def _extra(name: str, cut: Sequence[Cut], chosen: Sequence[int], subjects: Sequence[str], valid: np.ndarray) -> float:
    """An extra of the chosen layers: a share for flags, else summarised as the score is."""
    rows = []
    for fold, layer in enumerate(chosen):
        parts = [by[layer].extras[name] for _, _, by in cut]
        rows.append(np.concatenate([(p[fold] if p.ndim == 2 else p)[c] for p, (_, c, _) in zip(parts, cut)]))
    values = np.stack(rows).astype(float)
    if name in ("penalty", "at_edge"):
        return float(values[:, valid].mean()) if valid.any() else float("nan")
    return over_columns(np.where(valid, values.mean(axis=0), np.nan), subjects)


def _replicates(
    benchmark: Benchmark,
    cut: Sequence[Cut],
    chosen: Sequence[int],
    subjects: Sequence[str],
    ceiling: Ceiling,
    scale: Any,
) -> tuple[np.ndarray, np.ndarray, str]:
    """The score under resampled stimuli (whole groups) and subjects, with random numbers of the benchmark alone.

    Predictions stay as they are: what is resampled is what they are scored on. What another training set would have
    changed is added: where predictions are all luck, each pair of stimuli enters the score twice, once as training and
    test and once as test and training, so the variance is twice what resampling the tests shows; where none is, it is
    that. So each column's replicates are spread around their mean by sqrt(1 + luck).
    """
    identity = benchmark.fingerprint
    unit_of: dict[str, str] = {}
    for target, _, _ in cut:
        unit_of |= target.split.unit
    units = len(set(unit_of.values()))
    names = sorted(set(subjects))
    resampled = f"{len(unit_of)} stimuli" + (f" in {units} groups" if units < len(unit_of) else "")
    resampled += f", {len(names)} subjects" if len(names) > 1 else " (one subject)"
    if not chosen:
        nothing = np.full(N_REPLICATES, np.nan)
        return nothing, nothing, resampled
    ids = sorted(unit_of)
    weights = multiplicities([unit_of[i] for i in ids], N_REPLICATES, seed_of(identity, "stimuli"))
    place = {name: at for at, name in enumerate(ids)}
    parts = []
    for target, columns, by_layer in cut:
        own = weights[:, [place[i] for i in target.data.stimulus_ids]]
        by_fold = np.empty((N_REPLICATES, len(chosen), len(columns)), dtype=np.float32)
        for layer in sorted(set(chosen)):
            folds = [fold for fold, picked in enumerate(chosen) if picked == layer]
            by_fold[:, folds] = by_layer[layer].resample(own, folds)[:, :, columns]
        mean = _nanmean(np.moveaxis(by_fold, 1, -1))  # a fold may lose all its stimuli in a replicate
        luck = _nanmean(np.stack([_luck(by_layer[layer], f)[columns] for f, layer in enumerate(chosen)], axis=-1))
        centre = _nanmean(mean.T)
        parts.append(centre + (mean - centre) * np.sqrt(1 + luck))
    columns = np.concatenate(parts, axis=1)
    with np.errstate(all="ignore"):
        shares = normalized(columns, scale, ceiling)
    people = multiplicities(names, N_REPLICATES, seed_of(identity, "subjects")) if len(names) > 1 else None
    return _over_columns(columns, subjects, people), _over_columns(shares, subjects, people), resampled


def _luck(score: Score, fold: int) -> np.ndarray:
    return np.zeros(score.folds.shape[1]) if score.luck is None else score.luck[fold]


def summary(columns: Columns) -> dict[str, Any]:
    """The fields of an Entry that come from its columns."""
    c = columns
    valid = np.isfinite(c.column_raw)
    bounded = np.isfinite(c.column_normalized)
    low, high = interval(c.replicates)
    share_low, share_high = interval(c.normalized_replicates)
    best = int(np.nanargmax(c.layer_raw)) if np.isfinite(c.layer_raw).any() else None
    labels = np.asarray(c.subjects)
    ceiling = np.where(valid, c.ceiling.value, np.nan)
    per_subject = {
        name: Subject(
            raw=over_columns(c.column_raw[labels == name], [name] * int((labels == name).sum())),
            ceiling=over_columns(ceiling[labels == name], [name] * int((labels == name).sum())),
            normalized=over_columns(c.column_normalized[labels == name], [name] * int((labels == name).sum())),
            n_neuroids=int((valid & (labels == name)).sum()),
        )
        for name in sorted(set(c.subjects))
    }
    reasons = Counter(r for r, ok in zip(c.ceiling.reason, valid) if r and ok)
    return {
        "raw": c.raw,
        "ceiling": over_columns(ceiling, c.subjects),
        "ceiling_upper": (
            over_columns(np.where(valid, c.ceiling.upper, np.nan), c.subjects)
            if c.ceiling.upper is not None
            else float("nan")
        ),
        "ceiling_scale": c.ceiling.scale,
        "ceiling_method": c.ceiling.method,
        "ceiling_reason": ", ".join(f"{name}: {count}" for name, count in sorted(reasons.items())),
        "normalized": c.normalized,
        "low": low,
        "high": high,
        "normalized_low": share_low,
        "normalized_high": share_high,
        "resampled": c.resampled,
        "layer": c.layer,
        "layer_by_fold": [c.layers[i].name for i in c.chosen],
        "layers": [
            Layer(
                layer=spec.name,
                pooling=spec.pooling,
                depth=spec.depth,
                train=float(c.train[i]),
                raw=float(c.layer_raw[i]),
            )
            for i, spec in enumerate(c.layers)
        ],
        "optimistic": (
            None
            if best is None
            else Optimistic(
                layer=c.layers[best].name, raw=float(c.layer_raw[best]), gap=float(c.layer_raw[best]) - c.raw
            )
        ),
        "per_subject": per_subject,
        "n_stimuli": c.n_stimuli,
        "n_neuroids": int(valid.sum()),
        "n_excluded": sum(c.excluded.values()),
        "excluded": c.excluded,
        "n_without_ceiling": int((valid & ~bounded).sum()),
        "extras": c.extras,
        "replicates": [round(float(r), 6) if np.isfinite(r) else None for r in c.replicates],
    }
