"""Defects in what a scorer's numbers are compared with, and in what RDMs are made of, are caught by their laws."""

import numpy as np
import pytest
import torch

from brainbench import ceilings as by_rule
from brainbench.checks import _recording, run_checks, scorers_truth
from brainbench.numerics import ceilings
from brainbench.scorers import rsa
from brainbench.scorers.ridge import Ridge
from brainbench.scorers.rsa import RSA


def failures(scorer):
    return {outcome.check for outcome in run_checks(scorer) if outcome.status != "passed"}


def test_a_diagonal_left_in_is_caught(monkeypatch):
    """Pairs of a stimulus with itself are 0 on both sides: they add 3/n to an independent geometry's correlation."""

    def with_diagonal(rdm):
        i, j = torch.triu_indices(rdm.shape[-1], rdm.shape[-1])
        return rdm[..., i, j]

    _recording.recording(RSA())  # its ceiling is not at fault
    monkeypatch.setattr(rsa, "upper", with_diagonal)
    monkeypatch.setattr(RSA, "_too_wide", lambda *arguments: 1.0)  # nor is the spread of its replicates
    assert failures(RSA()) == {
        "null_is_zero",
        "constant_column",
        "replicate_of_ones_is_the_score",
        "replicates_repeat_stimuli",
    }


@pytest.mark.parametrize("scorer", [Ridge(), RSA()], ids=["ridge", "rsa"])
def test_a_null_that_permutes_both_sides_alike_is_caught(monkeypatch, scorer):
    def renamed(data, random):
        order = random.permutation(len(data.stimulus_ids))
        return _recording.rows_taken(data, order, tuple(data.stimulus_ids[i] for i in order))

    monkeypatch.setattr(scorers_truth, "shuffled", renamed)
    assert failures(scorer) == {"null_is_zero"}


@pytest.mark.parametrize(
    "share",
    [
        lambda raw, scale, ceiling: (raw / ceiling.value) ** 2,  # a correlation over a reliability, then squared
        lambda raw, scale, ceiling: raw / ceiling.value,
        lambda raw, scale, ceiling: raw**2 / np.sqrt(ceiling.value),
    ],
    ids=["r/ceiling squared", "r/ceiling", "r²/root of ceiling"],
)
def test_a_wrong_conversion_to_the_ceiling_is_caught(monkeypatch, share):
    monkeypatch.setattr(scorers_truth, "normalized", share)
    assert failures(Ridge()) == {"oracle_reaches_the_ceiling"}


@pytest.mark.parametrize("factor", [0.25, 0.5], ids=["single presentation", "half of the repetitions"])
def test_a_ceiling_of_other_repetitions_than_were_scored_is_caught(monkeypatch, factor):
    def of_fewer(values, **options):
        return ceilings.spearman_brown(ceilings.split_half(values, **options), factor)

    monkeypatch.setattr(by_rule, "split_half", of_fewer)
    _recording._recording.cache_clear()
    try:
        assert failures(Ridge()) == {"oracle_reaches_the_ceiling"}
    finally:
        _recording._recording.cache_clear()
