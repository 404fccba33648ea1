"""Small recordings in the true formats, and the reliability that real ones are known by."""

import gzip
import hashlib
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from brainbench.datasets import _fetch


@pytest.fixture(scope="session")
def formats():
    """The writers of `formats.py`: tests are no package, so they cannot import it."""
    spec = importlib.util.spec_from_file_location("formats", Path(__file__).with_name("formats.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def release(tmp_path, monkeypatch):
    """`release(id, {path: content})` writes the files with a manifest that is true of them and returns their root."""
    monkeypatch.setattr(_fetch, "tomls", lambda name: sorted((tmp_path / name).glob("*.toml")))
    _fetch.shipped.cache_clear()

    def write(id, files, group="responses"):
        entries = []
        for path, content in files.items():
            full = tmp_path / "recordings" / id / path
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            entries.append(
                f'[[file]]\npath = "{path}"\nbytes = {len(content)}\nsha256 = "{digest}"\ngroup = "{group}"\n'
            )
        facts = ["title", "citation", "doi", "licence"]
        head = [f'id = "{id}"', "version = 1", *(f'{fact} = "made"' for fact in facts), 'access = "open"']
        head += ['source = "somebody/recordings @ abc"', 'base_url = "https://example.org/abc/"']
        manifest = tmp_path / "data_manifests" / f"{id}.toml"
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text("\n".join(head + entries))
        _fetch.shipped.cache_clear()
        return tmp_path / "recordings" / id

    yield write
    _fetch.shipped.cache_clear()


@pytest.fixture(scope="session")
def reliability():
    """Split-half reliability of means, Spearman-Brown corrected, a neuroid: odd against even of what was measured."""

    def odd_even(values):  # (stimulus, repetition, neuroid), NaN where not measured
        there = np.isfinite(values)
        order = there.cumsum(axis=1) - 1
        pairs = there.sum(axis=1, keepdims=True) // 2 * 2  # an odd one left over would make the halves unequal
        halves = []
        for half in (0, 1):
            used = there & (order % 2 == half) & (order < pairs)
            halves.append(np.where(used, values, 0.0).sum(axis=1) / used.sum(axis=1))
        first, second = (half - half.mean(axis=0) for half in halves)
        r = (first * second).sum(axis=0) / np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
        return 2 * r / (1 + r)

    return odd_even


@pytest.fixture(scope="session")
def rda():
    """`rda({name: {column: values}})`: data frames as R's `save` writes them, strings as factors, integers and doubles.

    Class and column names are symbols, written once and referred to from then on, as in a file of R's own.
    """

    def write(frames, version=3, data_frame_class=("data.frame",)):
        seen = []

        def word(*numbers):
            return struct.pack(f">{len(numbers)}i", *numbers)

        def text(string):
            if string is None:
                return word(9, -1)
            return word(0x40009 if string.isascii() else 0x8009, len(string.encode())) + string.encode()

        def symbol(name):
            if name in seen:
                return word((seen.index(name) + 1) << 8 | 255)
            seen.append(name)
            return word(1) + text(name)

        def pairs(items):
            return b"".join(word(0x402) + symbol(name) + content() for name, content in items.items()) + word(254)

        def texts(strings):
            return word(16, len(strings)) + b"".join(text(string) for string in strings)

        def column(values):
            if isinstance(values[0], str):
                levels = sorted({value for value in values if value is not None})
                codes = [-(2**31) if value is None else levels.index(value) + 1 for value in values]
                attributes = {"levels": lambda: texts(levels), "class": lambda: texts(["factor"])}
                return word(0x30D, len(values), *codes) + pairs(attributes)
            if isinstance(values[0], float):
                return word(14, len(values)) + struct.pack(f">{len(values)}d", *values)
            return word(13, len(values), *values)

        def frame(columns):
            rows = len(next(iter(columns.values())))
            content = word(0x313, len(columns)) + b"".join(column(values) for values in columns.values())
            attributes = {
                "names": lambda: texts(list(columns)),
                "row.names": lambda: word(13, 2, -(2**31), -rows),
                "class": lambda: texts(data_frame_class),
            }
            return content + pairs(attributes)

        head = b"RDX%d\nX\n" % version + word(version, 0x040100, 0x030500)
        head += word(5) + b"UTF-8" if version == 3 else b""
        return gzip.compress(
            head + pairs({name: lambda columns=columns: frame(columns) for name, columns in frames.items()})
        )

    return write
