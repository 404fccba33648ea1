"""Queries in words: how selective a region's neuroids are for prompts, in a joint space of pictures and text.

Every neuroid's ridge readout w is fitted in the space of the pictures' embeddings; its selectivity for a prompt with
embedding t is w·t/‖t‖ (see `numerics.selectivity`). A region's is the mean over its neuroids, and its label the prompt
that most neuroids prefer. A replicate draws stimuli (whole groups) and neuroids anew, and fits again with the
penalties of all stimuli: intervals are for other pictures and other neuroids of these subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainbench import extraction
from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, take
from brainbench.core.jsonable import jsonable
from brainbench.core.specs import fingerprint
from brainbench.errors import InputError
from brainbench.models.joint import Joint
from brainbench.numerics.correlation import constant
from brainbench.numerics.resampling import interval, multiplicities, seed_of
from brainbench.numerics.selectivity import Readouts, preferred, readouts, selectivity
from brainbench.settings import Setting, environment
from brainbench.targets import Target

N_REPLICATES = 200  # each decomposes the features of its stimuli once


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt in one region: mean selectivity over neuroids, in standard deviations of the response per unit of
    length, and the share of neuroids that prefer it, with 95 % intervals; `first` is the share of replicates in which
    its selectivity is the greatest.
    """

    prompt: str
    selectivity: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Prompts from the most to the least selective, and the label: the prompt that most neuroids prefer.

    `r2` is the median over neuroids of the readout's leave-one-out R². Where it is not above 0 the space explains
    nothing of the region, and an order of prompts means nothing. `left_out` neuroids do not vary, or lack a stimulus.
    """

    benchmark: str
    dataset: str
    region: str
    model: str
    synthetic: bool
    n_stimuli: int
    n_neuroids: int
    left_out: int
    r2: float
    label: str
    prompts: tuple[Prompt, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, undefined numbers as null."""
        plain: dict[str, Any] = jsonable(self)
        return plain


def query(
    joint: Joint, prompts: Sequence[str], benchmark: Benchmark, targets: Sequence[Target], setting: Setting
) -> Region:
    """The prompts in the region of a benchmark, over all its subjects and sessions.

    Raises InputError where no neuroid can be read out, and what network, pictures and store raise.
    """
    directions = joint.texts(prompts).to(setting.device)
    fits, units, left_out = [], [], 0
    for target in targets:
        x = _embedded(joint, target, setting)
        fitted, dropped = _fitted(x, target, setting.device)
        left_out += dropped
        if fitted is not None:
            fits.append(fitted)
            assert isinstance(target.data, Block)
            units.append([target.split.unit[name] for name in target.data.stimulus_ids])
    if not fits:
        raise InputError(f"no neuroid of {benchmark.id} varies and has a response to every stimulus")
    found = torch.cat([selectivity(fitted, directions) for fitted in fits], dim=1)
    drawn, shares = _replicates(fits, units, directions, fingerprint({"query": benchmark.recording}))
    mean, share = found.mean(dim=1), _shares(found)
    first = np.bincount(drawn.argmax(axis=1), minlength=len(prompts)) / len(drawn)
    told = []
    for number in mean.argsort(descending=True, stable=True).tolist():
        low, high = interval(drawn[:, number])
        share_low, share_high = interval(shares[:, number])
        told.append(
            Prompt(
                prompt=prompts[number],
                selectivity=float(mean[number]),
                low=low,
                high=high,
                share=float(share[number]),
                share_low=share_low,
                share_high=share_high,
                first=float(first[number]),
            )
        )
    return Region(
        benchmark=benchmark.id,
        dataset=benchmark.dataset,
        region=benchmark.region,
        model=joint.model.spec.id,
        synthetic=False,
        n_stimuli=len({name for target in targets for name in target.stimuli.ids}),
        n_neuroids=found.shape[1],
        left_out=left_out,
        r2=float(torch.cat([fitted.cv_r2 for fitted in fits]).double().quantile(0.5)),
        label=prompts[int(share.argmax())],
        prompts=tuple(told),
    )


def _embedded(joint: Joint, target: Target, setting: Setting) -> Tensor:
    """The pictures' points, rows as the target's responses."""
    model, (layer,) = joint.model, joint.model.spec.layers
    extraction.extract(
        model,
        target.stimuli,
        setting.store,
        device=setting.device,
        provenance=environment(setting.device),
        progress=setting.progress.step,
        max_bytes=setting.max_bytes // 4,
    )
    found = extraction.representation(model, layer, target.stimuli, setting.store)
    if found is None or found.features is None:
        raise InputError(f"the embeddings of {model.spec.id} were damaged after they were stored; run again")
    assert isinstance(target.data, Block)
    rows = take(found.stimulus_ids, target.data.stimulus_ids, what="the embeddings")
    return found.features[torch.as_tensor(rows)].to(setting.device)


def _fitted(x: Tensor, target: Target, device: str) -> tuple[Readouts | None, int]:
    """Readouts of the target's neuroids, None where there are none, and how many are left out."""
    assert isinstance(target.data, Block)
    if target.times:
        raise InputError("responses with a time axis have no readout here: a query takes recordings without one")
    mean = target.data.mean()
    y = torch.as_tensor(mean, device=device)
    usable = y.isfinite().all(dim=0) & ~constant(y.nan_to_num())
    kept = y[:, usable]
    return (readouts(x, kept) if kept.shape[1] else None), int((~usable).sum())


def _shares(found: Tensor) -> Tensor:
    """The share of neuroids (columns) that prefer each prompt."""
    return torch.bincount(preferred(found), minlength=len(found)).double() / found.shape[1]


def _replicates(
    fits: Sequence[Readouts], units: Sequence[Sequence[str]], directions: Tensor, seed: str
) -> tuple[np.ndarray, np.ndarray]:
    """Mean selectivity and share of every prompt in each replicate, (B, t) both."""
    every = sorted({unit for own in units for unit in own})  # what several subjects saw is drawn for all of them
    place = {unit: number for number, unit in enumerate(every)}
    drawn = multiplicities(every, N_REPLICATES, seed_of(seed, "stimuli"))
    draws = [drawn[:, [place[unit] for unit in own]] for own in units]
    rng = np.random.default_rng(seed_of(seed, "neuroids"))
    means, shares = [], []
    for replicate in range(N_REPLICATES):
        found = torch.cat(
            [selectivity(fit, directions, torch.as_tensor(own[replicate])) for fit, own in zip(fits, draws)], dim=1
        )
        some = torch.as_tensor(rng.integers(found.shape[1], size=found.shape[1]), device=found.device)
        means.append(found[:, some].mean(dim=1).cpu().numpy())
        shares.append(_shares(found[:, some]).cpu().numpy())
    return np.stack(means), np.stack(shares)
