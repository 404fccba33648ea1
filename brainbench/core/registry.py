"""Names to things, imported only when asked for; third parties add theirs by entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from brainbench.errors import UnknownNameError, UsageError, said_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """`kind` names its things in messages; `own` maps names to "module:ATTRIBUTE"; `group` is the entry-point group."""

    kind: str
    own: dict[str, str]
    group: str

    def _targets(self) -> dict[str, str]:
        targets = _installed(self.group, tuple(sys.path))
        clash = sorted(targets.keys() & self.own.keys())
        if clash:
            raise UsageError(f"a package redefines the {self.kind} {clash[0]!r} by entry point; rename it there")
        return targets | self.own

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._targets()))

    def __getitem__(self, name: str) -> Any:
        """The registered object. Raises UnknownNameError, with the nearest names, if there is none."""
        targets = self._targets()
        if name not in targets:
            raise UnknownNameError(self.kind, name, targets)
        return load_object(targets[name])


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, str]:
    """What packages on this path have registered: looking through them all takes 20 ms, and every entry asks."""
    return {point.name: point.value for point in entry_points(group=group)}


def load_from_here(target: str) -> Any:
    """As `load_object`, from the working directory, too. Raises InputError where the user's own module fails."""
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not look where it was started
        sys.path.insert(0, here)
    with said_by(repr(target)):
        return load_object(target)


def load_object(target: str) -> Any:
    """The object that "package.module:attribute" names. Raises UsageError where it does not exist."""
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise UsageError(f"{target!r} is not of the form package.module:attribute")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise UsageError(f"there is no module {error.name!r} to import for {target!r}") from None
        raise
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise UsageError(f"module {module!r} has no {attribute!r}") from None
    return found
