"""Each picture goes through a network once, whatever interrupts it, and what is stored is found again by content."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from brainbench import extraction, models
from brainbench.core.specs import Preprocessing
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, UnknownNameError
from brainbench.models.features_file import FeatureTable
from brainbench.models.module import Network
from brainbench.numerics.representation import Representation
from brainbench.store import Store

IDS = tuple(f"p{n:02d}" for n in range(11))
SEE = Preprocessing(resize_px=8, crop_px=8)


def pixels(name):
    return np.random.default_rng(IDS.index(name)).integers(0, 255, (9, 12, 3), dtype=np.uint8)


def pictures(ids=IDS, open=lambda name: Image.fromarray(pixels(name)), **columns):
    sha256 = columns.pop("sha256", [hashlib.sha256(pixels(name).tobytes()).hexdigest() for name in ids])
    table = pd.DataFrame({"sha256": sha256, **columns}, index=pd.Index(ids, name="stimulus_id"))
    return StimulusSet(name="pictures", table=table, open=open)


class Net(nn.Module):
    """`wide` has more units than there are pictures, `narrow` fewer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.wide, self.narrow = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)

    def forward(self, x):
        return self.narrow(self.wide(x).flatten(1))


@pytest.fixture(autouse=True)
def no_layer_has_few_units(monkeypatch):
    """So that layers as small as these are kept as their Gram matrix, too."""
    monkeypatch.setattr(extraction, "FEW_UNITS", 0)


def test_layers_of_few_units_keep_their_features(store, monkeypatch):
    monkeypatch.setattr(extraction, "FEW_UNITS", 144)
    model, stimuli = wrapped(), pictures()
    extract(model, stimuli, store)
    assert rows_of(model, "wide", stimuli, store).features.shape == (len(IDS), 144)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(extraction, "SHARD", 4)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def wrapped(module=None, see=SEE, layers=("wide:flatten", "narrow"), name="net"):
    return models.wrap(module or Net(), preprocess=see, layers=layers, name=name)


def extract(model, stimuli, store, progress=lambda n: None):
    """How many pictures the network was shown for it, without the few that try the network out."""
    shown = []
    counted = replace(model, see=lambda picture: shown.append(None) or model.see(picture))
    extraction.extract(counted, stimuli, store, device="cpu", provenance={}, progress=progress, max_bytes=2**30)
    return len(shown)


def rows_of(model, layer, stimuli, store):
    spec = next(spec for spec in model.spec.layers if spec.name == layer)
    return extraction.representation(model, spec, stimuli, store)


