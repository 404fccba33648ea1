import io

import h5py
import numpy as np
import pytest
from PIL import Image

from brainbench.core.arrays import blocks
from brainbench.datasets.henaff2021 import Henaff2021
from brainbench.errors import InputError, UnknownNameError

UNITS = {"ay2": 55, "ay3": 100, "ay4": 125, "ay5": 80}


@pytest.fixture(scope="module")
def recording(data_root):
    return Henaff2021(data_root / "henaff2021")


@pytest.fixture(scope="module")
def by_animal(recording):
    return {subject: recording.responses(subject) for subject in recording.spec.subjects}


@pytest.mark.data
def test_440_frames_differ_and_movies_are_groups_over_both_zooms(recording):
    table = recording.stimuli().table
    assert (len(table), table["sha256"].nunique()) == (440, 440)
    assert table["kind"].value_counts().to_dict() == {"natural": 220, "synthetic": 180, "contrast": 40}
    assert (table.groupby("group")["zoom"].nunique() == 2).all()
    assert table["group"].nunique() == 10


@pytest.mark.data
def test_pictures_open_by_id(recording):
    stimuli = recording.stimuli()
    assert {stimuli.image(name).size for name in stimuli.ids[::40]} == {(512, 512)}
    near, far = (np.asarray(stimuli.image(f"zoom1x/movie02bees/natural{n}"), float).ravel() for n in ("01", "11"))
    faded = np.asarray(stimuli.image("zoom1x/movie02bees/contrast10"), float).ravel()
    assert np.corrcoef(faded, near)[0, 1] > 0.99 > np.corrcoef(faded, far)[0, 1]


@pytest.mark.data
def test_every_animal_has_its_units_and_saw_every_frame(recording, by_animal):
    shown = set(recording.stimuli().ids)
    for subject, responses in by_animal.items():
        assert responses.sizes["neuroid"] == UNITS[subject]
        (block,) = blocks(responses)
        assert set(block.stimulus_ids) == shown
        repetitions = np.isfinite(block.values).sum(axis=1)
        assert repetitions.min() >= 24 and repetitions.max() == (60 if subject == "ay4" else 50)


@pytest.mark.data
def test_units_have_numbers_in_their_own_recording_alone(by_animal):
    for responses in by_animal.values():
        owner = np.array([name.rsplit("-", 1)[0] for name in responses["neuroid_id"].values])
        foreign = responses["session"].values[:, None] != owner[None]
        assert np.isnan(responses.values[foreign]).all()
        assert np.isfinite(responses.values).any(axis=1).all()


@pytest.mark.data
def test_end_frames_of_synthetic_and_contrast_sequences_repeat_the_natural_ones(data_root):
    """Why they are left out: not one count in them is of its own."""
    for path in sorted((data_root / "henaff2021" / "V1_responses").glob("*.mat"))[:2]:
        with h5py.File(path) as file:
            counts = file["naturalStruct/sortedResponses"][()]
        for end in (0, 10):
            np.testing.assert_array_equal(counts[:, :, end, :, 1], counts[:, :, end, :, 0])
        np.testing.assert_array_equal(counts[:, :, 10, [1, 3, 6, 9], 2, 0], counts[:, :, 10, [1, 3, 6, 9], 0, 0])


@pytest.mark.data
def test_frames_of_full_contrast_are_answered_like_the_natural_frame_they_show(by_animal):
    """A join that slips by one frame or movie breaks this."""
    movies = ("movie02bees", "movie04egomotion", "movie07walking", "movie10leaveswind")
    (block,) = blocks(by_animal["ay3"])
    mean = block.mean()
    mean = (mean - mean.mean(axis=0)) / mean.std(axis=0)
    row = {name: mean[at] for at, name in enumerate(block.stimulus_ids)}

    def likeness(frame):
        pairs = [(row[f"zoom1x/{movie}/contrast10"], row[f"zoom1x/{movie}/{frame}"]) for movie in movies]
        return np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])

    assert likeness("natural01") > 0.6
    assert likeness("natural11") < 0.4


@pytest.mark.data
def test_reliability_of_recordings_is_the_known_one(by_animal, reliability):
    medians = []
    for responses in by_animal.values():
        for name in dict.fromkeys(responses["session"].values):
            own = responses["neuroid_id"].str.startswith(name).values
            (block,) = blocks(responses[responses["session"].values == name][:, own])
            medians.append(np.median(reliability(block.values)))
    low, *_, high = sorted(medians)
    assert low == pytest.approx(0.33, abs=0.05)
    assert high == pytest.approx(0.94, abs=0.02)
    assert sum(median >= 0.7 for median in medians) == 6  # two of them lie at .70 to .76, by the choice of halves


