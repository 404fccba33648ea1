"""RDMs over time, and noise normalization that no test stimulus has a say in."""

import numpy as np
import pytest

from brainbench.benchmarks import known
from brainbench.core.arrays import rdms_array, responses_array
from brainbench.core.splits import Fold, Split
from brainbench.datasets import DATASETS
from brainbench.datasets.insilico import InsilicoMeg
from brainbench.dissimilarities import noise_sd, rdms
from brainbench.errors import InputError, UnknownNameError, UsageError
from brainbench.numerics.ceilings import leave_one_out
from brainbench.numerics.rdm import upper
from brainbench.scorers import load
from brainbench.scorers.rsa import RSA
from brainbench.targets import targets

BENCHMARK = known()["insilico_meg.sensors-rsa"]
IDS = tuple(f"s{n:02d}" for n in range(12))
SPLIT = Split(
    folds=(Fold(train=IDS[:6], test=IDS[6:]), Fold(train=IDS[6:], test=IDS[:6])), unit={i: f"content:{i}" for i in IDS}
)


class Recording:
    """Two subjects, 12 stimuli, 3 repetitions, 5 sensors of very different noise, 4 bins."""

    spec = InsilicoMeg.spec

    def __init__(self, change=lambda values: values, repetitions=3, time=True):
        self.change, self.repetitions, self.time = change, repetitions, time

    def responses(self, subject, *, regions=None, sessions=None):
        rng = np.random.default_rng(ord(subject[-1]))
        signal = rng.normal(size=(12, 1, 5, 4))
        noise = rng.normal(size=(12, self.repetitions, 5, 4)) * np.array([0.1, 0.5, 1, 3, 20])[:, None]
        values = self.change((signal + noise).reshape(12 * self.repetitions, 5, 4).astype(np.float32))
        return responses_array(
            values if self.time else values[:, :, 0],
            stimulus_id=np.repeat(np.array(IDS, dtype=object), self.repetitions),
            repetition=np.tile(np.arange(self.repetitions), 12),
            session=["1"] * len(values),
            neuroid_id=[f"{subject}{n}" for n in range(5)],
            region=["sensors"] * 5,
            **({"time_s": [0.0, 0.1, 0.2, 0.3]} if self.time else {}),
        )


def made(recording, **params):
    return rdms(recording, "sensors", BENCHMARK, RSA(**params), SPLIT)


def by_hand(values, sd):
    """1 - r over sensors of the mean responses (12, 3, 5) over sd."""
    return 1 - np.corrcoef(values.mean(axis=1) / sd)


def test_a_column_is_the_rdm_of_its_subject_and_bin():
    found = made(Recording())
    assert found.subjects == ("s1",) * 4 + ("s2",) * 4 and found.times == (0.0, 0.1, 0.2, 0.3) * 2
    values = Recording().responses("s2").values.reshape(12, 3, 5, 4).astype(float)
    np.testing.assert_allclose(found.values[6], by_hand(values[..., 2], 1.0), atol=1e-6)


def test_sensors_are_divided_by_the_noise_of_their_folds_training_stimuli():
    found = made(Recording(), noise_normalization="univariate")
    assert found.values.shape == (2, 8, 12, 12)
    values = Recording().responses("s1").values.reshape(12, 3, 5, 4).astype(float)
    for fold, train in enumerate((slice(0, 6), slice(6, 12))):
        sd = np.sqrt(values[train].var(axis=1, ddof=1).mean(axis=(0, 2)))
        np.testing.assert_allclose(noise_sd(values[train]), sd)
        np.testing.assert_allclose(found.of_fold(fold)[1], by_hand(values[..., 1], sd), atol=1e-5)
    plain = made(Recording())
    assert np.abs(found.of_fold(0) - plain.of_fold(0)).max() > 0.1  # the noisy sensor no longer rules
    assert np.abs(found.of_fold(0) - found.of_fold(1)).max() > 1e-3


