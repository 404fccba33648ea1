"""What a layer's code is like, as numbers that stand beside a score and are none: no recording has a say in them.

Two layers may score alike and differ in all of these, and a score may follow one of them rather than the brain: wide
layers fit more, and agreement of RDMs rests on a few strong components (Lampinen et al. 2024), so these are what a
score is held against. Each is defined where it is computed: `spectrum`, `sparseness`, `feature_strength`.
"""

from __future__ import annotations

from torch import Tensor

from brainbench.numerics._shapes import Float
from brainbench.numerics.feature_strength import dominance
from brainbench.numerics.representation import Representation
from brainbench.numerics.sparseness import lifetime_sparseness, population_sparseness
from brainbench.numerics.spectrum import (
    alpha_req,
    eigenvalues,
    eigenvalues_of_features,
    participation_ratio,
    rankme,
)


def diagnostics(representation: Representation) -> dict[str, float]:
    """Diagnostics of one layer for its stimuli, by name; NaN for what is not defined there.

    `n_stimuli` and `n_units`; of the covariance's eigenvalues `participation_ratio`, `rankme_covariance`,
    `rankme_singular` (the two conventions in print) and `alpha_req` with its fit: `alpha_req_r2`, and `alpha_req_bend`,
    the exponent of the upper half of the range minus that of the lower, 0 for a power law. `dominant_share` is the
    leading component's share of Σ λ², on which CKA and RDMs of Euclidean distances rest, `dominant_components` how
    many reach 90 % of it; with `_correlation`, the same for stimuli that are centred and scaled over units, which is
    what RDMs of 1 - r see. `population_sparseness` (mean over stimuli) and `lifetime_sparseness` (mean over units that
    are ever driven) where features are kept and not negative. Dimensions are bounded by the number of stimuli: compare
    them at one `n_stimuli` only.
    """
    values = _eigenvalues(representation)
    law = alpha_req(values)
    strong, strong_correlation = dominance(values), dominance(_correlation_eigenvalues(representation))
    return {
        "n_stimuli": float(len(representation.stimulus_ids)),
        "n_units": float(representation.n_units),
        "participation_ratio": participation_ratio(values),
        "rankme_covariance": rankme(values, on="covariance"),
        "rankme_singular": rankme(values, on="singular"),
        "alpha_req": law.exponent,
        "alpha_req_r2": law.r2,
        "alpha_req_bend": law.tail - law.head,
        "dominant_share": strong.share(1),
        "dominant_components": strong.n_components,
        "dominant_share_correlation": strong_correlation.share(1),
        "dominant_components_correlation": strong_correlation.n_components,
        **_sparseness(representation),
    }


def _eigenvalues(representation: Representation) -> Float[Tensor, " k"]:
    x = representation.features
    if x is not None and x.shape[1] < len(x):
        return eigenvalues_of_features(x)
    return eigenvalues(representation.gram, n_units=representation.n_units)


def _correlation_eigenvalues(representation: Representation) -> Float[Tensor, " k"]:
    """Those of stimuli with mean 0 and norm 1 over units; none where a stimulus drives all units alike."""
    x = representation.features
    if x is not None and x.shape[1] < len(x):  # without a matrix of stimuli by stimuli, which may be the larger one
        x = x.double()
        around = x - x.mean(dim=1, keepdim=True)
        norm = around.norm(dim=1, keepdim=True)
        flat = (norm <= 1e-7 * x.norm(dim=1, keepdim=True)).any()
        return x.new_empty(0) if flat else eigenvalues_of_features(around / norm)
    similarity = 1 - representation.rdm("correlation")
    if not bool(similarity.isfinite().all()):
        return similarity.new_empty(0)
    return eigenvalues(similarity, n_units=representation.n_units)


def _sparseness(representation: Representation) -> dict[str, float]:
    x = representation.features
    if x is None or x.shape[1] < 2 or len(x) < 2 or bool((x < 0).any()):
        return {"population_sparseness": float("nan"), "lifetime_sparseness": float("nan")}
    return {
        "population_sparseness": float(population_sparseness(x).nanmean()),
        "lifetime_sparseness": float(lifetime_sparseness(x).nanmean()),
    }
