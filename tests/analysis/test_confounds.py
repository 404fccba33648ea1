"""The panel says what goes with scores, with n and an interval, and nothing where there are too few points."""

import json
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from brainbench.analysis.confounds import association, chosen, few_components, panel
from brainbench.core.specs import fingerprint
from brainbench.entry import Entry, Layer
from brainbench.errors import InputError, UsageError
from brainbench.printing_studies import dominated

WIDTH = {"n_stimuli": 90.0, "n_units": 10.0, "alpha_req": None}


def layer(name, raw, geometry=WIDTH, depth=0.5, train=0.1, pooling="flatten"):
    return Layer(layer=name, pooling=pooling, depth=depth, train=train, raw=raw, geometry=geometry)


def entry(model, raw, layers, **changes):
    identity = changes.get("benchmark_identity", {"params": {"rdm": "correlation"}})
    fields = {
        "benchmark": "d.V4-rsa",
        "benchmark_fingerprint": fingerprint(identity),
        "benchmark_identity": identity,
        "synthetic": False,
        "model": model,
        "model_fingerprint": f"fingerprint of {model}",
        "status": "ok",
        "scorer": "rsa 1",
        "scale": "r",
        "raw": raw,
        "low": raw - 0.1,
        "high": raw + 0.1,
        "layer": layers[0].layer,
        "layers": layers,
        "replicates": [raw] * 1000,
    }
    return Entry(**fields | changes)


def models(n):
    """Scores fall with width, exactly; each model's layers rise with depth and fall with width."""
    out = []
    for i in range(n):
        curve = [layer(f"l{k}", 0.1 * k, {**WIDTH, "n_units": 50.0 - k}, depth=k / 6) for k in range(6)]
        out.append(entry(f"m{i}", 0.5 - 0.05 * i, [layer("best", 0.6, {**WIDTH, "n_units": 10.0 + i}, 1.0), *curve]))
    return out


# correlations


def test_the_correlation_is_scipys_and_points_without_both_are_out():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30))
    found = association("d", [*x, 3.0, None, math.nan], [*y, None, 2.0, 1.0])
    assert (found.diagnostic, found.n) == ("d", 30)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high


def test_nothing_is_said_of_four_points_nor_of_a_constant():
    for x, y in ((range(4), range(4)), (range(9), [1.0] * 9)):
        found = association("d", x, y)
        assert found.n == len(y) and all(math.isnan(v) for v in (found.rho, found.low, found.high))


def test_a_perfect_order_of_five_is_no_certainty():
    for sign in (1, -1):
        found = association("d", range(5), [sign * v for v in range(5)])
        assert found.rho == pytest.approx(sign) and 0 < sign * (found.low if sign > 0 else found.high) < 0.5
        assert (found.high if sign > 0 else found.low) == pytest.approx(sign)


@pytest.mark.parametrize("n", [5, 8, 20])
@pytest.mark.parametrize("truth", [0.0, 0.5, 0.8])
def test_intervals_hold_the_truth(n, truth):
    rng, r, hits = np.random.default_rng(n), 2 * math.sin(truth * math.pi / 6), 0  # Spearman's of a bivariate normal
    for _ in range(300):
        x = rng.normal(size=n)
        found = association("d", x, r * x + math.sqrt(1 - r * r) * rng.normal(size=n))
        hits += found.low <= truth <= found.high
    assert hits / 300 > 0.92


# the panel


def test_models_stand_best_first_with_the_layer_they_chose():
    found = panel(models(3)[::-1])
    assert [m.model for m in found.models] == ["m0", "m1", "m2"]
    assert [m.geometry["n_units"] for m in found.models] == [10, 11, 12]
    assert (found.models[0].layer, found.models[0].depth, found.models[0].raw) == ("best", 1.0, 0.5)


