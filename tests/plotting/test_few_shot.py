"""The curve of few-shot readouts shows every readout at every size."""

from brainbench import plotting
from brainbench.analysis.few_shot import Point


def point(name, size, share):
    return Point(
        readout=name, size=size, mean_r=0.3, share=share, share_low=share - 0.1, share_high=share + 0.1,
        difference=0.0, low=0.0, high=0.0,
    )  # fmt: skip


def test_lines_hold_the_numbers(tmp_path):
    points = [point("b", 100, 0.4), point("a", 10, 0.1), point("a", 100, 0.3), point("b", 10, 0.2)]
    figure = plotting.few_shot(points, title="few", told="n = 8 stimuli", full=0.5)
    b, a, full = figure.axes[0].get_lines()
    assert list(b.get_xdata()) == [10, 100] and list(b.get_ydata()) == [0.2, 0.4]
    assert list(a.get_ydata()) == [0.1, 0.3] and set(full.get_ydata()) == {0.5}
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][:2] == ["b", "a"]
    assert "n = 8 stimuli" in figure.get_supxlabel().replace("\n", " ")
    assert plotting.save_as(figure, tmp_path / "it.svg").read_text().startswith("<?xml")
