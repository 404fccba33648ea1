"""Tables of what stands beside scores: the confound panel, the note on few components, scores under subsampling."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from brainbench.analysis.confounds import FEWEST, Association, Confounded, Panel, few_components
from brainbench.analysis.few_shot import Point
from brainbench.analysis.queries import Region
from brainbench.analysis.recording import Described
from brainbench.analysis.robustness import AXES, Level, Robustness
from brainbench.analysis.unit_matching import Matched
from brainbench.entry import Entry
from brainbench.matches import Matches
from brainbench.printing import number, signed, titled

if TYPE_CHECKING:
    from brainbench.in_context.gaussian import Risk
    from brainbench.training_studies import Explained

_SIDE_BY_SIDE = 3  # models whose layers have a column each; of more, only the mean is shown


EDGE = 0.2  # of the penalties: that many neuroids about which a layer knows nothing are usual


def dominated(entries: Sequence[Entry]) -> list[str]:
    """One line for each score of geometries that few components carry."""
    told = []
    for entry in entries:
        found = few_components(entry)
        if found is not None:
            layer, count, share = found
            carry = "component carries" if count == 1 else "components carry"
            told.append(
                f"Note, {entry.label}: {count:.0f} {carry} 90 % of the geometry of {layer} (the first {share:.0%}): "
                "the score says how well these few agree with the recording, and little of the rest. See "
                "docs/scorers/feature_strength.md."
            )
    return told


def at_edge(entries: Sequence[Entry]) -> list[str]:
    """One line for each score of which many penalties lie at the edge of the grid that they were chosen from."""
    told = []
    for entry in entries:
        share = entry.extras.get("at_edge")
        if isinstance(share, float) and share > EDGE:
            told.append(
                f"Note, {entry.label}: {share:.0%} of the neuroids' penalties lie at the edge of the grid. At its "
                "upper end a layer predicts nothing of a neuroid; if it predicts them well, widen the benchmark's grid."
            )
    return told


def print_panel(out: Console, panel: Panel) -> None:
    """Models with what their chosen layers are like, then the correlations of score with each of that."""
    out.print(_models(panel))
    out.print(_associations(panel))
    n = len(panel.models)
    if n < FEWEST:
        out.print(Text(f"Over models nothing is said: there are {n}, and {FEWEST} are needed."))
    out.print()


LEGEND = (
    "Diagnostics of the layer that most folds chose, for the benchmark's stimuli: no scores, and no ranking. PR, "
    "RankMe (of eigenvalues / of singular values): dimensions in use, at most one less than stimuli. α-ReQ: exponent "
    "of the spectrum's decay, with r² of the fit. 1st comp.: share of the leading component in Σλ², and how many carry "
    "90 % of it; of 1-r: the same as RDMs of 1 - r see it. Correlations are Spearman's, of score with diagnostic, with "
    f"95 % interval and number of points, none below {FEWEST}. Over the layers of one model the interval takes layers "
    "for independent, which neighbours are not: it is too narrow; the mean's takes models for the sample. Of so many "
    "intervals some leave out 0 by chance, and none says what causes what."
)


def _models(panel: Panel) -> Table:
    table = titled(f"{panel.benchmark} (synthetic)" if panel.synthetic else panel.benchmark)
    right = ("depth", "score", "units", "PR", "RankMe", "α-ReQ (r²)", "1st comp. (for 90 %)", "of 1-r")
    sparse = any(m.geometry.get("population_sparseness") is not None for m in panel.models)
    for heading in ("model", "layer", *right, *(("sparseness",) if sparse else ())):
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    for m in panel.models:
        told = {name: "–" if value is None else f"{value:.3g}" for name, value in m.geometry.items()}
        share = {name: "–" if value is None else f"{value:.2f}" for name, value in m.geometry.items()}
        count = {name: "–" if value is None else f"{value:.0f}" for name, value in m.geometry.items()}
        cells = (
            _shown(m, panel),
            m.layer,
            f"{m.depth:.2f}",
            f"{number(m.raw)} [{number(m.low)}, {number(m.high)}]",
            count.get("n_units", "–"),
            told.get("participation_ratio", "–"),
            f"{told.get('rankme_covariance', '–')} / {told.get('rankme_singular', '–')}",
            f"{share.get('alpha_req', '–')} ({share.get('alpha_req_r2', '–')})",
            f"{share.get('dominant_share', '–')} ({count.get('dominant_components', '–')})",
            f"{share.get('dominant_share_correlation', '–')} ({count.get('dominant_components_correlation', '–')})",
            *((share.get("population_sparseness", "–"),) if sparse else ()),
        )
        table.add_row(*map(Text, cells))
    return table


def _associations(panel: Panel) -> Table:
    table = titled(None)
    table.add_column("score against", no_wrap=True)
    few = panel.models if len(panel.models) <= _SIDE_BY_SIDE else ()
    heads = ["over models", *(f"over layers of {_shown(m, panel)}" for m in few)]
    for heading in heads if few else [*heads, "over layers, mean of models"]:
        table.add_column(heading, justify="right", no_wrap=True)
    within = {m.model: {a.diagnostic: a for a in m.over_layers} for m in few}
    for over, mean in zip(panel.over_models, panel.within_models):
        if over.n == 0 and mean.n == 0:  # no model here has this diagnostic
            continue
        cells = [_association(within[m.model].get(over.diagnostic)) for m in few] or [_association(mean)]
        table.add_row(*map(Text, (over.diagnostic, _association(over), *cells)))
    return table


def _association(found: Association | None) -> str:
    if found is None or not isfinite(found.rho):
        return "–" if found is None else f"– {found.n}"
    return f"{signed(found.rho)} [{signed(found.low)}, {signed(found.high)}] {found.n}"


def _shown(model: Confounded, panel: Panel) -> str:
    return f"{model.model} (synthetic)" if panel.synthetic else model.model


def print_robustness(out: Console, found: Sequence[Robustness]) -> None:
    """For each benchmark the models' scores and layers at each number, and how well the ranking holds."""
    for one in found:
        out.print(_levels(one))
        for axis, why in one.missing.items():
            out.print(Text(f"No {axis} can be left out: {why}."))
        for line in _unscored(one):
            out.print(Text(line))
        if one.orders:
            out.print(_orders(one))
        out.print()
    out.print(
        Text(
            "Random subsets; the layer is chosen on training stimuli in each. sd: over subsets; they overlap, so a new "
            "sample of a share f would spread sd / sqrt(1 - f): new sample. layer, within 1: share of subsets with the "
            "layer of all data, and with it or a neighbour in depth; shift: layers deeper, on average. tau: Kendall's, "
            "with the ranking by all data; first: share of subsets with the same best model."
        )
    )


