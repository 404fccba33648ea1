"""A folder with a `dataset.toml`: what is read out of it, what is made of it, and what is said where it is wrong."""

import json
import logging
import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

import brainbench as bb
from brainbench import benchmarks, datasets
from brainbench.cli import app
from brainbench.core import mapped
from brainbench.errors import AccessError, BrainbenchError, InputError, UnknownNameError, UsageError

IDS = ["001", "002", "010", "011", "012", "013"]
HEAD = """id = "mylab2026"
title = "Two subjects"
citation = "Doe (2026)"
licence = "CC0-1.0"
species = "none"
modality = "single units"
"""
SUBJECTS = """[subjects.ana]
responses = "ana.npy"
presentations = "shown.csv"
neuroids = "ana_units.csv"
[subjects.bo]
responses = "bo.npy"
presentations = "shown.csv"
neuroids = "bo_units.csv"
"""
SHOWN = "stimulus_id,session,repetition\n" + "".join(
    f"{name},{session},{repetition}\n" for session in ("mon", "tue") for repetition in (1, 2) for name in IDS
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A good folder; where recordings are looked for is its parent, by nothing but what a test says."""
    for name in ("BRAINBENCH_DATA", "BRAINBENCH_DATA_MYLAB2026"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "recordings" / "mylab2026"
    (root / "stimuli").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in IDS:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / "stimuli" / f"{name}.png")
    rows = "".join(f"{name},stimuli/{name}.png,{'odd' if int(name) % 2 else ''}\n" for name in IDS)
    (root / "stimuli.csv").write_text("stimulus_id,file,category\n" + rows)
    (root / "shown.csv").write_text(SHOWN)
    (root / "ana_units.csv").write_text("neuroid_id,region,x,y,z\n1,V4,0,0,0.5\n2,IT,0,1,0\n3,V4,1,0,0\n")
    (root / "bo_units.csv").write_text("\ufeffneuroid_id,region\n01,V4\n02,V4\n", encoding="utf-8")
    np.save(root / "ana.npy", rng.normal(size=(24, 3)).astype(np.float32))
    np.save(root / "bo.npy", rng.normal(size=(24, 2)))
    (root / "dataset.toml").write_text(HEAD + SUBJECTS)
    yield root
    datasets.look_in({})


def load(root):
    return datasets.load("mylab2026", {"": root.parent})


def everything(root):
    """All that a score asks of a folder."""
    dataset = load(root)
    pictures = [dataset.stimuli().image(name) for name in dataset.stimuli().ids]
    answers = [dataset.responses(subject) for subject in dataset.spec.subjects]
    return pictures, answers, benchmarks.select(("mylab2026.*",)), datasets.content("mylab2026")


def test_what_is_large_lies_in_a_file_while_it_is_scored(root, monkeypatch):
    """Be it some of an array, or an array of other numbers than float32; one that is taken as it is stays a map."""
    asked = (("ana", {}), ("ana", {"regions": ("V4",), "sessions": ("tue",)}), ("bo", {}))
    here = [load(root).responses(subject, **some) for subject, some in asked]
    monkeypatch.setattr(mapped, "HELD", 0)
    monkeypatch.setattr(mapped, "AT_A_TIME", 10)
    there = [load(root).responses(subject, **some) for subject, some in asked]
    assert all(one.identical(other) for one, other in zip(here, there))
    assert [array.values.flags.c_contiguous for array in there] == [True, False, False]  # in files neuroids come first


def test_rows_and_columns_are_those_of_the_tables(root):
    dataset = load(root)
    stored = np.load(root / "ana.npy")
    whole = dataset.responses("ana")
    assert whole.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(whole.values, stored)
    assert list(whole["stimulus_id"].values) == IDS * 4  # leading zeros and all
    assert list(whole["neuroid_id"].values) == ["1", "2", "3"]
    assert list(whole["z"].values) == [0.5, 0, 0]
    part = dataset.responses("ana", regions=("V4",), sessions=("tue",))
    np.testing.assert_array_equal(part.values, stored[12:][:, [0, 2]])
    assert set(part["repetition"].values) == {1, 2}
    assert dataset.responses("bo").values.dtype == np.float32
    assert dataset.spec.subjects == ("ana", "bo")
    assert dataset.spec.regions == ("V4", "IT")
    assert list(dataset.stimuli().table["category"]) == ["odd", None, None, "odd", None, "odd"]
    with pytest.raises(UnknownNameError, match=r"region of bo in mylab2026 'IT'"):
        dataset.responses("bo", regions=("IT",))


def test_a_whole_npy_stays_on_disk(root):
    values = load(root).responses("ana").values
    while isinstance(values.base, np.ndarray):
        values = values.base
    assert isinstance(values, np.memmap)


def test_repetitions_are_counted_within_sessions_where_no_column_says_them(root):
    (root / "shown.csv").write_text("session,stimulus_id\n" + "mon,001\nmon,001\ntue,001\n" + "tue,002\n" * 21)
    assert list(load(root).responses("ana")["repetition"].values) == [0, 1, 0, *range(21)]


def test_an_array_that_says_it_is_huge_is_refused_unread(root):
    (root / "ana.npy").unlink()
    with h5py.File(root / "ana.h5", "w") as file:
        file.create_dataset("responses", shape=(10**6, 10**5), dtype="f4", chunks=(1000, 1000))
    (root / "dataset.toml").write_text((root / "dataset.toml").read_text().replace("ana.npy", "ana.h5"))
    with pytest.raises(InputError, match=r"has shape \(1000000, 100000\)"):
        load(root).responses("ana")


def test_a_pipe_is_not_waited_for(root):
    (root / "ana.npy").unlink()
    os.mkfifo(root / "ana.npy")
    with pytest.raises(InputError, match="no file but a folder, pipe or device"):
        load(root).responses("ana")


def test_a_picture_that_would_start_another_program_is_none(root):
    picture = next((root / "stimuli").iterdir())
    picture.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(InputError, match="is no picture"):
        everything(root)


@pytest.mark.parametrize("ending", ["h5", "safetensors", "npy"])
def test_every_format_holds_the_same_numbers(root, ending):
    stored = np.load(root / "ana.npy")
    (root / "ana.npy").unlink()
    path = root / f"ana.{ending}"
    if ending == "h5":
        with h5py.File(path, "w") as file:
            file["group/responses"], file["other"] = stored, stored + 1
    elif ending == "safetensors":
        save_file({"group/responses": stored, "other": stored + 1}, path)
    else:
        np.save(path, stored.astype(">f8"))
    array = "" if ending == "npy" else '\narray = "group/responses"'
    (root / "dataset.toml").write_text(HEAD + SUBJECTS.replace('"ana.npy"', f'"{path.name}"{array}'))
    np.testing.assert_array_equal(load(root).responses("ana").values, stored)


def test_a_third_axis_is_time(root):
    np.save(root / "ana.npy", np.zeros((24, 3, 2), np.float32))
    np.save(root / "bo.npy", np.ones((24, 2, 2), np.float32))
    (root / "dataset.toml").write_text(HEAD + "time_s = [0.1, 0.2]\n" + SUBJECTS)
    assert list(load(root).responses("bo", regions=("V4",))["time_s"].values) == [0.1, 0.2]


def test_with_time_the_benchmarks_that_are_made_score_all_bins_after_onset(root, tmp_path):
    rng = np.random.default_rng(0)
    np.save(root / "ana.npy", rng.normal(size=(24, 3, 3)))
    np.save(root / "bo.npy", rng.normal(size=(24, 2, 3)))
    (root / "dataset.toml").write_text(HEAD + "time_s = [-0.1, 0.1, 0.2]\n" + SUBJECTS)
    features = {"layer": rng.normal(size=(6, 4)).astype(np.float32)}
    run = bb.score(features, "mylab2026.V4-rsa", stimulus_ids=IDS, data_root=root.parent, cache=tmp_path / "cache")
    assert {b.id: b.window_s for b in benchmarks.select(("mylab2026.*",))} == {
        f"mylab2026.{name}": (0.0, 0.2) for name in ("IT-ridge", "V4-ridge", "V4-rsa")
    }
    assert run.entries[0].status == "ok" and run.entries[0].time_course is not None


def test_without_benchmarks_every_region_has_ridge_and_rsa(root):
    datasets.look_in({"": root.parent})
    made = {b.id: b for b in benchmarks.select(("mylab2026.*",))}
    facts = {name.removeprefix("mylab2026."): (b.subjects, b.ceiling) for name, b in made.items()}
    assert facts == {
        "IT-ridge": (("ana",), "split_half"),  # one neuroid has no geometry
        "V4-ridge": (("ana", "bo"), "split_half"),
        "V4-rsa": (("ana", "bo"), "leave_one_subject_out"),
    }


def test_penalties_are_chosen_by_whole_groups_where_there_are_some(root):
    for column, selects in (("stratum", "gcv"), ("group", "kfold")):
        table = (root / "stimuli.csv").read_text()
        (root / "stimuli.csv").write_text(table.replace("category", column))
        datasets.look_in({"": root.parent})
        made = benchmarks.select(("mylab2026.V4-ridge",))
        assert made[0].params == {"select": selects}
        (root / "stimuli.csv").write_text(table)


def test_without_repetitions_or_common_stimuli_there_are_no_such_ceilings(root):
    (root / "shown.csv").write_text("stimulus_id\n" + "\n".join(f"s{n}" for n in range(24)))
    (root / "bo_shown.csv").write_text("stimulus_id\n" + "\n".join(f"s{n}" for n in range(24, 48)))
    (root / "stimuli.csv").write_text("stimulus_id\n" + "\n".join(f"s{n}" for n in range(48)))
    (root / "dataset.toml").write_text(HEAD + SUBJECTS.replace("shown", "bo_shown").replace("bo_shown", "shown", 1))
    datasets.look_in({"": root.parent})
    made = {b.id.removeprefix("mylab2026."): b for b in benchmarks.select(("mylab2026.*",))}
    assert {name: (b.subjects, b.ceiling) for name, b in made.items()} == {
        "IT-ridge": (("ana",), "none"),
        "V4-ridge": (("ana", "bo"), "none"),
        "V4-rsa-1": (("ana",), "none"),
        "V4-rsa-2": (("bo",), "none"),
    }
    assert not any(b.baselines for b in made.values())  # nobody can see the pictures
    with pytest.raises(InputError, match="released without the picture"):
        load(root).stimuli().image("s1")


def test_own_benchmarks_take_the_place_of_the_defaults(root):
    own = '[[benchmark]]\nid = "mylab2026.x"\nversion = 2\ntitle = "t"\nregion = "IT"\nscorer = "ridge"\n'
    (root / "dataset.toml").write_text(HEAD + SUBJECTS + own + 'split = { n_folds = 3 }\nceiling = "none"\n')
    datasets.look_in({"": root.parent})
    (made,) = benchmarks.select(("mylab2026.*",))
    assert (made.id, made.dataset, made.split.n_folds) == ("mylab2026.x", "mylab2026", 3)


def test_content_is_that_of_all_files_wherever_they_lie(root, tmp_path):
    def content(at):
        datasets.look_in({"mylab2026": at})
        return datasets.content("mylab2026")

    first = content(root)
    assert content(shutil.copytree(root, tmp_path / "elsewhere")) == first
    toml = (root / "dataset.toml").read_text()
    (root / "dataset.toml").write_text(toml.replace("Two subjects", "2 subjects"))
    assert content(root) == first
    seen = {first}
    for path in ("ana.npy", "stimuli/010.png", "shown.csv", "bo_units.csv", "stimuli.csv"):
        before = (root / path).read_bytes()
        (root / path).write_bytes(before + b"\n")
        seen.add(content(root))
        (root / path).write_bytes(before)
    (root / "dataset.toml").write_text("size_deg = 8\n" + toml)
    seen.add(content(root))
    assert len(seen) == 7


@pytest.mark.parametrize("how", ["--data-root", "ID=PATH", "BRAINBENCH_DATA", "BRAINBENCH_DATA_MYLAB2026"])
def test_the_commands_know_the_folder_however_it_is_named(root, monkeypatch, how):
    options = []
    if how in ("--data-root", "ID=PATH"):
        options = ["--data-root", str(root.parent) if how == "--data-root" else f"mylab2026={root}"]
    else:
        monkeypatch.setenv(how, str(root.parent if how == "BRAINBENCH_DATA" else root))

    def said(*words):
        done = CliRunner().invoke(app, [*words, *options])
        assert done.exit_code == 0, done.output
        return done.stdout

    rows = {row["benchmark"]: row for row in json.loads(said("list", "benchmarks", "--json"))}
    assert rows["mylab2026.V4-ridge"]["here"]
    if how != "--data-root":
        return
    assert "mylab2026" in {row["dataset"] for row in json.loads(said("list", "datasets", "--json"))}
    (row,) = (row for row in json.loads(said("data", "list", "--json")) if row["dataset"] == "mylab2026")
    assert (row["state"], row["parts"]) == ("present", "4 of 4")
    assert str(root) in said("data", "locate", "mylab2026")
    assert "13 unpinned" in said("data", "verify", "mylab2026")


def test_a_folder_of_another_call_is_forgotten(root):
    load(root)
    assert isinstance(CliRunner().invoke(app, ["data", "locate", "mylab2026"]).exception, UnknownNameError)


def test_a_broken_folder_is_in_nobodys_way_and_says_what_is_wrong_when_asked_for(root, caplog):
    (root / "dataset.toml").write_text(HEAD.replace("licence", "licnce") + SUBJECTS)
    datasets.look_in({"": root.parent})
    with caplog.at_level(logging.WARNING):
        assert benchmarks.select(("insilico.V1-ridge",))
        assert "mylab2026" not in list(datasets.DATASETS)
    assert caplog.text.count("dataset mylab2026 is left out") == 1
    with pytest.raises(InputError, match=r"unknown key 'licnce'\. Did you mean 'licence'"):
        benchmarks.select(("mylab2026.*",))


def test_the_name_of_a_dataset_that_there_is_already_is_refused(root, caplog):
    shutil.copytree(root, root.parent / "cowley2023")
    datasets.look_in({"": root.parent})
    with pytest.raises(UsageError, match=r"cowley2023/dataset\.toml declares .* give its folder, and the id"):
        datasets.load("cowley2023")
    with caplog.at_level(logging.WARNING):
        assert benchmarks.select(("insilico.V1-rsa", "mylab2026.*"))  # what has nothing to do with it goes on
    assert "dataset cowley2023 is left out" in caplog.text


def test_a_parameter_that_the_scorer_does_not_take_is_in_nobodys_way(root, caplog):
    own = '[[benchmark]]\nid = "mylab2026.x"\nversion = 2\ntitle = "t"\nregion = "IT"\nscorer = "ridge"\n'
    own += 'params = { selct = "gcv" }\nsplit = { n_folds = 3 }\nceiling = "none"\n'
    (root / "dataset.toml").write_text(HEAD + SUBJECTS + own)
    datasets.look_in({"": root.parent})
    with caplog.at_level(logging.WARNING):
        assert benchmarks.select(("insilico.V1-ridge",))
    assert "benchmarks of mylab2026 are left out" in caplog.text
    with pytest.raises(InputError, match=r"'mylab2026\.x': scorer 'ridge' does not take these parameters: \{'selct'"):
        benchmarks.select(("mylab2026.*",))


def test_a_folder_with_the_name_of_another_id_is_not_opened(root):
    toml("mylab2026", "mylab")(root)
    with pytest.raises(InputError, match="its id is 'mylab', but it is looked for as 'mylab2026': give the folder"):
        load(root)


def test_a_name_that_is_near_a_folders_is_told(root):
    with pytest.raises(UnknownNameError, match=r"'mylab2062'\. Did you mean 'mylab2026'"):
        datasets.load("mylab2062", {"": root.parent})


def toml(old, new):
    def change(root):
        text = (root / "dataset.toml").read_text()
        assert old in text
        (root / "dataset.toml").write_text(text.replace(old, new, 1))

    return change


def table(path, old, new):
    def change(root):
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return change


def array(values):
    return lambda root: np.save(root / "ana.npy", values)


def content(path, data):
    return lambda root: (root / path).write_bytes(data)


def linked_out(root):
    outside = root.parent / "outside.npy"
    (root / "ana.npy").rename(outside)
    (root / "ana.npy").symlink_to(outside)


def in_h5(make):
    def change(root):
        toml("ana.npy", "ana.h5")(root)
        with h5py.File(root.parent / "outside.h5", "w") as file:
            file["responses"] = np.zeros((24, 3))
        with h5py.File(root / "ana.h5", "w") as file:
            make(file, root)

    return change


def virtual(file, root):
    layout = h5py.VirtualLayout((24, 3), "f8")
    layout[:] = h5py.VirtualSource(root.parent / "outside.h5", "responses", (24, 3))
    file.create_virtual_dataset("responses", layout)


def external(file, root):
    (root.parent / "raw").write_bytes(bytes(24 * 3 * 8))
    file.create_dataset("responses", (24, 3), "f8", external=[(str(root.parent / "raw"), 0, 24 * 3 * 8)])


def cut(path, at):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:at])


def external_link(file, root):
    file["responses"] = h5py.ExternalLink(root.parent / "outside.h5", "responses")


def two(file, root):
    file["a"], file["b"] = 1, 2


class Canary:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


WRONG = {
    "no TOML": (toml('id = "', "id = '"), r"dataset\.toml is not TOML"),
    "misspelt key of a subject": (
        toml("neuroids", "neuroid"),
        r"'neuroid' of \[subjects.ana\]. Did you mean 'neuroids'",
    ),
    "missing key": (toml('species = "none"\n', ""), r"the key 'species' is missing"),
    "wrong type": (toml('"none"', "3"), r"'species' is 3: Input should be a valid string"),
    "another id": (toml("mylab2026", "mylab"), r"its id is 'mylab', but it is looked for as 'mylab2026'"),
    "id that is a path": (toml("mylab2026", "../mylab"), r"'id' is '../mylab'.*pattern"),
    "unknown ending": (toml("ana.npy", "ana.mat"), r"'ana.mat'; a file that can be read ends with .npy"),
    "a time that is none": (toml("[subjects.ana]", "time_s = [0.1, nan]\n[subjects.ana]"), r"time_s"),
    "no times": (toml("[subjects.ana]", "time_s = []\n[subjects.ana]"), r"time_s"),
    "endless pictures": (toml("[subjects.ana]", "size_deg = inf\n[subjects.ana]"), r"size_deg"),
    "falling times": (toml("[subjects.ana]", "time_s = [2, 1]\n[subjects.ana]"), r"time_s must rise"),
    "benchmark of another": (toml("[sub", '[[benchmark]]\nid = "cowley2023.x"\n[sub'), r"begins with 'mylab2026\.'"),
    "misspelt benchmark": (
        toml("[sub", '[[benchmark]]\nid = "mylab2026.x"\nregoin = ""\n[sub'),
        r"benchmark 'mylab2026.x'(.|\n)*unknown key 'regoin'\. Did you mean 'region'",
    ),
    "benchmark without a key": (
        toml("[sub", '[[benchmark]]\nid = "mylab2026.x"\nsplit = { folds = 3 }\n[sub'),
        r"'mylab2026\.x':\n  the key 'version' is missing\n(.|\n)*'folds' of \[split\]\. Did you mean 'n_folds'",
    ),
    "path out": (toml("ana.npy", "../outside.npy"), r"names the file '\.\./outside\.npy'.*without \.\."),
    "absolute path": (toml("ana.npy", "/etc/x.npy"), r"names the file '/etc/x\.npy'"),
    "picture out": (table("stimuli.csv", "stimuli/002.png", "../../x.png"), r"'\.\./\.\./x\.png'"),
    "link out": (linked_out, r"ana\.npy is a link out of the folder, to .*outside\.npy"),
    "absent array": (
        lambda root: (root / "bo.npy").unlink(),
        r"lacks 1 of 13 files, such as bo\.npy(.|\n)*Put them there, or correct what",
    ),
    "absent picture": (lambda root: (root / "stimuli/010.png").unlink(), r"lacks 1 of 13 files, such as stimuli/010"),
    "absent table": (
        lambda root: (root / "bo_units.csv").unlink(),
        r"lacks 1 of 13 files, such as bo_units\.csv",
    ),
    "stimulus not in the table": (table("stimuli.csv", "002,", "003,"), r"stimuli\.csv lacks 1 stimuli .*'002'.*a row"),
    "numbers for text": (table("shown.csv", "001,mon,1", "1,mon,1"), r"'1' there may be '001' here: ids are text"),
    "stimulus twice": (table("stimuli.csv", "002,", "001,"), r"holds 1 of stimulus_id more than once: '001'"),
    "neuroid twice": (table("bo_units.csv", "02,", "01,"), r"bo_units\.csv holds 1 of neuroid_id more than once"),
    "presentation twice": (
        table("shown.csv", "002,mon,1", "001,mon,1"),
        r"'001', session 'mon', repetition 1\. Number",
    ),
    "odd repetition": (table("shown.csv", "002,mon,1", "002,mon,1.0"), r"line 3: repetition is '1\.0'; it is a number"),
    "misspelt column": (table("shown.csv", "repetition", "repitition"), r"a column 'repitition'; is it 'repetition'"),
    "semicolons": (table("stimuli.csv", "_id,file,category", "_id;file"), r"separated by ';': .*commas"),
    "tabs": (table("ana_units.csv", "neuroid_id,region,x,y,z", "neuroid_id\tregion"), r"separated by tabs: .*commas"),
    "no such column": (table("ana_units.csv", "region", "where"), r"no column 'region'; it has neuroid_id, where"),
    "empty cell": (table("ana_units.csv", "2,IT", "2,"), r"line 3: region is empty"),
    "text for nothing": (table("stimuli.csv", "png,\n", "png,nan\n"), r"line 3: category is the text 'nan'"),
    "ragged row": (table("shown.csv", "002,mon,1", "002,mon"), r"line 3: 2 values for 3 columns"),
    "no number": (table("ana_units.csv", "0,0,0.5", "0,0,half"), r"line 2: z is 'half', which is no number"),
    "no rows": (content("shown.csv", b"stimulus_id\n"), r"has no row below its header"),
    "not UTF-8": (content("shown.csv", "stimulus_id\né\n".encode("latin-1")), r"no CSV in UTF-8"),
    "transposed": (array(np.zeros((3, 24))), r"shape \(3, 24\); .* 24 presentations x 3 neuroids: presentations come"),
    "a row too few": (array(np.zeros((23, 3))), r"shape \(23, 3\); shown\.csv, ana_units\.csv say 24 presentations"),
    "time unsaid": (array(np.zeros((24, 3, 2))), r"a third axis is time: say time_s"),
    "no numbers": (array(np.zeros((24, 3), bool)), r"has shape \(24, 3\) of bool; expected some axes of numbers"),
    "pickle": (array(np.array([[Canary()]], dtype=object)), r"no array of numbers: .*Python objects"),
    "bare pickle": (content("ana.npy", pickle.dumps([1])), r"truncated or no array of numbers"),
    "truncated": (cut("ana.npy", -9), r"ana\.npy is truncated"),
    "pointer": (content("ana.npy", b"version https://git-lfs.github.com/spec/v1\n"), r"a git-LFS pointer"),
    "broken picture": (cut("stimuli/002.png", 60), r"002\.png, the picture of stimulus '002', is a broken"),
    "no picture": (content("stimuli/002.png", b"text"), r"002\.png, the picture of stimulus '002', is no picture"),
    "empty picture": (content("stimuli/002.png", b""), r"002\.png is truncated: .* found 0 bytes"),
    "external link": (in_h5(external_link), r"links are not followed"),
    "external storage": (in_h5(external), r"'responses' in .* is stored in other files"),
    "virtual": (in_h5(virtual), r"'responses' in .* is stored in other files"),
    "two arrays": (in_h5(two), r"holds 2 arrays \(a, b\): say which"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_what_to_do(root, case):
    change, says = WRONG[case]
    everything(root)  # it was good before
    change(root)
    with pytest.raises(BrainbenchError, match=says) as error:
        everything(root)
    assert isinstance(error.value, InputError | AccessError)
    assert "pydantic" not in str(error.value)
    assert str(root) in str(error.value) or "mylab2026" in str(error.value)
