import io

import numpy as np
import pytest
import scipy.io
from scipy.stats import pearsonr

import brainbench as bb
from brainbench.datasets.hebart2020 import Hebart2020
from brainbench.errors import InputError, UnknownNameError

UPPER = np.triu_indices(48, 1)


@pytest.fixture(scope="module")
def recording(data_root):
    return Hebart2020(data_root / "hebart2020")


@pytest.fixture(scope="module")
def judged(recording):
    return recording.rdms("judges")


@pytest.mark.data
def test_one_object_a_concept_and_no_pictures(recording):
    table = recording.stimuli().table
    assert len(table) == table["concept"].nunique() == 1854
    assert table["sha256"].isna().all()
    assert table.loc["camera1_01b", "concept"] == "camera1" and table.loc["bib_02s", "concept"] == "bib"
    with pytest.raises(InputError, match="released without the picture of 'pizza_01b'"):
        recording.stimuli().image("pizza_01b")


@pytest.mark.data
def test_dissimilarities_are_shares_with_chance_in_the_middle(judged):
    assert judged.shape == (1, 1, 48, 48)
    values = judged.values[0, 0][UPPER]
    assert values.mean() == pytest.approx(2 / 3, abs=5e-4)  # of three pairs one is kept together
    assert values.min() > 0
    assert values.max() < 1


@pytest.mark.data
def test_rows_are_the_objects_they_are_named_after(recording, judged):
    ids = list(judged["stimulus_id"].values)
    assert ids[:3] == ["pizza_01b", "beaver_01b", "macadamia_01b"]
    dimensions = recording.embedding().loc[ids].to_numpy()
    modelled, values = -(dimensions @ dimensions.T)[UPPER], judged.values[0, 0]
    assert pearsonr(modelled, values[UPPER]).statistic == pytest.approx(0.881, abs=0.002)
    in_alphabet = np.argsort(ids)
    assert abs(pearsonr(modelled, values[np.ix_(in_alphabet, in_alphabet)][UPPER]).statistic) < 0.1


@pytest.mark.data
def test_dimensions_have_the_labels_of_their_largest_objects(recording):
    embedding = recording.embedding()
    assert embedding.shape == (1854, 66) and embedding.columns.is_unique
    assert embedding.to_numpy().min() >= 0 and embedding.to_numpy().max() == pytest.approx(100)
    for label, largest in [
        ("food-related", "crepe_01b"),
        ("transportation-/movement-related", "train_01b"),
        ("weapon-related / war-related / dangerous", "rifle_01b"),
        ("fine-grained pattern", "snow_01s"),
    ]:
        assert embedding[label].idxmax().rpartition("_")[0] == largest.rpartition("_")[0]


@pytest.mark.data
def test_callers_cannot_change_what_the_next_one_gets(recording):
    embedding = recording.embedding()
    embedding.iloc[:] = -1
    recording.rdms("judges").values[:] = 0
    assert recording.embedding().to_numpy().min() >= 0
    assert recording.rdms("judges").values.max() > 0


def csv(names):
    rows = [f"{7 - row},{name}.jpg,{row}.5,{row * 10}" for row, name in enumerate(names)]
    return "\n".join([",image_name,0,1", *rows, ""]).encode()


@pytest.fixture
def made(release):
    """A release of three objects, two of them judged, in another order."""

    def write(rdm=((0, 0.25), (0.25, 0)), labels="soft\nloud\n"):
        stream = io.BytesIO()
        scipy.io.savemat(stream, {"RDM48_triplet": np.array(rdm)})
        files = {
            "data/spose_embedding66d_rescaled.csv": csv(["ant_01b", "ice_cream_01s", "zebra_02s"]),
            "data/spose_embedding66d_rescaled_48val_reordered.csv": csv(["zebra_02s", "ant_01b"]),
            "data/RDM48_triplet.mat": stream.getvalue(),
            "data/labels66.txt": labels.encode(),
        }
        return Hebart2020(release("hebart2020", files))

    return write


def test_the_judged_objects_are_in_the_order_of_their_own_file(made):
    recording = made()
    assert recording.stimuli().ids == ("ant_01b", "ice_cream_01s", "zebra_02s")
    assert recording.stimuli().table["concept"].tolist() == ["ant", "ice_cream", "zebra"]
    judged = recording.rdms("judges")
    assert judged["stimulus_id"].values.tolist() == ["zebra_02s", "ant_01b"]
    assert judged.values[0, 0].tolist() == [[0, 0.25], [0.25, 0]]


def test_dimensions_are_columns_by_label(made):
    embedding = made().embedding()
    assert embedding["soft"].to_dict() == {"ant_01b": 0.5, "ice_cream_01s": 1.5, "zebra_02s": 2.5}
    assert embedding["loud"].tolist() == [0, 10, 20]


def test_files_that_do_not_fit_each_other_are_refused(made):
    with pytest.raises(InputError, match=r"has 2 dimensions, but data/labels66\.txt names 1"):
        made(labels="soft\n").embedding()
    with pytest.raises(InputError, match=r"of shape \(3, 3\), but .* names 2 objects"):
        made(rdm=np.zeros((3, 3))).rdms("judges")
    with pytest.raises(InputError, match="diagonal that is not 0"):
        made(rdm=np.ones((2, 2))).rdms("judges")


def test_an_unknown_region_is_told_with_its_neighbours(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'judges'"):
        Hebart2020(tmp_path).rdms("judge")


@pytest.mark.data
def test_its_benchmark_scores_features_by_name(recording, tmp_path, monkeypatch):
    """The released embedding, made of the same kind of choices, agrees with them; noise does not."""
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path))
    ids = list(recording.rdms("judges")["stimulus_id"].values)
    embedding = recording._embedding.loc[ids].to_numpy()
    noise = np.random.default_rng(0).normal(size=embedding.shape)
    for features, low, high in ((embedding, 0.8, 0.9), (noise, -0.2, 0.2)):
        results = bb.score({"it": features}, stimulus_ids=ids, benchmarks="hebart2020.judges-rsa")
        (entry,) = results.entries
        assert entry.status == "ok" and low < entry.raw < high and entry.ceiling is None and entry.n_stimuli == 48
