"""`brainbench train in-context`: from recordings and a network's features to a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainbench import benchmarks, datasets, extraction, models
from brainbench.core.arrays import blocks, take
from brainbench.core.specs import fingerprint, plain
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError, LeakageError, UsageError, listed
from brainbench.in_context import checkpoint, resume
from brainbench.in_context.fields import between_axes
from brainbench.in_context.material import Projection, material
from brainbench.in_context.network import preset
from brainbench.in_context.readout import Reader
from brainbench.in_context.tasks import Recorded
from brainbench.in_context.training import Material, Plan, Stage, held_out_ev, optimizer_of, train
from brainbench.reading import extract
from brainbench.scorers import load as load_scorer
from brainbench.settings import Setting, environment
from brainbench.targets import shared, targets

log = logging.getLogger("brainbench")
EVERY = 100  # steps between two states on disk, and two lines of progress
HELD_OUT = 5  # every fifth neuroid is learned nothing from: its explained variance is the progress
N_COMPONENTS = 384
N_DRAWS = 2  # contexts that a held-out neuroid's explained variance in the card is the mean over
FEWEST = 128  # stimuli of a session: contexts and queries, and what progress is told of


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train on what. `unseen` are benchmarks whose stimuli and subjects may have no part in it.

    `neuroids` are learned from, a random choice of those that are not held out; None is all, 0 leaves synthetic ones.
    """

    dataset: str
    subjects: tuple[str, ...]
    model: str
    layer: str  # NAME:grid<side>
    unseen: tuple[str, ...] = ()
    neuroids: int | None = None
    preset: str = "small"
    components: int = N_COMPONENTS
    steps: tuple[int, int, int] = (2500, 300, 800)
    seed: int = 0
    precision: str = "float32"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a training starts from: features of its distinct stimuli on a grid, and neuroids in a random order.

    `names` are those of the neuroids in `learned`, `held_names` in `held`; `network` is what the features are of.
    """

    grid: torch.Tensor
    side: int
    sha256: list[str]
    network: Any
    learned: list[Recorded]
    held: list[Recorded]
    names: list[str]
    held_names: list[str]

    def some(self, n: int) -> Sources:
        """With the first n of the neuroids to learn from, in an order that is the same for every n.

        Raises InputError where there are fewer.
        """
        if not 0 <= n <= len(self.names):
            raise InputError(f"there are {len(self.names)} neuroids to learn from, not {n}")
        kept = torch.zeros(len(self.names), dtype=torch.bool)
        kept[torch.randperm(len(self.names), generator=torch.Generator().manual_seed(0))[:n]] = True
        masks = torch.split(kept, [part.responses.shape[1] for part in self.learned])
        learned = [replace(part, responses=part.responses[:, mask]) for part, mask in zip(self.learned, masks)]
        return replace(self, learned=learned, names=[name for name, keep in zip(self.names, kept.tolist()) if keep])


def in_context(order: Order, out: Path, setting: Setting, *, tell: Callable[[str], None], command: str) -> Path:
    """Train, and write the checkpoint to `out`; a state beside it lets a killed training go on.

    Raises LeakageError where a benchmark that is to stay unseen shares a subject or a picture with the training,
    UsageError for a layer that is no grid, and what recordings and models raise.
    """
    source = sources(order, setting)
    reader, stuff, projection, plan = prepared(order, source)
    reader.to(setting.device)
    optimizer = optimizer_of(reader, plan)
    seen = {
        "dataset": order.dataset,
        "subjects": list(order.subjects),
        "neuroids": source.names,
        "sha256": source.sha256,
    }
    identity = fingerprint({"order": plain(order), "plan": plain(plan), "seen": seen, "network": source.network})
    state = out.with_suffix(".state")
    start = resume.restore(state, reader, optimizer, identity)
    out.parent.mkdir(parents=True, exist_ok=True)

    def after(step: int, loss: float) -> None:
        if (step + 1) % EVERY == 0 or step + 1 == plan.steps:
            ev = [held_out_ev(reader, stuff.views, source.held, size=size, n_draws=1) for size in (20, 100)]
            stage = plan.stage(step).kind
            tell(f"step {step + 1}/{plan.steps} {stage} loss {loss:.4f} held-out EV {ev[0]:.4f} (20) {ev[1]:.4f} (100)")
            resume.store(state, reader, optimizer, step + 1, identity)

    train(reader, optimizer, stuff, plan, start=start, after=after)
    fewest = min(len(part.rows) for part in source.held)
    ev = {
        str(size): held_out_ev(reader, stuff.views, source.held, size=size, n_draws=N_DRAWS)
        for size in (20, 50, 100, 400)
        if size < fewest - 1
    }
    card: dict[str, Any] = {
        "model": order.model,
        "layer": order.layer,
        "side": source.side,
        "preset": order.preset,
        "seen": seen,
        "unseen": list(order.unseen),
        "seed": order.seed,
        "plan": plain(plan),
        "command": command,
        "held_out_ev": ev,
        "held_out_neuroids": source.held_names,
        "held_out_draws": N_DRAWS,
        "network": source.network,
        "dataset_content": datasets.content(order.dataset),
        "provenance": environment(setting.device),
    }
    checkpoint.save(checkpoint.Checkpoint(reader=reader, projection=projection, card=card), out)
    state.unlink(missing_ok=True)
    return out


def sources(order: Order, setting: Setting) -> Sources:
    """Features and neuroids of a training. Raises as `in_context` does, before any feature is computed."""
    side = _side(order.layer)
    preset(order.preset)
    dataset: Any = datasets.load(order.dataset, setting.roots)
    if "responses" not in dataset.spec.measures:
        measured = " and ".join(dataset.spec.measures)
        raise UsageError(f"{order.dataset} is of {measured}: an encoder learns from neuroids")
    found = [block for subject in order.subjects for block in blocks(dataset.responses(subject))]
    stimuli = _distinct(dataset.stimuli(), [name for block in found for name in block.stimulus_ids])
    shas = set(stimuli.table["sha256"].dropna())
    keep_unseen(order, shas, setting)
    learned, held, names, held_names = _neuroids(found, dataset.stimuli(), stimuli)
    model = models.load(order.model, layers=[order.layer], roots=setting.roots)
    source = Sources(
        grid=_features(order, model, stimuli, setting),
        side=side,
        sha256=sorted(shas),
        network=plain(model.spec),
        learned=learned,
        held=held,
        names=names,
        held_names=held_names,
    )
    return source if order.neuroids is None else source.some(order.neuroids)


def prepared(order: Order, source: Sources) -> tuple[Reader, Material, Projection, Plan]:
    """A reader that has learned nothing but the variances of weights and noise, what it is to learn from, and how."""
    stuff, projection, variance, noise = material(source.grid, source.side, order.components, source.learned)
    plan = _plan(order, len(source.grid), min(len(part.rows) for part in source.learned), real=bool(source.names))
    torch.manual_seed(order.seed)
    reader = Reader(preset(order.preset), order.components, fields=between_axes(projection.axes, source.side))
    with torch.no_grad():
        reader.log_variance.copy_(variance.log())
        reader.log_noise.fill_(float(np.log(noise)))
    return reader, stuff, projection, plan


def keep_unseen(order: Order, shas: set[str], setting: Setting) -> None:
    """Raises LeakageError where an unseen benchmark shares a subject or a picture with the training."""
    for benchmark in benchmarks.select(order.unseen) if order.unseen else []:
        scorer = load_scorer(benchmark.scorer, benchmark.params)
        dataset = datasets.load(benchmark.dataset, setting.roots)
        for target in targets(dataset, [benchmark], scorer):
            people, n_pictures = shared(dataset, target, order.dataset, order.subjects, shas)
            if people or n_pictures:
                raise LeakageError(
                    f"{benchmark.id} is to stay unseen, but the training has its subjects {people} and {n_pictures} of "
                    "its pictures: train on other --subjects"
                )


def _plan(order: Order, n: int, fewest: int, *, real: bool = True) -> Plan:
    """The stages, with contexts no longer than leaves queries among n stimuli, or the `fewest` of a real session.

    Without real neuroids the last stage has synthetic ones. Raises InputError where no context of a useful length is
    left.
    """
    plan = Plan(stages=(), seed=order.seed, precision=order.precision)  # type: ignore[arg-type]
    if min(n, fewest) < FEWEST:
        raise InputError(f"a session has {min(n, fewest)} training stimuli: at least {FEWEST} are needed")
    short, long, last = order.steps
    most, most_real = n - plan.n_queries, fewest - plan.n_queries
    stages = (
        Stage(kind="synthetic", steps=short, context=(8, min(200, most))),
        Stage(kind="synthetic", steps=long, context=(8, min(400, most)), rate=3e-4),
        Stage(kind="real" if real else "synthetic", steps=last, context=(8, min(400, most_real)), rate=3e-4),
    )
    return replace(plan, stages=stages)


def _side(layer: str) -> int:
    pooling = layer.partition(":")[2]
    if not pooling.startswith("grid") or not pooling[4:].isdigit():
        raise UsageError(f"receptive fields need a layer on a grid, such as blocks.4:grid4; got {layer!r}")
    return int(pooling[4:])


def _distinct(stimuli: StimulusSet, names: Sequence[str]) -> StimulusSet:
    """One stimulus a picture, of those named."""
    table = stimuli.table.loc[sorted(set(names))]
    return stimuli.select(tuple(table.index[~table["sha256"].duplicated()]))


def _features(order: Order, model: Any, stimuli: StimulusSet, setting: Setting) -> torch.Tensor:
    extract(model, [stimuli], setting)
    found = extraction.representation(model, model.spec.layers[0], stimuli, setting.store)
    if found is None or found.features is None:
        raise InputError(f"{order.layer} has more features than there are {len(stimuli.ids)} training stimuli")
    return found.features


def _neuroids(
    found: Sequence[Any], everything: StimulusSet, kept: StimulusSet
) -> tuple[list[Recorded], list[Recorded], list[str], list[str]]:
    """Neuroids to learn from, those held out, and the names of both."""
    sha = everything.table["sha256"]
    by_content = {content: name for name, content in kept.table["sha256"].items()}
    learned: list[Recorded] = []
    held: list[Recorded] = []
    names: list[str] = []
    held_names: list[str] = []
    number = 0
    for block in found:
        shown = take(kept.ids, [by_content[sha[name]] for name in block.stimulus_ids], what="stimuli")
        rows, mean = _by_picture(torch.as_tensor(shown), torch.as_tensor(block.mean(), dtype=torch.float32))
        usable = (mean.isfinite().all(dim=0) & (mean.std(dim=0) > 0)).numpy()
        order = number + np.arange(mean.shape[1])
        number += mean.shape[1]
        out = order % HELD_OUT == HELD_OUT - 1
        learned.append(Recorded(rows=rows, responses=mean[:, torch.as_tensor(usable & ~out)]))
        held.append(Recorded(rows=rows, responses=mean[:, torch.as_tensor(usable & out)]))
        names += [name for name, use in zip(block.neuroid_ids, usable & ~out) if use]
        held_names += [name for name, use in zip(block.neuroid_ids, usable & out) if use]
    log.debug("training on %s", listed(names))
    return learned, held, names, held_names


def _by_picture(shown: torch.Tensor, responses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of distinct pictures and the mean responses to each: one that a session showed under two names would be
    in a context and among its queries.
    """
    rows, at = torch.unique(shown, return_inverse=True)
    total = responses.new_zeros(len(rows), responses.shape[1]).index_add_(0, at, responses)
    return rows, total / torch.bincount(at)[:, None]
