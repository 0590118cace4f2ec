"""`equigrad check`: who is how far from the exact gradient, and what goes wrong is one line."""

from __future__ import annotations

import io
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from rich.console import Console

import equigrad
from equigrad import console
from equigrad.backends.interface import Backend
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.check import view
from equigrad.check.gradcheck import check, thorough
from equigrad.check.result import Check, Searched, Thorough
from equigrad.common.agreement import OUTCOMES
from equigrad.common.errors import UsageError
from equigrad.laws.laws import LAWS
from equigrad.laws.mutants import MUTANTS
from equigrad.laws.networks import Recipe
from equigrad.laws.planted import PLANS, equivalent
from equigrad.laws.search import Finding, Search
from length import at_length

pytestmark = pytest.mark.needs("flint")

ENGINES = Path(__file__).parents[1] / "engines"


@pytest.fixture
def command(command_line: Any) -> Any:
    """`command("two-layer")` is `equigrad check two-layer` among the engines, or in `folder`."""
    return lambda *arguments, folder=ENGINES: command_line("check", *arguments, cwd=folder)


def outcomes(result: Check) -> dict[str, str]:
    return {b.name: b.outcome for b in result.backends}


def test_the_gradient_of_the_first_problem_is_correctly_rounded() -> None:
    result = check("one-layer", ["numpy"], arithmetic="reproducible")
    assert outcomes(result) == {"numpy": "identical"}


def test_no_error_is_above_what_the_verdict_says() -> None:
    result = check("one-layer", ["numpy"], arithmetic="native")
    (found,) = result.backends
    found = replace(found, layers=(replace(found.layers[0], margin=0.0142),))
    assert "no error above 2% of what" in replace(result, backends=(found,)).verdict


def test_the_gradient_is_taken_at_the_weights_given() -> None:
    trained = equigrad.compare("two-layer", ["numpy"], arithmetic="native").runs[0].weights
    result = check("two-layer", ["numpy"], weights=trained)
    assert result.agreed
    assert max(layer.ulp for layer in result.backends[1].layers) > 30  # small errors left: digits cancel


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes weights of shapes \[\(3, 1\)\], not \[\(1, 3\)\]"):
        check("one-layer", ["numpy"], weights=[np.zeros((1, 3))])
    with pytest.raises(UsageError, match="finite"):
        check("one-layer", ["numpy"], weights=[np.full((3, 1), np.nan)])
    with pytest.raises(UsageError, match="fit into float32"):
        check("one-layer", ["numpy"], weights=[np.full((3, 1), 1e39)], dtype="float32")


