"""Kernel analysis: how well categories can be read from a layer, as a function of how simple the reader is.

No recording is asked: a layer and a brain region are both read for the categories of stimuli, so the brain is a row
beside the models (`recording:` names it). Cadieu et al. (2014), PLoS Comput Biol 10, e1003963: precision, 1 - the
leave-one-out error of kernel ridge regression, against complexity 1/λ. Cadieu et al. (2013), arXiv:1301.3530: 1 - the
error of d kernel principal components, against d. The score is the area under the curve (`numerics.kernel_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from brainbench.core.arrays import Labels, take
from brainbench.core.mapped import release, room
from brainbench.core.score import Score
from brainbench.core.specs import ScorerSpec, fingerprint
from brainbench.core.splits import Split
from brainbench.errors import InputError, UsageError
from brainbench.numerics.kernel_errors import PENALTIES, QUANTILES, SCALES, component_errors, loo_errors
from brainbench.numerics.noise_matching import as_measured, random_units, recording_noise
from brainbench.numerics.representation import Representation, cross_gram
from brainbench.numerics.resampling import seed_of

PROTOCOLS = ("2014", "2013")
LEFT_OUT = ("unit", "stimulus")
LAWS = ("sd", "variance")
HELD = 2**20  # most errors of a layer in memory: beyond, they lie in a file until replicates ask for them
POINTS = 101  # of the curve of 2013, whose number of components differs with the number of stimuli


@dataclass(frozen=True, kw_only=True)
class KernelAnalysis:
    """KA-AUC, the area under precision against complexity, of readers that see a fold's test stimuli alone.

    `protocol` is "2014" (kernel ridge regression, leave-one-out) or "2013" (kernel principal components, in-sample).
    Leave-one-out leaves out a stimulus with all versions of it (`leave_out="unit"`, see `Split.unit`), or alone. With
    `n_units` each half of the stimuli is read from as many units, drawn at random anew for each; layers that have
    fewer, or of which only the Gram matrix is kept, are NaN with a reason. `like` names a recording of the benchmark's
    dataset, REGION/SUBJECT/SESSION: units are as many as its neuroids and under the `noise` of the means over its
    repetitions, whose `law` is fitted to it alone (`numerics.noise_matching`), so that it and a layer are read on equal
    terms. Units of a convolution are then its channels, averaged over space. With `standardize` each unit is divided by
    its SD over the stimuli that are read, as the recording's own sites are where it is read beside layers that get
    noise in units of that SD. Nothing is fitted on training stimuli:
    they serve to choose a layer on. `extras` has the curve, `precision` at each `complexity`.
    """

    spec: ClassVar[ScorerSpec] = ScorerSpec(
        name="kernel_analysis",
        version=1,
        scale="share",
        requires="labels",
        trains=False,
        invariances=("scale", "rotation", "translation", "unit-permutation"),
    )

    protocol: str = "2014"
    leave_out: str = "unit"
    n_units: int | None = None
    like: str = ""
    noise: bool = True
    standardize: bool = False
    law: Literal["sd", "variance"] = "sd"

    @property
    def reads(self) -> str:
        """Units, not a geometry, where they are drawn (see `ScorerSpec`)."""
        return "geometry" if self.n_units is None and not self.like and not self.standardize else "units"

    @property
    def of_recording(self) -> KernelAnalysis:
        """The scorer of a recording's own responses: they have the noise that layers are given, in other units."""
        return replace(self, noise=False, standardize=self.standardize or bool(self.like))

    def __post_init__(self) -> None:
        for value, known, what in (
            (self.protocol, PROTOCOLS, "protocol"),
            (self.leave_out, LEFT_OUT, "leave_out"),
            (self.law, LAWS, "law"),
        ):
            if value not in known:
                raise UsageError(f"no {what} {value!r}; there are {', '.join(known)}")
        if self.protocol == "2013" and self.leave_out == "stimulus":
            raise UsageError('protocol "2013" is in-sample and leaves nothing out: drop leave_out, or take "2014"')
        if self.n_units is not None and self.n_units < 1:
            raise UsageError(f"n_units is {self.n_units}; it must be above 0, or left out to read all units")
        if self.like and (self.n_units is not None or self.like.count("/") not in (1, 2)):
            raise UsageError(f"like is REGION/SUBJECT or REGION/SUBJECT/SESSION, without n_units; got {self.like!r}")
        if self.like and self.noise and self.standardize:
            raise UsageError("layers that are given a recording's noise keep the strength of their units: drop one")

    def score(self, representation: Representation, target: Labels, split: Split, *, seed: int, device: str) -> Score:
        """The area for the one column of categories; NaN with a reason where they, or the layer, cannot be read."""
        at = torch.as_tensor(take(representation.stimulus_ids, target.stimulus_ids, what="the features"), device=device)
        layer = representation.to(device)
        codes = torch.as_tensor(target.codes, device=device)
        names = {unit: number for number, unit in enumerate(sorted(set(split.unit.values())))}
        units = torch.as_tensor([names[split.unit[i]] for i in target.stimulus_ids], device=device)
        rows = [[tuple(sorted(side.tolist())) for side in fold] for fold in split.rows(target.stimulus_ids)]
        # of two halves each is once the training and once the test stimuli: it is read once
        parts = list(dict.fromkeys(part for fold in rows for part in fold))

        n_units = self._n_units(target)
        measured = None
        if target.like is not None and self.noise:
            measured = recording_noise(torch.as_tensor(target.like), law=self.law, per_site=True)
            if not measured.total > measured.noise:
                raise InputError(f"{self.like} has more noise than variance: no layer can be given as much signal")

        def gram(part: tuple[int, ...]) -> Tensor:
            some = torch.as_tensor(part, device=device)
            if measured is None:
                return self._gram(layer, at[some], n_units, seed + parts.index(part))
            by_name = sorted(part, key=lambda row: target.stimulus_ids[row])  # noise belongs to stimuli
            names = [target.stimulus_ids[row] for row in by_name]
            drawn = seed_of(fingerprint({"like": self.like, "stimuli": names}), "noise").generate_state(1)[0]
            x = layer.units[at[torch.as_tensor(by_name, device=device)]]
            x = as_measured(x, measured, n_units or x.shape[1], seed=int(drawn))
            x = x[torch.as_tensor(np.argsort(by_name), device=device)]
            return x @ x.T

        def errors(part: tuple[int, ...], products: Tensor) -> Tensor:
            """Of each width, complexity and stimulus of the part."""
            some = torch.as_tensor(part, device=device)
            if self.protocol == "2013":
                return component_errors(products, codes[some])
            return loo_errors(products, codes[some], units=units[some] if self.leave_out == "unit" else None)

        reason = self._unreadable(layer, target.codes, parts, n_units)
        curves: dict[tuple[int, ...], np.ndarray] = {}
        tests = [test for _, test in rows]
        kept = self._room([] if reason else tests)  # errors on test stimuli: replicates weigh them
        shapes: dict[tuple[int, ...], torch.Size] = {}
        try:
            for part in [] if reason else parts:
                products = gram(part)
                if not products.isfinite().all():
                    reason = "overflow"  # features are finite, their products are not
                    break
                each = errors(part, products)
                curves[part] = (1 - each.mean(dim=2).min(dim=0).values).cpu().numpy()
                if part in tests:
                    kept[tests.index(part), : each.numel()] = each.flatten().cpu().numpy()
                    shapes[part] = each.shape
                    release(kept)
        except InputError:  # most distances are 0
            reason = "constant-features"

        def areas(side: int) -> np.ndarray:
            return np.asarray([[np.nan if reason else curves[fold[side]].mean()] for fold in rows])

        def resample(weights: np.ndarray, wanted: Sequence[int], columns: np.ndarray) -> np.ndarray:
            w = torch.as_tensor(weights, dtype=torch.float32, device=device)
            out = torch.full((len(w), len(wanted), 1), torch.nan, dtype=torch.float32)
            for place, fold in enumerate([] if reason else wanted):
                test = tests[fold]
                shape = shapes[test]
                each = torch.from_numpy(kept[tests.index(test), : shape.numel()]).to(device).view(-1, len(test))
                times = w[:, list(test)]
                mean = (times / times.sum(dim=1, keepdim=True)) @ each.T
                out[:, place, 0] = 1 - mean.view(len(w), *shape[:2]).amin(dim=1).mean(dim=1).cpu()
                release(kept)
            return out[:, :, columns].numpy()

        complexity = 1 / np.asarray(PENALTIES[::-1]) if self.protocol == "2014" else np.linspace(0, 1, POINTS)
        shown = [np.full(len(complexity), np.nan) if reason else self._drawn(curves[test]) for test in tests]
        return Score(
            scale="share",
            folds=areas(1),
            train=areas(0),
            resample=resample,
            luck=np.ones((len(rows), 1)),  # not known, so as much as there can be
            reason=(reason,),
            extras={
                "precision": np.stack(shown)[:, None],
                "complexity": np.broadcast_to(complexity, (len(rows), 1, len(complexity))),
            },
        )

    def _room(self, tests: Sequence[tuple[int, ...]]) -> np.ndarray:
        """A row for each of the tests, to be filled with errors at every width and complexity of every stimulus."""
        most = max(map(len, tests), default=0)
        curves = len(SCALES) * len(PENALTIES) if self.protocol == "2014" else len(QUANTILES) * (most + 1)
        return room((len(tests), curves * most), 0, most=HELD)

    def _n_units(self, target: Labels) -> int | None:
        if not self.like:
            return self.n_units
        if target.like is None:
            raise UsageError(f"the labels come without the recording {self.like}, whose noise layers are to be given")
        return int(target.like.shape[2])

    def _unreadable(
        self, layer: Representation, codes: np.ndarray, parts: Sequence[tuple[int, ...]], n_units: int | None
    ) -> str:
        """Why nothing can be read, or nothing at all."""
        if (codes < 0).any():
            return "missing-stimuli"
        if any(len(np.unique(codes[list(part)])) < 2 for part in parts):
            return "one-category"
        if (n_units is not None or self.standardize) and layer.features is None:
            return "only-gram-kept"
        return "too-few-units" if n_units is not None and layer.n_units < n_units else ""

    def _gram(self, layer: Representation, rows: Tensor, n_units: int | None, seed: int) -> Tensor:
        """Of all units, or of those that are drawn."""
        layer = layer.standardized(rows) if self.standardize else layer
        if n_units is None or layer.features is None:
            return layer.gram[rows][:, rows]
        drawn = random_units(layer.n_units, n_units, n_draws=1, seed=seed)[0].to(rows.device)
        x = layer.features[rows][:, drawn]
        return cross_gram(x, x, x.mean(dim=0))

    def _drawn(self, curve: np.ndarray) -> np.ndarray:
        """The curve at the complexities that are shown, from the simplest reader on."""
        if self.protocol == "2014":
            return curve[::-1]
        shown: np.ndarray = np.interp(np.linspace(0, 1, POINTS), np.linspace(0, 1, len(curve)), curve)
        return shown
