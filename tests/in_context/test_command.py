"""`brainbench train in-context` as a process: killed and taken up again, it ends with the same tensors."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from brainbench import datasets
from brainbench.datasets import content
from brainbench.errors import InputError, UsageError
from brainbench.in_context.checkpoint import load
from brainbench.training import Order, _plan, sources

NET = """
import torch
from torch import nn

def net():
    from brainbench.core.specs import Preprocessing
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU()), Preprocessing(resize_px=32, crop_px=32)
"""
SCRIPT = "from brainbench import cli, training; training.EVERY = 5; cli.main()"  # a state every 5 steps


def command(name):
    given = {
        "--dataset": "insilico", "--subjects": "s1", "--model": "module:net:net", "--layer": "1:grid4",
        "--preset": "tiny", "--components": "16", "--steps": "12,4,12", "--device": "cpu", "--out": name,
    }  # fmt: skip
    return [sys.executable, "-c", SCRIPT, "train", "in-context", *(word for pair in given.items() for word in pair)]


@pytest.mark.slow
def test_a_training_killed_without_warning_ends_with_the_tensors_of_one_that_was_not(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    environment = os.environ | {"BRAINBENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    how = {"cwd": tmp_path, "env": environment, "text": True}
    subprocess.run(command("whole.safetensors"), check=True, capture_output=True, **how)
    state = tmp_path / "killed.state"
    with subprocess.Popen(command("killed.safetensors"), stderr=subprocess.PIPE, **how) as first:
        deadline = time.monotonic() + 120
        while not state.is_file() and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        first.kill()
        first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL and state.is_file()
    assert not (tmp_path / "killed.safetensors").exists()
    second = subprocess.run(command("killed.safetensors"), check=True, capture_output=True, **how)
    assert "step 5/28" not in second.stderr and "step 28/28 real" in second.stderr  # it went on, not anew
    assert not state.exists() and not list(tmp_path.glob("*.part"))
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]) and tensor.isfinite().all(), name
    card = load(str(tmp_path / "killed.safetensors")).card
    assert card["seen"]["subjects"] == ["s1"] and set(card["held_out_ev"]) == {"20", "50", "100"}
    assert not set(card["held_out_neuroids"]) & set(card["seen"]["neuroids"]) and card["held_out_draws"] == 2
    assert card["dataset_content"] == content("insilico") and len(card["network"]["weights"]) == 64


def test_contexts_leave_queries_in_a_small_recording_and_too_small_ones_are_refused():
    order = Order(dataset="insilico", subjects=("s1",), model="", layer="")
    assert [stage.context for stage in _plan(order, 4500, 640).stages] == [(8, 200), (8, 400), (8, 400)]
    assert [stage.context for stage in _plan(order, 400, 200).stages] == [(8, 200), (8, 336), (8, 136)]
    with pytest.raises(InputError, match="100 training stimuli"):
        _plan(order, 4500, 100)


def test_a_recording_without_neuroids_teaches_nothing(monkeypatch):
    spec = datasets.DATASETS["kriegeskorte2008"].spec
    monkeypatch.setattr(datasets, "load", lambda *a: SimpleNamespace(spec=spec))
    order = Order(dataset="kriegeskorte2008", subjects=("BE",), model="baseline:pixels", layer="a:grid14")
    with pytest.raises(UsageError, match="kriegeskorte2008 is of rdms: an encoder learns from neuroids"):
        sources(order, SimpleNamespace(roots={}))
