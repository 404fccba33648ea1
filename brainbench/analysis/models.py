"""Models against each other on one benchmark, pair by pair.

Two entries of one benchmark hold replicates under the same resamplings of stimuli and subjects, so replicate b of one
minus replicate b of the other is a replicate of their difference: most of the noise they share cancels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from brainbench.entry import Entry
from brainbench.errors import InputError, UsageError
from brainbench.numerics.resampling import benjamini_hochberg, interval, two_sided_each


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Score of `model` minus score of `other`, with its 95 % interval.

    `p` is two-sided: twice the smaller share of replicates on either side of 0, never below 2 / (B + 1). `q` is p
    after Benjamini and Hochberg (1995) over all pairs of the benchmark.
    """

    benchmark: str
    model: str
    other: str
    difference: float
    low: float
    high: float
    p: float
    q: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model among those compared on a benchmark.

    `best` and `worst` are the ranks that remain possible: 1 + how many models are better with q below the level, and
    the number of models less how many are worse. Models that share a letter in `ties` are not told apart. `rank_shares`
    holds, for each rank from 1, the share of replicates in which the model has it.
    """

    benchmark: str
    model: str
    raw: float
    low: float
    high: float
    best: int
    worst: int
    ties: str
    rank_shares: tuple[float, ...]


def compare(entries: Sequence[Entry], *, level: float = 0.05) -> tuple[list[Standing], list[Difference]]:
    """Standings (best first) and all pairwise differences of entries of one benchmark; those without a score are out.

    Models of one name (two networks called "module", say) are told apart by the beginning of their fingerprints.
    Raises UsageError where the entries are not of one benchmark, naming the fields of its identity that differ, or
    fewer than two have a score; InputError where an entry lacks its replicates or a model occurs twice.
    """
    scored = sorted((e for e in entries if e.status == "ok"), key=lambda e: (-(e.raw or 0.0), e.model))
    if len(scored) < 2:
        raise UsageError(f"{len(scored)} of {len(entries)} entries of {entries[0].label} have a score; 2 are needed")
    check_comparable(scored)
    named = Counter(entry.model for entry in scored)
    labels = [e.model if named[e.model] == 1 else f"{e.model}-{e.model_fingerprint[:8]}" for e in scored]
    replicates = np.asarray([[np.nan if r is None else r for r in e.replicates] for e in scored])
    pairs = list(combinations(range(len(scored)), 2))
    better, p, q = _better(np.asarray([e.raw or 0.0 for e in scored]), replicates, level)
    differences = []
    for (i, j), p_value, q_value in zip(pairs, p, q):
        first, second = scored[i], scored[j]
        low, high = interval(replicates[i] - replicates[j])
        value = (first.raw or 0.0) - (second.raw or 0.0)
        differences.append(
            Difference(
                benchmark=first.benchmark,
                model=labels[i],
                other=labels[j],
                difference=value,
                low=low,
                high=high,
                p=float(p_value),
                q=float(q_value),
            )
        )
    ties = _letters(better | better.T)
    shares = _rank_shares(replicates)
    standings = [
        Standing(
            benchmark=entry.benchmark,
            model=labels[i],
            raw=entry.raw if entry.raw is not None else float("nan"),
            low=entry.low if entry.low is not None else float("nan"),
            high=entry.high if entry.high is not None else float("nan"),
            best=1 + int(better[:, i].sum()),
            worst=len(scored) - int(better[i].sum()),
            ties=ties[i],
            rank_shares=tuple(float(s) for s in shares[i]),
        )
        for i, entry in enumerate(scored)
    ]
    return standings, differences


def _better(raw: np.ndarray, replicates: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, m): whether a model scores higher than another with q below the level; p and q of all pairs i < j."""
    p = np.concatenate([two_sided_each(replicates[i] - replicates[i + 1 :]) for i in range(len(raw))])
    q = benjamini_hochberg(p)
    better = np.zeros((len(raw), len(raw)), dtype=bool)
    first, second = np.triu_indices(len(raw), k=1)
    apart = q < level
    higher = raw[first] > raw[second]
    better[np.where(higher, first, second)[apart], np.where(higher, second, first)[apart]] = True
    return better, p, q


def ranks(entries: Sequence[Entry], *, level: float = 0.05) -> list[tuple[int, int, str]]:
    """The best and worst rank that remain possible for each scored entry, and its ties: see `Standing`.

    Entries are of one benchmark and come best first. Raises as `compare` does where they do not pair.
    """
    check_comparable(entries)
    replicates = np.asarray([[np.nan if r is None else r for r in e.replicates] for e in entries])
    better, _, _ = _better(np.asarray([e.raw or 0.0 for e in entries]), replicates, level)
    letters = _letters(better | better.T)
    return [(1 + int(better[:, i].sum()), len(entries) - int(better[i].sum()), letters[i]) for i in range(len(entries))]


def check_comparable(entries: Sequence[Entry]) -> None:
    """Raises where scored entries may not be paired: UsageError for other benchmarks, InputError for broken ones."""
    first = entries[0]
    for other in entries[1:]:
        if other.benchmark_fingerprint != first.benchmark_fingerprint:
            mine, theirs = first.benchmark_identity, other.benchmark_identity
            fields = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
            told = ", ".join(f"{name} ({mine.get(name)!r} against {theirs.get(name)!r})" for name in fields)
            raise UsageError(
                f"{first.model} and {other.model} were not scored on the same benchmark, so their scores do not pair. "
                f"They differ in {told or 'a field that the older entry does not tell'}. Score both again."
            )
    times = Counter(entry.model_fingerprint for entry in entries)
    for entry in entries:
        if times[entry.model_fingerprint] > 1:
            raise InputError(f"{entry.model} has two entries for {entry.label}: keep one of them")
        if len(entry.replicates) != len(first.replicates):
            raise InputError(
                f"{entry.model} has {len(entry.replicates)} replicates, {first.model} {len(first.replicates)}"
            )


def _letters(apart: np.ndarray) -> list[str]:
    """A letter for each largest run of models, in order of score, of which no two are told apart."""
    n = len(apart)
    groups: list[tuple[int, int]] = []
    for start in range(n):
        end = start
        while end + 1 < n and not apart[start : end + 2, start : end + 2].any():
            end += 1
        if not groups or end > groups[-1][1]:
            groups.append((start, end))
    return [
        "".join(_letter(number) for number, (start, end) in enumerate(groups) if start <= model <= end)
        for model in range(n)
    ]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"[{number + 1}]"


def _rank_shares(replicates: np.ndarray) -> np.ndarray:
    """(model, rank): how often each model has each rank, over replicates in which all have a score."""
    complete = replicates[:, np.isfinite(replicates).all(axis=0)]
    n = len(replicates)
    if complete.shape[1] == 0:
        return np.full((n, n), np.nan)
    ranks = np.argsort(np.argsort(-complete, axis=0, kind="stable"), axis=0)
    return np.stack([(ranks == rank).mean(axis=1) for rank in range(n)], axis=1)
