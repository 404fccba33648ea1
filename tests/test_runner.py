"""Whole runs on recordings of which the truth is known: what must be reached, what must read 0, what must be said."""

import contextlib
import json
import logging
import shutil
import threading
import uuid
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from brainbench import baselines, datasets, extraction, models, runner, scorers, settings
from brainbench.benchmarks import known
from brainbench.core.arrays import take
from brainbench.core.specs import Preprocessing, fingerprint
from brainbench.datasets.insilico import Insilico
from brainbench.entry import Baseline, Entry
from brainbench.errors import AccessError, InputError, UsageError
from brainbench.models._identity import of_this_run
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.diagnostics import diagnostics
from brainbench.numerics.resampling import interval
from brainbench.scorers.ridge import Ridge
from brainbench.targets import targets

ridge = Ridge.score
REGIONS = ("V1", "V2", "V4", "IT")
N = 150  # neuroids a region, over subjects


def alone(*ids):
    """Benchmarks without baselines beside them."""
    return [known()[name].model_copy(update={"baselines": ()}) for name in ids]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return settings.make_setting(device="cpu", cache_folder=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def oracle(setting):
    """The oracle's entries by benchmark."""
    run = alone(*(f"insilico.{region}-{scorer}" for region in REGIONS for scorer in ("ridge", "rsa")))
    return {entry.benchmark: entry for entry in runner.run(models.load("insilico:cascade"), run, setting)}


@pytest.fixture(scope="module")
def codes(setting, oracle):
    """Each stage's features of the 400 pictures."""
    model, stimuli = models.load("insilico:cascade"), Insilico().stimuli()
    return {s.name: extraction.representation(model, s, stimuli, setting.store).features for s in model.spec.layers}


IDS = [f"insilico/{n + 1:04d}" for n in range(400)]


def table(features, ids=IDS, name="mine"):
    return FeatureTable.from_arrays(features, ids, name)


def one(model, name, setting):
    (entry,) = runner.run(model, alone(name), setting)
    return entry


class Altered(Insilico):
    """`insilico` with presentations changed by `change(values, stimulus ids, regions)` in place."""

    def __init__(self, change):
        self.change = change

    def responses(self, subject, **asked):
        responses = super().responses(subject, **asked)
        self.change(responses.values, responses["stimulus_id"].values, responses["region"].values)
        return responses


@pytest.fixture
def altered(monkeypatch):
    def use(change):
        dataset = Altered(change)
        monkeypatch.setattr(runner.datasets, "load", lambda name, roots: dataset)
        monkeypatch.setattr(runner, "code", lambda *modules: uuid.uuid4().hex)  # nothing stored is of this recording
        return dataset

    return use


# what is reached


@pytest.mark.parametrize("region", REGIONS)
def test_the_oracle_reaches_the_ceiling_at_the_stage_that_generated_the_region(oracle, region):
    ridge = oracle[f"insilico.{region}-ridge"]
    assert ridge.layer_by_fold == [region] * 5
    assert ridge.low <= np.sqrt(ridge.ceiling) <= ridge.high
    assert ridge.normalized > 0.95 and ridge.normalized_high < 1.05  # and never beyond
    assert ridge.n_neuroids == N and ridge.n_excluded == 0 and ridge.extras["at_edge"] == 0
    rsa = oracle[f"insilico.{region}-rsa"]
    assert rsa.layer_by_fold == [region] * 10
    assert rsa.high >= rsa.ceiling and rsa.raw < rsa.ceiling_upper


@pytest.mark.parametrize("scorer", ["ridge", "rsa"])
def test_features_of_other_pictures_read_zero(codes, setting, scorer):
    entries = []
    for seed in range(3):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(400))
        entries.append(one(table({"V1": codes["V1"][order]}), f"insilico.V1-{scorer}", setting))
    assert abs(np.mean([entry.raw for entry in entries])) < 0.02
    assert sum(entry.low <= 0 <= entry.high for entry in entries) >= 2


