"""Targets: what a benchmark asks a model to match, cut out of a recording by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, Labels, RDMs, blocks
from brainbench.core.score import Ceiling
from brainbench.core.shown import shown
from brainbench.core.specs import fingerprint
from brainbench.core.splits import Split, grouped_folds
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, LeakageError, UsageError
from brainbench.numerics.ceilings import leave_one_out, noise_ceiling, split_half
from brainbench.numerics.crossnobis import crossnobis
from brainbench.numerics.rdm import upper
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import seed_of

N_HALVINGS = 50


@dataclass(frozen=True, kw_only=True)
class Target:
    """Columns that are solved together: neuroids of one subject, the RDMs of all subjects, or the stimuli's categories.

    `data` is the Block, RDMs or Labels a scorer takes; `subjects`, `regions` and `names` have one entry a column.
    `ceilings` maps a ceiling rule to the columns' ceiling.
    """

    data: Block | RDMs | Labels
    stimuli: StimulusSet
    split: Split
    subjects: tuple[str, ...]
    regions: tuple[str, ...]
    names: tuple[str, ...]
    ceilings: dict[str, Ceiling]

    @property
    def n_values(self) -> int:
        """How many predictions one layer makes for it."""
        return len(self.stimuli.ids) * len(self.names)

    def parts(self, n_columns: int) -> list[Target]:
        """The same neuroids in targets of at most `n_columns`, so that one fits into memory; others stay together."""
        if not isinstance(self.data, Block) or len(self.names) <= n_columns:
            return [self]
        width = max(1, n_columns)
        return [self._columns(slice(start, start + width)) for start in range(0, len(self.names), width)]

    def restricted(self, ids: frozenset[str]) -> Target:
        """The same columns on those of their stimuli that are in `ids`; without ceilings, which hold for all of them.

        Raises InputError where a fold would keep fewer than 2 stimuli a side.
        """
        rows = np.flatnonzero([name in ids for name in self.data.stimulus_ids])
        kept = tuple(self.data.stimulus_ids[row] for row in rows)
        data: Block | RDMs | Labels
        if isinstance(self.data, RDMs):
            data = replace(self.data, stimulus_ids=kept, values=self.data.values[:, rows][:, :, rows])
        else:
            data = replace(self.data, stimulus_ids=kept, values=self.data.values[rows])
        split, stimuli = self.split.restrict(kept), self.stimuli.select(kept)
        return replace(self, data=data, stimuli=stimuli, split=split, ceilings={})

    def exchanged(self, seed: int) -> Target:
        """The same recording with its stimuli exchanged at random, for a control: no model has anything to find in it.

        Ceilings stay those of the recording. Targets of the same stimuli are exchanged alike.
        """
        order = np.random.default_rng(seed).permutation(len(self.data.stimulus_ids))
        data: Block | RDMs | Labels
        if isinstance(self.data, RDMs):
            data = replace(self.data, values=self.data.values[:, order][:, :, order])
        else:
            data = replace(self.data, values=self.data.values[order])
        return replace(self, data=data)

    def neuroids(self, at: np.ndarray) -> Target:
        """Only the columns with these numbers; without ceilings. Only a Block has neuroids to choose from."""
        return replace(self, ceilings={})._columns(at)

    def _columns(self, at: slice | np.ndarray) -> Target:
        assert isinstance(self.data, Block)

        def some(names: tuple[str, ...]) -> tuple[str, ...]:
            return names[at] if isinstance(at, slice) else tuple(names[number] for number in at)

        data = replace(
            self.data,
            neuroid_ids=some(self.data.neuroid_ids),
            regions=some(self.data.regions),
            values=self.data.values[:, :, at],
        )
        ceilings = {
            rule: replace(ceiling, value=ceiling.value[at], reason=some(ceiling.reason))
            for rule, ceiling in self.ceilings.items()
        }
        return replace(
            self,
            data=data,
            subjects=some(self.subjects),
            regions=some(self.regions),
            names=some(self.names),
            ceilings=ceilings,
        )


def targets(dataset: Any, group: Sequence[Benchmark], scorer: Any) -> list[Target]:
    """The targets of benchmarks that share a solve key, with all the regions they name.

    Folds are made over all stimuli of the dataset, so a stimulus that several subjects saw is in one fold for all, and
    no benchmark's folds depend on which others are run beside it.
    Raises LeakageError or InputError where that cannot be done, UsageError for a benchmark that names a region and
    scores labels or neither, and UnknownNameError for a region that is not there.
    """
    first = group[0]
    dataset = shown(dataset, first.stimuli)
    regions = tuple(sorted({b.region for b in group}))
    rules: set[str] = {b.ceiling for b in group}
    stimuli = dataset.stimuli()
    seed = fingerprint({"dataset": first.dataset, "split": first.split.model_dump()})
    recorded: list[tuple[str, Block | RDMs | Labels]]
    for benchmark in group:
        if bool(benchmark.region) == (scorer.spec.requires == "labels"):
            mend = "categories belong to stimuli: leave it out" if benchmark.region else "name the one that is scored"
            raise UsageError(f"{benchmark.id} has the region {benchmark.region!r}; {mend}")
    if scorer.spec.requires == "labels":
        labels = _labels(dataset, stimuli.table, first)
        like = getattr(scorer, "like", "")
        recorded = [("", replace(labels, like=_presentations(dataset, like)) if like else labels)]
    elif scorer.spec.requires == "rdms":
        recorded = [(region, _rdms(dataset, region, first, scorer)) for region in regions]
    else:
        recorded = [
            (subject, block)
            for subject in first.subjects or dataset.spec.subjects
            for block in blocks(dataset.responses(subject, regions=regions, sessions=first.sessions))
        ]
    split = grouped_folds(
        stimuli.table,
        n_folds=first.split.n_folds,
        n_repeats=first.split.n_repeats,
        seed=int(seed_of(seed, "split").generate_state(1)[0]),
    )
    result = []
    subjects: tuple[str, ...]
    columns: tuple[str, ...]
    names: tuple[str, ...]
    for label, data in recorded:
        own = split.restrict(data.stimulus_ids)
        if isinstance(data, Labels):
            subjects, columns, names = ("",), ("",), ("category",)  # of no subject and no region
            ceilings = {rule: _no_ceiling(rule) for rule in rules}
        elif isinstance(data, RDMs):
            subjects, columns, names = data.subjects, (label,) * len(data.subjects), data.subjects
            ceilings = {rule: _rdm_ceiling(rule, data, own, scorer) for rule in rules}
        else:
            subjects, columns, names = (label,) * len(data.neuroid_ids), data.regions, data.neuroid_ids
            ceilings = {rule: _neuroid_ceiling(rule, data, seed) for rule in rules}
        result.append(
            Target(
                data=data,
                stimuli=stimuli.select(data.stimulus_ids),
                split=own,
                subjects=subjects,
                regions=columns,
                names=names,
                ceilings=ceilings,
            )
        )
    for target in result:
        _refuse_seen(getattr(scorer, "seen", {}), first.dataset, target)
    return result


def _refuse_seen(seen: Mapping[str, Any], dataset: str, target: Target) -> None:
    """Raises LeakageError where a scorer's training saw a subject or a picture of the target."""
    if not seen:
        return
    people = sorted(set(target.subjects) & set(seen["subjects"])) if seen["dataset"] == dataset else []
    pictures = set(target.stimuli.table["sha256"].dropna()) & set(seen["sha256"])
    if people or pictures:
        raise LeakageError(
            f"the checkpoint was trained on subjects {people} and {len(pictures)} pictures of this benchmark: a score "
            "on them would rank what it remembers. Train another with --unseen."
        )


