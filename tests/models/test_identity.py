"""Networks that answer differently are told apart whatever makes the difference, and one network is always the same."""

from __future__ import annotations

import copy
import functools
import hashlib
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from brainbench import models
from brainbench.core.specs import Preprocessing
from brainbench.core.stimuli import StimulusSet
from brainbench.extraction import extract, representation
from brainbench.models._identity import code_sha256
from brainbench.store import Store

SEE = Preprocessing(resize_px=8, crop_px=8)
ROOT = Path(__file__).parents[2]
SCALE = 1.0


@dataclass
class Config:
    square: bool


class Gain:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


class Holding(nn.Module):
    """A network that holds something, which its forward pass asks."""

    def __init__(self, held, forward=lambda held, x: held(x)):
        super().__init__()
        self._held, self.asked = held, forward
        self.layer = nn.Identity()

    def forward(self, x):
        return self.layer(self.asked(self._held, x))


class Doubling(nn.Module):
    factor = 2

    def forward(self, x):
        return self.factor * x


class TablesOutside(nn.Module):
    def forward(self, x):
        return x * SCALE


def closing_over(factor):
    return lambda x: x * factor


@functools.cache
def cached(x):
    return x


@functools.cache
def cached_otherwise(x):
    return -x


def hooked(factor):
    module = nn.Sequential(nn.Identity())
    module[0].register_forward_hook(lambda module, inputs, output: output * factor)
    return module


def with_own_forward(factor):
    module = Doubling()
    module.forward = lambda x: x * factor
    return module


PAIRS = {
    "a function of torch": (lambda: Holding(torch.relu), lambda: Holding(torch.sin)),
    "a method of tensors": (lambda: Holding(torch.Tensor.relu), lambda: Holding(torch.Tensor.sin)),
    "a lambda": (lambda: Holding(lambda x: x + 1), lambda: Holding(lambda x: x + 2)),
    "what a function closes over": (lambda: Holding(closing_over(1)), lambda: Holding(closing_over(2))),
    "a default": (lambda: Holding(lambda x, by=1: x * by), lambda: Holding(lambda x, by=2: x * by)),
    "a partial": (
        lambda: Holding(functools.partial(torch.clamp, min=0)),
        lambda: Holding(functools.partial(torch.clamp, min=-1)),
    ),
    "a bound method": (lambda: Holding(Gain(1).__call__), lambda: Holding(Gain(2).__call__)),
    "slots": (lambda: Holding(Gain(1)), lambda: Holding(Gain(2))),
    "a decorated function": (
        lambda: Holding(torch.no_grad()(closing_over(1))),
        lambda: Holding(torch.no_grad()(closing_over(2))),
    ),
    "a cached function": (lambda: Holding(cached), lambda: Holding(cached_otherwise)),
    "a mapping": (lambda: Holding({"square": True}), lambda: Holding({"square": False})),
    "a nested mapping": (lambda: Holding({"a": [{"b": 1}]}), lambda: Holding({"a": [{"b": 2}]})),
    "a set": (lambda: Holding({"a", "b"}), lambda: Holding({"a", "c"})),
    "a dataclass": (lambda: Holding(Config(True)), lambda: Holding(Config(False))),
    "an array": (lambda: Holding(np.arange(3)), lambda: Holding(np.arange(1, 4))),
    "a long array": (lambda: Holding(np.zeros(5000)), lambda: Holding(np.eye(1, 5000, 2500))),
    "a tensor in a list": (lambda: Holding([torch.zeros(2)]), lambda: Holding([torch.ones(2)])),
    "the type of a number": (lambda: Holding(1), lambda: Holding(1.0)),
    "a type of torch": (lambda: Holding(torch.float32), lambda: Holding(torch.float64)),
    "a hook": (lambda: hooked(1), lambda: hooked(2)),
    "a forward of one object": (lambda: with_own_forward(1), lambda: with_own_forward(3)),
    "options of torch's own": (lambda: nn.Sequential(nn.ELU(1.0)), lambda: nn.Sequential(nn.ELU(2.0))),
    "order": (lambda: nn.Sequential(nn.ReLU(), nn.Tanh()), lambda: nn.Sequential(nn.Tanh(), nn.ReLU())),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_what_a_network_holds_is_part_of_it(pair):
    one, other = pair
    assert code_sha256(one()) == code_sha256(one()) != code_sha256(other())


@pytest.mark.parametrize(
    ("make", "where", "name", "value"),
    [
        (Doubling, Doubling, "factor", 3),
        (Doubling, Doubling, "forward", lambda self, x: x - 1),
        (TablesOutside, sys.modules[__name__], "SCALE", 2.0),
        (lambda: nn.Sequential(nn.ReLU()), nn.ReLU, "forward", lambda self, x: x - 1),
    ],
    ids=["attribute of a class", "method of a class", "global", "patched class of torch"],
)
def test_what_a_network_looks_up_is_part_of_it(make, where, name, value, monkeypatch):
    before = code_sha256(make())
    monkeypatch.setattr(where, name, value)
    assert code_sha256(make()) != before
    monkeypatch.undo()
    assert code_sha256(make()) == before


IMPORTS = {
    "a function": ("from helpers import act", "act(x)", ""),
    "a module": ("import helpers", "helpers.act(x)", ""),
    "a package": ("import inner.deep", "inner.deep.act(x)", ""),
    "in the forward pass": ("", "act(x)", "from helpers import act"),
    "by a name made up": ("import helpers", "getattr(helpers, 'a' + 'ct'[:2])(x)", ""),
    "relatively": ("", "act(x)", "from .deep import act"),
}


@pytest.mark.parametrize(("outside", "answer", "inside"), IMPORTS.values(), ids=list(IMPORTS))
def test_helpers_in_other_files_are_part_of_a_network(outside, answer, inside, tmp_path, monkeypatch):
    def source(power):
        home = tmp_path / str(power)
        (home / "inner").mkdir(parents=True)
        helper = f"def act(x): return power(x)\ndef power(x): return x ** {power}\nother = 3"
        network = f"""
        from torch import nn
        {outside}
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Identity()
            def forward(self, x):
                {inside}
                return self.layer({answer})
        """
        for file in ("helpers.py", "inner/deep.py"):
            (home / file).write_text(helper)
        for file in ("inner/__init__.py", "inner/net.py"):
            (home / file).write_text(textwrap.dedent(network) if file.endswith("net.py") else "")
        monkeypatch.syspath_prepend(home)
        for name in ("helpers", "inner", "inner.deep", "inner.net"):
            sys.modules.pop(name, None)
        return models.load("module:inner.net:Net", layers=["layer"]).spec.source

    assert source(1) != source(2)


@pytest.mark.parametrize("name", ["profile", "code", "mynet"])
@pytest.mark.parametrize(
    "member",
    ["k = {}", "@staticmethod\n    def f(): return {}", "@classmethod\n    def f(cls): return {}",
     "@property\n    def f(self): return {}"],
)  # fmt: skip
def test_a_users_module_counts_whatever_its_name(name, member, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def content(value):
        monkeypatch.delitem(sys.modules, name, raising=False)
        source = f"from torch import nn\nclass Net(nn.Module):\n    {member.format(value)}\n"
        (tmp_path / f"{name}.py").write_text(source)
        module = ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, module.__file__, "exec"), vars(module))
        return code_sha256(module.Net())

    assert content(1) == content(1) != content(2)


