"""Any benchmark with fewer stimuli or fewer neuroids: are score, best layer and ranking still what they were?

The study of Shi, Shea-Brown & Buice (2019) on its own recording: random subsets, the layer chosen on training stimuli
as always, all by the code that scores. Stimuli are dropped in whole groups, and folds lose the dropped ones; neuroids
are dropped within each subject. A draw is one random order, cut at every fraction, so its levels are nested; the draws
belong to the recording and are the same for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from brainbench import datasets, extraction, reading, recorded, runner, scorers, settings
from brainbench.aggregate import Choice, choose
from brainbench.analysis.robustness import AXES, Level, Robustness, Stability, level, orders
from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, Labels, RDMs, take
from brainbench.core.protocols import Model
from brainbench.core.score import Score
from brainbench.core.specs import DatasetSpec, LayerSpec, fingerprint
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, ResourceError, UsageError
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import seed_of
from brainbench.targets import Target, refuse_seen, targets

FRACTIONS = (0.75, 0.5, 0.25, 0.125)
DRAWS = 10


def subsample(
    models: Sequence[Model | FeatureTable],
    benchmark: Benchmark,
    setting: settings.Setting,
    *,
    fractions: Sequence[float] = FRACTIONS,
    n_draws: int = DRAWS,
) -> Robustness:
    """Scores of the models on the benchmark with all data and with each fraction of stimuli, and of neuroids.

    A draw that leaves a fold without stimuli, or a subject without neuroids enough, has no score. Where there
    are no neuroids to drop, `missing` says why. Raises UsageError for fractions outside of 0..1 and
    for fewer than 2 draws, and what scoring raises: InputError, AccessError, ResourceError.
    """
    fractions = sorted(set(fractions), reverse=True)
    if not fractions or not all(0 < f < 1 for f in fractions):
        raise UsageError(f"fractions are shares between 0 and 1, got {', '.join(map(str, fractions)) or 'none'}")
    if n_draws < 2:
        raise UsageError(f"a spread needs 2 draws or more, got {n_draws}")
    recording = _Recording.of(benchmark, setting)
    for model in models:
        if recorded.on_itself(model, benchmark, recording.dataset):
            raise InputError(f"{model.spec.id} would be compared with its own responses on {benchmark.id}")
    found = [_stability(model, recording, setting, fractions, n_draws) for model in models]
    return Robustness(
        benchmark=benchmark.id,
        synthetic=recording.dataset.spec.synthetic,
        scale=recording.scorer.spec.scale,
        n_stimuli=len(recording.unit),
        n_units=len(set(recording.unit.values())),
        n_neuroids=sum(map(len, recording.neuroids.values())),
        n_subjects=len({name for target in recording.asked for name in target.subjects if name}),  # labels: nobody's
        models=tuple(found),
        orders=orders(found),
        missing={} if recording.neuroids else {"neuroids": recording.without_neuroids},
    )


@dataclass(frozen=True, kw_only=True)
class _Recording:
    """What a benchmark asks, whole; ceilings are left out, for no score depends on them."""

    benchmark: Benchmark
    dataset: Any
    scorer: Any
    asked: list[Target]

    @classmethod
    def of(cls, benchmark: Benchmark, setting: settings.Setting) -> _Recording:
        bare = benchmark.model_copy(update={"ceiling": "none"})
        dataset = _Held(dataset=datasets.load(benchmark.dataset, setting.roots))
        scorer = scorers.load(benchmark.scorer, benchmark.params)
        return cls(benchmark=bare, dataset=dataset, scorer=scorer, asked=targets(dataset, [bare], scorer))

    @cached_property
    def unit(self) -> dict[str, str]:
        """The group of each stimulus."""
        return {name: unit for target in self.asked for name, unit in target.split.unit.items()}

    @property
    def shown(self) -> str:
        """The recording's name as it is shown: never without saying that it is synthetic."""
        return f"{self.dataset.spec.id}{' (synthetic)' if self.dataset.spec.synthetic else ''}"

    @cached_property
    def neuroids(self) -> dict[str, list[str]]:
        """Neuroids of each subject, sorted; none where only RDMs were released, and none behind labels."""
        found: dict[str, set[str]] = {}
        if isinstance(self.asked[0].data, Block):
            for target in self.asked:
                for subject, name in zip(target.subjects, target.names):
                    found.setdefault(subject, set()).add(name)
        elif isinstance(self.asked[0].data, RDMs) and "rdms" not in self.dataset.spec.measures:
            b = self.benchmark
            for subject in b.subjects or self.dataset.spec.subjects:
                responses = self.dataset.responses(subject, regions=(b.region,), sessions=b.sessions)
                found[subject] = set(responses["neuroid_id"].values)
        return {subject: sorted(names) for subject, names in found.items()}

    @property
    def without_neuroids(self) -> str:
        """Why there are none."""
        if isinstance(self.asked[0].data, Labels):
            return "categories belong to stimuli, not to neuroids"
        return "only RDMs were released, not the responses behind them"

    def rng(self, axis: str, draw: int) -> np.random.Generator:
        """Random numbers that belong to the recording, so all models and scorers meet the same draws."""
        key = fingerprint({"recording": self.benchmark.recording, "region": self.benchmark.region})
        return np.random.default_rng(seed_of(key, f"subsample {axis} {draw}"))

    def fewer(self, axis: str, fraction: float, draw: int) -> tuple[list[Target], int]:
        """The targets with a fraction of stimuli or neuroids, and how many those are.

        Raises InputError where too few are left to score.
        """
        rng = self.rng(axis, draw)
        if axis == "stimuli":
            units = set(_some(sorted(set(self.unit.values())), fraction, rng))
            ids = frozenset(name for name, unit in self.unit.items() if unit in units)
            return [target.restricted(ids) for target in self.asked], len(ids)
        kept = {subject: set(_some(names, fraction, rng)) for subject, names in self.neuroids.items()}
        n = sum(map(len, kept.values()))
        if isinstance(self.asked[0].data, RDMs):
            return targets(replace(self.dataset, kept=kept), [self.benchmark], self.scorer), n
        found = []
        for target in self.asked:
            at = [number for number, (s, name) in enumerate(zip(target.subjects, target.names)) if name in kept[s]]
            if at:
                found.append(target.neuroids(np.asarray(at)))
        return found, n


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A dataset whose responses are read once; of each subject's neuroids only those `kept`, if given."""

    dataset: Any
    kept: dict[str, set[str]] | None = None
    read: dict[Any, Any] = field(default_factory=dict)

    @property
    def spec(self) -> DatasetSpec:
        spec: DatasetSpec = self.dataset.spec
        return spec

    def stimuli(self) -> StimulusSet:
        if "stimuli" not in self.read:
            self.read["stimuli"] = self.dataset.stimuli()
        found: StimulusSet = self.read["stimuli"]
        return found

    def responses(self, subject: str, **asked: Any) -> Any:
        key = (subject, *sorted(asked.items()))
        if key not in self.read:
            self.read[key] = self.dataset.responses(subject, **asked)
        found = self.read[key]
        if self.kept is None:
            return found
        return found.isel(neuroid=np.flatnonzero([name in self.kept[subject] for name in found["neuroid_id"].values]))

    def rdms(self, region: str) -> Any:
        return self.dataset.rdms(region)


