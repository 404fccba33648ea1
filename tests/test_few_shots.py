"""`brainbench few-shot`: the table, the figure, and what is refused."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from brainbench import cli, datasets, few_shots
from brainbench.datasets.insilico import Insilico
from brainbench.models.features_file import write_features


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))
    ids = Insilico().stimuli().ids
    x = np.random.default_rng(0).normal(size=(len(ids), 5)).astype(np.float32)
    write_features(tmp_path / "it.safetensors", {"a": x}, ids)
    write_features(tmp_path / "two.safetensors", {"a": x, "b": x}, ids)

    def call(model, *arguments):
        arguments = (model.replace("HERE", str(tmp_path)), *arguments, "--device", "cpu")
        monkeypatch.setattr(sys, "argv", ["brainbench", "few-shot", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


IT = "features:HERE/it.safetensors"


def test_the_table_has_a_line_a_readout_and_size_and_the_figure_is_written(run, tmp_path):
    asked = ("-b", "insilico.V4-ridge", "--subject", "s1", "--sizes", "10,50")
    code, out, err = run(IT, *asked, "--figure", str(tmp_path / "it.svg"))
    assert code == 0 and "insilico.V4-ridge (synthetic)" in out and "Written" in err
    assert "Intervals are over test stimuli, not over supports" in " ".join(out.split())
    assert out.count("fold-averaged") == 2 and (tmp_path / "it.svg").read_text().startswith("<?xml")
    found = json.loads(run(IT, *asked, "--json")[1])
    assert [(p["readout"], p["size"]) for p in found["points"]] == [
        (name, size) for size in (10, 50) for name in ("ridge", "fold-averaged")
    ]
    assert [p["difference"] for p in found["points"] if p["readout"] == "ridge"] == [0, 0]
    assert abs(found["full"]) < 0.2  # noise


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (IT, ["-b", "insilico.V4-ridge"], "name one --subject of s1, s2, s3"),
        (IT, ["-b", "insilico.*"], "name one"),
        (IT, ["-b", "insilico.V4-ridge", "--subject", "s1", "--sizes", "10,x"], "--sizes are"),
        ("features:HERE/two.safetensors", ["-b", "insilico.V4-ridge", "--subject", "s1"], "2 layers: name one"),
    ],
)
def test_what_makes_no_sense_is_refused(run, model, arguments, message):
    code, _, err = run(model, *arguments)
    assert code == 2 and message in err, err


def test_a_recording_without_neuroids_is_refused(run, monkeypatch):
    released = SimpleNamespace(spec=datasets.DATASETS["kriegeskorte2008"].spec)
    monkeypatch.setattr(few_shots, "available", lambda chosen, *a, **k: (chosen, {}))
    monkeypatch.setattr(datasets, "load", lambda *a: released)
    code, _, err = run(IT, "-b", "kriegeskorte2008.humanIT-rsa")
    assert code == 2 and "kriegeskorte2008.humanIT-rsa is of rdms: readouts are of single neuroids" in err


def test_only_neuroids_with_a_score_are_counted(run, monkeypatch):
    class Silent(Insilico):
        def responses(self, subject, **asked):
            responses = super().responses(subject, **asked)
            responses.values[:, :3] = 0
            return responses

    asked = ("-b", "insilico.V4-ridge", "--subject", "s1", "--sizes", "10", "--json")
    everyone = json.loads(run(IT, *asked)[1])["n_neuroids"]
    monkeypatch.setattr(datasets, "load", lambda *a: Silent())
    assert json.loads(run(IT, *asked)[1])["n_neuroids"] == everyone - 3
