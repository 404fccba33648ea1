"""Every dataset is held to the contract; and each check is shown to bite, alone, on a dataset with one defect."""

import hashlib
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainbench.checks import checks_for, parametrize_with_checks, run_checks
from brainbench.checks._facts import near_duplicates, picture
from brainbench.checks._known import KNOWN_FAILURES
from brainbench.core.arrays import behaviour_table, rdms_array, responses_array
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import DATASETS, load, present
from brainbench.errors import AccessError, UnknownNameError

SYNTHETIC = [name for name in DATASETS.own if DATASETS[name].spec.synthetic]
RECORDED = [name for name in DATASETS.own if not DATASETS[name].spec.synthetic]


@parametrize_with_checks([load(name) for name in SYNTHETIC], known_failures=KNOWN_FAILURES)
def test_made_dataset_keeps(thing, check):
    check.run(thing)


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_dataset_keeps_the_contract(name, data_root):
    missing = present(name, {"": data_root})
    if missing:
        pytest.skip(missing)
    outcomes = list(run_checks(load(name, {"": data_root}), KNOWN_FAILURES.get(name)))
    assert [(o.check, o.message) for o in outcomes if o.status == "failed"] == []
    assert {o.check for o in outcomes if o.status == "known"} == set(KNOWN_FAILURES.get(name, ()))


IDS = [f"s{n:02d}" for n in range(12)]
REGIONS = ("V1", "IT")
SESSIONS = ("1", "2")


def noise(*seed):
    return np.random.default_rng([7, *seed])


@cache
def pixels(name):
    return noise(IDS.index(name)).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def refuse_unknown(kind, wanted, known):
    for name in wanted or ():
        if name not in known:
            raise UnknownNameError(kind, name, known)


class Stimuli:
    """Twelve pictures of noise."""

    def pixels(self, name):
        return pixels(name)

    def open(self, name):
        return Image.fromarray(self.pixels(name))

    def table(self):
        digests = [hashlib.sha256(self.pixels(name).tobytes()).hexdigest() for name in IDS]
        return pd.DataFrame({"sha256": digests}, index=pd.Index(IDS, name="stimulus_id"))

    def stimuli(self):
        return StimulusSet(name="toy", table=self.table(), open=self.open)


