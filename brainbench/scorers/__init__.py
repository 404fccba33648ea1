"""Notions of agreement: one a file."""

from __future__ import annotations

from typing import Any

from brainbench.core.protocols import Scorer
from brainbench.core.registry import Registry
from brainbench.errors import UsageError

SCORERS = Registry(
    kind="scorer",
    own={
        "cca": "brainbench.scorers.similarity:CCA",
        "cka": "brainbench.scorers.similarity:CKA",
        "few_shot_ridge": "brainbench.scorers.few_shot:FewShotRidge",
        "in_context": "brainbench.scorers.few_shot:InContext",
        "kernel_analysis": "brainbench.scorers.kernel_analysis:KernelAnalysis",
        "matching": "brainbench.scorers.matching:Matching",
        "ridge": "brainbench.scorers.ridge:Ridge",
        "rsa": "brainbench.scorers.rsa:RSA",
        "shape": "brainbench.scorers.similarity:Shape",
        "ssm": "brainbench.scorers.similarity:SSM",
        "svm": "brainbench.scorers.svm:SVM",
        "whitened": "brainbench.scorers.similarity:Whitened",
    },
    group="brainbench.scorers",
)


def load(name: str, params: dict[str, Any]) -> Scorer:
    """The scorer `name` with its parameters set. Raises UsageError for a parameter that it does not have."""
    kind = SCORERS[name]
    try:
        scorer: Scorer = kind(**params)
    except TypeError as error:
        raise UsageError(f"scorer {name!r} does not take these parameters: {params} ({error})") from None
    return scorer
