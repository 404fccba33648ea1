"""`brainbench.query`: which prompts the neuroids of regions are selective for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainbench.api import available, checked_roots
from brainbench.benchmarks import Benchmark, select
from brainbench.errors import UnknownNameError, UsageError, listed

if TYPE_CHECKING:
    from brainbench.analysis.queries import Region
    from brainbench.models.joint import Joint
    from brainbench.settings import Progress


def query(
    model: str | Joint,
    prompts: Sequence[str],
    benchmarks: str | Sequence[str] | None = None,
    *,
    regions: Sequence[str] = (),
    weights: str | Path | None = None,
    data_root: str | Path | Any = None,
    device: str = "auto",
    max_memory: float | None = None,
    cache: str | Path | None = None,
    progress: Callable[[], Progress] | None = None,
) -> list[Region]:
    """How selective regions are for prompts, in the joint space of pictures and text of a network with two towers.

    `benchmarks` are ids or globs that say which neuroids and stimuli; of several on the same ones the first is taken,
    and its scorer has no part in it. `regions` keeps those of these names. Raises UsageError for a model without a text
    tower, prompts that are empty or told twice, and benchmarks that rest on no responses; UnknownNameError for a
    region that is not there; and what `score` raises.
    """
    wanted = _checked(prompts)
    patterns = (benchmarks,) if isinstance(benchmarks, str) else None if benchmarks is None else tuple(benchmarks)
    if patterns is None and not regions:
        raise UsageError("name benchmarks (--benchmarks) or regions (--region): all of them would take hours")
    roots = checked_roots(data_root)
    chosen = _distinct(select(patterns), regions)
    chosen, _ = available(chosen, roots, required=patterns or ())
    from brainbench import datasets, settings
    from brainbench.analysis import queries
    from brainbench.models import joint
    from brainbench.scorers import load as load_scorer
    from brainbench.targets import targets

    setting = settings.make_setting(
        roots=roots,
        device=device,
        cache_folder=None if cache is None else Path(cache),
        progress=progress or settings.Silent,
        max_memory=max_memory,
    )
    space = joint.load(model, weights=None if weights is None else Path(weights)) if isinstance(model, str) else model
    found = []
    for benchmark in chosen:
        dataset: Any = datasets.load(benchmark.dataset, roots)
        asked = targets(dataset, [benchmark], load_scorer(benchmark.scorer, benchmark.params))
        setting.progress.stage(f"{benchmark.id}: {space.model.spec.id}", sum(len(t.stimuli.ids) for t in asked))
        region = queries.query(space, wanted, benchmark, asked, setting)
        found.append(replace(region, synthetic=dataset.spec.synthetic))
    return found


def _checked(prompts: Sequence[str]) -> list[str]:
    wanted = [prompts] if isinstance(prompts, str) else list(prompts)
    if len(wanted) < 2 or not all(prompt.strip() for prompt in wanted) or len(set(wanted)) < len(wanted):
        raise UsageError(
            "prompts are ranked against each other: give two or more, none of them empty and none twice; "
            f"got {listed(map(repr, wanted)) or 'none'}"
        )
    return wanted


def _distinct(chosen: Sequence[Benchmark], regions: Sequence[str]) -> list[Benchmark]:
    """The first benchmark of each set of neuroids and stimuli, of these regions, that rests on responses."""
    from brainbench.scorers import SCORERS

    there = {b.region for b in chosen if b.region}
    for name in regions:
        if name not in there:
            raise UnknownNameError("region", name, there)
    found: dict[Any, Benchmark] = {}
    for b in chosen:
        if SCORERS[b.scorer].spec.requires == "responses" and (not regions or b.region in regions):
            found.setdefault((b.dataset, b.region, b.subjects, b.sessions, str(b.stimuli)), b)
    if not found:
        raise UsageError(
            f"{listed(b.id for b in chosen)}: none rests on responses of single neuroids, which a readout needs. "
            "Name benchmarks by ridge."
        )
    return list(found.values())
