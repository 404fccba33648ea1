import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from brainbench.core.arrays import blocks
from brainbench.core.splits import grouped_folds
from brainbench.datasets.cowley2023 import Cowley2023
from brainbench.errors import AlignmentError, InputError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def recording(data_root):
    return Cowley2023(data_root / "cowley2023")


@pytest.fixture(scope="module")
def table(recording):
    return recording.stimuli().table


@pytest.mark.data
def test_ten_sessions_hold_10240_stimuli_of_9340_contents(table):
    assert len(table) == 10240
    assert table["sha256"].nunique() == 9340
    by_session = table.groupby("session")["sha256"]
    assert by_session.size().to_dict() == {
        "190923": 1200,
        "190925": 1200,
        "190927": 1200,
        "190929": 1200,
        "201025": 1200,
        "210224": 800,
        "210225": 1200,
        "210305": 400,
        "210322": 1200,
        "210325": 640,
    }
    distinct = by_session.nunique()
    assert distinct["190925"] == 900
    assert distinct.drop("190925").equals(by_session.size().drop("190925"))
    assert (
        len(set(table.query("session == '210322'")["sha256"]) & set(table.query("session == '210325'")["sha256"]))
        == 600
    )


@pytest.mark.data
def test_categories_are_those_of_the_object_pictures_alone(table):
    labelled = table[table["session"] == "210325"]
    assert labelled["category"].value_counts().to_dict() == dict.fromkeys(
        ("bear", "elephant", "face", "car", "dog", "apple", "chair", "plane"), 80
    )
    assert labelled.loc["210325/image0081", "stratum"] == "210325/elephant"
    assert table["category"].value_counts().to_dict() == {
        "bear": 160,
        "elephant": 160,
        "face": 160,
        "car": 160,
        "dog": 160,
        "apple": 160,
        "chair": 160,
        "plane": 120,
    }
    assert table.groupby("session")["category"].count().loc[lambda n: n > 0].to_dict() == {"210322": 600, "210325": 640}
    others = table[table["session"] != "210325"]
    assert (others["stratum"] == others["session"]).all()


@pytest.mark.data
def test_one_picture_has_one_category_in_all_sessions(table):
    """The bytes say which pictures of 210322 are the labelled ones, whatever their numbers say."""
    labels = table["category"].fillna("none").groupby(table["sha256"]).nunique()
    assert labels.max() == 1


@pytest.mark.data
def test_labels_lie_where_the_responses_change(recording, table):
    """Nearest category mean in V4, each picture left out: labels moved by part of a block are decoded less well."""
    (block,) = blocks(recording.responses("PE", sessions=("210325",)))
    mean = block.mean()
    mean = (mean - mean.mean(axis=0)) / mean.std(axis=0)
    categories, label = np.unique(table.loc[list(block.stimulus_ids), "category"].to_numpy(str), return_inverse=True)

    def accuracy(shift):
        of = np.eye(len(categories))[np.roll(label, shift)]
        count = of.sum(axis=0) - of  # without the picture itself, where it is in the category
        centroids = (of.T @ mean - of[:, :, None] * mean[:, None]) / count[:, :, None]
        distance = ((mean[:, None] - centroids) ** 2).sum(axis=-1)
        return (distance.argmin(axis=1) == of.argmax(axis=1)).mean()

    moved = [accuracy(shift) for shift in (-40, -20, -10, 10, 20, 40)]
    assert accuracy(0) > max(moved) + 0.02
    assert accuracy(0) > 0.28  # chance is 0.125


@pytest.mark.data
@pytest.mark.parametrize(("subject", "shape", "units"), [("WE", (4800, 133), 133), ("PE", (9640, 390), 390)])
def test_every_unit_has_numbers_in_its_own_session_alone(recording, subject, shape, units):
    responses = recording.responses(subject)
    assert responses.shape == shape
    owner = np.array([name.split("-")[0] for name in responses["neuroid_id"].values])
    own = responses["session"].values[:, None] == owner[None]
    assert np.array_equal(np.isfinite(responses.values), own)
    assert len(set(responses["neuroid_id"].values)) == units


@pytest.mark.data
def test_averages_are_means_of_the_trials_that_exist(recording, data_root):
    trials = recording.responses("PE", sessions=("210325",))
    _, counts = np.unique(trials["stimulus_id"].values, return_counts=True)
    assert (counts.min(), counts.max(), len(counts)) == (6, 10, 640)
    (block,) = blocks(trials)
    path = "data_V4_responses/responses_repeat_averaged/responses_210325.npy"
    averaged = np.load(data_root / "cowley2023" / path)
    np.testing.assert_allclose(block.mean(), averaged.T, atol=1e-6)


@pytest.mark.data
def test_reliability_of_single_trials_is_the_known_one(recording, reliability):
    (block,) = blocks(recording.responses("PE", sessions=("210325",)))
    assert np.median(reliability(block.values)) == pytest.approx(0.755, abs=0.015)


