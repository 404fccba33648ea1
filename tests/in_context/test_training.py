"""Training: exact to resume, better than where it began; checkpoints; receptive fields in the anchor."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from brainbench.errors import InputError, UnknownNameError, UsageError
from brainbench.in_context import checkpoint, resume
from brainbench.in_context.ensemble import ensembled, said, subsets
from brainbench.in_context.fields import between_axes, estimate, windows
from brainbench.in_context.material import material, principal
from brainbench.in_context.network import PRESETS
from brainbench.in_context.readout import Reader, anchor, normalized
from brainbench.in_context.tasks import Recorded, symmetries
from brainbench.in_context.training import Plan, Stage, batch_of, held_out_ev, loss_of, optimizer_of, train
from brainbench.numerics.linear_learners import posterior_weights
from brainbench.training import _by_picture

PLAN = Plan(
    stages=(
        Stage(kind="synthetic", steps=4, context=(8, 16)),
        Stage(kind="real", steps=4, context=(8, 16)),
    ),
    tokens=64,
    n_queries=8,
    warmup=2,
)


PLAIN = {"mean": torch.zeros(5), "log_odds": torch.zeros(1)}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def stuff():
    grid = torch.randn(60, 3 * 4, generator=rng())
    w = torch.randn(12, 6, generator=rng(1))
    y = grid @ w + torch.randn(60, 6, generator=rng(2))
    return material(grid, 2, 10, [Recorded(rows=torch.arange(60), responses=y)])


def reader_of(stuff, **options):
    torch.manual_seed(0)
    reader = Reader(PRESETS["tiny"], 10, fields=between_axes(stuff[1].axes, 2), **options)
    with torch.no_grad():
        reader.log_variance.copy_(stuff[2].log())
    return reader


def test_a_training_that_was_killed_ends_with_the_bytes_of_one_that_was_not(stuff, tmp_path):
    whole = reader_of(stuff)
    train(whole, optimizer_of(whole, PLAN), stuff[0], PLAN)
    state = tmp_path / "it.state"
    first = reader_of(stuff)
    optimizer = optimizer_of(first, PLAN)

    def after(step, loss):
        if step == 4:
            resume.store(state, first, optimizer, step + 1, "this")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(first, optimizer, stuff[0], PLAN, after=after)
    torch.manual_seed(99)
    second = Reader(PRESETS["tiny"], 10, fields=between_axes(stuff[1].axes, 2))
    optimizer = optimizer_of(second, PLAN)
    start = resume.restore(state, second, optimizer, "this")
    assert start == 5
    train(second, optimizer, stuff[0], PLAN, start=start)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name
    with pytest.raises(InputError, match="other data"):
        resume.restore(state, second, optimizer, "that")


def test_training_lowers_the_loss_of_synthetic_neuroids(stuff):
    plan = replace(PLAN, stages=(Stage(kind="synthetic", steps=150, context=(8, 16)),), tokens=512)
    reader = reader_of(stuff, anchored=False)
    other = replace(plan, seed=5)

    def loss():
        with torch.no_grad():
            return sum(float(loss_of(reader, batch_of(stuff[0], other, step))) for step in range(20)) / 20

    before = loss()
    train(reader, optimizer_of(reader, plan), stuff[0], plan)
    assert loss() < 0.9 * before


def test_what_is_added_to_the_anchor_starts_at_nothing(stuff):
    x, y = torch.randn(2, 12, 10, generator=rng()), torch.randn(2, 12, generator=rng(1)) * 3 + 7
    weights = reader_of(stuff)(x, y)
    assert torch.isfinite(weights).all()
    mean = (x.mean(dim=1) * weights[:, :-1]).sum(dim=1) + weights[:, -1]
    torch.testing.assert_close(mean, y.mean(dim=1))  # the anchor goes through the context's mean


def test_readouts_follow_the_units_of_the_recording(stuff):
    reader = reader_of(stuff)
    torch.nn.init.normal_(reader.encoder.exit.bypass.weight, generator=rng(8))
    x, y = torch.randn(9, 10, generator=rng()), torch.randn(9, 3, generator=rng(1))
    query = torch.randn(5, 10, generator=rng(2))

    def said(x, y, query):
        weights = reader.shared(x, y)
        return query @ weights[:, :-1].T + weights[:, -1]

    plain = said(x, y, query)
    torch.testing.assert_close(said(x, 4 * y + 11, query), 4 * plain + 11, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(said(3 * x + 1, y, 3 * query + 1), plain, rtol=1e-3, atol=1e-3)


def test_the_gaussian_anchor_is_the_posterior():
    x, y = torch.randn(2, 7, 5, generator=rng()).double(), torch.randn(2, 7, generator=rng(1)).double()
    variance = torch.rand(5, generator=rng(2)).double() + 0.1
    ours = anchor(x, y, variance, torch.tensor(0.4).double())
    for b in range(2):
        expected = posterior_weights(
            x[b], y[b][:, None], mean=torch.zeros(5).double(), covariance=variance.diag(), noise=0.4
        )
        torch.testing.assert_close(ours[b], expected[:, 0])


def test_with_no_window_alone_the_anchor_with_fields_is_the_gaussian_one():
    x, y, _ = normalized(torch.randn(1, 7, 5, generator=rng()), torch.randn(1, 7, generator=rng(1)))
    variance = torch.rand(5, generator=rng(2)) + 0.1
    noise = torch.tensor(0.4)
    ours = estimate(x[0], y.T, variance, noise, torch.eye(5)[None], **PLAIN)
    torch.testing.assert_close(ours, anchor(x, y, variance, noise), rtol=1e-4, atol=1e-5)


def test_the_anchor_with_a_mean_is_the_posterior_around_it_and_the_mean_without_a_context():
    x, y, _ = normalized(torch.randn(1, 7, 5, generator=rng()), torch.randn(1, 7, generator=rng(1)))
    mean, variance, noise = torch.randn(5, generator=rng(3)), torch.rand(5, generator=rng(2)) + 0.1, torch.tensor(0.4)
    ours = estimate(x[0], y.T, variance, noise, torch.eye(5)[None], mean=mean, log_odds=torch.zeros(1))
    expected = posterior_weights(x[0], y.T, mean=mean, covariance=variance.diag(), noise=0.4)
    torch.testing.assert_close(ours[0], expected[:, 0], rtol=1e-4, atol=1e-5)
    none = estimate(x[0, :0], y.T[:0], variance, noise, torch.eye(5)[None], mean=mean, log_odds=torch.zeros(1))
    assert torch.equal(none[0], mean)


def test_fields_find_where_a_neuroid_looks():
    """Neuroids that read one corner alone: with fields their responses are predicted better."""
    side, channels = 4, 6
    x = torch.randn(60, channels * 16, generator=rng())
    w = torch.zeros(channels, 16, 30)
    w[:, 0] = torch.randn(channels, 30, generator=rng(1))
    y = x @ w.flatten(0, 1) + torch.randn(60, 30, generator=rng(2))
    axes = torch.eye(channels * 16)
    one, noise = torch.full((96,), 1 / 96), torch.tensor(0.3)
    fields = between_axes(axes, side)
    torch.testing.assert_close(fields[0], torch.eye(96))
    assert len(fields) == len(windows(side)) == 33
    fit, test = slice(0, 40), slice(40, 60)
    signal = x @ w.flatten(0, 1)

    def error(guess):
        return float((x[test] @ guess.T - signal[test]).square().mean())

    def found(fields):
        return estimate(x[fit], y[fit], one, noise, fields, mean=torch.zeros(96), log_odds=torch.zeros(len(fields)))

    assert error(found(fields)) < 0.7 * error(found(fields[:1]))


def test_a_checkpoint_comes_back_as_it_was_but_for_half_precision(stuff, tmp_path):
    reader, path = reader_of(stuff), tmp_path / "it.safetensors"
    card = {
        "side": 2,
        "model": "m",
        "layer": "l:grid2",
        "network": {"weights": "0" * 64},
        "seen": {"dataset": "x", "subjects": ["a"], "neuroids": [], "sha256": []},
    }
    checkpoint.save(checkpoint.Checkpoint(reader=reader, projection=stuff[1], card=card), path)
    found = checkpoint.load(str(path))
    assert found.card["seen"] == card["seen"] and not found.reader.training
    x, y = torch.randn(9, 10, generator=rng()), torch.randn(9, 3, generator=rng(1))
    torch.testing.assert_close(found.reader.shared(x, y), reader.shared(x, y), rtol=2e-2, atol=2e-2)
    del card["model"]
    other = reader_of(stuff)
    with torch.no_grad():
        other.log_noise.fill_(3)
    checkpoint.save(checkpoint.Checkpoint(reader=other, projection=stuff[1], card=card | {"model": "n"}), path)
    assert checkpoint.load(str(path)).card["model"] == "n"  # another file of the same name is not the one held
    checkpoint.save(checkpoint.Checkpoint(reader=other, projection=stuff[1], card=card), path)
    with pytest.raises(InputError, match="lacks model"):
        checkpoint.load(str(path))
    path.with_name("broken.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.load(str(path.with_name("broken.safetensors")))
    for name in (
        "smal",
        "../checkpoints/small",
        str(checkpoint.SHIPPED / "small"),
    ):  # shipped ones are named, not sought
        with pytest.raises(UnknownNameError):
            checkpoint.load(name)


def test_a_card_that_tells_more_layers_than_there_are_tensors_is_refused_at_once(tmp_path):
    path, shipped = tmp_path / "deep.safetensors", checkpoint.SHIPPED / "small.safetensors"
    with safe_open(shipped, framework="pt") as file:
        card = json.loads(file.metadata()["card"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    card["architecture"]["n_layers"] = 10**9
    save_file(tensors, path, metadata={"card": json.dumps(card)})
    with pytest.raises(InputError, match="tensors are not 1000000000 layers"):
        checkpoint.load(str(path))


def test_numbers_that_half_precision_cannot_hold_are_kept_whole():
    small, large = torch.full((3,), 1e-9), torch.full((3,), 1e9)
    for tensor in (small, large):
        assert torch.equal(checkpoint._halved(tensor), tensor)
    assert checkpoint._halved(torch.tensor([0.1, 3.0])).dtype == torch.float16


def test_only_real_neuroids_teach_the_prior(stuff):
    for kind, learns in (("synthetic", False), ("real", True)):
        plan = replace(PLAN, stages=(Stage(kind=kind, steps=3, context=(8, 16)),))
        reader = reader_of(stuff)
        before = [reader.log_variance.clone(), reader.mean.clone(), reader.log_odds.clone()]
        train(reader, optimizer_of(reader, plan), stuff[0], plan)
        after = [reader.log_variance, reader.mean, reader.log_odds]
        assert all(torch.equal(a, b) != learns for a, b in zip(after, before)), kind


def test_a_picture_shown_under_two_names_is_one_stimulus_with_the_mean_response():
    rows, y = _by_picture(torch.tensor([4, 2, 4]), torch.tensor([[1.0], [5.0], [3.0]]))
    assert rows.tolist() == [2, 4] and y[:, 0].tolist() == [5, 2]


def test_an_ensemble_of_the_same_context_is_that_context_and_of_subsets_is_their_mean(stuff):
    reader = reader_of(stuff).eval()
    x, y, query = torch.randn(9, 10, generator=rng()), torch.randn(9, 3, generator=rng(1)), torch.randn(4, 10)
    whole = torch.arange(9)
    assert torch.equal(ensembled(reader, x, y, query, [whole] * 4), said(reader, x, y, query))
    parts = subsets(9, 3, 0.7)
    assert [len(set(part.tolist())) for part in parts] == [6, 6, 6] and len({tuple(p.tolist()) for p in parts}) == 3
    each = [said(reader, x[part], y[part], query) for part in parts]
    torch.testing.assert_close(ensembled(reader, x, y, query, parts), sum(each) / 3)


def test_symmetries_are_the_eight_of_the_square():
    assert len({tuple(order.tolist()) for order in symmetries(3)}) == 8
    assert all(sorted(order.tolist()) == list(range(9)) for order in symmetries(3))


def test_the_projection_keeps_the_leading_components_of_a_mean_square_norm_of_one():
    x = torch.randn(50, 6, generator=rng()) * torch.tensor([5.0, 4, 3, 2, 1, 0.5]) + 2
    z = principal(x, 6)(x)
    assert float(z.square().sum(dim=1).mean()) == pytest.approx(1, rel=1e-5)
    cov = z.T @ z / 50
    torch.testing.assert_close(cov, cov.diagonal().diag(), rtol=0, atol=1e-5)
    assert (cov.diagonal().diff() < 0).all()
    with pytest.raises(InputError, match="do not have 7"):
        principal(x, 7)


def test_a_context_of_one_or_of_another_width_is_refused(stuff):
    reader = reader_of(stuff)
    with pytest.raises(InputError, match="one stimulus"):
        reader(torch.zeros(2, 1, 10), torch.zeros(2, 1))
    with pytest.raises(UsageError, match="10 features"):
        reader(torch.zeros(2, 5, 9), torch.zeros(2, 5))
    weights = reader.shared(torch.zeros(0, 10), torch.zeros(0, 4))
    assert torch.equal(weights, weights[:1].expand(4, -1))


def test_half_precision_trains_as_well_and_stays_near(stuff):
    plan = replace(PLAN, precision="bf16")
    half, full = reader_of(stuff), reader_of(stuff)
    losses = {"half": [], "full": []}
    train(half, optimizer_of(half, plan), stuff[0], plan, after=lambda step, loss: losses["half"].append(loss))
    train(full, optimizer_of(full, PLAN), stuff[0], PLAN, after=lambda step, loss: losses["full"].append(loss))
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in half.parameters())
    assert losses["half"] == pytest.approx(losses["full"], rel=0.02) and losses["half"] != losses["full"]
    assert losses["half"][0] == losses["full"][0]  # the anchor is in full precision, and nothing is added to it yet


def test_batches_go_where_the_reader_lies(stuff):
    batch = batch_of(stuff[0], PLAN, 0).to(torch.device("meta"))
    assert {batch.features.device.type, batch.responses.device.type, batch.targets.device.type} == {"meta"}
    with torch.device("meta"):
        reader = Reader(PRESETS["tiny"], 10).to("meta")
    told = []
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):  # the loss is a number, which meta has not
        train(reader, optimizer_of(reader, PLAN), stuff[0], PLAN, after=lambda *step: told.append(step))
    assert not told


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_trains_to_the_same(stuff, tmp_path):
    here, there = reader_of(stuff), reader_of(stuff).cuda()
    losses = {"here": [], "there": []}
    train(here, optimizer_of(here, PLAN), stuff[0], PLAN, after=lambda step, loss: losses["here"].append(loss))
    optimizer = optimizer_of(there, PLAN)
    train(there, optimizer, stuff[0], PLAN, after=lambda step, loss: losses["there"].append(loss))
    assert losses["there"] == pytest.approx(losses["here"], rel=1e-3)
    ev = [held_out_ev(reader, stuff[0].views, stuff[0].sessions, size=20, n_draws=2) for reader in (here, there)]
    assert ev[0] == pytest.approx(ev[1], abs=1e-3)
    resume.store(tmp_path / "it.state", there, optimizer, 8, "this")
    again = reader_of(stuff).cuda()
    assert resume.restore(tmp_path / "it.state", again, optimizer_of(again, PLAN), "this") == 8
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), there.parameters()))
