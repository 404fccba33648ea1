"""Figures as files: PNG and SVG whose bytes depend on what is drawn alone, not on the day or the program."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from brainbench.errors import ResourceError, UsageError

_METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `<folder>/<name>.png` and `.svg`, whatever in the name is no file name replaced by _; gives the paths.

    Raises ResourceError where they cannot be written.
    """
    stem = re.sub(r"[^A-Za-z0-9._+@-]|^\.+", "_", name)[:120]
    return [save_as(figure, folder / f"{stem}{suffix}") for suffix in _METADATA]


def save_as(figure: Figure, path: Path) -> Path:
    """Write one file, a PNG or an SVG by its name; gives the path.

    Raises UsageError for another kind of file, ResourceError where it cannot be written.
    """
    check_kind(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # ids in an SVG are hashes with a random salt, and letters stay letters so that they can be found and edited
        with matplotlib.rc_context({"svg.hashsalt": "brainbench", "svg.fonttype": "none"}):
            figure.savefig(path, dpi=200, metadata=_METADATA[path.suffix.lower()])
    except OSError as error:
        raise ResourceError(f"cannot write figures to {path.parent}: {error.strerror}. Name another folder.") from None
    return path


def check_kind(path: Path) -> None:
    """Raises UsageError for a file that is no PNG and no SVG by its name."""
    if path.suffix.lower() not in _METADATA:
        raise UsageError(f"figures are .png or .svg, not {path.name!r}")