def _levels(found: Robustness) -> Table:
    groups = f" in {found.n_units} groups" if found.n_units < found.n_stimuli else ""
    name = f"{found.benchmark} (synthetic)" if found.synthetic else found.benchmark
    neuroids = f", {found.n_neuroids} neuroids" if found.n_neuroids else ""
    subjects = f", {found.n_subjects} subject{'s' if found.n_subjects > 1 else ''}" if found.n_subjects else ""
    table = titled(f"{name}: {found.n_stimuli} stimuli{groups}{neuroids}{subjects}")
    heads = ("share", "n", "subsets", "score", "sd", "new sample", "layer", "within 1", "shift")
    table.add_column("model", no_wrap=True)
    table.add_column("fewer", no_wrap=True)
    for heading in heads:
        table.add_column(heading, justify="right", no_wrap=True)
    for model in found.models:
        shown = f"{model.model} (synthetic)" if found.synthetic else model.model
        table.add_row(*map(Text, (shown, "all data", "1", "", "", number(model.score), "", "", model.layer or "–")))
        for axis in AXES:
            for level in (level for level in model.levels if level.axis == axis):
                table.add_row(*map(Text, (shown, axis, *_level(level))))
    return table


def _unscored(found: Robustness) -> list[str]:
    """A line for each level at which subsets have no score; models that lack them for one reason share it."""
    models: dict[str, list[str]] = {}
    for model in found.models:
        for level in (level for level in model.levels if level.n_draws < len(level.scores)):
            missing = f"{len(level.scores) - level.n_draws} of {len(level.scores)} subsets"
            told = f"{missing} of {level.fraction:g} of the {level.axis} have no score: {level.reason.rstrip('.')}."
            models.setdefault(told, []).append(model.model)
    return [
        line if len(named) == len(found.models) else f"{', '.join(named)}: {line}" for line, named in models.items()
    ]


