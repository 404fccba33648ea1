"""What a recording says of itself: signal is told from noise, and single presentations from repeated ones."""

import math

import numpy as np
import pytest
import torch

from brainbench.analysis import recording
from brainbench.analysis.recording import describe
from brainbench.benchmarks import known
from brainbench.core.arrays import responses_array
from brainbench.datasets.insilico import Insilico
from brainbench.errors import UsageError
from brainbench.numerics.spectrum import CrossValidatedSpectrum

N, R, V = 60, 4, 30


def of(change, monkeypatch, *, name="insilico.V4-ridge", repetitions=R, neuroids=V):
    """The description of one subject whose responses are `change(signal, noise)`."""
    rng = np.random.default_rng(0)
    values = change(rng.normal(size=(N, 1, neuroids)), rng.normal(size=(N, repetitions, neuroids)))

    class Made(Insilico):
        def responses(self, subject, **asked):
            return responses_array(
                values.reshape(-1, neuroids),
                stimulus_id=[f"s{i:03d}" for i in range(N) for _ in range(repetitions)],
                repetition=list(range(repetitions)) * N,
                session=["1"] * (N * repetitions),
                neuroid_id=[f"n{k:03d}" for k in range(neuroids)],
                region=["V4"] * neuroids,
            )

    monkeypatch.setattr(recording.datasets, "load", lambda name, roots: Made())
    (found,) = describe(known()[name].model_copy(update={"subjects": ("s1",)}), {})
    return found


@pytest.mark.parametrize("neuroids", [V, 90])
def test_the_share_of_signal_is_what_was_put_in(monkeypatch, neuroids):
    """Signal of variance 1, noise of variance 2 a presentation: 1 / (1 + 2 / 4) of the means is signal.

    Tolerances are three standard deviations: noise of two halves meets by sqrt(V / N) times its variance.
    """
    found = of(lambda s, e: s + 2**0.5 * e, monkeypatch, neuroids=neuroids)
    assert found.signal_share == pytest.approx(1 / 1.5, abs=0.1)
    assert found.variance == pytest.approx(1.5 * neuroids, rel=0.1)
    assert (found.n_stimuli, found.n_neuroids, found.n_repetitions, found.synthetic) == (N, neuroids, R, True)
    assert 1 < found.participation_ratio < found.rankme_covariance < min(N, neuroids)


def test_noise_alone_has_no_signal_and_no_noise_is_all_signal(monkeypatch):
    assert of(lambda s, e: e, monkeypatch).signal_share == pytest.approx(0, abs=0.15)
    clean = of(lambda s, e: s + 0 * e, monkeypatch)
    assert clean.signal_share == pytest.approx(1) and clean.alpha_req == pytest.approx(clean.alpha_req_signal)


def test_both_exponents_are_over_the_same_eigenvalues(monkeypatch):
    """However many of the cross-validated ones happen to be above 0; the spectrum bends, so the range matters."""
    k = np.arange(1, N, dtype=float)
    values = np.where(k <= 20, k**-1.0, 20.0**2 * k**-3.0)
    values[34:] *= -1
    made = CrossValidatedSpectrum(values=torch.as_tensor(values), n_stimuli=N, n_neuroids=90)
    monkeypatch.setattr(recording, "cross_validated_spectrum", lambda *given, **options: made)
    found = of(lambda s, e: s + e, monkeypatch, neuroids=90)
    assert found.alpha_req_points == 19  # 11..29: half of the rank of 60 stimuli
    assert found.alpha_req_signal == pytest.approx(-np.polyfit(np.log(k[10:29]), np.log(values[10:29]), 1)[0])
    values[28] *= -1
    assert math.isnan(of(lambda s, e: s + e, monkeypatch, neuroids=90).alpha_req_signal)


def test_single_presentations_tell_no_signal(monkeypatch):
    found = of(lambda s, e: s + e, monkeypatch, repetitions=1)
    assert math.isnan(found.signal_share) and math.isnan(found.alpha_req_signal) and found.participation_ratio > 1


def test_neuroids_that_lack_a_stimulus_are_left_out(monkeypatch):
    def with_gap(s, e):
        values = s + e
        values[3, :, :5] = np.nan
        return values

    assert of(with_gap, monkeypatch).n_neuroids == V - 5


def test_presentations_with_a_gap_are_in_neither_side_of_the_share(monkeypatch):
    """Half of the neuroids recorded on in later presentations, where all respond twice as strongly."""

    def uneven(s, e):
        values = s + 0 * e
        values[:, 2:] *= 2
        values[:, 2:, : V // 2] = np.nan
        return values

    found = of(uneven, monkeypatch)
    assert found.signal_share == pytest.approx(1) and found.n_repetitions == 2


@pytest.mark.parametrize("name", ["kriegeskorte2008.humanIT-rsa", "insilico.category-svm"])
def test_without_responses_there_is_nothing_to_describe(name, monkeypatch):
    if name.startswith("krieg"):

        class Released:
            spec = type("Spec", (), {"measures": ("rdms",)})

        monkeypatch.setattr(recording.datasets, "load", lambda name, roots: Released())
    with pytest.raises(UsageError, match="rests on no responses"):
        describe(known()[name], {})
