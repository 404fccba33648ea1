"""The host's own run of a submission, compared field by field with what was claimed.

A rebuildable model is built from its name and weights on this machine, features are read from the file beside the
card; nothing else of a submission is used. A control scores the same features on recordings whose stimuli are
exchanged: what is found there was found without any brain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brainbench import baselines, models, runner, settings
from brainbench.benchmarks import known
from brainbench.core.protocols import Model
from brainbench.core.specs import fingerprint, plain
from brainbench.entry import Baseline, Entry, Scored
from brainbench.errors import InputError, UnknownNameError, UsageError, VerificationError
from brainbench.leaderboard.cards import FEATURES, REBUILT_FROM, Card
from brainbench.leaderboard.rules import stale
from brainbench.models import features_file
from brainbench.models.features_file import FeatureTable

# What scores may differ by, on their own scale. Features leave arithmetic in another order; a network on other hardware
# has other features in their fourth digit, which penalties at the edge between two of the grid make visible.
TOLERANCE = {"features": 1e-4, "rebuildable": 5e-3}
DRAWS = 3  # of a control that fails each time
_STRETCHED = ("low", "high", "difference_low", "difference_high", "normalized_low", "normalized_high")
_LOOSE = ("p", "threshold", "onset_share")
_LATENCIES = ("onset_s", "onset_low_s", "onset_high_s", "peak_s", "peak_low_s", "peak_high_s")
_TOLD = {"reason": ("reason",), "time_course": (*_LATENCIES, "reason"), "baselines": ("layer", "reason")}
# what is held against the card, the benchmark and this machine elsewhere
_IDENTITY = ("schema_version", "model", "model_fingerprint", "model_identity", "provenance", "synthetic")
_ELSEWHERE: dict[str, Any] = dict.fromkeys(
    (*_IDENTITY, "benchmark", "benchmark_fingerprint", "benchmark_identity"), True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of an entry that is not what this machine computes. `fails`: by more than the tolerance."""

    field: str
    claimed: Any
    computed: Any
    fails: bool


def rebuilt(folder: Path, card: Card, entry: Entry, roots: dict[str, Path]) -> Model | FeatureTable:
    """The model of a submission, on this machine, at the layers that the entry was scored with.

    Raises UsageError for scores alone and for a model that its name cannot rebuild; VerificationError, naming the
    field, where the model is here and is another one; AccessError where its weights are not here.
    """
    if card.submission == "scores":
        raise UsageError(f"{card.model} was submitted as scores alone: nobody can recompute those, so they stay open")
    if card.submission == "features":
        try:
            table = features_file.load(str(folder / FEATURES), layers=_layers(entry, poolings=False))
        except UnknownNameError as error:
            raise VerificationError(f"model_identity.layers: {FEATURES} is another model's: {error}") from None
        model: Model | FeatureTable = table
    else:
        if card.model.partition(":")[0] not in REBUILT_FROM:
            raise UsageError(f"{card.model} cannot be rebuilt by its name")
        networks = card.model.partition(":")[0] in baselines.TWINNED  # the other sources pool in one way alone
        try:
            model = models.load(card.model, layers=_layers(entry, poolings=networks), roots=roots)
        except UnknownNameError as error:
            models.load(card.model, roots=roots)  # unless it is the model that this machine does not know
            raise VerificationError(f"model_identity.layers: {card.model} lacks one: {error}") from None
    here: dict[str, Any] = plain(model.spec)
    claimed = entry.model_identity
    if card.submission == "features":  # the file may have been named otherwise
        here |= {"id": claimed["id"]}
    for field in claimed.keys() | here.keys():
        if claimed.get(field) != here.get(field):
            raise VerificationError(
                f"model_identity.{field}: the entry of {card.model} has {str(claimed.get(field))[:80]!r}, "
                f"the model on this machine {str(here.get(field))[:80]!r}"
            )
    if fingerprint(here) != entry.model_fingerprint:
        raise VerificationError(f"model_fingerprint: that of {card.model} on this machine is {fingerprint(here)}")
    return model


def _layers(entry: Entry, *, poolings: bool) -> list[str]:
    layers = entry.model_identity["layers"]
    return [f"{layer['name']}:{layer['pooling']}" if poolings else layer["name"] for layer in layers]


def sampled(entries: Sequence[Entry], n: int, seed: int) -> tuple[list[Entry], list[str]]:
    """The entries that hold `n` cells (benchmark x subject) drawn by `seed`, and the cells, named."""
    cells = [(entry, subject) for entry in entries for subject in list(entry.per_subject) or [""]]
    drawn = random.Random(seed).sample(cells, min(n, len(cells)))
    chosen = {entry.benchmark for entry, _ in drawn}
    return [e for e in entries if e.benchmark in chosen], sorted(f"{e.benchmark} {s}".strip() for e, s in drawn)


