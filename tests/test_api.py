"""`brainbench.score` as a user calls it, rightly and wrongly."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import brainbench as bb
from brainbench import api, models, runner
from brainbench.benchmarks import known
from brainbench.datasets.insilico import Insilico
from brainbench.entry import Baseline, Entry
from brainbench.errors import AccessError, InputError, ResourceError, UnknownNameError, UsageError
from brainbench.models.features_file import FeatureTable

V1 = "insilico.V1-ridge"
IDS = Insilico().stimuli().ids
FEATURES = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_baselines(monkeypatch, tmp_path):
    """Everything here is about the call; what stands beside a score is tested in test_runner."""
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in known().items()}
    monkeypatch.setattr("brainbench.benchmarks.known", lambda: bare)
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))


def see(picture):
    return torch.from_numpy(np.asarray(picture.resize((16, 16))).copy()).permute(2, 0, 1).float() / 255


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 5))


def scored(model, **options):
    return bb.score(model, V1, stimulus_ids=IDS, **options).entries


def test_diagnostics_have_a_row_for_each_benchmark_and_layer():
    both = {"a": FEATURES, "b": FEATURES[:, :3]}
    table = bb.score(both, [V1, "insilico.V4-rsa"], stimulus_ids=IDS).diagnostics()
    assert list(table.index) == [(b, layer) for b in (V1, "insilico.V4-rsa") for layer in "ab"]
    assert list(table["n_units"]) == [6, 3, 6, 3] and list(table.groupby("benchmark")["chosen"].sum()) == [1, 1]
    assert table.loc[(V1, "a"), "participation_ratio"] == pytest.approx(
        table.loc[("insilico.V4-rsa", "a"), "participation_ratio"]
    )
    failed = bb.score({"a": FEATURES[:-1]}, V1, stimulus_ids=IDS[:-1])
    assert failed.diagnostics().empty


def test_subsample_takes_names_objects_and_several_benchmarks(tmp_path):
    tables = [FeatureTable.from_arrays({"a": FEATURES[:, :p]}, IDS, f"mine{p}") for p in (6, 3)]
    found = bb.subsample(tables, ["insilico.V1-rsa", "insilico.V4-rsa"], fractions=[0.5], draws=2)
    assert [one.benchmark for one in found.benchmarks] == ["insilico.V1-rsa", "insilico.V4-rsa"]
    assert found.table().index.names == ["benchmark", "model", "axis", "fraction"] and len(found.table()) == 8
    assert found.figure(tmp_path / "a.png").stat().st_size > 1000
    with pytest.raises(UsageError, match="no model"):
        bb.subsample([], V1)


def test_importing_the_package_imports_no_torch():
    code = "import sys, brainbench; brainbench.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        bb.scores  # noqa: B018


def test_an_nn_module_with_its_preprocessing():
    module = net().train()
    (entry,) = bb.score(module, V1, preprocess=see, layers=["1", "3"], name="mine").entries
    assert entry.model == "mine" and entry.status == "ok"
    assert [layer.layer for layer in entry.layers] == ["1", "3"]
    assert module.training  # the user's module is left as it was


def test_a_table_has_a_row_a_benchmark():
    found = bb.score({"a": FEATURES}, ["insilico.V1-ridge", "insilico.V[24]-ridge"], stimulus_ids=IDS)
    shown = found.table()
    assert list(shown.index) == ["insilico.V1-ridge", "insilico.V2-ridge", "insilico.V4-ridge"]
    assert {"status", "raw", "low", "high", "ceiling", "normalized", "layer", "n_neuroids"} <= set(shown)
    assert shown["synthetic"].all() and (shown["low"] < shown["high"]).all()
    beside = {"worse": Baseline(raw=0.1, difference=0.2), "better": Baseline(raw=0.2, difference=0.1)}
    entries = [entry.model_copy(update={"baselines": beside}) for entry in found.entries]
    (shown,) = api.Results(entries[:1], {}).table().to_dict("records")
    assert [shown[name] for name in ("best_baseline", "baseline_raw", "difference")] == ["better", 0.2, 0.1]


@pytest.mark.parametrize(
    "features",
    [
        {"a": FEATURES.astype(np.float64)},
        {"a": FEATURES[:, ::-1][:, ::-1]},
        {"a": np.asfortranarray(FEATURES)},
        {"a": torch.from_numpy(FEATURES).requires_grad_()},
        {"a": pd.DataFrame(FEATURES)},
        {"a": FEATURES.tolist()},
    ],
    ids=["float64", "view", "fortran", "grad", "DataFrame", "lists"],
)
def test_features_of_any_make_score_alike(features):
    table = api._model(features, None, IDS, None, None, "m", {})
    np.testing.assert_array_equal(table.features("a", IDS).numpy(), FEATURES)


def test_features_as_a_dict_with_rows_and_layers_picked():
    shared = torch.from_numpy(FEATURES)
    (entry,) = scored({"a": shared, "b": shared}, layers="b", name="lab")
    assert (entry.model, entry.layer_by_fold) == ("features:lab", ["b"] * 5)
    assert entry.layers[0].depth == 1.0  # as deep as among all


def test_a_feature_table_and_a_model_are_taken_as_they_are():
    table = FeatureTable.from_arrays({"a": FEATURES}, IDS, "lab")
    assert bb.score(table, V1).entries[0].replicates == scored({"a": FEATURES})[0].replicates
    assert api._model(oracle := models.load("insilico:cascade"), None, None, None, None, "m", {}) is oracle


@pytest.mark.parametrize(
    ("features", "ids", "says"),
    [
        ({"a": FEATURES}, range(400), "must be a JSON list of strings"),
        ({"a": FEATURES}, np.arange(400), "must be strings"),
        ({"a": FEATURES}, IDS[:-1] + IDS[:1], "more than once: insilico/0001"),
        ({"a": FEATURES}, IDS[:-1], r"\(400, 6\); with 399 stimulus ids"),
        ({"a": FEATURES.astype(int)}, IDS, "floating point"),
        ({"a": np.where(FEATURES > 3, np.inf, FEATURES)}, IDS, "NaN, infinity"),
        ({"a": FEATURES.astype(object)}, IDS, "no array of numbers"),
        ({"a": "FILE.npy"}, IDS, "no array of numbers"),
        ({3: FEATURES}, IDS, "names of layers must be strings, got 3"),
        ({}, IDS, "0 layers"),
    ],
)
def test_features_that_are_wrong_are_refused_in_words(features, ids, says):
    with pytest.raises(InputError, match=says):
        bb.score(features, V1, stimulus_ids=ids)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: bb.score({"a": FEATURES}, V1), UsageError, "need stimulus_ids"),
        (lambda: scored({"a": FEATURES}, layers=["b"]), UnknownNameError, "unknown layer 'b'"),
        (lambda: scored({"a": FEATURES}, weights="w.pt"), UsageError, "takes no 'weights'"),
        (lambda: bb.score(net(), V1), UsageError, "needs preprocess"),
        (lambda: bb.score(net(), V1, preprocess=see, layers=["conv"]), UnknownNameError, "unknown layer 'conv'"),
        (lambda: bb.score(net(), V1, preprocess=see, weights="w.pt"), UsageError, "takes no 'weights'"),
        (lambda: bb.score(nn.Linear, V1, preprocess=see), UsageError, "got the class Linear, not what it makes"),
        (lambda: bb.score(None, V1), UsageError, "a model is a name such as .*; got None"),
        (lambda: bb.score([net()], V1, preprocess=see), UsageError, "an nn.Module, .*; got a list"),
        (lambda: bb.score(pd.DataFrame(FEATURES), V1, stimulus_ids=IDS), UsageError, "a dict .*; got a DataFrame"),
        (lambda: bb.score(FEATURES, V1, stimulus_ids=IDS), UsageError, "a dict .*; got a ndarray"),
        (lambda: bb.score(net(), V1, preprocess=lambda p: 5), InputError, "it returned a int"),
        (lambda: bb.score(net(), V1, preprocess=lambda p: p.nothing), InputError, "raised AttributeError"),
        (lambda: bb.score(net(), V1, preprocess=lambda p: see(p)[:1]), InputError, "raised RuntimeError"),
        (lambda: bb.score("baseline:pixels", V1, preprocess=see), UsageError, "takes no 'preprocess'"),
        (lambda: bb.score(models.load("insilico:cascade"), V1, layers=["V1"]), UsageError, "takes no 'layers'"),
        (lambda: bb.score("baseline:pixel", V1), UnknownNameError, "'pixels'"),
        (lambda: bb.score("baseline:pixels", "insilico.V1-rigde"), UnknownNameError, "'insilico.V1-ridge'"),
        (lambda: bb.score("baseline:pixels", []), UsageError, "no benchmark was named"),
        (lambda: bb.score("baseline:pixels", V1, data_root={"insilica": "."}), UnknownNameError, "'insilico'"),
        (lambda: bb.score("baseline:pixels", V1, data_root="/nonexistent"), UsageError, "not a folder"),
        (lambda: scored({"a": FEATURES}, data_root=["."]), UsageError, "data_root takes the path .*got a list"),
        (lambda: scored({"a": FEATURES}, data_root={"insilico": 3}), UsageError, "data_root takes the path"),
        (lambda: scored({"a": FEATURES}, out=3), UsageError, "out takes the path of a folder, got a int: 3"),
        (lambda: scored({"a": FEATURES}, cache=3), UsageError, "cache takes the path of a folder"),
        (lambda: scored({"a": FEATURES}, max_memory="4GB"), UsageError, "number of gigabytes above 0, got '4GB'"),
        (lambda: scored({"a": FEATURES}, name=None), UsageError, "name is a text"),
        (lambda: bb.score("baseline:pixels", 3), UsageError, "benchmarks are ids or globs, .*; got 3"),
        (lambda: bb.score("baseline:pixels", [V1, 3]), UsageError, "benchmarks are ids or globs"),
        (lambda: bb.score("module:os:nothing", V1), UsageError, "has no 'nothing'"),
        (lambda: bb.score("module:nothing_here:f", V1), UsageError, "no module 'nothing_here'"),
        (lambda: bb.score("module:os.path:join", V1), InputError, "raised TypeError"),
        (lambda: bb.score("module:os:getcwd", V1), UsageError, "returned a str"),
    ],
)
def test_a_wrong_call_is_refused_in_words_before_any_work(call, error, says, monkeypatch):
    monkeypatch.setattr(runner, "_columns", lambda *a: pytest.fail("work was done"))
    with pytest.raises(error, match=says):
        call()


def test_one_layer_may_be_given_as_a_string():
    (entry,) = bb.score("insilico:cascade", V1, layers="V2").entries
    assert [layer.layer for layer in entry.layers] == ["V2"]


# recordings that are not here


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    for name in ("BRAINBENCH_DATA", "BRAINBENCH_DATA_COWLEY2023", "BRAINBENCH_DATA_KRIEGESKORTE2008"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "nowhere")


def test_a_benchmark_named_in_full_must_be_there(nothing_here):
    with pytest.raises(AccessError, match="--data-root kriegeskorte2008=PATH"):
        bb.score({"a": FEATURES}, "kriegeskorte2008.judges-rsa", stimulus_ids=IDS)
    with pytest.raises(AccessError, match="is not on this machine"):
        bb.score({"a": FEATURES}, "cowley2023.*", stimulus_ids=IDS)


def test_globs_run_what_is_there_and_say_what_is_not(nothing_here):
    results = bb.score({"a": FEATURES}, ["cowley*", V1], stimulus_ids=IDS)
    assert [entry.benchmark for entry in results.entries] == [V1]
    assert set(results.skipped) == {name for name in known() if name.startswith("cowley2023.")}


# entries as files


def test_saved_entries_are_what_was_returned(tmp_path):
    (entry,) = scored({"a": FEATURES}, out=tmp_path / "new" / "results", name="lab/x")
    (path,) = (tmp_path / "new" / "results").rglob("*.json")
    assert path.relative_to(tmp_path).as_posix() == (
        f"new/results/features_lab_x-{entry.model_fingerprint[:8]}/{V1}.json"
    )
    assert Entry.model_validate_json(path.read_text()) == entry
    assert json.loads(path.read_text())["raw"] == entry.raw
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["..", ".", "../../evil\x1b[31m", "/etc", "x" * 300])
def test_a_model_name_cannot_leave_the_folder(tmp_path, name):
    entry = made(model=name)
    path = api.save(entry, tmp_path / "out")
    assert path.is_file() and path.resolve().parent.parent == (tmp_path / "out").resolve()
    assert "\x1b" not in str(path) and not path.parent.name.startswith(".")


def made(**changes):
    fields = {"benchmark": V1, "benchmark_fingerprint": "f", "synthetic": True, "model": "module"}
    fields |= {"model_fingerprint": "0123456789", "status": "ok", "scorer": "ridge 1", "scale": "r", "raw": 0.5}
    return Entry(**fields | changes)


def test_models_of_one_name_lie_side_by_side(tmp_path):
    one, two = ({"a": FEATURES[:, :n]} for n in (6, 5))
    for model, options in ((one, {}), (two, {}), (one | {"b": FEATURES}, {}), (one | {"b": FEATURES}, {"layers": "a"})):
        scored(model, out=tmp_path / "out", **options)
    torch.manual_seed(0)
    for module in (net(), net()):
        bb.score(module, V1, preprocess=see, layers="1", out=tmp_path / "out")
    entries = [Entry.model_validate_json(path.read_text()) for path in (tmp_path / "out").rglob("*.json")]
    assert sorted(entry.model for entry in entries) == ["features:module"] * 4 + ["module"] * 2


def test_an_entry_without_a_score_replaces_none_that_has_one(tmp_path, caplog):
    good, better = made(), made(raw=0.6)
    bad = made(status="failed", reason="broken picture", raw=None)

    def stored():
        return Entry.model_validate_json(path.read_text())

    path = api.save(bad, tmp_path)
    assert stored() == bad
    api.save(good, tmp_path)
    assert stored() == good
    assert not caplog.text
    assert api.save(bad, tmp_path) == path and stored() == good
    assert "failed and was not written" in caplog.text
    api.save(better, tmp_path)
    assert stored() == better
    path.write_text("{")
    api.save(bad, tmp_path)
    assert stored() == bad


def test_a_score_on_another_version_of_the_benchmark_is_replaced_with_a_word(tmp_path, caplog):
    api.save(made(), tmp_path)
    api.save(made(benchmark_fingerprint="g"), tmp_path)
    assert "another version of the benchmark" in caplog.text


@pytest.mark.parametrize("trouble", [ZeroDivisionError, KeyboardInterrupt, ResourceError])
def test_what_was_finished_is_kept_whatever_comes_after(tmp_path, monkeypatch, trouble):
    columns, calls = runner._columns, []

    def later(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise trouble("later")
        return columns(*arguments)

    monkeypatch.setattr(runner, "_columns", later)
    with pytest.raises(trouble):
        bb.score({"a": FEATURES}, [V1, "insilico.V1-rsa"], stimulus_ids=IDS, out=tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.json")
    assert Entry.model_validate_json(path.read_text()).status == "ok"


def test_an_out_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("brainbench.runner.run", lambda *a: pytest.fail("work was done"))
    with pytest.raises(ResourceError, match="Give another --out folder"):
        scored({"a": FEATURES}, out=tmp_path / "file" / "results")


@pytest.mark.parametrize("memory", [0, -1, float("nan")])
def test_no_memory_is_refused(memory):
    with pytest.raises(UsageError, match="needs some memory"):
        bb.score("baseline:pixels", "insilico.V1-ridge", max_memory=memory)


def test_a_tilde_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAINBENCH_CACHE", "~/one")
    bb.score({"a": FEATURES}, V1, stimulus_ids=IDS, out="~/runs").save("~/again")
    scored({"a": FEATURES}, cache="~/two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "runs", "again"}


def test_a_full_disk_leaves_nothing_beside_the_entries(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(api.Path, "write_bytes", full)
    entry = Entry.model_construct(model="m", model_fingerprint="0" * 64, benchmark="b", status="ok")
    with pytest.raises(ResourceError, match="No space left"):
        api.save(entry, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
