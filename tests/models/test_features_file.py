"""Features from a file: joined by id, refused where anything is not as it says."""

import json

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import xarray as xr

from brainbench import models
from brainbench.errors import AlignmentError, InputError, UnknownNameError, UsageError
from brainbench.models.features_file import FeatureTable, write_features

IDS = ("s3", "s1", "s2")
FEATURES = {"blocks.2": np.arange(6.0).reshape(3, 2), "blocks.10": torch.ones(3, 4), "a_head": torch.eye(3)}


def written(tmp_path, tensors=None, metadata=None):
    path = tmp_path / "mine.safetensors"
    tensors = {"a": torch.ones(3, 2)} if tensors is None else tensors
    safetensors.torch.save_file(tensors, path, {"stimulus_ids": json.dumps(IDS)} if metadata is None else metadata)
    return path


def test_round_trip_keeps_order_depth_and_rows(tmp_path):
    path = tmp_path / "mine.safetensors"
    write_features(path, FEATURES, IDS, model="lab.net", licence="CC0")
    table = models.load(f"features:{path}")
    assert [(layer.name, round(layer.depth, 2)) for layer in table.spec.layers] == [
        ("blocks.2", 0.33),
        ("blocks.10", 0.67),
        ("a_head", 1.0),
    ]
    assert (table.spec.id, table.spec.licence) == ("features:lab.net", "CC0")
    rows = table.features("blocks.2", ["s1", "s3"])
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[2.0, 3.0], [0.0, 1.0]]


def test_identity_is_content(tmp_path):
    def digest(features, ids):
        return FeatureTable.from_arrays(features, ids, "mine").spec.weights

    one = digest({"a": np.ones((3, 2), np.float32)}, IDS)
    assert one == digest({"a": torch.ones(3, 2)}, IDS)
    assert one != digest({"a": np.full((3, 2), 1.0000001, np.float32)}, IDS)
    assert one != digest({"a": np.ones((3, 2), np.float32)}, IDS[::-1])
    assert one != digest({"b": np.ones((3, 2), np.float32)}, IDS)


def test_layers_can_be_chosen_and_names_are_helped(tmp_path):
    path = tmp_path / "mine.safetensors"
    write_features(path, FEATURES, IDS)
    assert [layer.depth for layer in models.load(f"features:{path}", layers=["a_head"]).spec.layers] == [1.0]
    with pytest.raises(UnknownNameError, match=r"blocks\.2"):
        models.load(f"features:{path}", layers=["block.2"])
    with pytest.raises(UnknownNameError, match="a_head"):
        models.load(f"features:{path}").features("ahead", IDS)
    with pytest.raises(AlignmentError, match="s9"):
        models.load(f"features:{path}").features("a_head", ["s1", "s9"])


def test_without_a_list_layers_sort_by_their_numbers(tmp_path):
    path = written(tmp_path, {f"blocks.{i}": torch.ones(3, 1) for i in range(12)})
    assert [layer.name for layer in models.load(f"features:{path}").spec.layers] == [f"blocks.{i}" for i in range(12)]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2),
        torch.ones(3),
        torch.ones(3, 2, 2),
        torch.ones(3, 0),
        torch.ones(3, 2, dtype=torch.int64),
        torch.tensor([[1.0], [float("nan")], [0.0]]),
        torch.tensor([[1.0], [float("inf")], [0.0]]),
        torch.full((3, 1), 1e300, dtype=torch.float64),
    ],
)
def test_bad_tensors_are_refused_by_name(tmp_path, tensor):
    with pytest.raises(InputError, match=r"'conv1'.*mine"):
        models.load(f"features:{written(tmp_path, {'conv1': tensor})}")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"stimulus_ids": "s1,s2,s3"},
        {"stimulus_ids": "[1, 2, 3]"},
        {"stimulus_ids": '["s1", "s2", null]'},
        {"stimulus_ids": '{"s1": 0}'},
        {"stimulus_ids": '["s1", "s2", "s1"]'},
        {"stimulus_ids": "[]"},
        {"stimulus_ids": "[" * 100_000},
        {"stimulus_ids": '["s1", "s2", "s3"]', "layers": '["b"]'},
    ],
)
def test_bad_metadata_is_refused(tmp_path, metadata):
    with pytest.raises(InputError, match="mine"):
        models.load(f"features:{written(tmp_path, metadata=metadata)}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (20).to_bytes(8, "little") + b"{not json at all....",
    ],
)
def test_files_that_are_not_safetensors_are_refused(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="mine"):
        models.load(f"features:{path}")


