"""From columns of scores to the numbers of an entry.

Layers are chosen fold by fold on `Score.train`, so no test stimulus has a say in which layer it is scored with. A
value over columns is always the median over neuroids within a subject, then the mean over subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from brainbench.benchmarks import N_REPLICATES, Benchmark
from brainbench.core.arrays import Labels, RDMs
from brainbench.core.score import Ceiling, Score, normalized
from brainbench.core.specs import LayerSpec, fingerprint
from brainbench.entry import Layer, Number, Optimistic, Scored, Subject
from brainbench.errors import InputError
from brainbench.numerics.resampling import interval, multiplicities, seed_of
from brainbench.targets import Target

# a target, the places of one region's columns in it, and its score for each layer
Cut = tuple[Target, np.ndarray, Sequence[Score]]
AT_ONCE = 2_000_000  # numbers resampled and summarised at a time: bounds what both copy


@dataclass(frozen=True, kw_only=True)
class Choice:
    """V columns of S subjects with each fold's layer chosen on its training stimuli."""

    layers: tuple[LayerSpec, ...]
    train: np.ndarray  # (L,) mean over folds
    layer_raw: np.ndarray  # (L,)
    chosen: tuple[int, ...]  # the layer of each fold; none where nothing could be chosen
    subjects: tuple[str, ...]  # of each column
    column_raw: np.ndarray  # (V,)

    @property
    def raw(self) -> float:
        """The score: every fold with the layer chosen on its training stimuli."""
        return over_columns(self.column_raw, self.subjects)

    @property
    def best(self) -> int | None:
        """The number of the layer that most folds chose, the shallower one of a tie; None where none could be."""
        return None if not self.chosen else Counter(sorted(self.chosen)).most_common(1)[0][0]

    @property
    def layer(self) -> str | None:
        """Its name."""
        return None if self.best is None else self.layers[self.best].name


@dataclass(frozen=True, kw_only=True)
class Columns(Choice):
    """One benchmark's numbers for one model: V columns of S subjects, B replicates.

    Replicates of two Columns pair up where `draws` is the same: the same stimuli and subjects are drawn in each.
    """

    column_normalized: np.ndarray  # (V,)
    ceiling: Ceiling
    excluded: dict[str, int]
    n_stimuli: int
    replicates: np.ndarray  # (B,)
    normalized_replicates: np.ndarray  # (B,)
    layer_replicates: np.ndarray | None  # (L, B): with that layer in every fold; made on request
    draws: str
    resampled: str
    extras: dict[str, Number | list[Number]]
    geometry: tuple[dict[str, float], ...]  # of each layer: see `numerics.diagnostics`; empty where nobody asked

    @property
    def normalized(self) -> float:
        """The score as a share of what can be explained."""
        return over_columns(self.column_normalized, self.subjects)


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


def choose(
    benchmark: Benchmark, layers: tuple[LayerSpec, ...], asked: Sequence[Target], scores: Sequence[Sequence[Score]]
) -> Choice:
    """The layer of each fold, and the score, of one benchmark's region: from every target (outer) and layer (inner).

    Raises InputError where the recording has no column in that region.
    """
    return _chosen(layers, _cut(benchmark, asked, scores))


def _cut(benchmark: Benchmark, asked: Sequence[Target], scores: Sequence[Sequence[Score]]) -> list[Cut]:
    cut: list[Cut] = [
        (target, np.flatnonzero(np.asarray(target.regions) == benchmark.region), by_layer)
        for target, by_layer in zip(asked, scores)
    ]
    cut = [item for item in cut if len(item[1])]
    if not cut:
        raise InputError(f"{benchmark.id}: the recording has no column in region {benchmark.region!r}")
    return cut


def _chosen(layers: tuple[LayerSpec, ...], cut: Sequence[Cut]) -> Choice:
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
    return Choice(
        layers=layers,
        train=_nanmean(on_train),
        layer_raw=np.asarray([over_columns(f.mean(axis=0), subjects) for f in folds]),
        chosen=chosen,
        subjects=subjects,
        column_raw=column_raw,
    )


