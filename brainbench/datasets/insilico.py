"""Synthetic recordings of which everything is known: a small cascade of stages watched through noise."""

from __future__ import annotations

import hashlib
from functools import cache
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from brainbench.core.arrays import responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets._pictures import FORMS, picture
from brainbench.datasets._sessions import chosen

N_STIMULI = 400
REPETITIONS = 4
_SESSION = ("1", "1", "2", "2")  # of each repetition
_SEED = 2_024
_NEUROIDS = 50  # a region and subject
_SENSORS = 32
_STAGES = ("V1", "V2", "V4", "IT")
_CITATION = "synthetic, made by brainbench"
_LICENCE = "BSD-3-Clause"
_URL = "https://github.com/brainbench/brainbench"


class Insilico:
    """Single presentations of 400 drawn pictures to four stages of `brainbench.numerics.cascade.Cascade`.

    A neuroid of a region is a random linear readout of all dimensions of that stage's code plus Gaussian noise, new
    for every presentation. There are 20, so few that 320 stimuli are enough to learn any readout: a ridge regression
    from the right stage can reach the ceiling and none can pass it. Subjects differ in readouts and noise. A quarter
    of the neuroids lacks the last one or two repetitions.
    """

    spec = DatasetSpec(
        id="insilico",
        version=1,
        title="Synthetic cortex: readouts of a four-stage cascade with known noise",
        species="synthetic",
        modality="synthetic single presentations",
        measures=("responses",),
        subjects=("s1", "s2", "s3"),
        regions=_STAGES,
        unit="arbitrary",
        citation=_CITATION,
        licence=_LICENCE,
        url=_URL,
        synthetic=True,
    )

    def stimuli(self) -> StimulusSet:
        """400 RGB pictures of 128 px, 50 of each `category`, which is the `stratum` too; drawn on the first call."""
        return _stimuli(self.spec.id)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Presentations in the order of their session, stimuli shuffled; NaN in repetitions a neuroid lacks.

        A neuroid has the same numbers whichever regions and sessions are asked for with it. Raises UnknownNameError
        for a subject, region or session that does not exist.
        """
        regions = chosen("region of insilico", regions, self.spec.regions)
        stimulus, repetition, session = _presentations(subject, self.spec, sessions)
        truth = self.truth(subject)
        truth = truth[truth["region"].isin(regions)]
        values = np.concatenate([self._region(subject, region)[stimulus, repetition] for region in regions], axis=1)
        values[repetition[:, None] >= truth["repetitions"].to_numpy()] = np.nan
        return responses_array(
            values,
            stimulus_id=_ids()[stimulus],
            repetition=repetition.tolist(),
            session=session,
            neuroid_id=truth.index,
            region=truth["region"],
        )

    def truth(self, subject: str) -> pd.DataFrame:
        """What is exactly known of each neuroid (index `neuroid_id`) of one subject.

        `region`, `repetitions` m, `explainable_variance` rho of a single presentation, and `reliability`
        m rho / (1 + (m - 1) rho) of the mean of all m: the highest r² that predictions of that mean can expect.
        """
        chosen("subject of insilico", (subject,), self.spec.subjects)
        rho = np.concatenate([_explainable_variance(self._rng(subject, region)) for region in _STAGES])
        m = np.tile(np.resize([4, 4, 4, 4, 3, 4, 4, 2], _NEUROIDS), len(_STAGES))
        return pd.DataFrame(
            {
                "region": np.repeat(_STAGES, _NEUROIDS),
                "repetitions": m,
                "explainable_variance": rho,
                "reliability": m * rho / (1 + (m - 1) * rho),
            },
            index=pd.Index([f"{subject}-{r}-{n:02d}" for r in _STAGES for n in range(_NEUROIDS)], name="neuroid_id"),
        )

    def signal(self, subject: str, region: str) -> np.ndarray:
        """(stimulus, neuroid): what the neuroids of a region would do without noise, rows in the order of stimuli."""
        rng = self._rng(subject, region)
        _explainable_variance(rng)
        return _readouts(region, rng, n=_NEUROIDS)

    def _rng(self, subject: str, region: str) -> np.random.Generator:
        return np.random.default_rng([_SEED, 1, self.spec.subjects.index(subject), _STAGES.index(region)])

    def _region(self, subject: str, region: str) -> np.ndarray:
        """(stimulus, repetition, neuroid): the signal, and noise that leaves it the share rho of the variance."""
        rng = self._rng(subject, region)
        rho = _explainable_variance(rng)  # drawn first, as `truth` does
        signal = _readouts(region, rng, n=_NEUROIDS)
        noise = rng.normal(size=(N_STIMULI, REPETITIONS, _NEUROIDS))
        values: np.ndarray = signal[:, None] + signal.std(axis=0) * np.sqrt((1 - rho) / rho) * noise
        return values


class InsilicoMeg:
    """The same pictures and stages seen by 32 synthetic sensors over time, each region with a latency of its own.

    A sensor is a sum over regions of a random readout of the stage (variance 1) times the sensor's gain for that
    region times the region's time course (peak 1 at `latency_s`), plus white noise of standard deviation 1.
    """

    latency_s = MappingProxyType({"V1": 0.08, "V2": 0.11, "V4": 0.14, "IT": 0.18})

    spec = DatasetSpec(
        id="insilico_meg",
        version=1,
        title="Synthetic MEG: a four-stage cascade with known latencies, seen by sensors",
        species="synthetic",
        modality="MEG (synthetic)",
        measures=("responses",),
        subjects=("s1", "s2"),
        regions=("sensors",),
        unit="standard deviations of the noise",
        citation=_CITATION,
        licence=_LICENCE,
        url=_URL,
        synthetic=True,
    )

    def stimuli(self) -> StimulusSet:
        """The 400 pictures of `insilico`."""
        return _stimuli(self.spec.id)

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """(presentation, sensor, time) from -0.1 to 0.5 s after onset in steps of 0.02 s; nothing is missing.

        Raises UnknownNameError for a subject, region or session that does not exist.
        """
        chosen("region of insilico_meg", regions, self.spec.regions)
        stimulus, repetition, session = _presentations(subject, self.spec, sessions)
        time_s = np.arange(-5, 26) / 50
        rng = np.random.default_rng([_SEED, 2, self.spec.subjects.index(subject)])
        signal = np.zeros((N_STIMULI, _SENSORS, len(time_s)))
        for region, latency in self.latency_s.items():
            topography = rng.gamma(2, 0.4, size=(_SENSORS, 1)) * _scaled(_readouts(region, rng, n=_SENSORS))[..., None]
            signal += topography * _course(time_s, latency)
        noise = rng.normal(size=(N_STIMULI, REPETITIONS, *signal.shape[1:]))
        return responses_array(
            (signal[:, None] + noise)[stimulus, repetition],
            stimulus_id=_ids()[stimulus],
            repetition=repetition.tolist(),
            session=session,
            neuroid_id=[f"{subject}-{n:02d}" for n in range(_SENSORS)],
            region=["sensors"] * _SENSORS,
            time_s=time_s.tolist(),
        )


def _presentations(
    subject: str, spec: DatasetSpec, sessions: tuple[str, ...] | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Stimulus number, repetition and session of each presentation, in an order of the subject's own."""
    chosen(f"subject of {spec.id}", (subject,), spec.subjects)
    wanted = chosen(f"session of {spec.id}", sessions, tuple(dict.fromkeys(_SESSION)))
    rng = np.random.default_rng([_SEED, 3, spec.subjects.index(subject)])
    order = np.stack([rng.permutation(N_STIMULI) for _ in range(REPETITIONS)])
    repetitions = [r for r in range(REPETITIONS) if _SESSION[r] in wanted]
    repetition = np.repeat(repetitions, N_STIMULI)
    return order[repetitions].ravel(), repetition, [_SESSION[r] for r in repetition]


