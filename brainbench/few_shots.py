"""`brainbench few-shot`: the readouts from few stimuli of one benchmark, size by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainbench.api import available, load_model
from brainbench.benchmarks import select
from brainbench.errors import UsageError

if TYPE_CHECKING:
    from brainbench.analysis.few_shot import Point
    from brainbench.settings import Progress

REFERENCE = "ridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Points of every readout at every size, and `full`: the share of the same ridge on all training stimuli.

    `n_neuroids` are those that have a score.
    """

    benchmark: str
    model: str
    synthetic: bool
    n_stimuli: int
    n_neuroids: int
    points: list[Point]
    full: float


def few_shots(
    model: str,
    benchmark: str,
    sizes: Sequence[int],
    *,
    subject: str | None = None,
    layer: str | None = None,
    roots: dict[str, Path],
    device: str = "auto",
    progress: Callable[[], Progress],
) -> Curves:
    """Ridge and fold-averaged ridge on a layer of `model`; of `in_context:NAME` on the layer that it projects, with
    the encoder and ridge on the projected features beside them. Differences are from ridge.

    Raises UsageError for a benchmark that is not one subject's and session's responses, and for a model with several
    layers of which none is named; LeakageError where the encoder saw the subject or a picture.
    """
    import numpy as np

    from brainbench import datasets, reading, settings
    from brainbench.analysis.few_shot import few_shot
    from brainbench.core.score import normalized
    from brainbench.cuts import nanmedian
    from brainbench.models.in_context import EncodedNetwork
    from brainbench.scorers.few_shot import FewShotRidge, InContext
    from brainbench.scorers.ridge import Ridge
    from brainbench.targets import refuse_seen, targets

    chosen, _ = available(select((benchmark,)), roots, required=(benchmark,))
    if len(chosen) != 1:
        raise UsageError(f"{benchmark!r} stands for {len(chosen)} benchmarks: name one")
    asked = chosen[0].model_copy(update={"ceiling": "split_half"} | ({"subjects": (subject,)} if subject else {}))
    dataset: Any = datasets.load(asked.dataset, roots)
    if "responses" not in dataset.spec.measures:
        raise UsageError(f"{asked.id} is of {' and '.join(dataset.spec.measures)}: readouts are of single neuroids")
    found = targets(dataset, [asked], FewShotRidge())
    if len(found) != 1:
        raise UsageError(
            f"{asked.id} has {len(found)} sets of neuroids with stimuli of their own: name one --subject of "
            f"{', '.join(dataset.spec.subjects)}, or a benchmark of one session"
        )
    (target,) = found
    if target.times:
        raise UsageError(f"{asked.id} has a time axis: readouts from few stimuli are of neuroids without one")
    setting = settings.make_setting(roots=roots, device=device, progress=progress)

    def loaded(name: str, layer: str | None) -> Any:
        one = load_model(name, layers=layer, roots=roots)
        if len(one.spec.layers) != 1:
            raise UsageError(f"{name} has {len(one.spec.layers)} layers: name one, --layer NAME")
        return one

    def features(one: Any) -> Any:
        return reading.read(one, target.stimuli, setting)[0]

    named = whole = loaded(model, layer)
    beside: dict[str, Any] = {}
    if isinstance(named, EncodedNetwork):
        encoder, card = InContext().of_model(named), named.encoder.card
        refuse_seen(encoder, dataset, found)
        whole, own = loaded(card["model"], card["layer"]), features(named)
        beside = {"ridge, same features": (FewShotRidge(), own), "in-context": (encoder, own)}
    base = features(whole)
    averaged = FewShotRidge(variant="fold_averaged")
    readouts = {REFERENCE: (FewShotRidge(), base), "fold-averaged": (averaged, base)} | beside
    points = few_shot(readouts, target, sizes, reference=REFERENCE, device=setting.device)
    data: Any = target.data
    everything = Ridge(select="loo").score(base, data, target.split, seed=0, device=setting.device)
    full = float(nanmedian(normalized(everything.raw, "r", target.ceilings["split_half"])[None])[0])
    return Curves(
        benchmark=asked.id,
        model=model,
        synthetic=dataset.spec.synthetic,
        n_stimuli=len(target.stimuli.ids),
        n_neuroids=int(np.isfinite(everything.raw).sum()),
        points=points,
        full=full,
    )
