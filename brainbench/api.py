"""`brainbench.score`: what the command line does, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainbench.benchmarks import Benchmark, of_region, select
from brainbench.core.protocols import Model
from brainbench.datasets import DATASETS, NOT_AN_ID, holds_dataset, look_in, present
from brainbench.entry import Entry, save
from brainbench.errors import AccessError, ResourceError, UnknownNameError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

    from brainbench.analysis.comparison import Comparison, Curve
    from brainbench.core.specs import Preprocessing
    from brainbench.models.features_file import FeatureTable
    from brainbench.results import Result
    from brainbench.settings import Progress


@dataclass(frozen=True, slots=True)
class Results:
    """The entries of one run; `skipped` maps benchmarks whose recordings are not here to how to get them."""

    entries: list[Entry]
    skipped: dict[str, str]

    def table(self) -> pd.DataFrame:
        """One row a benchmark: what the command line prints, with status and reason."""
        import pandas as pd

        return pd.DataFrame([row(entry) for entry in self.entries]).set_index("benchmark")

    def diagnostics(self) -> pd.DataFrame:
        """One row a benchmark and layer: what layers are like (`numerics.diagnostics`), beside their scores.

        `chosen` marks the layer that most folds chose. The numbers depend on the model and the stimuli alone.
        """
        import pandas as pd

        from brainbench.analysis.confounds import chosen

        rows = [
            {
                "benchmark": entry.benchmark,
                "layer": layer.layer,
                "pooling": layer.pooling,
                "depth": layer.depth,
                "raw": layer.raw,
                "chosen": layer is chosen(entry),
                **layer.geometry,
            }
            for entry in self.entries
            for layer in entry.layers
        ]
        columns = ["benchmark", "layer", "pooling", "depth", "raw", "chosen"]
        table = pd.DataFrame(rows, columns=list(dict.fromkeys([*columns, *(name for row in rows for name in row)])))
        return table.set_index(["benchmark", "layer"])

    def save(self, folder: str | Path) -> list[Path]:
        """Write each entry as `<folder>/<model>-<8 hex>/<benchmark>.json` (see `save`); gives the paths."""
        return [save(entry, Path(folder).expanduser()) for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions against each other for one model; what `comparison` holds is told in `brainbench.analysis.comparison`."""

    comparison: Comparison

    def table(self) -> pd.DataFrame:
        """One row a region: best layer, depth and score, with their intervals."""
        return self.comparison.table()

    def figures(self, folder: str | Path) -> list[Path]:
        """Write the layer curves and the heat map of layers and regions, as PNG and SVG; gives the paths."""
        from brainbench import plotting

        return plotting.save_all(self.comparison, Path(folder))


