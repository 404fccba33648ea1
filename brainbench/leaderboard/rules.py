"""What must hold of one entry, by itself and beside the benchmark that it names: no model, no recording, no run.

An entry's numbers hang together: means are means of what they average, intervals are those of the replicates, counts
add up. Nothing is normalised or clipped into shape.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from brainbench import baselines, scorers
from brainbench.analysis.models import REACH
from brainbench.benchmarks import Benchmark, known, named
from brainbench.core.score import Ceiling, normalized_over_bins
from brainbench.core.specs import ModelSpec, fingerprint
from brainbench.datasets import DATASETS
from brainbench.entry import Entry
from brainbench.errors import did_you_mean
from brainbench.leaderboard.cards import Card
from brainbench.leaderboard.untrusted import dirty, first_error, shown
from brainbench.numerics.resampling import interval
from brainbench.reading import layers_read
from brainbench.time_course import N_CONSECUTIVE, latencies_of

EXACT = 1e-9  # sums in another order
ROUNDED = 2e-6  # replicates are rounded to six decimals
BIASED = 0.1  # how far replicates may lie from the score that they resample, beside half their interval
MOST_NORMALIZED = 5.0  # of a ceiling: where ceilings are low medians over neuroids pass 1; nothing honest passes this
LONGEST_REASON = 1000
MOST_EXTRAS, LONGEST_CURVE = 20, 200  # what is told beside a score is a few aggregates, not each neuroid's number
MOST_LAYERS, LONGEST_LAYER = 200, 100  # the page has a megabyte for all models' curves, and for replicates
Found = Iterator[tuple[str, str]]  # (field, what is wrong)


class Provenance(BaseModel):
    """Where and when a run was made, as `runner` writes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    brainbench: str
    python: str
    packages: dict[str, str]
    platform: str
    device: str
    threads: int
    created: str


def broken(entry: Entry, card: Card) -> Found:
    """Each field that cannot be right, with the reason."""
    text = list(dirty(entry.as_json() | {"reason": "", "baselines": {}}))
    text += dirty({"reason": entry.reason}, longest=LONGEST_REASON)
    text += dirty({name: b.model_dump() for name, b in entry.baselines.items()}, "baselines", longest=LONGEST_REASON)
    if text:
        yield from text
        return
    benchmark = named(entry.benchmark)
    if benchmark is None:
        yield "benchmark", f"there is no benchmark {shown(entry.benchmark)!r}.{did_you_mean(entry.benchmark, known())}"
        return
    identities = [*_of_the_model(entry, card), *_of_the_benchmark(entry, benchmark)]
    yield from identities
    if identities:  # what follows reads numbers by what these say
        return
    if entry.status == "ok":
        yield from _beyond_reach(entry)
        yield from _unlike_its_parts(entry, benchmark)
        yield from _over_time(entry, benchmark)
    else:
        yield from _without_a_score(entry)


@cache
def _now(benchmark: str) -> tuple[dict[str, Any], str]:
    """Identity and fingerprint of a benchmark; making them takes milliseconds, and every entry asks."""
    found = named(benchmark)
    assert found is not None
    return found.identity, fingerprint(found.identity)


def stale(entry: Entry) -> str:
    """Empty for an entry of the benchmark as it is now; else how it differs: it is shown, and ranked no more."""
    if named(entry.benchmark) is None:
        return "this benchmark is no longer there"
    now, digest = _now(entry.benchmark)
    if entry.benchmark_fingerprint == digest:
        return ""
    mine = entry.benchmark_identity
    changed = [name for name in sorted(now) if mine.get(name) != now[name]]
    return f"the benchmark is another one now: {', '.join(changed) or 'its fingerprint'} changed"


@cache
def _spec() -> TypeAdapter[ModelSpec]:
    return TypeAdapter(ModelSpec)


