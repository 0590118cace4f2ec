"""Whatever is typed: a known status, no traceback, one line where nothing could be done, nothing left behind."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad import cli
from length import at_length

BACKEND = """
import os
import sys
from equigrad import Engine
from equigrad.backends.numpy_backend import NumpyBackend

class Good(NumpyBackend): pass

class Abstract(Engine): pass

class Raises(NumpyBackend):
    def train(self, *a): raise ValueError("two\\nlines")

class Unmade(NumpyBackend):
    def __init__(self, **chosen): raise OSError("no \\u2028 licence")

class Listed(NumpyBackend):
    def train(self, *a): return list(super().train(*a))

class Nan(NumpyBackend):
    def train(self, *a): return tuple(w * float("nan") for w in super().train(*a))

class Half(NumpyBackend):
    def predict(self, weights, x): return super().predict(weights, x) * 0

class Mute(BaseException):
    def __str__(self): raise RuntimeError("there is no text")
    __repr__ = __str__

class Unprintable(NumpyBackend):
    def gradient(self, *a): raise Mute
    train = gradient

class UnprintableUnmade(NumpyBackend):
    def __init__(self, **chosen): raise Mute

class NarrowUnmade(NumpyBackend):
    def __init__(self, **chosen):
        if chosen["dtype"] == "float32": raise Mute
        super().__init__(**chosen)

class NoDevices(NumpyBackend):
    @classmethod
    def devices(cls): raise Mute

class Nothing(NumpyBackend):
    def to_numpy(self, array): return None

class Exits(NumpyBackend):
    def gradient(self, *a): sys.exit(0)
    predict = train = gradient

class ExitsUnmade(NumpyBackend):
    def __init__(self, **chosen): sys.exit(0)

class Ends(NumpyBackend):
    def gradient(self, *a): os._exit(0)
    predict = train = gradient

class EndsUnmade(NumpyBackend):
    def __init__(self, **chosen): os._exit(0)
