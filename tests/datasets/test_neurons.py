"""Recordings of neurons that cannot be had here, in small files of the form that public code says they have."""

import io
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from brainbench.benchmarks import known
from brainbench.checks import run_checks
from brainbench.core.arrays import blocks
from brainbench.datasets import _fetch, _netcdf
from brainbench.datasets.cadieu2014 import Cadieu2014
from brainbench.datasets.devries2020 import AREAS, DeVries2020
from brainbench.datasets.freemanziemba2013 import FAMILIES, FreemanZiemba2013
from brainbench.datasets.majajhong2015 import MajajHong2015
from brainbench.datasets.stringer2019 import Stringer2019
from brainbench.errors import AccessError, InputError
from brainbench.scorers import load
from brainbench.targets import targets, window


def failures(dataset):
    return [(o.check, o.message) for o in run_checks(dataset) if o.status == "failed"]


def png(*seed):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def archive(names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in names.items():
            file.writestr(name, content)
    return stream.getvalue()


def mat(**content):
    stream = io.BytesIO()
    scipy.io.savemat(stream, content)
    return stream.getvalue()


# majajhong2015 ------------------------------------------------------------------------------------------------------

PICTURES = [f"{n:02x}" * 20 for n in range(12)]
SITES = [("Chabo_L_M_5_9", "V4", "Chabo"), ("Tito_L_P_8_1", "IT", "Tito"), ("Chabo_L_A_1_2", "IT", "Chabo")]
SITES += [("Tito_L_M_0_0", "V4", "Tito")]


def hvm(formats, name="dicarlo.MajajHong2015.public", order=("neuroid", "presentation", "time_bin"), **more):
    """Three repetitions of 12 pictures; neither is in order. Values are picture + 100 x site + 1000 x repetition."""
    shown = np.random.default_rng(0).permutation(np.repeat(np.arange(12), 3))
    seen = pd.Series(shown).groupby(shown).cumcount().to_numpy()
    values = shown[:, None, None] + 100 * np.arange(4)[None, :, None] + 1000 * seen[:, None, None]
    sizes = {"presentation": 36, "neuroid": 4, "time_bin": 1}
    labels = {
        "image_id": ("presentation", [PICTURES[n] for n in shown]),
        "neuroid_id": ("neuroid", [site for site, _, _ in SITES]),
        "region": ("neuroid", [region for _, region, _ in SITES]),
        "animal": ("neuroid", [animal for _, _, animal in SITES]),
        "arr": ("neuroid", ["M", "P", "A", "M"]),
        "col": ("neuroid", np.arange(4)),
        "time_bin_start": ("time_bin", np.array([70])),
        "time_bin_end": ("time_bin", np.array([170])),
    }
    axes = [("presentation", "neuroid", "time_bin").index(dim) for dim in order]
    return formats.netcdf(name, values.astype(np.float32).transpose(axes), order, sizes, labels | more)


def hvm_files(formats, **options):
    category = np.array(["Animals", "Cars", "Faces"])[np.arange(12) % 3]
    table = pd.DataFrame(
        {
            "id": np.arange(1, 13),
            "background_id": "b",
            "s": 1.0,
            "image_id": PICTURES,
            "image_file_name": [f"obj_{name}_256x256.png" for name in PICTURES],
            "category_name": category,
            "object_name": np.array(["bear", "astra", "face0001"])[np.arange(12) % 3],
            "variation": np.where(np.arange(12) < 4, 0, 3),
        }
    )
    pictures = {f"obj_{name}_256x256.png": png(n) for n, name in enumerate(PICTURES)}
    return {
        "assy_dicarlo_MajajHong2015_public.nc": hvm(formats, **options),
        "image_dicarlo_hvm-public.csv": table.to_csv(index=False).encode(),
        "image_dicarlo_hvm-public.zip": archive(pictures),
    }


@pytest.mark.parametrize("name", ["dicarlo.MajajHong2015.public", "data"])
@pytest.mark.parametrize("order", [("neuroid", "presentation", "time_bin"), ("presentation", "neuroid", "time_bin")])
def test_a_site_has_its_own_numbers_whatever_the_order_of_axes(release, formats, name, order):
    recording = MajajHong2015(release("majajhong2015", hvm_files(formats, name=name, order=order)))
    responses = recording.responses("Tito", regions=("IT",))
    assert list(responses["neuroid_id"].values) == ["Tito_L_P_8_1"]
    picture = np.array([PICTURES.index(name) for name in responses["stimulus_id"].values])
    expected = picture + 100 + 1000 * responses["repetition"].values
    np.testing.assert_array_equal(responses.values[:, 0], expected)
    assert sorted(np.unique(responses["repetition"].values)) == [0, 1, 2]


def test_majajhong2015_keeps_the_contract(release, formats):
    recording = MajajHong2015(release("majajhong2015", hvm_files(formats)))
    assert failures(recording) == []
    assert recording.stimuli().table["category"].nunique() == 3


def test_an_assembly_that_is_none_is_refused(tmp_path, formats):
    full = tmp_path / "assy.nc"
    full.write_bytes(hvm(formats)[:-3000])
    with pytest.raises(InputError, match=r"assy\.nc is truncated or corrupt"):
        _netcdf.assembly(full)
    full.write_bytes(b"CDF\x01" + b"\0" * 100)
    with pytest.raises(InputError, match="is no HDF5 file"):
        _netcdf.assembly(full)
    with h5py.File(full, "w") as file:
        file["data"] = np.zeros((3, 4))
    with pytest.raises(InputError, match="needs one array of presentation x neuroid"):
        _netcdf.assembly(full)
    full.write_bytes(hvm(formats))
    with pytest.raises(InputError, match=r"has no label 'monkey' of each neuroid; .*animal"):
        _netcdf.assembly(full, neuroids={"monkey": "Tito"})
    with pytest.raises(InputError, match="no label 'stimulus' of each presentation; image_id"):
        _netcdf.assembly(full).label("presentation", "stimulus")


def test_a_picture_that_the_archive_lacks_is_named(release, formats):
    files = hvm_files(formats) | {"image_dicarlo_hvm-public.zip": archive({"obj.png": png(1)})}
    with pytest.raises(InputError, match=r"zip lacks 12 pictures of the table: obj_0000"):
        MajajHong2015(release("majajhong2015", files)).stimuli()


# cadieu2014 ---------------------------------------------------------------------------------------------------------

HASHES = [f"images/{n:040x}.png" for n in range(14)]
CATEGORIES = ["Animals", "Cars", "Chairs", "Faces", "Fruits", "Planes", "Tables"]


def cadieu(top="PLoSCB2014_data_20141216/", **changes):
    """14 pictures, two a category; values are 100 x picture + site; V4 lists the pictures the other way round."""
    names = {f"{top}{path}": png(50 + n) for n, path in enumerate(HASHES)}
    for file, n_sites, turn in (
        ("IT_multiunits", 5, 1),
        ("IT_singleunits", 2, 1),
        ("V4_multiunits", 4, -1),
        ("V4_singleunits", 2, 1),
    ):
        pictures = np.arange(14)[::turn]
        rows = [f"{HASHES[n]} {CATEGORIES[n % 7]} {' '.join('1' * 8 + '0' * 2)}" for n in pictures]
        width = max(map(len, rows))  # a matrix of characters: rows are padded
        features = 100.0 * pictures[:, None] + np.arange(n_sites)
        names[f"{top}NeuralData_{file}.mat"] = mat(features=features, meta=np.array([r.ljust(width) for r in rows]))
    return archive(names | {f"__MACOSX/{top}._NeuralData_IT_multiunits.mat": b"shadow"} | changes)


@pytest.mark.parametrize("top", ["PLoSCB2014_data_20141216/", "PLoSCB2014_data_20141216/PLoSCB2014_data_20141216/", ""])
def test_areas_meet_by_picture(release, top):
    recording = Cadieu2014(release("cadieu2014", {"PLoSCB2014_data_20141216.zip": cadieu(top)}))
    responses = recording.responses("monkeys", regions=("V4", "IT"))
    picture = np.array([HASHES.index(name) for name in responses["stimulus_id"].values])
    for column, name in enumerate(responses["neuroid_id"].values):
        np.testing.assert_array_equal(responses.values[:, column], 100 * picture + int(name[-3:]))
    assert dict(zip(*np.unique(responses["region"].values, return_counts=True))) == {"IT": 5, "V4": 4}
    assert recording.stimuli().table.loc[HASHES[9], "category"] == "Chairs"


def test_cadieu2014_keeps_the_contract(release):
    assert failures(Cadieu2014(release("cadieu2014", {"PLoSCB2014_data_20141216.zip": cadieu()}))) == []


def test_the_archive_is_opened_and_read_once(release, monkeypatch):
    """Its list of files is long: opened for every picture, 2,000 pictures would take minutes."""
    recording = Cadieu2014(release("cadieu2014", {"PLoSCB2014_data_20141216.zip": cadieu()}))
    opened, read = [], []
    whole, one = zipfile.ZipFile.__init__, recording._read
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *a, **k: opened.append(1) or whole(*a, **k))
    monkeypatch.setattr(Cadieu2014, "_read", lambda self, region: read.append(region) or one(region))
    for name in recording.stimuli().ids:
        recording.stimuli().image(name)
    recording.responses("monkeys")
    assert len(opened) == 1 and sorted(read) == sorted(Cadieu2014.spec.regions)