def _of_the_model(entry: Entry, card: Card) -> Found:
    identity = entry.model_identity
    try:
        spec = _spec().validate_python(identity)
        if fingerprint(spec) != fingerprint(identity):
            yield "model_identity", "has fields, or types, that no model has"
    except ValidationError as error:
        yield "model_identity", first_error(error)
        return
    except (TypeError, ValueError) as error:
        yield "model_identity", shown(str(error), 200)
        return
    if len(spec.layers) > MOST_LAYERS:
        yield "model_identity.layers", f"are {len(spec.layers)}; {MOST_LAYERS} are the most: score those that matter"
    for layer in spec.layers:
        if len(layer.name) > LONGEST_LAYER:
            yield "model_identity.layers", f"names {shown(layer.name)}; {LONGEST_LAYER} characters are the most"
        if not 0 <= layer.depth <= 1:
            yield "model_identity.layers", f"puts {shown(layer.name)} at depth {layer.depth:g}; depths are from 0 to 1"
    if fingerprint(identity) != entry.model_fingerprint:
        yield "model_fingerprint", "is not the fingerprint of model_identity"
    for field, value, right in (
        ("model", entry.model, spec.id),
        ("model", entry.model, card.model),
        ("model_fingerprint", entry.model_fingerprint, card.model_fingerprint),
        ("model_identity.source", spec.source.partition(",")[0], entry.model.partition(":")[0]),
    ):
        if value != right:
            yield field, f"is {shown(value)!r} here and {shown(right)!r} in the card or the identity"
    if card.weights_sha256 is not None and card.weights_sha256 != spec.weights:
        yield "model_identity.weights", "is not the weights_sha256 of the card"
    if card.supervision == "none" and not spec.training_data.startswith(("none", "unknown")):
        yield (
            "model_identity.training_data",
            f"is {shown(spec.training_data)!r}; the card says that nothing was trained",
        )
    if card.submission == "features" and spec.source != "features":
        yield "model_identity.source", f"is {spec.source!r}: score features:FILE itself, so that it can be recomputed"
    try:
        Provenance.model_validate(entry.provenance)
    except ValidationError as error:
        yield "provenance", first_error(error)


def _of_the_benchmark(entry: Entry, benchmark: Benchmark) -> Found:
    spec, of_data = scorers.SCORERS[benchmark.scorer].spec, DATASETS[benchmark.dataset].spec
    if why := stale(entry):
        yield "benchmark_fingerprint", why
        return
    if fingerprint(entry.benchmark_identity) != entry.benchmark_fingerprint:  # equal is not enough: True == 1 == 1.0
        yield "benchmark_identity", f"must be {shown(str(_now(benchmark.id)[0]), 100)}"
    for field, value, right in (
        ("synthetic", entry.synthetic, of_data.synthetic),
        ("scorer", entry.scorer, f"{spec.name} {spec.version}"),
        ("scale", entry.scale, spec.scale),
    ):
        if value != right:
            yield field, f"must be {shown(str(right), 100)}"
    for name in entry.baselines.keys() - {*benchmark.baselines, f"{entry.model}@untrained"}:
        yield f"baselines.{name}", f"is none of the benchmark's: {', '.join(benchmark.baselines) or 'it has none'}"
    if extra := entry.per_subject.keys() - set(benchmark.subjects or of_data.subjects):
        yield "per_subject", f"{of_data.id} has no subject {shown(min(extra))!r}"