def score(
    model: str | Mapping[str, Any] | Any,
    benchmarks: str | Sequence[str] | None = None,
    *,
    preprocess: Callable[[Image.Image], Any] | Preprocessing | None = None,
    stimulus_ids: Sequence[str] | None = None,
    layers: str | Sequence[str] | Mapping[str, str] | None = None,
    weights: str | Path | None = None,
    name: str = "module",
    data_root: str | Path | Mapping[str, str | Path] | None = None,
    device: str = "auto",
    max_memory: float | None = None,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Callable[[], Progress] | None = None,
) -> Results:
    """Score a model on benchmarks and say how sure the scores are.

    `model` is a name (`bundled:efficientnet_lite0`, `timm:...`, see `brainbench list models`), an `nn.Module` (then
    `preprocess` and, if the default ladder does not suit, `layers`, each "name" or "name:pooling", or a dict from name
    to pooling), an object with the `Model` protocol, a `FeatureTable`, or a dict of feature arrays (n, p) by layer
    (then `stimulus_ids`, one a row). `benchmarks` is one or more ids or globs; without it every benchmark whose
    recording is here is run. `weights` is a file of a timm or open_clip network, `name` what a module or arrays are
    called in results. `data_root` is a folder with one folder a dataset, or a dict from dataset id to its folder.
    `device` is auto (cuda where there is one), cpu, cuda, cuda:1, ... `max_memory` is how many gigabytes the run may
    hold beside the recording and the network (half of what is free). `out` also writes each entry as a JSON file, as
    soon as it is whole. `cache` is the folder where features and results are kept (`BRAINBENCH_CACHE`, else the user's
    cache folder). `progress` makes an object with `stage(name, total)` and `step(n)`, which is told how far the run is.

    Raises UnknownNameError for names that do not exist, AccessError if a benchmark named without a wildcard has no
    recording here, InputError for features or networks that cannot be read as such, ResourceError where disk or
    memory runs out.
    """
    from brainbench import runner, settings

    roots, patterns, folder = checked_roots(data_root), _patterns(benchmarks), _folder(out, "out")
    if patterns == ():
        raise UsageError("no benchmark was named; leave `benchmarks` out to run every one whose recording is here")
    chosen, skipped = available(select(patterns), roots, required=patterns or ())
    setting = settings.make_setting(
        roots=roots,
        device=device,
        cache_folder=_folder(cache, "cache"),
        progress=progress or settings.Silent,
        max_memory=max_memory,
    )
    names = (layers,) if isinstance(layers, str) else layers
    loaded = _model(model, preprocess, stimulus_ids, names, weights, name, roots)
    if folder is not None:
        check_writable(folder, "--out")  # before hours of work, not after

    def keep(entries: list[Entry]) -> None:
        """To disk at once: what comes after may fail, or be interrupted."""
        if folder is not None:
            Results(entries, {}).save(folder)

    return Results(runner.run(loaded, chosen, setting, keep), skipped)


def compare_regions(
    model: str | Mapping[str, Any] | Any,
    regions: Sequence[str],
    benchmarks: str | Sequence[str] | None = None,
    *,
    scorer: str = "ridge",
    preprocess: Callable[[Image.Image], Any] | Preprocessing | None = None,
    stimulus_ids: Sequence[str] | None = None,
    layers: str | Sequence[str] | Mapping[str, str] | None = None,
    weights: str | Path | None = None,
    name: str = "module",
    data_root: str | Path | Mapping[str, str | Path] | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
    max_memory: float | None = None,
    progress: Callable[[], Progress] | None = None,
) -> Regions:
    """Compare regions of cortex for one model: curves over layers, best layers, differences, and the order of depth.

    `regions` are names of regions, or ids of benchmarks, in the order that depth is asked to follow (`V1 V4 IT`). A
    region stands for the one benchmark of that region and `scorer` whose recording is here; `benchmarks`, ids or globs,
    says which ones to look among. `model` and all else are as in `score`.

    Raises UsageError where a region has several benchmarks or all have fewer than two, UnknownNameError for names that
    do not exist, AccessError for a region without a recording here, and what `score` raises for a model.
    """
    from brainbench import runner, settings
    from brainbench.analysis.regions import compare_regions as compared

    roots = checked_roots(data_root)
    patterns = _patterns(benchmarks)
    chosen = [_one(region, of_region(region, scorer, patterns), roots) for region in regions]
    if len({b.id for b in chosen}) < max(2, len(chosen)):
        raise UsageError(f"a comparison needs 2 regions or more, each once; got {', '.join(b.id for b in chosen)}")
    setting = settings.make_setting(
        roots=roots,
        device=device,
        cache_folder=_folder(cache, "cache"),
        progress=progress or settings.Silent,
        max_memory=max_memory,
    )
    names = (layers,) if isinstance(layers, str) else layers
    loaded = _model(model, preprocess, stimulus_ids, names, weights, name, roots)
    results = runner.results(loaded, chosen, setting)
    return Regions(compared(loaded.spec.id, [_curve(b, results[b.id]) for b in chosen]))


def _one(region: str, candidates: Sequence[Benchmark], roots: dict[str, Path]) -> Benchmark:
    reasons = {b.id: present(b.dataset, roots) for b in candidates}
    here = [b for b in candidates if not reasons[b.id]]
    if not here:
        raise AccessError(reasons[candidates[0].id])
    if len(here) > 1:
        raise UsageError(
            f"{region!r} has {len(here)} benchmarks here: {', '.join(b.id for b in here)}. Name one of these instead "
            f"of the region, or say with --benchmarks which recordings are meant, such as {here[0].dataset + '.*'!r}."
        )
    return here[0]


