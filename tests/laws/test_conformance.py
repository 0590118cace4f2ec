"""The kit in other people's hands: real engines pass, a wrong one fails, and expected failures are strict."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from equigrad.common.errors import MissingError
from equigrad.conformance import Conformance, read_expected
from equigrad.laws.laws import LAWS
from equigrad.laws.networks import chosen
from equigrad.referee import exact
from length import at_length

pytestmark = pytest.mark.needs("flint", "hypothesis", "autograd")

ENGINES = Path(__file__).parents[1] / "engines"
AUTOGRAD = "autograd_engine:AutogradBackend"


class TestNumpy(Conformance):
    backend = "numpy"
    seconds = at_length(2, short=0.8)


PLUGINS = ("-p", "equigrad.pytest_plugin", "-p", "no:cacheprovider")
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""No other plug-in: pytest would rewrite the asserts of every package that brings one, all of equigrad among them."""


class Done(NamedTuple):
    returncode: int
    stdout: str


def kit(*arguments: str, folder: Path = ENGINES) -> Done:
    """Pytest with the kit in that folder, within this process, whose imports need not be repeated; see `kit_alone`."""
    out, before = io.StringIO(), set(sys.modules)
    with (
        contextlib.chdir(folder),
        patch.object(sys, "path", [str(ENGINES), *sys.path]),
        patch.object(sys, "dont_write_bytecode", True),
        patch.dict(os.environ, ALONE),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        status = pytest.main([*PLUGINS, "-q", "-c", os.devnull, "--rootdir", str(folder), *arguments])
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(folder):
            del sys.modules[name]
    return Done(int(status), out.getvalue())


def kit_alone(*arguments: str, more: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as people run it, and sooner where there is much to compute."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, "-q", "-c", os.devnull, "--rootdir", str(ENGINES), *arguments],
        cwd=ENGINES,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ENGINES), *filter(None, sys.path)]), **(more or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def kit_on(backend: str, *arguments: str, run: Callable[..., Any] = kit) -> Any:
    return run("--pyargs", "equigrad.conformance", "--equigrad-backend", backend, *arguments)


@pytest.mark.slow
def test_hips_autograd_passes_all_of_it() -> None:
    names = [network.name.replace(" ", "-") for network in chosen("float64")]
    few = at_length(names, short=["two-layer", "one-sample", "far-beyond-saturation"])
    assert {*few} <= {*names}
    selected = " or ".join(["any_law", *few])
    done = kit_on(AUTOGRAD, "--equigrad-seconds", at_length("1", short="0.4"), "-k", selected)
    assert done.returncode == 0, done.stdout
    networks = 2 * len(few)
    assert f"{(len(LAWS) - 1) * networks + 2} passed, {networks} skipped" in done.stdout  # it has no replay


@pytest.mark.slow
@pytest.mark.needs("tinygrad")
def test_tinygrad_passes_on_trasks_two_networks() -> None:
    """Each in one dtype. And on all the others, but its interpreter needs a minute or two for those.

    On two-layer a short test leaves out the laws that ask for the most calls: one-layer keeps them all.
    """
    many = at_length([], short=["calls_are_independent", "calls_repeat", "layout_is_free", "results_stay"])
    assert {*many} <= {*LAWS}
    networks = " and not ".join(["(one-layer and float32) or (two-layer and float64", *many]) + ")"
    done = kit_on("tinygrad_engine:TinygradBackend", "-k", networks, run=partial(kit_alone, more=ALONE))
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(LAWS) - 2 - len(many)} passed" in done.stdout


@pytest.mark.parametrize("engine", ["autograd_engine.py", "tinygrad_engine.py"])
def test_an_engine_takes_at_most_sixty_lines(engine: str) -> None:
    assert len((ENGINES / engine).read_text().splitlines()) <= 60


@pytest.mark.slow
def test_the_wrong_engine_breaks_the_laws_about_gradients_and_no_other() -> None:
    left_out = "".join(f" and not {word}" for word in ("any_law", "square", *at_length([], short=["six", "long-sums"])))
    done = kit_on("wrong_engine:WrongBackend", "-k", f"float64{left_out}")
    assert done.returncode == 1
    broken = set(re.findall(r"^FAILED .*test_law\[(\w+)-", done.stdout, re.MULTILINE))
    assert broken == {"gradient_is_exact", "weights_are_exact", "trace_is_the_update", "layout_is_free"}
    assert "LawBroken: gradient_is_exact: the gradient is off by 0.138 at layer 1 element (0, 0)" in done.stdout
    assert "laws.py:" not in done.stdout  # a message, not our traceback


def test_an_expected_failure_is_no_failure_but_an_unexpected_pass_is(tmp_path: Path) -> None:
    expected = tmp_path / "expected.txt"
    known = "# known\n[!a]*_exact-*-one-layer: sets gradients\ntrace*: the same\nlayout*: the same\n"
    expected.write_text(known)
    arguments = ("-k", "float64 and one-layer", "--equigrad-expected-failures", str(expected))
    done = kit_on("wrong_engine:WrongBackend", *arguments)
    assert done.returncode == 1
    assert "4 xfailed" in done.stdout
    assert "[XPASS(strict)] sets gradients" in done.stdout  # prediction_is_exact passes
    expected.write_text(known.replace("[!a]*_exact", "[gw]*_exact"))
    done = kit_on("wrong_engine:WrongBackend", *arguments)
    assert done.returncode == 0, done.stdout
    assert "4 xfailed" in done.stdout


