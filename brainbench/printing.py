"""Tables on the terminal: the small parts that all share, and those of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from brainbench.analysis.comparison import Comparison, Pair, Region
from brainbench.analysis.models import Difference, Standing
from brainbench.api import row
from brainbench.entry import Entry

_LEFT = ("model", "region", "benchmark", "best layer", "pair", "replicates")
_WIDEST = 10_000  # characters: as wide as a table may want to be


class _Whole(Table):
    """A table that is wider than the terminal rather than cut: of 0.012 rich would leave 0.… in a column too many."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.columns:
            if column.no_wrap:
                column.min_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        needed = self.__rich_measure__(console, options.update(width=_WIDEST)).minimum
        return super().__rich_console__(console, options.update(width=max(options.max_width, needed)))


def titled(title: str | None) -> Table:
    """An empty table under `title` as it stands: a str would be read as rich's markup."""
    text = None if title is None else Text(title, style="table.title")
    return _Whole(title=text, title_justify="left", header_style="bold", box=None, pad_edge=False)


def number(value: float | None) -> str:
    """Three decimals; – for what is undefined."""
    return "–" if value is None or not isfinite(value) else f"{value:.3f}"


def signed(value: float | None) -> str:
    """The same, always with its sign."""
    return "–" if value is None or not isfinite(value) else f"{value:+.3f}"


def scores_table(model: str, entries: Sequence[Entry]) -> Table:
    """One line an entry, with the best of its baselines; the caption says what the numbers are."""
    table = titled(model)
    right = ("raw", "95 % interval", "ceiling", "normalized", "neuroids (excl.)", "stimuli")
    for name in ("benchmark", "layer", *right):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    table.add_column("best baseline (difference)")
    for entry in entries:
        r = row(entry)
        if entry.status != "ok":
            table.add_row(Text(entry.label), Text(entry.status, style="red"), *[""] * 6, Text(entry.reason))
            continue
        beside = ""
        if r["best_baseline"] is not None:
            name = r["best_baseline"].removeprefix("baseline:")
            name = "untrained" if "@untrained" in name else name
            beside = (
                f"{name} {number(r['baseline_raw'])} "
                f"({signed(r['difference'])} "
                f"[{signed(r['difference_low'])}, {signed(r['difference_high'])}])"
            )
        table.add_row(
            *map(
                Text,
                (
                    entry.label,
                    entry.layer or "",
                    number(entry.raw),
                    f"[{number(entry.low)}, {number(entry.high)}]",
                    number(entry.ceiling),
                    number(entry.normalized),
                    "–" if entry.scale == "share" else f"{entry.n_neuroids} ({entry.n_excluded})",
                    str(entry.n_stimuli),
                    beside,
                ),
            )
        )
    table.caption = (
        f"raw: mean over held-out folds of the correlation r{_shares(entries)}, layer chosen inside each training set; "
        f"median over neuroids, mean over subjects. {_ceilings(entries)}normalized: sign(r) r² / ceiling on the r² "
        "scale, not clipped. –: undefined, see the entry's reason."
    )
    table.caption_justify = "left"
    return table


def _shares(entries: Sequence[Entry]) -> str:
    """What the scores are of scorers that ask how well categories can be told."""
    told = []
    for name in sorted({e.scorer.split()[0] for e in entries if e.scale == "share"}):
        extras = [e.extras.get("chance") for e in entries if e.scorer.split()[0] == name]
        chance = " or ".join(sorted({f"{c:.3f}" for c in extras if isinstance(c, float)}))
        guessed = f"the share of stimuli put into their category, by chance {chance}"
        told.append(f"for {name} {guessed if chance else 'a share of what there is to tell of categories'}")
    for name in sorted({e.scorer.split()[0] for e in entries if e.scale == "r2"}):
        told.append(f"for {name} its square, less chance")
    return f" ({'; '.join(told)})" if told else ""


def _ceilings(entries: Sequence[Entry]) -> str:
    """On which scale the ceilings shown are, scorer by scorer."""
    scales = sorted({(e.scorer.split()[0], e.ceiling_scale) for e in entries if e.ceiling is not None})
    told = ", ".join(f"{'r² scale' if scale == 'r2' else scale} for {scorer}" for scorer, scale in scales)
    return f"ceiling: {told}. " if told else ""


def print_standings(
    out: Console, label: str, standings: Sequence[Standing], differences: Sequence[Difference], *, synthetic: bool
) -> None:
    """The models of one benchmark, best first, and their differences."""
    says = " (synthetic)" if synthetic else ""
    table = _table(label, ("model", "raw", "95 % interval", "rank", "not told apart", "best in"))
    for s in standings:
        interval = f"[{number(s.low)}, {number(s.high)}]"
        rank = str(s.best) if s.best == s.worst else f"{s.best}–{s.worst}"
        best_in = f"{s.rank_shares[0]:.0%}" if isfinite(s.rank_shares[0]) else "–"
        table.add_row(*map(Text, (f"{s.model}{says}", number(s.raw), interval, rank, s.ties or "–", best_in)))
    out.print(table)
    pairs = _table(None, ("pair", "difference", "95 % interval", "p", "q"))
    for d in differences:
        interval = f"[{signed(d.low)}, {signed(d.high)}]"
        pair = f"{d.model} – {d.other}{says}"
        pairs.add_row(*map(Text, (pair, signed(d.difference), interval, _four(d.p), _four(d.q))))
    out.print(pairs)
    if not all(s.ties for s in standings):
        out.print(Text("There are too many groups of models that are not told apart to letter them: see ranks and q."))
    if len({s.n_neuroids for s in standings}) > 1:
        counts = ", ".join(f"{s.model} of {s.n_neuroids}" for s in standings)
        out.print(Text(f"Not of the same neuroids, so differences are not of models alone: {counts}."))
    out.print()


