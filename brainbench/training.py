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
from brainbench.in_context.material import material
from brainbench.in_context.network import preset
from brainbench.in_context.readout import Reader
from brainbench.in_context.tasks import Recorded
from brainbench.in_context.training import Plan, Stage, held_out_ev, optimizer_of, train
from brainbench.runner import Setting, environment
from brainbench.scorers import load as load_scorer
from brainbench.targets import targets

log = logging.getLogger("brainbench")
EVERY = 100  # steps between two states on disk, and two lines of progress
HELD_OUT = 5  # every fifth neuroid is learned nothing from: its explained variance is the progress
N_COMPONENTS = 384
FEWEST = 128  # stimuli of a session: contexts and queries, and what progress is told of


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train on what. `unseen` are benchmarks whose stimuli and subjects may have no part in it."""

    dataset: str
    subjects: tuple[str, ...]
    model: str
    layer: str  # NAME:grid<side>
    unseen: tuple[str, ...] = ()
    preset: str = "small"
    components: int = N_COMPONENTS
    steps: tuple[int, int, int] = (2500, 300, 800)
    seed: int = 0
    precision: str = "float32"


def in_context(order: Order, out: Path, setting: Setting, *, tell: Callable[[str], None], command: str) -> Path:
    """Train, and write the checkpoint to `out`; a state beside it lets a killed training go on.

    Raises LeakageError where a benchmark that is to stay unseen shares a subject or a picture with the training,
    UsageError for a layer that is no grid, and what recordings and models raise.
    """
    side = _side(order.layer)
    dataset: Any = datasets.load(order.dataset, setting.roots)
    found = [block for subject in order.subjects for block in blocks(dataset.responses(subject))]
    stimuli = _distinct(dataset.stimuli(), [name for block in found for name in block.stimulus_ids])
    refuse_seen(order, set(stimuli.table["sha256"].dropna()), setting)
    grid = _features(order, stimuli, setting)
    learned, held, names = _neuroids(found, dataset.stimuli(), stimuli)
    stuff, projection, variance, noise = material(grid, side, order.components, learned)
    plan = _plan(order, len(stimuli.ids), min(len(part.rows) for part in learned))
    torch.manual_seed(order.seed)
    reader = Reader(preset(order.preset), order.components, fields=between_axes(projection.axes, side))
    with torch.no_grad():
        reader.log_variance.copy_(variance.log())
        reader.log_noise.fill_(float(np.log(noise)))
    reader.to(setting.device)
    optimizer = optimizer_of(reader, plan)
    seen = {
        "dataset": order.dataset,
        "subjects": list(order.subjects),
        "neuroids": names,
        "sha256": sorted(stimuli.table["sha256"].dropna()),
    }
    identity = fingerprint({"order": plain(order), "plan": plain(plan), "seen": seen})
    state = out.with_suffix(".state")
    start = resume.restore(state, reader, optimizer, identity)
    out.parent.mkdir(parents=True, exist_ok=True)

    def after(step: int, loss: float) -> None:
        if (step + 1) % EVERY == 0 or step + 1 == plan.steps:
            ev = [held_out_ev(reader, stuff.views, held, size=size, n_draws=1) for size in (20, 100)]
            stage = plan.stage(step).kind
            tell(f"step {step + 1}/{plan.steps} {stage} loss {loss:.4f} held-out EV {ev[0]:.4f} (20) {ev[1]:.4f} (100)")
            resume.store(state, reader, optimizer, step + 1, identity)

    train(reader, optimizer, stuff, plan, start=start, after=after)
    fewest = min(len(part.rows) for part in held)
    ev = {
        str(size): held_out_ev(reader, stuff.views, held, size=size) for size in (20, 50, 100, 400) if size < fewest - 1
    }
    card: dict[str, Any] = {
        "model": order.model,
        "layer": order.layer,
        "side": side,
        "preset": order.preset,
        "seen": seen,
        "unseen": list(order.unseen),
        "seed": order.seed,
        "plan": plain(plan),
        "command": command,
        "held_out_ev": ev,
        "provenance": environment(setting.device),
    }
    checkpoint.save(checkpoint.Checkpoint(reader=reader, projection=projection, card=card), out)
    state.unlink(missing_ok=True)
    return out


def refuse_seen(order: Order, shas: set[str], setting: Setting) -> None:
    """Raises LeakageError where an unseen benchmark shares a subject or a picture with the training."""
    for benchmark in benchmarks.select(order.unseen) if order.unseen else []:
        scorer = load_scorer(benchmark.scorer, benchmark.params)
        for target in targets(datasets.load(benchmark.dataset, setting.roots), [benchmark], scorer):
            people = set(target.subjects) & set(order.subjects) if benchmark.dataset == order.dataset else set()
            pictures = shas & set(target.stimuli.table["sha256"].dropna())
            if people or pictures:
                raise LeakageError(
                    f"{benchmark.id} is to stay unseen, but the training has its subjects {sorted(people)} and "
                    f"{len(pictures)} of its pictures: train on other --subjects"
                )


def _plan(order: Order, n: int, fewest: int) -> Plan:
    """The stages, with contexts no longer than leaves queries among n stimuli, or the `fewest` of a real session.

    Raises InputError where that leaves no context of a useful length.
    """
    plan = Plan(stages=(), seed=order.seed, precision=order.precision)  # type: ignore[arg-type]
    if min(n, fewest) < FEWEST:
        raise InputError(f"a session has {min(n, fewest)} training stimuli: at least {FEWEST} are needed")
    short, long, real = order.steps
    most, most_real = n - plan.n_queries, fewest - plan.n_queries
    stages = (
        Stage(kind="synthetic", steps=short, context=(8, min(200, most))),
        Stage(kind="synthetic", steps=long, context=(8, min(400, most))),
        Stage(kind="real", steps=real, context=(8, min(400, most_real))),
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


def _features(order: Order, stimuli: StimulusSet, setting: Setting) -> torch.Tensor:
    model = models.load(order.model, layers=[order.layer], roots=setting.roots)
    extraction.extract(
        model,
        stimuli,
        setting.store,
        device=setting.device,
        provenance=environment(setting.device),
        progress=setting.progress.step,
        max_bytes=setting.max_bytes // 4,
    )
    found = extraction.representation(model, model.spec.layers[0], stimuli, setting.store)
    if found is None or found.features is None:
        raise InputError(f"{order.layer} has more features than there are {len(stimuli.ids)} training stimuli")
    return found.features


def _neuroids(
    found: Sequence[Any], everything: StimulusSet, kept: StimulusSet
) -> tuple[list[Recorded], list[Recorded], list[str]]:
    """Neuroids to learn from, those held out, and the names of the former."""
    sha = everything.table["sha256"]
    by_content = {content: name for name, content in kept.table["sha256"].items()}
    learned: list[Recorded] = []
    held: list[Recorded] = []
    names: list[str] = []
    number = 0
    for block in found:
        rows = torch.as_tensor(take(kept.ids, [by_content[sha[name]] for name in block.stimulus_ids], what="stimuli"))
        mean = torch.as_tensor(block.mean(), dtype=torch.float32)
        usable = (mean.isfinite().all(dim=0) & (mean.std(dim=0) > 0)).numpy()
        order = number + np.arange(mean.shape[1])
        number += mean.shape[1]
        out = order % HELD_OUT == HELD_OUT - 1
        learned.append(Recorded(rows=rows, responses=mean[:, torch.as_tensor(usable & ~out)]))
        held.append(Recorded(rows=rows, responses=mean[:, torch.as_tensor(usable & out)]))
        names += [name for name, use in zip(block.neuroid_ids, usable & ~out) if use]
    log.debug("training on %s", listed(names))
    return learned, held, names