def _level(level: Level) -> tuple[str, ...]:
    n = f"{level.n:.0f}" if isfinite(level.n) else "–"
    shares = (f"{share:.0%}" if isfinite(share) else "–" for share in (level.layer_same, level.layer_near))
    spread = (number(level.mean), number(level.sd), number(level.sd_fresh))
    return (f"{level.fraction:g}", n, str(level.n_draws), *spread, *shares, signed(level.layer_shift))


def _orders(found: Robustness) -> Table:
    table = titled(f"ranking of {len(found.models)} models{' (synthetic)' if found.synthetic else ''}")
    table.add_column("fewer", no_wrap=True)
    for heading in ("share", "subsets", "tau", "sd", "first"):
        table.add_column(heading, justify="right", no_wrap=True)
    for order in found.orders:
        first = f"{order.same_first:.0%}" if isfinite(order.same_first) else "–"
        cells = (order.axis, f"{order.fraction:g}", str(order.n_draws), signed(order.tau), number(order.tau_sd), first)
        table.add_row(*map(Text, cells))
    return table


def described(found: Sequence[Described]) -> Table:
    """A line for each subject and set of stimuli of recordings."""
    table = titled(None)
    table.add_column("recording", no_wrap=True)
    heads = (
        "stimuli",
        "neuroids",
        "repetitions",
        "signal",
        "PR",
        "RankMe (cov.)",
        "α-ReQ",
        "α-ReQ of signal",
        "points",
    )
    table.add_column("subject", no_wrap=True)
    for heading in heads:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        cells = (
            f"{one.benchmark} (synthetic)" if one.synthetic else one.benchmark,
            one.subject,
            str(one.n_stimuli),
            str(one.n_neuroids),
            f"{one.n_repetitions:g}",
            f"{one.signal_share:.0%}" if isfinite(one.signal_share) else "–",
            f"{one.participation_ratio:.3g}" if isfinite(one.participation_ratio) else "–",
            f"{one.rankme_covariance:.3g}" if isfinite(one.rankme_covariance) else "–",
            number(one.alpha_req),
            number(one.alpha_req_signal),
            str(one.alpha_req_points),
        )
        table.add_row(*map(Text, cells))
    return table


DESCRIBED = (
    "Of the means over repetitions: PR and RankMe, dimensions with noise included; signal: share of their variance "
    "that is seen again in the other half of them. α-ReQ: exponent of the spectrum's decay, of the means and "
    "of the cross-validated spectrum, over the same so many points. They depend on the numbers of stimuli and neuroids."
)


def print_queried(out: Console, found: Sequence[Region]) -> None:
    """For each region its prompts from most to least selective, its label, and whether readouts say anything."""
    for one in found:
        name = f"{one.benchmark} (synthetic)" if one.synthetic else one.benchmark
        excluded = f" ({one.left_out} excl.)" if one.left_out else ""
        table = titled(f"{name}: {one.n_neuroids} neuroids{excluded}, {one.n_stimuli} stimuli, {one.model}")
        table.add_column("prompt", no_wrap=True)
        for heading in ("selectivity", "95 % interval", "first in", "preferred by", "95 % interval"):
            table.add_column(heading, justify="right", no_wrap=True)
        for p in one.prompts:
            cells = (
                p.prompt,
                signed(p.selectivity),
                f"[{signed(p.low)}, {signed(p.high)}]",
                f"{p.first:.0%}",
                f"{p.share:.0%}",
                f"[{p.share_low:.0%}, {p.share_high:.0%}]",
            )
            table.add_row(*map(Text, cells))
        out.print(table)
        out.print(Text(f"Most neuroids prefer: {one.label}. Readouts: leave-one-out R² {number(one.r2)} (median)."))
        if not one.r2 > 0:
            out.print(Text("The network explains nothing of these neuroids: the order of the prompts means nothing."))
        out.print()
    out.print(Text(QUERIED))