"""
WRONG = tuple(re.findall(r"^class (\w+)\(", BACKEND, re.M))
SILENT = {"ends": "import os; os._exit(0)", "exits": "raise SystemExit(0)", "mute": f"{BACKEND}\nraise Mute"}
"""Modules that end the process while they are imported, or try to."""
EVERY = (*map("fuzzed:{}".format, WRONG), *map("{}:Good".format, SILENT))
FEW = ("Good", "Abstract", "Raises", "Unmade", "Nan", "Unprintable", "NarrowUnmade", "Exits", "Ends", "EndsUnmade")
REPORTED = at_length(EVERY, short=(*map("fuzzed:{}".format, FEW), "ends:Good", "mute:Good"))
"""For a report each of them is checked as `equigrad check` does it, which takes ten times as long as a comparison."""
ANYTHING = st.one_of(
    st.text(max_size=12),
    st.integers(-3, 40).map(str),
    st.sampled_from(
        ["0", "9" * 20, "1e400", "nan", "inf", "-inf", "1_0", "9" * 400, "\u0663", "", "1.5", "1e-320", ":"]
    ),
    st.sampled_from(
        ["numpy:cuda", "numpi", "fuzzed", "fuzzed:Nobody", "drawn.csv", "drawn.npz", "drawn.json", "folder"]
    ),
)
Values = st.SearchStrategy[str]


def one_of(*values: str) -> Values:
    """Values that fit, and those that are as likely as not to be wrong."""
    return st.sampled_from(values)


UPDATES = st.integers(1, 25).map(str)
PROBLEM = one_of("one-layer", "two-layer")
BACKENDS = one_of(*("numpy", "numpy:cpu", "torch") * 3, *map("fuzzed:{}".format, WRONG), *map("{}:Good".format, SILENT))
OUT = one_of("out.json", "out.json", "out.html", "folder", "nowhere/out.json", "", "a\nb.json", ".")
SHARED: dict[str, Values | None] = {
    "--learning-rate": one_of("1", "0.1", "1e-9", "30", "1e300"),
    "--seed": one_of("0", "1", "4294967295"),
    "--dtype": one_of("float64", "float32"),
    "--arithmetic": one_of("native", "reproducible"),
    "--backend": BACKENDS,
}
DATA: list[list[str]] = [
    ["--data", "good.csv", "--target", "y"],
    ["--data", "good.csv", "--target", "3", "--hidden", "2"],
    ["--data", "good.npz", "--hidden", "3", "--hidden", "2"],
    ["--data", "drawn.csv", "--target", "y"],
    ["--data", "drawn.npz"],
    ["--data", "good.csv", "--target", "y", "--hidden", "1000000000000000"],
]
OPTIONS: dict[str, dict[str, Values | None]] = {
    "compare": SHARED
    | {
        "--json": OUT,
        "--watch": one_of("0", "1", "3"),
        "--predict": one_of("0,1,1", "1,1"),
        "--processes": one_of("1", "1", "0", "99", "1,x"),  # more than one start processes, for seconds
    },
    "check": {"--json": OUT, "--curve": None, **{k: v for k, v in SHARED.items() if k != "--learning-rate"}},
    "diverge": SHARED | {"--json": OUT, "--budget": one_of("0", "0.1")},
    "trace": SHARED,
    "report": {"--out": OUT, "--dtype": one_of("float64", "float32", "both"), "--seed": SHARED["--seed"]},
    "bench": SHARED
    | {"--json": OUT, "--rounds": one_of("1"), "--against": one_of("drawn.json"), "--who": one_of("floors")},
    "passport": {},
}
ALWAYS = {"compare": "--updates", "diverge": "--updates", "trace": "--updates", "report": "--updates"}
"""What keeps a run short, unless something else is drawn for the same option later."""
NEVER = {"bench": ["--rounds", "0"]}
"""A benchmark takes seconds and processes of its own, so here none begins."""


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, some twice; now and then a value that does not fit, or a word too many."""
    command = draw(st.sampled_from(["compare", "diverge", "trace", "check", *OPTIONS]))
    words = [command]
    if command != "passport":
        words += draw(st.one_of(st.just([]), PROBLEM.map(lambda name: [name]), st.sampled_from(DATA)))
    if words == ["check"]:
        words += ["--examples", draw(one_of("1", "2"))]  # and not for a minute
    if command in ALWAYS:
        words += [ALWAYS[command], draw(UPDATES)]
    if command != "passport":
        words += ["--backend", draw(BACKENDS)]  # never all there are, whose compilation takes seconds
    words += ["--backend", "numpy"] if command == "diverge" else []
    for option in draw(st.lists(st.sampled_from(sorted(OPTIONS[command])), max_size=4)) if OPTIONS[command] else []:
        values = OPTIONS[command][option]
        words += [option] if values is None else [option, draw(values)]
    if draw(st.sampled_from([False, False, True])):
        at = draw(st.integers(1, len(words)))
        words[at : at + draw(st.integers(0, 1))] = [draw(ANYTHING)]
    return [*words, *NEVER.get(command, [])]


SMALL_FILES = st.one_of(
    st.binary(max_size=60),
    st.text(alphabet="0123456789.,-+eEnaif\n \"'[]{}:\u0663", max_size=60).map(str.encode),
    st.sampled_from([b"[" * 100_000, b"{}", b'{"schema": 1}', b"a,y\n1,0\n2,1\n", b'{"schema": 1, "runs": []}']),
)


SEEN: Counter[tuple[str, int]] = Counter()


