"""The THINGS pictures, which are not part of the recordings made with them: used where they lie beside these."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pandas as pd
from PIL import Image

from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.errors import InputError

FOLDER = "object_images"  # <concept>/<name>.jpg, as THINGS unpacks them


def stimulus_set(root: Path, id: str, shown: Iterable[tuple[str, str]]) -> StimulusSet:
    """The stimuli `shown`, (name, "train" or "test"), with `concept`, `group` and `kind`.

    `group` is the concept: its pictures show the same kind of thing. `sha256` is missing for pictures that are not
    here.
    """
    paths = {PurePosixPath(path).stem: path for path in _fetch.inside(root, id, FOLDER)}
    kinds = dict(sorted(shown))
    digests = [
        hashlib.sha256(_fetch.read(root, id, paths[name])).hexdigest() if name in paths else None for name in kinds
    ]
    concepts = [concept(name) for name in kinds]
    table = pd.DataFrame(
        {"sha256": digests, "concept": concepts, "group": concepts, "kind": list(kinds.values())},
        index=pd.Index(list(kinds), name="stimulus_id", dtype=object),
        dtype=object,
    )
    return StimulusSet(name=id, table=table, open=_opener(root, id, paths))


def concept(name: str) -> str:
    """What a picture shows: "dog" of "dog_12s". Raises InputError for a name that is not of THINGS."""
    what, _, which = name.rpartition("_")
    if not what or not which[:1].isdigit():
        raise InputError(f"{name!r} is not the name of a picture of THINGS, such as dog_12s")
    return what


def _opener(root: Path, id: str, paths: dict[str, str]) -> Callable[[str], Image.Image]:
    return lambda name: Image.open(io.BytesIO(_fetch.read(root, id, paths[name])))