def _curve(benchmark: Benchmark, result: Result) -> Curve:
    import numpy as np

    from brainbench import scorers
    from brainbench.analysis.comparison import Curve

    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    scored, spec = result.scored, scorers.SCORERS[benchmark.scorer].spec
    ceiling = number(scored.ceiling)
    return Curve(
        benchmark=benchmark.id,
        region=benchmark.region,
        recording=result.draws,
        synthetic=DATASETS[benchmark.dataset].spec.synthetic,
        scorer=benchmark.scorer,
        scale=spec.scale,
        layers=tuple(layer.layer for layer in scored.layers),
        depths=np.asarray([layer.depth for layer in scored.layers]),
        raw=np.asarray([number(layer.raw) for layer in scored.layers]),
        layer_replicates=np.asarray(result.layer_replicates, dtype=float),
        score=number(scored.raw),
        replicates=np.asarray(result.replicates, dtype=float),
        normalized=number(scored.normalized),
        normalized_replicates=np.asarray(result.normalized_replicates, dtype=float),
        reach=ceiling**0.5 if (spec.scale, scored.ceiling_scale) == ("r", "r2") and ceiling > 0 else ceiling,
        n_stimuli=scored.n_stimuli,
        n_neuroids=scored.n_neuroids,
        n_excluded=scored.n_excluded,
        resampled=scored.resampled,
        counted="RDMs" if spec.requires == "rdms" else "neuroids",
        reason=f"no column has a score: {scored.excluded}" if scored.raw is None else "",
    )


def available(
    chosen: Sequence[Benchmark], roots: dict[str, Path], *, required: Sequence[str]
) -> tuple[list[Benchmark], dict[str, str]]:
    """The benchmarks whose recordings are here, and for the others how to get them.

    Raises AccessError for one that is named in `required` literally, or if none is left.
    """
    reasons = {name: present(name, roots) for name in sorted({b.dataset for b in chosen})}
    skipped = {b.id: reasons[b.dataset] for b in chosen if reasons[b.dataset]}
    wanted = [name for name in required if name in skipped]
    if wanted or len(skipped) == len(chosen):
        raise AccessError(skipped[wanted[0]] if wanted else next(iter(skipped.values())))
    return [b for b in chosen if b.id not in skipped], skipped


def checked_roots(data_root: str | Path | Mapping[str, str | Path] | None) -> dict[str, Path]:
    """Folders by dataset id ('' is the parent of all). Raises UnknownNameError for an id, UsageError for a folder."""
    given = data_root if isinstance(data_root, Mapping) else {} if data_root is None else {"": data_root}
    roots = {name: found for name, folder in given.items() if (found := _folder(folder, "data_root")) is not None}
    look_in(roots)  # a folder may be a dataset of its own
    for name, folder in roots.items():
        if not folder.is_dir():
            raise UsageError(f"the data root of {name or 'all datasets'} is {str(folder)!r}, which is not a folder")
        own = holds_dataset(folder)
        if name and name not in DATASETS:
            if own:
                raise UsageError(f"{name!r} cannot be the id of {folder}: {NOT_AN_ID}")
            raise UnknownNameError("dataset", name, DATASETS)
        if own and not name:
            raise UsageError(
                f"the data root {folder} is the folder of a dataset itself. Name the folder above it, or say which "
                f"dataset it is: --data-root {folder.resolve().name}={folder}, from Python data_root={{id: folder}}"
            )
    return roots


def _folder(given: Any, option: str) -> Path | None:
    """The folder that is given, ~ being the user's own. Raises UsageError for what is no path."""
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{option} takes the path of a folder, got {_kind(given)}: {given!r}")
    return Path(given).expanduser()


