"""From what someone types to the thing that is checked."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from brainbench.checks._check import kind_of
from brainbench.core.registry import load_from_here
from brainbench.errors import UnknownNameError, UsageError, said_by


def named(name: str, roots: Mapping[str, Path]) -> Any:
    """The dataset, scorer (with its own parameters' defaults) or model of that name, or what `module:attr` holds.

    A class or function is called, with the dataset's folder where it needs a `root`. The working directory can be
    imported from. Raises UnknownNameError for a name that is none of these, AccessError for a recording or weights
    that are not here, UsageError for a thing of no known kind and for features, InputError where the thing's own code
    fails.
    """
    from brainbench.models.features_file import FeatureTable

    found = _found(name, roots)
    if isinstance(found, FeatureTable):
        raise UsageError(
            f"{name!r} holds features, not a network, and the checks of models are about networks. Features were "
            "found whole when they were read: numbers everywhere, one row a stimulus id. "
            "`brainbench score features:FILE` scores them, and says which stimuli they lack"
        )
    try:
        kind_of(found)
    except TypeError as error:
        raise UsageError(f"{name!r} cannot be checked: {error}") from None
    return found


def _found(name: str, roots: Mapping[str, Path]) -> Any:
    from brainbench import datasets, models, scorers

    if name in datasets.DATASETS:
        return datasets.load(name, dict(roots))
    if name in scorers.SCORERS:
        return scorers.load(name, {})
    source, colon, _ = name.partition(":")
    if not colon:
        known = [*datasets.DATASETS, *scorers.SCORERS, *(f"{source}:NAME" for source in models.SOURCES)]
        raise UnknownNameError("dataset, scorer or model", name, known)
    if source in models.SOURCES:
        return models.load(name, roots=roots)
    found = load_from_here(name)
    with said_by(repr(name)):
        return found if _is_thing(found) or not callable(found) else found(*_arguments(found, name, roots))


def _is_thing(found: Any) -> bool:
    """Whether this can be checked as it is; a class has the methods, but must be called first."""
    try:
        kind_of(found)
    except TypeError:
        return False
    return not isinstance(found, type)


def _arguments(make: Any, name: str, roots: Mapping[str, Path]) -> list[Path]:
    """Nothing, or the folder of the dataset that `make` is a class of."""
    optional = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    parameters = signature(make).parameters.values()
    needed = [p.name for p in parameters if p.default is Parameter.empty and p.kind not in optional]
    if not needed:
        return []
    if needed != ["root"]:
        raise UsageError(f"{name!r} needs {', '.join(needed)}; name a function that needs nothing and makes the thing")
    id = getattr(getattr(make, "spec", None), "id", "")
    if id in roots:
        return [roots[id]]
    if "" in roots:
        return [roots[""] / id]
    raise UsageError(f"{name!r} reads files: say --data-root PATH, where PATH holds a folder named {id!r}")
