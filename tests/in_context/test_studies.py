"""Studies of trainings: nested neuroids, intervals that pair, the commands' tables and figures."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from brainbench import cli, plotting, training_studies
from brainbench.errors import InputError
from brainbench.in_context import checkpoint
from brainbench.in_context.gaussian import Risk
from brainbench.in_context.tasks import Recorded
from brainbench.in_context.training import explained
from brainbench.training import Sources
from brainbench.training_studies import Explained, _ridge, _told
from tests.in_context.test_command import NET


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BRAINBENCH_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainbench", "train", *arguments])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


def test_fewer_neuroids_are_some_of_more():
    parts = [Recorded(rows=torch.arange(5), responses=torch.arange(20.0).view(5, 4)) for _ in range(2)]
    names = [f"{part}/{n}" for part in range(2) for n in range(4)]
    all_of = Sources(
        grid=torch.zeros(5, 1),
        side=1,
        sha256=[],
        network=None,
        learned=parts,
        held=parts,
        names=names,
        held_names=names,
    )
    few, more = all_of.some(2), all_of.some(5)
    assert set(few.names) < set(more.names) and len(few.names) == 2
    assert sum(part.responses.shape[1] for part in few.learned) == 2
    for part, own in enumerate(few.learned):  # names and columns are of the same neuroids
        columns = [int(name[2:]) for name in few.names if name.startswith(f"{part}/")]
        assert torch.equal(own.responses, parts[part].responses[:, columns])
    with pytest.raises(InputError, match="8 neuroids"):
        all_of.some(9)


def test_held_out_neuroids_are_those_of_the_trainings_network_and_recording(monkeypatch):
    card = checkpoint.load("small").card
    here = {"network": card["network"], "sha256": card["seen"]["sha256"], "names": card["seen"]["neuroids"]}
    for other, said in (
        ({"network": card["network"] | {"weights": "another"}}, "trained on another .* \\(weights differ\\)"),
        ({"sha256": []}, "is not the recording"),
        ({"names": []}, "is not the recording"),
    ):
        found = SimpleNamespace(**here | other)
        monkeypatch.setattr(training_studies, "sources", lambda *asked, found=found: found)
        with pytest.raises(InputError, match=said):
            training_studies.held_out("small", [20], None)


def test_contexts_and_queries_are_apart_and_the_truth_explains_all():
    x = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0))
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    seen = []

    def truth(context, y, query):
        seen.append((context, query))
        return query @ w

    session = Recorded(rows=torch.arange(50), responses=x[0] @ w)
    assert explained(truth, x, [session], size=10, n_draws=3).tolist() == pytest.approx([1] * 4)
    for context, query in seen:
        assert float(torch.cdist(context, query).min()) > 0
    with pytest.raises(InputError, match="no queries"):
        explained(truth, x, [session], size=49, n_draws=1)


def test_a_neuroid_that_is_silent_over_the_queries_is_left_out():
    x = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0))
    y = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    y[torch.randperm(50, generator=torch.Generator().manual_seed(0))[-40:], 0] = 0
    found = explained(_ridge, x, [Recorded(rows=torch.arange(50), responses=y)], size=10, n_draws=1).double().numpy()
    assert np.isnan(found[0]) and np.isfinite(found[1:]).all()
    told = _told("ridge", 10, found, found)
    assert told.n == 2 and told.ev == pytest.approx(found[1:].mean()) and np.isfinite([told.low, told.high]).all()


def test_a_readout_is_no_better_than_itself():
    import numpy as np

    values = np.array([0.1, 0.4, 0.3])
    same = _told("a", 10, values, values)
    assert (same.difference, same.difference_low, same.difference_high) == (0, 0, 0) and same.low < same.ev < same.high
    more = _told("b", 10, values + 0.1, values)
    assert more.difference_low == pytest.approx(0.1) and more.difference_high == pytest.approx(0.1)


def test_scaling_trains_on_each_number_and_none_is_synthetic(run, tmp_path):
    asked = ("--dataset", "insilico", "--subjects", "s1", "--model", "module:net:net", "--layer", "1:grid4")
    small = ("--preset", "tiny", "--components", "16", "--steps", "2,0,2", "--sizes", "20", "--device", "cpu")
    code, out, err = run("scaling", *asked, *small, "--neuroids", "0,4", "--json", "--figure", "it.svg")
    assert code == 0, err
    found = json.loads(out)
    assert [one["what"] for one in found] == ["0", "0, learned from", "4", "4, learned from"]
    assert [one["n"] for one in found][1::2] == [0, 4] and (tmp_path / "it.svg").is_file()
    assert found[0]["difference"] == 0 and found[2]["difference_low"] <= found[2]["difference_high"]


def test_gaussian_prints_the_bound_and_refuses_nonsense(run):
    code, out, _ = run("gaussian", "--features", "3", "--steps", "3", "--sizes", "2,4")
    assert code == 0 and "synthetic" in out and "Bayes" in out
    code, _, err = run("gaussian", "--sizes", "x")
    assert code == 2 and "--sizes are" in err


def test_figures_hold_the_numbers():
    one = {"size": 20, "n": 3, "low": 0.1, "high": 0.3}
    axes = plotting.scaling([Explained(what=w, ev=ev, **one) for w, ev in (("0", 0.1), ("8", 0.2))]).axes[0]
    assert list(axes.get_lines()[0].get_ydata()) == [0.1, 0.2] and list(axes.get_lines()[0].get_xdata()) == [0, 8]
    risk = Risk(size=4, bayes=0.5, network=0.7, luck=0.0, excess=0.25, low=0.1, high=0.3, untrained=3.0, step=0.6)
    step, network, bayes = plotting.risks([risk]).axes[0].get_lines()
    assert [list(line.get_ydata()) for line in (step, network, bayes)] == [[0.6], [0.75], [0.5]]
