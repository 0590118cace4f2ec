"""Every backend, device, dtype and arithmetic as one parametrised fixture."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from equigrad.backends import FRAMEWORKS, load
from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.common.errors import DeviceError, MissingError
from equigrad.common.garbage import importing, keep_imports
from length import LENGTH, LENGTHS, at_length

SPECS = ("numpy", "torch", "torch:cuda", "jax", "jax:cuda")
OTHERS = ("chromium", "flint", "hypothesis")
"""What else a test may need that not every machine has."""
REQUIRED = [name for name in os.environ.get("EQUIGRAD_REQUIRE", "").split(",") if name]
"""What must be here: what is named in this variable fails where it is missing, all else is skipped."""


for name in ("FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE"):  # with these a pipe counts as a terminal, in colour
    os.environ.pop(name, None)
keep_imports()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Thousands of tests are no garbage: without this, half of the time until the first begins."""
    with importing():
        return (yield)


def pytest_itemcollected(item: pytest.Item) -> None:
    """`slow(but=["numpy"])` is not for the tests whose ids hold one of these texts."""
    kept = [m for m in item.own_markers if not any(text in item.name for text in m.kwargs.get("but", ()))]
    item.own_markers = kept


def pytest_sessionfinish() -> None:
    """pytest looks for garbage five times, in case some of it comes back to life: once is enough."""
    gc.collect()
    gc.freeze()


def _ready(spec: str, dtype: str = "float64", arithmetic: str = "native") -> Backend:
    """The backend, or a skip that says why, or a failure if it is required."""
    try:
        return load(spec, dtype, arithmetic)
    except (MissingError, DeviceError) as error:
        if spec in REQUIRED:
            pytest.fail(f"{spec} is required by EQUIGRAD_REQUIRE, but: {error}")
        pytest.skip(str(error))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`needs("flint")` skips where that module is not installed, as on a machine without a package registry."""
    for mark in item.iter_markers("needs"):
        for module in mark.args:
            if find_spec(module) is None:
                _lacking(module)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that meets the referee skips where python-flint is not installed; where it is, nothing changes."""
    try:
        yield
    except MissingError as error:
        lacking = [module for module in ("flint", "hypothesis") if module in str(error).lower()]
        if not lacking or find_spec(lacking[0]) is not None:
            raise
        _lacking(lacking[0])


def _lacking(module: str) -> None:
    """Skip for want of a module, or fail if it is required."""
    if module in REQUIRED:
        pytest.fail(f"{module} is required by EQUIGRAD_REQUIRE, but it is not installed")
    pytest.skip(f"{module} is not installed")


def pytest_configure() -> None:
    known = (*SPECS, *OTHERS)
    unknown = set(REQUIRED) - set(known)
    if unknown:
        raise pytest.UsageError(f"EQUIGRAD_REQUIRE names {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    if LENGTH not in LENGTHS:
        raise pytest.UsageError(f"EQUIGRAD_LENGTH is '{LENGTH}'; it can be {' or '.join(LENGTHS)}")


@pytest.fixture
def ready() -> Callable[..., Backend]:
    """`ready(spec, dtype, arithmetic)` is the backend, or skips, or fails."""
    return _ready


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_pythons() -> Iterator[None]:
    """A command that runs in a test must not end the tests when another test interrupts itself."""
    with patch("equigrad.interrupt.end_promptly_on_ctrl_c", lambda: None):
        yield


@contextlib.contextmanager
def _forgetting(folder: Path) -> Iterator[None]:
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]


@pytest.fixture(scope="session")
def forgetting() -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    """`with forgetting(folder):` leaves no module of that folder behind, which another test may have of that name."""
    return _forgetting


class Done(NamedTuple):
    """What a command left behind; the names are those of subprocess.CompletedProcess."""

    returncode: int
    stdout: str
    stderr: str