def test_layers_are_those_of_the_network_row_by_row(store):
    model, stimuli, net = wrapped(), pictures(), Net().eval()
    extract(model, stimuli, store)
    with torch.no_grad():
        wide = net.wide(torch.stack([model.preprocess(stimuli.image(name)) for name in IDS])).flatten(1)
        narrow = net.narrow(wide)
    expected = Representation.from_features(wide, IDS)
    stored = rows_of(model, "wide", stimuli, store)
    assert stored.features is None and stored.n_units == 144 and stored.stimulus_ids == IDS
    torch.testing.assert_close(stored.gram, expected.gram, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stored.unit_mean, expected.unit_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(rows_of(model, "narrow", stimuli, store).features, narrow, rtol=1e-4, atol=1e-5)


def test_shards_change_nothing(store, tmp_path, monkeypatch):
    model, stimuli = wrapped(), pictures()
    extract(model, stimuli, store)
    monkeypatch.setattr(extraction, "SHARD", 100)
    whole = Store(tmp_path / "whole")
    extract(model, stimuli, whole)
    for layer in ("wide", "narrow"):
        a, b = (rows_of(model, layer, stimuli, s) for s in (store, whole))
        torch.testing.assert_close(a.gram, b.gram, rtol=1e-6, atol=1e-6)


def test_a_second_run_shows_nothing_and_shards_are_gone(store, monkeypatch):
    steps = []
    first = extract(wrapped(), pictures(), store, steps.append)
    assert first >= len(IDS) and sum(steps) == len(IDS)
    model = wrapped()
    monkeypatch.setattr(type(model), "build", lambda self: pytest.fail("the network was built again"))
    steps = []
    assert extract(model, pictures(), store, steps.append) == 0 and sum(steps) == len(IDS)
    kinds = sorted(json.loads(path.read_text())["key"]["kind"] for path in store.root.glob("*/*/entry.json"))
    assert kinds == ["representation", "representation", "widths"]


def test_an_interrupted_run_goes_on_where_it_stopped(store):
    def interrupted(name):
        if name == IDS[9]:
            raise KeyboardInterrupt
        return Image.fromarray(pixels(name))

    model = wrapped()
    with pytest.raises(KeyboardInterrupt):
        extract(model, pictures(open=interrupted), store)
    assert rows_of(model, "wide", pictures(), store) is None
    opened = []
    again = pictures(open=lambda name: opened.append(name) or Image.fromarray(pixels(name)))
    extract(model, again, store)
    assert set(opened) == set(IDS[8:])
    fresh = Store(store.root.parent / "fresh")
    extract(model, pictures(), fresh)
    for layer in ("wide", "narrow"):
        a, b = (rows_of(model, layer, again, s) for s in (store, fresh))
        assert torch.equal(a.gram, b.gram)


def test_shards_of_an_interrupted_run_go_with_those_of_another_size(store, monkeypatch):
    def interrupted(name):
        if name == IDS[9]:
            raise KeyboardInterrupt
        return Image.fromarray(pixels(name))

    with pytest.raises(KeyboardInterrupt):
        extract(wrapped(), pictures(open=interrupted), store)
    assert len(list(store.root.glob("??/*/??/*/entry.json"))) == 2
    monkeypatch.setattr(extraction, "SHARD", 8)
    extract(wrapped(), pictures(), store)
    assert len(list(store.root.rglob("entry.json"))) == len(list(store.root.glob("??/*"))) == 3


def test_only_a_damaged_layer_is_made_again(store):
    model, stimuli = wrapped(), pictures()
    extract(model, stimuli, store)
    before = rows_of(model, "narrow", stimuli, store).features
    (entry,) = [e for e in store.root.glob("*/*/entry.json") if '"layer": "narrow"' in e.read_text()]
    blob = next(entry.parent.glob("*.safetensors"))
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    reopened = Store(store.root)
    assert rows_of(model, "narrow", stimuli, reopened) is None
    assert extract(model, stimuli, reopened) >= len(IDS)
    assert torch.equal(rows_of(model, "narrow", stimuli, reopened).features, before)
    assert len(list((store.root / "quarantine").iterdir())) == 1


class Other(Net):
    """The same weights in another forward pass."""

    def forward(self, x):
        return super().forward(x.flip(-1))


def nudged():
    net = Net()
    with torch.no_grad():
        net.wide.bias[0] += 1e-6
    return net


def one_picture_changed():
    stimuli = pictures()
    sha256 = ["0" * 64, *stimuli.table["sha256"][1:]]
    return pictures(sha256=sha256)


@pytest.mark.parametrize(
    ("model", "stimuli"),
    [
        (lambda: wrapped(nudged()), pictures),
        (lambda: wrapped(Other()), pictures),
        (lambda: wrapped(see=replace(SEE, mean=(0.1, 0.0, 0.0))), pictures),
        (lambda: wrapped(layers=("wide:mean", "narrow")), pictures),
        (wrapped, one_picture_changed),
        (wrapped, lambda: pictures(ids=IDS[::-1])),
        (wrapped, lambda: pictures(ids=IDS[:-1])),
    ],
    ids=["weights", "code", "preprocessing", "pooling", "content", "order", "fewer"],
)
def test_what_changes_features_is_not_found_under_the_old_key(store, model, stimuli):
    extract(wrapped(layers=("wide:flatten",)), pictures(), store)
    assert rows_of(wrapped(), "wide", pictures(), store) is not None
    assert rows_of(model(), "wide", stimuli(), store) is None


def test_what_cannot_change_features_is_not_in_the_key(store):
    extract(wrapped(), pictures(), store)
    stimuli = pictures(open=lambda name: None, category=list("abcdefghijk"), group=["g"] * 11)
    renamed = replace(stimuli, name="renamed", size_deg=8.0)
    model = wrapped(layers=("narrow", "wide:flatten"))
    spec = replace(model.spec, note="n", licence="CC0", training_data="t")
    deeper = replace(spec, layers=tuple(replace(layer, depth=0.5) for layer in spec.layers))
    told = Network(spec=deeper, module=model.module, see=model.see)
    assert rows_of(told, "wide", renamed, store) is not None
    assert extract(told, renamed, store) == 0


def test_a_file_of_features_needs_no_extraction(store):
    table = FeatureTable.from_arrays({"a": np.eye(11, dtype=np.float32)}, IDS, "mine")
    steps = []
    extraction.extract(table, pictures(), store, device="cpu", provenance={}, progress=steps.append, max_bytes=2**30)
    assert steps == [11] and not store.root.exists()
    picked = rows_of(table, "a", pictures(ids=IDS[:2]), store)
    assert picked.gram.tolist() == np.eye(2).tolist()


@pytest.mark.parametrize(
    "error", [OSError("image file is truncated"), SyntaxError("broken PNG"), InputError("too many pixels")]
)
def test_a_broken_picture_is_named_and_nothing_is_kept(store, error):
    def broken(name):
        if name == IDS[6]:
            raise error
        return Image.fromarray(pixels(name))

    model = wrapped()
    with pytest.raises(InputError, match=rf"'p06' of pictures.*{error}"):
        extract(model, pictures(open=broken), store)
    assert rows_of(model, "wide", pictures(), store) is None


def test_a_layer_that_is_not_there_is_refused_with_near_names(store):
    model = wrapped()
    spec = replace(model.spec, layers=(replace(model.spec.layers[0], name="wine"),))
    with pytest.raises(UnknownNameError, match="'wide'"):
        extract(replace(model, spec=spec), pictures(), store)


class Hungry(Net):
    """Has memory for one picture at a time."""

    def forward(self, x):
        if len(x) > 1:
            raise torch.OutOfMemoryError("injected")
        return super().forward(x)


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(store):
    models = wrapped(), wrapped(Hungry())
    for model in models:
        extract(model, pictures(), store)
    a, b = (rows_of(model, "wide", pictures(), store) for model in models)
    torch.testing.assert_close(a.gram, b.gram, rtol=1e-4, atol=1e-4)


def test_features_that_are_not_finite_are_refused(store):
    model = wrapped()
    with torch.no_grad():
        model.module.wide.weight[0] = torch.inf
    with pytest.raises(InputError, match=r"layer 'wide' gives NaN or infinity"):
        extract(model, pictures(), store)
    assert not list(store.root.glob("*/*/entry.json"))


def test_the_network_is_left_as_it_was_after_an_exception(store):
    net = Net().train()
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()

    def broken(name):
        raise OSError("gone")

    with pytest.raises(InputError):
        extract(wrapped(net), pictures(open=broken), store)
    assert net.training and not any(part._forward_hooks for part in net.modules())
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)


