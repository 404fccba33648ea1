"""The geometry of a recording itself, free of the noise that lifts the tail of its spectrum.

The mean over repetitions holds signal and what noise is left of it. `cross_validated_spectrum` (cvPCA, Stringer et al.
2019) holds signal alone: noise that two halves of the repetitions do not share averages to 0. Beside it stand the
dimensions of the mean, which layers are measured by, at the same number of stimuli.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from brainbench import datasets
from brainbench.benchmarks import Benchmark
from brainbench.core.arrays import Block, blocks
from brainbench.core.shown import shown
from brainbench.core.specs import fingerprint
from brainbench.errors import UsageError
from brainbench.numerics.resampling import seed_of
from brainbench.numerics.spectrum import (
    alpha_req,
    cross_validated_spectrum,
    eigenvalues,
    eigenvalues_of_features,
    participation_ratio,
    rank,
    rankme,
)

N_HALVINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Neuroids of one subject that were shown the same stimuli; those that lack one are left out.

    So are presentations that not all of them were recorded in, where every stimulus has one that all were.

    `variance` is that of the means over `n_repetitions` (the median of stimuli), summed over neuroids; `signal_share`
    the share of it that is seen again in the other half, NaN where a stimulus has no two complete presentations.
    `participation_ratio` and `rankme_covariance` are of the means, noise included. `alpha_req` is the exponent of their
    spectrum, `alpha_req_signal` that of the cross-validated one, both over the same `alpha_req_points` eigenvalues:
    NaN below 3, or where one of them is not positive.
    """

    benchmark: str
    synthetic: bool
    subject: str
    n_stimuli: int
    n_neuroids: int
    n_repetitions: float
    variance: float
    signal_share: float
    participation_ratio: float
    rankme_covariance: float
    alpha_req: float
    alpha_req_signal: float
    alpha_req_points: int


def describe(benchmark: Benchmark, roots: dict[str, Any]) -> list[Described]:
    """The benchmark's recording, a row for each subject and set of stimuli.

    Raises UsageError where there are no responses over stimuli: for RDMs, labels, and recordings with a time axis.
    """
    dataset: Any = shown(datasets.load(benchmark.dataset, roots), benchmark.stimuli)
    if "responses" not in dataset.spec.measures or not benchmark.region:
        raise UsageError(f"{benchmark.id} rests on no responses of neuroids: there is no spectrum to describe")
    found = []
    for subject in benchmark.subjects or dataset.spec.subjects:
        responses = dataset.responses(subject, regions=(benchmark.region,), sessions=benchmark.sessions)
        if responses.ndim != 2:
            raise UsageError(f"{benchmark.id} has a time axis; only recordings without one are described")
        for block in blocks(responses):
            seed = seed_of(fingerprint({"recording": benchmark.recording, "subject": subject}), "spectrum")
            found.append(
                Described(
                    benchmark=benchmark.id,
                    synthetic=dataset.spec.synthetic,
                    subject=subject,
                    **_described(block, int(seed.generate_state(1)[0])),
                )
            )
    return found


def _described(block: Block, seed: int) -> dict[str, Any]:
    values = block.values[:, :, np.isfinite(block.mean()).all(axis=0)]
    whole = np.isfinite(values).all(axis=2, keepdims=True)
    if whole.any(axis=1).all():  # else halves and means would be of other presentations, and their variances of others
        values = np.where(whole, values, np.nan)
    mean = torch.as_tensor(np.nanmean(values, axis=1))
    n, v = mean.shape
    around = mean - mean.mean(dim=0)
    spectrum = mean.new_empty(0)
    if v:
        spectrum = eigenvalues_of_features(mean) if v < n else eigenvalues(around @ around.T, n_units=v)
    signal = cross_validated_spectrum(
        torch.as_tensor(values),
        n_splits=N_HALVINGS,
        generator=torch.Generator().manual_seed(seed),
    )
    law, law_of_signal = (alpha_req(values, of_rank=rank(spectrum)) for values in (spectrum, signal.values))
    variance = float(spectrum.sum())
    told = signal.n_stimuli == n and variance > 0  # else the two are of other stimuli
    return {
        "n_stimuli": n,
        "n_neuroids": v,
        "n_repetitions": float(np.median(np.isfinite(values).any(axis=2).sum(axis=1))),
        "variance": variance,
        "signal_share": float(signal.values.sum()) / variance if told else float("nan"),
        "participation_ratio": participation_ratio(spectrum),
        "rankme_covariance": rankme(spectrum, on="covariance"),
        "alpha_req": law.exponent,
        "alpha_req_signal": law_of_signal.exponent if law_of_signal.n_points == law.n_points else float("nan"),
        "alpha_req_points": law.n_points,
    }
