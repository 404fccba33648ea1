"""The brain as a row: what its features are, where it may stand, and features made as few and as noisy as it is."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import brainbench as bb
from brainbench import datasets, models, recorded, runner, settings
from brainbench.benchmarks import known
from brainbench.core.arrays import blocks, responses_array
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets.insilico import Insilico, InsilicoMeg
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError
from brainbench.models.features_file import FeatureTable

IDS = tuple(f"p{n}" for n in range(12))


class Sessions:
    """Two subjects with two sessions each, of which `shown` says what they showed; a neuroid a session and one more."""

    spec = replace(Insilico.spec, id="insilico", subjects=("x", "y"), regions=("V4",))

    def __init__(self, shown, spoil=()):
        self.shown, self.spoil = shown, spoil

    def stimuli(self):
        table = pd.DataFrame({"sha256": IDS}, index=pd.Index(IDS, name="stimulus_id"))
        return StimulusSet(name="sessions", table=table)

    def responses(self, subject, *, regions=None, sessions=None):
        own = {s: ids for s, ids in self.shown[subject].items() if sessions is None or s in sessions}
        ids = [name for shown in own.values() for name in shown * 3]
        session = np.array([s for s, shown in own.items() for _ in shown * 3], dtype=object)
        values = np.full((len(ids), 2 * len(own)), np.nan)
        for at, name in enumerate(own):
            rng = np.random.default_rng([ord(subject), int(name)])
            values[session == name, 2 * at : 2 * at + 2] = rng.normal(size=((session == name).sum(), 2))
        for name, column in self.spoil:
            values[np.asarray(ids) == name, column] = np.nan
        return responses_array(
            values,
            stimulus_id=ids,
            repetition=np.arange(len(ids)),
            session=session,
            neuroid_id=[f"{subject}{name}{n}" for name in own for n in "ab"],
            region=["V4"] * values.shape[1],
        )


@pytest.fixture
def use(monkeypatch):
    def given(dataset):
        monkeypatch.setattr(datasets, "load", lambda name, roots=None: dataset)

    return given


def test_features_are_means_over_repetitions_of_all_who_saw_the_same(use):
    use(Sessions({"x": {"1": IDS, "2": IDS}, "y": {"3": IDS}}))
    model = models.load("recording:insilico.V4")
    expected = [block.mean() for s in ("x", "y") for block in blocks(datasets.load("insilico").responses(s))]
    assert isinstance(model, FeatureTable) and [s.name for s in model.spec.layers] == ["V4"]
    assert model.spec.id == "recording:insilico.V4" and model.spec.source == "recording"
    (block,) = blocks(datasets.load("insilico").responses("x"))
    assert model.stimulus_ids == block.stimulus_ids
    np.testing.assert_allclose(model.tensors["V4"], np.concatenate(expected, axis=1), rtol=1e-6)
    one = models.load("recording:insilico.V4/x/2")
    np.testing.assert_allclose(one.tensors["V4"], model.tensors["V4"][:, 2:4], rtol=1e-6)
    assert "6 neuroids of x, y; 0 incomplete" in model.spec.note and "2 neuroids of x;" in one.spec.note


def test_incomplete_neuroids_are_left_out_and_counted(use):
    use(Sessions({"x": {"1": IDS}, "y": {"3": IDS}}, spoil=[("p3", 1)]))
    model = models.load("recording:insilico.V4")
    assert model.tensors["V4"].shape == (12, 2) and "2 neuroids of x, y; 2 incomplete ones left out" in model.spec.note
    use(Sessions({"x": {"1": IDS}}, spoil=[("p3", 0), ("p4", 1)]))
    with pytest.raises(InputError, match=r"no neuroid of recording:insilico\.V4/x has a response to every stimulus: 2"):
        models.load("recording:insilico.V4/x")


@pytest.mark.parametrize("shown", [{"1": IDS, "2": IDS[:8]}, {"1": IDS[:8], "2": IDS[8:]}])
def test_different_stimuli_are_refused_and_the_sessions_listed(use, shown):
    use(Sessions({"x": shown, "y": {"3": IDS}}))
    with pytest.raises(UsageError, match="shown different stimuli") as error:
        models.load("recording:insilico.V4")
    for name in ("x/1", "x/2", "y/3"):
        assert f"recording:insilico.V4/{name}" in str(error.value)
        assert models.load(f"recording:insilico.V4/{name}").spec.layers
    with pytest.raises(UsageError) as error:
        models.load("recording:insilico.V4/x")
    assert "V4/y/3" not in str(error.value)


def test_time_bins_are_layers_from_first_to_last():
    model = models.load("recording:insilico_meg.sensors/s1")
    responses = InsilicoMeg().responses("s1")
    names = [layer.name for layer in model.spec.layers]
    assert names[:2] == ["t-0.100s", "t-0.080s"] and len(names) == 31
    assert [layer.depth for layer in model.spec.layers] == pytest.approx(np.arange(1, 32) / 31)
    (block,) = blocks(responses)
    at = int(np.argmin(np.abs(responses["time_s"].values - 0.14)))
    np.testing.assert_allclose(model.tensors["t0.140s"], block.mean()[:, :, at], rtol=1e-6)
    (one,) = models.load("recording:insilico_meg.sensors/s1", layers=["t0.140s"]).spec.layers
    assert one.depth == pytest.approx((at + 1) / 31)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("insilico", UsageError, "DATASET.REGION"),
        ("insilico.", UsageError, "DATASET.REGION"),
        ("insilico.V4/s1/1/x", UsageError, "DATASET.REGION"),
        ("insilico.V4//1", UsageError, "DATASET.REGION"),
        ("insilic.V4", UnknownNameError, "Did you mean 'insilico'"),
        ("insilico.V5", UnknownNameError, "region of insilico 'V5'"),
        ("insilico.V4/s9", UnknownNameError, "subject of insilico 's9'"),
        ("insilico.V4/s1/9", UnknownNameError, "session of insilico '9'"),
        ("kriegeskorte2008.humanIT", UsageError, "holds rdms, no responses"),
    ],
)
def test_names_that_are_none_are_refused_in_words(name, error, says):
    with pytest.raises(error, match=says):
        models.load(f"recording:{name}")


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match="layer 'V1'"):
        models.load("recording:insilico.V4/s1", layers=["V1"])


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return settings.make_setting(device="cpu", cache_folder=tmp_path_factory.mktemp("cache"))


def run(setting, model, *ids):
    wanted = [known()[name].model_copy(update={"baselines": ()}) for name in ids]
    return runner.run(models.load(model), wanted, setting)


def test_a_recording_is_never_scored_on_itself(setting):
    names = ("insilico.V4-ridge", "insilico.V4-rsa", "insilico.V1-ridge", "insilico.category-svm")
    for entry in run(setting, "recording:insilico.V4/s1", *names):
        if ".V4" in entry.benchmark:
            assert entry.status == "not_applicable" and f"its own responses on {entry.benchmark}" in entry.reason
            assert entry.raw is None
        else:
            assert entry.status == "ok" and entry.raw > 0, entry.reason


@pytest.mark.parametrize(
    "of, benchmark, same",
    [
        ("V1v", "allen2021.V1-ridge", True),  # a voxel of V1v is one of V1
        ("V2", "allen2021.V1-ridge", False),
        ("V2", "allen2021_fsaverage.early-ridge", True),  # the same brains, with other names for what was measured
        ("V1v", "cowley2023.V4-ridge", False),
    ],
)
def test_neuroids_are_the_same_under_another_name_of_region_or_release(of, benchmark, same):
    voxels = {"V1": ["subj01/7", "subj01/8"], "V1v": ["subj01/8"], "V2": ["subj01/9"]}

    def responses(subject, *, regions, sessions):
        (region,) = regions
        return xr.DataArray(
            np.zeros((1, len(voxels[region]))),
            coords={"neuroid_id": ("neuroid", voxels[region])},
            dims=["p", "neuroid"],
        )

    neuroids = {"subj01": frozenset(voxels[of])}
    model = recorded.Recorded(spec=None, stimulus_ids=(), tensors={}, dataset="allen2021", region=of, neuroids=neuroids)
    dataset = SimpleNamespace(spec=SimpleNamespace(subjects=("subj01", "subj02")), responses=responses)
    asked = known()[benchmark].model_copy(update={"subjects": None})
    assert recorded.on_itself(model, asked, dataset) == same


def test_a_recording_that_cannot_be_looked_at_fails_its_own_benchmarks_alone(setting, monkeypatch):
    def damaged(*_):
        raise InputError("its neuroids cannot be read")

    monkeypatch.setattr(runner, "on_itself", damaged)
    (entry,) = run(setting, "recording:insilico.V4/s1", "insilico.V1-ridge")
    assert entry.status == "failed" and "its neuroids cannot be read" in entry.reason


def test_other_subjects_may_be_predicted_from_one(setting):
    benchmark = known()["insilico.V4-ridge"].model_copy(update={"subjects": ("s2", "s3"), "baselines": ()})
    (entry,) = runner.run(models.load("recording:insilico.V4/s1"), [benchmark], setting)
    assert entry.status == "ok" and set(entry.per_subject) == {"s2", "s3"}


def test_a_recording_stands_beside_a_model_as_its_baseline(setting):
    beside = {"baselines": ("baseline:pixels", "recording:insilico.IT")}
    benchmark = known()["insilico.category-svm"].model_copy(update=beside)
    (entry,) = runner.run(models.load("recording:insilico.V1"), [benchmark], setting)
    found = entry.baselines["recording:insilico.IT"]
    assert found.raw is not None and found.difference == pytest.approx(entry.raw - found.raw)
    assert found.difference_low < found.difference < found.difference_high
    (itself,) = runner.run(models.load("recording:insilico.IT"), [benchmark], setting)
    assert itself.raw == found.raw and list(itself.baselines) == ["baseline:pixels"]


def test_the_data_root_of_the_call_is_used(monkeypatch, tmp_path):
    asked = []

    def load(name, roots=None):
        asked.append(roots)
        raise AccessError("looked")

    monkeypatch.setattr(datasets, "load", load)
    for call in (
        lambda: bb.score("recording:insilico.V4/s1", "insilico.V1-ridge", data_root=tmp_path, cache=tmp_path),
        lambda: models.load("recording:insilico.V4/s1", roots={"": tmp_path}),
        lambda: models.load("recording:insilico.V4/s1"),
    ):
        with pytest.raises(AccessError, match="looked"):
            call()
    assert asked == [{"": tmp_path}, {"": tmp_path}, {}]


def test_a_baseline_is_read_from_the_data_root_of_the_run(monkeypatch, setting, tmp_path):
    asked = []
    true = recorded.load
    monkeypatch.setattr(
        recorded, "load", lambda name, *, layers=None, roots=None: asked.append(roots) or true(name, layers=layers)
    )
    beside = {"baselines": ("recording:insilico.IT",)}
    benchmark = known()["insilico.category-svm"].model_copy(update=beside)
    runner.run(true("insilico.V1"), [benchmark], replace(setting, roots={"": tmp_path}))
    assert asked == [{"": tmp_path}]


def test_matched_features_are_as_many_and_as_noisy_as_the_recording():
    """Before noise they have the recording's signal variance; what is added is the noise of its means."""
    like, noise = models.load("recording:insilico.V4/s1"), recorded.noise("insilico.V4/s1")
    rng = np.random.default_rng(0)
    x = FeatureTable.from_arrays({"a": rng.normal(size=(400, 300)) * 7 + 3}, like.stimulus_ids, "mine")
    out = recorded.matched(x, "insilico.V4/s1", seed=0)
    got = out.tensors["a"].double()
    assert got.shape == (400, 50) and out.stimulus_ids == like.stimulus_ids
    clean = [c for c in range(300) if abs(np.corrcoef(x.tensors["a"][:, c], got[:, 0])[0, 1]) > 0.5]
    assert len(clean) == 1  # a unit of the layer, under noise
    signal = noise.total - noise.noise
    assert float(got.var(correction=0)) == pytest.approx(signal + added(noise, x, signal), rel=0.05)
    again, other = (recorded.matched(x, "insilico.V4/s1", seed=s).tensors["a"] for s in (0, 1))
    assert torch.equal(again, out.tensors["a"]) and not torch.equal(other, out.tensors["a"])
    assert "matched to recording:insilico.V4/s1" in out.spec.id


