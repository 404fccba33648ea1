"""How checks are run, reported and expected to fail; and `brainbench check`, which shows them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from brainbench import cli
from brainbench.checks import Check, Violation, _check, checks_for, kind_of, parametrize_with_checks, run_checks
from brainbench.checks._known import KNOWN_FAILURES
from brainbench.datasets import DATASETS, load
from brainbench.models.features_file import write_features
from brainbench.scorers import SCORERS

list(checks_for(load("insilico")))  # registers all checks, before tests put others in their place

MINE = """
import torch

from brainbench.datasets.insilico import Insilico


class Sound(Insilico):
    pass


class Unlicensed(Insilico):
    spec = Insilico.spec.__class__(**{
        name: "" if name == "licence" else getattr(Insilico.spec, name) for name in Insilico.spec.__slots__
    })


class Reads(Insilico):
    def __init__(self, root):
        self.where = root


sound = Sound()
nothing = 3


def needy(one, other):
    return one


def broken():
    raise KeyError("neuroids")


def text():
    return "no dataset"


def table():
    from brainbench.models.features_file import load

    return load("mine.safetensors")
"""


class Scored:
    """Something to check: a scorer, by what it can do."""

    spec = SimpleNamespace(name="scored")

    def __init__(self, good=True):
        self.good = good

    def score(self):
        return 1.0


def passes(thing):
    assert thing.good is not None


def must_be_good(thing):
    if not thing.good:
        raise Violation("good must be True, it is False")


def crashes(thing):
    raise ZeroDivisionError("division by zero")


@pytest.fixture
def laws(monkeypatch):
    """Three checks of scorers in place of all others: one passes, one may fail, one applies to bad things alone."""
    checks = [
        Check(name="passes", run=passes, mend="never", applies=lambda thing: True),
        Check(name="must_be_good", run=must_be_good, mend="be good", applies=lambda thing: True),
        Check(name="crashes", run=crashes, mend="do not divide", applies=lambda thing: not thing.good),
    ]
    monkeypatch.setitem(_check.REGISTERED, "scorer", checks)


def test_a_thing_is_known_by_what_it_can_do():
    model = SimpleNamespace(build=None, preprocess=None, stimuli=None)
    assert kind_of(model) == "model"
    assert kind_of(SimpleNamespace(stimuli=None, score=None)) == "dataset"
    assert kind_of(Scored()) == "scorer"
    with pytest.raises(TypeError, match="a str is no dataset"):
        kind_of("text")


def test_outcomes_say_what_was_violated_and_how_to_mend_it(laws):
    found = {o.check: (o.status, o.message, o.mend) for o in run_checks(Scored(good=False))}
    assert found["passes"] == ("passed", "", "")
    assert found["must_be_good"] == ("failed", "good must be True, it is False", "be good")
    status, message, _ = found["crashes"]
    assert status == "failed"
    assert "ZeroDivisionError: division by zero (crashes, line" in message


def test_checks_that_do_not_apply_are_not_run(laws):
    assert [o.check for o in run_checks(Scored())] == ["passes", "must_be_good"]


def test_known_failures_are_known_and_must_stay_true(laws):
    known = {"must_be_good": "released so"}
    assert [o.status for o in run_checks(Scored(good=False), known)] == ["passed", "known", "failed"]
    mended = {o.check: (o.status, o.message) for o in run_checks(Scored(), known | {"crashes": "no idea"})}
    assert mended["must_be_good"] == ("failed", "passes, but is listed as known to fail: released so")
    assert mended["crashes"][0] == "failed"


def test_parameters_have_the_thing_and_check_in_their_id(laws):
    marked = parametrize_with_checks([Scored(good=False)], known_failures={"scored": {"crashes": "no idea"}}).args[1]
    assert [p.id for p in marked] == ["scored-passes", "scored-must_be_good", "scored-crashes"]
    assert [[mark.kwargs["strict"] for mark in p.marks] for p in marked] == [[], [], [True]]
    with pytest.raises(ValueError, match="do not apply to it: \\['crashes'\\]"):
        parametrize_with_checks([Scored()], known_failures={"scored": {"crashes": "no idea"}})


def test_known_failures_name_things_and_checks_that_exist():
    assert set(KNOWN_FAILURES) <= {*DATASETS.own, *SCORERS.own}
    names = {check.name for checks in _check.REGISTERED.values() for check in checks}
    assert {name for known in KNOWN_FAILURES.values() for name in known} <= names


@pytest.fixture
def brainbench(monkeypatch, tmp_path, capsys):
    """`brainbench(*words)` runs the command line where `mine.py` lies; gives exit code, stdout and stderr."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "data" / "insilico").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["brainbench", *words])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        return exit.value.code or 0, *capsys.readouterr()

    yield run
    sys.modules.pop("mine", None)


