import pytest

from brainbench.core.registry import Registry, load_object
from brainbench.errors import UnknownNameError, UsageError

THINGS = Registry(kind="thing", own={"ridge": "json:loads", "rsa": "json:dumps"}, group="brainbench.nothing")


def test_names_are_loaded_when_asked_for_and_typos_are_met():
    assert THINGS["ridge"]("1") == 1
    assert list(THINGS) == ["ridge", "rsa"]
    with pytest.raises(UnknownNameError, match=r"unknown thing 'rigde'\. Did you mean 'ridge'"):
        THINGS["rigde"]


@pytest.mark.parametrize("target", ["json", "nothere.at.all:x", "json:nothere"])
def test_targets_that_do_not_exist_are_usage_errors(target):
    with pytest.raises(UsageError):
        load_object(target)