def test_over_models_over_layers_and_their_mean():
    found = panel(models(6))
    names = [a.diagnostic for a in found.over_models]
    assert names == ["depth", "n_units", "alpha_req"]  # the number of stimuli is the benchmark's
    depth, width, alpha = found.over_models
    assert (width.n, width.rho) == (6, pytest.approx(-1)) and width.high < 0
    assert math.isnan(depth.rho) and math.isnan(alpha.rho) and alpha.n == 0
    layers = {a.diagnostic: a for a in found.models[0].over_layers}
    assert layers["depth"].rho == pytest.approx(1) and layers["depth"].n == 7
    within = {a.diagnostic: a for a in found.within_models}
    assert within["depth"].n == 6 and within["depth"].rho == pytest.approx(1)
    assert within["n_units"].rho == pytest.approx(np.mean([m.over_layers[1].rho for m in found.models]))
    assert math.isnan(panel(models(4)).within_models[0].rho) and math.isnan(panel(models(4)).over_models[1].rho)


def test_the_mean_over_models_has_students_interval():
    several = models(5)
    for number, one in enumerate(several):  # rank correlations 1, 1, 1, 1, -1 with depth
        curve = [layer(f"l{k}", (-1 if number == 4 else 1) * 0.1 * k, depth=k / 6) for k in range(1, 7)]
        several[number] = one.model_copy(update={"layers": curve, "layer": "l6"})
    mean = panel(several).within_models[0]
    assert mean.rho == pytest.approx(0.6)
    assert mean.low == pytest.approx(0.6 - 2.776445 * np.std([1, 1, 1, 1, -1], ddof=1) / 5**0.5)
    assert mean.high == 1


def test_entries_of_two_benchmarks_or_twice_of_one_model_are_refused():
    first, second = models(2)
    with pytest.raises(UsageError, match="not scored on the same benchmark"):
        panel([first, second.model_copy(update={"benchmark_identity": {}, "benchmark_fingerprint": fingerprint({})})])
    with pytest.raises(InputError, match="two entries"):
        panel([first, first])


def test_an_entry_without_geometry_has_its_depth_alone():
    found = panel([entry("old", 0.4, [layer("a", 0.4, {}), layer("b", 0.2, {})])])
    assert [a.diagnostic for a in found.over_models] == ["depth"] and found.models[0].geometry == {}


def test_json_has_null_for_what_is_undefined():
    plain = json.loads(json.dumps(panel(models(2)).as_json(), allow_nan=False))
    assert plain["over_models"][0] == {"diagnostic": "depth", "n": 2, "rho": None, "low": None, "high": None}


def test_of_two_poolings_of_one_place_the_better_in_training_is_the_chosen_one():
    poolings = [layer("a", 0.1, pooling=p, train=t) for p, t in (("mean", 0.2), ("cls", 0.3), ("flatten", None))]
    assert chosen(entry("m", 0.1, poolings)).pooling == "cls"


# the note under a score by RSA


def rsa(components, share=0.8, **changes):
    """An entry whose chosen layer's RDM of 1 - r has 90 % in so many components, its Gram matrix in 50."""
    geometry = {
        "dominant_components": 50.0,
        "dominant_share": 0.1,
        "dominant_components_correlation": components,
        "dominant_share_correlation": share,
    }
    other = {**geometry, "dominant_components_correlation": 1.0}
    return entry("m", 0.3, [layer("a", 0.3, geometry), layer("b", 0.2, other)], **changes)


@pytest.mark.parametrize(("components", "warned"), [(1.0, True), (3.0, True), (4.0, False), (None, False)])
def test_few_components_are_told_and_many_are_not(components, warned):
    assert few_components(rsa(components)) == (("a", components, 0.8) if warned else None)
    lines = dominated([rsa(components)])
    assert len(lines) == warned
    if warned:
        assert f"{components:.0f} component" in lines[0] and "d.V4-rsa" in lines[0] and "80%" in lines[0]


def test_the_note_looks_at_the_dissimilarities_that_are_compared():
    """RDMs of Euclidean distances rest on the Gram matrix itself."""
    euclidean = {"benchmark_identity": {"params": {"rdm": "euclidean"}}}
    assert few_components(rsa(1.0, **euclidean)) is None
    assert few_components(rsa(1.0, scorer="cka 1", benchmark_identity={})) is None
    assert few_components(rsa(1.0, scorer="ssm 1", benchmark_identity={})) == ("a", 1, 0.8)
    assert few_components(rsa(1.0, scorer="ridge 1")) is None
    assert few_components(rsa(1.0, status="failed")) is None
    assert "(synthetic)" in dominated([rsa(1.0, synthetic=True)])[0]