def test_no_test_stimulus_has_a_say_in_the_noise():
    """Repetitions of the first fold's test stimuli scatter a thousand times as much, around the same means."""

    def scattered(values):
        values = values.reshape(12, 3, 5, 4).copy()
        values[6:] += 1000 * np.random.default_rng(0).permuted(
            np.broadcast_to(np.array([-1, 0, 1])[None, :, None, None], values[6:].shape), axis=1
        )
        return values.reshape(36, 5, 4)

    plain, other = (made(Recording(change), noise_normalization="univariate") for change in (lambda v: v, scattered))
    np.testing.assert_allclose(other.of_fold(0), plain.of_fold(0), atol=1e-3)
    assert np.abs(other.of_fold(1) - plain.of_fold(1)).max() > 0.05  # there they train


def test_noise_of_single_presentations_is_unknown_and_refused():
    with pytest.raises(InputError, match="5 of 5 neuroids have no noise that repetitions of training stimuli show"):
        made(Recording(repetitions=1), noise_normalization="univariate")
    assert np.isnan(noise_sd(np.zeros((4, 1, 3)))).all()
    with pytest.raises(UsageError, match="no noise normalization 'multivariate'; there are none, univariate"):
        RSA(noise_normalization="multivariate")


def test_released_dissimilarities_have_no_noise_to_divide_by():
    released = known()["kriegeskorte2008.humanIT-rsa"]

    class Released:
        spec = type("spec", (), {"measures": ("rdms",)})

    with pytest.raises(InputError, match="was released as dissimilarities"):
        rdms(Released(), "hIT", released, RSA(noise_normalization="univariate"), SPLIT)


def test_gaps_and_repetitions_that_differ_in_number():
    values = np.random.default_rng(1).normal(size=(50, 4, 2, 3))
    values[::2, 2:] = np.nan
    residual = values - np.nanmean(values, axis=1, keepdims=True)
    free = (np.isfinite(values).sum(axis=1) - 1).sum(axis=(0, 2))
    np.testing.assert_allclose(noise_sd(values), np.sqrt(np.nansum(residual**2, axis=(0, 1, 3)) / free))


def test_without_time_normalized_rdms_are_those_of_the_only_bin():
    found = made(Recording(time=False), noise_normalization="univariate")
    assert found.values.shape == (2, 2, 12, 12) and found.times == ()


def test_ceilings_are_each_bins_own():
    benchmark = BENCHMARK.model_copy(update={"params": {"comparison": "pearson", "noise_normalization": "univariate"}})

    class Some(InsilicoMeg):
        def stimuli(self):
            everything = super().stimuli()
            return everything.select(everything.ids[:40])

        def responses(self, subject, **asked):
            whole = super().responses(subject, **asked)
            return whole[np.isin(whole["stimulus_id"].values.astype(str), self.stimuli().ids)][:, :, 8:12]

    scorer = load("rsa", benchmark.params)
    (target,) = targets(Some(), [benchmark], scorer)
    import torch

    expected = []
    for fold, (_, rows) in enumerate(target.split.rows(target.data.stimulus_ids)):
        of_bin = target.data.of_fold(fold)[[2, 6]][:, rows][:, :, rows]  # bin 2 of both subjects
        expected.append(leave_one_out(upper(torch.as_tensor(of_bin)).T, "pearson")[0].numpy())
    got = target.ceilings["leave_one_subject_out"].value[[2, 6]]
    np.testing.assert_allclose(got, np.mean(expected, axis=0), atol=1e-6)


def test_of_released_rdms_only_the_subjects_and_sessions_of_the_benchmark_are_taken():
    drawn = np.abs(np.random.default_rng(0).normal(size=(3, 2, 4, 4)))
    values = (drawn + drawn.swapaxes(2, 3)) * (1 - np.eye(4))

    class Released:
        spec = DATASETS["kriegeskorte2008"].spec

        def rdms(self, region):
            return rdms_array(values, subject=list("abc"), session=["1", "2"], stimulus_id=list("wxyz"))

    def of(**asked):
        benchmark = known()["kriegeskorte2008.humanIT-rsa"].model_copy(update=asked)
        return rdms(Released(), "humanIT", benchmark, RSA(), SPLIT)

    assert of().subjects == ("a", "b", "c")
    np.testing.assert_allclose(of().values, values.mean(axis=1))
    one = of(subjects=("b",), sessions=("2",))
    assert one.subjects == ("b",)
    np.testing.assert_allclose(one.values, values[1:2, 1])
    with pytest.raises(UnknownNameError, match="session of kriegeskorte2008 in humanIT '3'"):
        of(sessions=("3",))
