import sys

import pytest

from brainbench.core.registry import Registry, load_from_here, load_object
from brainbench.errors import InputError, UnknownNameError, UsageError

THINGS = Registry(kind="thing", own={"ridge": "json:loads", "rsa": "json:dumps"}, group="brainbench.nothing")


def test_names_are_loaded_when_asked_for_and_typos_are_met():
    assert THINGS["ridge"]("1") == 1
    assert list(THINGS) == ["ridge", "rsa"]
    with pytest.raises(UnknownNameError, match=r"unknown thing 'rigde'\. Did you mean 'ridge'"):
        THINGS["rigde"]


def test_packages_are_looked_through_once_for_each_path(monkeypatch):
    asked = []
    monkeypatch.setattr("brainbench.core.registry.entry_points", lambda group: asked.append(group) or [])
    many = Registry(kind="thing", own={"ridge": "json:loads"}, group="brainbench.looked_through_once")
    assert [many["ridge"] for _ in range(3)] and list(many)
    assert len(asked) == 1
    monkeypatch.setattr(sys, "path", [*sys.path, "another"])
    assert list(many) and len(asked) == 2


@pytest.mark.parametrize("target", ["json", "nothere.at.all:x", "json:nothere"])
def test_targets_that_do_not_exist_are_usage_errors(target):
    with pytest.raises(UsageError):
        load_object(target)


def test_the_users_own_code_is_found_where_they_are_and_blamed_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    (tmp_path / "own_and_sound.py").write_text("thing = 3")
    (tmp_path / "own_and_broken.py").write_text("thing = 1 / 0")
    for _ in range(2):
        assert load_from_here("own_and_sound:thing") == 3
    assert sys.path.count(str(tmp_path)) == 1
    with pytest.raises(InputError, match="'own_and_broken:thing' raised ZeroDivisionError"):
        load_from_here("own_and_broken:thing")
    with pytest.raises(UsageError, match="no module 'own_and_absent'"):
        load_from_here("own_and_absent:thing")