class Listed(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return list(super().gradient(weights, x, y))


class Flat(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(g.ravel() for g in super().gradient(weights, x, y))


class Whole(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(g.astype(int) for g in super().gradient(weights, x, y))


class Raising(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        raise RuntimeError("out of\ncheese")


class Narrow(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(g.astype(np.float32) for g in super().gradient(weights, x, y))


class Elsewhere(NumpyBackend):
    def device_of(self, array: Any) -> str:
        return "tpu"


class Fickle(NumpyBackend):
    calls = itertools.count()

    def predict(self, weights: Any, x: Any) -> Any:
        return super().predict(weights, x) + np.finfo(float).eps * (next(self.calls) % 2)


class Unstartable(NumpyBackend):
    def __init__(self, **_: str) -> None:
        raise OSError("no licence")


class Lacking(Backend):
    name = "lacking"


EXPECTED = "expected a tuple of 1 array of shape (3, 1), float64"


@pytest.mark.parametrize(
    ("backend", "outcome", "message"),
    [
        (Listed, "failed", f"gradient returned a list - {EXPECTED}"),
        (Flat, "failed", f"gradient returned an array of shape (3,) - {EXPECTED}"),
        (Whole, "failed", f"gradient returned an array of int64 - {EXPECTED}"),
        (Raising, "failed", f"gradient raised RuntimeError: out of cheese - {EXPECTED}"),
        (Narrow, "wrong-dtype", f"gradient returned an array of float32 - {EXPECTED}"),
        (Elsewhere, "wrong-device", "from_numpy left its result on 'tpu', not on 'cpu'"),
        (Unstartable, "failed", "loading raised OSError: no licence"),
        (Lacking, "failed", "Lacking lacks device_of, devices, environment, from_numpy, gradient, predict"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_broken_backend_is_named_and_the_others_still_show(
    backend: type[Backend], outcome: str, message: str
) -> None:
    result = check("one-layer", ["numpy", backend, "torch"], arithmetic="native")
    assert outcome in OUTCOMES
    assert [b.outcome for b in result.backends][:2] == ["agree", outcome]
    assert result.backends[2].outcome in ("agree", "missing")
    assert message in result.backends[1].message
    assert not result.agreed
    assert f"{backend.__name__} native ({outcome})" in result.verdict


class Single(NumpyBackend):
    """Has float32 alone."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32",)

    def __post_init__(self) -> None:
        if self.dtype != "float32":
            raise ValueError("single precision only")


class Untold(Single):
    dtypes: ClassVar[tuple[str, ...]] = ("float64", "float32")


class Misspelt(NumpyBackend):
    arithmetics = "native"  # type: ignore[assignment]


def test_an_engine_that_has_one_dtype_is_asked_for_that_alone() -> None:
    searched = thorough(Single, examples=2)
    assert searched.agreed
    assert searched.title == "every law on many networks, float32, seed 0"
    assert [b.outcome for b in searched.backends] == ["agree"]
    assert not thorough(Single, dtypes="float64", examples=2).agreed
    assert thorough(Single, dtypes="float64", examples=2).status(["Single"]) == 3
    assert check("one-layer", [Single], arithmetic="native").backends[0].outcome == "missing"
    assert check("one-layer", [Single], dtype="float32", arithmetic="native").agreed


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (Untold, "loading raised ValueError: single precision only - expected a backend for float64"),
        (Misspelt, "Misspelt.arithmetics is 'native' - expected a tuple of native or reproducible or both"),
    ],
    ids=["fails in a dtype that it claims to have", "names its arithmetic without a tuple"],
)
def test_refused_is_a_class_that(backend: type[Backend], said: str) -> None:
    (result,) = thorough(backend, examples=2).backends
    assert result.outcome == "failed"
    assert said in result.message


class Boxed(NumpyBackend):
    """Its arrays are tuples of one NumPy array."""

    arithmetics = ("native",)  # type: ignore[assignment]

    def from_numpy(self, array: Any) -> Any:
        return (super().from_numpy(array),)

    def to_numpy(self, array: Any) -> Any:
        return super().to_numpy(array[0])

    def device_of(self, array: Any) -> str:
        return "cpu"

    def predict(self, weights: Any, x: Any) -> Any:
        return (NUMPY.predict(opened(weights), x[0]),)

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return boxed(NUMPY.gradient(opened(weights), x[0], y[0]))

    def update(self, weights: Any, x: Any, y: Any, lr: float) -> Any:
        return self.train(weights, x, y, lr, 1)

    def train(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        return boxed(NUMPY.train(opened(weights), x[0], y[0], lr, n))

    def trace(self, weights: Any, x: Any, y: Any, lr: float) -> Any:
        return NUMPY.trace(opened(weights), x[0], y[0], lr)

    def replay(self, *arguments: Any) -> Any:
        return None


NUMPY = NumpyBackend()


def opened(arrays: Any) -> Any:
    return tuple(array for (array,) in arrays)


def boxed(arrays: Any) -> Any:
    return tuple((array,) for array in arrays)


def test_arrays_may_be_tuples() -> None:
    found = check("two-layer", [Boxed], arithmetic="native").backends[0]
    assert found.outcome in ("agree", "identical"), found.message


def test_where_rounding_explains_any_gradient_nothing_is_told_and_none_is_nearest() -> None:
    task = equigrad.Problem("steep", np.array([[1e3, 2e3], [-1e3, 5e2]]), np.eye(2)[:, :1], (2, 2, 1), updates=3)
    result = check(task, ["numpy"])
    assert {b.outcome for b in result.backends} == {"inconclusive"}
    assert not any(layer.nearest for b in result.backends for layer in b.layers)
    assert "nothing can be told" in result.verdict
    assert result.status(["numpy"]) == 1


def test_lines_to_copy_are_broken_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe((3,) * 12, inputs="a row and a column of zeros", targets="a row and a column of zeros", updates=0)
    finding = Finding("gradient_is_exact", "disagree", "it is off", 2.0, "float64", "native", (recipe,))
    searched = Searched("mine:Mine", "cpu", "disagree", "it is off", Search(1, 0.0, finding=finding))
    console.show(view.thorough(Thorough({}, ("float64",), "native", 0, (searched,))), width=60)
    code = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert code == finding.reproduce("mine:Mine").splitlines()


@pytest.mark.parametrize("name", ["numpy", "my_long_package.my_long_module:MyClassOfALongName"], ids=["short", "long"])
def test_no_number_is_cut_in_80_columns_where_the_backends_name_is(name: str) -> None:
    result = check("one-layer", ["numpy"])
    result = replace(result, backends=tuple(replace(b, name=name) for b in result.backends))
    screen = Console(file=io.StringIO(), width=80)
    screen.print(view.check(result))
    assert isinstance(screen.file, io.StringIO)
    text = screen.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    numbers = [f"{v:.1e}" for b in result.backends for layer in b.layers for v in (layer.relative_error, layer.bound)]
    assert all(number in text for number in (*numbers, *(b.kept for b in result.backends)))


def test_a_right_gradient_does_not_excuse_a_broken_law() -> None:
    result = check("one-layer", [Fickle], arithmetic="native")
    assert outcomes(result) == {"Fickle": "nondeterministic"}
    assert result.backends[0].layers[0].margin < 1
    broken = [law.law for law in result.backends[0].laws if not law.kept]
    assert broken == ["calls_repeat", "calls_are_independent"]  # both say that one call gives two results


def test_only_right_backends_are_nearest() -> None:
    class Doubled(NumpyBackend):
        def gradient(self, weights: Any, x: Any, y: Any) -> Any:
            return tuple(2 * g for g in super().gradient(weights, x, y))

    right, wrong = check("one-layer", ["numpy", Doubled], arithmetic="native").backends
    assert right.layers[0].nearest
    assert not wrong.layers[0].nearest
    assert not check("one-layer", [Doubled], arithmetic="native").backends[0].layers[0].nearest


def test_a_wrong_referee_accuses_nobody_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from equigrad.referee import exact as referee

    monkeypatch.setattr(referee, "complex_step", lambda loss, arrays, places: np.zeros(len(places)))
    result = check("one-layer", ["numpy"])
    assert not result.agreed
    assert "trust neither" in result.verdict


def test_the_command_prints_a_table_and_writes_json(command: Any, tmp_path: Path) -> None:
    done = command("two-layer", "-b", "numpy", "--curve", "--json", str(tmp_path / "check.json"))
    assert done.returncode == 0, done.stderr
    assert "every gradient is right" in done.stdout
    assert "best central step" in done.stdout
    written = json.loads((tmp_path / "check.json").read_text())
    assert written["problem"] == {"name": "two-layer", "layers": [3, 4, 1], "samples": 4}
    assert [b["outcome"] for b in written["backends"]] == ["agree", "agree"]
    assert len(written["backends"][0]["layers"]) == 2
    assert len(written["backends"][0]["laws"]) == len(LAWS) - 1
    assert list(written["backends"][0]["not_asked"]) == ["long_training_is_exact"]
    assert len(written["curve"]["points"]) == 29


def test_the_command_checks_data_of_ones_own(command: Any, tmp_path: Path) -> None:
    (tmp_path / "xor.csv").write_text("a,b,c,y\n0,0,1,0\n0,1,1,1\n1,0,1,1\n1,1,1,0\n")
    done = command("--data", "xor.csv", "--target", "y", "--hidden", "3", "-b", "numpy", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 x 3" in done.stdout


@pytest.mark.parametrize(
    ("row", "dtype", "status", "says"),
    [
        ("1,2,1e39", "float32", 2, "the targets of 'data.csv' hold a number that does not fit into float32"),
        ("1e50,2,1", "float64", 2, "50 digits are too few to check numbers as large as these: scale the data"),
        ("1,2,1e300", "float64", 0, ""),
        ("1e9,2,1", "float64", 0, ""),
    ],
    ids=[
        "targets beyond float32",
        "inputs beyond the referee",
        "targets whose squares are infinite",
        "inputs whose exponentials are infinite",
    ],
)
def test_one_line_or_none_for(
    command: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder, row: str, dtype: str, status: int, says: str
) -> None:
    (tmp_path / "data.csv").write_text(f"a,b,y\n{row}\n0,1,1\n")
    arguments = ("--data", "data.csv", "--target", "y", "-b", "numpy", "--dtype", dtype, "--curve")
    done = command(*arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (status, f"equigrad: {says}\n" if says else "")
    assert ("every gradient is right" in done.stdout) == (status == 0)
    assert not [w for w in recwarn if w.category is RuntimeWarning]


def test_a_second_opinion_that_is_not_finite_is_none() -> None:
    result = replace(check("one-layer", ["numpy"]), complex_step=float("nan"))
    assert (result.agreed, "trust neither" in result.verdict) == (False, True)


@pytest.mark.parametrize(
    ("inputs", "target", "says"),
    [
        ([[1e50, 2], [-1e50, 1]], 1.0, "The gradients were not checked: 50 digits are too few"),
        ([[1, 2], [-1, 1]], 1e300, "every gradient is right"),
    ],
    ids=["inputs beyond the referee", "targets whose squares are infinite"],
)
def test_a_report_of(inputs: list[list[float]], target: float, says: str) -> None:
    large = equigrad.Problem("large", np.array(inputs), np.array([[0], [target]]), (2, 1), 2)
    assert says in equigrad.report(large, backends=["numpy"]).html


def test_a_wrong_engine_fails_beside_a_right_one(command: Any) -> None:
    arguments = ["-b", "numpy", "-b", "wrong_engine:WrongBackend", "--arithmetic", "native"]
    done = command("two-layer", *arguments)
    assert done.returncode == 1
    assert "gradient_is_exact: the gradient is off by 0.0109 at layer 1 element (1, 3)" in done.stdout
    assert "NOT correct: wrong_engine:WrongBackend native (disagree)." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-b", "nosuch"], 2, "unknown backend 'nosuch': known are numpy, torch, jax"),
        (["-b", "nowhere:Nothing"], 2, "ModuleNotFoundError: No module named 'nowhere'"),
        (["-b", "numpi"], 2, "did you mean 'numpy'?"),
        (["nonsense"], 2, "unknown problem 'nonsense'"),
        (["--dtype", "float16", "-b", "numpy"], 2, "unknown dtype 'float16'"),
        (["--arithmetic", "exact", "-b", "numpy"], 2, "unknown arithmetic 'exact'"),
        (["--power", "one-layer", "--dtype", "float32"], 2, "dtype and arithmetic: leave out problem, --dtype"),
        (["--power", "--seed", "0"], 2, "in every dtype and arithmetic: leave out --seed"),
        (["--problems", "3"], 2, "--problems is for --power only"),
        (["--power", "--problems", "0", "-b", "numpy"], 2, "must be at least 1, not 0"),
        (["--power", "--seconds", "3"], 2, "leave out --seconds"),
        (
            ["one-layer", "--seconds", "3"],
            2,
            "--seconds and --examples are for the search without a problem: leave out --seconds",
        ),
        (["--seconds", "3", "--examples", "3"], 2, "--examples alone says how long to search: leave out --seconds"),
        (["--seconds", "0", "-b", "numpy"], 2, "the seconds must be a positive finite number, not 0.0"),
        (["--seconds", "nan", "-b", "numpy"], 2, "the seconds must be a positive finite number, not nan"),
        (["--examples", "0", "-b", "numpy"], 2, "the number of networks must be at least 1, not 0"),
        (["--seed", "-1", "-b", "numpy", "--examples", "1"], 2, "the seed must be between 0 and 4294967295, not -1"),
        (["--json", "/no/such/folder/x.json"], 2, "there is no folder"),
        (["-b", "autograd_engine:AutogradBackend", "--arithmetic", "reproducible"], 3, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_one_line(command: Any, arguments: list[str], status: int, message: str) -> None:
    done = command(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("\n") <= 1


@pytest.mark.slow
def test_the_proof_of_power_prints_and_writes_every_mutant(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = PLANS[:: at_length(1, short=16)]
    monkeypatch.setattr("equigrad.laws.power.PLANS", plans)
    done = command("--power", "--problems", "8", "-b", "numpy", "--json", str(tmp_path / "power.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong backends caught" in done.stdout
    written = json.loads((tmp_path / "power.json").read_text())
    planted = {plan.name for plan in plans if not equivalent(plan)}
    assert {m["name"] for m in written["mutants"]} == {*planted, *(mutant.name for mutant in MUTANTS.values())}
    assert written["equivalent"].keys() == {plan.name for plan in plans} - planted
    assert set(written["dimensions"]) == {plan.dimension for plan in plans}
    assert all(caught == tried for caught, tried in written["dimensions"].values())
    assert all(set(m) >= {"name", "caught", "law", "margin"} and m["caught"] for m in written["mutants"])
    assert written["problems"] == {"numpy": 8}
    assert written["false_alarms"] == []


def test_without_python_flint_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from equigrad.common.errors import MissingError
    from equigrad.referee import exact as referee

    monkeypatch.setitem(sys.modules, "flint", None)
    referee._flint.cache_clear()
    with pytest.raises(MissingError, match=r"pip install 'equigrad\[check\]'"):
        check("one-layer", ["numpy"])
