"""Curves of kernel analysis show the entries' own numbers, and `brainbench compare --figures` writes them."""

import json
import sys

import numpy as np
import pytest

from brainbench import cli, plotting
from brainbench.core.specs import fingerprint
from brainbench.entry import Entry

PENALISED, SHARES = np.logspace(-3, 4, 56), np.linspace(0, 1, 101)


def made(model, raw, complexity=PENALISED, benchmark="insilico.category-ka", **fields):
    facts = {
        "benchmark": benchmark,
        "benchmark_fingerprint": fingerprint({"id": benchmark}),
        "benchmark_identity": {"id": benchmark},
        "synthetic": True,
        "model": model,
        "model_fingerprint": model,
        "status": "ok",
        "scorer": "kernel_analysis 1",
        "scale": "share",
        "raw": raw,
        "low": raw - 0.01,
        "high": raw + 0.02,
        "layer": "top",
        "n_stimuli": 400,
        "resampled": "300 stimuli",
        "replicates": (raw + 0.01 * np.random.default_rng(0).normal(size=1000)).tolist(),
        "extras": {
            "precision": (raw * np.linspace(0, 2, len(complexity))).tolist(),
            "complexity": complexity.tolist(),
        },
    }
    return Entry(**facts | fields)


@pytest.mark.parametrize(
    "complexity, scale, says", [(PENALISED, "log", "leave-one-out"), (SHARES, "linear", "in-samp")]
)
def test_lines_are_the_entrys_and_the_best_is_named_first(complexity, scale, says):
    entries = [made("low", 0.1, complexity), made("recording:it", 0.3, complexity), made("mid", 0.2, complexity)]
    figure = plotting.kernel_curves(entries)
    (axes,) = figure.axes
    lines = axes.get_legend_handles_labels()[0]
    for line, entry in zip(lines, [entries[1], entries[2], entries[0]], strict=True):
        np.testing.assert_array_equal(line.get_xdata(), entry.extras["complexity"])
        np.testing.assert_array_equal(line.get_ydata(), entry.extras["precision"])
    assert lines[0].get_label() == "recording:it, top: 0.300 [0.290, 0.320]"
    assert axes.get_xscale() == scale and axes.get_ylabel() == "precision"
    assert axes.get_legend().get_title().get_text() == "insilico.category-ka (synthetic)"
    words = " ".join(figure.get_supxlabel().split())
    assert "n = 400 stimuli" in words and "resampled 300 stimuli" in words and says in words


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["brainbench", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code or 0, *capsys.readouterr()


def test_compare_writes_a_figure_for_each_benchmark_that_has_curves(tmp_path, monkeypatch, capsys):
    runs, figures = tmp_path / "runs", tmp_path / "figures"
    runs.mkdir()
    plain = {"extras": {}, "scorer": "ridge 3", "scale": "r"}
    for model, raw in (("a", 0.1), ("b", 0.3)):
        for entry in (made(model, raw), made(model, raw, benchmark="insilico.V4-ridge", **plain)):
            (runs / f"{model}-{entry.benchmark}.json").write_text(json.dumps(entry.as_json()))
    code, out, err = run(monkeypatch, capsys, "compare", runs, "--figures", figures)
    assert code == 0 and "b – a" in out and "Written" in err
    assert sorted(path.name for path in figures.iterdir()) == [
        "insilico.category-ka-curves.png",
        "insilico.category-ka-curves.svg",
    ]
    assert "b, top: 0.300" in (figures / "insilico.category-ka-curves.svg").read_text()
    ridge = [runs / f"{model}-insilico.V4-ridge.json" for model in ("a", "b")]
    code, out, err = run(monkeypatch, capsys, "compare", *ridge, "--figures", figures)
    assert (code, out) == (2, "") and "no others have curves" in " ".join(err.split())
