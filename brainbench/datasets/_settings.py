"""What a user set once and for all, in small files of the user's configuration: names and texts, as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from brainbench.core.whole import write_whole
from brainbench.errors import AccessError, InputError


def file(name: str) -> Path:
    """Where the settings of this name lie, whether there are any or not."""
    return platformdirs.user_config_path("brainbench") / f"{name}.toml"


def kept(name: str) -> dict[str, str]:
    """The settings; none where nothing was set. Raises InputError where they cannot be read."""
    path = file(name)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Delete it and set it again") from None
    if odd := [key for key, value in found.items() if not isinstance(value, str)]:
        raise InputError(
            f"{path} cannot be read: {odd[0]} is no text in quotes. Mend it, or delete it and set it again"
        )
    return found


def keep(name: str, values: Mapping[str, str], *, otherwise: str) -> Path:
    """The file, which now holds these. Raises AccessError, with what to do otherwise, where it cannot be written."""
    path = file(name)
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]  # JSON's texts are TOML's, too
    try:
        write_whole(path, "".join(lines))
    except OSError as error:
        raise AccessError(f"{path} cannot be written: {error}; {otherwise}") from None
    return path