# rows meet by id, random numbers belong to the benchmark


def test_the_order_of_rows_in_a_features_file_means_nothing(codes, setting):
    order = np.random.default_rng(0).permutation(400)
    straight = one(table({"V2": codes["V2"]}), "insilico.V2-ridge", setting)
    shuffled = one(
        table({"V2": codes["V2"][torch.from_numpy(order)]}, [IDS[i] for i in order]), "insilico.V2-ridge", setting
    )
    assert shuffled.replicates == straight.replicates and shuffled.raw == straight.raw


def test_any_two_entries_pair_as_a_baseline_does_beside_its_model(setting):
    pixels, gabor = (models.load(f"baseline:{name}") for name in ("pixels", "gabor"))
    (beside,) = runner.run(gabor, [known()["insilico.V1-ridge"]], setting)
    ours, theirs = (one(model, "insilico.V1-ridge", setting) for model in (gabor, pixels))
    assert ours.replicates == beside.replicates
    paired = interval(np.array(ours.replicates) - np.array(theirs.replicates))
    baseline = beside.baselines["baseline:pixels"]
    assert (baseline.difference_low, baseline.difference_high) == pytest.approx(paired, abs=1e-5)
    assert baseline.difference == pytest.approx(ours.raw - theirs.raw)
    assert list(beside.baselines) == ["baseline:pixels"]  # not itself, and no twin of what was never trained


def test_entries_of_every_status_survive_their_file(oracle, codes, setting):
    few = one(table({"V1": codes["V1"][:9]}, IDS[:9]), "insilico.V1-ridge", setting)
    other = one(table({"V1": codes["V1"]}, [f"x{i}" for i in IDS]), "insilico.V1-ridge", setting)
    entries = [*oracle.values(), few, other]
    assert {entry.status for entry in entries} == {"ok", "failed", "not_applicable"}
    for entry in entries:
        assert Entry.model_validate_json(json.dumps(entry.as_json(), allow_nan=False)) == entry


def test_an_entry_says_what_was_scored_and_where(setting, codes):
    features = {"a": codes["V1"]}
    good, failed = (
        one(table(features), "insilico.V1-ridge", setting),
        one(Sick("build"), "insilico.V1-ridge", setting),
    )
    for entry in (good, failed):
        again = Entry.model_validate_json(json.dumps(entry.as_json()))
        assert fingerprint(again.model_identity) == again.model_fingerprint
        assert again.provenance["device"] == "cpu" and again.provenance["created"]
    assert good.model_identity["weights"] == table(features).spec.weights
    assert failed.model_identity["preprocessing"]["crop_px"] == 16
    assert failed.model_identity["layers"][0]["pooling"] == "grid14"


def test_an_entry_tells_the_geometry_of_each_layer(oracle, codes):
    """A layer's geometry has nothing to do with region or scorer."""
    for layer in oracle["insilico.V1-ridge"].layers:
        features = codes[layer.layer]
        said = {name: float("nan") if value is None else value for name, value in layer.geometry.items()}
        assert said == pytest.approx(
            diagnostics(runner.Representation.from_features(features, IDS)), rel=1e-6, nan_ok=True
        )
        assert (said["n_stimuli"], said["n_units"]) == (400, features.shape[1])
    for entry in oracle.values():
        assert [layer.geometry for layer in entry.layers] == [
            layer.geometry for layer in oracle["insilico.V1-ridge"].layers
        ]


def test_layers_are_described_on_the_most_stimuli_that_the_region_was_shown():
    def target(n, *regions):
        return SimpleNamespace(stimuli=SimpleNamespace(ids=range(n)), regions=regions)

    asked = [target(20, "V1", "V4"), target(30, "V4"), target(90, "IT")]
    by_region = {b.region: runner._largest(b, asked) for b in alone("insilico.V1-ridge", "insilico.V4-ridge")}
    assert by_region == {"V1": asked[0], "V4": asked[1]}


