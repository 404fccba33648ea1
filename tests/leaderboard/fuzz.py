"""`python tests/leaderboard/fuzz.py N`: N mutated submissions through `validate`; what it prints is the record.

Bytes of entries, cards and features are cut, doubled, swapped and put in; values of the JSON are replaced by hostile
ones of any type. Every one must come back as a report within a second, what is valid is built into a page and features
are read, and nothing beside the submission may have been written.
"""

# ruff: noqa: T201
import contextlib
import copy
import json
import random
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import made

from brainbench.errors import InputError
from brainbench.leaderboard.board import read_board
from brainbench.leaderboard.cards import CARD, FEATURES
from brainbench.leaderboard.pages import html
from brainbench.leaderboard.validate import validate
from brainbench.models import features_file
from brainbench.models.features_file import write_features

HOSTILE = [None, True, -1, 0, 10**30, 1e308, -1e-320, "", "x" * 5000, "../../x", "\u202e", "\x00", "<script>", [], {}]
HOSTILE += [[[]] * 50, {"a": {"b": {}}}, ["a"] * 5000, "NaN", 0.5, "r2", {"raw": 9}]
TOKENS = [
    b"{",
    b"}",
    b"[",
    b'"',
    b",",
    b"1e999",
    b"NaN",
    b"\xff",
    b"\\ud800",
    b"null",
    b"9" * 400,
    b"\xef\xbb\xbf",
    b"[" * 300,
]


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(content, rng):
    if rng.random() < 0.5:
        value = json.loads(content)
        for _ in range(rng.randint(1, 3)):
            *path, last = rng.choice([p for p in places(value) if p])
            at = value
            for key in path:
                at = at[key]
            at[last] = copy.deepcopy(rng.choice(HOSTILE))
        return json.dumps(value).encode()
    for _ in range(rng.randint(1, 4)):
        start, length = rng.randrange(len(content)), rng.randint(0, 60)
        put = rng.choice(
            [b"", rng.randbytes(rng.randint(0, 8)), rng.choice(TOKENS), content[start : start + length] * 2]
        )
        content = content[:start] + put + content[start + length :]
    return content


def main(n, seed):
    rng, slowest, told = random.Random(seed), 0.0, Counter()
    with tempfile.TemporaryDirectory() as top:
        rebuilt = made.submitted(Path(top), made.entry(), made.entry(benchmark="insilico_meg.sensors-ridge"))
        features = Path(top) / "f.safetensors"
        write_features(features, {"a": np.ones((3, 2)), "b": np.ones((3, 5))}, ["x", "y", "z"], model="mine")
        content = features.read_bytes()
        features.unlink()
        given = made.submitted(
            Path(top), made.entry("features:mine"), submission="features", features_sha256=sha256(content).hexdigest()
        )
        (given / FEATURES).write_bytes(content)
        assert not validate(rebuilt).problems and not validate(given).problems
        kinds = [
            (rebuilt / "insilico.V4-ridge.json", mutated, 4),
            (rebuilt / "insilico_meg.sensors-ridge.json", mutated, 4),
            (rebuilt / CARD, cut, 2),
            (given / FEATURES, cut, 2),
        ]
        whole = {path: path.read_bytes() for path in sorted(Path(top).rglob("*")) if path.is_file()}
        for _ in range(n):
            path, how, _ = rng.choices(kinds, [weight for _, _, weight in kinds])[0]
            content = how(whole[path], rng)
            path.write_bytes(content)
            if path.name == FEATURES:  # the card vouches for the file that came
                card = whole[given / CARD].replace(
                    sha256(whole[path]).hexdigest().encode(), sha256(content).hexdigest().encode()
                )
                (given / CARD).write_bytes(card)
            start = time.perf_counter()
            report = validate(path.parent)
            slowest = max(slowest, time.perf_counter() - start)
            told[f"{path.suffix[1:]} {'refused' if report.problems else 'valid'}"] += 1
            if not report.problems:
                used(Path(top), path)
            for kept, content in whole.items():
                kept.write_bytes(content)
        left = {path for path in Path(top).rglob("*") if path.is_file()}
    assert left == whole.keys(), left
    assert slowest < 1, slowest
    found = f"{dict(sorted(told.items()))}; slowest {slowest:.3f} s; no exception, nothing written"
    print(f"{n} mutated submissions, seed {seed}: {found}")


def used(root, path):
    """What is valid is shown, and features are read: neither may crash."""
    html(read_board(root))
    if path.name == FEATURES:
        with contextlib.suppress(InputError):
            features_file.load(str(path))


def cut(content, rng):
    start, length = rng.randrange(len(content)), rng.randint(0, 40)
    return content[:start] + rng.choice([b"", rng.randbytes(6), rng.choice(TOKENS)]) + content[start + length :]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
