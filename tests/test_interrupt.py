"""Ctrl-C ends the command within a second, with status 130, and leaves every file as it was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

GENEROUS_SECONDS = 5.0
"""A second is promised; a loaded machine gets more."""

ENDLESS = """
from pathlib import Path

import equigrad
from equigrad.backends.numpy_backend import NumpyBackend


class InPython(NumpyBackend):
    def train(self, *arguments):
        Path("begun").touch()
        while True:
            pass


class Compiled(NumpyBackend):
    def train(self, weights, x, y, lr, n):
        jax = equigrad.load("jax")
        weights, x, y = tuple(map(jax.from_numpy, weights)), jax.from_numpy(x), jax.from_numpy(y)
        jax.synchronize(jax.train(weights, x, y, lr, 1))  # compiled once for any number of updates
        Path("begun").touch()
        return jax.synchronize(jax.train(weights, x, y, lr, 10**12))


class Deaf(NumpyBackend):
    def train(self, *arguments):
        Path("begun").touch()
        while True:
            try:
                while True:
                    pass
            except KeyboardInterrupt:
                pass
"""


def interrupted(folder: Path, *arguments: str) -> tuple[int, str, float]:
    """Status, standard error and seconds until the end of a command that gets Ctrl-C once 'begun' is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "equigrad", "compare", *arguments, "--json", "out.json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "begun").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the training never began"
            time.sleep(0.05)
        time.sleep(0.1)  # well into the loop, which is all that is left
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        return process.returncode, err, time.monotonic() - start
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow(but=["a loop in Python"])
@pytest.mark.parametrize(
    "name",
    ["InPython", "Compiled", pytest.param("Deaf", marks=pytest.mark.slow)],
    ids=["a loop in Python", "a compiled loop", "code that swallows Ctrl-C"],
)
def test_ctrl_c_ends(name: str, tmp_path: Path, ready: Callable[..., object]) -> None:
    if name == "Compiled":
        ready("jax")
    (tmp_path / "endless.py").write_text(ENDLESS)
    (tmp_path / "out.json").write_text("yesterday's")
    status, err, seconds = interrupted(tmp_path, "two-layer", "--backend", f"endless:{name}", "--updates", "1000")
    assert status == 130
    assert err == "equigrad: interrupted\n"
    assert seconds < GENEROUS_SECONDS
    assert (tmp_path / "out.json").read_text() == "yesterday's"
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"__pycache__"} == {"endless.py", "out.json", "begun"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_ctrl_c_under_the_progress_bar_gives_the_cursor_back(tmp_path: Path) -> None:
    """A long training by the built-in backends, in a terminal."""
    terminal, stderr = os.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "equigrad",
            "compare",
            "two-layer",
            "-b",
            "numpy",
            "--updates",
            "100000000",
            "--json",
            "out.json",
        ],
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(stderr)
    seen = ""
    try:
        deadline = time.monotonic() + 60
        while "training numpy" not in seen:
            assert time.monotonic() < deadline, seen
            seen += os.read(terminal, 1000).decode(errors="replace")
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            try:
                seen += os.read(terminal, 1000).decode(errors="replace")
            except OSError:  # what Linux says at the end of a pseudo-terminal
                break
        assert process.wait(60) == 130
        assert time.monotonic() - start < GENEROUS_SECONDS
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "Traceback" not in seen
    assert seen.count("equigrad: interrupted") == 1
    assert not any(tmp_path.iterdir())


COMPILED = """
import os
import signal
from importlib.machinery import ExtensionFileLoader

from equigrad.interrupt import end_promptly_on_ctrl_c


class Loader(ExtensionFileLoader):
    def exec_module(self, module):
        os.kill(os.getpid(), signal.SIGINT)


def again(*given):
    os.write = write
    os.kill(os.getpid(), signal.SIGINT)
    return write(*given)


write = os.write
if TWICE:
    os.write = again
end_promptly_on_ctrl_c()
try:
    Loader("one", "one.so").exec_module(None)
except KeyboardInterrupt:
    os.abort()
"""


@pytest.mark.parametrize("twice", [False, True], ids=["once", "and again while it ends"])
def test_ctrl_c_while_compiled_code_is_imported_raises_nothing_there(twice: bool) -> None:
    command = [sys.executable, "-c", f"TWICE = {twice}\n{COMPILED}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "equigrad: interrupted\n")


@pytest.mark.slow(but=["typer"])
@pytest.mark.parametrize("module", ["typer", "numpy", "torch", "jax"])
def test_ctrl_c_while_something_is_imported_leaves_no_traceback(module: str, tmp_path: Path) -> None:
    """Python tells what it has imported, so the signal comes while the rest of `module` is under way."""
    backend = [] if module == "typer" else ["-b", module]  # no other framework before it
    compare = ["equigrad", "compare", *backend, "--updates", "1000000000", "--json", "o.json"]
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", *compare],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if re.search(rf"\| +{module}\._?\w+", line):
                break
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = [line for line in process.stderr if not line.startswith("import time:")]
        assert process.wait(60) == 130
        assert time.monotonic() - start < GENEROUS_SECONDS
    finally:
        process.kill()
        process.communicate()
    assert rest == ["equigrad: interrupted\n"]
    assert not any(tmp_path.iterdir())
