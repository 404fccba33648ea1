"""The figure of subsampling shows the numbers it is given, with n, and is the same bytes every time."""

import numpy as np
import pytest

from brainbench import plotting
from brainbench.analysis.robustness import Robustness, Stability, level
from brainbench.errors import ResourceError, UsageError

SCORES = {0.5: (0.3, 0.4, 0.5), 0.25: (0.1, 0.3, np.nan)}


def stability(name="bundled:net", axes=("stimuli", "neuroids"), score=0.45):
    levels = [
        level(axis, f, numbers=[100 * f] * 3, whole=100, scores=scores, layers=[0] * 3, best=0)
        for axis in axes
        for f, scores in SCORES.items()
    ]
    return Stability(model=name, score=score, layer="a", levels=tuple(levels))


def made(*models, **changes):
    fields = {
        "benchmark": "d.V4-ridge",
        "synthetic": False,
        "scale": "r",
        "n_stimuli": 100,
        "n_units": 100,
        "n_neuroids": 100,
        "n_subjects": 2,
        "models": models or (stability(), stability("baseline:pixels", score=0.2)),
        "orders": (),
        "missing": {},
    }
    return Robustness(**fields | changes)


def words(figure):
    return " ".join(figure.get_supxlabel().split())


def test_lines_are_means_and_bands_one_standard_deviation():
    figure = plotting.robustness([made(stability())])
    axes = figure.axes[0]
    line = next(line for line in axes.lines if line.get_label() == "bundled:net")
    np.testing.assert_allclose(line.get_xydata(), [[25, 0.2], [50, 0.4], [100, 0.45]])
    (band, *dots) = axes.collections
    path = band.get_paths()[0].vertices
    for n, mean, sd in ((25, 0.2, np.std([0.1, 0.3], ddof=1)), (50, 0.4, 0.1), (100, 0.45, 0)):
        edges = path[path[:, 0] == n, 1]
        assert (edges.min(), edges.max()) == (pytest.approx(mean - sd), pytest.approx(mean + sd))
    shown = np.ma.concatenate([dot.get_offsets()[:, 1] for dot in dots]).compressed()
    assert sorted(v for v in shown if np.isfinite(v)) == [0.1, 0.3, 0.3, 0.4, 0.45, 0.5]


def test_no_two_of_many_models_look_alike():
    figure = plotting.robustness([made(*(stability(f"m{number}") for number in range(9)))])
    drawn = [line for line in figure.axes[0].lines if line.get_label().startswith("m")]
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 9


def test_numbers_of_stimuli_and_neuroids_are_ticks_and_words():
    figure = plotting.robustness([made(n_units=10, synthetic=True)])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["25", "50", "100"]
    assert "d.V4-ridge (synthetic): 100 stimuli in 10 groups, 100 neuroids, 2 subjects; 3 draws a point." in words(
        figure
    )
    assert figure.axes[0].get_title(loc="left") == "d.V4-ridge (synthetic)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bundled:net", "baseline:pixels"]


def test_an_axis_that_cannot_be_cut_says_why():
    found = made(stability(axes=("stimuli",)), n_neuroids=0, missing={"neuroids": "only RDMs were released"})
    figure = plotting.robustness([found, made()])
    assert "only RDMs were released" in figure.axes[1].texts[0].get_text().replace("\n", " ")
    assert "100 stimuli, 2 subjects; 3 draws" in words(figure) and len(figure.axes) == 4


def test_a_level_without_a_score_is_left_out():
    empty = level("stimuli", 0.1, numbers=[0, 0], whole=100, scores=[np.nan] * 2, layers=[None] * 2, best=0)
    one = stability()
    figure = plotting.robustness([made(Stability(model="m", score=0.4, layer="a", levels=(*one.levels, empty)))])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["25", "50", "100"]


@pytest.mark.parametrize("suffix", ["png", "svg", "PNG"])
def test_the_file_is_the_same_bytes_every_time(tmp_path, suffix):
    paths = [plotting.save_as(plotting.robustness([made()]), tmp_path / f"{n}.{suffix}") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes() and len(paths[0].read_bytes()) > 1000


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"figures are \.png or \.svg, not 'a\.pdf'"):
        plotting.save_as(plotting.robustness([made()]), tmp_path / "a.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write figures"):
        plotting.save_as(plotting.robustness([made()]), tmp_path / "file" / "a.png")
