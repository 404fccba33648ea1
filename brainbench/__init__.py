"""brainbench: how brain-like is a vision model, where in the brain, at what depth, and how sure are we?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainbench.api import Regions, Results, compare_regions, score
    from brainbench.queries import query
    from brainbench.studies import Subsampled, describe, subsample

__version__ = "0.1.0"
__all__ = [
    "Regions",
    "Results",
    "Subsampled",
    "__version__",
    "compare_regions",
    "describe",
    "query",
    "score",
    "subsample",
]


def __getattr__(name: str) -> object:
    """Import the public names when they are asked for: `import brainbench` alone loads no torch."""
    if name in __all__:
        from brainbench import api, queries, studies

        if name == "query":
            return queries.query
        return getattr(studies if name in ("Subsampled", "describe", "subsample") else api, name)
    raise AttributeError(f"module 'brainbench' has no attribute {name!r}")