def _some(names: Sequence[str], fraction: float, rng: np.random.Generator) -> list[str]:
    """The first of a random order: what a smaller fraction keeps, a larger one does."""
    order = rng.permutation(len(names))
    return [names[number] for number in order[: max(1, round(fraction * len(names)))]]


def _stability(
    model: Model | FeatureTable,
    recording: _Recording,
    setting: settings.Setting,
    fractions: Sequence[float],
    n_draws: int,
) -> Stability:
    axes = [axis for axis in AXES if axis == "stimuli" or recording.neuroids]
    whole = {"stimuli": len(recording.unit), "neuroids": sum(map(len, recording.neuroids.values()))}
    layers = model.spec.layers
    place = {int(number): at for at, number in enumerate(np.argsort([layer.depth for layer in layers], kind="stable"))}
    levels: list[Level] = []
    with runner.own_store(model, setting) as own, _scoring(model, recording, own) as choice_of:
        setting.progress.stage(
            f"{recording.shown}: fewer stimuli and neuroids for {model.spec.id}",
            1 + len(axes) * len(fractions) * n_draws,
        )
        full = choice_of(recording.asked)
        setting.progress.step()
        best = None if full.best is None else place[full.best]
        for axis in axes:
            for fraction in fractions:
                drawn: list[tuple[int, float, int | None]] = []  # how many, score, place of the layer
                reasons = []
                for draw in range(n_draws):
                    try:
                        asked, n = recording.fewer(axis, fraction, draw)
                        choice = choice_of(asked)
                        drawn.append((n, choice.raw, None if choice.best is None else place[choice.best]))
                        if np.isnan(choice.raw):
                            reasons.append("no layer has a score")
                    except InputError as error:  # this draw left a fold or a subject without enough
                        drawn.append((0, float("nan"), None))
                        reasons.append(str(error))
                    setting.progress.step()
                numbers, scores, chosen = zip(*drawn)
                levels.append(
                    level(
                        axis,
                        fraction,
                        numbers=numbers,
                        whole=whole[axis],
                        scores=scores,
                        layers=chosen,
                        best=best,
                        reason=next(iter(reasons), ""),
                    )
                )
    return Stability(model=model.spec.id, score=full.raw, layer=full.layer, levels=tuple(levels))


