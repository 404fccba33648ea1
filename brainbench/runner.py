"""A run: plan, extract once, score every layer, choose inside the training stimuli, summarise into entries."""

from __future__ import annotations

import logging
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import platformdirs
import torch

from brainbench import datasets, extraction, models, scorers
from brainbench.aggregate import Columns, aggregate, summary
from brainbench.benchmarks import Benchmark
from brainbench.core.protocols import Model
from brainbench.core.score import Score
from brainbench.core.specs import LayerSpec, fingerprint, plain
from brainbench.core.stimuli import StimulusSet
from brainbench.entry import Baseline, Entry
from brainbench.errors import AccessError, InputError, UsageError
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.resampling import interval
from brainbench.store import Store
from brainbench.targets import Target, targets

log = logging.getLogger("brainbench")
TWINNED = ("bundled", "timm", "open_clip")  # sources whose networks have an untrained twin


class Progress(Protocol):
    """What a run tells while it works: a new stage with its size, then steps within it."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins."""

    def step(self, n: int = 1) -> None:
        """`n` more of it are done."""


class Silent:
    """No progress."""

    def stage(self, name: str, total: int) -> None:
        """Nothing is shown."""

    def step(self, n: int = 1) -> None:
        """Nothing is shown."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a run computes; none of it may change a number beyond rounding."""

    roots: dict[str, Path]
    store: Store
    device: str
    progress: Progress


def default_cache() -> Path:
    """BRAINBENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("BRAINBENCH_CACHE") or platformdirs.user_cache_dir("brainbench"))


def pick_device(name: str) -> str:
    """`auto` is cuda where there is one, else cpu. Raises UsageError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        why = re.split(r"\.\s|\n", str(error))[0]  # a table of all backends may follow
        raise UsageError(f"device {name!r} is not usable here: {why}. Use --device auto or cpu.") from None
    return name


def run(
    model: Model | FeatureTable,
    benchmarks: Sequence[Benchmark],
    setting: Setting,
    finished: Callable[[list[Entry]], None] = lambda entries: None,
) -> list[Entry]:
    """One entry for each benchmark, in their order, with the benchmark's baselines scored beside the model.

    `finished` is given entries as soon as they are whole, some at a time: what it keeps, no later trouble can take
    away. What goes wrong inside one dataset (a broken file, a leak, an exception out of the model's own code) makes its
    benchmarks' entries `failed` with the reason; the others go on. Raises ResourceError where disk or memory runs out,
    and AccessError for missing data.
    """
    entries: dict[str, Entry] = {}
    for name in sorted({b.dataset for b in benchmarks}):
        dataset = datasets.load(name, setting.roots)
        mine = [b for b in benchmarks if b.dataset == name]
        for key in sorted({b.solve_key for b in mine}):
            group = [b for b in mine if b.solve_key == key]
            done = _run_group(model, dataset, group, setting)
            finished(list(done.values()))
            entries |= done
    return [entries[b.id] for b in benchmarks]


def _run_group(model: Model | FeatureTable, dataset: Any, group: list[Benchmark], setting: Setting) -> dict[str, Entry]:
    """Benchmarks of one solve: the model's scores, then those of the baselines that stand beside them."""
    scorer = scorers.load(group[0].scorer, group[0].params)
    try:
        asked = targets(dataset, group, scorer)
        wanted = {b.id: _baselines(model, b) for b in group}
        if isinstance(model, FeatureTable):
            _require_stimuli(model, asked)
        own = _columns(model, asked, group, scorer, setting)
    except (InputError, UsageError) as error:
        log.error("%s: %s", _shown(group[0]), error)
        status = "not_applicable" if isinstance(error, _NotApplicable) else "failed"
        return {b.id: _failed(model, b, dataset, status, str(error), setting) for b in group}
    beside: dict[str, dict[str, Columns] | str] = {}
    for name in sorted({name for names in wanted.values() for name in names}):
        try:
            beside[name] = _columns(_baseline(model, name), asked, group, scorer, setting)
        except (AccessError, InputError, UsageError) as error:  # the model's own score does not hang on its baselines
            log.warning("%s: baseline %s has no score: %s", _shown(group[0]), name, error)
            beside[name] = str(error)
    return {b.id: _entry(model, b, dataset, scorer, own, {n: beside[n] for n in wanted[b.id]}, setting) for b in group}