def _explainable_variance(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.15, 0.75, size=_NEUROIDS)


def _course(time_s: np.ndarray, latency_s: float) -> np.ndarray:
    """A gamma function that starts at half the latency and peaks at it, with value 1."""
    since = np.maximum(2 * time_s / latency_s - 1, 0)  # 0 at the start, 1 at the peak
    course: np.ndarray = (since * np.exp(1 - since)) ** 4
    return course


def _scaled(signal: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 over the stimuli."""
    values: np.ndarray = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return values


def _readouts(stage: str, rng: np.random.Generator, *, n: int) -> np.ndarray:
    """(stimulus, n): readouts of the stage's code with isotropic random weights, which keep its geometry on average."""
    code = _codes()[stage]
    values: np.ndarray = code @ rng.normal(size=(code.shape[1], n)) / np.sqrt(n)
    return values


@cache
def _codes() -> dict[str, np.ndarray]:
    """The code (stimulus, dimension) of each stage, in double precision, so that all machines agree in single."""
    import torch

    from brainbench.numerics.cascade import Cascade

    cascade = Cascade().double()
    pictures = np.stack(_pixels()).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        parts = [cascade(torch.from_numpy(chunk).double() / 255) for chunk in np.array_split(pictures, 16)]
    codes = {stage: np.concatenate([part[stage].numpy() for part in parts]) for stage in _STAGES}
    for code in codes.values():
        code.flags.writeable = False
    return codes


@cache
def _ids() -> np.ndarray:
    return np.array([f"insilico/{n + 1:04d}" for n in range(N_STIMULI)], dtype=object)


def _category(number: int) -> str:
    return sorted(FORMS)[number % len(FORMS)]


@cache
def _pixels() -> tuple[np.ndarray, ...]:
    """All pictures: 20 MB, 2 s to draw."""
    return tuple(picture(_category(n), seed=(_SEED, n)) for n in range(N_STIMULI))


def _stimuli(name: str) -> StimulusSet:
    numbers = {stimulus_id: n for n, stimulus_id in enumerate(_ids())}
    categories = [_category(n) for n in range(N_STIMULI)]
    table = pd.DataFrame(
        {
            "sha256": [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in _pixels()],
            "category": categories,
            "stratum": categories,
        },
        index=pd.Index(_ids(), name="stimulus_id"),
    )
    return StimulusSet(name=name, table=table, open=lambda i: Image.fromarray(_pixels()[numbers[i]]))
