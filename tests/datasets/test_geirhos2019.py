import io

import numpy as np
import pytest
from PIL import Image

import brainbench as bb
from brainbench.core.splits import grouped_folds
from brainbench.datasets.geirhos2019 import Geirhos2019
from brainbench.errors import AccessError, InputError

FOLDERS = {
    "edges": "edge-experiment",
    "silhouettes": "silhouette-filled-experiment",
    "cue-conflict": "style-transfer-512-nomask-experiment",
}
CATEGORIES = ["airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"]
CATEGORIES += ["chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"]


@pytest.fixture(scope="module")
def recording(data_root):
    return Geirhos2019(data_root / "geirhos2019")


@pytest.fixture(scope="module")
def table(recording):
    return recording.stimuli().table


@pytest.fixture(scope="module")
def trials(recording, table):
    return recording.behaviour().join(table[["experiment", "category", "texture"]], on="stimulus_id")


@pytest.mark.data
def test_three_experiments_show_the_same_160_objects(table):
    assert table["experiment"].value_counts().to_dict() == {"cue-conflict": 1280, "edges": 160, "silhouettes": 160}
    for _, own in table.groupby("experiment"):
        assert own["category"].value_counts().to_dict() == dict.fromkeys(CATEGORIES, len(own) // 16)
    assert table["sha256"].notna().groupby(table["experiment"]).sum().to_dict() == {
        "cue-conflict": 0,
        "edges": 160,
        "silhouettes": 160,
    }
    assert table["sha256"].nunique() == 320
    assert table["group"].nunique() == 158
    pictured = table[table["sha256"].notna()].groupby("group").size()
    assert pictured.drop("bottle2").unique().tolist() == [2] and pictured["bottle2"] == 6
    assert set(table["group"]) == set(pictured.index)  # cue-conflict stimuli are made of the same objects
    grouped_folds(table, n_folds=5, seed=0)


@pytest.mark.data
def test_everyone_saw_every_stimulus_of_an_experiment_once(trials):
    assert len(trials) == 16000 and trials["subject"].nunique() == 30
    assert not trials.duplicated(["subject", "stimulus_id"]).any()
    assert trials.groupby("experiment")["stimulus_id"].agg(["size", "nunique"]).to_numpy().tolist() == [
        [12800, 1280],
        [1600, 160],
        [1600, 160],
    ]
    assert sorted(trials["choice"].dropna().unique()) == CATEGORIES


@pytest.mark.data
def test_no_choice_is_no_choice_and_takes_no_time(trials):
    missing = trials["choice"].isna()
    assert missing.groupby(trials["experiment"]).sum().to_dict() == {
        "cue-conflict": 131,
        "edges": 34,
        "silhouettes": 22,
    }
    assert (missing == trials["rt_s"].isna()).all()
    assert trials["rt_s"].min() > 0.2
    assert trials["rt_s"].max() < 1.51  # answers were taken for 1.5 s


@pytest.mark.data
def test_people_are_as_right_as_known(trials):
    """A missing choice is a wrong one here, as upstream counts."""
    right = (trials["choice"] == trials["category"]).groupby(trials["experiment"]).mean()
    assert right["edges"] == pytest.approx(0.871, abs=0.0005)
    assert right["silhouettes"] == pytest.approx(0.753, abs=0.0005)


@pytest.mark.data
def test_people_go_by_shape(trials):
    """The published shape bias of people, 95.9 %: shape choices among shape and texture choices, where they differ."""
    conflict = trials[(trials["experiment"] == "cue-conflict") & (trials["texture"] != trials["category"])]
    assert conflict["stimulus_id"].nunique() == 1200
    shape, texture = ((conflict["choice"] == conflict[cue]).sum() for cue in ("category", "texture"))
    assert shape / (shape + texture) == pytest.approx(0.959, abs=0.0005)


@pytest.mark.data
def test_pictures_open_where_there_are_any(recording):
    stimuli = recording.stimuli()
    for name in ("edges/oven10", "silhouettes/oven10"):
        assert (stimuli.image(name).size, stimuli.image(name).mode) == ((224, 224), "RGB")
    with pytest.raises(InputError, match="geirhos2019 was released without the picture of 'cue-conflict/bird3-bird2'"):
        stimuli.image("cue-conflict/bird3-bird2")


@pytest.mark.data
def test_callers_cannot_change_what_the_next_one_gets(recording):
    table, trials = recording.stimuli().table, recording.behaviour()
    table["category"] = trials["choice"] = "spoilt"
    assert recording.stimuli().table["category"].nunique() == 16
    assert recording.behaviour()["choice"].nunique() == 16


def png(level):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(stream, "PNG")
    return stream.getvalue()


HEAD = "subj,session,trial,rt,object_response,category,condition,imagename\n"
SHOWN = {
    "edges": ("edg", [("oven10", "oven"), ("oven2", "oven")]),
    "silhouettes": ("sif", [("oven2", "oven"), ("oven10", "oven")]),
    "cue-conflict": ("s5n", [("oven2-bird7", "oven"), ("bird7-bird1", "bird")]),
}


@pytest.fixture
def made(release):
    """A release in upstream's form: two ovens and a bird; everyone is fast and right, then gives no answer."""

    def write(change=lambda text: text):
        files = {}
        for experiment, (code, shown) in SHOWN.items():
            for person in range(1, 11):
                (first, kind), (second, other) = shown
                text = HEAD + (
                    f"subject-{person:02d},1,1,0.5,{kind},{kind},0,0001_{code}_s{person:02d}_0_{kind}_00_{first}.png\n"
                    f"subject-{person:02d},1,2,NaN,na,{other},0,0002_{code}_s{person:02d}_0_{other}_00_{second}.png\n"
                )
                path = f"{FOLDERS[experiment]}/{FOLDERS[experiment]}_subject-{person:02d}_session_1.csv"
                files[f"raw-data/{path}"] = change(text).encode()
        for folder, level in (("edges", 100), ("filled-silhouettes", 200)):
            files |= {f"stimuli/{folder}/oven/oven{number}.png": png(level + number) for number in (2, 10)}
        return Geirhos2019(release("geirhos2019", files))

    return write


def test_a_row_is_a_trial(made):
    trials = made().behaviour()
    assert len(trials) == 60
    first, second = trials[trials["subject"] == "cue-conflict-03"].to_dict("records")
    assert first == {
        "subject": "cue-conflict-03",
        "session": "1",
        "stimulus_id": "cue-conflict/oven2-bird7",
        "trial": 1,
        "choice": "oven",
        "rt_s": 0.5,
    }
    assert second["choice"] is None and np.isnan(second["rt_s"])


def test_stimuli_are_named_by_shape_and_texture(made):
    table = made().stimuli().table
    assert table.index.tolist() == [
        "cue-conflict/bird7-bird1",
        "cue-conflict/oven2-bird7",
        "edges/oven2",
        "edges/oven10",
        "silhouettes/oven2",
        "silhouettes/oven10",
    ]
    assert table["category"].tolist() == ["bird"] + ["oven"] * 5
    assert table["texture"].tolist()[:2] == ["bird", "bird"] and table["texture"].isna().sum() == 4
    assert table["group"].tolist() == ["bird7", "oven2", "oven2", "oven10", "oven2", "oven10"]


def test_a_picture_is_that_of_its_experiment(made):
    stimuli = made().stimuli()
    for name, level in [("edges/oven10", 110), ("edges/oven2", 102), ("silhouettes/oven2", 202)]:
        assert stimuli.image(name).getpixel((0, 0)) == (level,) * 3


@pytest.mark.parametrize(
    "change",
    [lambda text: text.replace(",oven,0,", ",bear,0,"), lambda text: text.replace("_00_", "_0x_")],
    ids=["category", "form"],
)
def test_names_of_another_form_are_refused(made, change):
    with pytest.raises(InputError, match="of another form or category"):
        made(change).behaviour()


def test_two_trials_of_one_number_are_refused(made):
    with pytest.raises(InputError, match="subject 'edges-01' has two trials of number 1 in session '1'"):
        made(lambda text: text.replace(",1,2,NaN", ",1,1,NaN")).behaviour()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(AccessError, match="rgeirhos/texture-vs-shape"):
        Geirhos2019(tmp_path).stimuli()


@pytest.mark.data
@pytest.mark.parametrize("experiment", ["silhouettes", "edges"])
def test_its_benchmarks_read_the_categories_of_outlines_alone(recording, tmp_path, monkeypatch, experiment):
    """Features that are the category are read by the simplest readers; noise is not."""
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path))
    table = recording.stimuli().table
    ids = list(table.index[table["experiment"] == experiment])
    rng = np.random.default_rng(0)
    told = np.eye(16)[[CATEGORIES.index(name) for name in table.loc[ids, "category"]]]
    for features, low, high in (
        (told + 0.01 * rng.normal(size=told.shape), 0.6, 1.0),
        (rng.normal(size=told.shape), -0.1, 0.1),
    ):
        (entry,) = bb.score({"it": features}, stimulus_ids=ids, benchmarks=f"geirhos2019.{experiment}-ka").entries
        assert entry.status == "ok" and entry.n_stimuli == 160 and low < entry.raw < high
