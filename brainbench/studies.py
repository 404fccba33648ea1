"""What a score hangs on: `brainbench.subsample`, on how many stimuli and neuroids; `describe`, on what recording."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainbench.api import available, checked_roots, load_model
from brainbench.benchmarks import select
from brainbench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from brainbench.analysis.recording import Described
    from brainbench.analysis.robustness import Robustness
    from brainbench.settings import Progress

log = logging.getLogger("brainbench")


@dataclass(frozen=True, slots=True)
class Subsampled:
    """Benchmarks with fewer stimuli and neuroids; what each holds is told in `brainbench.analysis.robustness`."""

    benchmarks: list[Robustness]

    def table(self) -> pd.DataFrame:
        """One row a benchmark, model, axis and fraction."""
        import pandas as pd

        return pd.concat({found.benchmark: found.table() for found in self.benchmarks}, names=["benchmark"])

    def figure(self, path: str | Path) -> Path:
        """Write the figure, a PNG or an SVG by its name: a row of two panels a benchmark; gives the path."""
        from brainbench import plotting

        return plotting.save_as(plotting.robustness(self.benchmarks), Path(path))


def subsample(
    models: Any,
    benchmarks: str | Sequence[str],
    *,
    fractions: Sequence[float] | None = None,
    draws: int | None = None,
    layers: str | Sequence[str] | None = None,
    data_root: str | Path | Any = None,
    device: str = "auto",
    max_memory: float | None = None,
    cache: str | Path | None = None,
    progress: Callable[[], Progress] | None = None,
) -> Subsampled:
    """Score models with random subsets of a benchmark's stimuli, and of its neuroids: score, best layer and ranking.

    `models` is one or more names, or objects with the `Model` protocol or `FeatureTable`s; `benchmarks` one or more
    ids or globs. At each of `fractions` (3/4, 1/2, 1/4 and 1/8) there are `draws` (10) random subsets, the same for all
    models. All else is as in `score`, which says what is raised, too.
    """
    from brainbench import settings
    from brainbench.analysis import subsampling

    several = list(models) if isinstance(models, list | tuple) else [models]
    if not several:
        raise UsageError("no model was named")
    roots = checked_roots(data_root)
    patterns = (benchmarks,) if isinstance(benchmarks, str) else tuple(benchmarks)
    chosen, _ = available(select(patterns), roots, required=patterns)
    setting = settings.make_setting(
        roots=roots,
        device=device,
        cache_folder=None if cache is None else Path(cache),
        progress=progress or settings.Silent,
        max_memory=max_memory,
    )
    loaded = [load_model(model, layers=layers, roots=roots) for model in several]
    if len({model.spec for model in loaded}) < len(loaded):
        raise UsageError("a model is named twice")
    return Subsampled(
        [
            subsampling.subsample(
                loaded,
                benchmark,
                setting,
                fractions=subsampling.FRACTIONS if fractions is None else fractions,
                n_draws=subsampling.DRAWS if draws is None else draws,
            )
            for benchmark in chosen
        ]
    )


def describe(benchmarks: str | Sequence[str], *, data_root: str | Path | Any = None) -> pd.DataFrame:
    """The recordings behind benchmarks, a row for each subject and set of stimuli: `analysis.recording.Described`.

    Of the benchmarks that a glob stands for, those that read the same neuroids with another scorer are left out. Raises
    UsageError for a benchmark that rests on no responses (of a glob's it is told and left out), and what `score` raises
    for names and recordings.
    """
    return table(recordings((benchmarks,) if isinstance(benchmarks, str) else benchmarks, checked_roots(data_root)))


def recordings(benchmarks: Sequence[str], roots: dict[str, Path]) -> list[Described]:
    """The same as a list."""
    from brainbench.analysis.recording import describe as described

    chosen, _ = available(select(tuple(benchmarks)), roots, required=tuple(benchmarks))
    found: list[Described] = []
    told = set()
    left_out: list[UsageError] = []
    for benchmark in chosen:
        read = repr((benchmark.dataset, benchmark.region, benchmark.subjects, benchmark.sessions, benchmark.stimuli))
        if read in told and benchmark.id not in benchmarks:
            continue
        try:
            found += described(benchmark, roots)
            told.add(read)
        except UsageError as error:
            if benchmark.id in benchmarks:
                raise
            left_out.append(error)
    if left_out and not found:
        raise left_out[0]
    for why in left_out:
        log.warning("%s", why)
    return found


def table(found: Sequence[Described]) -> pd.DataFrame:
    """One row each."""
    import pandas as pd

    return pd.DataFrame([asdict(one) for one in found])