@pytest.mark.data
def test_columns_belong_to_the_sorted_names_of_the_archive_that_is_out_of_order(recording, table):
    """300 pictures of 190925 were shown under two names: responses to both agree, if names are joined rightly."""
    (block,) = blocks(recording.responses("WE", sessions=("190925",)))
    mean = block.mean()
    first_of, pairs = {}, []
    for row, digest in enumerate(table.loc[list(block.stimulus_ids), "sha256"]):
        pairs += [(first_of[digest], row)] if digest in first_of else []
        first_of.setdefault(digest, row)
    first, second = np.array(pairs).T
    assert len(pairs) == 300
    agreement = [np.corrcoef(unit[first], unit[second])[0, 1] for unit in mean.T]
    by_chance = [np.corrcoef(unit[first], np.roll(unit[second], 1))[0, 1] for unit in mean.T]
    assert np.mean(agreement) > 0.7
    assert abs(np.mean(by_chance)) < 0.05


@pytest.mark.data
def test_duplicates_stay_on_one_side_of_a_split(table):
    grouped_folds(table[table["session"] == "190925"], n_folds=4, seed=0)  # raises LeakageError otherwise


@pytest.mark.data
def test_pictures_open_by_id_from_every_session(recording, table):
    stimuli = recording.stimuli()
    for name in table.groupby("session").head(1).index:
        picture = stimuli.image(name)
        assert (picture.size, picture.mode) == ((112, 112), "RGB")
    with pytest.raises(AlignmentError, match="210325/image0641"):
        stimuli.image("210325/image0641")


@pytest.mark.data
def test_callers_cannot_change_what_the_next_one_gets(recording):
    table = recording.stimuli().table
    table["sha256"] = "spoilt"
    recording.responses("WE").values[:] = -1
    assert recording.stimuli().table["sha256"].nunique() == 9340
    assert np.nanmin(recording.responses("WE").values) == 0
    assert pickle.loads(pickle.dumps(recording)).stimuli().fingerprint == recording.stimuli().fingerprint  # workers


def jpeg(level):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (level, level, level)).save(stream, "JPEG")
    return stream.getvalue()


def archive(names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in names.items():
            file.writestr(name, content)
    return stream.getvalue()


def npy(values):
    stream = io.BytesIO()
    np.save(stream, np.asarray(values, dtype=np.float64))
    return stream.getvalue()


@pytest.fixture
def made(release):
    """A release with one session: pictures grey 10, 20, 30 by name, in disorder, in a folder, with shadows of macOS."""

    def write(session, responses, kind="repeat_averaged", **more):
        names = {
            "images_x/": b"",
            "images_x/image0003.jpg": jpeg(30),
            "__MACOSX/images_x/._image0001.jpg": b"shadow",
            "images_x/image0001.jpg": jpeg(10),
            "images_x/image0002.jpg": jpeg(20),
        } | more
        folder = "data_V4_responses"
        files = {
            f"{folder}/images/images_{session}.zip": archive(names),
            f"{folder}/responses_{kind}/responses_{session}.npy": npy(responses),
        }
        return Cowley2023(release("cowley2023", files))

    return write


def test_pictures_and_columns_meet_by_sorted_name(made):
    recording = made("190923", [[1, 2, 3], [4, 5, 6]])
    responses = recording.responses("WE", sessions=("190923",))
    assert list(responses["stimulus_id"].values) == [f"190923/image000{n}" for n in (1, 2, 3)]
    assert list(responses["neuroid_id"].values) == ["190923-00", "190923-01"]
    np.testing.assert_array_equal(responses.values, [[1, 4], [2, 5], [3, 6]])
    assert recording._open("190923/image0002").getpixel((0, 0)) == pytest.approx((20, 20, 20), abs=2)


def test_an_empty_slot_is_no_trial_but_a_silent_unit_is(made):
    nan = np.nan
    trials = [[[1, 2, nan], [3, nan, nan], [nan, 4, nan]], [[nan, 6, nan], [7, nan, nan], [nan, 8, nan]]]
    responses = made("210325", trials, kind="raw").responses("PE", sessions=("210325",))
    assert [name[-1] for name in responses["stimulus_id"].values] == ["1", "1", "2", "3"]
    assert list(responses["repetition"].values) == [0, 1, 0, 1]
    np.testing.assert_array_equal(responses.values, [[1, nan], [2, 6], [3, 7], [4, 8]])


def test_responses_that_do_not_fit_the_pictures_are_refused(made):
    with pytest.raises(InputError, match=r"responses_190923\.npy has 2 columns, but the session has 3 pictures"):
        made("190923", [[1, 2]]).responses("WE", sessions=("190923",))


def test_a_picture_name_in_two_folders_is_refused(made):
    recording = made("190923", [[1, 2, 3]], **{"again/image0002.jpg": jpeg(20)})
    with pytest.raises(InputError, match=r"images_190923\.zip holds pictures of one name twice: image0002"):
        recording.responses("WE", sessions=("190923",))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("we", None, None), "unknown subject of cowley2023 'we'. Did you mean 'WE'"),
        (("WE", ("V1",), None), "unknown region of cowley2023 'V1'. Known: V4"),
        (("WE", None, ("210325",)), "unknown session of WE in cowley2023 '210325'"),
    ],
)
def test_unknown_names_are_told_with_their_neighbours(tmp_path, call, said):
    subject, regions, sessions = call
    with pytest.raises(UnknownNameError) as refused:
        Cowley2023(tmp_path).responses(subject, regions=regions, sessions=sessions)
    assert said in str(refused.value)


def test_asking_for_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no session of WE"):
        Cowley2023(tmp_path).responses("WE", sessions=())
