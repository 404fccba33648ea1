"""What holds for networks by construction holds for the shipped one as it is: trained, with anchor and projection."""

import pytest
import torch

from brainbench.in_context import checkpoint
from brainbench.in_context.ensemble import said


@pytest.fixture(scope="module")
def case():
    reader = checkpoint.load("small").reader
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(48, reader.n_anchored, generator=generator) / torch.arange(1, reader.n_anchored + 1).sqrt()
    y = x[:, :6] + 0.5 * torch.randn(48, 6, generator=generator)
    return reader, x[:40], y[:40], x[40:]


def test_the_order_of_the_context_changes_nothing(case):
    reader, x, y, query = case
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(said(reader, x[order], y[order], query), said(reader, x, y, query), rtol=0, atol=1e-4)


def test_neuroids_know_nothing_of_each_other(case):
    reader, x, y, query = case
    alone = torch.cat([said(reader, x, y[:, [n]], query) for n in range(6)], dim=1)
    torch.testing.assert_close(alone, said(reader, x, y, query), rtol=0, atol=1e-4)
    loud = y.clone()
    loud[:, 0] *= 1e3
    torch.testing.assert_close(said(reader, x, loud, query)[:, 1:], alone[:, 1:], rtol=0, atol=1e-4)


def test_predictions_are_linear_in_the_query(case):
    reader, x, y, query = case
    one, other = query[:4], query[4:]
    at = said(reader, x, y, torch.cat([one, other, (one + other) / 2]))
    torch.testing.assert_close(at[8:], (at[:4] + at[4:8]) / 2, rtol=0, atol=1e-4)


def test_what_it_reads_is_in_the_neuroids_own_unit(case):
    """Twice the response, or another baseline, is twice the prediction, and another baseline."""
    reader, x, y, query = case
    torch.testing.assert_close(said(reader, x, 2 * y + 7, query), 2 * said(reader, x, y, query) + 7, rtol=0, atol=1e-3)
