"""The synthetic recordings are what they say: the same everywhere, of known reliability, explained by their stage."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold

from brainbench.core.arrays import blocks
from brainbench.datasets import insilico
from brainbench.datasets.insilico import Insilico, InsilicoMeg
from brainbench.errors import UnknownNameError
from brainbench.numerics.cascade import DIMENSIONS, STAGES, Cascade

DIGEST = """
import hashlib, sys
from brainbench.datasets.insilico import Insilico, InsilicoMeg
assert "torch" not in sys.modules
parts = [*Insilico().stimuli().table["sha256"]]
assert "torch" not in sys.modules
for dataset in (Insilico(), InsilicoMeg()):
    parts.append(hashlib.sha256(dataset.responses("s2").values.tobytes()).hexdigest())
print(hashlib.sha256("".join(parts).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def stimuli():
    return Insilico().stimuli()


@pytest.fixture(scope="module")
def features(stimuli):
    """Features of each stage (stimulus, feature), by the oracle's way: float32, from the pictures themselves."""
    pictures = np.stack([np.asarray(stimuli.image(name)) for name in stimuli.ids])
    maps = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return {stage: code.double().numpy() for stage, code in Cascade()(maps).items()}


def means(subject, stimuli):
    """Means over repetitions (stimulus, neuroid) in the order of the stimuli, and the truth in that of neuroids."""
    (block,) = blocks(Insilico().responses(subject))
    assert block.stimulus_ids == stimuli.ids
    return block.mean(), Insilico().truth(subject).loc[list(block.neuroid_ids)]


def test_neuroids_read_all_dimensions_of_their_stage(features):
    assert "There are 20" in Insilico.__doc__ and DIMENSIONS == 20
    for stage, code in features.items():
        signal = insilico._readouts(stage, np.random.default_rng(0), n=50)
        assert np.linalg.matrix_rank(signal, tol=1e-6) == DIMENSIONS
        unexplained = signal - code @ np.linalg.lstsq(code, signal, rcond=None)[0]
        assert np.abs(unexplained).max() < 1e-4 * np.abs(signal).max()


def cross_validated_r(x, y):
    """Mean over 5 folds of the correlation of ridge predictions with each column of y."""
    r = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        penalties = np.logspace(-2, 4, 7)
        predicted = RidgeCV(penalties, alpha_per_target=True).fit(x[train], y[train]).predict(x[test])
        a, b = (v - v.mean(axis=0) for v in (predicted, y[test]))
        r.append((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))
    return np.mean(r, axis=0)


def test_stimuli_are_distinct_and_balanced(stimuli):
    assert stimuli.ids[0] == "insilico/0001"
    assert stimuli.table["sha256"].is_unique
    assert stimuli.table["category"].value_counts().eq(50).all()
    image = stimuli.image("insilico/0400")
    assert (image.mode, image.size) == ("RGB", (128, 128))
    assert hashlib.sha256(image.tobytes()).hexdigest() == stimuli.table.loc["insilico/0400", "sha256"]


def test_pictures_have_natural_spectra(stimuli):
    luminance = np.stack([np.asarray(stimuli.image(name).convert("L"), dtype=float) for name in stimuli.ids[:100]])
    window = np.hanning(128)[:, None] * np.hanning(128)
    amplitude = np.abs(np.fft.fft2((luminance - luminance.mean((1, 2), keepdims=True)) * window)).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    band = (frequency > 0.03) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[band]), np.log(amplitude[band]), 1)[0]
    assert -1.6 < slope < -0.8


def test_identical_in_another_process():
    run = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    parts = [*Insilico().stimuli().table["sha256"]]
    for dataset in (Insilico(), InsilicoMeg()):
        parts.append(hashlib.sha256(dataset.responses("s2").values.tobytes()).hexdigest())
    assert run.stdout.strip() == hashlib.sha256("".join(parts).encode()).hexdigest()


def test_callers_cannot_corrupt_it():
    dataset = Insilico()
    before = dataset.responses("s1")
    kept = before.values.copy()
    before.values[:] = 0
    before["stimulus_id"].values[:] = "gone"
    table, truth = dataset.stimuli().table, dataset.truth("s1")
    table["category"] = truth["region"] = "gone"
    image = dataset.stimuli().image("insilico/0001")
    image.paste("red", (0, 0, 128, 128))
    after = dataset.responses("s1")
    assert np.array_equal(after.values, kept, equal_nan=True)
    assert set(after["stimulus_id"].values) == set(dataset.stimuli().ids)
    assert dataset.truth("s1")["region"].isin(STAGES).all()
    assert dataset.stimuli().table["category"].nunique() == 8
    shown = dataset.stimuli().image("insilico/0001").tobytes()
    assert hashlib.sha256(shown).hexdigest() == dataset.stimuli().table.loc["insilico/0001", "sha256"]


def test_a_part_holds_the_same_numbers_as_the_whole():
    whole = Insilico().responses("s3")
    part = Insilico().responses("s3", regions=("IT", "V2"), sessions=("2",))
    expected = whole.values[whole["session"].values == "2"][:, np.isin(whole["region"].values, ["V2", "IT"])]
    assert np.array_equal(part.values, expected, equal_nan=True)
    assert set(part["region"].values) == {"V2", "IT"}