def test_features_that_do_not_fit_go_through_the_disk_in_smaller_shards(store, monkeypatch):
    sizes, run = [], extraction._features
    monkeypatch.setattr(extraction, "_features", lambda *a, **o: sizes.append(len(a[3].ids)) or run(*a, **o))
    model = wrapped()
    stimulus = 4 * (4 * 6 * 6 + 5)  # bytes: both layers in float32
    options = {"device": "cpu", "provenance": {}, "progress": lambda n: None}
    extraction.extract(model, pictures(), store, max_bytes=3 * stimulus, **options)
    assert sizes == [2] * 5 + [1]
    whole = Store(store.root.parent / "whole")
    extraction.extract(model, pictures(), whole, max_bytes=2**30, **options)
    for layer in model.spec.layers:
        small, large = (extraction.representation(model, layer, pictures(), s) for s in (store, whole))
        torch.testing.assert_close(small.gram, large.gram, rtol=1e-5, atol=0)


class Raced(Store):
    """The store of a process that another one overtakes just before the n-th thing it asks of the store."""

    def __init__(self, root, n, overtake):
        super().__init__(root)
        self.n, self.overtake, self.asks = n, overtake, []

    @property
    def asked(self):
        return len(self.asks)

    def _tell(self):
        self.asks.append(None)
        if self.asked == self.n:
            self.overtake()

    def part(self, key):
        part = Raced(self._folder(key), self.n, self.overtake)
        part.asks = self.asks
        return part

    def get(self, *args, **options):
        self._tell()
        return super().get(*args, **options)

    def put(self, *args):
        self._tell()
        super().put(*args)

    def drop(self, key):
        self._tell()
        super().drop(key)