def aggregate(
    benchmark: Benchmark,
    layers: tuple[LayerSpec, ...],
    asked: Sequence[Target],
    scores: Sequence[Sequence[Score]],
    *,
    every_layer: bool = False,
    geometry: Sequence[dict[str, float]] = (),
) -> Columns:
    """The columns of one benchmark's region, from the scores of every target (outer) and layer (inner).

    `every_layer` makes `layer_replicates`, too, which cost as much as those of the score for each layer. `geometry` is
    that of each layer. Raises InputError where the recording has no column in that region.
    """
    cut = _cut(benchmark, asked, scores)
    choice = _chosen(layers, cut)
    subjects, chosen, column_raw = choice.subjects, choice.chosen, choice.column_raw
    n_folds = len(cut[0][2][0].folds)
    # why a column is out: its own reason, the same for all layers, or that this layer predicts one number for all
    reasons = [by[0].reason[c] for _, columns, by in cut for c in columns]
    out = [r or "constant-prediction" for r, value in zip(reasons, column_raw) if not np.isfinite(value)]
    left_out = Counter({"incomplete-neuroid": sum(t.data.left_out for t, _, _ in cut if isinstance(t.data, RDMs))})
    left_out["stimulus-without-category"] = sum(t.data.left_out for t, _, _ in cut if isinstance(t.data, Labels))
    ceiling = _joined([(target.ceilings[benchmark.ceiling], columns) for target, columns, _ in cut])
    scale = scores[0][0].scale
    draws = _draws(benchmark, cut, subjects)
    replicates = normalized_replicates = np.full(N_REPLICATES, np.nan)
    if chosen:
        drawn = _replicates(cut, chosen, draws)
        replicates = _each(drawn, lambda rows, people: _over_columns(rows, subjects, people), draws)
        normalized_replicates = _each(
            drawn, lambda rows, people: _over_columns(normalized(rows, scale, ceiling), subjects, people), draws
        )
    layer_replicates = None
    if every_layer:
        layer_replicates = np.stack(
            [
                _each(
                    _replicates(cut, [layer] * n_folds, draws),
                    lambda rows, people: _over_columns(rows, subjects, people),
                    draws,
                )
                for layer in range(len(layers))
            ]
        )
    extras: dict[str, Number | list[Number]] = {}
    if chosen:
        for name in cut[0][2][0].extras:
            extras[name] = _extra(name, cut, chosen, subjects, np.isfinite(column_raw))
    share = normalized(column_raw, scale, ceiling)
    return Columns(
        **vars(choice),
        column_normalized=share,
        ceiling=ceiling,
        excluded=dict(sorted((Counter(out) + left_out).items())),
        n_stimuli=len({i for target, _, _ in cut for i in target.stimuli.ids}),
        replicates=replicates,
        normalized_replicates=normalized_replicates,
        layer_replicates=layer_replicates,
        draws=draws.key,
        resampled=draws.told,
        extras=extras,
        geometry=tuple(geometry),
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


def _extra(
    name: str, cut: Sequence[Cut], chosen: Sequence[int], subjects: Sequence[str], valid: np.ndarray
) -> Number | list[Number]:
    """An extra of the chosen layers: a share for flags, else summarised as the score is; a curve point by point."""
    rows = []
    for fold, layer in enumerate(chosen):
        parts = [by[layer].extras[name] for _, _, by in cut]
        rows.append(np.concatenate([(p[fold] if p.ndim > 1 else p)[c] for p, (_, c, _) in zip(parts, cut)]))
    values = np.stack(rows).astype(float)
    if name in ("penalty", "at_edge"):
        return float(values[:, valid].mean()) if valid.any() else float("nan")
    mean = np.where(valid[:, None], values.reshape(*values.shape[:2], -1).mean(axis=0), np.nan)
    points: list[Number] = [over_columns(point, subjects) for point in mean.T]
    return points if values.ndim == 3 else points[0]


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """Which stimuli and subjects each replicate holds, and how often."""

    key: str
    told: str
    stimuli: list[np.ndarray]  # (B, n) for each target
    subjects: np.ndarray | None  # (B, S); None for one subject


def _draws(benchmark: Benchmark, cut: Sequence[Cut], subjects: Sequence[str]) -> _Draws:
    """Whole groups of stimuli, and subjects, drawn with replacement.

    The random numbers belong to the recording and to what is drawn from it, so replicates of any two models pair up,
    and those of two regions that were shown the same stimuli to the same subjects.
    """
    unit_of: dict[str, str] = {}
    for target, _, _ in cut:
        unit_of |= target.split.unit
    ids, names = sorted(unit_of), sorted(set(subjects))
    key = fingerprint({"recording": benchmark.recording, "stimuli": unit_of, "subjects": names})
    weights = multiplicities([unit_of[i] for i in ids], N_REPLICATES, seed_of(key, "stimuli"))
    place = {name: at for at, name in enumerate(ids)}
    units = len(set(unit_of.values()))
    told = f"{len(ids)} stimuli" + (f" in {units} groups" if units < len(ids) else "")
    if names != [""]:
        told += f", {len(names)} subjects" if len(names) > 1 else " (one subject)"
    return _Draws(
        key=key,
        told=told,
        stimuli=[weights[:, [place[i] for i in target.data.stimulus_ids]] for target, _, _ in cut],
        subjects=multiplicities(names, N_REPLICATES, seed_of(key, "subjects")) if len(names) > 1 else None,
    )


def _replicates(cut: Sequence[Cut], picked: Sequence[int], draws: _Draws) -> np.ndarray:
    """(B, V) float32: every column's score under the draws, each fold with the layer that is `picked` for it.

    Predictions stay as they are: what is resampled is what they are scored on. What another training set would have
    changed is added: where predictions are all luck, each pair of stimuli enters the score twice, once as training and
    test and once as test and training, so the variance is twice what resampling the tests shows; where none is, it is
    that. So each column's replicates are spread around their mean by sqrt(1 + luck).
    """
    out = np.empty((N_REPLICATES, sum(len(columns) for _, columns, _ in cut)), dtype=np.float32)
    start = 0
    for (_, columns, by_layer), weights in zip(cut, draws.stimuli):
        total, count = np.zeros((2, N_REPLICATES, len(columns)), dtype=np.float32)
        some = np.array_split(np.arange(len(columns)), max(1, N_REPLICATES * len(picked) * len(columns) // AT_ONCE))
        for layer in sorted(set(picked)):  # outside, because a score that did not fit into memory is made again
            folds = [fold for fold, of_fold in enumerate(picked) if of_fold == layer]
            for at in some:
                by_fold = by_layer[layer].resample(weights, folds, columns[at])
                finite = np.isfinite(by_fold)  # a fold may lose all its stimuli in a replicate
                count[:, at] += finite.sum(axis=1)
                total[:, at] += np.where(finite, by_fold, 0).sum(axis=1)
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        luck = _nanmean(np.stack([_luck(by_layer[layer], f)[columns] for f, layer in enumerate(picked)], axis=-1))
        centre = _nanmean(mean.T)
        out[:, start : start + len(columns)] = centre + (mean - centre) * np.sqrt(1 + luck)
        start += len(columns)
    return out


def _each(drawn: np.ndarray, of: Callable[[np.ndarray, np.ndarray | None], np.ndarray], draws: _Draws) -> np.ndarray:
    """(B, V) -> (B,): `of` a few replicates at a time, with how often each has each subject."""
    parts = np.array_split(np.arange(len(drawn)), max(1, drawn.size // AT_ONCE))
    people = draws.subjects
    return np.concatenate([of(drawn[rows], None if people is None else people[rows]) for rows in parts])


def _luck(score: Score, fold: int) -> np.ndarray:
    return np.zeros(score.folds.shape[1]) if score.luck is None else score.luck[fold]


def summary(columns: Columns) -> Scored:
    """What an Entry says of its columns."""
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
        if name  # categories are nobody's
    }
    reasons = Counter(r for r, ok in zip(c.ceiling.reason, valid) if r and ok)
    return Scored(
        raw=c.raw,
        ceiling=over_columns(ceiling, c.subjects),
        ceiling_upper=(
            over_columns(np.where(valid, c.ceiling.upper, np.nan), c.subjects)
            if c.ceiling.upper is not None
            else float("nan")
        ),
        ceiling_scale=c.ceiling.scale,
        ceiling_method=c.ceiling.method,
        ceiling_reason=", ".join(f"{name}: {count}" for name, count in sorted(reasons.items())),
        normalized=c.normalized,
        low=low,
        high=high,
        normalized_low=share_low,
        normalized_high=share_high,
        resampled=c.resampled,
        layer=c.layer,
        layer_by_fold=[c.layers[i].name for i in c.chosen],
        layers=[
            Layer(
                layer=spec.name,
                pooling=spec.pooling,
                depth=spec.depth,
                train=float(c.train[i]),
                raw=float(c.layer_raw[i]),
                geometry=dict(c.geometry[i]) if c.geometry else {},
            )
            for i, spec in enumerate(c.layers)
        ],
        optimistic=(
            None
            if best is None
            else Optimistic(
                layer=c.layers[best].name, raw=float(c.layer_raw[best]), gap=float(c.layer_raw[best]) - c.raw
            )
        ),
        per_subject=per_subject,
        n_stimuli=c.n_stimuli,
        n_neuroids=int(valid.sum()),
        n_excluded=sum(c.excluded.values()),
        excluded=c.excluded,
        n_without_ceiling=int((valid & ~bounded).sum()),
        extras=dict(c.extras),
        replicates=[round(float(r), 6) if np.isfinite(r) else None for r in c.replicates],
    )