@contextmanager
def _workers(device: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that each score on one core: an eigendecomposition keeps one core busy, but not several."""
    cores = torch.get_num_threads()
    n = 1 if device.startswith("cuda") else cores
    torch.set_num_threads(max(1, cores // n))
    try:
        with ThreadPoolExecutor(n) as workers:
            yield workers
    finally:
        torch.set_num_threads(cores)


class _NotApplicable(InputError):
    """The model says nothing about these stimuli."""


def _require_stimuli(model: FeatureTable, asked: Iterable[Target]) -> None:
    wanted = {name for target in asked for name in target.stimuli.ids}
    if not wanted & set(model.stimulus_ids):
        raise _NotApplicable(
            f"the features of {model.spec.id} have none of the {len(wanted)} stimuli of this dataset: its ids are like "
            f"{min(wanted)!r}, those of the features like {model.stimulus_ids[0]!r}"
        )


def _baselines(model: Model | FeatureTable, benchmark: Benchmark) -> list[str]:
    names = []
    for name in benchmark.baselines:
        if name == "untrained":
            if model.spec.source not in TWINNED or "@untrained" in model.spec.id:
                continue
            name = f"{model.spec.id}@untrained"
        if name != model.spec.id:
            names.append(name)
    return names


def _baseline(model: Model | FeatureTable, name: str) -> Model | FeatureTable:
    """The baseline of this name; a twin is read at the very layers that its model is read at."""
    twin = name == f"{model.spec.id}@untrained"
    return models.load(name, layers=[f"{s.name}:{s.pooling}" for s in model.spec.layers] if twin else None)


def _shown(benchmark: Benchmark) -> str:
    """The recording's name as it is shown: never without saying that it is synthetic."""
    return f"{benchmark.dataset}{' (synthetic)' if datasets.DATASETS[benchmark.dataset].spec.synthetic else ''}"


def _columns(
    model: Model | FeatureTable, asked: Sequence[Target], group: Sequence[Benchmark], scorer: Any, setting: Setting
) -> dict[str, Columns]:
    """Every layer scored on every target, and each benchmark's columns cut out of it with their replicates."""
    keys = [target.stimuli.fingerprint for target in asked]
    blocks: dict[str, StimulusSet] = {key: target.stimuli for key, target in zip(keys, asked)}
    total = sum(len(s.ids) for s in blocks.values())
    setting.progress.stage(f"{_shown(group[0])}: features of {model.spec.id}", total)
    for stimuli in blocks.values():
        extraction.extract(
            model,
            stimuli,
            setting.store,
            device=setting.device,
            provenance=environment(setting.device),
            progress=setting.progress.step,
        )
    layers = model.spec.layers
    setting.progress.stage(f"{_shown(group[0])}: {scorer.spec.name} of {model.spec.id}", len(layers) * len(asked))
    scores: list[list[Score]] = [[] for _ in asked]
    sharing = [[number for number, other in enumerate(keys) if other == key] for key in blocks]

    def score_block(layer: LayerSpec, numbers: list[int]) -> None:
        """One layer on all targets of one stimulus set: they share its representation and eigenbases."""
        shown = asked[numbers[0]].stimuli
        representation = extraction.representation(model, layer, shown, setting.store)
        if representation is None:
            raise InputError("a stored layer was damaged during the run; run again to compute it anew")
        representation = representation.to(setting.device)
        for number in numbers:
            target = asked[number]
            scores[number].append(
                scorer.score(representation, target.data, target.split, seed=0, device=setting.device)
            )

    with _workers(setting.device) as workers:
        for layer in layers:
            for _ in workers.map(score_block, [layer] * len(sharing), sharing):
                pass
            setting.progress.step(len(asked))
    return {b.id: aggregate(b, layers, asked, scores) for b in group}


def _entry(
    model: Model | FeatureTable,
    benchmark: Benchmark,
    dataset: Any,
    scorer: Any,
    columns: dict[str, Columns],
    beside: dict[str, dict[str, Columns] | str],
    setting: Setting,
) -> Entry:
    own = columns[benchmark.id]
    baselines = {}
    for name, theirs in beside.items():
        if isinstance(theirs, str):
            baselines[name] = Baseline(reason=theirs)
            continue
        other = theirs[benchmark.id]
        low, high = interval(own.replicates - other.replicates)
        baselines[name] = Baseline(
            raw=other.raw,
            normalized=other.normalized,
            layer=other.layer,
            difference=own.raw - other.raw,
            difference_low=low,
            difference_high=high,
        )
    undefined = not np.isfinite(own.raw)
    return Entry(
        **_head(model, benchmark, dataset, setting),
        status="failed" if undefined else "ok",
        reason=f"no column has a score: {own.excluded}" if undefined else "",
        scale=scorer.spec.scale,
        baselines=baselines,
        **summary(own),
    )


def _failed(
    model: Model | FeatureTable, benchmark: Benchmark, dataset: Any, status: Any, reason: str, setting: Setting
) -> Entry:
    scale = scorers.SCORERS[benchmark.scorer].spec.scale
    return Entry(**_head(model, benchmark, dataset, setting), status=status, reason=reason, scale=scale)


def _head(model: Model | FeatureTable, benchmark: Benchmark, dataset: Any, setting: Setting) -> dict[str, Any]:
    """What stands in an entry of any status: what was scored on what, where and when."""
    return {
        "benchmark": benchmark.id,
        "benchmark_fingerprint": benchmark.fingerprint,
        "benchmark_identity": benchmark.identity,
        "synthetic": dataset.spec.synthetic,
        "model": model.spec.id,
        "model_fingerprint": fingerprint(model.spec),
        "model_identity": plain(model.spec),
        "scorer": f"{benchmark.scorer} {scorers.SCORERS[benchmark.scorer].spec.version}",
        "provenance": environment(setting.device) | {"created": datetime.now(UTC).isoformat(timespec="seconds")},
    }


@cache
def environment(device: str) -> dict[str, Any]:
    """What a number may depend on beyond its inputs, for provenance: versions, machine, device."""
    packages = ("torch", "timm", "numpy", "scipy")
    return {
        "brainbench": version("brainbench"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
    }


def make_setting(
    *,
    roots: dict[str, Path] | None = None,
    device: str = "auto",
    cache_folder: Path | None = None,
    progress: Callable[[], Progress] = Silent,
) -> Setting:
    """The setting of a run from what a user gives; everything has a default."""
    return Setting(
        roots=roots or {},
        store=Store(cache_folder or default_cache()),
        device=pick_device(device),
        progress=progress(),
    )
