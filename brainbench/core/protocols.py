"""What contributors write: a Dataset, a Model, a Scorer. Structural types, no base class to inherit from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from brainbench.core.specs import DatasetSpec, ModelSpec, ScorerSpec

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import xarray as xr
    from PIL import Image

    from brainbench.core.score import Score
    from brainbench.core.splits import Split
    from brainbench.core.stimuli import StimulusSet
    from brainbench.numerics.representation import Representation


@runtime_checkable
class Dataset(Protocol):
    """One recording, as it was released. Adapters never average, never z-score, never drop.

    A dataset has the methods its `spec.measures` names: `responses`, `rdms`, `behaviour`, or several of them.
    """

    spec: DatasetSpec

    def stimuli(self) -> StimulusSet:
        """Everything that was shown to any subject."""
        ...


class RecordsResponses(Dataset, Protocol):
    """A dataset that measures responses."""

    def responses(
        self, subject: str, *, regions: tuple[str, ...] | None = None, sessions: tuple[str, ...] | None = None
    ) -> xr.DataArray:
        """Single presentations (see `core.arrays.responses_array`) of one subject; all regions and sessions if None."""
        ...


class RecordsRDMs(Dataset, Protocol):
    """A dataset that measures dissimilarities."""

    def rdms(self, region: str) -> xr.DataArray:
        """One RDM a subject and session (see `core.arrays.rdms_array`)."""
        ...


class RecordsBehaviour(Dataset, Protocol):
    """A dataset that measures what subjects did."""

    def behaviour(self) -> pd.DataFrame:
        """Single trials of all subjects (see `core.arrays.behaviour_table`)."""
        ...


@runtime_checkable
class Model(Protocol):
    """A network and how it sees. It never loops, batches, hooks or caches: extraction does."""

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        ...

    def build(self) -> torch.nn.Module:
        """The network with its weights, in eval mode."""
        ...

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """One picture as a float32 tensor (channel, height, width)."""
        ...


class Scorer(Protocol):
    """One notion of agreement between features and a recording.

    A scorer may have more: `reads`, where its parameters change what `spec.reads` says; `of_recording`, the scorer for
    a recording in the place of a model; `of_model(model)`, the scorer for one model; `joint`, True where a column's
    score depends on the other columns of its region, so that memory may not part them; and `seen`, what its own
    training saw (`dataset`, `subjects` and `sha256` of stimuli), on which it is never scored.
    """

    @property
    def spec(self) -> ScorerSpec:
        """What the scorer is."""
        ...

    def score(self, representation: Representation, target: Any, split: Split, *, seed: int, device: str) -> Score:
        """The agreement of one layer with one target, fold by fold; `target` is what `spec.requires` names."""
        ...