QUERIED = (
    "Selectivity: mean over neuroids of the readout's projection on the prompt, in standard deviations of the response "
    "per unit of length. Intervals and first in (share of replicates in which the prompt leads) are over stimuli and "
    "neuroids drawn anew."
)


def few_shot_table(title: str, points: Sequence[Point]) -> Table:
    """A line for each size and readout."""
    table = titled(title)
    table.add_column("readout", no_wrap=True)
    for heading in ("support", "mean r", "share of explainable", "95 % interval", "less ridge", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for p in points:
        share = (number(p.share), f"[{number(p.share_low)}, {number(p.share_high)}]")
        less = (signed(p.difference), f"[{signed(p.low)}, {signed(p.high)}]")
        table.add_row(*map(Text, (p.readout, str(p.size), number(p.mean_r), *share, *less)))
    return table


def print_matches(out: Console, found: Matches) -> None:
    """For each pair of layers its levels, and its groups of units."""
    synthetic = " (synthetic)" if found.synthetic else ""
    for pair in found.pairs:
        drawn = [f"{n} of {of}" if n < of else str(n) for n, of in _sides(pair)]
        table = titled(
            f"{found.second} {pair.second} ({drawn[1]} units) in {found.first} {pair.first} ({drawn[0]} units), "
            f"{pair.n_stimuli} stimuli of {found.stimuli}{synthetic}"
        )
        table.add_column("partners", no_wrap=True)
        for heading in ("units", "mean r", "95 % interval", "more than above", "95 % interval"):
            table.add_column(heading, justify="right", no_wrap=True)
        for level in pair.levels:
            first = not isfinite(level.difference)
            cells = (
                level.name,
                f"{level.n_partners:.3g}",
                number(level.r),
                f"[{number(level.low)}, {number(level.high)}]",
                "" if first else signed(level.difference),
                "" if first else f"[{signed(level.difference_low)}, {signed(level.difference_high)}]",
            )
            table.add_row(*map(Text, cells))
        out.print(table)
        told = ", ".join(
            f"{g.n_first}+{g.n_second} {signed(g.within)}/{signed(g.outside)}"
            for g in sorted(pair.groups, key=lambda g: (not isfinite(g.within), -g.within if isfinite(g.within) else 0))
        )
        out.print(Text(f"Groups, units of both, r across within/outside: {told}."))
        out.print()
    out.print(Text(MATCHED))


MATCHED = (
    "Each unit of the second is looked for among those of the first: one for each (who is left without has 0), the "
    "best, few together (lasso, penalty chosen in training), all (ridge). Mean r over units on stimuli not fitted; "
    "intervals over stimuli, those of training, too. Noise of a recording bounds r: benchmarks of the scorer matching "
    "have ceilings."
)


def _sides(pair: Matched) -> tuple[tuple[int, int], tuple[int, int]]:
    return (pair.n_first, pair.of_first), (pair.n_second, pair.of_second)


def explained_table(found: Sequence[Explained], *, title: str, heading: str, difference: str) -> Table:
    """A line for each size and readout or training; `difference` names what is compared with what."""
    table = titled(title)
    table.add_column(heading, no_wrap=True)
    for name in ("support", "n", "explained variance", "95 % interval", difference, "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        cells = (number(one.ev), f"[{number(one.low)}, {number(one.high)}]")
        less = (signed(one.difference), f"[{signed(one.difference_low)}, {signed(one.difference_high)}]")
        table.add_row(*map(Text, (one.what, str(one.size), str(one.n), *cells, *less)))
    return table


def risk_table(found: Sequence[Risk], *, title: str) -> Table:
    """A line for each size of context."""
    table = titled(title)
    for name in ("context", "Bayes", "one step", "untrained", "network", "excess", "95 % interval", "of Bayes"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        span = f"[{number(one.low)}, {number(one.high)}]"
        risks = (one.bayes, one.step, one.untrained, one.network, one.excess)
        table.add_row(*map(Text, (str(one.size), *map(number, risks), span, f"{one.excess / one.bayes:.0%}")))
    return table