def test_the_layer_curve_tells_poolings_apart(setting):
    def curve(pooling):
        how = {"preprocess": Preprocessing(resize_px=16, crop_px=16), "layers": [f"conv:{pooling}"]}
        return one(models.wrap(net, name="net", **how), "insilico.V1-ridge", setting).layers

    net = Net()
    mean, flat = curve("mean"), curve("flatten")
    assert [(point.layer, point.pooling) for point in (*mean, *flat)] == [("conv", "mean"), ("conv", "flatten")]
    assert mean[0].raw != flat[0].raw


def test_ceilings_name_their_scale(oracle):
    scales = {name: entry.ceiling_scale for name, entry in oracle.items()}
    assert set(scales.values()) == {"r", "r2"}
    assert all((scale == "r2") == name.endswith("-ridge") for name, scale in scales.items())


# selection is nested


@pytest.mark.parametrize(
    ("name", "params"),
    [("insilico.V1-ridge", {}), ("insilico.V1-ridge", {"select": "kfold"}), ("insilico.V1-rsa", {})],
    ids=["gcv", "kfold", "rsa"],
)
def test_test_stimuli_have_no_say_in_their_layer(codes, setting, altered, name, params):
    (benchmark,) = alone(name)
    benchmark = benchmark.model_copy(update={"params": benchmark.params | params})
    model = table({"right": codes["V1"], "wrong": codes["IT"]})
    scorer = scorers.load(benchmark.scorer, benchmark.params)
    test = targets(Insilico(), [benchmark], scorer)[0].split.folds[0].test
    wrong = codes["IT"].double().numpy()

    def plant(values, stimulus, regions):
        """Test responses that the wrong layer answers for: what it predicts (ridge), or a readout of it (RSA)."""
        x, tested = wrong[take(IDS, list(stimulus), what="codes")], np.isin(stimulus, test)
        readout = np.random.default_rng(0).normal(size=(x.shape[1], values.shape[1]))
        if benchmark.scorer == "ridge":
            readout = np.linalg.lstsq(x[~tested], np.nan_to_num(values[~tested]), rcond=None)[0]
        values[tested] = x[tested] @ readout

    dataset = altered(plant)
    (entry,) = runner.run(model, [benchmark], setting)
    assert entry.layer_by_fold[0] == "right"
    target = targets(dataset, [benchmark], scorer)[0]
    right, lure = (
        scorer.score(
            extraction.representation(model, layer, target.stimuli, setting.store),
            target.data,
            target.split,
            seed=0,
            device="cpu",
        )
        for layer in model.spec.layers
    )
    assert np.nanmedian(lure.folds[0]) > np.nanmedian(right.folds[0])


def test_an_optimistic_layer_is_never_worse_than_the_chosen_one(oracle):
    for entry in oracle.values():
        assert entry.optimistic.raw == max(layer.raw for layer in entry.layers)
        assert entry.optimistic.gap >= -1e-12


# what is missing is named


def test_a_region_without_a_number_fails_with_a_reason_and_null_scores(setting, oracle, altered):
    def silence(values, stimulus, regions):
        values[:, regions == "V2"] = np.nan

    altered(silence)
    good, bad = runner.run(models.load("insilico:cascade"), alone("insilico.V1-ridge", "insilico.V2-ridge"), setting)
    assert good.status == "ok" and good.raw == pytest.approx(oracle["insilico.V1-ridge"].raw, abs=1e-6)
    assert bad.status == "failed" and "missing-stimuli" in bad.reason
    file = bad.as_json()
    assert file["raw"] is file["normalized"] is file["low"] is file["ceiling"] is file["layer"] is None
    assert (bad.n_neuroids, bad.n_excluded, bad.excluded) == (0, N, {"missing-stimuli": N})


