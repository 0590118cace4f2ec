"""Every public function takes its backends, and what else may be one or several, in the same forms."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

import equigrad
from equigrad import cli
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.bench import suite
from equigrad.check import gradcheck
from equigrad.common.errors import UsageError
from equigrad.crosscheck import crosschecks
from equigrad.laws import power

TASK = equigrad.problem("one-layer").with_(updates=3)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compare": lambda backends, **more: equigrad.compare(TASK, backends, **more),
    "check": lambda backends, **more: equigrad.check(TASK, backends, **more),
    "diverge": lambda backends, **more: equigrad.diverge(
        TASK, backends, arithmetic=["native", "reproducible"], budget=0, **more
    ),
    "trace": lambda backends, **more: equigrad.trace(TASK, backends, **more),
    "report": lambda backends, **more: equigrad.report(TASK, backends=backends, **more),
}


class Mine(NumpyBackend):
    pass


class NoBackend:
    pass


pytestmark = pytest.mark.needs("flint")


@pytest.mark.parametrize("backends", ["numpy", Mine, ["numpy"], (Mine,)], ids=["name", "class", "names", "classes"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_takes_by(function: str, backends: Any) -> None:
    FUNCTIONS[function](backends)


@pytest.mark.parametrize(
    ("backends", "got"),
    [(3, "an instance of int"), ([None], "an instance of NoneType"), (NoBackend, "the class NoBackend")],
    ids=["a number", "nothing", "a class that is no backend"],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_refuses(function: str, backends: Any, got: str) -> None:
    with pytest.raises(UsageError, match=f"^a backend is given by its name or .*, not as {got}$"):
        FUNCTIONS[function](backends)


@pytest.mark.parametrize("function", ["compare", "check", "report"])
def test_an_instance_which_has_one_dtype_and_arithmetic_is_refused_by(function: str) -> None:
    with pytest.raises(UsageError, match="not as an instance of Mine"):
        FUNCTIONS[function]([Mine()])


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32")], ids=["NumPy's type", "NumPy's dtype"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_dtype_goes_by_its_name_and_not_as(function: str, dtype: Any) -> None:
    with pytest.raises(UsageError, match=r"unknown dtype .*float32"):
        FUNCTIONS[function]("numpy", dtype=dtype)


def test_load_takes_what_the_others_take() -> None:
    assert isinstance(equigrad.load(Mine, "float32", "reproducible"), Mine)
    with pytest.raises(UsageError, match="not as an instance of Mine"):
        equigrad.load(Mine())  # type: ignore[arg-type]


def test_inputs_to_predict_may_be_lists_and_processes_a_number() -> None:
    result = equigrad.compare(TASK, "numpy", predict=[TASK.inputs[0].tolist()], processes=1).runs[0]
    assert result.predictions is not None
    assert result.outputs is not None
    assert result.predictions[0] == result.outputs[0]
    with pytest.raises(UsageError, match="the number of processes must be at least 1, not 0"):
        equigrad.compare(TASK, "numpy", processes=0)


def test_results_of_a_report_may_be_one_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.json"):
        equigrad.report(results=tmp_path / "no.json")


@pytest.mark.parametrize(
    ("target", "hidden", "layers"),
    [("ab", 4, (2, 4, 1)), (3, (), (2, 1)), (["a", "b"], [4, 5], (1, 4, 5, 2))],
    ids=["a name and a size", "a number", "lists"],
)
def test_data_take_targets_and_hidden_layers_as(target: Any, hidden: Any, layers: Any, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b,ab\n1,2,3\n4,5,6\n")
    assert equigrad.load_data(tmp_path / "data.csv", target=target, hidden=hidden).layers == layers
    with pytest.raises(UsageError, match=r"must be a whole number, not 2\.5"):
        equigrad.load_data(tmp_path / "data.csv", target="ab", hidden=2.5)  # type: ignore[arg-type]


class Twin(NumpyBackend):
    pass


def test_classes_of_one_name_are_told_apart_in_every_command() -> None:
    here, twins = __name__, [type("Twin", (NumpyBackend,), {}) for _ in range(2)]
    twins[0].__module__ = "elsewhere"
    names = ["elsewhere:Twin", f"{here}:Twin"]
    result = equigrad.compare(TASK, [twins[0], Twin], arithmetic="native")
    assert [run["backend"] for run in result.to_json()["runs"]] == ["numpy", *names]
    assert result.verdict.startswith(f"native: identical weights in numpy, {names[0]} and {names[1]}, one SHA-256")
    assert [found.name for found in equigrad.check(TASK, [twins[0], Twin], arithmetic="native").backends] == names
    searched = gradcheck.thorough([twins[0], Twin], dtypes="float64", arithmetic="native", examples=1)
    assert [found.name for found in searched.backends] == names
    twins[1].__module__ = here
    result = equigrad.compare(TASK, [twins[1], Twin], arithmetic="native")
    assert [run.name for run in result.runs] == ["numpy", f"{here}:Twin (1)", f"{here}:Twin (2)"]


@pytest.mark.parametrize("path", [None, 5], ids=["None", "a number"])
def test_a_data_file_must_be_a_path_not(path: Any) -> None:
    with pytest.raises(UsageError, match=f"the data file must be a path, not {path}"):
        equigrad.load_data(path)


@pytest.mark.parametrize("function", [equigrad.compare, equigrad.check, equigrad.diverge, equigrad.trace])
@pytest.mark.parametrize("given", [None, 3, NumpyBackend], ids=["None", "a number", "a class"])
def test_what_is_no_problem_is_refused_in_one_line(function: Callable[..., Any], given: Any) -> None:
    with pytest.raises(UsageError, match=r"a problem is a name or an equigrad\.Problem, not an? "):
        function(given)


def test_an_array_without_axes_is_one_value() -> None:
    with pytest.raises(UsageError, match="needs two layers or more"):
        equigrad.Problem("one", [[0.0]], [[0.0]], np.array(3), updates=1)  # type: ignore[arg-type]
    assert equigrad.compare(TASK, "numpy", processes=np.array(1)).agreed  # type: ignore[arg-type]


def test_a_page_needs_a_class_that_its_name_finds() -> None:
    class Inside(NumpyBackend):
        pass

    with pytest.raises(UsageError, match="Inside is not at the top of a module"):
        equigrad.report(TASK, backends=Inside)


HALF: Any = 2.5
LETTERS: Any = [[["a"]] * 3]
RAGGED: Any = [[[1.0], [2.0, 3.0]]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: equigrad.compare(TASK, "numpy", watch=HALF), "the number of updates to watch must be a whole number"),
        (lambda: equigrad.trace(TASK, "numpy", updates=HALF), "the number of updates must be a whole number"),
        (lambda: gradcheck.thorough("numpy", dtypes="float16"), "unknown dtype 'float16'"),
        (lambda: gradcheck.thorough("numpy", dtypes=["float64", "float"]), "unknown dtype 'float'"),
        (lambda: gradcheck.thorough("numpy", dtypes=[]), "the number of dtypes must be at least 1"),
        (lambda: power.power("numpy", problems=HALF), "the number of networks must be a whole number"),
        (lambda: equigrad.check(TASK, "numpy", weights=LETTERS), "takes weights of shapes"),
        (lambda: equigrad.check(TASK, "numpy", weights=RAGGED), "takes weights of shapes"),
    ],
    ids=[
        "half an update to watch",
        "half an update to trace",
        "a lone unknown dtype",
        "one unknown dtype",
        "no dtype",
        "half a network",
        "letters for weights",
        "rows of two lengths",
    ],
)
def test_other_mistakes_are_one_line_too(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


@pytest.mark.parametrize(
    ("command", "option", "function", "parameter"),
    [
        ("check", "seconds", gradcheck.thorough, "seconds"),
        ("check", "problems", power.power, "problems"),
        ("compare", "watch", equigrad.compare, "watch"),
        ("diverge", "budget", equigrad.diverge, "budget"),
        ("trace", "updates", equigrad.trace, "updates"),
        ("crosscheck", "elements", crosschecks, "ELEMENTS"),
        ("bench", "rounds", suite.bench, "rounds"),
        ("bench", "patience", suite.bench, "patience"),
        ("bench", "who", suite.bench, "who"),
    ],
)
def test_help_shows_the_default_of_the_function(command: str, option: str, function: Any, parameter: str) -> None:
    commands: Any = typer.main.get_command(cli.app)
    shown = next(each for each in commands.commands[command].params if each.name == option)
    default = getattr(function, parameter, None) or inspect.signature(function).parameters[parameter].default
    stated = shown.show_default if isinstance(shown.show_default, str) else shown.default
    assert float(stated) == default if isinstance(default, float | int) else stated == default


@pytest.mark.parametrize("option", ["--seconds=2", "--examples=3", "--seed=7", "--dtype=float32"])
def test_what_is_given_on_the_command_line_reaches_the_function(option: str, command_line: Any, tmp_path: Path) -> None:
    name, value = option.removeprefix("--").split("=")
    with pytest.MonkeyPatch.context() as patch:
        asked: dict[str, Any] = {}

        def thorough(_: Any, **options: Any) -> None:
            asked.update(options)
            raise UsageError("enough")

        patch.setattr(gradcheck, "thorough", thorough)
        assert command_line("check", option, cwd=tmp_path).returncode == 2
    asked["dtype"] = ",".join(asked.get("dtypes", ()))
    assert str(asked[name]).removesuffix(".0") == value
    assert {"dtypes", "seconds", "seed"} & asked.keys() == {name.replace("dtype", "dtypes")} - {"examples"}


@pytest.mark.parametrize(
    ("value", "given"), [(None, False), ((), False), ([], False), (["digits"], True), ("x", True)], ids=repr
)
def test_a_list_that_is_empty_was_not_given_whatever_click_says(value: Any, given: bool) -> None:
    here = SimpleNamespace(name="COMMANDLINE")  # as click 8.1 has it
    context: Any = SimpleNamespace(params={"problem": value}, get_parameter_source=lambda name: here)
    assert cli._is_given(context, "problem") is given
