"""The contract suite as pytest parameters: one id a thing and check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from brainbench.checks._check import checks_for


def parametrize_with_checks(
    things: Sequence[Any], *, known_failures: Mapping[str, Mapping[str, str]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrize a test function (thing, check) with every check that applies to each of `things`.

    `known_failures` maps a thing's id to {check: reason}; those are strict expected failures.
    """
    import pytest

    parameters = []
    for thing in things:
        name = label(thing)
        known = dict((known_failures or {}).get(name, {}))
        for law in checks_for(thing):
            why = known.pop(law.name, None)
            marks = [pytest.mark.xfail(reason=why, strict=True)] if why else []
            parameters.append(pytest.param(thing, law, id=f"{name}-{law.name}", marks=marks))
        if known:
            raise ValueError(f"known failures of {name} that do not apply to it: {sorted(known)}")
    return pytest.mark.parametrize(("thing", "check"), parameters)


def label(thing: Any) -> str:
    """The id of a dataset or model, the name of a scorer."""
    return str(getattr(thing.spec, "id", None) or thing.spec.name)
