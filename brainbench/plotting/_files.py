"""Figures as files: PNG and SVG whose bytes depend on what is drawn alone, not on the day or the program."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from brainbench.errors import ResourceError

_PNG = {"Software": None}
_SVG = {"Date": None, "Creator": None}


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `<folder>/<name>.png` and `.svg`, whatever in the name is no file name replaced by _; gives the paths.

    Raises ResourceError where they cannot be written.
    """
    stem = re.sub(r"[^A-Za-z0-9._+@-]|^\.+", "_", name)[:120]
    paths = [folder / f"{stem}.png", folder / f"{stem}.svg"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # ids in an SVG are hashes with a random salt, and letters stay letters so that they can be found and edited
        with matplotlib.rc_context({"svg.hashsalt": "brainbench", "svg.fonttype": "none"}):
            figure.savefig(paths[0], dpi=200, metadata=_PNG)
            figure.savefig(paths[1], metadata=_SVG)
    except OSError as error:
        raise ResourceError(f"cannot write figures to {folder}: {error.strerror}. Name another folder.") from None
    return paths
