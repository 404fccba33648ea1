"""A run holds no more than it was told to, whatever the size of the recording: peak memory of a process of its own."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brainbench.core.arrays import Block
from brainbench.models.features_file import write_features

BIG = Path(__file__).parent / "speed" / "big.py"


def peak_gb(path, max_memory):
    """What scoring 12,000 voxels adds to a process (GB), and the score."""
    command = [sys.executable, BIG, "--one", path, "600", "64", "12000", str(max_memory)]
    got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return got["peak_gb"] - got["before_gb"], got["raw"]


@pytest.mark.slow
def test_max_memory_is_kept_and_changes_no_score(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BIG.parent)
    importlib.import_module("big").made(tmp_path / "responses", 600, 64, 12_000)
    little, score = peak_gb(tmp_path / "responses", 0.1)
    much, same = peak_gb(tmp_path / "responses", 8)
    assert score == pytest.approx(same, abs=1e-6)
    assert much > 0.4  # predictions of all voxels and 1,000 replicates of each in 5 folds
    assert little < 0.1 + 0.25  # and 1,000 replicates of their mean, with what medians copy of them


LAYER = """
import resource, sys
from types import SimpleNamespace
import torch
from brainbench import extraction
from brainbench.models import features_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = features_file.load(sys.argv[1])
stimuli = SimpleNamespace(ids=table.stimulus_ids[::-1])
gram = extraction.representation(table, table.spec.layers[0], stimuli, None).gram
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
torch.save(gram, sys.argv[2])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts peak memory in kilobytes, as Linux does")
def test_a_layer_of_half_a_million_units_in_a_file_is_read_by_blocks(tmp_path):
    """120 MB of float16, far from 0: the file's own pages count, float32 copies of all (240 MB each) must not."""
    x = torch.randn(120, 500_000, generator=torch.Generator().manual_seed(0)).add(5).half()
    write_features(tmp_path / "f.safetensors", {"l": x}, [f"s{i:03d}" for i in range(120)])
    command = [sys.executable, "-c", LAYER, tmp_path / "f.safetensors", tmp_path / "gram.pt"]
    got = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(got) < 220_000
    centred = x.flip(0).double() - x.double().mean(dim=0)
    gram = torch.load(tmp_path / "gram.pt", weights_only=True)
    about = gram - gram.mean(dim=0) - gram.mean(dim=1, keepdim=True) + gram.mean()
    np.testing.assert_allclose(about, centred @ centred.T, rtol=1e-5, atol=1e-5 * float(centred[0] @ centred[0]))


def resident_mb():
    return int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0]) / 1e3


def mapped(path, mode):
    values = np.memmap(path, dtype=np.float32, mode=mode, shape=(1000, 40_000)).T[:, None]  # 160 MB
    names = tuple(f"v{i}" for i in range(1000))
    return Block(stimulus_ids=tuple(map(str, range(40_000))), neuroid_ids=names, regions=("V1",) * 1000, values=values)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_read_of_a_memory_map_is_not_held(tmp_path):
    path = tmp_path / "responses"
    np.ones(40_000_000, dtype=np.float32).tofile(path)
    block, before = mapped(path, "r"), resident_mb()
    assert all(block.mean(slice(i, i + 100)).mean() == 1 for i in range(0, 1000, 100))
    assert resident_mb() < before + 40


def test_what_was_written_into_a_memory_map_is_not_lost(tmp_path):
    """`c` maps are changed in memory alone: pages given back would come again without the change."""
    path = tmp_path / "responses"
    np.ones(40_000_000, dtype=np.float32).tofile(path)
    block = mapped(path, "c")
    block.values[:, 0, 0] = 2
    assert block.mean(slice(0, 1)).mean() == block.mean(slice(0, 1)).mean() == 2


SUBJECT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import nsd
from brainbench.core import mapped
mapped.HELD = int(sys.argv[3])
print(json.dumps(nsd.scored(Path(sys.argv[2]), 3, False)))
"""


def cut(root, held):
    """What three sessions of NSD add to a process (GB) until ceilings are there; arrays of `held` numbers may stay."""
    command = [sys.executable, "-c", SUBJECT, BIG.parent, root, str(held)]
    got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return got["cut"] - got["before"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_region_is_never_in_memory_whole(tmp_path, monkeypatch):
    """146 MB of responses, 49 a session; the tables of what was shown take .1 GB."""
    monkeypatch.syspath_prepend(BIG.parent)
    importlib.import_module("nsd").made(tmp_path, 3, 16_000)
    assert cut(tmp_path, 2**20) < 0.27 < 0.45 < cut(tmp_path, 2**40)