def print_regions(out: Console, comparisons: Sequence[Comparison]) -> None:
    """A block for each model; where there are several, one more table with a line for each."""
    for comparison in comparisons:
        out.print(_regions(comparison))
        out.print(_pairs(comparison))
        out.print(Text(_order(comparison)))
        out.print()
    if len(comparisons) > 1:
        out.print(_models(comparisons))
        out.print()
    divided = " and over its ceiling" if all(comparison.corrected for comparison in comparisons) else ""
    out.print(
        Text(
            "score, normalized: layer chosen inside the training stimuli. best layer: the highest with one layer for "
            "all folds; n.s.: no layer is above 0 (max-statistic p > .05); best in: share of replicates in which it is "
            "the highest. Differences are first minus second, p two-sided, q after Benjamini and Hochberg over the "
            "pairs. p of depth: null draws in which the regions have one curve up to gain and offset, argmax taken "
            "anew; of the order it is one-sided. curves differ: where the curves, each without its mean"
            f"{divided}, differ most, with the p of the largest statistic over all layers and pairs. Regions of "
            "different recordings, and of other subjects of one, are drawn independently; recordings differ in "
            "species, stimuli and noise: compare normalized, not raw."
        )
    )


def _table(title: str | None, headings: Sequence[str]) -> Table:
    table = titled(title)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    return table


def _regions(comparison: Comparison) -> Table:
    bounds = "95 % interval"
    heads = ("region", "benchmark", "best layer", "depth", bounds, "best in", "score", bounds, "normalized", bounds)
    table = _table(comparison.model, (*heads, "neuroids (excl.)", "stimuli"))
    for region in comparison.regions:
        curve = region.curve
        cells = (
            shown(region),
            curve.benchmark,
            f"{region.layer}{region.doubt}" if region.layer else "–",
            _two(region.depth),
            f"[{_two(region.depth_low)}, {_two(region.depth_high)}]",
            "–" if region.best is None else f"{region.shares[region.best]:.0%}",
            number(curve.score),
            f"[{number(region.score_low)}, {number(region.score_high)}]",
            number(curve.normalized),
            f"[{number(region.normalized_low)}, {number(region.normalized_high)}]",
            f"{curve.n_neuroids} ({curve.n_excluded})",
            str(curve.n_stimuli),
        )
        table.add_row(*map(Text, cells))
    return table


def _pairs(comparison: Comparison) -> Table:
    bounds = "95 % interval"
    heads = ("pair", "replicates", "normalized", bounds, "p", "q", "raw", bounds, "depth", bounds, "p", "q")
    table = _table(None, (*heads, "curves differ"))
    names = {region.label: region for region in comparison.regions}
    for pair in comparison.pairs:
        synthetic = " (synthetic)" if any(names[n].curve.synthetic for n in (pair.first, pair.second)) else ""
        cells = (
            f"{pair.second} – {pair.first}{synthetic}",
            "paired" if pair.paired else "independent",
            signed(pair.normalized),
            f"[{signed(pair.normalized_low)}, {signed(pair.normalized_high)}]",
            number(pair.normalized_p),
            number(pair.normalized_q),
            signed(pair.raw),
            f"[{signed(pair.raw_low)}, {signed(pair.raw_high)}]",
            _two(pair.depth, "+"),
            f"[{_two(pair.depth_low, '+')}, {_two(pair.depth_high, '+')}]",
            number(pair.depth_p),
            number(pair.depth_q),
            _where(pair, comparison),
        )
        table.add_row(*map(Text, cells))
    return table


def _where(pair: Pair, comparison: Comparison) -> str:
    """The layer with the largest statistic, and its p."""
    if not np.isfinite(pair.interaction_p).any():
        return "–"
    width = pair.interaction_high - pair.interaction_low  # in units of the standard deviation
    at = int(np.nanargmax(np.abs(pair.interaction) / width))
    return f"{pair.interaction_p[at]:.3f} {comparison.regions[0].curve.layers[at]}"


def _order(comparison: Comparison) -> str:
    order = comparison.order
    names = " → ".join(shown(region) for region in comparison.regions)
    return (
        f"Best depth over {names}: {signed(order.trend)} a step [{signed(order.low)}, {signed(order.high)}], "
        f"p {number(order.p)} (one curve for all regions), weakest step p {number(order.every_step_p)}. "
        f"In {_share(order.increasing)} of replicates each region is deeper than the one before, in "
        f"{_share(order.not_decreasing)} none is shallower."
    )


def _models(comparisons: Sequence[Comparison]) -> Table:
    regions = [shown(region) for region in comparisons[0].regions]
    table = _table("Depth of the best layer", ("model", *regions, "a step", "95 % interval", "p", "weakest step p"))
    for comparison in comparisons:
        order = comparison.order
        cells = (
            comparison.model,
            *(f"{_two(r.depth)} [{_two(r.depth_low)}, {_two(r.depth_high)}]{r.doubt}" for r in comparison.regions),
            signed(order.trend),
            f"[{signed(order.low)}, {signed(order.high)}]",
            number(order.p),
            number(order.every_step_p),
        )
        table.add_row(*map(Text, cells))
    return table


def shown(region: Region) -> str:
    """The region's name as it is shown: never without saying that its recording is synthetic."""
    return f"{region.label} (synthetic)" if region.curve.synthetic else region.label


def _two(value: float, sign: str = "") -> str:
    return f"{value:{sign}.2f}" if isfinite(value) else "–"


def _four(value: float) -> str:
    return f"{value:.4f}" if isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{value:.0%}" if isfinite(value) else "–"