def _labels(dataset: Any, table: pd.DataFrame, benchmark: Benchmark) -> Labels:
    """The `category` of the stimuli that were shown to the benchmark's subjects in its sessions, in order of id."""
    if "category" not in table:
        raise InputError(f"{benchmark.dataset} does not say which category a stimulus is of: it has no labels")
    seen = set(table.index)
    if benchmark.subjects or benchmark.sessions:
        asked = [
            dataset.responses(subject, sessions=benchmark.sessions)
            for subject in benchmark.subjects or dataset.spec.subjects
        ]
        seen = {name for responses in asked for name in responses["stimulus_id"].values}
    category = table["category"].loc[sorted(seen)]
    known = category.dropna().astype(str)
    return Labels(
        stimulus_ids=tuple(known.index), values=known.to_numpy(dtype=object), left_out=len(category) - len(known)
    )


def _presentations(dataset: Any, name: str) -> np.ndarray:
    """Single presentations of the neuroids of `REGION/SUBJECT[/SESSION]` that have a response to every stimulus."""
    region, subject, *session = name.split("/")
    measured = blocks(dataset.responses(subject, regions=(region,), sessions=tuple(session) or None))
    if len(measured) != 1 or measured[0].values.ndim != 3:
        raise InputError(
            f"{name} of {dataset.spec.id} has a time axis, or neuroids that were shown different stimuli: no noise can "
            "be matched. Name a session, REGION/SUBJECT/SESSION."
        )
    values = measured[0].values
    return values[:, :, np.isfinite(measured[0].mean()).all(axis=0)]


