"""`brainbench compare --regions` and `compare_regions` as a user calls them, on the synthetic recordings."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import brainbench as bb
from brainbench import api, benchmarks, cli, runner
from brainbench.datasets.insilico import Insilico
from brainbench.errors import AccessError, InputError, UnknownNameError, UsageError
from brainbench.models.features_file import write_features

IDS = Insilico().stimuli().ids
rng = np.random.default_rng(0)
FEATURES = {name: rng.normal(size=(400, 6)).astype(np.float32) for name in ("a", "b")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One store for all: each comparison is scored once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def no_baselines(monkeypatch):
    """Regions are compared without them."""
    bare = {name: b.model_copy(update={"baselines": ()}) for name, b in benchmarks.known().items()}
    monkeypatch.setattr(benchmarks, "known", lambda: bare)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, cache):
    """Runs `brainbench compare ARGUMENTS`: exit code, stdout, stderr."""
    monkeypatch.setenv("BRAINBENCH_CACHE", str(cache))
    monkeypatch.delenv("BRAINBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write_features(tmp_path / "net.safetensors", FEATURES, IDS)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainbench", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


@pytest.fixture(autouse=True)
def no_recordings(monkeypatch):
    monkeypatch.delenv("BRAINBENCH_DATA", raising=False)


NET = "features:net.safetensors"


def compared(cache, regions=("V1", "IT"), *patterns, **options):
    return bb.compare_regions(FEATURES, regions, *patterns, stimulus_ids=IDS, name="net", cache=cache, **options)


def test_numbers_are_those_of_the_entries(cache):
    found = compared(cache)
    entries = bb.score(FEATURES, ["insilico.V1-ridge", "insilico.IT-ridge"], stimulus_ids=IDS, name="net", cache=cache)
    by_region = {entry.benchmark_identity["region"]: entry for entry in entries.entries}
    for region in found.comparison.regions:
        entry = by_region[region.label]
        assert region.curve.score == pytest.approx(entry.raw, abs=1e-9)
        assert region.curve.normalized == pytest.approx(entry.normalized, abs=1e-9)
        assert (region.score_low, region.score_high) == pytest.approx((entry.low, entry.high))
        assert (region.normalized_low, region.normalized_high) == pytest.approx(
            (entry.normalized_low, entry.normalized_high)
        )
        np.testing.assert_allclose(region.curve.raw, [layer.raw for layer in entry.layers])
        assert region.curve.reach == pytest.approx(entry.ceiling**0.5)
        assert (region.curve.n_stimuli, region.curve.n_neuroids, region.curve.synthetic) == (400, 150, True)
    assert found.comparison.pairs[0].paired  # one recording
    assert list(found.table().index) == ["V1", "IT"] and found.table()["synthetic"].all()


def test_figures_are_written(cache, tmp_path):
    assert {path.suffix for path in compared(cache).figures(tmp_path / "new")} == {".png", ".svg"}


def test_rdms_are_counted_as_such(cache):
    found = compared(cache, ["insilico.V1-rsa", "insilico.IT-rsa"], scorer="rsa").comparison
    assert [r.curve.counted for r in found.regions] == ["RDMs", "RDMs"] and found.corrected
    (entry,) = bb.score(FEATURES, "insilico.V1-rsa", stimulus_ids=IDS, name="net", cache=cache).entries
    assert found.regions[0].curve.reach == entry.ceiling and entry.ceiling_scale == "r"  # as it is, not its root


@pytest.mark.parametrize(
    ("regions", "error", "says"),
    [
        (["V1"], UsageError, "needs 2 regions or more"),
        (["V1", "insilico.V1-ridge"], UsageError, "each once"),
        (["V1", "ITT"], UnknownNameError, "Did you mean 'IT'"),
        (["V1", "humanIT"], UsageError, r"kriegeskorte2008.humanIT-rsa is by rsa. Name another --scorer"),
        (["V1", "insilico.IT-rsa"], UsageError, "scored by ridge"),
        (["V1", "henaff2021.V1-ridge"], AccessError, "henaff2021"),
    ],
)
def test_regions_that_make_no_comparison(cache, monkeypatch, regions, error, says):
    monkeypatch.delenv("BRAINBENCH_DATA", raising=False)
    with pytest.raises(error, match=says):
        compared(cache, regions)


def test_a_region_of_several_recordings_is_a_choice_to_make(cache, monkeypatch):
    here = ("henaff2021", "insilico")
    monkeypatch.setattr(api, "present", lambda name, roots: "" if name in here else "not here")
    with pytest.raises(
        UsageError, match=r"'V1' has 2 benchmarks here: henaff2021.V1-ridge, insilico.V1-ridge. Name one"
    ):
        compared(cache)
    assert compared(cache, ("V1", "IT"), "insilico.*").comparison.regions[0].curve.benchmark == "insilico.V1-ridge"
    chosen = benchmarks.of_region("V4", "ridge", ("cowley*",))
    assert [b.id for b in chosen] == ["cowley2023.V4-ridge", "cowley2023.V4avg-ridge"]


def test_a_benchmark_that_is_not_here_leaves_the_choice_to_the_others(cache, monkeypatch):
    monkeypatch.setattr(api, "present", lambda name, roots: "" if name == "insilico" else "not here")
    assert compared(cache).comparison.regions[0].curve.benchmark == "insilico.V1-ridge"


@pytest.mark.parametrize(
    "arguments",
    [
        (NET, "--regions", "V1,IT"),
        (NET, "--regions", "V1", "IT"),
        (NET, "--regions", "V1 IT"),
        ("--regions", "V1", "IT", NET),
    ],
)
def test_regions_may_be_given_in_any_of_these_ways(run, arguments):
    code, out, _ = run(*arguments, "--json")
    (found,) = json.loads(out)
    assert code == 0 and found["model"] == "features:net"
    assert [region["label"] for region in found["regions"]] == ["V1", "IT"]


def test_tables_on_stdout_and_figures_in_their_folder(run, tmp_path):
    code, out, err = run(NET, "--regions", "V1", "IT", "--figures", "new/figures")
    assert code == 0 and err.count("Written: new/figures/features_net-layer") == 4
    assert len(list((tmp_path / "new/figures").iterdir())) == 4
    assert out.splitlines()[0].strip() == "features:net"
    about = [line for line in out.splitlines() if "insilico" in line or "V1" in line]
    assert len(about) == 4 and all("synthetic" in line for line in about)  # two regions, their pair, the order
    assert "IT (synthetic)" in out and "IT – V1 (synthetic)" in out and " paired " in out
    assert "compare normalized, not raw" in " ".join(out.split())
    assert "(n.s.)" in out  # features without meaning


def test_many_models_have_a_line_each(run, tmp_path):
    write_features(tmp_path / "other.safetensors", {"c": FEATURES["a"], "d": FEATURES["b"]}, IDS)
    code, out, _ = run(NET, "features:other.safetensors", "--regions", "V1", "IT")
    last = out[out.index("Depth of the best layer") :].splitlines()
    assert code == 0 and last[2].startswith("features:net ") and last[3].startswith("features:other ")
    assert out.count("Best depth over") == 2


def test_models_of_one_name_are_told_apart_and_their_figures_too(run, tmp_path):
    (tmp_path / "b").mkdir()
    write_features(tmp_path / "b/net.safetensors", {"c": FEATURES["a"]}, IDS)
    arguments = (NET, "features:b/net.safetensors", NET, "--regions", "V1", "IT", "--figures", "f", "--json")
    assert [found["model"] for found in json.loads(run(*arguments)[1])] == [NET, "features:b/net.safetensors"]
    assert len(list((tmp_path / "f").glob("*.png"))) == 4


def test_regions_of_different_recordings_are_independent(run, monkeypatch):
    results = runner.results

    def apart(model, chosen, setting):
        found = results(model, chosen, setting)
        return {name: replace(result, draws=name) for name, result in found.items()}

    monkeypatch.setattr(runner, "results", apart)
    assert " independent " in run(NET, "--regions", "V1", "IT")[1]


def test_a_region_without_a_score_is_in_the_table_and_is_the_exit_code(run, tmp_path):
    write_features(tmp_path / "dead.safetensors", {"a": np.ones((400, 6)), "b": np.ones((400, 6))}, IDS)
    code, out, err = run("features:dead.safetensors", "--regions", "V1", "IT")
    assert code == 3 and "V1 (synthetic)" in out and "[–, –]" in out
    assert "V1 (synthetic) has no score: no column has a score: {'constant-prediction': 150}" in err
    code, out, _ = run("features:dead.safetensors", "--regions", "V1", "IT", "--json")
    assert code == 3 and json.loads(out)[0]["regions"][0]["depth"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("runs", "--regions", "V1,IT"), 2, "no model was named beside the regions: none of runs is SOURCE:NAME"),
        (
            (NET, "V4", "--regions", "V1", "--regions", "IT"),
            2,
            "give all regions after one --regions; 'V4' stands apart",
        ),
        ((NET, "--regions", "V1", "IT", "runs"), 2, "unknown region or benchmark 'runs'"),
        ((NET, "--scorer", "rsa"), 2, "--scorer goes with --regions"),
        ((NET, "--figures", "x"), 3, "cannot read the entry"),
        ((NET, "--regions", "V1", "IT", "--device", "tpu"), 2, "device 'tpu' is not usable here"),
        ((NET, "--regions", "V1", "IT", "--figures", "net.safetensors/x"), 6, "Give another --figures folder"),
        (("features:none.safetensors", "--regions", "V1", "IT"), 3, "none.safetensors"),
        ((), 2, "Missing argument"),
    ],
)
def test_calls_that_are_wrong(run, arguments, code, says):
    found, out, err = run(*arguments)
    assert (found, out) == (code, "") and says in err


def test_features_that_lack_stimuli_are_an_input_error(cache):
    with pytest.raises(InputError, match="none of the 400 stimuli"):
        bb.compare_regions({"a": FEATURES["a"]}, ["V1", "IT"], stimulus_ids=[str(n) for n in range(400)], cache=cache)