def added(noise, x, signal):
    s = x.tensors["a"].double()
    return float(noise.law.variance(s * (signal / s.var(correction=0)).sqrt(), noise.repetitions).mean())


def test_features_that_cannot_be_matched_are_refused():
    ids = models.load("recording:insilico.V4/s1").stimulus_ids
    few = FeatureTable.from_arrays({"a": np.random.default_rng(0).normal(size=(400, 30))}, ids, "few")
    with pytest.raises(UsageError, match="50 units wanted of 30"):
        recorded.matched(few, "insilico.V4/s1", seed=0)
    with pytest.raises(UsageError, match="time axis"):
        recorded.noise("insilico_meg.sensors/s1")


@pytest.mark.data
def test_real_recordings_are_rows(data_root):
    v4 = models.load("recording:cowley2023.V4/PE/210325", roots={"": data_root})
    assert v4.tensors["V4"].shape == (640, 50) and v4.spec.licence == "GPL-3.0"
    with pytest.raises(UsageError, match=r"recording:cowley2023\.V4/WE/190923"):
        models.load("recording:cowley2023.V4", roots={"": data_root})
    it = models.load("recording:zhang2011.IT/monkey", roots={"": data_root})
    assert it.tensors["t0.175s"].shape == (21, 132) and len(it.spec.layers) == 18