def test_neuroids_that_cannot_be_scored_are_counted_by_reason(setting, oracle, altered):
    (benchmark,) = alone("insilico.V1-ridge")
    test = targets(Insilico(), [benchmark], scorers.load("ridge", benchmark.params))[0].split.folds[2].test

    def spoil(values, stimulus, regions):
        values[:, 0] = 3.0
        values[np.isin(stimulus, test), 1] = 3.0  # constant in one fold alone
        values[stimulus == IDS[5], 2] = np.inf

    altered(spoil)
    entry = one(models.load("insilico:cascade"), "insilico.V1-ridge", setting)
    assert entry.excluded == {"missing-stimuli": 3, "zero-variance": 6}
    assert (entry.n_neuroids, entry.n_excluded) == (N - 9, 9)
    assert {name: s.n_neuroids for name, s in entry.per_subject.items()} == {"s1": 47, "s2": 47, "s3": 47}
    assert entry.raw == pytest.approx(oracle["insilico.V1-ridge"].raw, abs=0.02)


def test_single_presentations_have_a_score_without_a_ceiling(setting, altered):
    def once(values, stimulus, regions):
        seen = set()
        for row, name in enumerate(stimulus):
            if name in seen:
                values[row] = np.nan
            seen.add(name)

    altered(once)
    entry = one(models.load("insilico:cascade"), "insilico.V1-ridge", setting)
    assert entry.status == "ok" and entry.raw > 0.4
    assert entry.ceiling is entry.normalized is None
    assert entry.ceiling_reason == f"single-repetition: {N}" and entry.n_without_ceiling == N


def test_a_stimulus_that_the_features_lack_fails_and_is_named(codes, setting, caplog):
    entry = one(table({"V1": codes["V1"][:-2]}, IDS[:-2]), "insilico.V1-ridge", setting)
    assert entry.status == "failed" and entry.raw is None
    assert "insilico/0399, insilico/0400" in entry.reason and "insilico/0399" in caplog.text


def test_features_of_other_stimuli_say_nothing_and_show_both_kinds_of_id(codes, setting):
    entry = one(table({"V1": codes["V1"]}, [str(n) for n in range(400)]), "insilico.V1-ridge", setting)
    assert entry.status == "not_applicable"
    assert "'insilico/0001'" in entry.reason and "'0'" in entry.reason


def test_constant_features_have_no_score(setting):
    ridge, rsa = runner.run(table({"a": np.ones((400, 5))}), alone("insilico.V1-ridge", "insilico.V1-rsa"), setting)
    assert (ridge.status, ridge.excluded) == ("failed", {"constant-prediction": N})
    assert (rsa.status, rsa.excluded) == ("failed", {"constant-features": 3})


def test_more_features_than_stimuli_and_repeated_columns_give_a_finite_score(codes, setting):
    wide = torch.cat([codes["V1"]] * 2 + [torch.zeros(400, 500)], dim=1)
    entry = one(table({"a": wide}), "insilico.V1-ridge", setting)
    plain = one(table({"a": codes["V1"]}), "insilico.V1-ridge", setting)
    assert entry.raw == pytest.approx(plain.raw, abs=1e-3)


def test_a_broken_recording_fails_alone(setting, monkeypatch, caplog):
    def broken():
        raise InputError("92_brainRDMs.mat is truncated")

    sick = SimpleNamespace(spec=datasets.DATASETS["kriegeskorte2008"].spec, stimuli=broken)
    sick.rdms = lambda region: broken()
    real = datasets.load
    monkeypatch.setattr(
        runner.datasets, "load", lambda name, roots: sick if name == "kriegeskorte2008" else real(name, roots)
    )
    run = alone("kriegeskorte2008.humanIT-rsa", "insilico.V1-ridge")
    bad, good = runner.run(models.load("insilico:cascade"), run, setting)
    assert (bad.status, good.status) == ("failed", "ok")
    assert "truncated" in bad.reason and "truncated" in caplog.text