def test_presentations_are_complete_but_for_missing_repetitions():
    responses = Insilico().responses("s1")
    pairs = set(zip(responses["stimulus_id"].values, responses["repetition"].values))
    assert len(pairs) == responses.sizes["presentation"] == 1600
    measured = np.isfinite(responses.values).sum(axis=0) / 400
    assert np.array_equal(measured, Insilico().truth("s1")["repetitions"])
    assert set(measured) == {2, 3, 4}
    assert list(responses["stimulus_id"].values[:400]) != sorted(responses["stimulus_id"].values[:400])


@pytest.mark.parametrize("dataset", [Insilico(), InsilicoMeg()], ids=lambda d: d.spec.id)
def test_unknown_names_are_refused(dataset):
    for call in ({"subject": "s9"}, {"subject": "s1", "regions": ("V3",)}, {"subject": "s1", "sessions": ("9",)}):
        with pytest.raises(UnknownNameError):
            dataset.responses(**call)


def test_truth_is_what_repetitions_show(reliability):
    """Split halves, of neuroids with an even number of repetitions, against m rho / (1 + (m - 1) rho)."""
    empirical, expected = [], []
    for subject in Insilico.spec.subjects:
        (block,) = blocks(Insilico().responses(subject))
        truth = Insilico().truth(subject).loc[list(block.neuroid_ids)]
        even = (truth["repetitions"] != 3).to_numpy()
        empirical.append(reliability(block.values[:, :, even]))
        m, rho = truth["repetitions"][even], truth["explainable_variance"][even]
        expected.append(m * rho / (1 + (m - 1) * rho))
        assert np.allclose(expected[-1], truth["reliability"][even])
    empirical, expected = np.concatenate(empirical), np.concatenate(expected)
    assert abs(np.mean(empirical - expected)) < 0.01
    assert np.abs(empirical - expected).max() < 0.2
    assert np.corrcoef(empirical, expected)[0, 1] > 0.95


@pytest.mark.parametrize("region", STAGES)
def test_oracle_reaches_the_ceiling_and_no_other_stage_does(region, stimuli, features):
    y, truth = means("s1", stimuli)
    own = (truth["region"] == region).to_numpy()
    y, ceiling = y[:, own], truth["reliability"].to_numpy()[own]
    r = {stage: cross_validated_r(features[stage], y) for stage in STAGES}
    normalized = np.median(np.sign(r[region]) * r[region] ** 2 / ceiling)
    assert 0.93 < normalized < 1.03
    others = [np.median(r[stage]) for stage in STAGES if stage != region]
    assert np.median(r[region]) - max(others) > 0.06


@pytest.mark.parametrize("region", STAGES)
def test_correlation_rdms_single_out_the_stage(region, stimuli, features):
    y, truth = means("s2", stimuli)
    upper = np.triu_indices(len(y), 1)
    recorded = np.corrcoef(y[:, (truth["region"] == region).to_numpy()])[upper]
    ranks = recorded.argsort().argsort()
    agreement = {
        stage: np.corrcoef(np.corrcoef(features[stage])[upper].argsort().argsort(), ranks)[0, 1] for stage in STAGES
    }
    best, second = sorted(agreement.values(), reverse=True)[:2]
    assert agreement[region] == best
    assert best - second > 0.05


def test_it_tells_categories_apart(stimuli, features):
    """Nearest of the regressed one-hot codes, on held-out stimuli: chance is 1/8."""
    categories = stimuli.table["category"].to_numpy()
    names = np.unique(categories)
    codes = (categories[:, None] == names).astype(float)
    right = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(codes):
        fit = RidgeCV(np.logspace(-1, 4, 6)).fit(features["IT"][train], codes[train])
        right.append(names[fit.predict(features["IT"][test]).argmax(axis=1)] == categories[test])
    assert np.concatenate(right).mean() > 0.125 + 2 * np.sqrt(0.125 * 0.875 / len(codes))


def test_meg_latencies_are_recovered(stimuli, features):
    """All stages are regressed on together at every instant: each one's own part is strongest at its latency."""
    responses = InsilicoMeg().responses("s1")
    (block,) = blocks(responses)
    y = block.mean()
    time_s = responses["time_s"].values
    parts = {}
    for stage in STAGES:
        u, _, _ = np.linalg.svd(features[stage] - features[stage].mean(axis=0), full_matrices=False)
        parts[stage] = u[:, :18] * np.sqrt(len(u))
    design = np.concatenate([parts[stage] for stage in STAGES], axis=1)
    weights, *_ = np.linalg.lstsq(design, y.reshape(len(y), -1), rcond=None)
    power = (weights.reshape(len(STAGES), 18, -1, len(time_s)) ** 2).sum(axis=(1, 2))
    silent = time_s < 0.02
    for stage, curve in zip(STAGES, power):
        assert abs(time_s[curve.argmax()] - InsilicoMeg.latency_s[stage]) <= 0.021, stage
        assert curve[silent].max() < 0.3 * curve.max()