def _patterns(benchmarks: Any) -> tuple[str, ...] | None:
    """Ids or globs of benchmarks, None for all. Raises UsageError for what is no name."""
    if benchmarks is None or isinstance(benchmarks, str):
        return None if benchmarks is None else (benchmarks,)
    found = tuple(benchmarks) if isinstance(benchmarks, Iterable) else (benchmarks,)
    if any(not isinstance(name, str) for name in found):
        raise UsageError(f"benchmarks are ids or globs, such as 'cowley2023.*', or several; got {benchmarks!r}")
    return found


def load_model(
    model: Any, *, layers: str | Sequence[str] | Mapping[str, str] | None = None, roots: dict[str, Path] | None = None
) -> Model | FeatureTable:
    """The model that this name or object stands for. Raises as `score` does."""
    return _model(model, None, None, (layers,) if isinstance(layers, str) else layers, None, "module", roots or {})


def _model(
    model: Any,
    preprocess: Any,
    stimulus_ids: Sequence[str] | None,
    layers: Sequence[str] | Mapping[str, str] | None,
    weights: str | Path | None,
    name: str,
    roots: dict[str, Path],
) -> Model | FeatureTable:
    from torch import nn

    from brainbench import models
    from brainbench.models.features_file import FeatureTable

    if not isinstance(name, str) or not name:
        raise UsageError(f"name is a text, how the model is called in results; got {name!r}")
    if isinstance(model, str):
        _refuse("a model given by name", preprocess=preprocess, stimulus_ids=stimulus_ids)
        return models.load(model, layers=layers, weights=None if weights is None else Path(weights), roots=roots)
    if isinstance(model, Mapping):
        _refuse("a dict of features", preprocess=preprocess, weights=weights)
        if stimulus_ids is None:
            raise UsageError("features given as arrays need stimulus_ids: one string a row, in the rows' order")
        return FeatureTable.from_arrays(model, stimulus_ids, name=name, layers=layers)
    if isinstance(model, Model | FeatureTable):
        _refuse(
            f"a {type(model).__name__}",
            preprocess=preprocess,
            stimulus_ids=stimulus_ids,
            layers=layers,
            weights=weights,
        )
        return model
    if not isinstance(model, nn.Module):
        raise UsageError(
            "a model is a name such as 'bundled:efficientnet_lite0', an nn.Module, a dict of feature arrays by layer, "
            f"a FeatureTable, or an object with spec, build() and preprocess(); got {_kind(model)}"
        )
    _refuse(f"a {type(model).__name__}", stimulus_ids=stimulus_ids, weights=weights)
    if preprocess is None:
        raise UsageError("an nn.Module needs preprocess: a function from a PIL picture to a (c, h, w) tensor")
    return models.wrap(model, preprocess=preprocess, layers=layers, name=name)


def _kind(thing: Any) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}, not what it makes"
    return "None" if thing is None else f"a {type(thing).__name__}"


def _refuse(what: str, **given: Any) -> None:
    """Options that would have no effect are errors: whoever gave them believes that they have one."""
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{what} takes no {option!r}: leave it out")


def row(entry: Entry) -> dict[str, Any]:
    """What a table shows of an entry."""
    beside = {name: b.raw for name, b in entry.baselines.items() if b.raw is not None}
    best = max(beside, key=beside.__getitem__, default=None)
    return {
        "benchmark": entry.benchmark,
        "synthetic": entry.synthetic,
        "status": entry.status,
        "layer": entry.layer,
        "raw": entry.raw,
        "low": entry.low,
        "high": entry.high,
        "ceiling": entry.ceiling,
        "normalized": entry.normalized,
        "n_stimuli": entry.n_stimuli,
        "n_neuroids": entry.n_neuroids,
        "n_excluded": entry.n_excluded,
        "best_baseline": best,
        "baseline_raw": None if best is None else beside[best],
        "difference": None if best is None else entry.baselines[best].difference,
        "difference_low": None if best is None else entry.baselines[best].difference_low,
        "difference_high": None if best is None else entry.baselines[best].difference_high,
        "reason": entry.reason,
    }


def check_writable(folder: Path, option: str) -> None:
    """Raises ResourceError where no file can be made in `folder`, which is made if it is not there."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ResourceError(f"cannot write to {folder}: {error.strerror}. Give another {option} folder.") from None