@pytest.mark.slow
def test_the_kit_looks_for_a_network_as_the_check_does_and_shows_the_smallest() -> None:
    done = kit_on("wrong_engine:WrongBackend", "-k", "any_law and float64")
    assert done.returncode == 1
    assert "the smallest network that shows it: layers 1-1, 2 samples (float64, native)" in done.stdout
    assert "samples: right for 1; wrong for 2, 3, 5" in done.stdout
    assert kit_on("wrong_engine:WrongBackend", "-k", "any_law", "--equigrad-seconds", "0").returncode == 5  # none left


@pytest.mark.slow
def test_an_expected_failure_that_names_no_test_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "expected.txt").write_text("gradient_is_wrong-*: no such law\n")
    done = kit_on(AUTOGRAD, "--equigrad-expected-failures", str(tmp_path / "expected.txt"))
    assert done.returncode != 0
    assert "expected failures that name no test: gradient_is_wrong-*" in done.stdout


def test_an_expected_failure_needs_a_reason(tmp_path: Path) -> None:
    (tmp_path / "expected.txt").write_text("\n# a comment: fine\ncalls_repeat-*:\n")
    with pytest.raises(pytest.UsageError, match=r"expected\.txt:3: an expected failure needs a reason"):
        read_expected(tmp_path / "expected.txt")
    with pytest.raises(pytest.UsageError, match="No such file") as refused:
        read_expected(tmp_path / "missing.txt")
    assert refused.value.__cause__ is None  # the message alone
    assert read_expected(None) == {}


@pytest.mark.slow
def test_a_class_in_ones_own_suite_needs_no_option(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from autograd_engine import AutogradBackend\n"
        "from equigrad.conformance import Conformance\n\n\n"
        "class TestMine(Conformance):\n"
        "    backend = AutogradBackend\n"
    )
    done = kit("-k", "one-layer", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{len(LAWS) * 2 - 2} passed, 2 skipped" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which backend: --equigrad-backend package.module:Class"),
        (["--equigrad-backend", "nowhere:Nothing"], "ModuleNotFoundError: No module named 'nowhere'"),
    ],
    ids=["no backend", "no such module"],
)
def test_a_backend_that_cannot_be_found_is_one_line(arguments: list[str], message: str) -> None:
    done = kit("--pyargs", "equigrad.conformance", *arguments)
    assert done.returncode != 0
    assert f"UsageError: {message}" in done.stdout or message in done.stdout
    assert "passed" not in done.stdout


def test_a_class_that_lacks_methods_fails_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "test_lacking.py").write_text(
        "from equigrad import Backend\n"
        "from equigrad.conformance import Conformance\n\n\n"
        "class Lacking(Backend):\n"
        "    name = 'lacking'\n\n\n"
        "class TestLacking(Conformance):\n"
        "    backend = Lacking\n"
    )
    done = kit("-x", folder=tmp_path)
    assert done.returncode == 1
    assert "Lacking lacks device_of, devices, environment, from_numpy, gradient, predict" in done.stdout


def test_a_dtype_in_which_it_cannot_be_made_may_be_expected(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("*float64*: only float32\n")
    (tmp_path / "test_single.py").write_text(
        "from equigrad.backends.numpy_backend import NumpyBackend\n"
        "from equigrad.conformance import Conformance\n\n\n"
        "class Single(NumpyBackend):\n"
        "    arithmetics = ('native',)\n\n"
        "    def __post_init__(self):\n"
        "        if self.dtype == 'float64':\n"
        "            raise RuntimeError('no double precision')\n\n\n"
        "class TestSingle(Conformance):\n"
        "    backend = Single\n"
        "    seconds = 0.1\n"
    )
    selected = ("-k", "(gradient_is_exact and one-layer) or any_law")
    done = kit(*selected, "--equigrad-expected-failures", str(tmp_path / "known.txt"), folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search("2 passed, .*2 xfailed", done.stdout)
    alone = kit(*selected, folder=tmp_path)
    assert "LawBroken: gradient_is_exact: loading raised RuntimeError: no double precision" in alone.stdout


def test_without_the_referee_the_search_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    exact._flint.cache_clear()
    monkeypatch.setitem(sys.modules, "flint", None)
    out = kit_on("numpy", "-k", "any_law and float64-native").stdout
    assert "\nthe referee needs python-flint: pip install 'equigrad[check]'\n" in out
    assert "needed(" not in out  # none of our code


def test_without_pytest_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "equigrad.conformance")
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(MissingError, match=r"pip install 'equigrad\[check,bench\]'"):
        importlib.import_module("equigrad.conformance")


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf"])
def test_refused_are_seconds_of(seconds: str) -> None:
    done = kit_on("numpy", "--equigrad-seconds", seconds)
    assert done.returncode != 0
    assert f"the seconds must be a positive finite number, not {seconds}" in done.stdout


@pytest.mark.slow
def test_a_registered_backend_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any
) -> None:
    info = tmp_path / "someones_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: someones-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[equigrad.backends]\nsomeones = autograd_engine:AutogradBackend\n")
    for folder in (ENGINES, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    done = command_line("check", "one-layer", "-b", "someones", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "someones" in done.stdout
