"""What code is: the hash of a network, or of a preprocessing, by everything that its answers can depend on.

The same weights in another forward pass are another model, so an object counts by its class and its whole state: what
deepcopy would copy, private attributes, hooks and callables with it. A function counts by its bytecode, its defaults,
what it closes over, and the globals it names, each by its own content. Python's library, torch and numpy count by
name; other installed packages by the text of their files.

What has no content that can be read (a compiled function, an open file) makes an identity that is never met again:
such a model is extracted anew in every run, because old features could be those of another one, and nothing of it is
kept (`of_this_run`).
"""

from __future__ import annotations

import copyreg
import dis
import functools
import hashlib
import inspect
import logging
import os
import re
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from brainbench.core.specs import ModelSpec
from brainbench.models._weights import sha256_of

_OURS = str(Path(__file__).parents[1]) + os.sep
_BY_NAME = {"torch", "numpy"}
_HOOKS = [name for name, part in vars(nn.Module()).items() if "_hooks" in name and isinstance(part, dict)]
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
log = logging.getLogger("brainbench.models")


def code_of(thing: Any, what: str) -> str:
    """The first 16 digits of its hash, as "code ...", or "run ..." with random ones where a part has no content."""
    try:
        return f"code {code_sha256(thing)[:16]}"
    except Exception as error:  # whatever the user's own __reduce__ raises
        log.warning("%s cannot be recognised in another run, so its features are not used again: %s", what, error)
        return f"run {uuid.uuid4().hex[:16]}"


def of_this_run(spec: ModelSpec) -> bool:
    """Whether the network or its preprocessing has an identity of random digits, which no other run can find again."""
    return any(re.search(r"(^|, )run [0-9a-f]{16}$", part) for part in (spec.source, spec.preprocessing.code))


def code_sha256(thing: Any) -> str:
    """The sha256 over the content of a module, function or other object. Raises TypeError where a part has none.

    The same in every process of one Python version; what only tells training from evaluation is left out.
    """
    return _Walk().content(thing).hex()


class _Walk:
    """One walk through an object and all that it refers to."""

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, bytes]] = {}  # the object, too: a freed one would lend its id to another
        self.under_way: dict[int, int] = {}

    def content(self, value: Any) -> bytes:
        """The digest of one value."""
        if type(value) in _PLAIN:
            return _digest(type(value).__name__, repr(value).encode())
        if isinstance(value, FunctionType) and "jaxtyping" in Path(value.__code__.co_filename).parts:
            value = inspect.unwrap(value)  # what checks shapes changes nothing
        if id(value) in self.done:
            return self.done[id(value)][1]
        if id(value) in self.under_way:
            return _digest("again", str(self.under_way[id(value)]).encode())
        self.under_way[id(value)] = len(self.under_way)
        try:
            digest = self._of(value)
        finally:
            del self.under_way[id(value)]
        self.done[id(value)] = value, digest
        return digest

    def _of(self, value: Any) -> bytes:
        if isinstance(value, nn.Module):
            return self._all("module", type(value), _state(value))
        if isinstance(value, Tensor):
            return _digest("tensor", sha256_of({"": value}).encode())
        if type(value) in (list, tuple):
            return self._all(type(value).__name__, *value)
        if type(value) in (set, frozenset):
            return _digest("set", *sorted(map(self.content, value)))
        if type(value) in (dict, MappingProxyType):
            return self._all("dict", *value.keys(), *value.values())
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return self._all("method", value.__func__, value.__self__)
        if isinstance(value, BuiltinFunctionType):
            of = None if isinstance(value.__self__, ModuleType) else value.__self__
            return self._all("builtin", value.__module__, value.__qualname__, of)
        if isinstance(value, CodeType):
            return self._all("code", value.co_code, value.co_consts, value.co_names, value.co_exceptiontable)
        if isinstance(value, ModuleType):
            return self._module(value, ())
        if isinstance(value, property):
            return self._all("property", value.fget, value.fset)
        if isinstance(value, functools.cached_property):
            return self._all("cached_property", value.func)
        if isinstance(value, staticmethod | classmethod | functools._lru_cache_wrapper):
            return self._all(type(value).__name__, value.__wrapped__)
        reduce = copyreg.dispatch_table.get(type(value))  # what copy.deepcopy goes by
        made = reduce(value) if reduce else value.__reduce_ex__(4)
        if isinstance(made, str):  # the name of a constant, such as torch.float32
            return self._all("constant", type(value), made)
        make, arguments, *state = made
        return self._all("object", make, arguments, *(list(s) if isinstance(s, Iterator) else s for s in state))

    def _all(self, kind: str, *parts: Any) -> bytes:
        return _digest(kind, *map(self.content, parts))

    def _class(self, kind: type) -> bytes:
        told: list[Any] = []
        for base in kind.__mro__:
            members = {name: member for name, member in vars(base).items() if _counts(name, member)}
            file = _file_of(base.__module__)
            if _installed(file):  # by name, and by what somebody has put into it since
                told += [base.__module__, base.__qualname__, _package(base.__module__)]
                members = {
                    name: member
                    for name, member in members.items()
                    if any(not _installed(function.__code__.co_filename) for function in _functions(member))
                }
            else:
                told.append(_text(base.__module__))  # which it may look into by names that are made up as it runs
            told.append(members)
        return self._all("class", *told)

    def _function(self, function: FunctionType) -> bytes:
        code, file = function.__code__, function.__code__.co_filename
        cells = [_cell(cell) for cell in function.__closure__ or ()]
        given = (function.__defaults__, function.__kwdefaults__, vars(function), cells)
        if _installed(file):  # a decorator, for one, closes over a function of the user's
            return self._all("function", function.__module__, code.co_qualname, _package(function.__module__), *given)
        codes = list(_codes(code))
        names = [name for part in codes for name in part.co_names]
        known = function.__globals__
        named = {name: self._named(known[name], names) for name in names if name in known}
        package = known.get("__package__") or ""
        for name in (found.argval for part in codes for found in dis.get_instructions(part) if _imports(found)):
            for module in (sys.modules.get(name), sys.modules.get(f"{package}.{name}")):
                if module is not None:
                    named[f"import {name}"] = self._named(module, names)
        # Ours by its text, which is the same in every version of Python.
        text = inspect.getsource(function) if file.startswith(_OURS) and function.__name__ != "<lambda>" else code
        return self._all("function", text, *given, named)

    def _named(self, value: Any, names: Iterable[str]) -> bytes:
        return self._module(value, names) if isinstance(value, ModuleType) else self.content(value)

    def _module(self, module: ModuleType, names: Iterable[str]) -> bytes:
        """A module by its name where it is installed, else by those of its members that are in `names`."""
        if _installed(_file_of(module.__name__)):
            return self._all("installed", module.__name__, _package(module.__name__))
        if id(module) in self.under_way:
            return _digest("again")
        self.under_way[id(module)] = len(self.under_way)
        members = {name: self._named(vars(module)[name], names) for name in sorted({*names} & vars(module).keys())}
        del self.under_way[id(module)]
        return self._all("members", _text(module.__name__), members)


