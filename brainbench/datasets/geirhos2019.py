"""What people call edges, silhouettes and objects with another object's texture (Geirhos et al., 2019)."""

from __future__ import annotations

import hashlib
import io
import re
from functools import cached_property
from pathlib import Path

import pandas as pd
from PIL import Image

from brainbench.core.arrays import behaviour_table
from brainbench.core.specs import DatasetSpec
from brainbench.core.stimuli import StimulusSet
from brainbench.datasets import _fetch
from brainbench.errors import InputError

_TRIALS = {  # of each experiment, as stimulus ids name it: upstream's folder and files
    "edges": "edge-experiment",
    "silhouettes": "silhouette-filled-experiment",
    "cue-conflict": "style-transfer-512-nomask-experiment",
}
_PICTURES = {"edges": "edges", "silhouettes": "filled-silhouettes"}  # those of "cue-conflict" are not in the release
_ALIKE = {"bottle3": "bottle2", "bottle4": "bottle2"}  # three bottles with nearly one silhouette: no split parts them
_PEOPLE = tuple(f"{number:02d}" for number in range(1, 11))
_SHOWN = re.compile(r"\d{4}_[a-z0-9]+_s\d\d_0_([a-z]+)_00_(([a-z]+)(\d+)(?:-([a-z]+)\d+)?)\.png")


class Geirhos2019:
    """16-way choices of people for 160 edge drawings, 160 filled silhouettes and 1280 pictures with two cues.

    Each experiment had ten people, who saw each of its stimuli once; whether "subject-01" of two experiments is one
    person is not told, so they are "edges-01" and "silhouettes-01" here. The pictures of the cue-conflict experiment,
    an object's shape with the texture of another, are not among these files: its choices stand without them. Of its
    1280 stimuli 80 have shape and texture of one category, so there is no conflict. Upstream's choices are of 16
    categories; its "na", no answer in time, is a missing choice here, without a reaction time. The licence is stated
    for the pictures alone.
    """

    spec = DatasetSpec(
        id="geirhos2019",
        version=1,
        title="Human 16-way classification of edges, silhouettes and cue-conflict pictures",
        species="human",
        modality="behaviour",
        measures=("behaviour",),
        subjects=tuple(f"{experiment}-{person}" for experiment in _TRIALS for person in _PEOPLE),
        regions=(),
        unit="one of 16 categories",
        citation="Geirhos R, Rubisch P, Michaelis C, Bethge M, Wichmann FA, Brendel W (2019). ImageNet-trained CNNs "
        "are biased towards texture; increasing shape bias improves accuracy and robustness. ICLR 2019.",
        licence="CC-BY-4.0 (pictures)",
        url="https://github.com/rgeirhos/texture-vs-shape",
    )

    def __init__(self, root: Path):
        self.root = root

    def stimuli(self) -> StimulusSet:
        """The 1600 stimuli, such as "edges/oven3" and "cue-conflict/oven3-bird2", with `experiment` and `category`.

        `category` is that of the shape, `texture` (of the cue-conflict stimuli) that of the texture. Stimuli of one
        shape show one photograph of an object, as drawing, silhouette or stylized, and are one `group`; so are three
        bottles whose silhouettes are nearly the same, which leaves 158. `stratum` is the category. `sha256` is missing
        for the cue-conflict stimuli. Raises AccessError or InputError where a file is missing or not the right one.
        """
        return StimulusSet(name=self.spec.id, table=self._table.copy(), open=self._open)

    def behaviour(self) -> pd.DataFrame:
        """The 16000 trials: `subject`, `session` ("1"), `trial`, `stimulus_id`, `choice` (None for none), `rt_s`.

        Whether a choice is right is for the stimulus table to say: `category` is the shape's. Raises AccessError or
        InputError where a file is missing or not the right one.
        """
        return self._behaviour.copy()

    @cached_property
    def _behaviour(self) -> pd.DataFrame:
        parts = pd.concat([self._trials(experiment, who) for experiment in _TRIALS for who in _PEOPLE])
        return behaviour_table(**{str(name): parts[name].tolist() for name in parts})

    def _trials(self, experiment: str, person: str) -> pd.DataFrame:
        folder = _TRIALS[experiment]
        path = f"raw-data/{folder}/{folder}_subject-{person}_session_1.csv"
        content = io.BytesIO(_fetch.read(self.root, self.spec.id, path))
        table = pd.read_csv(content, na_values=["NaN"], keep_default_na=False)
        shown = [_SHOWN.fullmatch(name) for name in table["imagename"]]
        if any(match is None or match[1] != kind for match, kind in zip(shown, table["category"])):
            raise InputError(f"{path} names pictures of another form or category than expected")
        return pd.DataFrame(
            {
                "subject": f"{experiment}-{person}",
                "session": table["session"].astype(str),
                "trial": table["trial"],
                "stimulus_id": [f"{experiment}/{match[2]}" for match in shown if match],
                "choice": [None if answer == "na" else answer for answer in table["object_response"]],
                "rt_s": table["rt"].astype(float),
            },
            dtype=object,
        )

    @cached_property
    def _table(self) -> pd.DataFrame:
        rows = []
        for stimulus_id in sorted(self._behaviour["stimulus_id"].unique(), key=_by_number):
            experiment, _, name = stimulus_id.partition("/")
            shape, _, texture = name.partition("-")
            pictured = experiment in _PICTURES
            rows.append(
                {
                    "stimulus_id": stimulus_id,
                    "sha256": hashlib.sha256(self._picture(stimulus_id)).hexdigest() if pictured else None,
                    "experiment": experiment,
                    "category": shape.rstrip("0123456789"),
                    "texture": texture.rstrip("0123456789") or None,
                    "group": _ALIKE.get(shape, shape),
                    "stratum": shape.rstrip("0123456789"),
                }
            )
        return pd.DataFrame(rows).set_index("stimulus_id")

    def _picture(self, stimulus_id: str) -> bytes:
        experiment, _, name = stimulus_id.partition("/")
        path = f"stimuli/{_PICTURES[experiment]}/{name.rstrip('0123456789')}/{name}.png"
        return _fetch.read(self.root, self.spec.id, path)

    def _open(self, stimulus_id: str) -> Image.Image:
        return Image.open(io.BytesIO(self._picture(stimulus_id)))


def _by_number(stimulus_id: str) -> list[tuple[str, int]]:
    """Sorts "edges/oven2" before "edges/oven10"."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D+)(\d*)", stimulus_id)]