def _beyond_reach(entry: Entry) -> Found:
    """Scores that no model can have."""
    if entry.raw is None:
        yield "raw", "is null, so the status is not ok"
    floor = -1.0 if entry.scale == "r" else -100.0  # a share of variance has no lower bound, but a score has a sense
    raws = {f"per_subject.{name}.raw": s.raw for name, s in entry.per_subject.items()}
    raws |= {f"layers.{number}.raw": layer.raw for number, layer in enumerate(entry.layers)}
    raws |= {f"baselines.{name}.raw": b.raw for name, b in entry.baselines.items()}
    raws |= {"raw": entry.raw, "low": entry.low, "high": entry.high}
    raws |= {f"replicates.{number}": r for number, r in enumerate(entry.replicates)}
    for field, value in raws.items():
        # an interval is stretched by the luck of the training stimuli, so its ends may pass 1 a little
        most = 1.5 if field in ("low", "high") or field.startswith("replicates") else 1 + ROUNDED
        if value is not None and not floor - (most - 1) <= value <= most:
            yield field, f"is {value:g}; the scale {entry.scale!r} ends at {floor:g} and 1"
    if len(entry.extras) > MOST_EXTRAS:
        yield "extras", f"are {len(entry.extras)}; {MOST_EXTRAS} are the most"
    for name, curve in entry.extras.items():
        if isinstance(curve, list) and len(curve) > LONGEST_CURVE:
            yield f"extras.{shown(name)}", f"has {len(curve)} points; {LONGEST_CURVE} are the most"
    ends = {f"baselines.{name}.difference_low": b.difference_low for name, b in entry.baselines.items()}
    ends |= {f"baselines.{name}.difference_high": b.difference_high for name, b in entry.baselines.items()}
    for field, value in ends.items():
        if value is not None and not abs(value) <= 1.5 - floor:
            yield field, f"is {value:g}; scores on the scale {entry.scale!r} do not differ by so much"
    ceilings = {"ceiling": entry.ceiling, "ceiling_upper": entry.ceiling_upper}
    ceilings |= {f"per_subject.{name}.ceiling": s.ceiling for name, s in entry.per_subject.items()}
    for field, value in ceilings.items():
        if value is not None and not -1 - EXACT <= value <= 1 + ROUNDED:
            yield field, f"is {value:g}; a ceiling is at most 1"
    shares = {name: getattr(entry, name) for name in ("normalized", "normalized_low", "normalized_high")}
    shares |= {f"baselines.{name}.normalized": b.normalized for name, b in entry.baselines.items()}
    for field, value in shares.items():
        if value is not None and not abs(value) <= MOST_NORMALIZED:
            yield field, f"is {value:g} of the ceiling; {MOST_NORMALIZED:g} is more than any model can have"
    low, high = entry.normalized_low, entry.normalized_high
    if (low is None) != (high is None):
        yield (
            "normalized_low",
            "an interval has two ends: normalized_low and normalized_high are both there, or neither",
        )
    elif low is not None and high is not None and low > high:
        yield "normalized_low", f"is {low:g}, above normalized_high, {high:g}"
    reach = max((value for value in map(_reach, [entry] * 2, (entry.ceiling, entry.ceiling_upper)) if value), default=1)
    if entry.low is not None and entry.ceiling is not None and entry.low > reach + ROUNDED:
        yield "raw", f"all of its interval, from {entry.low:g}, lies above the ceiling, {reach:.3f} on its scale"


def _reach(entry: Entry, ceiling: float | None) -> float | None:
    """What a ceiling is on the scale of the score."""
    if ceiling is None or ceiling <= 0:
        return None
    return math.sqrt(ceiling) if (entry.scale, entry.ceiling_scale) == ("r", "r2") else ceiling