@pytest.mark.parametrize("kind", [staticmethod, classmethod, property, functools.cached_property])
def test_what_a_user_puts_into_an_installed_class_is_part_of_it(kind, monkeypatch):
    def content(function):
        monkeypatch.setattr(nn.ReLU, "factor", kind(function), raising=False)
        return code_sha256(nn.ReLU())

    bare = code_sha256(nn.ReLU())
    one = content(lambda *args: 1)
    assert len({bare, one, content(lambda *args: 2)}) == 3
    assert one == content(lambda *args: 1)
    monkeypatch.undo()
    assert code_sha256(nn.ReLU()) == bare


RECURRENT = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}


@pytest.mark.parametrize("kind", RECURRENT.values(), ids=list(RECURRENT))
def test_recurrent_networks_have_an_identity(kind):
    def make(**options):
        torch.manual_seed(0)
        return nn.Sequential(kind(4, 4, **options))

    assert code_sha256(make()) == code_sha256(make()) == code_sha256(copy.deepcopy(make()))
    assert code_sha256(make()) != code_sha256(make(batch_first=True))


def test_a_network_is_the_same_in_every_process(tmp_path):
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
        import enum, functools, re
        import numpy as np, torch, timm
        from torch import nn
        class Way(enum.Enum): UP = "up"
        class Net(nn.Module):
            names = frozenset({"a", "b", "c"})
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.body = timm.create_model("test_vit")
                self.held = [Way.UP, {"x", "y", "z"}, re.compile("a+"), np.float32(3), functools.partial(len), print]
                self.own = object()
            @property
            def way(self): return self.held[0]
            def forward(self, x): return self.body(x) if "a" in {"a", "q", "r"} else x
        """)
    )
    code = """
        import sys
        from brainbench.models._torchvision import prepare; prepare()
        if sys.argv[1] == "1": import scipy.stats, sklearn.linear_model
        from brainbench.models._identity import code_sha256
        import net
        print(code_sha256(net.Net()))
    """
    told = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), seed], capture_output=True, text=True, check=True,
            env={"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        ).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(told) == 1


def test_what_cannot_be_hashed_is_never_taken_for_what_was_stored(caplog):
    one, other = (models.wrap(Unhashable(), preprocess=SEE, name="locked").spec for _ in range(2))
    assert one.source != other.source
    assert "'locked' cannot be recognised in another run" in caplog.text
    assert "lock" in caplog.text


class Lock:
    """It can be copied, so it can be extracted, but nothing tells what is in it."""

    def __init__(self):
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        return self


class Unhashable(nn.Sequential):
    def __init__(self):
        super().__init__(nn.ReLU())
        self.lock = Lock()


def test_networks_alike_in_name_and_weights_share_no_features(tmp_path):
    pixels = {f"s{i}": np.full((8, 8, 3), 60 * i + 20, np.uint8) for i in range(3)}
    digests = [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels.values()]
    table = pd.DataFrame({"sha256": digests}, index=pd.Index(list(pixels), name="stimulus_id"))
    stimuli = StimulusSet(name="greys", table=table, open=lambda name: Image.fromarray(pixels[name]))
    store = Store(tmp_path)

    def features(held):
        model = models.wrap(Holding(held), preprocess=SEE, layers=["layer"], name="mine")
        extract(model, stimuli, store, device="cpu", provenance={}, progress=lambda count: None, max_bytes=2**30)
        return representation(model, model.spec.layers[0], stimuli, store).gram

    assert not torch.allclose(features(torch.relu), features(torch.sin))
