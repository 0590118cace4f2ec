"""Every table fits the terminal, and no number is cut."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console, RenderableType

from equigrad import compare, problem
from equigrad.compare import view as tables
from equigrad.compare.result import Comparison
from length import at_length


@pytest.fixture(scope="module")
def one_layer() -> Comparison:
    """A comparison as on a machine with everything, made of NumPy's runs."""
    result = compare(problem("one-layer"), ["numpy"], predict=np.array([[0.0, 1, 1], [1, 1, 1]]), watch=1)
    runs = [
        replace(run, backend=backend, device=device, outcome=outcome, max_ulp=123_456, max_abs_difference=8.9e-16)
        for run in result.runs
        for backend, device, outcome in (
            ("numpy", "cpu", "identical"),
            ("torch", "cuda", "disagree"),
            ("jax", "cuda", "agree"),
        )
    ]
    return replace(result, runs=runs)


def lines(renderable: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [76, 80, 100, 120, 140, 200])
def test_no_number_of_a_comparison_is_cut_at_width(width: int, one_layer: Comparison) -> None:
    shown = lines(tables.comparison(one_layer, np.array([[0.0, 1, 1], [1, 1, 1]])), width)
    assert max(map(len, shown)) <= width
    text = "\n".join(shown)
    sha = f"{one_layer.runs[0].weights_sha256:.12}…"
    assert text.count("…") == (len(one_layer.runs) if width >= 140 else 0)  # of the hashes
    for complete in ("disagree", "torch:cuda", "123,456", "8.9e-16", "2 of 2", "0.00786466", "-0.99977125"):
        assert complete in text
    assert (sha in text) == (width >= 140)
    assert ("9.67299303 -0.20784350 -4.62963669" in text) == (width >= 140)


@pytest.mark.parametrize(
    ("targets", "says"),
    [([0, 0.5, 1], ""), ([0, 3, 1], "1 of 3 targets is not"), ([-1, 3, 1], "2 of 3 targets are not")],
)
def test_targets_that_no_sigmoid_reaches_are_told(targets: list[float], says: str) -> None:
    task = replace(problem("one-layer"), inputs=np.c_[[1, 2, 3]], targets=np.c_[targets], layers=(1, 1), updates=1)
    result = compare(replace(task, figures=(), golden={}), ["numpy"], arithmetic="native")
    for shown in ("\n".join(lines(tables.comparison(result), 140)), result._repr_html_()):
        assert says in shown
        assert ("not between 0 and 1" in shown) == bool(says)


@pytest.mark.parametrize(("width", "columns"), [(79, 1), (99, 1), (120, 1), (280, 4)])
def test_what_happens_inside_a_wide_layer_is_shown_below_where_it_does_not_fit_beside(width: int, columns: int) -> None:
    result = compare(problem("two-layer").with_(updates=3), ["numpy"], arithmetic="native", watch=1)
    shown = lines(tables.watched(result.runs), width)
    text = "\n".join(shown)
    assert max(map(len, shown)) <= width
    assert "…" not in text
    assert "-0.20646505  0.07763347 -0.16161097  0.37043900" in text  # the first row of X @ W
    words = ("X @ W", "activation", "error", "delta", "change of W")
    together = sum(all(word in line for word in words) for line in shown)
    assert together == (1 if columns == 4 else 0)


def test_only_the_corner_of_a_large_matrix_is_shown() -> None:
    result = compare(problem("digits").with_(updates=1), ["numpy"], arithmetic="native", watch=1)
    text = "\n".join(lines(tables.watched(result.runs), 100))
    assert len(text.splitlines()) < 70
    assert "…" in text


def test_the_accuracy_of_classes_is_shown() -> None:
    result = compare(problem("digits").with_(updates=2), ["numpy"], arithmetic="native")
    (run,) = result.runs
    assert run.outputs is not None
    right = sum(int(o.argmax()) == int(t.argmax()) for o, t in zip(run.outputs, result.problem.targets, strict=True))
    text = "\n".join(lines(tables.comparison(result), 140))
    assert "accuracy" in text
    assert f"{right / 1797:.2%}" in text


@pytest.mark.slow(but=["is dumb"])
@pytest.mark.parametrize(
    ("environment", "shown"),
    [({"PYTHONIOENCODING": "ascii"}, "numpy"), ({"NO_COLOR": "1"}, "numpy"), ({"TERM": "dumb"}, "numpy")],
    ids=["knows only ASCII", "wants no colour", "is dumb"],
)
def test_the_command_works_where_the_terminal(environment: dict[str, str], shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "equigrad", "compare", "-b", "numpy", "--updates", "3", "--watch", "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout


READERS = [
    pytest.param(result, lines_read, id=f"{outcome}-{read}")
    for result, outcome in enumerate(["agreement", "failure"])
    for lines_read, read in enumerate(["nothing", "one line"])
]


@pytest.mark.slow(but=["agreement-nothing"])
@pytest.mark.parametrize(("result", "lines_read"), at_length(READERS, short=READERS[::3]))
def test_the_status_stays_when_the_reader_has_seen_enough_after(
    result: int, lines_read: int, ready: Callable[..., object]
) -> None:
    """As in `equigrad compare | head -1` under pipefail."""
    rate = {0: "1", 1: "1e-310"}[result]  # subnormal, which the reproducible arithmetic refuses
    process = subprocess.Popen(
        [sys.executable, "-m", "equigrad", "compare", "-b", "numpy", "--updates", "3", "--learning-rate", rate],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    for _ in range(lines_read):
        process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (result, "")


def test_the_verdict_comes_before_what_was_watched_and_equal_tables_once() -> None:
    result = compare(problem("one-layer").with_(updates=5), ["numpy"], watch=1)
    text = "\n".join(lines(tables.comparison(result), 140))
    assert text.count("preactivation X @ W") == 1
    assert "inside numpy, reproducible; numpy, native: the same in all 2" in text
    assert text.index(result.verdicts[-1]) < text.index("inside numpy")


def test_tables_that_differ_in_bits_alone_say_so() -> None:
    result = compare(problem("two-layer").with_(updates=5), ["numpy"], watch=1)
    change = result.runs[0].watched[0][1][0].change
    change[...] = np.nextafter(change, 1)
    text = " ".join(lines(tables.comparison(result), 140))
    assert "inside numpy, reproducible; numpy, native: the same in all 2, to the digits shown" in text