def current(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of benchmarks as they are now, with a score. Raises InputError where there is none."""
    found = [entry for entry in entries if not stale(entry)]
    if not found:
        raise InputError("no entry here is of a benchmark as it is now, so none can be recomputed")
    return found


@contextmanager
def fresh(setting: settings.Setting) -> Iterator[settings.Setting]:
    """The setting with an empty store: what this machine has computed before is no evidence."""
    with setting.store.passing() as store:
        yield replace(setting, store=store)


def again(
    model: Model | FeatureTable, entries: Sequence[Entry], setting: settings.Setting, *, baselines: bool
) -> dict[str, Entry]:
    """The same run on this machine, by benchmark. Baselines change no score, and cost as much as the model."""
    wanted = [known()[entry.benchmark] for entry in entries]
    bare = wanted if baselines else [b.model_copy(update={"baselines": ()}) for b in wanted]
    return {entry.benchmark: entry for entry in runner.run(model, bare, setting)}


def control(
    model: Model | FeatureTable, entries: Sequence[Entry], setting: settings.Setting, *, seed: int
) -> dict[str, Scored]:
    """What the model scores by benchmark where stimuli are exchanged.

    A leak is in every exchange, luck in one of 25 of a weak claim's: where a control fails it is drawn again, `DRAWS`
    times in all, and the last draw is what counts.
    """
    found: dict[str, Scored] = {}
    asked = list(entries)
    for draw in range(DRAWS):
        found |= runner.control(model, [known()[entry.benchmark] for entry in asked], setting, seed=seed + draw)
        asked = [entry for entry in asked if control_fails(entry, found[entry.benchmark])]
    return found


def control_fails(entry: Entry, permuted: Scored) -> bool:
    """Whether a control found as much as the entry claims, where that is more than nothing.

    Biased scorers (CCA, shape distances) find something in noise, so the control is held against the claim, not
    against nothing: it must lie below the claim's interval, unless that or the control's own reaches nothing, which is
    0, or the chance that an accuracy has.
    """
    if entry.low is None or permuted.raw is None or permuted.low is None:
        return False
    chance = permuted.extras.get("chance")
    nothing = chance if isinstance(chance, float) else 0.0
    return min(entry.low, permuted.low) > nothing and permuted.raw >= entry.low


def differences(claimed: Entry, computed: Entry, tolerance: float) -> list[Difference]:
    """Every field of the two that differs, in the order of the entry, `fails` where it is beyond the tolerance.

    Scores may differ by `tolerance`, replicates and intervals by three times that, but the mean of all replicates by no
    more than a score: ranks are made of them. Extras, the geometry of layers and p-values may by thirty times, of the
    value where that is above 1; counts and names not at all. Another layer may have been chosen where the two are
    within twice the tolerance; the score must be the same all the same. What is told and does not fail: reasons, the
    layers of baselines, latencies (argmaxes, which the tolerance may move by bins), extras and geometry that the entry
    lacks. Baselines that it lacks, or says it has none of, are not compared.
    """
    lacking = {name for name in computed.baselines if _unscored(claimed.baselines.get(name))}
    left = _ELSEWHERE | {"baselines": lacking}
    mine, theirs = (dict(_leaves(entry.model_dump(exclude=left))) for entry in (claimed, computed))
    found = []
    for path in mine | theirs:
        one, other = mine.get(path), theirs.get(path)
        if one != other:
            fails = not _within(path, one, other, computed, tolerance)
            found.append(Difference(field=".".join(path), claimed=one, computed=other, fails=fails))
    pairs = [(a, b) for a, b in zip(claimed.replicates, computed.replicates) if a is not None and b is not None]
    if pairs:
        one, other = (sum(values) / len(pairs) for values in zip(*pairs))
        if not _near(one, other, tolerance):
            found.append(Difference(field="replicates, their mean", claimed=one, computed=other, fails=True))
    return found


def _unscored(baseline: Baseline | None) -> bool:
    return baseline is None or (baseline.raw is None and bool(baseline.reason))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
    else:
        for name, item in items:
            yield from _leaves(item, (*path, str(name)))


def _within(path: tuple[str, ...], one: Any, other: Any, computed: Entry, tolerance: float) -> bool:
    top, last = path[0], path[-1]
    beside = top == "extras" or (top == "layers" and "geometry" in path)
    told = _TOLD.get(top, ())
    if last in told or (one is None and beside):
        return True
    if top in ("layer", "layer_by_fold", "optimistic") and isinstance(one, str):
        on = {layer.layer: layer.raw if top == "optimistic" else layer.train for layer in computed.layers}
        return _near(on.get(one), on.get(other), 2 * tolerance)
    if beside or (top == "time_course" and path[1] in _LOOSE):
        return _near(one, other, 30 * tolerance * max(1, abs(other or 0)))
    stretched = top == "replicates" or not set(path).isdisjoint(_STRETCHED)
    return _near(one, other, tolerance * (3 if stretched else 1))


def _near(one: Any, other: Any, within: float) -> bool:
    return isinstance(one, float) and isinstance(other, float) and abs(one - other) <= within


def environments(claimed: Entry, computed: Entry) -> dict[str, tuple[Any, Any]]:
    """What of the two runs' environments differs: (claimed, here)."""
    one, other = (_flat(e.provenance) for e in (claimed, computed))
    names = sorted((one.keys() | other.keys()) - {"created"})
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    return flat | {
        f"{a}.{b}": value for a, inner in facts.items() if isinstance(inner, dict) for b, value in inner.items()
    }