def test_an_archive_of_another_content_is_refused(release):
    def refused(content):
        return Cadieu2014(release("cadieu2014", {"PLoSCB2014_data_20141216.zip": content}))

    with pytest.raises(InputError, match="is no whole zip archive"):
        refused(cadieu()[:-100]).stimuli()
    with pytest.raises(InputError, match=r"holds no 'NeuralData_IT_multiunits\.mat'"):
        refused(archive({"readme.txt": b""})).stimuli()
    name = "PLoSCB2014_data_20141216/NeuralData_IT_multiunits.mat"
    with pytest.raises(InputError, match=r"NeuralData_IT_multiunits\.mat .* is not as published"):
        refused(cadieu(**{name: b"no matlab" * 30})).stimuli()
    with pytest.raises(InputError, match=r"has .* features, 1 rows about pictures"):
        refused(cadieu(**{name: mat(features=np.zeros((1, 3)), meta=np.array(["images/a.png Cars 1"]))})).stimuli()


# stringer2019 -------------------------------------------------------------------------------------------------------

MICE = [("MP027", "2016-12-14"), ("MP030", "2017-05-29"), ("MP031", "2017-06-28"), ("MP032", "2017-08-07")]
MICE += [("MP032", "2017-09-14"), ("MP033", "2017-08-20"), ("MP034", "2017-09-11")]


