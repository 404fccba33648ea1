"""The figure of scores over time shows the entries' own numbers, and `brainbench time` prints them."""

import json
import sys

import numpy as np
import pytest

from brainbench import cli, plotting
from brainbench.analysis.temporal import temporal
from brainbench.entry import Entry, Layer
from brainbench.time_course import time_course

TIME = np.arange(8) / 20
LAYERS = ("a", "b", "c", "d")


def made(model="m", peaks=(1, 2, 4, 6), height=0.5, **fields):
    """Layers that are each highest in one bin; the last one is chosen."""
    curves = np.zeros((4, 8))
    for row, at in zip(curves, peaks):
        row[at], row[max(at - 1, 0)] = height, height / 2
    raw = curves[-1]
    replicates = raw + 0.02 * np.random.default_rng(0).normal(size=(1000, 8))
    course = time_course(TIME, raw, replicates, ceiling=np.full(8, 0.49), layer_raw=curves, window_s=(0.05, 0.3))
    facts = {
        "benchmark": "insilico_meg.sensors-ridge",
        "benchmark_fingerprint": "b",
        "synthetic": True,
        "model": model,
        "model_fingerprint": model,
        "status": "ok",
        "scorer": "ridge 1",
        "scale": "r",
        "ceiling_scale": "r2",
        "raw": 0.1,
        "low": 0.05,
        "high": 0.15,
        "n_stimuli": 40,
        "n_neuroids": 31,
        "n_excluded": 1,
        "resampled": "40 stimuli (one subject)",
        "layers": [
            Layer(layer=name, pooling="flatten", depth=depth, train=0.1, raw=0.1)
            for name, depth in zip(LAYERS, (0.2, 0.4, 0.6, 1.0))
        ],
        "time_course": course,
    }
    return Entry(**facts | fields)


