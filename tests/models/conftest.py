"""One core a test: two OpenMP threads that share a busy core wait for each other far longer than they work."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """One intra-op thread while the test runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
