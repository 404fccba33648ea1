"""Terms of use: a recording that asks for agreement is not opened before somebody here has agreed.

Agreement is a line in the user's configuration, or an id in BRAINBENCH_ACCEPT_TERMS for machines where nobody sits.
New terms have to be accepted anew.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import platformdirs

from brainbench.datasets._manifest import Manifest
from brainbench.errors import AccessError, InputError

VARIABLE = "BRAINBENCH_ACCEPT_TERMS"


def accepted(manifest: Manifest) -> bool:
    """Whether the terms of this version were accepted, or there are none to accept."""
    if manifest.access == "open":
        return True
    named = {name.strip() for name in os.environ.get(VARIABLE, "").split(",")}
    return manifest.id in named or _kept().get(manifest.id) == manifest.terms_version


def demand(manifest: Manifest) -> None:
    """Nothing where the terms were accepted, else AccessError with both ways to accept them."""
    if not accepted(manifest):
        raise AccessError(
            f"{manifest.id} may be used by who agreed to its terms (version {manifest.terms_version}): read "
            f"{manifest.terms_url}, then say `brainbench data accept {manifest.id}` once, or, where nobody can be "
            f"asked, set {VARIABLE}={manifest.id} (several ids with commas)"
        )


def accept(manifest: Manifest) -> Path:
    """The file that now says that this user accepts the terms. Raises AccessError if it cannot be written."""
    path = _file()
    lines = [f'{id} = "{version}"\n' for id, version in (_kept() | {manifest.id: manifest.terms_version}).items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise AccessError(f"{path} cannot be written: {error}; set {VARIABLE}={manifest.id} instead") from None
    return path


def _file() -> Path:
    return platformdirs.user_config_path("brainbench") / "accepted_terms.toml"


def _kept() -> dict[str, str]:
    try:
        return tomllib.loads(_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{_file()} cannot be read: {error}. Delete it and accept again") from None
