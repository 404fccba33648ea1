"""Where trained weights lie on this machine, and what a network has instead of them when it is untrained."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainbench.errors import AccessError, InputError, UsageError


def split_twin(name: str) -> tuple[str, int | None]:
    """The network's name and the seed of its untrained twin: "x@untrained7" is ("x", 7), "x" is ("x", None)."""
    base, at, suffix = name.partition("@")
    if not at:
        return name, None
    match = re.fullmatch(r"untrained(\d{0,9})", suffix)
    if match is None:
        raise UsageError(f"{name!r} ends on '@{suffix}'; the only endings are '@untrained' and '@untrained<seed>'")
    return base, int(match[1] or 0)


def untrained(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What `build` makes when its random numbers begin at `seed`; the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def sha256_of(tensors: Mapping[str, Any]) -> str:
    """The sha256 over name, type, shape and bytes of every tensor, sorted by name. Raises InputError for all else."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"{name!r} of the module's state is a {type(tensor).__name__}, not a tensor: it has no hash"
            )
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def in_cache(repository: str, filenames: Sequence[str], fallbacks: Sequence[Path] = ()) -> Path | None:
    """The first of `filenames` that the Hugging Face cache holds of `repository`, else of `fallbacks`; never online."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = repository.partition("@")
    for filename in filenames if repository else ():
        found = try_to_load_from_cache(repository, filename, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return next((path for path in fallbacks if path.is_file()), None)


def not_here(name: str, origin: str) -> AccessError:
    """The error for trained weights that are in no cache, with every way to get them."""
    return AccessError(
        f"the weights of {name!r} ({origin}) are not on this machine, and brainbench does not download any. Load the "
        "network once online with its own library, or point HF_HOME to a cache that holds it, or give a file "
        f"(--weights FILE, of `score` and `query`), or take its untrained twin: {name + '@untrained'!r}"
    )


@contextmanager
def loading(path: Path, name: str) -> Iterator[None]:
    """Turns whatever a library says about a weights file that does not fit into an InputError that names the file."""
    if not path.is_file():
        raise InputError(f"there is no weights file {path}")
    try:
        yield
    except Exception as error:  # pickle, zip, safetensors and torch each have their own
        raise InputError(f"{path} does not hold the weights of {name!r}: {type(error).__name__}: {error}") from error
