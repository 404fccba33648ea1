"""From columns of scores to the numbers of an entry.

Layers are chosen fold by fold on `Score.train`, so no test stimulus has a say in which layer it is scored with. A
value over neuroids is always the median within a subject, then the mean over subjects; of subjects' RDMs, what is
explained of all is set over what is explainable of all (`cuts.share_over_subjects`). Where there is time, a neuroid's
score is the mean of its columns, one a bin, that lie in the benchmark's window: layers are chosen on that, too, one for
all bins; and the same is done bin by bin for the time course.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Labels, RDMs
from brainbench.core.score import Ceiling, Score, explained_over_bins
from brainbench.core.specs import LayerSpec
from brainbench.cuts import Cut, cut_out, nanmean, over_columns, over_columns_each, share_over_subjects
from brainbench.entry import Layer, Number, Optimistic, Scored, Subject, TimeCourse
from brainbench.numerics.resampling import interval
from brainbench.replicates import draws_of, summarised
from brainbench.targets import Target
from brainbench.time_course import time_course


@dataclass(frozen=True, kw_only=True)
class Choice:
    """V neuroids of S subjects with each fold's layer chosen on its training stimuli."""

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
        """The number of the layer that most folds chose, the first of a tie; None where none could be."""
        return None if not self.chosen else Counter(sorted(self.chosen)).most_common(1)[0][0]

    @property
    def layer(self) -> str | None:
        """Its name."""
        return None if self.best is None else self.layers[self.best].name


@dataclass(frozen=True, kw_only=True)
class Columns(Choice):
    """One benchmark's numbers for one model: V neuroids of S subjects, B replicates.

    Replicates of two Columns pair up where `draws` is the same: the same stimuli and subjects are drawn in each.
    """

    normalized: float  # the score as a share of what can be explained
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
    time_course: TimeCourse | None  # None without time


def choose(
    benchmark: Benchmark, layers: tuple[LayerSpec, ...], asked: Sequence[Target], scores: Sequence[Sequence[Score]]
) -> Choice:
    """The layer of each fold, and the score, of one benchmark's region: from every target (outer) and layer (inner).

    Raises InputError where the recording has no column in that region.
    """
    return _chosen(layers, cut_out(benchmark, asked, scores))