class Toy(Stimuli):
    """Two subjects; two neuroids in each of two regions; two sessions of two repetitions; one neuroid in one only."""

    spec = DatasetSpec(
        id="toy",
        version=1,
        title="A toy",
        species="none",
        modality="arithmetic",
        measures=("responses",),
        subjects=("ann", "bob"),
        regions=REGIONS,
        unit="arbitrary",
        citation="This file",
        licence="CC0-1.0",
        url="https://example.org/toy",
        synthetic=True,
    )

    def responses(self, subject, *, regions=None, sessions=None):
        refuse_unknown("subject", (subject,), ("ann", "bob"))
        refuse_unknown("region", regions, REGIONS)
        refuse_unknown("session", sessions, SESSIONS)
        rows = [(i, s, r) for s in SESSIONS for r in range(2) for i in IDS]
        values = noise(("ann", "bob").index(subject)).normal(size=(len(rows), 4))
        values[: len(rows) // 2, 0] = np.nan
        labels = list(zip(*rows))
        array = responses_array(
            values,
            stimulus_id=labels[0],
            session=labels[1],
            repetition=labels[2],
            neuroid_id=[f"{subject}{n}" for n in range(4)],
            region=np.repeat(REGIONS, 2),
        )
        return array.isel(
            presentation=np.flatnonzero(np.isin(labels[1], sessions or SESSIONS)),
            neuroid=np.flatnonzero(np.isin(array["region"].values, regions or REGIONS)),
        )


class ToyRDMs(Stimuli):
    """One RDM of two subjects in one session, of each of two regions."""

    spec = replace(Toy.spec, measures=("rdms",))

    def rdms(self, region):
        refuse_unknown("region", (region,), REGIONS)
        points = noise(REGIONS.index(region)).normal(size=(2, 1, 12, 3))
        distance = np.linalg.norm(points[..., :, None, :] - points[..., None, :, :], axis=-1)
        return rdms_array(distance, subject=("ann", "bob"), session=("1",), stimulus_id=IDS)


class ToyBehaviour(Stimuli):
    """Two subjects name every picture once in each of two sessions; one trial has no answer. No region is involved."""

    spec = replace(Toy.spec, measures=("behaviour",), regions=())

    def behaviour(self):
        rows = [(who, s, number, name) for who in ("ann", "bob") for s in SESSIONS for number, name in enumerate(IDS)]
        subject, session, trial, stimulus_id = zip(*rows)
        rng = noise(5)
        choice = [None, *rng.choice(["cat", "dog"], size=len(rows) - 1).tolist()]
        seconds = rng.uniform(0.2, 1.5, size=len(rows))
        return behaviour_table(
            subject=subject, session=session, trial=trial, stimulus_id=stimulus_id, choice=choice, rt_s=seconds
        )


class WithoutPictures(Toy):
    """As released without any."""

    def table(self):
        return super().table().assign(sha256=None)

    def stimuli(self):
        return StimulusSet(name="toy", table=self.table())


class HalfWithoutPictures(Toy):
    def table(self):
        return super().table().assign(sha256=lambda table: [None] * 6 + table["sha256"].tolist()[6:])

    def open(self, name):
        return {released: super(HalfWithoutPictures, self).open(released) for released in IDS[6:]}[name]


class NoLicence(Toy):
    spec = replace(Toy.spec, licence=" ")


class SyntheticInWords(Toy):
    spec = replace(Toy.spec, synthetic="no")


class SpeciesOfNowhere(Toy):
    spec = replace(Toy.spec, by_region={"V9": ("macaque", "array")})


class PromisesRDMs(Toy):
    spec = replace(Toy.spec, measures=("responses", "rdms"))


class PromisesV4(Toy):
    spec = replace(Toy.spec, regions=(*REGIONS, "V4"))


class HidesIT(Toy):
    spec = replace(Toy.spec, regions=("V1",))


class Md5(Toy):
    def table(self):
        return super().table().assign(sha256=[hashlib.md5(name.encode()).hexdigest() for name in IDS])


class PictureWithoutSha256(Toy):
    def table(self):
        return super().table().assign(sha256=lambda table: [None, *table["sha256"].tolist()[1:]])


class GroupOfSome(Toy):
    def table(self):
        return super().table().assign(group=["first", "second"] + [None] * 10)


class OneGroup(Toy):
    def table(self):
        return super().table().assign(group="all")


class BrokenPicture(Toy):
    def open(self, name):
        if name == "s03":
            raise OSError("broken data stream")
        return super().open(name)


class Sha256OfTheCall(Toy):
    calls = 0

    def table(self):
        self.calls += 1
        return super().table().assign(sha256=[hashlib.sha256(f"{self.calls}{i}".encode()).hexdigest() for i in IDS])


class GrainyPictures(Toy):
    """Each opening adds one speck: no near-duplicate, and not the same picture."""

    opened = 0

    def open(self, name):
        self.opened += 1
        image = super().open(name)
        image.putpixel((self.opened % 24, self.opened // 24 % 24), (self.opened % 256, 0, 255))
        return image


class Sha256OfAnother(Toy):
    def table(self):
        digests = super().table()["sha256"].tolist()
        return super().table().assign(sha256=[digests[0], digests[0], *digests[2:]])


class SamePictureFromTwoFiles(Toy):
    def pixels(self, name):
        return pixels("s00" if name == "s01" else name)

    def table(self):
        return super().table().assign(sha256=[hashlib.sha256(f"file {name}".encode()).hexdigest() for name in IDS])


class FramesWithoutGroup(Toy):
    def pixels(self, name):
        if name != "s01":
            return pixels(name)
        frame = pixels("s00").copy()
        frame[3, 3] += 1
        return frame


class KeepsItsTable(Toy):
    kept = Toy().table()

    def table(self):
        return self.kept


class KeepsItsPictures(Toy):
    kept = {name: Image.fromarray(pixels(name).copy()) for name in IDS}  # noqa: RUF012

    def open(self, name):
        return self.kept[name]


class IntegerIds(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        array["stimulus_id"] = "presentation", [int(i[1:]) for i in array["stimulus_id"].values]
        return array


class NeuroidTwice(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        array["neuroid_id"] = "neuroid", np.full(array.sizes["neuroid"], "n", dtype=object)
        return array


class DoublePrecision(Toy):
    def responses(self, subject, **options):
        return super().responses(subject, **options).astype(np.float64)


class FloatingRepetitions(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        array["repetition"] = "presentation", array["repetition"].values.astype(np.float64)
        return array


class UnlistedStimulus(Toy):
    def table(self):
        return super().table().iloc[:-1]


class UncountedRepetitions(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        array["repetition"] = "presentation", np.zeros(array.sizes["presentation"], dtype=np.int64)
        return array


class Infinite(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        array.values[array["stimulus_id"].values == "s05"] = np.inf
        return array


class ScaledTheSecondTime(Toy):
    def __init__(self):
        self.seen = set()

    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        if subject in self.seen:
            array = array * 2
        self.seen.add(subject)
        return array


class KeepsItsArrays(Toy):
    kept = {name: Toy().responses(name) for name in Toy.spec.subjects}  # noqa: RUF012

    def responses(self, subject, **options):
        return super().responses(subject, **options) if any(options.values()) else self.kept[self.known(subject)]

    def known(self, subject):
        refuse_unknown("subject", (subject,), self.kept)
        return subject


class KeepsItsLabels(KeepsItsArrays):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        return array.copy(deep=False, data=array.values.copy()) if not any(options.values()) else array


class ZScoresWhatIsAsked(Toy):
    def responses(self, subject, **options):
        array = super().responses(subject, **options)
        return array - np.nanmean(array.values)


class ForgetsASession(Toy):
    def responses(self, subject, *, regions=None, sessions=None):
        array = super().responses(subject, regions=regions, sessions=sessions)
        return array[array["session"].values == "1"] if regions else array


class IgnoresUnknownRegions(Toy):
    def responses(self, subject, *, regions=None, sessions=None):
        known = None if regions is None else tuple(name for name in regions if name in REGIONS)
        return super().responses(subject, regions=known, sessions=sessions)


class KeyErrors(Toy):
    def responses(self, subject, **options):
        return super().responses({"ann": "ann", "bob": "bob"}[subject], **options)


class KeepsTheNamesToItself(Toy):
    def responses(self, subject, **options):
        if subject not in self.spec.subjects:
            raise AccessError(f"no such subject: {subject}")
        return super().responses(subject, **options)


class SingleRDMs(ToyRDMs):
    def rdms(self, region):
        return super().rdms(region).astype(np.float32)


class AsymmetricRDM(ToyRDMs):
    def rdms(self, region):
        array = super().rdms(region)
        array.values[0, 0, 1, 2] += 1
        return array


class SimilarityForRDM(ToyRDMs):
    def rdms(self, region):
        return 1 - super().rdms(region)


class NobodysRDM(ToyRDMs):
    def rdms(self, region):
        array = super().rdms(region)
        array["subject"] = "subject", np.array(["ann", "eve"], dtype=object)
        return array


class UnlistedObject(ToyRDMs):
    def table(self):
        return super().table().iloc[:-1]


class InfiniteRDM(ToyRDMs):
    def rdms(self, region):
        array = super().rdms(region)
        array.values[..., 1, 2] = array.values[..., 2, 1] = np.inf
        return array


class RespondsNowhere(Toy):
    spec = replace(Toy.spec, regions=())


class NumberedChoices(ToyBehaviour):
    def behaviour(self):
        return super().behaviour().assign(choice=lambda table: (table["choice"] == "cat").astype(int))


class SilentObserver(ToyBehaviour):
    spec = replace(ToyBehaviour.spec, subjects=("ann", "bob", "eve"))


class UnlistedPicture(ToyBehaviour):
    def table(self):
        return super().table().iloc[:-1]


class TrialsOfAllSessionsCounted(ToyBehaviour):
    def behaviour(self):
        return super().behaviour().assign(session="1")


class NeverAnswered(ToyBehaviour):
    def behaviour(self):
        return super().behaviour().assign(rt_s=np.inf)


class ShuffledTheSecondTime(ToyBehaviour):
    asked = 0

    def behaviour(self):
        self.asked += 1
        return super().behaviour().sample(frac=1, random_state=self.asked).reset_index(drop=True)


class KeepsItsTrials(ToyBehaviour):
    kept = ToyBehaviour().behaviour()

    def behaviour(self):
        return self.kept


class BehavesElsewhere(ToyBehaviour):
    def __init__(self, root):
        self.root = root

    def stimuli(self):
        if self.root != Path("here"):
            raise AccessError(f"{self.root} is empty: see https://example.org/toy")
        return super().stimuli()


class ReadsElsewhere(Toy):
    def __init__(self, root):
        self.root = root


class ReadsUnchecked(ReadsElsewhere):
    def open(self, name):
        if self.root != Path("here"):
            raise FileNotFoundError(self.root / name)
        return super().open(name)


class NamesNoAddress(ReadsElsewhere):
    def stimuli(self):
        if self.root != Path("here"):
            raise AccessError(f"{self.root} is empty")
        return super().stimuli()


DEFECTS = [
    (NoLicence(), "spec_is_filled_in"),
    (SyntheticInWords(), "spec_is_filled_in"),
    (SpeciesOfNowhere(), "spec_is_filled_in"),
    (PromisesRDMs(), "measures_are_methods"),
    (PromisesV4(), "subjects_and_regions_are_those_measured"),
    (HidesIT(), "subjects_and_regions_are_those_measured"),
    (NobodysRDM(), "subjects_and_regions_are_those_measured"),
    (Md5(), "stimulus_table_is_complete"),
    (PictureWithoutSha256(), "stimulus_table_is_complete"),
    (OneGroup(), "folds_do_not_leak"),
    (BrokenPicture(), "pictures_open"),
    (Sha256OfTheCall(), "stimuli_are_the_same_again"),
    (GrainyPictures(), "stimuli_are_the_same_again"),
    (Sha256OfAnother(), "one_sha256_is_one_picture"),
    (SamePictureFromTwoFiles(), "identical_pictures_stay_together"),
    (FramesWithoutGroup(), "near_duplicates_stay_together"),
    (KeepsItsTable(), "callers_cannot_change_the_stimuli"),
    (KeepsItsPictures(), "callers_cannot_change_the_stimuli"),
    (IntegerIds(), "ids_are_unique_strings"),
    (NeuroidTwice(), "ids_are_unique_strings"),
    (DoublePrecision(), "responses_are_labelled"),
    (FloatingRepetitions(), "responses_are_labelled"),
    (UnlistedStimulus(), "measured_stimuli_are_in_the_table"),
    (UnlistedObject(), "measured_stimuli_are_in_the_table"),
    (UncountedRepetitions(), "presentations_are_told_apart"),
    (Infinite(), "numbers_are_finite_or_missing"),
    (InfiniteRDM(), "numbers_are_finite_or_missing"),
    (ScaledTheSecondTime(), "numbers_are_the_same_again"),
    (KeepsItsArrays(), "callers_cannot_change_the_numbers"),
    (KeepsItsLabels(), "callers_cannot_change_the_numbers"),
    (ZScoresWhatIsAsked(), "filters_select"),
    (ForgetsASession(), "filters_select"),
    (IgnoresUnknownRegions(), "unknown_names_are_refused"),
    (KeyErrors(), "unknown_names_are_refused"),
    (KeepsTheNamesToItself(), "unknown_names_are_refused"),
    (SingleRDMs(), "rdms_are_labelled"),
    (AsymmetricRDM(), "rdms_are_dissimilarities"),
    (SimilarityForRDM(), "rdms_are_dissimilarities"),
    (NumberedChoices(), "behaviour_is_labelled"),
    (SilentObserver(), "subjects_and_regions_are_those_measured"),
    (UnlistedPicture(), "measured_stimuli_are_in_the_table"),
    (TrialsOfAllSessionsCounted(), "trials_are_told_apart"),
    (NeverAnswered(), "numbers_are_finite_or_missing"),
    (ShuffledTheSecondTime(), "trials_are_the_same_again"),
    (KeepsItsTrials(), "callers_cannot_change_the_trials"),
    (BehavesElsewhere(Path("here")), "missing_files_say_how_to_get_them"),
    (ReadsElsewhere(Path("here")), "missing_files_say_how_to_get_them"),
    (ReadsUnchecked(Path("here")), "missing_files_say_how_to_get_them"),
    (NamesNoAddress(Path("here")), "missing_files_say_how_to_get_them"),
]


def failures(thing):
    return {outcome.check: outcome.message for outcome in run_checks(thing) if outcome.status == "failed"}


@pytest.mark.parametrize(
    "sound",
    [Toy(), ToyRDMs(), ToyBehaviour(), WithoutPictures(), HalfWithoutPictures()],
    ids=lambda thing: type(thing).__name__,
)
def test_sound_dataset_passes(sound):
    assert failures(sound) == {}


@pytest.mark.parametrize(("thing", "name"), [pytest.param(*d, id=type(d[0]).__name__) for d in DEFECTS])
def test_defect_is_caught_by_one_check_alone(thing, name):
    assert set(failures(thing)) == {name}


def test_regions_are_left_out_for_behaviour_alone():
    assert "spec_is_filled_in" in failures(RespondsNowhere())


def test_every_check_has_a_defect_that_it_catches():
    laws = {
        law.name for dataset in (NamesNoAddress(Path("here")), ToyRDMs(), ToyBehaviour()) for law in checks_for(dataset)
    }
    assert laws == {name for _, name in DEFECTS}
    assert {law.name for law in checks_for(load("insilico"))} - laws == {"import_is_light"}  # tested below


def test_adapter_that_imports_torch_is_caught(tmp_path, monkeypatch):
    (tmp_path / "heavy_adapter.py").write_text("import torch\nclass Heavy: pass\n")
    (tmp_path / "light_adapter.py").write_text("class Light: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    verdicts = {}
    for module, name in (("heavy_adapter", "Heavy"), ("light_adapter", "Light")):
        mixin = getattr(__import__(module), name)
        verdicts[name] = failures(type(name, (Toy,), {"__module__": mixin.__module__})())
        del sys.modules[module]
    assert verdicts["Light"] == {}
    assert set(verdicts["Heavy"]) == {"import_is_light"}
    assert "torch" in verdicts["Heavy"]["import_is_light"]


def test_checks_leave_the_dataset_as_it_was():
    thing = KeepsItsArrays()
    before = thing.responses("ann").copy(deep=True)
    failures(thing)
    assert thing.responses("ann").identical(before)


def test_near_duplicates_are_slight_changes_and_no_others():
    image = Image.fromarray(
        np.kron(noise(0).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((12, 12, 1), np.uint8))
    )
    other = Image.fromarray(
        np.kron(noise(1).integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((12, 12, 1), np.uint8))
    )
    grey = Image.new("RGB", (96, 96), (90, 90, 90))
    pictures = {
        "image": picture(image),
        "smaller": picture(image.resize((60, 60), Image.Resampling.BICUBIC)),
        "darker": picture(image.point(lambda value: value // 2)),
        "same": picture(image.copy()),
        "mirrored": picture(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "other": picture(other),
        "grey": picture(grey),
        "other grey": picture(Image.new("RGB", (96, 96), (91, 90, 90))),
    }
    pairs = near_duplicates(pictures)
    found = {frozenset(pair) for pair in zip(pairs["first"], pairs["second"])}
    similar = [
        ("image", "smaller"),
        ("image", "darker"),
        ("smaller", "darker"),
        ("smaller", "same"),
        ("darker", "same"),
    ]
    assert found == {frozenset(pair) for pair in similar}


def test_near_duplicates_are_found_however_many_pictures_there_are():
    base = picture(Image.fromarray(pixels("s00")))
    frame = picture(Image.fromarray(FramesWithoutGroup().pixels("s01")))
    others = {
        f"n{n}": picture(Image.fromarray(noise(99, n).integers(0, 256, (9, 9), dtype=np.uint8))) for n in range(1100)
    }
    pairs = near_duplicates({"first": base, **others, "last": frame})
    assert pairs[["first", "second"]].values.tolist() == [["first", "last"]]
    assert near_duplicates({}).empty


def test_stimuli_without_a_group_stand_alone():
    assert [o.check for o in run_checks(GroupOfSome()) if o.status != "passed"] == []
