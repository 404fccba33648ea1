"""Models against each other on one benchmark, pair by pair.

Two entries of one benchmark hold replicates under the same resamplings of stimuli and subjects, so replicate b of one
minus replicate b of the other is a replicate of their difference: most of the noise they share cancels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from brainbench.benchmarks import N_REPLICATES
from brainbench.core.jsonable import jsonable
from brainbench.core.specs import fingerprint
from brainbench.entry import Entry
from brainbench.errors import InputError, UsageError
from brainbench.numerics.resampling import benjamini_hochberg, interval, two_sided_each

MOST_GROUPS = 60  # of models that are not told apart: pairs of near-copies make 2 to the power of their number
REACH = 0.01  # how far a score may lie beyond all of its replicates: no more than rounding and a resampling's own bias


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

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values, null for what is undefined."""
        plain: dict[str, Any] = jsonable(self)
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model among those compared on a benchmark.

    `best` and `worst` are the ranks that remain possible: 1 + how many models are better with q below the level, and
    the number of models less how many are worse. Two models share a letter in `ties` where they are not told apart, and
    only there; it is empty where that would take more than `MOST_GROUPS` letters. `rank_shares` holds, for each rank
    from 1, the share of replicates in which the model has it; models that tie in a replicate share its ranks.
    `n_neuroids` are those that the score is of.
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
    n_neuroids: int

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values, null for what is undefined."""
        plain: dict[str, Any] = jsonable(self)
        return plain


def compare(entries: Sequence[Entry], *, level: float = 0.05) -> tuple[list[Standing], list[Difference]]:
    """Standings (best first) and all pairwise differences of entries of one benchmark; those without a score are out.

    Models of one name (two networks called "module", say) are told apart by the beginning of their fingerprints.
    Raises UsageError where the entries are not of one benchmark, naming the fields of its identity that differ, or
    fewer than two have a score; InputError where an entry lacks its replicates or a model occurs twice.
    """
    scored = [e for e in entries if e.status == "ok"]
    if len(scored) < 2:
        raise UsageError(f"{len(scored)} of {len(entries)} entries of {entries[0].label} have a score; 2 are needed")
    check_comparable(scored)
    scored.sort(key=lambda e: (-_raw(e), e.model))
    labels = told_apart(scored)
    replicates = np.asarray([_replicates(e) for e in scored])
    pairs = list(combinations(range(len(scored)), 2))
    better, p, q = _better(replicates, level)
    differences = []
    for (i, j), p_value, q_value in zip(pairs, p, q):
        first, second = scored[i], scored[j]
        low, high = interval(replicates[i] - replicates[j])
        differences.append(
            Difference(
                benchmark=first.benchmark,
                model=labels[i],
                other=labels[j],
                difference=_raw(first) - _raw(second),
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
            raw=_raw(entry),
            low=entry.low if entry.low is not None else float("nan"),
            high=entry.high if entry.high is not None else float("nan"),
            best=1 + int(better[:, i].sum()),
            worst=len(scored) - int(better[i].sum()),
            ties=ties[i],
            rank_shares=tuple(float(s) for s in shares[i]),
            n_neuroids=entry.n_neuroids,
        )
        for i, entry in enumerate(scored)
    ]
    return standings, differences


def told_apart(entries: Sequence[Entry]) -> list[str]:
    """What each model of a benchmark is called: its name, with the beginning of its fingerprint where two share it."""
    named = Counter(entry.model for entry in entries)
    return [e.model if named[e.model] == 1 else f"{e.model}-{e.model_fingerprint[:8]}" for e in entries]


def _raw(entry: Entry) -> float:
    return float("nan") if entry.raw is None else entry.raw


def _replicates(entry: Entry) -> list[float]:
    return [float("nan") if value is None else value for value in entry.replicates]


def _better(replicates: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, m): whether a model scores higher than another with q below the level; p and q of all pairs i < j."""
    m = len(replicates)
    less = [replicates[i] - replicates[i + 1 :] for i in range(m)]
    p = np.concatenate([two_sided_each(differences) for differences in less])
    q = benjamini_hochberg(p)
    apart = q < level
    higher = np.concatenate([(d > 0).sum(axis=1) > (d < 0).sum(axis=1) for d in less])  # the side that p speaks of
    better = np.zeros((m, m), dtype=bool)
    first, second = np.triu_indices(m, k=1)
    better[np.where(higher, first, second)[apart], np.where(higher, second, first)[apart]] = True
    return better, p, q


