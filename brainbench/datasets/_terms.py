"""Terms of use: a recording that asks for agreement is not opened before somebody here has agreed.

Agreement is a line in the user's configuration, or an id in BRAINBENCH_ACCEPT_TERMS for machines where nobody sits.
New terms have to be accepted anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from brainbench.datasets import _settings
from brainbench.datasets._manifest import Manifest
from brainbench.errors import AccessError

VARIABLE = "BRAINBENCH_ACCEPT_TERMS"
_NAME = "accepted_terms"


def accepted(manifest: Manifest) -> bool:
    """Whether the terms of this version were accepted, or there are none to accept."""
    if manifest.access == "open":
        return True
    named = {name.strip() for name in os.environ.get(VARIABLE, "").split(",")}
    return manifest.id in named or _settings.kept(_NAME).get(manifest.id) == manifest.terms_version


def demand(manifest: Manifest) -> None:
    """Nothing where the terms were accepted, else AccessError with both ways to accept them."""
    if not accepted(manifest):
        version = "" if manifest.terms_version == "unversioned" else f" (version {manifest.terms_version})"
        raise AccessError(
            f"{manifest.id} may only be used by those who agreed to its terms{version}: read "
            f"{manifest.terms_url}, then say `brainbench data accept {manifest.id}` once, or, where nobody can be "
            f"asked, set {VARIABLE}={manifest.id} (several ids with commas)"
        )


def accept(manifest: Manifest) -> Path:
    """The file that now says that this user accepts the terms. Raises AccessError if it cannot be written."""
    now = _settings.kept(_NAME) | {manifest.id: manifest.terms_version}
    return _settings.keep(_NAME, now, otherwise=f"set {VARIABLE}={manifest.id} instead")
