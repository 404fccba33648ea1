"""A recording of a few small files, a user who has nothing yet, and a server on this machine that may misbehave."""

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from brainbench import cli
from brainbench.datasets import DATASETS, _fetch, _terms

FILES = {
    "table.csv": (b"unit,area\n1,V1\n", "table"),
    "one/a.npy": (b"first " * 500, "one"),
    "one/b #1.npy": (b"second " * 500, "one"),
    "two/c.npy": (b"third " * 500, "two"),
}


@pytest.fixture
def user(monkeypatch, tmp_path):
    """A user with an empty environment, configuration and data folder: the configuration's folder."""
    for name in ("BRAINBENCH_DATA", "BRAINBENCH_DATA_MADE2000", _terms.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for kind in ("data", "config"):
        monkeypatch.setattr(_fetch.platformdirs, f"user_{kind}_path", lambda app, kind=kind: tmp_path / kind / app)
    return tmp_path / "config" / "brainbench"


@pytest.fixture
def made(monkeypatch, tmp_path, user):
    """`made(...)` writes the manifest of made2000 anew; other manifests stay as they are."""
    path = tmp_path / "data_manifests" / "made2000.toml"
    path.parent.mkdir()
    real = _fetch.tomls
    monkeypatch.setattr(_fetch, "tomls", lambda name: [*real(name), path])
    monkeypatch.setitem(DATASETS.own, "made2000", DATASETS.own["zhang2011"])

    def write(base_url="https://example.org/", access="open", unpinned=(), version=1, more="", head=""):
        lines = [f'{fact} = "made"' for fact in ("title", "citation", "doi", "licence", "source")]
        lines += ['id = "made2000"', f"version = {version}", f'base_url = "{base_url}"', f'access = "{access}"']
        lines += [head, 'core = ["table"]', "[parts]", 'one = ["one"]', 'two = ["two"]']
        for name, (content, group) in FILES.items():
            lines += ["[[file]]", f'path = "{name}"', f'group = "{group}"']
            if name in unpinned:
                lines += ['sha256 = "unpinned"']
            else:
                lines += [f'sha256 = "{hashlib.sha256(content).hexdigest()}"', f"bytes = {len(content)}"]
        path.write_text("\n".join([*lines, more]))
        _fetch.shipped.cache_clear()

    write()
    yield write
    _fetch.shipped.cache_clear()


@pytest.fixture
def put(tmp_path):
    """`put(root, names)` writes files of made2000 and gives the root back."""

    def write(root, names=FILES):
        for name in names:
            full = tmp_path / root / name
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(FILES[name][0])
        return tmp_path / root

    return write


@pytest.fixture
def run(monkeypatch, capsys, made):
    """Runs `brainbench data ARGUMENTS`: exit code, stdout, stderr in one line."""
    monkeypatch.setenv("BRAINBENCH_DEBUG", "")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["brainbench", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return exit.value.code or 0, printed.out, " ".join(printed.err.split())

    return call


@pytest.fixture
def server():
    """A server of FILES on this machine; `server.faults[path]` is cut, wrong, longer, slow, page or a status."""
    state = SimpleNamespace(faults={}, asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/").replace("%20", " ").replace("%23", "#")
            state.asked.append(name)
            fault = state.faults.get(name)
            if name not in FILES or isinstance(fault, int):
                self.send_error(fault or 404)
                return
            content = FILES[name][0]
            if fault == "slow":
                state.gate.wait(10)
                return
            if fault == "wrong":
                content = content[::-1]
            if fault == "longer":
                content += b"more"
            if fault == "page":
                content = b"\n<!DOCTYPE html><html>Please log in</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

        def log_message(self, *_):
            pass

    state.gate = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/"
    yield state
    state.gate.set()
    http.shutdown()
    thread.join()
    http.server_close()
