"""What is asked of a model, cut out of recordings of which everything is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainbench import ceilings, datasets
from brainbench.benchmarks import known
from brainbench.core import splits
from brainbench.core.arrays import Block, rdms_array, responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, LeakageError, UnknownNameError, UsageError
from brainbench.numerics.ceilings import leave_one_out, split_half
from brainbench.numerics.rdm import upper
from brainbench.scorers import load
from brainbench.targets import targets

RIDGE, RSA = known()["insilico.V1-ridge"], known()["insilico.V1-rsa"]
IDS = tuple(f"s{n:02d}" for n in range(40))


class Recording:
    """Two subjects, `n_repetitions` of each stimulus, 3 neuroids in V1 and 2 in V4; `shown` is who saw what."""

    spec = DatasetSpec(
        id="recording",
        version=1,
        title="",
        species="",
        modality="",
        measures=("responses",),
        subjects=("x", "y"),
        regions=("V1", "V4"),
        unit="",
        citation="",
        licence="",
        url="",
    )

    def __init__(self, shown=None, n_repetitions=3, sha256=None, spoil=lambda values, stimulus: None):
        self.shown = shown or {"x": IDS, "y": IDS}
        self.n_repetitions = n_repetitions
        self.sha256 = sha256 or [f"{n:064d}" for n in range(len(IDS))]
        self.spoil = spoil

    def stimuli(self):
        table = pd.DataFrame({"sha256": self.sha256}, index=pd.Index(IDS, name="stimulus_id"))
        return StimulusSet(name="recording", table=table, open=lambda name: Image.new("RGB", (8, 8)))

    def responses(self, subject, *, regions=None, sessions=None):
        rng = np.random.default_rng(len(subject) + ord(subject))
        ids = np.repeat(np.array(self.shown[subject], dtype=object), self.n_repetitions)
        signal = {name: rng.normal(size=5) for name in IDS}
        values = np.stack([signal[name] for name in ids]) + 0.5 * rng.normal(size=(len(ids), 5))
        self.spoil(values, ids)
        region = np.array(["V1", "V1", "V1", "V4", "V4"])
        keep = np.isin(region, regions)
        return responses_array(
            values[:, keep],
            stimulus_id=ids,
            repetition=np.tile(np.arange(self.n_repetitions), len(ids) // self.n_repetitions),
            session=["1"] * len(ids),
            neuroid_id=[f"{subject}{n}" for n in np.flatnonzero(keep)],
            region=region[keep],
        )


def ask(recording, *benchmarks):
    benchmarks = benchmarks or (RIDGE,)
    return targets(recording, benchmarks, load(benchmarks[0].scorer, benchmarks[0].params))


def changed(benchmark, **fields):
    return benchmark.model_copy(update=fields)


def test_all_regions_of_a_solve_are_columns_of_one_target_a_subject():
    x, y = ask(Recording(), RIDGE, changed(RIDGE, region="V4"))
    assert (x.subjects, y.subjects) == (("x",) * 5, ("y",) * 5)
    assert x.regions == ("V1", "V1", "V1", "V4", "V4") and x.names == ("x0", "x1", "x2", "x3", "x4")
    assert x.stimuli.ids == x.data.stimulus_ids == IDS


def test_a_stimulus_is_in_one_fold_for_all_subjects_who_saw_it():
    x, y = ask(Recording(shown={"x": IDS[:30], "y": IDS[10:]}))
    fold_of = [{i: n for n, fold in enumerate(target.split.folds) for i in fold.test} for target in (x, y)]
    both = fold_of[0].keys() & fold_of[1].keys()
    assert len(both) == 20 and all(fold_of[0][i] == fold_of[1][i] for i in both)
    assert fold_of[0].keys() == set(IDS[:30])


def test_folds_do_not_depend_on_the_regions_asked_for():
    one, both = ask(Recording()), ask(Recording(), RIDGE, changed(RIDGE, region="V4"))
    assert one[0].split == both[0].split
    alone, beside = one[0].ceilings["split_half"].value, both[0].ceilings["split_half"].value[:3]
    np.testing.assert_allclose(alone, beside, rtol=1e-6)  # the same halvings


def test_folds_do_not_depend_on_what_else_was_shown():
    one, other = (ask(Recording(shown={"x": IDS[:30], "y": seen})) for seen in (IDS, IDS[:35]))
    assert one[0].split == other[0].split


def test_a_picture_under_two_names_stays_in_one_fold():
    sha256 = [f"{n // 2:064d}" for n in range(len(IDS))]
    for fold in ask(Recording(sha256=sha256))[0].split.folds:
        assert all((a in fold.test) == (b in fold.test) for a, b in zip(IDS[::2], IDS[1::2]))


def test_a_picture_on_both_sides_of_a_fold_is_a_leak(monkeypatch):
    monkeypatch.setattr(splits, "leakage_units", lambda table: pd.Series(table.index, index=table.index))
    assert ask(Recording())
    with pytest.raises(LeakageError, match="same content in training and test"):
        ask(Recording(sha256=[f"{n // 2:064d}" for n in range(len(IDS))]))


def test_unequal_and_infinite_presentations_leave_the_other_columns_alone():
    clean = ask(Recording())[0].ceilings["split_half"].value

    def spoil(values, ids):
        values[0, 0], values[1, 1] = np.nan, np.inf

    value = ask(Recording(spoil=spoil))[0].ceilings["split_half"].value
    assert value[2] == clean[2]
    assert value[:2] == pytest.approx(clean[:2], abs=0.1)  # one of 120 presentations less


def test_a_single_repetition_has_no_ceiling_and_says_so():
    ceiling = ask(Recording(n_repetitions=1))[0].ceilings["split_half"]
    assert np.isnan(ceiling.value).all() and set(ceiling.reason) == {"single-repetition"}


def test_noise_has_an_unreliable_ceiling():
    def spoil(values, ids):
        values[:, 0] = np.random.default_rng(3).normal(size=len(values)) * np.where(np.arange(len(values)) % 3, 1, -1)
        values[1::3, 0] = -values[0::3, 0]
        values[2::3, 0] = 0

    ceiling = ask(Recording(spoil=spoil))[0].ceilings["split_half"]
    assert ceiling.reason[0] == "unreliable" and not ceiling.value[0] > 0
    assert ceiling.reason[1] == ""


def test_a_region_without_a_number_is_kept_to_be_counted():
    def spoil(values, ids):
        values[:, :3] = np.nan

    both = ask(Recording(spoil=spoil), RIDGE, changed(RIDGE, region="V4"))[0]
    alone = ask(Recording(spoil=spoil))[0]
    assert both.regions.count("V1") == alone.regions.count("V1") == 3
    assert np.isnan(alone.data.values).all() and alone.stimuli.ids == IDS


def test_too_few_stimuli_are_refused_before_any_scoring():
    with pytest.raises(InputError, match="both need 3 at least"):
        ask(Recording(shown={"x": IDS[:3], "y": IDS[:3]}))
    with pytest.raises(InputError, match="both need 3 at least"):
        ask(Recording(shown={"x": IDS, "y": IDS[:4]}))


def test_names_that_the_recording_lacks_are_refused():
    with pytest.raises(UnknownNameError, match="unknown region of insilico 'V5'"):
        ask(datasets.load("insilico"), changed(RIDGE, region="V5"))
    with pytest.raises(UnknownNameError, match="unknown subject of insilico 's9'"):
        ask(datasets.load("insilico"), changed(RIDGE, subjects=("s9",)))


@pytest.mark.parametrize(
    ("benchmark", "rule", "there_is"),
    [
        (RIDGE, "leave_one_subject_out", "split_half, ncsnr or none"),
        (RSA, "split_half", "leave_one_subject_out or none"),
    ],
)
def test_a_ceiling_of_the_other_kind_is_refused(benchmark, rule, there_is):
    with pytest.raises(InputError, match=there_is):
        ask(Recording(), changed(benchmark, ceiling=rule))
    (ceiling,) = {t.ceilings["none"].reason for t in ask(Recording(), changed(benchmark, ceiling="none"))}
    assert set(ceiling) == {"no ceiling by rule"}


def test_rdms_of_mean_responses_one_a_subject():
    (target,) = ask(Recording(), RSA)
    assert target.subjects == target.names == ("x", "y") and target.regions == ("V1", "V1")
    block = ask(Recording())[0].data
    np.testing.assert_allclose(target.data.values[0], 1 - np.corrcoef(block.mean()), atol=1e-6)


def test_rdms_need_stimuli_in_common():
    with pytest.raises(InputError, match="saw different stimuli"):
        ask(Recording(shown={"x": IDS[:30], "y": IDS[10:]}), RSA)


class Released(Recording):
    """RDMs as released: 3 subjects, 2 sessions, of which the last subject lacks one."""

    def __init__(self):
        super().__init__()
        points = np.random.default_rng(0).normal(size=(3, 2, len(IDS), 4)) + np.arange(len(IDS))[:, None] % 7
        self.values = np.linalg.norm(points[:, :, :, None] - points[:, :, None], axis=-1)
        self.values[2, 1] = np.nan

    @property
    def spec(self):
        from dataclasses import replace

        return replace(Recording.spec, measures=("rdms",), subjects=("x", "y", "z"))

    def rdms(self, region):
        return rdms_array(self.values, subject=("x", "y", "z"), session=("1", "2"), stimulus_id=IDS)


def test_a_ceiling_names_the_scale_it_would_have_also_where_there_is_none():
    alone = changed(RSA, subjects=("x",))
    for benchmark, rule, scale in [
        (RIDGE, "split_half", "r2"),
        (RIDGE, "none", "r2"),
        (RSA, "leave_one_subject_out", "r"),
        (RSA, "none", "r"),
        (alone, "leave_one_subject_out", "r"),
    ]:
        (found,) = {t.ceilings[rule].scale for t in ask(Recording(), changed(benchmark, ceiling=rule))}
        assert found == scale, rule
    (target,) = ask(Recording(), alone)
    assert target.ceilings["leave_one_subject_out"].reason == ("one subject",)


def test_sessions_are_averaged_over_those_that_exist():
    (target,) = ask(Released(), RSA)
    values = Released().values
    np.testing.assert_allclose(target.data.values[0], values[0].mean(axis=0))
    np.testing.assert_allclose(target.data.values[2], values[2, 0])


def test_rdm_ceilings_are_taken_over_the_pairs_that_are_scored():
    (target,) = ask(Released(), RSA)
    lower = []
    for fold in target.split.folds:
        rows = [IDS.index(i) for i in fold.test]
        lower.append(leave_one_out(upper(torch.as_tensor(target.data.values[:, rows][:, :, rows])).T, "pearson")[0])
    ceiling = target.ceilings["leave_one_subject_out"]
    np.testing.assert_allclose(ceiling.value, torch.stack(lower).mean(dim=0))
    assert (ceiling.upper > ceiling.value).all() and ceiling.scale == "r"


def test_neuroids_that_an_rdm_leaves_out_are_counted_and_none_left_is_an_error():
    def gaps(values, ids):
        values[ids == "s03", 0] = np.nan

    (target,) = targets(
        Recording(spoil=gaps), [RSA.model_copy(update={"dataset": "insilico", "subjects": None})], load("rsa", {})
    )
    assert target.data.left_out == 2  # one of V1's three in each of two subjects

    def none(values, ids):
        values[ids == "s03"] = np.nan

    with pytest.raises(InputError, match="0 of 3 neuroids in V1"):
        ask(Recording(spoil=none), RSA)


def test_slots_padded_for_other_neuroids_change_no_ceiling():
    values = torch.randn(40, 4, 3, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([values, torch.full((40, 2, 3), torch.nan)], dim=1)
    one, two = (split_half(v, n_splits=5, generator=torch.Generator().manual_seed(1)) for v in (values, padded))
    torch.testing.assert_close(one, two)


LABELS = known()["insilico.category-ka"]
CATEGORIES = ["cat", "dog", None, "bird"] * 10


class Named(Recording):
    """Its stimuli have categories, a quarter of them none."""

    def stimuli(self):
        shown = super().stimuli()
        return StimulusSet(
            name="named", table=shown.table.assign(category=CATEGORIES, stratum=list(map(str, CATEGORIES)))
        )


def test_labels_are_the_categories_of_all_stimuli_that_have_one():
    (target,) = ask(Named(), LABELS)
    assert target.data.stimulus_ids == target.stimuli.ids == tuple(i for i, c in zip(IDS, CATEGORIES) if c)
    assert list(target.data.values) == [c for c in CATEGORIES if c] and target.data.left_out == 10
    assert (target.subjects, target.regions, target.names) == (("",), ("",), ("category",))
    assert target.data.codes.tolist() == [1, 2, 0] * 10  # in alphabetical order
    assert target.parts(1) == [target] and target.n_values == 30


def test_labels_are_of_the_stimuli_that_were_shown_to_those_asked_for():
    shown = {"x": IDS[:30], "y": IDS[20:]}
    (target,) = ask(Named(shown=shown), changed(LABELS, subjects=("x",)))
    assert target.data.stimulus_ids == tuple(i for i, c in zip(IDS[:30], CATEGORIES) if c)
    assert target.data.left_out == 7
    (of_session,) = ask(datasets.load("insilico"), changed(LABELS, sessions=("1",)))
    assert len(of_session.data.stimulus_ids) == 400


def test_folds_of_labels_hold_every_category_alike_and_are_those_of_the_dataset():
    (target,) = ask(Named(), LABELS)
    of = dict(zip(target.data.stimulus_ids, target.data.values))
    for fold in target.split.folds:
        for side in (fold.train, fold.test):
            assert {c: [of[i] for i in side].count(c) for c in ("cat", "dog", "bird")} == dict.fromkeys(
                ("cat", "dog", "bird"), 5
            )
    whole = changed(RSA, split=LABELS.split)
    (rdms,) = ask(Named(), whole)
    assert [set(f.test) - set(g.test) for f, g in zip(rdms.split.folds, target.split.folds)] == [
        {i for i in f.test if i not in of} for f in rdms.split.folds
    ]


def test_labels_have_no_ceiling_and_say_so():
    (target,) = ask(Named(), LABELS)
    ceiling = target.ceilings["none"]
    assert np.isnan(ceiling.value).all() and ceiling.reason == ("no ceiling",) and ceiling.scale == "share"
    with pytest.raises(InputError, match="labels have none"):
        ask(Named(), changed(LABELS, ceiling="split_half"))


def test_labels_where_there_are_none_are_refused():
    with pytest.raises(InputError, match="it has no labels"):
        ask(Recording(), LABELS)


def test_regions_and_labels_exclude_each_other():
    with pytest.raises(UsageError, match="leave it out"):
        ask(Named(), changed(LABELS, region="V4"))
    with pytest.raises(UsageError, match="name the one that is scored"):
        ask(Named(), changed(RIDGE, region=""))


@pytest.mark.parametrize("repeats", [2, 4])
def test_the_ceiling_by_variances_is_what_a_hand_computes(repeats):
    """As the NSD defines it: noise from the variance over repetitions, signal from what is left."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 1, 3)) + rng.normal(size=(30, repeats, 3)) * [0.5, 1, 5]
    ids = tuple(f"s{n:02d}" for n in range(30))
    block = Block(stimulus_ids=ids, neuroid_ids=("a", "b", "c"), regions=("V1",) * 3, values=values.astype(np.float32))
    ceiling = ceilings.of_neuroids("ncsnr", block, "seed")
    noise = values.var(axis=1, ddof=1).mean(axis=0)
    signal = np.clip(values.reshape(-1, 3).var(axis=0) - noise, 0, None)
    np.testing.assert_allclose(ceiling.value, signal / (signal + noise / repeats), rtol=1e-5)
    assert (ceiling.scale, ceiling.method) == ("r2", "ncsnr")
    single = replace(block, values=block.values[:, :1])
    assert ceilings.of_neuroids("ncsnr", single, "seed").reason == ("single-repetition",) * 3


def test_some_stimuli_can_be_asked_for():
    every = RIDGE.model_copy(update={"subjects": ("s1",)})
    table = datasets.load("insilico").stimuli().table
    category = table["category"].iloc[0]
    some = every.model_copy(update={"stimuli": {"category": category}})
    (target,) = targets(datasets.load("insilico"), [some], load("ridge", {}))
    assert set(target.data.stimulus_ids) == set(table.index[table["category"] == category])
    assert some.fingerprint != every.fingerprint and some.solve_key != every.solve_key
    assert "stimuli" not in every.identity
