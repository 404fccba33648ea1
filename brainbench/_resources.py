"""Where benchmark and manifest files lie: in this package, beside it in a checkout, or in other packages."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "brainbench.data"  # entry points whose value is a package with folders `benchmarks` and `data_manifests`


@cache  # asking for entry points reads a file of every installed package, and every score asks
def tomls(name: str) -> tuple[Path, ...]:
    """The TOML files of folder `benchmarks` or `data_manifests`: this installation's, then those of other packages."""
    here = Path(__file__).parent
    packed = here / "_data" / name
    folders = [packed if packed.is_dir() else here.parent / name]
    for point in entry_points(group=GROUP):
        spec = find_spec(point.value)
        if spec is not None:
            folders += [Path(place) / name for place in spec.submodule_search_locations or ()]
    return tuple(path for folder in folders for path in sorted(folder.glob("*.toml")))
