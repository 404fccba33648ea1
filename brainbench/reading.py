"""One layer's features for a set of stimuli, outside of a benchmark: from the store, or extracted now."""

from __future__ import annotations

from brainbench import extraction, runner
from brainbench.core.protocols import Model
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import InputError
from brainbench.models.features_file import FeatureTable
from brainbench.numerics.representation import Representation
from brainbench.runner import Setting


def read(model: Model | FeatureTable, stimuli: StimulusSet, setting: Setting) -> list[Representation]:
    """The layers of the model, in their order, on the setting's device; one pass of the pictures through the network.

    Raises what the network, the pictures and the store raise, InputError where a stored layer is damaged.
    """
    setting.progress.stage(f"features of {model.spec.id}", len(stimuli.ids))
    runner.extract(model, [stimuli], setting)
    found = [extraction.representation(model, layer, stimuli, setting.store) for layer in model.spec.layers]
    whole = [stored.to(setting.device) for stored in found if stored is not None]
    if len(whole) < len(found):
        raise InputError("a stored layer was damaged during the run; run again to compute it anew")
    return whole
