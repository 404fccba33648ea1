"""`brainbench match`: which layers go together, the tables, the figure, JSON, and what is refused."""

import json
import sys

import numpy as np
import pytest

from brainbench import cli
from brainbench.datasets.insilico import Insilico
from brainbench.models.features_file import write_features


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))
    ids = Insilico().stimuli().ids
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(ids), 6)).astype(np.float32)
    for name, layers in {
        "one": {"a": x, "b": x[:, :4]},
        "two": {"a": x[:, ::-1].copy(), "b": x + rng.normal(size=x.shape).astype(np.float32)},
        "odd": {"p": x[:, 1:], "q": x},
        "few": {"a": x[:20]},
    }.items():
        write_features(tmp_path / f"{name}.safetensors", layers, ids[: len(next(iter(layers.values())))])

    def call(*arguments):
        texts = [text.replace("HERE", f"features:{tmp_path}") for text in arguments]
        monkeypatch.setattr(sys, "argv", ["brainbench", "match", *texts, "--device", "cpu"])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


ONE, TWO, ODD = (f"HERE/{name}.safetensors" for name in ("one", "two", "odd"))


def test_layers_of_one_name_go_together_and_a_figure_is_written(run, tmp_path):
    code, out, err = run(ONE, TWO, "--stimuli", "insilico", "--figure", str(tmp_path / "it.svg"))
    assert code == 0 and "Written" in err and out.count("one-to-one") == 2
    assert (
        "two.safetensors a (6 units)" in out
        and "one.safetensors b (4 units)" in out
        and "400 stimuli of insilico (synthetic)" in out
    )
    drawn = (tmp_path / "it.svg").read_text()
    assert "n = 400" in drawn and "insilico (synthetic)" in drawn and "partners in b" in drawn


def test_json_has_the_numbers_of_the_pairs_that_are_named(run):
    code, out, _ = run(ONE, ODD, "--stimuli", "insilico.V1-ridge", "--layers", "a=q,b=p", "--groups", "2", "--json")
    found = json.loads(out)
    assert code == 0 and [(p["first"], p["second"]) for p in found["pairs"]] == [("a", "q"), ("b", "p")]
    same, fewer = found["pairs"]
    assert same["levels"][0]["r"] == pytest.approx(1) and same["levels"][0]["difference"] is None
    assert fewer["levels"][0]["r"] == pytest.approx(3 / 5, abs=0.05)
    assert (same["n_second"], fewer["n_second"]) == (6, 5)
    assert len(same["groups"]) == 2 and found["synthetic"] and "correlations" not in same


def test_a_recording_is_a_system_with_one_layer(run):
    code, out, _ = run("insilico:cascade", "recording:insilico.V1/s1", "--stimuli", "insilico", "--layers", "V1")
    assert code == 0 and "recording:insilico.V1/s1 V1" in out and "insilico:cascade V1" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((ONE, ODD, "--stimuli", "insilico"), 2, "has no layer 'a', but p, q: name pairs, --layers a=p"),
        ((ONE, "HERE/few.safetensors", "--stimuli", "insilico"), 2, "have 20 of the stimuli of insilico"),
        ((ONE, TWO, "--stimuli", "insilica"), 2, "Did you mean 'insilico'"),
        ((ONE, TWO, "--stimuli", "insilico", "--layers", "c"), 2, "layer 'c'"),
        ((ONE, TWO, "--stimuli", "insilico", "--figure", "it.pdf"), 2, "figures are .png or .svg"),
        ((ONE, TWO, "--stimuli", "insilico", "--units", "1"), 2, "units"),
    ],
)
def test_what_cannot_be_matched_is_said_in_words(run, arguments, code, says):
    got, _, err = run(*arguments)
    assert got == code and says in err