def mouse(number, n_cells=6, n=20):
    """Every picture but the last twice, that once, and the grey screen, number n + 1, three times."""
    rng = np.random.default_rng(number)
    istim = rng.permutation(np.concatenate([np.repeat(np.arange(1, n), 2), [n], [n + 1] * 3]))
    resp = (100 * istim[:, None] + np.arange(n_cells)).astype(np.float32)
    stim = {"resp": resp, "istim": istim[:, None].astype(np.float64), "spont": rng.random((30, n_cells))}
    return mat(stim=stim, med=rng.random((n_cells, 3)))


@pytest.fixture
def mice(release):
    imgs = np.random.default_rng(9).integers(0, 256, (68, 270, 20)).astype(np.float64)
    files = {"images_natimg2800_all.mat": mat(imgs=imgs)}
    for number, (name, date) in enumerate(MICE):
        files[f"natimg2800_M170101_{name}_{date}.mat"] = mouse(number)
    return Stringer2019(release("stringer2019", files))


def test_stringer2019_keeps_the_contract(mice):
    assert failures(mice) == []


def test_numbers_of_pictures_count_from_1_and_the_last_is_grey(mice):
    responses = mice.responses("MP032")
    assert set(responses["session"].values) == {"2017-08-07", "2017-09-14"}
    assert responses.sizes["presentation"] == 2 * (2 * 19 + 1)
    number = np.array([int(name.removeprefix("natimg")) for name in responses["stimulus_id"].values])
    assert number.max() == 20
    first = responses.values[:, 3]
    own = np.isfinite(first)
    np.testing.assert_array_equal(first[own], 100 * number[own] + 3)
    picture = mice.stimuli().image("natimg0020")
    assert picture.size == (270, 68)
    np.testing.assert_array_equal(np.asarray(picture), mice._imgs[:, :, 19])


def test_a_recording_that_breaks_its_promise_is_refused(release):
    imgs = mat(imgs=np.zeros((4, 5, 20)))

    def refused(recording, pictures=imgs):
        files = {"images_natimg2800_all.mat": pictures, "natimg2800_M1_MP027_2016-12-14.mat": recording}
        return Stringer2019(release("stringer2019", files)).responses("MP027")

    with pytest.raises(InputError, match="cannot be read as MATLAB's"):
        refused(mouse(0)[:400])
    with pytest.raises(InputError, match="shows picture 31, of 20 and a grey screen"):
        refused(mouse(0, n=30))
    with pytest.raises(InputError, match=r"'stim' of .* is not as published"):
        refused(mat(stim={"responses": np.zeros((2, 2))}))
    with pytest.raises(InputError, match="not whole numbers from 0 to 255"):
        refused(mouse(0), mat(imgs=np.full((4, 5, 20), 0.5)))


# devries2020 --------------------------------------------------------------------------------------------------------