def _chosen(layers: tuple[LayerSpec, ...], cuts: Sequence[Cut]) -> Choice:
    subjects = tuple(name for cut in cuts for name in cut.subjects)
    n_layers = len(layers)
    folds, train = (
        [
            np.concatenate([cut.over_window(getattr(cut.scores[layer], name)) for cut in cuts], axis=1)
            for layer in range(n_layers)
        ]
        for name in ("folds", "train")
    )
    on_train = np.stack([over_columns_each(t, subjects) for t in train])  # (L, F)
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
        train=nanmean(on_train),
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
    cuts = cut_out(benchmark, asked, scores)
    choice = _chosen(layers, cuts)
    subjects, chosen, column_raw = choice.subjects, choice.chosen, choice.column_raw
    n_folds = len(cuts[0].scores[0].folds)
    # why a column is out: its own reason, the same for all layers, or that this layer predicts one number for all
    reasons = [reason for cut in cuts for reason in cut.reasons(cut.scores[0].reason)]
    out = [r or "constant-prediction" for r, value in zip(reasons, column_raw) if not np.isfinite(value)]
    data = [cut.target.data for cut in cuts]
    left_out = Counter({"incomplete-neuroid": sum(d.left_out for d in data if isinstance(d, RDMs))})
    left_out["stimulus-without-category"] = sum(d.left_out for d in data if isinstance(d, Labels))
    scale = scores[0][0].scale
    draws = draws_of(benchmark, cuts, subjects)
    replicates, normalized_replicates, in_bins = summarised(cuts, chosen, draws, benchmark, scale)
    layer_replicates = None
    if every_layer:
        each = range(len(layers))
        layer_replicates = np.stack([summarised(cuts, [n] * n_folds, draws, benchmark, scale)[0] for n in each])
    extras: dict[str, Number | list[Number]] = {}
    if chosen:
        for name in cuts[0].scores[0].extras:
            extras[name] = _extra(name, cuts, chosen, subjects, np.isfinite(column_raw))
    bins = [cut.target.ceilings[benchmark.ceiling].value[cut.places] for cut in cuts]
    raw_in_bins = np.concatenate([_in_bins(cut, chosen) for cut in cuts])  # (V, T)
    ceiling = _joined([(cut, cut.target.ceilings[benchmark.ceiling]) for cut in cuts])
    inside = cuts[0].inside
    whole = replace(ceiling, value=np.concatenate(bins)[:, inside])
    explained, explainable = explained_over_bins(raw_in_bins[:, inside], scale, whole)
    shares = explained / explainable
    normalized = over_columns(shares, subjects)
    if cuts[0].whole_subjects:
        normalized = float(share_over_subjects(explained[None], explainable, None)[0])
    course = None
    if benchmark.window_s is not None and chosen:
        valid = np.isfinite(raw_in_bins)
        by_layer = [np.concatenate([_in_bins(cut, [n] * n_folds) for cut in cuts]) for n in range(len(layers))]
        course = time_course(
            np.asarray(cuts[0].times),
            over_columns_each(raw_in_bins.T, subjects),
            in_bins,
            ceiling=over_columns_each(np.where(valid, np.concatenate(bins), np.nan).T, subjects),
            layer_raw=np.stack([over_columns_each(one.T, subjects) for one in by_layer]),
            window_s=benchmark.window_s,
        )
    return Columns(
        **vars(choice),
        normalized=normalized,
        column_normalized=shares,
        ceiling=ceiling,
        excluded=dict(sorted((Counter(out) + left_out).items())),
        n_stimuli=len({i for cut in cuts for i in cut.target.stimuli.ids}),
        replicates=replicates,
        normalized_replicates=normalized_replicates,
        layer_replicates=layer_replicates,
        draws=draws.key,
        resampled=draws.told,
        extras=extras,
        geometry=tuple(geometry),
        time_course=course,
    )


def _in_bins(cut: Cut, picked: Sequence[int]) -> np.ndarray:
    """(V, T): each neuroid's score in each bin, with the layer that is picked for each fold; NaN where none is."""
    if not len(picked):
        return np.full(cut.places.shape, np.nan)
    mean: np.ndarray = np.stack([cut.scores[n].folds[fold][cut.places] for fold, n in enumerate(picked)]).mean(axis=0)
    return mean


def _joined(parts: Sequence[tuple[Cut, Ceiling]]) -> Ceiling:
    """The ceilings of all neuroids, means over the window."""
    first = parts[0][1]
    value = np.concatenate([cut.over_window(c.value) for cut, c in parts])
    why = [reason for cut, c in parts for reason in cut.reasons(c.reason)]
    return Ceiling(
        value=value,
        scale=first.scale,
        method=first.method,
        upper=(
            None
            if first.upper is None
            else np.concatenate([cut.over_window(c.upper) for cut, c in parts if c.upper is not None])
        ),
        # one bin without a ceiling leaves a window with one
        reason=tuple("" if v > 0 else reason or "unreliable" for v, reason in zip(value, why)),
    )


def _extra(
    name: str, cuts: Sequence[Cut], chosen: Sequence[int], subjects: Sequence[str], valid: np.ndarray
) -> Number | list[Number]:
    """An extra of the chosen layers: a share for flags, else summarised as the score is; a curve point by point."""
    rows = []
    for fold, layer in enumerate(chosen):
        parts = [cut.scores[layer].extras[name] for cut in cuts]
        own = [(p[fold] if p.ndim > 1 else p)[cut.places[:, cut.inside]] for p, cut in zip(parts, cuts)]
        rows.append(np.concatenate([part.astype(float).mean(axis=1) for part in own]))
    values = np.stack(rows)
    if name in ("penalty", "at_edge"):
        return float(values[:, valid].mean()) if valid.any() else float("nan")
    mean = np.where(valid[:, None], values.reshape(*values.shape[:2], -1).mean(axis=0), np.nan)
    points: list[Number] = [over_columns(point, subjects) for point in mean.T]
    return points if values.ndim == 3 else points[0]


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
        time_course=c.time_course,
    )