class Sick:
    """A model of the user's own of which `part` raises once it is used; each has its own weights."""

    def __init__(self, part):
        self.sound = models.wrap(Net(), preprocess=Preprocessing(resize_px=16, crop_px=16), name="sick")
        self.spec, self.part = self.sound.spec, part

    def build(self):
        if self.part == "build":
            raise RuntimeError("my own mistake")
        module = self.sound.build()
        if self.part == "forward":
            module.register_forward_pre_hook(lambda *_: self.raised())
        return module

    def preprocess(self, image):
        return self.raised() if self.part == "preprocess" else self.sound.preprocess(image)

    def raised(self):
        raise {"forward": RuntimeError, "preprocess": ZeroDivisionError}[self.part]("my own mistake")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("build", "build() of sick raised RuntimeError: my own mistake"),
        ("forward", "the network raised RuntimeError: my own mistake"),
        ("preprocess", "preprocess raised ZeroDivisionError: my own mistake"),
    ],
)
def test_what_the_users_own_code_raises_is_a_failed_entry(setting, part, says):
    entry = one(Sick(part), "insilico.V1-ridge", setting)
    assert (entry.status, entry.raw) == ("failed", None) and says in entry.reason


def test_a_bug_of_our_own_is_no_failed_entry(setting, codes, monkeypatch):
    def bug(*arguments, **options):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(runner, "aggregate", bug)
    with pytest.raises(ZeroDivisionError):
        one(table({"V1": codes["V1"]}), "insilico.V1-ridge", setting)


def test_entries_are_told_as_soon_as_they_are_whole(setting, codes):
    told = []
    run = alone("insilico.V1-rsa", "insilico.V1-ridge", "insilico.V2-rsa")
    entries = runner.run(table({"V1": codes["V1"]}), run, setting, told.append)
    assert [entry.benchmark for entry in entries] == [b.id for b in run]
    assert sorted(len(part) for part in told) == [1, 2]  # those of one solve at a time
    assert sorted((e for part in told for e in part), key=str) == sorted(entries, key=str)


@pytest.mark.data
def test_a_flipped_bit_in_a_real_recording_fails_by_name(data_root, tmp_path, setting):
    root = shutil.copytree(data_root / "kriegeskorte2008", tmp_path / "copy", copy_function=shutil.copyfile)
    here = settings.make_setting(roots={"kriegeskorte2008": root}, device="cpu", cache_folder=setting.store.root)
    good = one(models.load("baseline:pixels"), "kriegeskorte2008.humanIT-rsa", here)
    assert good.status == "ok" and good.n_stimuli == 92 and set(good.per_subject) == {"BE", "KO", "SN", "TI"}
    file = root / "demos/92imageData/92_brainRDMs.mat"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    bad = one(models.load("baseline:gabor"), "kriegeskorte2008.humanIT-rsa", here)
    assert bad.status == "failed" and bad.raw is None and "92_brainRDMs.mat has the right size but" in bad.reason


# nothing is done twice


class Net(nn.Module):
    rows = 0

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 5, stride=4), nn.ReLU()

    def forward(self, x):
        Net.rows += len(x)
        return self.act(self.conv(x))


class Recorder:
    def __init__(self):
        self.stages = []

    def stage(self, name, total):
        self.stages.append([name, total, 0])

    def step(self, n=1):
        self.stages[-1][2] += n


def test_a_second_run_shows_the_network_nothing(tmp_path, monkeypatch):
    progress = Recorder()
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path, progress=lambda: progress)
    model = models.wrap(Net(), preprocess=Preprocessing(resize_px=16, crop_px=16), name="net")
    monkeypatch.setattr(Net, "rows", 0)
    first = one(model, "insilico.V1-ridge", setting)
    assert 400 <= Net.rows < 420  # every picture once, whatever the number of layers; a few try the network out
    Net.rows = 0
    again = one(model, "insilico.V1-ridge", setting)
    other = one(model, "insilico.V4-ridge", setting)
    assert Net.rows == 0 and other.status == "ok"
    assert again.replicates == first.replicates
    assert all(total == done for _, total, done in progress.stages)


