"""`brainbench match`: layers of two models, or of a model and a recording, matched unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainbench.api import load_model
from brainbench.core.jsonable import jsonable
from brainbench.errors import UnknownNameError, UsageError, listed

if TYPE_CHECKING:
    from brainbench.analysis.unit_matching import Matched
    from brainbench.core.protocols import Model
    from brainbench.core.stimuli import StimulusSet
    from brainbench.models.features_file import FeatureTable
    from brainbench.settings import Progress

N_FOLDS = 5
FEWEST = 30  # stimuli: a fold's tests have 6, and halves of its training stimuli 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Pairs of layers of two models over the same stimuli, and whether those are synthetic."""

    first: str
    second: str
    stimuli: str
    synthetic: bool
    pairs: list[Matched]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers as null; without the correlations, which are for the figure."""
        content = asdict(self)
        for pair in content["pairs"]:
            del pair["correlations"], pair["borders"]
        plain: dict[str, Any] = jsonable(content)
        return plain


def matches(
    first: str,
    second: str,
    stimuli: str,
    *,
    layers: Sequence[str] | None = None,
    n_units: int = 256,
    n_groups: int = 8,
    roots: dict[str, Path],
    device: str = "auto",
    progress: Callable[[], Progress],
) -> Matches:
    """Units of `second` looked for among those of `first`, over the pictures of a dataset or of a benchmark.

    `layers` are "A=B", a layer of each, or "A", which stands for that of the same name, or for the only one there is;
    all of `first` if None. Either may be a recording: only stimuli that both have are used. Folds keep copies and
    groups of stimuli together. Raises UsageError for layers that have no partner and for too few stimuli.
    """
    from brainbench import reading, settings
    from brainbench.analysis.unit_matching import matched
    from brainbench.core.splits import grouped_folds
    from brainbench.scorers.matching import Matching

    pairs = layer_pairs(load_model(first, roots=roots), load_model(second, roots=roots), layers)
    wanted = [list(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1)]
    sides = [load_model(name, layers=names, roots=roots) for name, names in zip((first, second), wanted)]
    shown, synthetic = _stimuli(stimuli, roots)
    held = [set(getattr(model, "stimulus_ids", shown.ids)) for model in sides]
    both = tuple(name for name in shown.ids if all(name in ids for ids in held))
    if len(both) < FEWEST:
        raise UsageError(f"{first} and {second} have {len(both)} of the stimuli of {stimuli}; matching needs {FEWEST}")
    shown = shown.select(both)
    setting = settings.make_setting(roots=roots, device=device, progress=progress)
    read = [
        dict(zip(names, reading.read(reading.as_read(model, Matching()), shown, setting)))
        for model, names in zip(sides, wanted)
    ]
    split = grouped_folds(shown.table, n_folds=N_FOLDS, seed=0)
    setting.progress.stage(f"{first} and {second}", len(pairs))
    done = []
    for a, b in pairs:
        done.append(
            matched(
                read[0][a],
                read[1][b],
                split,
                names=(a, b),
                n_units=n_units,
                n_groups=n_groups,
                device=setting.device,
            )
        )
        setting.progress.step()
    return Matches(first=first, second=second, stimuli=stimuli, synthetic=synthetic, pairs=done)


def layer_pairs(
    first: Model | FeatureTable, second: Model | FeatureTable, wanted: Sequence[str] | None
) -> list[tuple[str, str]]:
    """Which layer of the first goes with which of the second; raises UsageError where that cannot be told."""
    there = [layer.name for layer in second.spec.layers]
    found = []
    for text in wanted or [layer.name for layer in first.spec.layers]:
        a, equals, b = (part.strip() for part in text.partition("="))
        if not equals:
            b = there[0] if len(there) == 1 else a
            if b.partition(":")[0] not in there and wanted is None:
                raise UsageError(
                    f"{second.spec.id} has no layer {b!r}, but {listed(there)}: name pairs, --layers {a}={there[0]},..."
                )
        found.append((a, b))
    return found


def _stimuli(name: str, roots: dict[str, Path]) -> tuple[StimulusSet, bool]:
    """The pictures of a dataset, or those that a benchmark scores; and whether they are synthetic."""
    from brainbench import datasets, scorers
    from brainbench.benchmarks import known
    from brainbench.targets import targets

    if name not in known():
        if name not in datasets.DATASETS:
            raise UnknownNameError("dataset or benchmark", name, {*datasets.DATASETS, *known()})
        dataset: Any = datasets.load(name, roots)
        return dataset.stimuli(), dataset.spec.synthetic
    benchmark = known()[name]
    dataset = datasets.load(benchmark.dataset, roots)
    asked = targets(dataset, [benchmark], scorers.load(benchmark.scorer, benchmark.params))
    ids = sorted({stimulus for target in asked for stimulus in target.stimuli.ids})
    return dataset.stimuli().select(tuple(ids)), dataset.spec.synthetic