def _rdms(dataset: Any, region: str, benchmark: Benchmark, scorer: Any) -> RDMs:
    """One RDM a subject: the released ones averaged over sessions, or those of the mean responses."""
    if "rdms" in dataset.spec.measures:
        if getattr(scorer, "rdm", "correlation") in ("squared_euclidean", "crossnobis"):
            raise InputError(
                f"{benchmark.dataset} was released as dissimilarities, not as responses, and {scorer.spec.name} needs "
                "the geometry of responses: use rsa or ssm"
            )
        released = dataset.rdms(region)
        return RDMs(
            stimulus_ids=tuple(released["stimulus_id"].values),
            subjects=tuple(released["subject"].values),
            values=_mean_over_sessions(released.values),
        )
    kind = getattr(scorer, "rdm", "correlation")  # a scorer that does not say gets what is usual
    values, ids, left_out = [], set(), 0
    subjects = benchmark.subjects or dataset.spec.subjects
    for subject in subjects:
        measured = blocks(dataset.responses(subject, regions=(region,), sessions=benchmark.sessions))
        if len(measured) != 1:
            raise InputError(f"{subject}'s neuroids in {region} were shown different stimuli: they have no common RDM")
        responses = measured[0].mean()
        if responses.ndim != 2:
            raise InputError(f"{benchmark.dataset} has a time axis: select a time bin before dissimilarities are made")
        whole = np.isfinite(responses).all(axis=0)
        complete = responses[:, whole]
        if complete.shape[1] < 2:
            raise InputError(
                f"{subject} has {complete.shape[1]} of {responses.shape[1]} neuroids in {region} with a response to "
                f"every stimulus: dissimilarities need 2"
            )
        left_out += responses.shape[1] - complete.shape[1]
        ids.add(measured[0].stimulus_ids)
        if kind == "crossnobis":
            values.append(crossnobis(torch.as_tensor(measured[0].values[:, :, whole])))
            if not values[-1].isfinite().all():
                raise InputError(
                    f"{subject}'s neuroids in {region} share fewer than two repetitions for some stimuli: crossnobis "
                    'multiplies two. Set distances = "squared_euclidean" in the benchmark, which keeps the noise.'
                )
        else:
            values.append(Representation.from_features(torch.as_tensor(complete), measured[0].stimulus_ids).rdm(kind))
    if len(ids) != 1:
        raise InputError(f"the subjects of {benchmark.dataset} saw different stimuli: their RDMs cannot be compared")
    rdms = torch.stack(values).numpy()
    return RDMs(stimulus_ids=ids.pop(), subjects=subjects, values=rdms, left_out=left_out)