def test_many_repeated_ids_are_named_at_once(tmp_path):
    ids = [f"s{number // 2}" for number in range(50_000)]
    with pytest.raises(InputError, match=r"holds names more than once: '?s0"):
        write_features(tmp_path / "mine.safetensors", {"a": np.ones((50_000, 1))}, ids)


def test_headers_that_lie_are_refused(tmp_path):
    path = written(tmp_path, {"a": torch.ones(3, 2), "b": torch.ones(3, 2)})
    content = path.read_bytes()
    for old, new in ((b"[24,48]", b"[0, 24]"), (b"[24,48]", b"[24,99]"), (b"[3,2]", b"[3,9]")):
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        with pytest.raises(InputError, match="not a whole safetensors file"):
            models.load(f"features:{path}")
    path.write_bytes(content[:-4])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        models.load(f"features:{path}")


def test_nothing_that_load_would_refuse_is_written(tmp_path):
    path = tmp_path / "mine.safetensors"
    with pytest.raises(InputError, match="NaN"):
        write_features(path, {"a": np.full((3, 1), np.nan)}, IDS)
    with pytest.raises(InputError, match="strings"):
        write_features(path, {"a": np.ones((3, 1))}, [1, 2, 3])
    with pytest.raises(InputError, match="strings"):
        write_features(path, {"a": np.ones((3, 1))}, np.arange(3))
    with pytest.raises(UsageError, match="license"):
        write_features(path, {"a": np.ones((3, 1))}, IDS, license="MIT")
    assert not path.exists()
    with pytest.raises(InputError, match="cannot be read"):
        models.load(f"features:{path}")


def test_layers_are_chosen_without_a_pooling():
    with pytest.raises(UsageError, match="pooling"):
        FeatureTable.from_arrays(FEATURES, IDS, "mine", layers={"a_head": "mean"})


LABELLED = {
    "a table": lambda x, ids: pd.DataFrame(x, index=ids),
    "a column": lambda x, ids: xr.DataArray(x, dims=("stimulus_id", "unit"), coords={"stimulus_id": ids}),
    "a coordinate": lambda x, ids: xr.DataArray(x, dims=("row", "unit"), coords={"stimulus_id": ("row", ids)}),
}


@pytest.mark.parametrize("labelled", LABELLED.values(), ids=list(LABELLED))
def test_rows_that_are_labelled_otherwise_are_refused(labelled):
    x = np.arange(6.0).reshape(3, 2)
    table = FeatureTable.from_arrays({"a": labelled(x, list(IDS))}, IDS, "mine")
    assert table.features("a", IDS).tolist() == x.tolist()
    with pytest.raises(InputError, match=r"row of layer 'a' is labelled 's2'.* stimulus_ids holds 's3'"):
        FeatureTable.from_arrays({"a": labelled(x, list(IDS[::-1]))}, IDS, "mine")


def test_rows_without_names_go_by_their_order():
    x = np.arange(6.0).reshape(3, 2)
    for unnamed in (pd.DataFrame(x), pd.DataFrame(x, index=[7, 3, 5]), xr.DataArray(x)):
        assert FeatureTable.from_arrays({"a": unnamed}, IDS, "mine").features("a", IDS).tolist() == x.tolist()


def test_masked_values_are_refused():
    x = np.ma.masked_array(np.ones((3, 2)), mask=np.zeros((3, 2)))
    assert FeatureTable.from_arrays({"a": x}, IDS, "mine").features("a", IDS).tolist() == [[1.0, 1.0]] * 3
    x[1, 0] = np.ma.masked
    with pytest.raises(InputError, match="layer 'a' has 1 masked value"):
        FeatureTable.from_arrays({"a": x}, IDS, "mine")


def test_layers_are_chosen_once_each():
    def chosen(layers):
        return [layer.name for layer in FeatureTable.from_arrays(FEATURES, IDS, "mine", layers=layers).spec.layers]

    assert chosen(name for name in ["a_head", "blocks.2"]) == ["a_head", "blocks.2"]
    for wrong in (["a_head", "a_head"], []):
        with pytest.raises(UsageError, match="each once"):
            chosen(wrong)