def ranks(entries: Sequence[Entry], *, level: float = 0.05) -> list[tuple[int, int, str]]:
    """The best and worst rank that remain possible for each scored entry, and its ties: see `Standing`.

    Entries are of one benchmark and come best first. Raises as `compare` does where they do not pair.
    """
    check_comparable(entries)
    better, _, _ = _better(np.asarray([_replicates(e) for e in entries]), level)
    letters = _letters(better | better.T)
    return [(1 + int(better[:, i].sum()), len(entries) - int(better[i].sum()), letters[i]) for i in range(len(entries))]


def check_comparable(entries: Sequence[Entry]) -> None:
    """Raises where scored entries may not be paired: UsageError for other benchmarks, InputError for broken ones."""
    for entry in entries:
        _check_whole(entry)
    check_one_benchmark(entries)


def check_one_benchmark(entries: Sequence[Entry]) -> None:
    """Raises where entries may not stand side by side: UsageError for other versions, InputError for a model twice."""
    for first, other in pairwise(entries):
        if other.benchmark_fingerprint != first.benchmark_fingerprint:
            mine, theirs = first.benchmark_identity, other.benchmark_identity
            fields = [name for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
            told = ", ".join(f"{name} ({mine.get(name)!r} against {theirs.get(name)!r})" for name in fields)
            raise UsageError(
                f"{first.model} and {other.model} were not scored on the same benchmark, {first.label}, so their "
                f"scores do not pair. They differ in {told}. Score both again."
            )
        if other.synthetic != first.synthetic:
            raise InputError(f"{other.model} and {first.model} do not agree whether {first.benchmark} is synthetic")
    times = Counter(entry.model_fingerprint for entry in entries)
    for entry in entries:
        if times[entry.model_fingerprint] > 1:
            raise InputError(f"{entry.model} has two entries for {entry.label}: keep one of them")


def _check_whole(entry: Entry) -> None:
    """Raises InputError for a scored entry whose parts do not belong together: somebody changed it."""
    what = f"the entry of {entry.model} for {entry.label}"
    if fingerprint(entry.benchmark_identity) != entry.benchmark_fingerprint:
        raise InputError(f"{what} was edited: its benchmark_identity has another fingerprint. Score again.")
    if len(entry.replicates) != N_REPLICATES:
        raise InputError(f"{what} has {len(entry.replicates)} replicates, not {N_REPLICATES}. Score again.")
    drawn = np.asarray(_replicates(entry))
    drawn = drawn[np.isfinite(drawn)]
    if entry.raw is None or not len(drawn):
        lacking = "raw" if entry.raw is None else "replicates"
        raise InputError(f"{what} has the status ok, but no {lacking}. Score again.")
    if not drawn.min() - REACH <= entry.raw <= drawn.max() + REACH:
        raise InputError(
            f"{what} was edited: raw is {entry.raw:g}, all its replicates lie between {drawn.min():.3f} and "
            f"{drawn.max():.3f}. Score again."
        )


def _letters(apart: np.ndarray) -> list[str]:
    """Letters such that two models share one exactly where they are not told apart; none where that takes too many.

    The insert-and-absorb algorithm for compact letter displays (Piepho 2004): all models begin in one group, and every
    pair that is told apart splits the groups that hold both.
    """
    n = len(apart)
    groups = [frozenset(range(n))]
    for pair in map(frozenset, np.argwhere(np.triu(apart)).tolist()):
        kept = [group for group in groups if not pair <= group]
        parts = {group - {model} for group in groups if pair <= group for model in pair}
        groups = kept + [g for g in parts if not any(g < other for other in parts) and not any(g <= k for k in kept)]
        if len(groups) > MOST_GROUPS:
            return [""] * n
    groups.sort(key=sorted)
    return ["".join(_letter(number) for number, group in enumerate(groups) if model in group) for model in range(n)]


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"[{number + 1}]"


def _rank_shares(replicates: np.ndarray) -> np.ndarray:
    """(model, rank): how often each model has each rank, over replicates in which all have a score."""
    complete = -replicates[:, np.isfinite(replicates).all(axis=0)]
    n = len(replicates)
    if complete.shape[1] == 0:
        return np.full((n, n), np.nan)
    from scipy.stats import rankdata  # here, because it takes as long to import as the rest of a small command

    first, last = rankdata(complete, method="min", axis=0), rankdata(complete, method="max", axis=0)
    share = 1 / (last - first + 1)
    return np.stack(
        [np.where((first <= rank) & (rank <= last), share, 0).mean(axis=1) for rank in range(1, n + 1)], axis=1
    )
