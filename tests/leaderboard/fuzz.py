"""`python tests/leaderboard/fuzz.py N`: N mutated submissions through `validate`; what it prints is the record.

Bytes are cut, doubled, swapped and put in; values of the JSON are replaced by hostile ones of any type. Every one must
come back as a report within a second, and nothing beside the submission may have been written.
"""

# ruff: noqa: T201
import copy
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import made

from brainbench.leaderboard.validate import validate

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
        folder = made.submitted(Path(top), made.entry())
        names = ["insilico.V4-ridge.json", "model.toml"]
        whole = {name: (folder / name).read_bytes() for name in names}
        for _ in range(n):
            name = rng.choices(names, [4, 1])[0]
            content = mutated(whole[name], rng) if name.endswith("json") else cut(whole[name], rng)
            (folder / name).write_bytes(content)
            start = time.perf_counter()
            report = validate(folder)
            slowest = max(slowest, time.perf_counter() - start)
            told["valid" if not report.problems else "refused"] += 1
            (folder / name).write_bytes(whole[name])
        left = sorted(path.name for path in Path(top).rglob("*") if path.is_file())
    assert left == sorted(names), left
    assert slowest < 1, slowest
    print(f"{n} mutated submissions, seed {seed}: {dict(told)}; slowest {slowest:.3f} s; no exception, nothing written")


def cut(content, rng):
    start, length = rng.randrange(len(content)), rng.randint(0, 40)
    return content[:start] + rng.choice([b"", rng.randbytes(6), rng.choice(TOKENS)]) + content[start + length :]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