def _state(module: nn.Module) -> dict[str, Any]:
    """A module's attributes, with hooks numbered as they run: torch numbers them through a whole process.

    Without the mode, and without the weak references to its weights that a recurrent layer holds beside them.
    """
    left_out = ("training", "_flat_weight_refs")
    state = {name: part for name, part in vars(module).items() if name not in left_out}
    hooks = {name: state[name] for name in _HOOKS if name in state}
    number = {key: at for at, key in enumerate(sorted({key for part in hooks.values() for key in part}))}
    return state | {name: {number[key]: hook for key, hook in part.items()} for name, part in hooks.items()}


def _digest(kind: str, *parts: bytes) -> bytes:
    digest = hashlib.sha256(f"{kind} {len(parts)}\n".encode())
    for part in parts:
        digest.update(f"{len(part)}\n".encode() + part)
    return digest.digest()


def _codes(code: CodeType) -> Iterable[CodeType]:
    """A function's code and that of all functions written inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _imports(instruction: dis.Instruction) -> bool:
    return instruction.opname == "IMPORT_NAME"


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def _functions(member: Any) -> list[FunctionType]:
    """The functions written in Python that a member of a class runs."""
    parts: list[Any] = [member]
    if isinstance(member, staticmethod | classmethod):
        parts = [member.__func__]
    elif isinstance(member, property):
        parts = [member.fget, member.fset]
    elif isinstance(member, functools.cached_property):
        parts = [member.func]
    return [part for part in parts if isinstance(part, FunctionType)]


def _counts(name: str, member: Any) -> bool:
    """Whether a member of a class can change what its objects do; its documentation and bookkeeping cannot."""
    return name != "_abc_impl" and (callable(member) or not (name.startswith("__") and name.endswith("__")))


def _file_of(module: str) -> str:
    """Its file, or "<frozen>" for a module of Python's own; one of the user's may be named as that, such as `code`."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    named = module.partition(".")[0] in sys.stdlib_module_names | {"builtins"}
    return "<frozen>" if named and (not file or _of_python(file)) else file


@functools.cache
def _of_python(file: str) -> bool:
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    return bool(folders & {*Path(file).parents}) and not _in_packages(file)


def _in_packages(file: str) -> bool:
    return bool({"site-packages", "dist-packages"} & {*Path(file).parts})


def _text(module: str) -> bytes:
    """The file of a module; empty where it has none, as in an interpreter."""
    file = Path(_file_of(module))
    return file.read_bytes() if file.is_file() else b""


@functools.cache
def _installed(file: str) -> bool:
    """Whether a file belongs to Python or an installed package, and not to us or to the user."""
    if file.startswith(_OURS):
        return False
    return file.startswith("<frozen") or _in_packages(file) or _of_python(file)


@functools.cache
def _package(module: str) -> str:
    """The sha256 over the Python files of the installed package that a module is in; empty where the name is enough."""
    top = module.partition(".")[0]
    if top in _BY_NAME or _file_of(top) == "<frozen>" or top not in sys.modules:
        return ""
    folders = [Path(folder) for folder in getattr(sys.modules[top], "__path__", ())]
    files = {str(file.relative_to(folder)): file for folder in folders for file in folder.rglob("*.py")}
    files = files or {"": Path(_file_of(top))}
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