def test_command_prints_a_line_a_check(brainbench):
    code, out, err = brainbench("check", "insilico")
    assert (code, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()} == {"ok"}
    assert "ok    filters_select" in out.splitlines()


@pytest.mark.parametrize("name", ["rsa", "baseline:pixels"])
def test_command_checks_scorers_and_models_by_name(brainbench, monkeypatch, name):
    law = Check(name="passes", run=lambda thing: None, mend="never", applies=lambda thing: True)
    for kind in ("scorer", "model"):
        monkeypatch.setitem(_check.REGISTERED, kind, [law])
    assert brainbench("check", name) == (0, "ok    passes\n", "")


def test_command_checks_what_a_name_in_the_working_directory_holds(brainbench, monkeypatch):
    seen = []
    law = Check(name="passes", run=seen.append, mend="never", applies=lambda thing: True)
    monkeypatch.setitem(_check.REGISTERED, "dataset", [law])
    for name in ("mine:sound", "mine:Sound"):
        assert brainbench("check", name)[0] == 0
    assert brainbench("check", "mine:Reads", "--data-root", "data")[0] == 0
    assert brainbench("check", "mine:Reads", "--data-root", "insilico=data")[0] == 0
    assert [type(thing).__name__ for thing in seen] == ["Sound", "Sound", "Reads", "Reads"]
    assert [str(thing.where) for thing in seen[2:]] == ["data/insilico", "data"]


@pytest.mark.parametrize("name", ["features:mine.safetensors", "mine:table"])
def test_command_says_that_features_are_no_network(brainbench, name):
    write_features(Path("mine.safetensors"), {"a": np.eye(3)}, ["x", "y", "z"])
    code, out, err = brainbench("check", name)
    assert (code, out) == (2, "")
    said = " ".join(err.split())
    assert "holds features, not a network" in said and "were found whole when they were read" in said
    assert "`brainbench score features:FILE` scores them" in said
    assert brainbench("check", "features:absent.safetensors")[0] == 3


def test_command_fails_with_a_code_of_its_own_and_says_how_to_mend(brainbench):
    code, out, err = brainbench("check", "mine:Unlicensed")
    assert code == 5
    (line,) = (line for line in out.splitlines() if line.startswith("FAIL  spec_is_filled_in"))
    assert "there is '' in licence" in line
    assert "To mend it: State in the spec" in line
    assert "mine:Unlicensed fails 2 of" in err  # the other: mine.py imports torch

    code, out, _ = brainbench("check", "mine:Unlicensed", "--json")
    assert code == 5
    outcomes = {o["check"]: o for o in json.loads(out)}
    assert {name for name, o in outcomes.items() if o["status"] == "failed"} == {"spec_is_filled_in", "import_is_light"}
    assert set(outcomes["spec_is_filled_in"]) == {"check", "status", "message", "mend"}


def test_command_shows_what_is_known(brainbench, monkeypatch):
    monkeypatch.setitem(KNOWN_FAILURES, "rsa", {"crashes": "divides on purpose"})
    law = Check(name="crashes", run=crashes, mend="do not divide", applies=lambda thing: True)
    monkeypatch.setitem(_check.REGISTERED, "scorer", [law])
    assert brainbench("check", "rsa") == (0, "known crashes: divides on purpose.\n", "")


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("insilicoo", 2, "Did you mean 'insilico'"),
        ("mine:absent", 2, "module 'mine' has no 'absent'"),
        ("mine:nothing", 2, "a int is no dataset"),
        ("mine:text", 2, "a str is no dataset"),
        ("mine:needy", 2, "'mine:needy' needs one, other"),
        ("mine:Reads", 2, "say --data-root PATH, where PATH holds a folder named 'insilico'"),
        ("mine:broken", 3, "raised KeyError: 'neuroids'"),
    ],
)
def test_command_says_what_is_wrong_with_a_name(brainbench, name, code, text):
    exit_code, out, err = brainbench("check", name)
    assert (exit_code, out) == (code, "")
    assert text in " ".join(err.split())
