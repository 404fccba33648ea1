"""Tables of what stands beside scores: the confound panel, and the warning that few components carry a score."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rich.console import Console
from rich.table import Table
from rich.text import Text

from brainbench.analysis.confounds import FEWEST, Association, Confounded, Panel, few_components
from brainbench.entry import Entry
from brainbench.printing import number, signed, titled

_SIDE_BY_SIDE = 3  # models whose layers have a column each; of more, only the mean is shown


def dominated(entries: Sequence[Entry]) -> list[str]:
    """One line for each score by RSA that few components carry."""
    told = []
    for entry in entries:
        found = few_components(entry)
        if found is not None:
            layer, count, share = found
            carry = "component carries" if count == 1 else "components carry"
            told.append(
                f"Note, {entry.label}: {count:.0f} {carry} 90 % of the RDM of {layer} (the first {share:.0%}): the "
                "score says how well these few agree with the recording, and little of the rest. See "
                "docs/scorers/feature_strength.md."
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