def test_lines_bands_and_ceiling_are_the_entrys():
    entry = made()
    figure = plotting.time_courses([entry])
    top, bottom = figure.axes
    line = next(line for line in top.lines if line.get_label() == "m")
    np.testing.assert_array_equal(line.get_ydata(), entry.time_course.raw)
    corners = {(round(x, 9), round(y, 9)) for path in top.collections[0].get_paths() for x, y in path.vertices}
    assert {(round(x, 9), round(y, 9)) for x, y in zip(TIME, entry.time_course.low)} <= corners
    assert {(round(x, 9), round(y, 9)) for x, y in zip(TIME, entry.time_course.high)} <= corners
    ceiling = next(line for line in top.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(ceiling.get_ydata(), 0.7)  # r² .49 on the scale of r
    marks = {line.get_marker(): line.get_xdata()[0] for line in bottom.lines if line.get_marker() in "|o"}
    assert marks == {"|": entry.time_course.onset_s, "o": entry.time_course.peak_s}
    words = " ".join(figure.get_supxlabel().split())
    assert "resampled 40 stimuli (one subject); 31 neuroids (1 excluded)" in words and "synthetic" in words
    assert bottom.get_xlabel() == "time after stimulus onset (s)" and top.get_ylabel() == "score (r)"


def test_no_two_of_many_models_look_alike():
    top, _ = plotting.time_courses([made(f"m{number}") for number in range(9)]).axes
    drawn = [line for line in top.lines if line.get_label().startswith("m")]
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 9


def test_a_model_without_latencies_has_no_marks():
    entry = made(height=0.001)
    assert entry.time_course.onset_s is None and entry.time_course.reason
    bottom = plotting.time_courses([entry]).axes[1]
    assert not [line for line in bottom.lines if line.get_marker() in "|o"]


def test_the_temporal_score_correlates_depth_with_latency():
    found = temporal(made())
    assert found.latency_s == (0.05, 0.1, 0.2, 0.3)
    assert found.r == pytest.approx(np.corrcoef([0, 1, 2, 3], [1, 2, 4, 6])[0, 1])
    assert found.p == pytest.approx(1 / 24)
    assert temporal(made(peaks=(6, 4, 2, 1))).r == pytest.approx(-found.r)
    assert temporal(made(peaks=(6, 4, 2, 1))).p == 1.0
    assert temporal(made(time_course=None)) is None


def test_layers_that_are_not_told_from_zero_have_no_latency_and_one_latency_no_correlation():
    entry = made()
    faint = [*entry.time_course.layer_raw[:3], [0.001 * n for n in range(8)]]
    course = entry.time_course.model_copy(update={"layer_raw": faint})
    found = temporal(entry.model_copy(update={"time_course": course}))
    assert np.isnan(found.latency_s[3]) and found.latency_s[:3] == (0.05, 0.1, 0.2)
    assert np.isnan(temporal(made(peaks=(3, 3, 3, 3))).r)


def test_layers_stand_in_order_of_depth():
    entry = made()
    turned = entry.model_copy(
        update={
            "layers": entry.layers[::-1],
            "time_course": entry.time_course.model_copy(update={"layer_raw": entry.time_course.layer_raw[::-1]}),
        }
    )
    assert temporal(turned) == temporal(entry)


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["brainbench", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code, *capsys.readouterr()


def test_the_command_prints_latencies_and_writes_the_figure(tmp_path, monkeypatch, capsys):
    for entry in (made(), made("other", height=0.001), made("flat", time_course=None)):
        (tmp_path / f"{entry.model}.json").write_text(json.dumps(entry.as_json()))
    code, out, err = run(monkeypatch, capsys, "time", tmp_path, "--figure", tmp_path / "f.svg", "--json")
    assert not code and "Written" in err and (tmp_path / "f.svg").read_text().startswith("<?xml")
    rows = {row["model"]: row for row in json.loads(out)}
    assert rows.keys() == {"m", "other"}
    assert rows["m"]["time_course"]["peak_s"] == 0.3 and rows["other"]["time_course"]["peak_s"] is None
    assert rows["m"]["temporal"]["latency_s"] == [0.05, 0.1, 0.2, 0.3] and rows["other"]["temporal"]["r"] is None
    monkeypatch.setenv("COLUMNS", "250")
    code, out, _ = run(monkeypatch, capsys, "time", tmp_path)
    assert not code and "insilico_meg.sensors-ridge (synthetic)" in out and "0.300" in out and "+0.9" in out


def test_courses_of_other_versions_share_no_panel_and_the_same_file_twice_is_one_course(tmp_path, monkeypatch, capsys):
    """Of one benchmark's entries the first would lend its window and ceiling to all."""
    first, other = made(), made("other", benchmark_fingerprint="c", benchmark_identity={"window_s": [0.1, 0.4]})
    for name, entry in (("a", first), ("b", first), ("rsa", made(benchmark="insilico_meg.sensors-rsa"))):
        (tmp_path / f"{name}.json").write_text(json.dumps(entry.as_json()))
    code, out, _ = run(monkeypatch, capsys, "time", tmp_path, "--json")
    assert not code and [row["benchmark"].rpartition("-")[2] for row in json.loads(out)] == ["ridge", "rsa"]
    (tmp_path / "c.json").write_text(json.dumps(other.as_json()))
    code, out, err = run(monkeypatch, capsys, "time", tmp_path, "--json")
    assert code == 2 and [row["benchmark"].rpartition("-")[2] for row in json.loads(out)] == ["rsa"]
    assert "They differ in window_s" in " ".join(err.split())


def test_networks_of_one_name_are_told_apart(tmp_path, monkeypatch, capsys):
    two = [made(), made(model_fingerprint="0123456789ab")]
    for number, entry in enumerate(two):
        (tmp_path / f"{number}.json").write_text(json.dumps(entry.as_json()))
    _, out, _ = run(monkeypatch, capsys, "time", tmp_path, "--json")
    assert [row["model"] for row in json.loads(out)] == ["m-m", "m-01234567"]
    labels = [line.get_label() for line in plotting.time_courses(two).axes[0].lines]
    assert [label for label in labels if label.startswith("m")] == ["m-m", "m-01234567"]


def test_entries_without_time_are_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "flat.json").write_text(json.dumps(made(time_course=None).as_json()))
    code, _, err = run(monkeypatch, capsys, "time", tmp_path)
    assert code == 2 and "no entry here has a score over time" in " ".join(err.split())