class Lock:
    """It can be copied, so it can be extracted, but nothing tells what is in it."""

    def __init__(self):
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        return self


def see(picture, lock=None):
    pixels = np.asarray(picture.convert("RGB").resize((16, 16)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize("part", ["network", "preprocess", "none"])
def test_what_can_never_be_found_again_is_not_left_in_the_store(tmp_path, part, monkeypatch):
    def files():
        return {path: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}

    net = Net()
    net.held = Lock() if part == "network" else None
    model = models.wrap(net, preprocess=partial(see, lock=Lock()) if part == "preprocess" else see, name="net")
    assert of_this_run(model.spec) == (part != "none")
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path)
    benchmark = known()["insilico.V1-ridge"].model_copy(update={"baselines": ("baseline:pixels",)})
    one(models.load("baseline:pixels"), "insilico.V1-ridge", setting)
    before = files()
    (entry,) = runner.run(model, [benchmark], setting)
    assert entry.status == "ok" and entry.baselines["baseline:pixels"].raw is not None
    assert before and (files() == before) == (part != "none")
    runner.results(model, [benchmark], setting)
    monkeypatch.setattr(runner, "aggregate", lambda *a, **k: pytest.fail("stopped"))
    with pytest.raises(pytest.fail.Exception):
        runner.run(model, alone("insilico.V2-rsa"), setting)
    assert (files() == before) == (part != "none")


def test_a_second_run_reads_no_recording(tmp_path, codes, monkeypatch):
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path)
    run = [
        known()["insilico.V1-ridge"].model_copy(update={"baselines": ("baseline:pixels",)}),
        *alone("insilico.V1-rsa"),
    ]
    first = runner.run(table({"V1": codes["V1"]}), run, setting)
    monkeypatch.setattr(runner, "targets", lambda *a: pytest.fail("the recording was read again"))
    again = runner.run(table({"V1": codes["V1"]}), run, setting)
    dates = {"provenance": {}}
    assert [e.model_copy(update=dates) for e in again] == [e.model_copy(update=dates) for e in first]


@pytest.mark.parametrize("other", ["model", "code", "benchmark", "files"])
def test_no_result_is_taken_for_that_of_another(tmp_path, codes, monkeypatch, other):
    setting = settings.make_setting(device="cpu", cache_folder=tmp_path)
    (benchmark,) = alone("insilico.V1-ridge")
    runner.run(table({"V1": codes["V1"]}), [benchmark], setting)
    if other == "code":
        monkeypatch.setattr(runner, "code", lambda *modules: "edited")
    if other == "files":
        monkeypatch.setattr(runner.datasets, "unpinned", lambda name, roots: "others", raising=False)
    if other == "benchmark":
        benchmark = benchmark.model_copy(update={"split": benchmark.split.model_copy(update={"n_folds": 4})})
    solved = []
    monkeypatch.setattr(runner, "_columns", lambda *a: solved.append(1) or {})
    with contextlib.suppress(KeyError):
        runner.run(table({"V1": codes["V1"] + (other == "model")}), [benchmark], setting)
    assert solved


def test_little_memory_changes_no_number(tmp_path, oracle, monkeypatch):
    """Neuroids in parts, one worker, predictions made again for the layers that were chosen."""
    parts, part = [], runner.Target.parts
    monkeypatch.setattr(runner.Target, "parts", lambda self, n: parts.append(part(self, n)) or parts[-1])
    scored = []
    monkeypatch.setattr(
        Ridge, "score", lambda self, r, t, *a, **o: scored.append(t.neuroid_ids) or ridge(self, r, t, *a, **o)
    )
    little = settings.make_setting(device="cpu", cache_folder=tmp_path, max_memory=0.0012)
    entry = one(models.load("insilico:cascade"), "insilico.V1-ridge", little)
    whole = oracle["insilico.V1-ridge"]
    assert min(map(len, parts)) > 1 and max(map(len, scored)) < 50  # of 50 neuroids a subject
    n_layers, n_parts = len(entry.layers), sum(map(len, parts))
    assert n_layers * n_parts < len(scored) <= (n_layers + 1) * n_parts
    np.testing.assert_allclose(entry.replicates, whole.replicates, atol=2e-6)
    assert entry.raw == pytest.approx(whole.raw, abs=1e-6) and entry.layer_by_fold == whole.layer_by_fold