@contextmanager
def _scoring(
    model: Model | FeatureTable, recording: _Recording, setting: settings.Setting
) -> Iterator[Callable[[Sequence[Target]], Choice]]:
    """What scores the model on targets cut out of the recording; every layer is extracted once, and read as it fits."""
    scorer = reading.reader(recording.scorer, model)
    refuse_seen(scorer, recording.dataset, recording.asked)
    model = reading.as_read(model, scorer)
    sets = list({target.stimuli.fingerprint: target.stimuli for target in recording.asked}.values())
    setting.progress.stage(f"{recording.shown}: features of {model.spec.id}", sum(len(s.ids) for s in sets))
    reading.extract(model, sets, setting)
    holding = [frozenset(stimuli.ids) for stimuli in sets]
    n_folds = len(recording.asked[0].split.folds)
    fit_in = max(1, setting.max_bytes // 2 // (8 * max(map(len, holding)) ** 2 * (n_folds + 2)))

    @lru_cache(maxsize=fit_in)
    def whole(layer: LayerSpec, number: int) -> Representation:
        found = extraction.representation(model, layer, sets[number], setting.store)
        if found is None:
            raise ResourceError("a stored layer was damaged during the run; run again to compute it anew")
        return found.to(setting.device)

    def represented(layer: LayerSpec, ids: tuple[str, ...]) -> Representation:
        number = next(number for number, held in enumerate(holding) if held.issuperset(ids))
        found = whole(layer, number)
        if len(ids) == len(found.stimulus_ids):
            return found  # with the eigenbases of its folds, which all draws of neuroids share
        return found.select(torch.as_tensor(take(found.stimulus_ids, ids, what="the features"), device=setting.device))

    def scores(layer: LayerSpec, asked: Sequence[Target]) -> list[Score]:
        return [
            scorer.score(represented(layer, t.data.stimulus_ids), t.data, t.split, seed=0, device=setting.device)
            for t in asked
        ]

    layers = model.spec.layers
    with settings.workers(setting.device, min(len(layers), fit_in)) as pool:

        def choice_of(asked: Sequence[Target]) -> Choice:
            by_layer = list(pool.map(lambda layer: scores(layer, asked), layers))
            return choose(recording.benchmark, layers, asked, list(zip(*by_layer)))

        yield choice_of
