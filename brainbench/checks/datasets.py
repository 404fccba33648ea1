"""What every dataset is held to: a spec that is true, ids that can be joined, numbers that stay as they were read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.machinery import PathFinder
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from brainbench.checks import _stimuli  # noqa: F401  (registers the checks of stimuli)
from brainbench.checks._arrays import difference, labelled, ordered, overwritten
from brainbench.checks._behaviour import behaves
from brainbench.checks._check import Violation, check
from brainbench.checks._facts import facts
from brainbench.errors import AccessError, BrainbenchError, listed

HEAVY = ("torch", "nibabel", "mne")
_MEASURES = ("responses", "rdms", "behaviour")
_TEXTS = ("id", "title", "species", "modality", "unit", "citation", "licence", "url")


def _responds(dataset: Any) -> bool:
    return hasattr(dataset, "responses")


def _compares(dataset: Any) -> bool:
    return hasattr(dataset, "rdms")


@check("dataset", mend="State in the spec what the release states; 'none stated' is a licence too, '' is not.")
def check_spec_is_filled_in(dataset: Any) -> None:
    spec = dataset.spec
    empty = [name for name in _TEXTS if not isinstance(getattr(spec, name), str) or not getattr(spec, name).strip()]
    if empty:
        raise Violation(f"spec needs text in {listed(empty)}, there is {getattr(spec, empty[0])!r} in {empty[0]}")
    if strange := sorted(set(spec.by_region) - set(spec.regions)):
        raise Violation(f"spec.by_region names {listed(strange)}; spec.regions are {listed(spec.regions)}")
    if not isinstance(spec.synthetic, bool):
        raise Violation(f"spec.synthetic must be True or False, it is {spec.synthetic!r}")
    if type(spec.version) is not int or spec.version < 1:
        raise Violation(f"spec.version must be an integer from 1, it is {spec.version!r}")
    for name in ("subjects", "regions", "measures"):
        names = getattr(spec, name)
        may_be_empty = name == "regions" and not (_responds(dataset) or _compares(dataset))  # choices are of no region
        if (
            not isinstance(names, tuple)
            or not (names or may_be_empty)
            or not all(isinstance(n, str) and n for n in names)
        ):
            raise Violation(f"spec.{name} must be a tuple of names, it is {names!r}")
        if len(set(names)) < len(names):
            raise Violation(f"spec.{name} names one twice: {names!r}")


@check("dataset", mend="Name in spec.measures the methods the class has: 'responses', 'rdms', 'behaviour'.")
def check_measures_are_methods(dataset: Any) -> None:
    methods = tuple(name for name in _MEASURES if callable(getattr(dataset, name, None)))
    if sorted(dataset.spec.measures) != sorted(methods):
        raise Violation(f"spec.measures is {dataset.spec.measures!r}, the class has the methods {methods!r}")


@check("dataset", mend="List in the spec the subjects and regions that the files hold numbers of, no more and no less.")
def check_subjects_and_regions_are_those_measured(dataset: Any) -> None:
    seen = facts(dataset)
    spec, subjects, regions = dataset.spec, set(), set()
    if _responds(dataset):
        for subject in spec.subjects:
            array = seen.responses(subject)
            there = ~np.isnan(array.values).reshape(*array.shape[:2], -1).all(axis=2).all(axis=0)
            subjects |= {subject} if there.any() else set()
            regions |= set(array["region"].values[there])
    if _compares(dataset):
        for region, array in seen.rdms.items():
            there = ~np.isnan(array.values).all(axis=(1, 2, 3))
            subjects |= set(array["subject"].values[there])
            regions |= {region} if there.any() else set()
    if behaves(dataset):
        subjects |= set(seen.behaviour["subject"])
    for name, measured in (("subjects", subjects), ("regions", regions)):
        promised = set(getattr(spec, name))
        if promised != measured:
            raise Violation(
                f"spec.{name} and the numbers disagree: without any number are "
                f"{sorted(promised - measured)}, measured but not listed are {sorted(measured - promised, key=str)}"
            )


@check("dataset", applies=_responds, mend="Build the array with brainbench.core.arrays.responses_array.")
def check_responses_are_labelled(dataset: Any) -> None:
    along = {"stimulus_id": "presentation", "repetition": "presentation", "session": "presentation"}
    along |= {"neuroid_id": "neuroid", "region": "neuroid"}
    for subject in dataset.spec.subjects:
        array = facts(dataset).responses(subject)
        dims = ("presentation", "neuroid", "time")
        labelled(f"responses({subject!r})", array, dims[: max(2, array.ndim)], along, np.float32)
        if array["repetition"].dtype.kind != "i":
            raise Violation(f"repetition of {subject} must be integers, it is {array['repetition'].dtype}")
        if array.ndim == 3 and ("time_s" not in array.coords or not (np.diff(array["time_s"].values) > 0).all()):
            raise Violation(f"responses({subject!r}) needs rising times, in seconds, in the coordinate 'time_s'")


@check("dataset", applies=_compares, mend="Build the array with brainbench.core.arrays.rdms_array.")
def check_rdms_are_labelled(dataset: Any) -> None:
    along = {"subject": "subject", "session": "session", "stimulus_id": "stimulus"}
    for region, array in facts(dataset).rdms.items():
        labelled(f"rdms({region!r})", array, ("subject", "session", "stimulus", "stimulus_"), along, np.float64)


@check("dataset", mend="Convert ids to strings where they are read; number neuroids within subject and session.")
def check_ids_are_unique_strings(dataset: Any) -> None:
    for what, array in _recorded(dataset):
        for name in ("stimulus_id", "session", "subject", "neuroid_id", "region"):
            values = list(array[name].values) if name in array.coords else []
            wrong = [value for value in values if not isinstance(value, str)]
            if wrong:
                raise Violation(f"{name} of {what} must be strings, there is {wrong[0]!r} ({type(wrong[0]).__name__})")
            unique = name in ("neuroid_id", "subject") or (name == "stimulus_id" and "stimulus" in array.dims)
            if unique and len(set(values)) < len(values):
                twice = pd.Index(values)[pd.Index(values).duplicated()].unique()
                raise Violation(f"{name} of {what} holds {listed(twice)} more than once")


@check("dataset", mend="Let stimuli() list everything that was shown to any subject, under the ids the recording uses.")
def check_measured_stimuli_are_in_the_table(dataset: Any) -> None:
    known = set(facts(dataset).stimuli.ids)
    for what, array in _recorded(dataset):
        shown = {name for name in array["stimulus_id"].values if isinstance(name, str)}
        if shown - known:
            raise Violation(f"{what} holds {len(shown - known)} stimuli that the table lacks: {listed(shown - known)}")
    lacking = set(facts(dataset).behaviour["stimulus_id"]) - known if behaves(dataset) else set()
    if lacking:
        raise Violation(f"behaviour() holds {len(lacking)} stimuli that the table lacks: {listed(lacking)}")


@check("dataset", applies=_responds, mend="Count the repetitions of a stimulus within its session.")
def check_presentations_are_told_apart(dataset: Any) -> None:
    for subject in dataset.spec.subjects:
        array = facts(dataset).responses(subject)
        key = pd.MultiIndex.from_arrays([array[name].values for name in ("stimulus_id", "session", "repetition")])
        alike = key.duplicated(keep=False)  # allowed where the rows hold numbers of different neuroids
        there = (~np.isnan(array.values[alike])).reshape(alike.sum(), array[0].size)
        if (pd.DataFrame(there).groupby(key[alike].factorize()[0]).sum() > 1).to_numpy().any():
            raise Violation(f"{subject} has a neuroid with two numbers for one (stimulus, session, repetition)")


@check("dataset", mend="NaN is the one mark of what was not measured: turn the release's own marks into it.")
def check_numbers_are_finite_or_missing(dataset: Any) -> None:
    for what, array in _recorded(dataset):
        infinite = np.isinf(array.values)
        if infinite.any():
            raise Violation(f"{what} has {infinite.sum()} infinite values")
    if behaves(dataset) and np.isinf(facts(dataset).behaviour.select_dtypes("number").to_numpy(np.float64)).any():
        raise Violation("behaviour() has infinite values")


@check("dataset", applies=_compares, mend="Hand over dissimilarities: 0 to itself, the same in both directions.")
def check_rdms_are_dissimilarities(dataset: Any) -> None:
    for region, array in facts(dataset).rdms.items():
        values = array.values
        if not np.array_equal(values, np.swapaxes(values, -1, -2), equal_nan=True):
            raise Violation(f"an RDM of {region} is not symmetric")
        largest = np.nanmax(np.abs(np.diagonal(values, axis1=-2, axis2=-1)), initial=0.0)
        if largest > 1e-6:
            raise Violation(f"an RDM of {region} has {largest:.3g} on its diagonal, not 0")


@check("dataset", mend="Read the same files into the same numbers on every call; keep no state that changes them.")
def check_numbers_are_the_same_again(dataset: Any) -> None:
    for (what, first), ask in zip(_recorded(dataset), _questions(dataset)):
        changed = difference(first, ask())
        if changed:
            raise Violation(f"{what} gives something else the second time: {changed}")


@check("dataset", mend="Return copies (`.copy()`) of what the adapter keeps, not views of it.")
def check_callers_cannot_change_the_numbers(dataset: Any) -> None:
    for ask in _questions(dataset):
        array = ask()
        kept = array.copy(deep=True)
        with overwritten([array.values, *(array[name].values for name in set(array.coords) - set(array.indexes))]):
            changed = difference(kept, ask())
        if changed:
            raise Violation(f"who writes into a returned array changes what is returned next: {changed}")


@check("dataset", applies=_responds, mend="Select rows and columns only; compute nothing from what was asked for.")
def check_filters_select(dataset: Any) -> None:
    for subject in dataset.spec.subjects:
        whole = dataset.responses(subject)
        for name, option in (("region", "regions"), ("session", "sessions")):
            for value in dict.fromkeys(whole[name].values):
                part = dataset.responses(subject, **{option: (value,)})
                of_it = np.flatnonzero(whole[name].values == value)
                changed = difference(ordered(whole.isel({whole[name].dims[0]: of_it})), ordered(part))
                if changed:
                    raise Violation(f"responses({subject!r}, {option}=({value!r},)) is not that part: {changed}")


@check("dataset", mend="Raise brainbench.errors.UnknownNameError(kind, name, known) for a name that is not there.")
def check_unknown_names_are_refused(dataset: Any) -> None:
    spec = dataset.spec
    asked: list[tuple[str, Sequence[str], Callable[[str], Any]]] = []
    if _responds(dataset):
        subject = spec.subjects[0]
        whole = facts(dataset).responses(subject)
        regions, sessions = (tuple(dict.fromkeys(whole[name].values)) for name in ("region", "session"))
        asked += [
            ("subject", spec.subjects, dataset.responses),
            ("region", regions, lambda name: dataset.responses(subject, regions=(regions[0], name))),
            ("session", sessions, lambda name: dataset.responses(subject, sessions=(sessions[0], name))),
        ]
    if _compares(dataset):
        asked += [("region", spec.regions, dataset.rdms)]
    for kind, known, ask in asked:
        wrong = str(known[-1]) + "x"
        while wrong in known:
            wrong += "x"
        try:
            given = ask(wrong)
        except BrainbenchError as error:
            rest = str(error).replace(wrong, "")
            if not any(re.search(rf"(?<!\w){re.escape(str(name))}(?!\w)", rest) for name in known):
                raise Violation(f"the error for {kind} {wrong!r} names none that exist: {error}") from None
        except Exception as error:
            raise Violation(f"{kind} {wrong!r} raised {type(error).__name__}, no BrainbenchError: {error}") from None
        else:
            shape = getattr(given, "shape", type(given).__name__)
            raise Violation(f"there is no {kind} {wrong!r}, but asking for it returned something: {shape}")


def _reads_a_root(dataset: Any) -> bool:
    parameters = signature(type(dataset)).parameters
    needed = [
        name for name, p in parameters.items() if p.default is Parameter.empty and p.kind != Parameter.VAR_KEYWORD
    ]
    return needed == ["root"]


@check(
    "dataset",
    applies=_reads_a_root,
    mend="Raise AccessError with the path that was looked at and the address the files can be got from.",
)
def check_missing_files_say_how_to_get_them(dataset: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = type(dataset)(Path(folder))
        asked: list[tuple[str, Callable[[], Any]]] = [("the recording", lambda: _first_answer(elsewhere))]
        shown = facts(dataset).stimuli.table["sha256"].first_valid_index()
        if shown is not None:
            asked.append(("a picture", lambda: elsewhere.stimuli().image(shown)))
        for what, ask in asked:
            try:
                ask()
            except AccessError as error:
                if folder not in str(error) or "://" not in str(error):
                    raise Violation(f"the error for missing files lacks the folder or an address: {error}") from None
            except Exception as error:
                raise Violation(f"{what} from an empty folder raised {type(error).__name__}: {error}") from None
            else:
                raise Violation(f"{what} could be had from an empty folder")


def _importable(dataset: Any) -> bool:
    found = PathFinder.find_spec(type(dataset).__module__.partition(".")[0])
    return found is not None and found.origin is not None


@check("dataset", applies=_importable, mend="Import heavy packages inside the functions that need them.")
def check_import_is_light(dataset: Any) -> None:
    module = type(dataset).__module__
    code = "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[2]); importlib.import_module(sys.argv[1])"
    code += f"; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    command = [sys.executable, "-c", code, module, json.dumps(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Violation(f"{module} cannot be imported in a fresh interpreter: {done.stderr.strip().splitlines()[-1]}")
    loaded = json.loads(done.stdout.splitlines()[-1])
    if loaded:
        raise Violation(f"importing {module} also imports {listed(loaded)}")


def _first_answer(dataset: Any) -> Any:
    """What the dataset gives when it is asked for one thing that was measured."""
    return next(_questions(dataset), dataset.behaviour if behaves(dataset) else dataset.stimuli)()


def _recorded(dataset: Any) -> Iterator[tuple[str, xr.DataArray]]:
    """Every array of what was measured, as it came the first time, with the call that gives it."""
    if _responds(dataset):
        for subject in dataset.spec.subjects:
            yield f"responses({subject!r})", facts(dataset).responses(subject)
    if _compares(dataset):
        for region in dataset.spec.regions:
            yield f"rdms({region!r})", facts(dataset).rdms[region]


def _questions(dataset: Any) -> Iterator[Callable[[], xr.DataArray]]:
    """The calls of `_recorded`, in the same order, to be made again."""
    if _responds(dataset):
        yield from (partial(dataset.responses, subject) for subject in dataset.spec.subjects)
    if _compares(dataset):
        yield from (partial(dataset.rdms, region) for region in dataset.spec.regions)