def fuzz(examples: int, seeded: bool, folder: Path) -> None:
    (folder / "good.csv").write_text("a,b,y\n0,1,0\n1,0,1\n1,1,1\n")
    np.savez(folder / "good.npz", inputs=np.eye(3), targets=np.ones((3, 1)))
    (folder / "folder").mkdir()
    drawn = [folder / name for name in ("drawn.csv", "drawn.npz", "drawn.json")]

    running = set(children())  # other tests' own, such as a browser

    @settings(
        max_examples=examples,
        derandomize=seeded,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(command_lines(), SMALL_FILES)
    def try_one(words: list[str], content: bytes) -> None:
        for file in drawn:
            file.write_bytes(content)
        before = set(folder.rglob("*"))
        status, out, err = run(words)
        made = {str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before}
        for name in made:
            (folder / name).unlink()
        SEEN[words[0], status] += 1
        assert status in (0, 1, 2, 3, 130), (status, out, err)
        assert "Traceback" not in out + err
        if status == 2 or (status in (1, 3) and not out):
            assert len(err.splitlines()) == 1, err
            assert err.startswith("equigrad: "), err
            assert err[:-1].isprintable(), err
        else:
            assert out, "no word was said"
        assert made <= ({*words, "report.html"} if status in (0, 1, 3) else set())
        assert set(children()) <= running, "a process goes on"

    with backends_in(folder):
        try_one()


@contextlib.contextmanager
def backends_in(folder: Path) -> Iterator[None]:
    """While `fuzzed` and the SILENT modules are imported from here."""
    (folder / "fuzzed.py").write_text(BACKEND)
    for name, code in SILENT.items():
        (folder / f"{name}.py").write_text(code)
    with (
        contextlib.chdir(folder),
        patch.object(sys, "path", [*sys.path]),
        patch.object(sys, "dont_write_bytecode", True),
    ):
        try:
            yield
        finally:
            sys.modules.pop("fuzzed", None)


def run(words: list[str]) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command line, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["equigrad", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        cli.main()
    status = end.value.code or 0
    assert isinstance(status, int)
    return status, out.getvalue(), err.getvalue()


def children() -> list[str]:
    """The processes that this one has started and that still run, where the system tells."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return listed.read_text().split() if listed.exists() else []


@pytest.mark.slow
def test_sixty_command_lines_that_nobody_chose(tmp_path: Path) -> None:
    fuzz(60, True, tmp_path)


RIGHT = {
    "compare": ("Good", "NarrowUnmade"),
    "check": ("Good",),
    "check one-layer": ("Good", "NarrowUnmade"),
    "trace": ("Good", "NarrowUnmade", "Nan", "Half"),
    "diverge": ("Good", "NarrowUnmade", "Half"),
    "report": ("Good",),
}
"""In which backends nothing is wrong, as far as a command looks."""
SHORT = {"compare": ["--updates", "2"], "check": ["--examples", "1"], "check one-layer": []} | {
    "trace": ["--updates", "1"],
    "diverge": ["--updates", "2", "--backend", "numpy"],
    "report": ["--updates", "2"],
}


@pytest.mark.parametrize("command", [*list(RIGHT)[:-1], pytest.param("report", marks=pytest.mark.slow)])
def test_no_wrong_backend_ends_a_command_in_a_traceback_or_in_silence(command: str, tmp_path: Path) -> None:
    right = [f"fuzzed:{name}" for name in RIGHT[command]]
    with backends_in(tmp_path):
        for name in REPORTED if command == "report" else EVERY:
            status, out, err = run([*command.split(), "--backend", name, *SHORT[command]])
            assert status in ((0,) if name in right else (1, 2)), (name, status, out, err)
            assert out or len(err.splitlines()) == 1, (name, err)
            assert "Traceback" not in out + err, name


@pytest.mark.slow
def test_sixty_more_that_are_others_each_time(tmp_path: Path) -> None:
    fuzz(60, False, tmp_path)


@pytest.mark.slow(but=["compare"])
@pytest.mark.parametrize(
    "words",
    [
        ["compare", "--updates", "9", "-b", "numpy"],
        ["trace", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")],
        ["diverge", "-b", "numpy", "-b", "nobody"],
        ["bench", "--rounds", "0"],
        ["report", "nothing.json"],
    ],
    ids=lambda words: words[0],
)
def test_a_real_process_ends_the_same_way(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "equigrad", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    status, out, err = run(words)
    assert (done.returncode, done.stderr) == (status, err)
    assert bool(done.stdout) == bool(out)
    assert not any(tmp_path.iterdir())
