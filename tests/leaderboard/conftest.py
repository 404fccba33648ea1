"""A leaderboard with one valid submission."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("made", Path(__file__).with_name("made.py"))
made_ = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made_)


@pytest.fixture(scope="session")
def made():
    return made_


@pytest.fixture
def root(tmp_path, made):
    made.submitted(tmp_path / "L", made.entry(), made.entry(benchmark="cowley2023.V4-ridge"))
    return tmp_path / "L"


@pytest.fixture
def folder(root):
    return next((root / "results").iterdir())


@pytest.fixture
def key(tmp_path):
    """A verifier's key, and how to let it into a leaderboard."""
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    def allowed(root, signer="host@lab"):
        (root / "allowed_signers").write_text(f"{signer} {path.with_suffix('.pub').read_text()}")
        return path

    return allowed