def _mean_over_sessions(values: np.ndarray) -> np.ndarray:
    present = np.isfinite(values).all(axis=(2, 3), keepdims=True)
    count = present.sum(axis=1)
    mean = np.full(values[:, 0].shape, np.nan)
    np.divide(np.where(present, values, 0.0).sum(axis=1), count, where=count > 0, out=mean)
    return mean


def _no_ceiling(rule: str) -> Ceiling:
    """What categories are is known exactly, so nothing bounds how well they can be told but 1."""
    if rule != "none":
        raise InputError(f"ceiling rule {rule!r} is for recordings; labels have none")
    return Ceiling(value=np.full(1, np.nan), scale="share", method="none", reason=("no ceiling",))


def _neuroid_ceiling(rule: str, block: Block, seed: str) -> Ceiling:
    """Reliability of the mean over repetitions, by halves or by variances; random halvings belong to the dataset."""
    n = len(block.neuroid_ids)
    if rule == "none":
        return Ceiling(value=np.full(n, np.nan), scale="r2", method="none", reason=("no ceiling by rule",) * n)
    if block.values.ndim != 3:
        raise InputError("responses with a time axis have no ceiling here: select a time bin first")
    if rule not in ("split_half", "ncsnr"):
        raise InputError(f"ceiling rule {rule!r} is for RDMs; responses have split_half, ncsnr or none")
    values = torch.as_tensor(block.values)
    if rule == "ncsnr":
        value, method = noise_ceiling(values)[1].double().numpy(), "ncsnr"
    else:
        generator = torch.Generator().manual_seed(int(seed_of(seed, "halves").generate_state(1)[0]))
        value = split_half(values, n_splits=N_HALVINGS, generator=generator).double().numpy()
        method = "split-half, Spearman-Brown"
    single = np.isfinite(block.values).sum(axis=1).max(axis=0) < 2
    reason = ["single-repetition" if s else "unreliable" if not v > 0 else "" for s, v in zip(single, value)]
    return Ceiling(value=value, scale="r2", method=method, reason=tuple(reason))


def _rdm_ceiling(rule: str, rdms: RDMs, split: Split, scorer: Any) -> Ceiling:
    """Leave-one-subject-out bounds over the same pairs that are scored: those of each fold's test stimuli.

    A scorer that has `agree` compares each subject with the mean matrix of the others; else RDMs are pooled as its
    `comparison` asks.
    """
    s = len(rdms.subjects)
    if rule in ("split_half", "ncsnr"):
        raise InputError(f"ceiling rule {rule!r} is for responses; RDMs have leave_one_subject_out or none")
    if rule == "none" or s < 2:
        why = "no ceiling by rule" if rule == "none" else "one subject"
        return Ceiling(value=np.full(s, np.nan), scale=scorer.spec.scale, method=rule, reason=(why,) * s)
    agree, bounds = getattr(scorer, "agree", None), []
    for _, rows in split.rows(rdms.stimulus_ids):
        some = torch.as_tensor(rdms.values[:, rows][:, :, rows])
        if agree is not None:
            bounds.append(_with_the_others(some, agree))
        else:
            bounds.append(leave_one_out(upper(some).T, getattr(scorer, "comparison", "spearman")))
    lower = torch.stack([low for low, _ in bounds]).mean(dim=0).numpy()
    above = torch.stack([high for _, high in bounds]).mean(dim=0).numpy()
    reason = tuple("" if v > 0 else "unreliable" for v in lower)
    return Ceiling(
        value=lower, scale=scorer.spec.scale, method="leave-one-subject-out (lower)", upper=above, reason=reason
    )


def _with_the_others(matrices: torch.Tensor, agree: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Each subject's matrix (s, n, n), of a mean distance of 1, against the mean of the others', and of everybody's."""
    scaled = matrices / upper(matrices).mean(dim=1)[:, None, None]
    pooled = [scaled[[j for j in range(len(scaled)) if j != i]].mean(dim=0) for i in range(len(scaled))]
    lower = torch.cat([agree(others, own[None]) for others, own in zip(pooled, scaled)])
    return lower, agree(scaled.mean(dim=0), scaled)
