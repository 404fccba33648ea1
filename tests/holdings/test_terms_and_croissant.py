"""`brainbench data accept` (D13) and `croissant`."""

import json
import sys
from types import SimpleNamespace

import pytest

from brainbench.datasets import DATASETS, _fetch, _terms

TERMS = 'terms_url = "https://example.org/terms"\nterms_version = "2"'


@pytest.fixture
def terminal(monkeypatch):
    """`terminal(answer)`: somebody sits there and answers so."""

    def answers(answer):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("brainbench.cli_data.typer.confirm", lambda *_, **__: answer)

    return answers


def test_who_agrees_is_asked_once(run, made, terminal, user):
    made(access="agreement", head=TERMS)
    terminal(True)
    code, printed, err = run("accept", "made2000")
    assert code == 0 and printed == f"{user}/accepted_terms.toml\n" and "Terms: https://example.org/terms" in err
    assert _terms.accepted(_fetch.manifest("made2000"))
    terminal(False)
    code, printed, err = run("accept", "made2000")
    assert code == 0 and printed == "" and "were accepted before" in err


def test_who_does_not_agree_gets_exit_code_4(run, made, terminal, user):
    made(access="agreement", head=TERMS)
    terminal(False)
    assert run("accept", "made2000")[0] == 4 and not user.exists()


def test_where_nobody_sits_both_ways_are_told(run, made, monkeypatch, user):
    made(access="click-through", head=TERMS)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    code, _, err = run("accept", "made2000")
    assert code == 4 and "data accept made2000 --yes" in err and "BRAINBENCH_ACCEPT_TERMS=made2000" in err
    assert not user.exists()
    assert run("accept", "made2000", "--yes")[0] == 0 and _terms.accepted(_fetch.manifest("made2000"))


def test_there_is_nothing_to_accept_of_open_recordings(run, user):
    code, printed, err = run("accept", "made2000")
    assert code == 0 and printed == "" and "is open" in err and not user.exists()
    assert run("accept", "made200")[0] == 2 and run("accept", "insilico")[0] == 3


def test_croissant_has_addresses_sizes_and_hashes_as_the_manifest(run, made):
    made(unpinned=["one/a.npy"], more='[[folder]]\npath = "masks"\npattern = "*.nii"\ngroup = "two"')
    code, printed, err = run("croissant", "made2000")
    described = json.loads(printed)
    assert code == 0 and described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    parts = {part["@id"]: part for part in described["distribution"]}
    assert set(parts) == {"table.csv", "one/a.npy", "one/b #1.npy", "two/c.npy", "masks/*.nii"}
    assert parts["one/b #1.npy"]["contentUrl"] == "https://example.org/one/b%20%231.npy"
    assert parts["table.csv"]["sha256"] == _fetch.manifest("made2000").file("table.csv").sha256
    assert parts["table.csv"]["contentSize"] == "15 B" and parts["table.csv"]["encodingFormat"] == "text/csv"
    assert "sha256" not in parts["one/a.npy"] and "1 files have no sha256" in err
    assert parts["masks/*.nii"]["includes"] == "masks/*.nii"


def test_croissant_takes_hashes_from_the_lock(run, made, put):
    made(unpinned=["one/a.npy"])
    root = put("here")
    run("verify", "made2000", "--pin", "--data-root", f"made2000={root}")
    code, printed, err = run("croissant", "made2000")
    parts = {part["@id"]: part for part in json.loads(printed)["distribution"]}
    assert code == 0 and err == "" and len(parts["one/a.npy"]["sha256"]) == 64


@pytest.mark.parametrize("id", [name for name in DATASETS.own if _fetch.has_manifest(name)])
def test_every_manifest_can_be_exported(run, id):
    code, printed, _ = run("croissant", id)
    described, here = json.loads(printed), _fetch.manifest(id)
    assert code == 0 and described["name"] == id and described["citeAs"] == here.citation
    ids = [part["@id"] for part in described["distribution"]]
    assert len(ids) == len(set(ids)) == len(here.files) + len(here.folders)
    assert here.access == "open" or described["usageInfo"] == here.terms_url
