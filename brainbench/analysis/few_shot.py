"""Readouts from few stimuli, size by size: scores with intervals, and paired differences from a reference.

A replicate resamples test stimuli (whole groups) with the same multiplicities for every readout and size; supports stay
as they are, so an interval says what other test stimuli would have shown of these very readouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brainbench.core.score import normalized
from brainbench.core.specs import fingerprint
from brainbench.cuts import nanmean, nanmedian
from brainbench.numerics.representation import Representation
from brainbench.numerics.resampling import interval, multiplicities, seed_of
from brainbench.targets import Target

N_REPLICATES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One readout at one size: over neuroids, mean r and median share of what can be explained, with its interval.

    `difference` is that of mean r from the reference at the same size, with its paired interval.
    """

    readout: str
    size: int
    mean_r: float
    share: float
    share_low: float
    share_high: float
    difference: float
    low: float
    high: float


def few_shot(
    readouts: Mapping[str, tuple[Any, Representation]],
    target: Target,
    sizes: Sequence[int],
    *,
    reference: str,
    device: str = "cpu",
) -> list[Point]:
    """Every readout (a few-shot scorer and the features it reads) at every size, compared with the `reference`."""
    ceiling = target.ceilings["split_half"]
    units = [target.split.unit[name] for name in target.data.stimulus_ids]
    draws = seed_of(fingerprint({"few_shot": units}), "stimuli")
    weights = multiplicities(units, N_REPLICATES, draws)
    columns = np.arange(len(target.names))
    points = []
    for size in sizes:
        found = {}
        for name, (scorer, representation) in readouts.items():
            own = replace(scorer, support=size, sizes=())
            score = own.score(representation, target.data, target.split, seed=0, device=device)
            drawn = score.resample(weights, list(range(len(target.split.folds))), columns)
            found[name] = score.raw, nanmean(np.moveaxis(drawn, 1, 2))  # a fold may lose all its stimuli in a replicate
        mean, replicates = found[reference]
        for name, (raw, drawn) in found.items():
            share = nanmedian(normalized(drawn, "r", ceiling))
            low, high = interval(nanmean(drawn) - nanmean(replicates))
            share_low, share_high = interval(share)
            points.append(
                Point(
                    readout=name,
                    size=size,
                    mean_r=float(nanmean(raw)),
                    share=float(nanmedian(normalized(raw, "r", ceiling)[None])[0]),
                    share_low=share_low,
                    share_high=share_high,
                    difference=float(nanmean(raw) - nanmean(mean)),
                    low=low,
                    high=high,
                )
            )
    return points