def _unlike_its_parts(entry: Entry, benchmark: Benchmark) -> Found:
    """Numbers that are not what the entry's other numbers make them."""
    split, asked = benchmark.split, entry.benchmark_identity["replicates"]
    if len(entry.replicates) != asked:
        yield "replicates", f"has {len(entry.replicates)} numbers; the benchmark has {asked}"
    replicates = np.asarray([math.nan if r is None else r for r in entry.replicates])
    low, high = interval(replicates)
    for field, value, right, within in (
        ("low", entry.low, low, ROUNDED),
        ("high", entry.high, high, ROUNDED),
        *((name, getattr(entry, name), right, EXACT) for name, right in _over_subjects(entry, benchmark).items()),
    ):
        if not _same(value, right, within):
            yield field, f"is {_told(value)}; the entry's own parts make it {_told(right)}"
    drawn = replicates[np.isfinite(replicates)]
    if 2 * len(drawn) <= len(replicates):
        n = len(replicates) - len(drawn)
        yield "replicates", f"are null in {n} of {len(replicates)} resamplings: more than half have a score"
    elif entry.raw is not None and not drawn.min() - REACH <= entry.raw <= drawn.max() + REACH:
        yield "raw", f"is {entry.raw:g}; all its replicates lie between {drawn.min():.3f} and {drawn.max():.3f}"
    elif entry.raw is not None and math.isfinite(low) and not _near(entry.raw, low, high):
        yield "raw", f"is {entry.raw:g}, and its replicates lie around {drawn.mean():.3f}"
    layers = [layer.layer for layer in entry.layers]
    spec, scorer = _spec().validate_python(entry.model_identity), scorers.load(benchmark.scorer, benchmark.params)
    named = [(layer.name, layer.pooling, layer.depth) for layer in layers_read(spec, scorer)]
    if [(layer.layer, layer.pooling, layer.depth) for layer in entry.layers] != named:
        yield "layers", "are not those of model_identity"
    if len(entry.layer_by_fold) != split.n_folds * split.n_repeats:
        n = split.n_folds * split.n_repeats
        yield "layer_by_fold", f"has {len(entry.layer_by_fold)} folds; the benchmark has {n}, and none may be left out"
    elif unknown := set(entry.layer_by_fold) - set(layers):
        yield "layer_by_fold", f"names {shown(min(unknown))!r}, which is no layer of the model"
    else:
        times = Counter(entry.layer_by_fold)
        if times.get(entry.layer or "", 0) != max(times.values()):
            yield "layer", "is not the layer that most folds chose"
    best = max((layer.raw for layer in entry.layers if layer.raw is not None), default=None)
    if entry.optimistic is not None and not _same(entry.optimistic.raw, best, EXACT):
        yield "optimistic.raw", "is not that of the best layer"
    if entry.optimistic is not None and not _same(entry.optimistic.gap, _minus(entry.optimistic.raw, entry.raw), EXACT):
        yield "optimistic.gap", "is not optimistic.raw minus raw"
    for name, other in entry.baselines.items():
        if not _same(other.difference, _minus(entry.raw, other.raw), EXACT):
            yield f"baselines.{name}.difference", "is not raw minus the baseline's raw"
        ends = [end for end in (other.difference_low, other.difference_high) if end is not None]
        if len(ends) == 1 or ends != sorted(ends) or (ends and other.difference is None):
            yield f"baselines.{name}.difference_low", "and difference_high must be there, in order, or neither"
        elif ends and other.difference is not None and not _near(other.difference, *ends):
            told = f"is {other.difference:g}, with an interval from {ends[0]:g} to {ends[1]:g}"
            yield f"baselines.{name}.difference", told
    for name in set(baselines.beside(spec, benchmark)) - entry.baselines.keys() if entry.baselines else ():
        yield f"baselines.{name}", "is left out: the benchmark has it, and the best of some is not the best of all"
    if entry.n_excluded != sum(entry.excluded.values()) or min([0, *entry.excluded.values()]) < 0:
        yield "n_excluded", "is not the sum of excluded"
    if entry.per_subject and entry.n_neuroids != sum(s.n_neuroids for s in entry.per_subject.values()):
        yield "n_neuroids", "is not the sum over per_subject"
    if min(entry.n_neuroids, entry.n_stimuli) < 1:
        yield "n_stimuli", "and n_neuroids are 1 or more where there is a score"
    if benchmark.subjects is not None and entry.per_subject and set(entry.per_subject) != set(benchmark.subjects):
        yield "per_subject", f"must have {', '.join(benchmark.subjects)}: none may be left out"


def _over_subjects(entry: Entry, benchmark: Benchmark) -> dict[str, float]:
    """What subjects' numbers make the entry's: see `aggregate`."""
    own = entry.per_subject.values()
    means = {name: _mean([getattr(s, name) for s in own]) for name in ("raw", "ceiling", "normalized") if own}
    if scorers.SCORERS[benchmark.scorer].spec.requires == "rdms" and own:
        del means["normalized"]
        bounded = [(s.raw, s.ceiling) for s in own if s.normalized is not None]
        if bounded and benchmark.window_s is None:  # of several bins subjects' means do not tell the share
            raw, value = np.asarray(bounded, dtype=float).T
            ceiling = Ceiling(value=value[None], scale=entry.ceiling_scale, method="")  # type: ignore[arg-type]
            means["normalized"] = float(normalized_over_bins(raw[None], entry.scale, ceiling)[0])  # type: ignore[arg-type]
    return means