CRES = ("Emx1-IRES-Cre", "Scnn1a-Tg3-Cre", "Cux2-CreERT2", "Rbp4-Cre_KL100", "Sst-IRES-Cre", "Ntsr1-Cre_GN220")
DEPTHS = (175, 300, 275, 375, 550, 625)
SCENES, REPEATS = 7, 4
SWEEPS = ("data", "frame_duration", "timestamps")


def observatory(number, n_cells=3, **changes):
    """One experiment: (nwb, npz); a sweep lasts 7 frames, of which each cell has events."""
    rng = np.random.default_rng(number)
    scene = rng.permutation(np.concatenate([np.repeat(np.arange(SCENES), REPEATS), [-1] * 5]))
    start = 10 + 8 * np.arange(len(scene))
    stack = np.random.default_rng(77).integers(0, 256, (SCENES, 9, 11)).astype(np.float32)
    content = {
        "stimulus/presentation/natural_scenes_stimulus/data": scene.astype(np.int32),
        "stimulus/presentation/natural_scenes_stimulus/frame_duration": np.stack([start, start + 7], axis=1),
        "stimulus/presentation/natural_scenes_stimulus/timestamps": start / 30.0,
        "stimulus/templates/natural_scenes_image_stack/data": stack,
        "general/optophysiology/imaging_plane_1/location": np.bytes_(AREAS[number % 6]),
        "general/optophysiology/imaging_plane_1/imaging depth": np.bytes_(f"{DEPTHS[number % 6]} microns"),
        "general/subject/genotype": np.bytes_(f"{CRES[number % 6]}/wt;Camk2a-tTA/wt;Ai93"),
        "general/session_type": np.bytes_("three_session_B"),
        "processing/brain_observatory_pipeline/ImageSegmentation/cell_specimen_ids": 517410000
        + 100 * number
        + np.arange(n_cells),
    } | changes
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, value in content.items():
            if value is not None:
                file[name] = value
    events = io.BytesIO()
    np.savez(events, ev=np.where(rng.random((n_cells, start[-1] + 20)) < 0.3, rng.random((n_cells, 1)), 0.0))
    return stream.getvalue(), events.getvalue()


def renamed(nwb):
    stream = io.BytesIO(nwb)
    with h5py.File(stream, "r+") as file:
        file.move("stimulus/presentation/natural_scenes_stimulus", "stimulus/presentation/natural_scenes")
    return stream.getvalue()


@pytest.fixture
def mouse_cortex(release):
    files = {}
    for number in range(7):  # VISp twice
        nwb, npz = observatory(number)
        nwb = renamed(nwb) if number == 6 else nwb  # the name may lack its ending
        files[f"ophys_experiment_data/{501704220 + number}.nwb"] = nwb
        files[f"ophys_experiment_events/{501704220 + number}_events.npz"] = npz
    other = dict.fromkeys(f"stimulus/presentation/natural_scenes_stimulus/{n}" for n in SWEEPS)
    files["ophys_experiment_data/501704299.nwb"] = observatory(8, **other)[0]  # a session of another kind
    return _found(release("devries2020", files))


def _found(root):
    """The recording with the manifest of the package: folders, not files, are listed."""
    text = 'core = []\n[[folder]]\npath = "ophys_experiment_data"\npattern = "*.nwb"\ngroup = "recordings"\n'
    text += '[[folder]]\npath = "ophys_experiment_events"\npattern = "*_events.npz"\ngroup = "events"\n'
    path = root.parents[1] / "data_manifests" / "devries2020.toml"
    path.write_text(path.read_text().split("[[file]]")[0] + text)
    _fetch.shipped.cache_clear()
    return DeVries2020(root)


def test_devries2020_keeps_the_contract(mouse_cortex):
    assert failures(mouse_cortex) == []


def test_a_response_is_the_sum_of_events_of_its_sweep(mouse_cortex):
    responses = mouse_cortex.responses("mice", regions=("VISp",))
    assert responses.shape == (SCENES * REPEATS, 6)
    assert set(responses["experiment"].values) == {"501704220", "501704226"}
    column = list(responses["neuroid_id"].values).index("501704226-517410602")
    nwb, npz = observatory(6)
    events = np.load(io.BytesIO(npz))["ev"][2]
    with h5py.File(io.BytesIO(nwb)) as file:
        scene = file["stimulus/presentation/natural_scenes_stimulus/data"][()]
        frames = file["stimulus/presentation/natural_scenes_stimulus/frame_duration"][()]
    sweep = np.flatnonzero(scene == 4)[2]  # the third time that scene 4 was shown
    row = np.flatnonzero((responses["stimulus_id"].values == "scene004") & (responses["repetition"].values == 2))
    assert responses.values[row, column] == pytest.approx(events[frames[sweep, 0] : frames[sweep, 1]].sum(), abs=1e-6)
    (block,) = blocks(responses)
    assert block.values.shape == (SCENES, REPEATS, 6)  # grey sweeps are no scene


