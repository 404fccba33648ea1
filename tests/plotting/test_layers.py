"""Figures show the numbers they are given, say what they rest on, and are the same bytes every time."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from brainbench import plotting
from brainbench.analysis.comparison import Curve
from brainbench.analysis.regions import compare_regions
from brainbench.errors import ResourceError
from brainbench.plotting._style import COLOURS

DEPTHS = np.array([0.2, 0.5, 0.9, 1.0])
RAW = {"V1": [0.5, 0.4, 0.3, 0.2], "V4": [0.3, 0.5, 0.4, 0.2], "IT": [0.1, 0.2, np.nan, 0.5]}


def curve(region, **changes):
    raw = np.asarray(RAW[region])
    rng = np.random.default_rng(len(region) + ord(region[1]))
    noise = rng.normal(scale=0.03, size=(4, 200))
    fields = {
        "benchmark": f"d.{region}-ridge",
        "region": region,
        "recording": "d",
        "synthetic": False,
        "scorer": "ridge",
        "scale": "r",
        "layers": ("conv1", "conv2", "conv3", "fc"),
        "depths": DEPTHS,
        "raw": raw,
        "layer_replicates": raw[:, None] + noise,
        "score": 0.4,
        "replicates": 0.4 + noise[0],
        "normalized": 0.2,
        "normalized_replicates": 0.2 + noise[1],
        "reach": 0.8,
        "n_stimuli": 120,
        "n_neuroids": 31,
        "n_excluded": 0,
        "resampled": "120 stimuli, 3 subjects",
    }
    return Curve(**fields | changes)


def compared(*curves):
    return compare_regions("bundled:net", curves or [curve(name) for name in RAW])


def words(figure):
    return " ".join(figure.get_supxlabel().split())


def test_lines_and_bands_are_the_curves():
    comparison = compared()
    top = plotting.layer_curves(comparison).axes[0]
    lines = {line.get_label(): line for line in top.lines if line.get_label() in RAW}
    bands = [drawn for drawn in top.collections if isinstance(drawn, FillBetweenPolyCollection)]
    for region, band, colour in zip(comparison.regions, bands, COLOURS):
        line = lines[region.label]
        np.testing.assert_array_equal(line.get_xdata(), DEPTHS)
        np.testing.assert_array_equal(line.get_ydata(), RAW[region.label])
        assert to_hex(line.get_color()).upper() == to_hex(band.get_facecolor()[0]).upper() == colour
        corners = {(x, round(y, 9)) for path in band.get_paths() for x, y in path.vertices}
        finite = np.isfinite(region.low)
        assert {(x, round(y, 9)) for x, y in zip(DEPTHS[finite], region.low[finite])} <= corners
        assert {(x, round(y, 9)) for x, y in zip(DEPTHS[finite], region.high[finite])} <= corners
    assert [text.get_text() for text in top.texts] == ["V1", "V4", "IT"] or {t.get_text() for t in top.texts} == set(
        RAW
    )


def test_a_layer_without_a_neighbour_has_its_interval_as_a_bar():
    one = {"layers": ("gabor",), "depths": DEPTHS[3:]}
    comparison = compared(
        *(curve(r, raw=np.asarray(RAW[r][3:]), layer_replicates=curve(r).layer_replicates[3:], **one) for r in RAW)
    )
    top = plotting.layer_curves(comparison).axes[0]
    bars = [
        path.vertices for drawn in top.collections if isinstance(drawn, LineCollection) for path in drawn.get_paths()
    ]
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[r.low[0], r.high[0]] for r in comparison.regions])
    assert len({bar[0, 0] for bar in bars}) == 3 and top.get_xlim() == (-0.05, 1.05)


def test_the_strip_shows_best_layers_their_shares_and_intervals():
    comparison = compared()
    bottom = plotting.layer_curves(comparison).axes[1]
    assert [label.get_text() for label in bottom.get_yticklabels()] == list(RAW)
    for row, region in enumerate(comparison.regions):
        np.testing.assert_allclose(bottom.lines[row].get_xdata(), [region.depth_low, region.depth_high])
        dots, ring = bottom.collections[2 * row : 2 * row + 2]
        some = region.shares > 0
        np.testing.assert_allclose(dots.get_offsets().data, np.c_[DEPTHS[some], np.full(some.sum(), row)])
        np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().sum(), region.shares[some])
        np.testing.assert_allclose(ring.get_offsets().data, [[region.depth, row]])


def test_labels_do_not_lie_on_each_other():
    alike = [replace(curve("V1"), region=name, benchmark=f"d.{name}-ridge") for name in ("a", "b", "c", "d")]
    figure = plotting.layer_curves(compared(*alike))
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # of the words alone, not the leaders
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_heat_map_holds_shares_of_the_ceiling():
    comparison = compared()
    axes = plotting.layer_by_region(comparison).axes[0]
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown.filled(np.nan), np.array(list(RAW.values())) / 0.8)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(RAW)
    assert axes.get_xticklabels()[2].get_text() == "conv3 (0.90)"
    said = [text.get_text() for text in axes.texts]
    assert said[0] == "0.62" and said.count("–") == 1  # 0.5 / 0.8, and the dead layer
    low, high = comparison.regions[0].low[0] / 0.8, comparison.regions[0].high[0] / 0.8
    assert said[1] == f"[{low:.2f}, {high:.2f}]"
    frames = {(round(p.get_x() + p.get_width() / 2, 6), round(p.get_y() + p.get_height() / 2, 6)) for p in axes.patches}
    assert frames == {(0, 0), (1, 1), (3, 2)}


def test_without_all_ceilings_the_heat_map_holds_scores():
    figure = plotting.layer_by_region(compared(curve("V1"), curve("V4", reach=np.nan)))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array().filled(np.nan)[0], RAW["V1"])
    assert "Cells: score (r) with one layer" in words(figure)


def test_layers_stand_in_order_of_depth_whatever_order_they_have():
    turned = {"depths": DEPTHS[::-1], "layers": ("fc", "conv3", "conv2", "conv1")}
    axes = plotting.layer_by_region(compared(curve("V1", **turned), curve("V4", **turned))).axes[0]
    assert [label.get_text()[:5] for label in axes.get_xticklabels()] == ["conv1", "conv2", "conv3", "fc (1"]
    np.testing.assert_allclose(axes.images[0].get_array()[0] * 0.8, RAW["V1"][::-1])
    assert axes.patches[0].get_x() + axes.patches[0].get_width() / 2 == pytest.approx(3)


def test_curves_run_from_the_shallowest_layer_to_the_deepest_whatever_order_they_have():
    at = [3, 0, 2, 1]
    layers = tuple(("conv1", "conv2", "conv3", "fc")[number] for number in at)
    given = [
        curve(
            region,
            layers=layers,
            depths=DEPTHS[at],
            raw=np.asarray(RAW[region])[at],
            layer_replicates=curve(region).layer_replicates[at],
        )
        for region in RAW
    ]
    turned, straight = (plotting.layer_curves(one).axes[0] for one in (compared(*given), compared()))
    for drawn, expected in zip(turned.lines, straight.lines, strict=True):
        np.testing.assert_array_equal(drawn.get_xydata(), expected.get_xydata())
    assert [text.xy for text in turned.texts] == [text.xy for text in straight.texts]  # names at the ends of the lines


@pytest.mark.parametrize("draw", [plotting.layer_curves, plotting.layer_by_region])
def test_a_best_layer_that_is_luck_is_marked(draw):
    comparison = compared(curve("V1"), curve("V4", raw=np.array([0.01, -0.01, 0.02, 0.0])))
    figure = draw(comparison)
    names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert "V1" in names and "V4 (n.s.)" in names and "so the best one is luck" in words(figure)
    assert "n.s." not in words(draw(compared()))


@pytest.mark.parametrize("draw", [plotting.layer_curves, plotting.layer_by_region])
def test_captions_say_what_the_figure_rests_on(draw):
    told = words(draw(compared(curve("V1"), curve("V4", n_neuroids=7, n_excluded=2))))
    assert told.startswith("bundled:net.") and "95 %" in told and "synthetic" not in told
    assert "d, 120 stimuli, 3 subjects: V1 31, V4 7 (2 excluded) neuroids." in told
    other = curve(
        "IT",
        recording="e",
        benchmark="e.IT-ridge",
        synthetic=True,
        resampled="90 stimuli (one subject)",
        counted="RDMs",
    )
    told = words(draw(compared(curve("V1"), other)))
    assert "e (synthetic), 90 stimuli (one subject): IT 31 RDMs." in told
    assert "compare shapes, not heights" in told


def test_many_layers_leave_out_what_does_not_fit():
    n = 60
    many = {"layers": tuple(f"blocks.{i}" for i in range(n)), "depths": np.arange(1, n + 1) / n, "raw": np.full(n, 0.3)}
    many["layer_replicates"] = np.random.default_rng(0).normal(0.3, 0.02, size=(n, 50))
    comparison = compared(curve("V1", **many), curve("V4", **many))
    heat = plotting.layer_by_region(comparison)
    assert not heat.axes[0].texts and "small" not in words(heat) and heat.get_figwidth() <= 14
    curves = plotting.layer_curves(comparison)
    above = curves.axes[0].child_axes[0]
    names = [label.get_text() for label in above.get_xticklabels()]
    assert "blocks.59" in names and len(names) <= 36


def test_a_region_without_a_score_is_empty_and_not_left_out():
    nan = np.full((4, 200), np.nan)
    dead = replace(curve("IT"), raw=nan[:, 0], layer_replicates=nan, reach=np.nan)
    comparison = compared(curve("V1"), dead)
    assert [t.get_text() for t in plotting.layer_curves(comparison).axes[1].get_yticklabels()] == ["V1", "IT"]
    heat = plotting.layer_by_region(comparison).axes[0]
    assert heat.images[0].get_array()[1].mask.all() and len(heat.patches) == 2


def test_files_are_the_same_bytes_every_time(tmp_path):
    written = [plotting.save_all(compared(), tmp_path / name) for name in ("a", "b/c")]
    assert [p.name for p in written[0]] == [
        "bundled_net-layer_curves.png",
        "bundled_net-layer_curves.svg",
        "bundled_net-layer_by_region.png",
        "bundled_net-layer_by_region.svg",
    ]
    first, second = ([hashlib.sha256(p.read_bytes()).hexdigest() for p in paths] for paths in written)
    assert first == second
    svg = written[0][1].read_text()
    assert "best layer" in svg and "<dc:date>" not in svg  # words stay words
    assert b"Software" not in written[0][0].read_bytes()[:300]


def test_the_users_matplotlib_is_left_alone():
    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9}):
        figure = plotting.layer_curves(compared())
        assert matplotlib.rcParams["font.size"] == 31
    assert figure.axes[0].lines[0].get_linewidth() == 1.5 and figure.axes[0].yaxis.label.get_fontsize() == 8
    code = "import sys, brainbench.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_of_models_are_no_paths(tmp_path):
    comparison = replace(compared(), model="module:../../x/y:net[1]")
    paths = plotting.save_all(comparison, tmp_path)
    assert {p.parent for p in paths} == {tmp_path} and paths[0].name == "module_.._.._x_y_net_1_-layer_curves.png"


def test_a_folder_that_cannot_be_written_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write figures"):
        plotting.save_all(compared(), tmp_path / "file")