def test_results_have_every_layer_and_regions_pair_up(codes, setting):
    model, run = table({"V1": codes["V1"], "IT": codes["IT"]}), alone("insilico.V1-ridge", "insilico.IT-ridge")
    found = runner.results(model, run, setting)
    v1, it = found["insilico.V1-ridge"], found["insilico.IT-ridge"]
    assert v1.draws == it.draws and v1.layer_replicates.shape == (2, 1000)
    np.testing.assert_allclose(v1.layer_replicates[0], v1.replicates, atol=1e-6)  # every fold chooses V1 for V1
    again = runner.results(model, run, setting)["insilico.V1-ridge"]
    assert again.scored == v1.scored and np.array_equal(again.layer_replicates, v1.layer_replicates)


# baselines


@pytest.mark.parametrize("trouble", [AccessError, InputError, UsageError])
def test_a_baseline_that_cannot_be_scored_takes_nothing_from_its_model(setting, codes, monkeypatch, trouble):
    def load(name, layers=None, roots=None):
        if name == "baseline:gabor":
            raise trouble("its weights are not here")
        return models_load(name, layers=layers)

    models_load = models.load
    monkeypatch.setattr(models, "load", load)
    (entry,) = runner.run(table({"V1": codes["V1"]}), [known()["insilico.V1-ridge"]], setting)
    assert entry.status == "ok"
    assert entry.baselines["baseline:gabor"] == Baseline(reason="its weights are not here")
    assert entry.baselines["baseline:pixels"].raw is not None


def test_a_baseline_is_made_once_a_run(setting, codes, monkeypatch):
    """A twin is a network, and its making is what a second run, which computes nothing, would wait for."""
    made, load = [], models.load
    monkeypatch.setattr(models, "load", lambda name, **options: made.append(name) or load(name, **options))
    asked = [known()[f"insilico.{region}-ridge"] for region in ("V1", "V2")] + [known()["insilico.V1-rsa"]]
    runner.run(table({"V1": codes["V1"]}), asked, setting)
    assert sorted(made) == ["baseline:gabor", "baseline:pixels"]


def test_a_twin_is_read_at_the_layers_of_its_model(monkeypatch):
    asked = []
    monkeypatch.setattr(models, "load", lambda name, layers=None, roots=None: asked.append((name, layers)))
    layers = (SimpleNamespace(name="a.0", pooling="mean"), SimpleNamespace(name="b", pooling="flatten"))
    model = SimpleNamespace(spec=SimpleNamespace(id="timm:net.tag", source="timm", layers=layers))
    benchmark = known()["insilico.V1-ridge"]
    for name in baselines.named(model, benchmark):
        baselines.load(model, name, {})
    assert asked == [
        ("baseline:pixels", None),
        ("baseline:gabor", None),
        ("timm:net.tag@untrained", ["a.0:mean", "b:flatten"]),
    ]


@pytest.mark.parametrize(
    ("id", "source"), [("timm:net@untrained", "timm"), ("timm:net", "module, code abc"), ("features:net", "features")]
)
def test_no_twin_of_what_has_none(id, source):
    model = SimpleNamespace(spec=SimpleNamespace(id=id, source=source))
    assert baselines.named(model, known()["insilico.V1-ridge"]) == ["baseline:pixels", "baseline:gabor"]


# settings


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense", "vulkan", "hpu"])
def test_a_device_that_cannot_compute_is_refused_in_a_line(device):
    with pytest.raises(UsageError, match="--device auto or cpu") as error:
        settings.pick_device(device)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path))
    assert settings.make_setting(device="cpu").store.root == tmp_path


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR)
