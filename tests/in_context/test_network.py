"""The encoder's exact properties: sizes, permutations, independence, attention's scale, linearity, no context."""

import math

import pytest
import torch

from brainbench.errors import UnknownNameError, UsageError
from brainbench.in_context.network import PRESETS, Architecture, Encoder, n_parameters, predicted, preset


@pytest.fixture
def encoder():
    torch.manual_seed(3)
    return Encoder(PRESETS["tiny"]).double().eval()


def context(b=3, s=11, e=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(b, s, e, dtype=torch.float64, generator=generator),
        torch.randn(b, s, dtype=torch.float64, generator=generator),
    )


@pytest.mark.parametrize(("name", "n"), [("clip", 97_074_852), ("dino", 156_000_196), ("siglip", 277_044_132)])
def test_the_presets_of_the_paper_have_its_number_of_parameters(name, n):
    assert n_parameters(PRESETS[name]) == n


def test_the_order_of_the_context_means_nothing(encoder):
    x, y = context()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder(x[:, order], y[:, order]), encoder(x, y), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(encoder(x, y[:, order]), encoder(x, y))  # but who belongs to whom does


def test_neuroids_know_nothing_of_each_other(encoder):
    x, y = context()
    together = encoder(x, y)
    other = y.clone()
    other[0] = 100
    torch.testing.assert_close(encoder(x, other)[1:], together[1:], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(encoder(x[1:2], y[1:2]), together[1:2], rtol=1e-10, atol=1e-12)


def test_predictions_less_the_bias_are_linear_in_the_query(encoder):
    weights = encoder(*context())
    p, q = context(s=5, seed=1)[0], context(s=5, seed=2)[0]
    bias = weights[:, -1:]
    torch.testing.assert_close(
        predicted(weights, 2 * p - 3 * q) - bias,
        2 * (predicted(weights, p) - bias) - 3 * (predicted(weights, q) - bias),
    )
    by_hand = torch.stack([p[b] @ weights[b, :8] + weights[b, 8] for b in range(3)])
    torch.testing.assert_close(predicted(weights, p), by_hand)


def test_without_a_context_all_neuroids_have_the_same_readout(encoder):
    weights = encoder(*context(s=0))
    assert weights.shape == (3, 9) and torch.equal(weights[0], weights[1]) and torch.isfinite(weights).all()


@pytest.mark.parametrize(("n", "scaled", "plain"), [(10, 0.638, 0.269), (100, 0.717, 0.032), (1000, 0.799, 0.0033)])
def test_attention_stays_as_sharp_in_a_long_context(n, scaled, plain):
    """One token leads by 1.2. Identity weights and values that are 1 for it and 0 else show what it is attended by."""
    block = Encoder(Architecture(n_features=1, width=2, n_layers=1, n_heads=1, hidden=1)).double().blocks[0].eval()
    block.norm_attention = torch.nn.Identity()
    with torch.no_grad():
        for part in (block.query, block.key, block.value, block.out):
            part.weight.zero_(), part.bias.zero_()
        block.query.bias[0] = 0.0
        block.query.weight[0, 1] = 1.2 * math.sqrt(2)  # the second dimension is 1 for all: every token asks the same
        block.key.weight[0, 0] = block.value.weight[0, 0] = block.out.weight[0, 0] = 1.0
        block.back.weight.zero_(), block.back.bias.zero_()
        tokens = torch.zeros(1, n, 2, dtype=torch.float64)
        tokens[..., 1] = 1
        tokens[0, 0, 0] = 1
        attention = (block(tokens) - tokens)[0, 0, 0].item()
        assert attention == pytest.approx(n**1.2 / (n**1.2 + n - 1), rel=1e-10)
        assert attention == pytest.approx(scaled, abs=5e-4)
        # the bias of the query is not scaled: asked by it alone, the weight is that of plain attention
        block.query.weight.zero_()
        block.query.bias[0] = 1.2 * math.sqrt(2)
        attention = (block(tokens) - tokens)[0, 0, 0].item()
        assert attention == pytest.approx(math.exp(1.2) / (math.exp(1.2) + n - 1), rel=1e-10)
        assert attention == pytest.approx(plain, abs=5e-4)


def test_dropout_is_for_training_alone():
    x, y = context()
    torch.manual_seed(0)
    a = PRESETS["tiny"]
    encoder = Encoder(Architecture(**{f: getattr(a, f) for f in a.__slots__} | {"dropout": 0.5})).double()
    assert not torch.equal(encoder(x, y), encoder(x, y))
    encoder.eval()
    assert torch.equal(encoder(x, y), encoder(x, y))


def test_a_wrong_size_or_name_is_refused(encoder):
    with pytest.raises(UsageError, match="reads 8 features"):
        encoder(*context(e=7))
    with pytest.raises(UsageError, match="heads must divide"):
        Architecture(n_features=3, width=10, n_layers=1, n_heads=3, hidden=4)
    with pytest.raises(UnknownNameError, match="tiny"):
        preset("tinny")
