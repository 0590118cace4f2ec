"""A framework is imported without garbage collections; in our own processes it is never looked through again."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys

import pytest

from equigrad.common.garbage import importing

IN_A_LIBRARY = """
import gc

gc.set_threshold(700, 10, 10)
seen = []
gc.callbacks.append(lambda phase, info: seen.append(info["generation"]))
from equigrad.backends import load

load("numpy")
seen.clear()
load("jax")
assert {*seen} <= {0} and len(seen) < 10, seen  # only what was due as soon as it was allowed again
assert gc.isenabled()
assert gc.get_freeze_count() == 0, "what is alive in somebody else's process is not ours to keep"
"""
IN_THE_COMMAND = """
import atexit
import gc
import sys

atexit.register(lambda: print("kept", gc.get_freeze_count()))  # registered first, so called last
from equigrad.__main__ import main

sys.argv = ["equigrad", "compare", "--backend", "numpy", "--updates", "1"]
main()
"""
IN_A_PROCESS_OF_OURS = """
import gc
from equigrad.backends import load
from equigrad.common.garbage import keep_imports

load("numpy")
assert gc.get_freeze_count() == 0
keep_imports()
load("numpy")
assert gc.get_freeze_count() == 0, "nothing was imported, but something kept"
load("jax")
assert gc.get_freeze_count() > 50_000
"""


def output(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_library_imports_a_framework_without_a_collection_and_keeps_nothing() -> None:
    pytest.importorskip("jax")
    output(IN_A_LIBRARY)


def test_the_command_looks_through_nothing_at_its_end() -> None:
    assert int(output(IN_THE_COMMAND).split("kept ")[1]) > 10_000


@pytest.mark.slow
def test_a_process_of_ours_keeps_what_it_imports_and_only_then() -> None:
    pytest.importorskip("jax")
    output(IN_A_PROCESS_OF_OURS)


@pytest.mark.parametrize("enabled", [True, False], ids=["that was on", "that was off"])
def test_a_collector_is_left_as_it_was(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equigrad.common.garbage._kept", False)
    (gc.enable if enabled else gc.disable)()
    try:
        with contextlib.suppress(ImportError), importing():
            inside = gc.isenabled()
            raise ImportError
        assert not inside
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
