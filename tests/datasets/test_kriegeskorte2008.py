import io

import numpy as np
import pytest
import scipy.io
from scipy.stats import spearmanr

from brainbench.datasets.kriegeskorte2008 import Kriegeskorte2008
from brainbench.errors import InputError, UnknownNameError

UPPER = np.triu_indices(92, 1)


@pytest.fixture(scope="module")
def recording(data_root):
    return Kriegeskorte2008(data_root / "kriegeskorte2008")


@pytest.fixture(scope="module")
def pairs(recording):
    """Dissimilarities of pairs (subject, session, pair) by region."""
    return {region: recording.rdms(region).values[..., UPPER[0], UPPER[1]] for region in recording.spec.regions}


def rho(first, second):
    return spearmanr(first, second).statistic


def bounds(subjects):
    """Mean rank correlation of each subject's RDM with the mean of the others', and with the mean of all."""
    others = [np.delete(subjects, at, axis=0).mean(axis=0) for at in range(len(subjects))]
    lower = np.mean([rho(own, rest) for own, rest in zip(subjects, others)])
    return lower, np.mean([rho(own, subjects.mean(axis=0)) for own in subjects])


@pytest.mark.data
def test_subjects_and_sessions_are_those_released(recording):
    human, monkey, judges = (recording.rdms(region) for region in recording.spec.regions)
    assert human.shape == (4, 2, 92, 92) and list(human["subject"].values) == ["BE", "KO", "SN", "TI"]
    assert monkey.shape == (1, 1, 92, 92) and list(monkey["subject"].values) == ["monkeys"]
    assert judges.shape == (16, 1, 92, 92) and judges["subject"].values[-1] == "judge16"
    assert not any(np.isnan(rdms).any() for rdms in (human, monkey, judges))
    everyone = [name for rdms in (human, monkey, judges) for name in rdms["subject"].values]
    assert tuple(everyone) == recording.spec.subjects


@pytest.mark.data
def test_human_it_has_the_known_ceilings(pairs):
    """Of the mean over a subject's two sessions, RDMs averaged as they are, compared by rank."""
    assert bounds(pairs["humanIT"].mean(axis=1)) == pytest.approx((0.38, 0.66), abs=0.005)
    repeats = [rho(*sessions) for sessions in pairs["humanIT"]]
    assert np.mean(repeats) == pytest.approx(0.22, abs=0.005)


@pytest.mark.data
def test_monkeys_agree_with_humans_as_much_as_known(pairs):
    assert rho(pairs["monkeyIT"][0, 0], pairs["humanIT"].mean(axis=(0, 1))) == pytest.approx(0.44, abs=0.005)


@pytest.mark.data
def test_judges_have_the_known_lower_ceiling(pairs):
    assert bounds(pairs["judges"][:, 0])[0] == pytest.approx(0.48, abs=0.005)


@pytest.mark.data
def test_rows_of_rdms_are_in_the_order_of_the_pictures(recording, pairs):
    """Upstream names no rows: the categories that lie with the pictures must explain the RDMs in this order only."""
    category = recording.stimuli().table["category"]
    animate = ~category.str.endswith("inanimate").to_numpy()
    apart = (animate[:, None] != animate)[UPPER]
    for region, values in pairs.items():
        assert rho(apart, values.mean(axis=(0, 1))) > 0.45, region
    supplement = scipy.io.loadmat(recording.root / "demos/92imageData/Kriegeskorte_Neuron2008_supplementalData.mat")
    human = supplement["RDMs_mIT_hIT_fig1"][0, 1]["RDM"][0]
    np.testing.assert_allclose(pairs["humanIT"].mean(axis=(0, 1)), human, atol=1e-12)


@pytest.mark.data
def test_objects_have_upstreams_six_classes_and_pictures(recording):
    stimuli = recording.stimuli()
    assert stimuli.ids[0] == "object01" and stimuli.ids[-1] == "object92"
    assert stimuli.table["sha256"].nunique() == 92
    assert stimuli.table["category"].value_counts().to_dict() == {
        "natural inanimate": 23,
        "artificial inanimate": 21,
        "human bodypart": 12,
        "human face": 12,
        "nonhuman bodypart": 12,
        "nonhuman face": 12,
    }
    assert (stimuli.table["stratum"] == stimuli.table["category"]).all()
    picture = stimuli.image("object13")
    assert (picture.size, picture.mode) == ((175, 175), "RGB")


@pytest.mark.data
def test_callers_cannot_change_what_the_next_one_gets(recording):
    stimuli = recording.stimuli()
    before = stimuli.image("object13").tobytes()
    stimuli.image("object13").paste((0, 0, 0), (0, 0, 175, 175))
    stimuli.table["sha256"] = "spoilt"
    recording.rdms("monkeyIT").values[:] = 0
    assert recording.stimuli().image("object13").tobytes() == before
    assert recording.stimuli().table["sha256"].nunique() == 92
    assert recording.rdms("monkeyIT").values.max() > 0


def made(release, name, **variables):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables)
    return Kriegeskorte2008(release("kriegeskorte2008", {f"demos/92imageData/{name}": stream.getvalue()}))


def structs(named):
    """MATLAB's struct array of `name` and `RDM`, in the shape of the nested list `named`."""
    result = np.empty((len(named), len(named[0])), dtype=[("name", object), ("RDM", object)])
    for at in np.ndindex(result.shape):
        result[at] = named[at[0]][at[1]]
    return result


def test_condensed_rdms_are_the_upper_triangle_row_by_row(release):
    condensed = np.arange(1.0, 4187.0)[None]
    rdms = structs([[("mIT_674neurons", condensed), ("hIT", condensed)]])
    recording = made(release, "Kriegeskorte_Neuron2008_supplementalData.mat", RDMs_mIT_hIT_fig1=rdms)
    square = recording.rdms("monkeyIT").values[0, 0]
    assert (square[0, 1], square[0, 91], square[1, 2], square[91, 90]) == (1, 91, 92, 4186)


@pytest.mark.parametrize(("last", "error"), [("hIT | TI | Session: 2", None), ("hIT | XX | Session: 2", InputError)])
def test_rdms_of_other_subjects_than_expected_are_refused(release, last, error):
    square = 1 - np.eye(92)
    names = [[f"hIT | {who} | Session: {session}" for session in (1, 2)] for who in ("BE", "KO", "SN", "TI")]
    names[-1][-1] = last
    rdms = structs([[(name, square) for name in row] for row in names])
    stacked = np.empty((1, 4, 2), dtype=rdms.dtype)
    stacked[0] = rdms
    recording = made(release, "92_brainRDMs.mat", RDMs=stacked)
    if error is None:
        assert recording.rdms("humanIT").shape == (4, 2, 92, 92)
    else:
        with pytest.raises(error, match="expected RDMs named"):
            recording.rdms("humanIT")


def test_an_unknown_region_is_told_with_its_neighbours(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'humanIT'"):
        Kriegeskorte2008(tmp_path).rdms("humanit")