def test_cells_have_their_line_and_layer(mouse_cortex):
    responses = mouse_cortex.responses("mice")
    of = dict(zip(responses["region"].values, zip(responses["cre_line"].values, responses["layer"].values)))
    assert of["VISl"] == ("Scnn1a-Tg3-Cre/wt", "L4")  # by its line, not by its depth of 300 micrometres
    assert [of[area][1] for area in AREAS] == ["L2/3", "L4", "L4", "L5", "L6", "L6"]


def test_experiments_that_are_not_as_published_are_refused(mouse_cortex, release):
    root = mouse_cortex.root
    events = root / "ophys_experiment_events" / "501704220_events.npz"
    right = events.read_bytes()
    events.unlink()
    with pytest.raises(AccessError, match=r"501704220_events\.npz is missing"):
        DeVries2020(root).responses("mice")
    events.write_bytes(right[:300])
    with pytest.raises(InputError, match=r"501704220_events\.npz is not as published"):
        DeVries2020(root).responses("mice")
    np.savez(events, ev=np.zeros((5, 1000)))
    with pytest.raises(InputError, match=r"has events \(5, 1000\) of 3 cells"):
        DeVries2020(root).responses("mice")
    nwb = root / "ophys_experiment_data" / "501704220.nwb"
    nwb.write_bytes(nwb.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"501704220\.nwb is truncated"):
        DeVries2020(root).responses("mice")


# freemanziemba2013 --------------------------------------------------------------------------------------------------

BINS, TRIALS, SAMPLES = 40, 3, 2


def textures(shape=(BINS, TRIALS, SAMPLES, 2, 15)):
    rng = np.random.default_rng(3)
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for area, n in (("v1", 3), ("v2", 4)):
            file[area] = rng.poisson(0.1, (n, *shape)).astype(np.uint8)
    files = {"data/FreemanZiemba2013_V1V2data.mat": stream.getvalue()}
    for number, family in enumerate(FAMILIES):
        for kind in ("noise", "tex"):
            for sample in range(SAMPLES):
                name = f"stim/{kind}-320x320-im{family}-smp{sample + 1}.png"
                files[name] = png(number, kind == "tex", sample)
    return files


def test_freemanziemba2013_keeps_the_contract(release):
    assert failures(FreemanZiemba2013(release("freemanziemba2013", textures()))) == []


def test_a_count_is_that_of_its_picture_trial_and_time(release):
    files = textures()
    responses = FreemanZiemba2013(release("freemanziemba2013", files)).responses("monkeys", regions=("V2",))
    with h5py.File(io.BytesIO(files["data/FreemanZiemba2013_V1V2data.mat"])) as file:
        stored = file["v2"][()].astype(float)
    assert responses.dims == ("presentation", "neuroid", "time")
    np.testing.assert_allclose(responses["time_s"].values, [0.005, 0.015, 0.025, 0.035])
    rows = zip(responses["stimulus_id"].values, responses["repetition"].values, responses.values)
    for name, repetition, found in rows:
        kind, family, sample = name.split("-")
        at = (int(sample[3:]) - 1, ("noise", "tex").index(kind), FAMILIES.index(int(family[2:])))
        expected = stored[(slice(None), slice(None), repetition, *at)].reshape(4, 4, 10).sum(axis=2)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("area", "n_units"), [("V1", 3), ("V2", 4)])
def test_counts_become_a_benchmarks_columns_of_time_and_families_stay_together(release, area, n_units):
    recording = FreemanZiemba2013(release("freemanziemba2013", textures((200, TRIALS, SAMPLES, 2, 15))))
    benchmark = known()[f"freemanziemba2013.{area}-ridge"]
    (target,) = targets(recording, [benchmark], load(benchmark.scorer, benchmark.params))
    assert set(target.regions) == {area} and len(target.names) == n_units * 20
    assert sum(window(benchmark, target)) == 15  # 50 to 200 ms in bins of 10 ms
    assert np.isfinite(target.ceilings["split_half"].value).any()
    for train, test in target.split.rows(target.data.stimulus_ids):
        families = [{target.data.stimulus_ids[row].split("-")[1] for row in rows} for rows in (train, test)]
        assert not families[0] & families[1]


def test_a_file_of_other_axes_is_refused(release):
    files = textures((BINS, TRIALS, SAMPLES, 15, 2))
    with pytest.raises(InputError, match="has areas of shape"):
        FreemanZiemba2013(release("freemanziemba2013", files)).responses("monkeys")
