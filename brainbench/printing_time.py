"""What the terminal says of scores over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.text import Text

from brainbench.analysis.temporal import Temporal
from brainbench.entry import Entry
from brainbench.printing import number, signed, titled
from brainbench.time_course import N_CONSECUTIVE

ALWAYS = 0.975  # of the replicates: what an interval of 95 % leaves out on one side is not worth a word
LEGEND = (
    "score: mean over the window. bins: how many are above 0 at p < .05, corrected for all bins (max-statistic). "
    f"onset: the first of {N_CONSECUTIVE} such bins in a row; the more data, the earlier. peak: the highest bin. "
    "Intervals are 95 %, of replicates. temporal: correlation of layers, in order of depth, with the latency of their "
    "highest bin, p over orders of the layers (docs/time.md). –: undefined."
)


def latencies(entries: Sequence[Entry]) -> list[str]:
    """A line for each entry with a time course: onset and peak with their intervals, or why there are none."""
    lines = []
    for entry in entries:
        course = entry.time_course
        if course is None:
            continue
        told = [
            f"{what} {_second(at)} s [{_second(low)}, {_second(high)}]"
            for what, at, low, high in (
                ("onset", course.onset_s, course.onset_low_s, course.onset_high_s),
                ("peak", course.peak_s, course.peak_low_s, course.peak_high_s),
            )
            if at is not None
        ]
        if course.onset_share is not None and course.onset_share < ALWAYS:
            told[0] += f" in {course.onset_share:.0%} of replicates; the others have none"
        early = [what for what, at in (("onset", course.onset_s), ("peak", course.peak_s)) if at is not None and at < 0]
        if early:
            told.append(
                f"{' and '.join(early)} before the stimulus, which says that something is wrong: time stamps, "
                "baseline, or pictures in a known order"
            )
        start, end = course.window_s
        lines.append(
            f"{entry.label}: {', '.join([*told, course.reason] if course.reason else told)}; score is the mean over "
            f"{start:g} to {end:g} s"
        )
    return lines


def print_time(out: Console, entries: Sequence[Entry], models: Sequence[str], found: Sequence[Temporal | None]) -> None:
    """A row an entry, with its latencies and temporal score; `models` is what each is called."""
    table = titled(None)
    heads = ("benchmark", "model", "score", "95 % interval", "bins", "onset (s)", "95 %", "peak (s)", "95 %")
    for name in (*heads, "temporal", "p"):
        table.add_column(name, justify="left" if name in ("benchmark", "model") else "right", no_wrap=True)
    for entry, model, order in zip(entries, models, found):
        course = entry.time_course
        assert course is not None and order is not None
        p = np.array(course.p, dtype=float)
        cells = (
            entry.label,
            model,
            number(entry.raw),
            f"[{number(entry.low)}, {number(entry.high)}]",
            f"{int((p < 0.05).sum())} of {len(p)}",
            _second(course.onset_s),
            f"[{_second(course.onset_low_s)}, {_second(course.onset_high_s)}]",
            _second(course.peak_s),
            f"[{_second(course.peak_low_s)}, {_second(course.peak_high_s)}]",
            signed(order.r),
            number(order.p),
        )
        table.add_row(*map(Text, cells))
    out.print(table)
    for entry, model, order in zip(entries, models, found):
        assert order is not None
        own = ", ".join(f"{name} {_second(at)}" for name, at in zip(order.layers, order.latency_s))
        out.print(Text(f"{entry.label}, {model}: highest bin of each layer (s): {own}"))
    out.print(Text(LEGEND))


def _second(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"
