"""What a stored result is known by: the code that made it."""

import sys
from importlib import import_module, invalidate_caches

import pytest

from brainbench.results import code


@pytest.mark.parametrize("name", ["lab.scorer", "shared.lab.scorer", "lone"])
def test_a_result_belongs_to_all_the_source_of_the_package_that_made_it(tmp_path, monkeypatch, name):
    *packages, last = name.split(".")
    folder = tmp_path.joinpath(*packages)
    (folder / "deep").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    if packages:
        (folder / "__init__.py").write_text("")
    (folder / f"{last}.py").write_text("")
    (folder / "deep" / "helper.py").write_text("A = 1")
    (tmp_path / "shared" / "other").mkdir(parents=True, exist_ok=True)
    (tmp_path / "shared" / "other" / "theirs.py").write_text("")
    invalidate_caches()
    import_module(name)

    def changed(path, text):
        before = code(name)
        path.write_text(text)
        code.cache_clear()
        return code(name) != before

    code.cache_clear()
    assert changed(folder / f"{last}.py", "B = 2")
    assert changed(folder / "deep" / "helper.py", "A = 2") == bool(packages)
    assert not changed(tmp_path / "shared" / "other" / "theirs.py", "C = 3")
    code.cache_clear()
    for known in [known for known in sys.modules if known.split(".")[0] in ("lab", "shared", "lone")]:
        del sys.modules[known]
