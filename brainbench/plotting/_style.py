"""How figures look: colours that the colour-blind tell apart (Okabe and Ito 2008), small type, no frame."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib.style
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MUTED = "0.7"
_HOUSE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
}


def lines(n: int) -> list[tuple[str, str]]:
    """A colour and a line style for each of n lines: colours come round again after the last, then lines are broken."""
    return [(COLOURS[at % len(COLOURS)], ("-", "--", ":")[at // len(COLOURS) % 3]) for at in range(n)]


@contextmanager
def house() -> Iterator[None]:
    """Within it figures are drawn in this style, whatever the user's matplotlibrc says."""
    with matplotlib.style.context(["default", _HOUSE]):
        yield


def caption(figure: Figure, text: str) -> None:
    """What is drawn, and on what it rests, below the figure, in lines of its width."""
    lines = textwrap.wrap(text, int(figure.get_figwidth() * 19.5), break_on_hyphens=False)
    figure.supxlabel("\n".join(lines), x=0.005, ha="left", fontsize=6.8, color="0.25")