ZOOMS, KINDS = ["zoom1x", "zoom2x"], ["natural", "synthetic", "contrast"]


def made(release, sequences, counts):
    """A release with recording ay5_u002: `sequences` are {(zoom, kind, field): picture paths}."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:

        def cells(place, texts, shape):
            references = np.empty(shape, dtype=h5py.ref_dtype)
            for number, text in enumerate(texts):
                name = f"#refs#/{place.replace('/', '-')}{number}"
                file[name] = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
                references.ravel()[number] = file[name].ref
            file.create_dataset(f"naturalStruct/stimulusStruct/{place}", data=references, dtype=h5py.ref_dtype)

        cells("scales", ZOOMS, (2, 1))
        cells("categories", KINDS, (3, 1))
        for zoom in ZOOMS:
            file.require_group(f"naturalStruct/stimulusStruct/{zoom}")
        for (zoom, kind, field), paths in sequences.items():
            cells(f"{zoom}/{kind}/{field}/file_paths", paths, (1, len(paths)))
        file["naturalStruct/sortedResponses"] = counts
    return Henaff2021(release("henaff2021", {"V1_responses/ay5_u002_image_sequences.mat": stream.getvalue()}))


def picture(zoom, movie, name):
    return f"../original_images/stimSelected-{zoom}/{movie}/{name}.png"


def numbered():
    """Counts that say where they stand: frame, movie, kind and zoom as decimal digits (frame and movie from 0)."""
    frame, movie, kind, zoom = np.ogrid[:11, :10, :3, :2]
    place = 1000 * frame + 100 * movie + 10 * kind + zoom
    return np.broadcast_to(place, (2, 2, 11, 10, 3, 2)).astype(float)


def test_counts_meet_frames_by_the_path_of_the_picture(release):
    sequences = {
        ("zoom1x", "natural", "movie02bees"): [picture("zoom1x", "movie02-bees", f"natural{n}") for n in ("03", "01")],
        ("zoom2x", "synthetic", "movie10leaveswind"): [picture("zoom2x", "movie10-leaves-wind", "synthetic02")],
    }
    responses = made(release, sequences, numbered()).responses("ay5", sessions=("ay5_u002",))
    assert responses.sizes == {"presentation": 6, "neuroid": 2}
    found = dict(zip(responses["stimulus_id"].values, responses.values[:, 0]))
    assert found == {
        "zoom1x/movie02bees/natural03": 2100,
        "zoom1x/movie02bees/natural01": 100,
        "zoom2x/movie10leaveswind/synthetic02": 1911,
    }


def test_a_repetition_without_any_unit_is_no_presentation(release):
    counts = numbered()
    counts[0, :, 0] = np.nan
    counts[1, 0, 0] = np.nan
    sequences = {("zoom1x", "natural", "movie02bees"): [picture("zoom1x", "movie02-bees", "natural01")]}
    responses = made(release, sequences, counts).responses("ay5", sessions=("ay5_u002",))
    assert list(responses["repetition"].values) == [1]
    np.testing.assert_array_equal(responses.values, [[np.nan, 100]])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (picture("zoom1x", "movie02-bees", "blank01"), "names no frame"),
        (picture("zoom1x", "movie11-cats", "natural01"), "names no frame"),
        (picture("zoom1x", "movie02-cats", "natural01"), "names movie 02 other than 'bees'"),
    ],
)
def test_a_path_that_names_no_known_frame_is_refused(release, path, said):
    recording = made(release, {("zoom1x", "natural", "movie02bees"): [path]}, numbered())
    with pytest.raises(InputError, match=said):
        recording.responses("ay5", sessions=("ay5_u002",))


def test_a_picture_that_was_cut_short_is_refused(release):
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    path = "images/acute/stimulus_fullfield/stimSelected-zoom1x/movie1/natural01.png"
    root = release("henaff2021", {path: stream.getvalue()}, group="images")
    stimuli = Henaff2021(root).stimuli()
    assert stimuli.image("zoom1x/movie01chironomus/natural01").size == (8, 8)
    (root / path).write_bytes(stream.getvalue()[:40])
    with pytest.raises(InputError, match=r"natural01\.png is truncated"):
        stimuli.image("zoom1x/movie01chironomus/natural01")


def test_unknown_names_are_told_with_their_neighbours(tmp_path):
    recording = Henaff2021(tmp_path)
    with pytest.raises(UnknownNameError, match="subject of henaff2021 'ay1'"):
        recording.responses("ay1")
    with pytest.raises(UnknownNameError, match="region of henaff2021 'V4'"):
        recording.responses("ay2", regions=("V4",))
    with pytest.raises(UnknownNameError, match="session of ay2 in henaff2021 'ay3_u001'"):
        recording.responses("ay2", sessions=("ay3_u001",))