def test_a_process_that_another_one_overtakes_anywhere_ends_with_the_same_layers(tmp_path, caplog):
    model, stimuli, alone = wrapped(), pictures(), Store(tmp_path / "alone")
    once = extract(model, stimuli, alone)
    grams = {layer: rows_of(model, layer, stimuli, alone).gram for layer in ("wide", "narrow")}
    for n in count(1):
        root, steps = tmp_path / str(n), []
        store = Raced(root, n, lambda root=root: extract(model, stimuli, Store(root)))
        assert extract(model, stimuli, store, steps.append) <= once and sum(steps) == len(IDS)
        for layer, gram in grams.items():
            assert torch.equal(rows_of(model, layer, stimuli, Store(root)).gram, gram)
        kinds = sorted(json.loads(path.read_text())["key"]["kind"] for path in root.glob("*/*/entry.json"))
        assert kinds == ["representation", "representation", "widths"] and not caplog.records
        if store.asked < n:
            break
    assert n > 20


def test_two_processes_on_one_cold_key_both_end_well(store):
    """The other one stands still with one layer stored, and goes on when the shards of both are gone."""
    script = (
        "import sys\n"
        "import test_extraction as t\n"
        "t.extraction.SHARD, t.extraction.FEW_UNITS = 4, 0\n"
        "def wait():\n"
        "    print('waits', flush=True)\n"
        "    sys.stdin.readline()\n"
        "class Slow(t.Store):\n"
        "    def put(self, key, *args):\n"
        "        super().put(key, *args)\n"
        "        if key.get('layer') == 'wide': wait()\n"
        f"t.extract(t.wrapped(), t.pictures(), Slow({str(store.root)!r}))\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "waits\n"
    assert extract(wrapped(), pictures(), store) == 0
    _, said = other.communicate("go on\n", timeout=60)
    assert other.returncode == 0, said
    assert extract(wrapped(), pictures(), store) == 0


def test_a_shard_that_is_damaged_after_it_was_written_is_extracted_again(store, monkeypatch, caplog):
    """By this very run, which has a network at hand, and without a word to the progress bar."""
    model, stimuli, steps = wrapped(), pictures(), []
    combined = extraction._combined

    damage = []

    def damaged(part, shards):
        for entry in store.root.glob("??/*/??/*/entry.json"):
            damage.append(entry.write_text("{garbage"))
        return combined(part, shards)

    fresh = Store(store.root.parent / "fresh")
    extract(model, stimuli, fresh)
    monkeypatch.setattr(extraction, "_combined", damaged)
    extract(model, stimuli, store, steps.append)
    assert sum(steps) == len(IDS) and len(damage) == 6 == caplog.text.count("is damaged")
    for layer in ("wide", "narrow"):
        a, b = (rows_of(model, layer, stimuli, s).gram for s in (store, fresh))
        torch.testing.assert_close(a, b)