def _command_line(*words: str | Path, cwd: Path) -> Done:
    from equigrad import cli  # needs typer, which a machine that runs only `make gpu` may lack

    out, err = io.StringIO(), io.StringIO()
    with (
        _forgetting(cwd),
        contextlib.chdir(cwd),
        patch.object(sys, "argv", ["equigrad", *map(str, words)]),
        patch.object(sys, "path", [*sys.path]),
        patch.object(sys, "dont_write_bytecode", True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    status = end.value.code or 0
    assert isinstance(status, int)
    return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command_line() -> Callable[..., Done]:
    """`command_line("check", "-b", "numpy", cwd=folder)` is `equigrad check -b numpy` there, run in this process.

    A process of its own costs half a second for its imports; that it says the same, test_fuzz and test_bad_input
    prove. What the command imported from the folder is forgotten again.
    """
    return _command_line


WARM = Path(__file__).with_name("warm.py")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`warm("torch", "equigrad.cli")` is a Python that has imported these already, see warm.py.

    For tests that need many processes and are not about how one starts: loading PyTorch takes seconds. It takes
    the place of `sys.executable`, also in the processes that it starts in turn. At full length it is that.
    """
    servers: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], str]] = {}

    def started(*modules: str, **environment: str) -> str:
        if at_length(True, short=sys.platform != "linux"):
            return sys.executable
        key = (*modules, *map("=".join, environment.items()))
        if key not in servers:
            folder = tmp_path_factory.mktemp("warm")
            python = [sys.executable, str(WARM), "serve", str(folder / "socket"), *modules]
            server = subprocess.Popen(python, stdin=subprocess.PIPE, env={**os.environ, **environment})
            name = folder / "python"
            words = shlex.join([sys.executable, "-I", "-S", str(WARM), "ask", str(folder / "socket"), str(name)])
            name.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            name.chmod(0o755)
            servers[key] = server, str(name)
            while not (folder / "socket").exists() and server.poll() is None:
                time.sleep(0.02)
        server, name_of = servers[key]
        assert server.poll() is None, "an import failed"
        return name_of

    yield started
    for server, _ in servers.values():
        server.communicate()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium of the system, or a skip that says why, or a failure if it is required."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and "chromium" in REQUIRED:
        pytest.fail("chromium is required by EQUIGRAD_REQUIRE, but it is not installed")
    if path is None:
        pytest.skip("Chromium is not installed")
    return path


@pytest.fixture(scope="session")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The timings of one-layer among docs/results, as a file of their own."""
    document = json.loads((Path(__file__).parents[1] / "docs" / "results" / "small.json").read_text())
    document["tables"] = [t for t in document["tables"] if (t["problem"], t["dtype"]) == ("one-layer", "float64")]
    document["benchmarks"] = [b for b in document["benchmarks"] if b["group"] == "one-layer float64"]
    path = tmp_path_factory.mktemp("timed") / "bench.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(params=SPECS, ids=lambda spec: spec.replace(":", "-"))
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ARITHMETICS)
def arithmetic(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(spec: str, dtype: str, arithmetic: str) -> Backend:
    return _ready(spec, dtype, arithmetic)


FLAGS = [
    f"--{flag}"
    for flag in (
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
    )
]
OF_THE_PAGE = {"file", "blob"}
"""What a page may ask for: itself, and the worker that it makes."""


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Any]:
    pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page that is open, with what went wrong in it and what it asked for."""

    def __init__(self, chromium: Any, path: Path, fragment: str = "", **options: Any) -> None:
        self.context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.home = path.as_uri() + fragment
        self.load()

    def load(self) -> None:
        """The page as it opens, with what it trains by itself; a window is kept, so that none has to be opened."""
        self.page.goto(self.home)
        self.page.evaluate("typeof lab === 'undefined' ? null : lab.then(() => null)")

    def close(self) -> None:
        """Nothing went wrong, and nothing was asked of any host."""
        self.context.close()
        assert self.errors == []
        assert {url.partition(":")[0] for url in self.requests} <= OF_THE_PAGE

    def choose(self, group: str, value: str) -> None:
        self.page.locator(f"#{group} label", has=self.page.locator(f'input[value="{value}"]')).click()

    def update(self) -> int:
        return int(self.page.inner_text("#now").replace(",", ""))

    def numbers(self, quantity: str) -> list[str]:
        """What the tables show, row by row, for the unit that is chosen."""
        return list(self.page.locator(f'.num[data-quantity="{quantity}"]').all_inner_texts())

    def live(self) -> dict[tuple[str, str], list[float]]:
        """The exact values beside the code, by backend and quantity."""
        lists = self.page.locator("article[data-backend] ol[data-quantity]").evaluate_all(
            "all => all.map((list) => [list.closest('article').dataset.backend, list.dataset.quantity,"
            " [...list.children].map((item) => item.title)])"
        )
        return {(backend, quantity): [number(text) for text in texts] for backend, quantity, texts in lists}


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.fixture(scope="session")
def open_tab(chromium: Any) -> Any:
    """`open_tab(path, fragment, **options)` is a Tab."""
    return lambda path, fragment="", **options: Tab(chromium, path, fragment, **options)


assert tuple(spec for spec in SPECS if ":" not in spec) == FRAMEWORKS


@pytest.fixture
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two functions part, which most of a crosscheck's time goes into, is sought at full length only.

    For tests of what is said of the functions, which does not depend on it.
    """
    from equigrad.crosscheck import outcomes

    if at_length(False, short=True):
        monkeypatch.setattr(outcomes, "_parting", lambda *_: None)


@pytest.fixture(scope="session")
def crosschecked() -> Any:
    """The result of a crosscheck with every field filled in, without the seconds that one takes."""
    from equigrad.crosscheck.result import Crosscheck, FunctionCheck, LeafCheck, Parting, Site
    from equigrad.passport import passport

    leaves = (
        LeafCheck("inputs['x']", (2, 3), "disagree", 3e-14, 0, "at [0, 1] torch's derivative is 0.5, jax's 0.4"),
        LeafCheck("inputs['b']", (), "agree", math.nan, 0),
    )
    calls = (("/home/somebody/train.py", 3),)
    torch = Site(
        "torch", "aten.gelu", "act, GELU", "/home/somebody/model.py", 12, "forward", calls, (2, 3), (-0.77, math.nan)
    )
    jax = Site("jax", "tanh", "gelu", "/home/somebody/port.py", 9, "f", calls, (2, 3), (-0.78, 0.25))
    onward = Site("jax", "add", "", "/home/somebody/port.py", 10, "f", (), (), ())
    functions = (
        FunctionCheck("torch", "disagree", "another function than jax", leaves, "central differences", 1e-12, 2e-15),
        FunctionCheck("jax", "disagree", "another function than torch", leaves, "central differences", 1e-12),
        FunctionCheck("numpy", "failed", "ValueError: no such axis"),
    )
    parting = Parting("differs", "forward", torch, jax, onward, True, 3.6e-4, 3208784627985, ((0, 1), (1, 2)))
    return Crosscheck(
        "float64", "central differences", 1e-12, 1e-9, functions, parting, ("x has a kink",), ("x is fc.weight",),
        passport(["numpy"]),
    )  # fmt: skip
