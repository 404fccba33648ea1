"""An entry's file holds what the schema says, in its types, or is refused by name."""

import json

import pytest

from brainbench import entry as entries
from brainbench.entry import Entry, read
from brainbench.errors import InputError

ENTRY = Entry(
    benchmark="x.V1-ridge",
    benchmark_fingerprint="b",
    synthetic=True,
    model="m",
    model_fingerprint="f",
    status="ok",
    scorer="ridge 1",
    scale="r",
    raw=0.5,
    n_stimuli=4,
    replicates=[0.5],
)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("raw", "0.5", "raw: Input should be a valid number"),
        ("replicates", ["0.5"], "replicates.0: Input should be a valid number"),
        ("n_stimuli", 4.0, "n_stimuli: Input should be a valid integer"),
        ("synthetic", "yes", "synthetic: Input should be a valid boolean"),
        ("model", 3, "model: Input should be a valid string"),
        ("status", "fine", "status: Input should be 'ok'"),
        ("colour", "red", "colour: Extra inputs are not permitted"),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_converted(tmp_path, field, value, says):
    path = tmp_path / "entry.json"
    path.write_text(json.dumps(ENTRY.as_json()))
    assert read(path) == [ENTRY]
    path.write_text(json.dumps(ENTRY.as_json() | {field: value}))
    with pytest.raises(InputError, match=rf"entry.json is not an entry: 0\.{says}"):
        read(path)


def test_an_entry_from_before_layers_had_their_geometry_still_reads(tmp_path):
    layer = {"layer": "a", "pooling": "flatten", "depth": 1.0, "train": 0.1, "raw": 0.2}
    path = tmp_path / "entry.json"
    path.write_text(json.dumps(ENTRY.as_json() | {"layers": [layer]}))
    (old,) = read(path)
    assert old.layers[0].geometry == {}
    path.write_text(json.dumps(ENTRY.as_json() | {"layers": [layer | {"geometry": {"n_units": 8.0, "alpha": None}}]}))
    assert read(path)[0].layers[0].geometry == {"n_units": 8.0, "alpha": None}


def test_an_entry_from_before_there_was_time_still_reads(tmp_path):
    path = tmp_path / "entry.json"
    old = ENTRY.as_json()
    del old["time_course"]
    path.write_text(json.dumps(old))
    assert read(path) == [ENTRY] and ENTRY.time_course is None


def test_earlier_versions_are_read_forward_step_by_step_and_later_ones_refused(tmp_path, monkeypatch):
    path = tmp_path / "entry.json"
    old = {("score" if name == "raw" else name): value for name, value in ENTRY.as_json().items()}
    steps = {
        -1: lambda entry: {("value" if name == "score" else name): value for name, value in entry.items()},
        0: lambda entry: {("raw" if name == "value" else name): value for name, value in entry.items()},
    }
    path.write_text(json.dumps(old | {"schema_version": -1}))
    with pytest.raises(InputError, match="schema_version"):
        read(path)
    monkeypatch.setattr(entries, "MIGRATIONS", steps)
    assert read(path) == [ENTRY]
    path.write_text(json.dumps(ENTRY.as_json() | {"schema_version": 7}))
    with pytest.raises(InputError, match="is of schema version 7, this brainbench reads up to 1: update it"):
        read(path)


@pytest.mark.parametrize(
    ("model", "folder"),
    [("timm:a/b@untrained", "timm_a_b@untrained-f"), ("../../x", "__.._x-f"), ("x" * 300, "x" * 100 + "-f")],
)
def test_a_file_lies_in_one_folder_whatever_the_model_is_called(model, folder):
    assert ENTRY.model_copy(update={"model": model}).path.parts == (folder, "x.V1-ridge.json")


def test_entries_are_found_through_links_once_and_without_end(tmp_path):
    there = tmp_path / "there" / "m"
    there.mkdir(parents=True)
    (there / "entry.json").write_text(json.dumps(ENTRY.as_json()))
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "linked").symlink_to(tmp_path / "there")
    (runs / "twice").symlink_to(tmp_path / "there")
    (there / "back").symlink_to(runs)
    assert entries.files(runs) == [runs / "linked" / "m" / "entry.json"]
