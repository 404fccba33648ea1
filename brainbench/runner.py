"""A run: plan, extract once, score every layer, choose inside the training stimuli, summarise into entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from brainbench import baselines, datasets, extraction, scorers
from brainbench.aggregate import Columns, aggregate, summary
from brainbench.benchmarks import N_REPLICATES, Benchmark
from brainbench.core.protocols import Model
from brainbench.core.score import Score
from brainbench.core.specs import LayerSpec, fingerprint, plain
from brainbench.core.stimuli import StimulusSet
from brainbench.entry import Baseline, Entry, Scored
from brainbench.errors import AccessError, InputError, NotApplicableError, UsageError
from brainbench.models._identity import of_this_run
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.diagnostics import diagnostics
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import interval
from brainbench.reading import as_read, extract, reader
from brainbench.recorded import on_itself
from brainbench.results import Result, code, read, written
from brainbench.settings import Setting, environment, workers
from brainbench.targets import Target, refuse_seen, targets

log = logging.getLogger("brainbench")


def run(
    model: Model | FeatureTable,
    benchmarks: Sequence[Benchmark],
    setting: Setting,
    finished: Callable[[list[Entry]], None] = lambda entries: None,
) -> list[Entry]:
    """One entry for each benchmark, in their order, with the benchmark's baselines scored beside the model.

    `finished` is given entries as soon as they are whole, some at a time: what it keeps, no later trouble can take
    away. What goes wrong with one benchmark (a broken file or one that may not be read, a leak, an exception out of the
    model's own code) makes its entry `failed` with the reason; the others go on. Raises ResourceError where disk or
    memory runs out, and AccessError where that is why none of the benchmarks could be scored.
    """
    entries: dict[str, Entry] = {}
    with own_store(model, setting) as of_model:
        this = _Run(model, setting, of_model)
        for group in _groups(benchmarks, setting):
            done = this.entries(group)
            finished(list(done.values()))
            entries |= done
    if this.denied and this.denied.keys() == entries.keys():
        raise next(iter(this.denied.values()))
    return [entries[b.id] for b in benchmarks]


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Benchmarks of one solve; what they ask is cut out of the recording when it is first needed."""

    dataset: Any
    benchmarks: list[Benchmark]
    scorer: Any
    unpinned: str = ""  # what the recording's files are that no manifest pins

    @cached_property
    def asked(self) -> list[Target]:
        """The targets of all the benchmarks."""
        return targets(self.dataset, self.benchmarks, self.scorer)

    @property
    def shown(self) -> str:
        """The recording's name as it is shown: never without saying that it is synthetic."""
        return f"{self.dataset.spec.id}{' (synthetic)' if self.dataset.spec.synthetic else ''}"


def _groups(benchmarks: Sequence[Benchmark], setting: Setting) -> Iterator[_Group]:
    """The benchmarks by dataset and solve, each dataset loaded once."""
    for name in sorted({b.dataset for b in benchmarks}):
        dataset = datasets.load(name, setting.roots)
        unpinned = datasets.unpinned(name, setting.roots)
        mine = [b for b in benchmarks if b.dataset == name]
        for key in sorted({b.solve_key for b in mine}):
            solved = [b for b in mine if b.solve_key == key]
            scorer = scorers.load(solved[0].scorer, solved[0].params)
            yield _Group(dataset=dataset, benchmarks=solved, scorer=scorer, unpinned=unpinned)


@contextmanager
def own_store(model: Model | FeatureTable, setting: Setting) -> Iterator[Setting]:
    """The setting for the model's own features and results: what no other run can find again is not left behind."""
    if not of_this_run(model.spec):
        yield setting
        return
    with setting.store.passing() as store:
        yield replace(setting, store=store)


class _Run:
    """One model, group by group: baselines are loaded once, and `denied` has benchmarks whose files may not be read."""

    def __init__(self, model: Model | FeatureTable, setting: Setting, of_model: Setting):
        self.model, self.setting, self.of_model = model, setting, of_model
        self.denied: dict[str, AccessError] = {}
        self.baseline = cache(lambda name: baselines.load(model, name, setting.roots))

    def entries(self, group: _Group) -> dict[str, Entry]:
        """The model's scores, then those of the baselines that stand beside them.

        Benchmarks that fail together are scored one by one, so that what is wrong with one region is no other's fault.
        """
        model, setting = self.model, self.setting

        def parts(of: Iterable[list[Benchmark]]) -> dict[str, Entry]:
            done = [self.entries(replace(group, benchmarks=part)) for part in of]
            return {name: entry for entries in done for name, entry in entries.items()}

        try:
            itself = {b.id: on_itself(model, b, group.dataset) for b in group.benchmarks}
            if len(set(itself.values())) > 1:
                return parts([b for b in group.benchmarks if itself[b.id] == side] for side in (True, False))
            wanted = {b.id: baselines.named(model, b) for b in group.benchmarks}
            own = _results(model, group, self.of_model)
        except (AccessError, InputError, UsageError) as error:
            absent = isinstance(error, NotApplicableError)
            if len(group.benchmarks) > 1 and not absent:
                return parts([b] for b in group.benchmarks)
            log.error("%s, %s: %s", group.shown, ", ".join(b.id for b in group.benchmarks), error)
            self.denied |= {b.id: error for b in group.benchmarks if isinstance(error, AccessError)}
            status = "not_applicable" if absent else "failed"
            return {b.id: _failed(model, b, group, status, str(error), setting) for b in group.benchmarks}
        beside: dict[str, dict[str, Result] | str] = {}
        for name in sorted({name for names in wanted.values() for name in names}):
            try:
                beside[name] = _results(self.baseline(name), group, setting)
            except (AccessError, InputError, UsageError) as error:  # the model's own score hangs on no baseline
                log.warning("%s: baseline %s has no score: %s", group.shown, name, error)
                beside[name] = str(error)
        done = {
            b.id: _entry(model, b, group, own, {n: beside[n] for n in wanted[b.id]}, setting) for b in group.benchmarks
        }
        for entry in done.values():
            if entry.status == "ok" and entry.n_excluded:
                n, reasons = entry.n_excluded, ", ".join(f"{k} {why}" for why, k in entry.excluded.items())
                # of RDMs and labels, neuroids or stimuli are left out, but subjects or one set of categories scored
                of = f"{n} of {n + entry.n_neuroids} neuroids are " if group.scorer.spec.requires == "responses" else ""
                log.warning("%s: %snot in the score: %s", entry.label, of, reasons)
        return done


def results(model: Model | FeatureTable, benchmarks: Sequence[Benchmark], setting: Setting) -> dict[str, Result]:
    """The model alone, without baselines, on each benchmark (by id), with replicates of every layer.

    Raises what `run` turns into failed entries: InputError, UsageError; and AccessError for missing data.
    """
    found: dict[str, Result] = {}
    with own_store(model, setting) as of_model:
        for group in _groups(benchmarks, setting):
            found |= _results(model, group, of_model, every_layer=True)
    return {b.id: found[b.id] for b in benchmarks}


@dataclass(frozen=True, kw_only=True)
class _Exchanged(_Group):
    """The same benchmarks on recordings whose stimuli are exchanged."""

    seed: int

    @cached_property
    def asked(self) -> list[Target]:
        return [target.exchanged(self.seed) for target in targets(self.dataset, self.benchmarks, self.scorer)]


def control(
    model: Model | FeatureTable, benchmarks: Sequence[Benchmark], setting: Setting, *, seed: int
) -> dict[str, Scored]:
    """What the model scores, by benchmark, on recordings whose stimuli are exchanged at random: nothing but luck.

    Raises as `results` does. Nothing of it is kept but the model's features.
    """
    found: dict[str, Scored] = {}
    with own_store(model, setting) as of_model:
        for group in _groups(benchmarks, setting):
            exchanged = _Exchanged(**vars(replace(group)), seed=seed)
            found |= {name: summary(c) for name, c in _columns(model, exchanged, of_model, False).items()}
    return found


def _results(
    model: Model | FeatureTable, group: _Group, setting: Setting, *, every_layer: bool = False
) -> dict[str, Result]:
    """Those that the store has, for this very code, model, benchmark and files; the others are computed and kept."""
    itself = [b.id for b in group.benchmarks if on_itself(model, b, group.dataset)]
    if itself:
        raise NotApplicableError(f"{model.spec.id} would be compared with its own responses on {', '.join(itself)}")
    keys = {
        b.id: {
            "kind": "result",
            "model": fingerprint(model.spec),
            "features": extraction.FEATURE_SEMANTICS,
            "benchmark": b.fingerprint,
            "unpinned": group.unpinned,
            "every_layer": every_layer,
            "code": code(type(group.scorer).__module__, type(group.dataset).__module__),
        }
        for b in group.benchmarks
    }
    found = {name: read(setting.store.get(key)) for name, key in keys.items()}
    if any(result is None for result in found.values()):
        if isinstance(model, FeatureTable):
            _require_stimuli(model, group.asked)
        for name, columns in _columns(model, group, setting, every_layer).items():
            if found[name] is None:
                found[name] = result = Result(
                    scored=summary(columns),
                    replicates=columns.replicates,
                    normalized_replicates=columns.normalized_replicates,
                    layer_replicates=columns.layer_replicates,
                    draws=columns.draws,
                )
                setting.store.put(keys[name], written(result), environment(setting.device))
    return {name: result for name, result in found.items() if result is not None}


def _require_stimuli(model: FeatureTable, asked: Iterable[Target]) -> None:
    wanted = {name for target in asked for name in target.stimuli.ids}
    if not wanted & set(model.stimulus_ids):
        raise NotApplicableError(
            f"the features of {model.spec.id} have none of the {len(wanted)} stimuli of this dataset: its ids are like "
            f"{min(wanted)!r}, those of the features like {model.stimulus_ids[0]!r}"
        )


def _latest(of: Callable[..., Any]) -> Callable[..., Any]:
    """`of`, with its latest result kept, and let go of before the next one is made: two may not fit into memory."""
    kept: dict[Any, Any] = {}

    def again(*args: Any) -> Any:
        if args not in kept:
            kept.clear()
            kept[args] = of(*args)
        return kept[args]

    return again


def _columns(model: Model | FeatureTable, group: _Group, setting: Setting, every_layer: bool) -> dict[str, Columns]:
    """Every layer scored on every target, and each benchmark's columns cut out of it with their replicates."""
    scorer = reader(group.scorer, model)
    refuse_seen(scorer, group.dataset, group.asked)
    model = as_read(model, scorer)
    blocks: dict[str, StimulusSet] = {target.stimuli.fingerprint: target.stimuli for target in group.asked}
    setting.progress.stage(f"{group.shown}: features of {model.spec.id}", sum(len(s.ids) for s in blocks.values()))
    extract(model, blocks.values(), setting)
    layers = model.spec.layers
    largest, n_folds = max(len(s.ids) for s in blocks.values()), len(group.asked[0].split.folds)
    n_jobs = len(layers) * len(blocks)
    fit_in = setting.max_bytes // 2 // (8 * largest**2 * (n_folds + 2))  # a Gram matrix and its decompositions each
    with workers(setting.device, max(1, min(n_jobs, fit_in))) as pool:
        column = 4 * (largest + 3 * N_REPLICATES)  # held as predictions and, while they are summed, as replicates
        at_once = None if getattr(scorer, "joint", False) else setting.max_bytes // 4 // column
        asked = [part for target in group.asked for part in target.parts(at_once)]
        keys = [target.stimuli.fingerprint for target in asked]
        sharing = [[number for number, other in enumerate(keys) if other == key] for key in blocks]
        described = {b.id: _largest(b, asked).stimuli.fingerprint for b in group.benchmarks}
        geometry: dict[tuple[str, LayerSpec], dict[str, float]] = {}
        too_much_to_hold = len(layers) * 4 * sum(target.n_values for target in asked) > setting.max_bytes // 4
        setting.progress.stage(f"{group.shown}: {group.scorer.spec.name} of {model.spec.id}", len(layers) * len(asked))

        def represented(layer: LayerSpec, target: Target) -> Representation:
            found = extraction.representation(model, layer, target.stimuli, setting.store)
            if found is None:
                raise InputError("a stored layer was damaged during the run; run again to compute it anew")
            return found.to(setting.device)

        def scored(representation: Representation, target: Target) -> Score:
            score: Score = scorer.score(representation, target.data, target.split, seed=0, device=setting.device)
            return score

        @_latest  # with its decompositions, which the parts of a target share
        def represented_again(layer: LayerSpec, key: str) -> Representation:
            return represented(layer, asked[keys.index(key)])

        @_latest
        def scored_again(layer: LayerSpec, number: int) -> Score:
            return scored(represented_again(layer, keys[number]), asked[number])

        def scores_of(layer: LayerSpec, numbers: list[int]) -> list[Score]:
            """One layer on all targets of one stimulus set: they share its representation and eigenbases."""
            representation = represented(layer, asked[numbers[0]])
            if keys[numbers[0]] in described.values():
                geometry[keys[numbers[0]], layer] = diagnostics(representation)
            found = []
            for number in numbers:
                score = scored(representation, asked[number])
                if too_much_to_hold:
                    score = replace(score, resample=lambda *a, n=number: scored_again(layer, n).resample(*a))
                found.append(score)
                setting.progress.step()
            return found

        pairs = [(layer, numbers) for layer in layers for numbers in sharing]
        found: dict[tuple[int, LayerSpec], Score] = {}
        for (layer, numbers), parts in zip(pairs, pool.map(scores_of, *zip(*pairs))):
            found |= {(number, layer): score for number, score in zip(numbers, parts)}
    scores = [[found[number, layer] for layer in layers] for number in range(len(asked))]
    return {
        b.id: aggregate(
            b,
            layers,
            asked,
            scores,
            every_layer=every_layer,
            geometry=[geometry[described[b.id], layer] for layer in layers],
        )
        for b in group.benchmarks
    }


def _largest(benchmark: Benchmark, asked: Sequence[Target]) -> Target:
    """The target whose stimuli layers are described on: the most of all, for dimensions compare at one n only."""
    own = [target for target in asked if benchmark.region in target.regions] or asked
    return max(own, key=lambda target: len(target.stimuli.ids))


def _entry(
    model: Model | FeatureTable,
    benchmark: Benchmark,
    group: _Group,
    results: dict[str, Result],
    beside: dict[str, dict[str, Result] | str],
    setting: Setting,
) -> Entry:
    own = results[benchmark.id]
    baselines = {}
    for name, theirs in beside.items():
        if isinstance(theirs, str):
            baselines[name] = Baseline(reason=theirs)
            continue
        other = theirs[benchmark.id]
        low, high = interval(own.replicates - other.replicates)
        baselines[name] = Baseline(
            raw=other.scored.raw,
            normalized=other.scored.normalized,
            layer=other.scored.layer,
            difference=_minus(own.scored.raw, other.scored.raw),
            difference_low=low,
            difference_high=high,
        )
    undefined = own.scored.raw is None
    return Entry(
        **_head(model, benchmark, group, setting),
        status="failed" if undefined else "ok",
        reason=f"no column has a score: {own.scored.excluded}" if undefined else "",
        baselines=baselines,
        **dict(own.scored),
    )


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _failed(
    model: Model | FeatureTable, benchmark: Benchmark, group: _Group, status: Any, reason: str, setting: Setting
) -> Entry:
    return Entry(**_head(model, benchmark, group, setting), status=status, reason=reason)


def _head(model: Model | FeatureTable, benchmark: Benchmark, group: _Group, setting: Setting) -> dict[str, Any]:
    """What stands in an entry of any status: what was scored on what, where and when.

    Files that cannot be read have no content: then the identity says so, and is that of no score.
    """
    try:
        identity = benchmark.identity
    except (AccessError, InputError):
        identity = benchmark.identity_on("unreadable")
    return {
        "benchmark": benchmark.id,
        "benchmark_fingerprint": fingerprint(identity),
        "benchmark_identity": identity,
        "synthetic": group.dataset.spec.synthetic,
        "model": model.spec.id,
        "model_fingerprint": fingerprint(model.spec),
        "model_identity": plain(model.spec),
        "scorer": f"{benchmark.scorer} {group.scorer.spec.version}",
        "scale": group.scorer.spec.scale,
        "provenance": environment(setting.device) | {"created": datetime.now(UTC).isoformat(timespec="seconds")},
    }
