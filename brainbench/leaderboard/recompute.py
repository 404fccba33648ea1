"""The host's own run of a submission, compared field by field with what was claimed.

A rebuildable model is built from its name and weights on this machine, features are read from the file beside the
card; nothing else of a submission is used. A control scores the same features on recordings whose stimuli are
exchanged: what is found there was found without any brain.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainbench import models, runner, settings
from brainbench.benchmarks import known
from brainbench.core.protocols import Model
from brainbench.core.specs import fingerprint, plain
from brainbench.entry import Entry, Scored, TimeCourse
from brainbench.errors import InputError, UsageError, VerificationError
from brainbench.leaderboard.cards import FEATURES, REBUILT_FROM, Card
from brainbench.leaderboard.rules import stale
from brainbench.models import features_file
from brainbench.models.features_file import FeatureTable

# What scores may differ by, on their own scale. Features leave arithmetic in another order; a network on other hardware
# has other features in their fourth digit, which penalties at the edge between two of the grid make visible.
TOLERANCE = {"features": 1e-4, "rebuildable": 5e-3}
DRAWS = 3  # of a control that fails each time
_LABELS = ("status", "reason", "scorer", "scale", "ceiling_scale", "ceiling_method", "resampled")
_COUNTS = ("n_stimuli", "n_neuroids", "n_excluded", "excluded", "n_without_ceiling")
_SCORES = ("raw", "ceiling", "ceiling_upper", "normalized", "low", "high", "normalized_low", "normalized_high")


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
        model: Model | FeatureTable = features_file.load(str(folder / FEATURES), layers=_layers(entry, poolings=False))
    else:
        if card.model.partition(":")[0] not in REBUILT_FROM:
            raise UsageError(f"{card.model} cannot be rebuilt by its name")
        networks = card.model.partition(":")[0] in runner.TWINNED  # the other sources pool in one way alone
        model = models.load(card.model, layers=_layers(entry, poolings=networks), roots=roots)
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
    asked = [entry for entry in entries if entry.status == "ok"]
    for draw in range(DRAWS):
        found |= runner.control(model, [known()[entry.benchmark] for entry in asked], setting, seed=seed + draw)
        asked = [entry for entry in asked if control_fails(entry, found[entry.benchmark])]
    return found


def control_fails(entry: Entry, permuted: Scored) -> bool:
    """Whether a control found as much as the entry claims, where that is more than nothing.

    Biased scorers (CCA, shape distances) find something in noise, so the control is held against the claim, not
    against 0: it must lie below the claim's interval, unless that reaches 0 or the control's own reaches 0.
    """
    if entry.low is None or permuted.raw is None or permuted.low is None:
        return False
    return entry.low > 0 and permuted.low > 0 and permuted.raw >= entry.low


def differences(claimed: Entry, computed: Entry, tolerance: float) -> Iterator[Difference]:
    """Every field of the two that differs, in the order of the entry, `fails` where it is beyond the tolerance.

    Scores may differ by `tolerance`, replicates and their intervals by three times that, counts and names not at all;
    another layer may have been chosen where the two are within the tolerance on the training stimuli. Extras and the
    geometry of layers are told and do not fail; provenance is no part of it.
    """
    for field in (*_LABELS, *_COUNTS):
        one, other = getattr(claimed, field), getattr(computed, field)
        if one != other and not (field == "reason" and claimed.status == "ok"):
            yield Difference(field=field, claimed=one, computed=other, fails=field != "reason")
    for field in _SCORES:
        loose = 3 if "low" in field or "high" in field else 1
        yield from _number(field, getattr(claimed, field), getattr(computed, field), loose * tolerance)
    for name in sorted(claimed.per_subject.keys() | computed.per_subject.keys()):
        mine, theirs = claimed.per_subject.get(name), computed.per_subject.get(name)
        if mine is None or theirs is None or mine.n_neuroids != theirs.n_neuroids:
            yield Difference(field=f"per_subject.{name}", claimed=mine, computed=theirs, fails=True)
            continue
        for field in ("raw", "ceiling", "normalized"):
            yield from _number(f"per_subject.{name}.{field}", getattr(mine, field), getattr(theirs, field), tolerance)
    yield from _layers_differ(claimed, computed, tolerance)
    for number, (one, other) in enumerate(zip(claimed.replicates, computed.replicates)):
        yield from _number(f"replicates.{number}", one, other, 3 * tolerance)
    yield from _bins_differ(claimed.time_course, computed.time_course, tolerance)
    if len(claimed.replicates) != len(computed.replicates):
        one, other = len(claimed.replicates), len(computed.replicates)
        yield Difference(field="replicates", claimed=f"{one} of them", computed=f"{other} of them", fails=True)
    for name in sorted(claimed.extras.keys() | computed.extras.keys()):
        first, second = claimed.extras.get(name), computed.extras.get(name)
        if not _equal(first, second):
            yield Difference(field=f"extras.{name}", claimed=first, computed=second, fails=False)
    for name in sorted(claimed.baselines.keys() & computed.baselines.keys()):
        yield from _number(
            f"baselines.{name}.raw", claimed.baselines[name].raw, computed.baselines[name].raw, tolerance
        )


def _bins_differ(claimed: TimeCourse | None, computed: TimeCourse | None, tolerance: float) -> Iterator[Difference]:
    """Bins must agree; latencies are argmaxes, which the tolerance may move by bins, so they are only told."""
    if claimed is None or computed is None or claimed.time_s != computed.time_s:
        if claimed != computed:
            yield Difference(field="time_course", claimed=claimed, computed=computed, fails=True)
        return
    for field, loose in (("raw", 1), ("ceiling", 1), ("low", 3), ("high", 3)):
        for number, (one, other) in enumerate(zip(getattr(claimed, field), getattr(computed, field))):
            yield from _number(f"time_course.{field}.{number}", one, other, loose * tolerance)
    for field in ("onset_s", "peak_s"):
        one, other = getattr(claimed, field), getattr(computed, field)
        if one != other:
            yield Difference(field=f"time_course.{field}", claimed=one, computed=other, fails=False)


def _layers_differ(claimed: Entry, computed: Entry, tolerance: float) -> Iterator[Difference]:
    mine, theirs = ([layer.layer for layer in e.layers] for e in (claimed, computed))
    if mine != theirs:
        yield Difference(field="layers", claimed=mine, computed=theirs, fails=True)
        return
    for number, (one, other) in enumerate(zip(claimed.layers, computed.layers)):
        for field in ("train", "raw"):
            yield from _number(f"layers.{number}.{field}", getattr(one, field), getattr(other, field), tolerance)
    train = {layer.layer: layer.train for layer in computed.layers}
    pairs = [("layer", claimed.layer, computed.layer)]
    pairs += [
        (f"layer_by_fold.{n}", a, b) for n, (a, b) in enumerate(zip(claimed.layer_by_fold, computed.layer_by_fold))
    ]
    for field, name, right in pairs:
        if name != right:
            near = _equal(train.get(name or ""), train.get(right or ""), 2 * tolerance)
            yield Difference(field=field, claimed=name, computed=right, fails=not near)


def _number(field: str, claimed: Any, computed: Any, tolerance: float) -> Iterator[Difference]:
    if not _equal(claimed, computed):
        fails = not _equal(claimed, computed, tolerance)
        yield Difference(field=field, claimed=claimed, computed=computed, fails=fails)


def _equal(one: Any, other: Any, within: float = 0.0) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=0, abs_tol=max(within, 1e-12))
    return bool(one == other)


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
