"""Small recordings in the true formats, and the reliability that real ones are known by."""

import hashlib

import numpy as np
import pytest

from brainbench.datasets import _fetch


@pytest.fixture
def release(tmp_path, monkeypatch):
    """`release(id, {path: content})` writes the files with a manifest that is true of them and returns their root."""
    monkeypatch.setattr(_fetch, "tomls", lambda name: sorted((tmp_path / name).glob("*.toml")))
    _fetch.manifest.cache_clear()

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
        _fetch.manifest.cache_clear()
        return tmp_path / "recordings" / id

    yield write
    _fetch.manifest.cache_clear()


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