def _over_time(entry: Entry, benchmark: Benchmark) -> Found:
    """A time course that is there where there is time, and whose latencies are those of its own bins."""
    course = entry.time_course
    if (course is None) != (benchmark.window_s is None):
        yield "time_course", f"must be {'null' if benchmark.window_s is None else 'there'} for this benchmark"
    if course is None or benchmark.window_s is None:
        return
    if tuple(course.window_s) != benchmark.window_s:
        yield "time_course.window_s", f"must be {list(benchmark.window_s)}"
    n = len(course.time_s)
    per_bin = {name: getattr(course, name) for name in ("raw", "low", "high", "ceiling", "p", "threshold")}
    per_bin |= {f"layer_raw.{number}": row for number, row in enumerate(course.layer_raw)}
    wrong = [name for name, values in per_bin.items() if len(values) != n]
    if wrong or len(course.layer_raw) != len(entry.layers) or sorted(set(course.time_s)) != course.time_s:
        yield "time_course", "must have a number a bin in every row, a row a layer, and rising times"
        return
    for name, values in per_bin.items():
        some = [value for value in values if value is not None]
        if name != "threshold" and any(not -1.5 <= value <= 1.5 for value in some):
            yield f"time_course.{name}", "has numbers beyond -1.5 and 1.5"
    for name, most in (("p", 1.0), ("ceiling", 1 + ROUNDED)):
        if any(value is not None and not value <= most for value in per_bin[name]):
            yield f"time_course.{name}", "has numbers above 1"
    if any(value is not None and value < 0 for value in course.p):
        yield "time_course.p", "has numbers below 0"
    for at, (raw, low, high) in enumerate(zip(course.raw, course.low, course.high)):
        if low is not None and high is not None and (low > high or (raw is not None and not _near(raw, low, high))):
            yield f"time_course.raw.{at}", f"is {_told(raw)}, with an interval from {low:g} to {high:g}"
    if course.n_consecutive != N_CONSECUTIVE:
        yield "time_course.n_consecutive", f"must be {N_CONSECUTIVE}"
    if course.onset_share is not None and not 0 <= course.onset_share <= 1:
        yield "time_course.onset_share", f"is {course.onset_share:g}; a share is from 0 to 1"
    for what in ("onset", "peak"):
        at, bounds = getattr(course, f"{what}_s"), [getattr(course, f"{what}_{side}_s") for side in ("low", "high")]
        some = [value for value in bounds if value is not None]
        if (some and at is None) or sorted(some) != some or set(some) - set(course.time_s):
            yield f"time_course.{what}_low_s", f"and {what}_high_s must be bins, in order, of a latency that is there"
    found = latencies_of(course)
    for field, value in (("onset_s", found[0]), ("peak_s", found[1])):
        if getattr(course, field) != value:
            yield f"time_course.{field}", f"is {_told(getattr(course, field))}; its own bins make it {_told(value)}"


def _without_a_score(entry: Entry) -> Found:
    if not entry.reason:
        yield "reason", f"must say why the entry is {entry.status}"
    if entry.raw is not None or any(r is not None for r in entry.replicates) or entry.time_course is not None:
        yield "raw", f"and replicates are null where the status is {entry.status}"


def _mean(values: list[float | None]) -> float:
    some = [value for value in values if value is not None]
    return sum(some) / len(some) if some else math.nan


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _same(value: Any, right: Any, within: float) -> bool:
    value, right = (math.nan if x is None else x for x in (value, right))
    return (math.isnan(value) and math.isnan(right)) or abs(value - right) <= within


def _near(raw: float, low: float, high: float) -> bool:
    slack = BIASED + (high - low) / 2
    return low - slack <= raw <= high + slack


def _told(value: float | None) -> str:
    return "null" if value is None or math.isnan(value) else f"{value:.6g}"
