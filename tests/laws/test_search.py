"""The search: wrong engines that people might write are found, made small and explained; right ones are not."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from equigrad.backends import backend_class
from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.check.result import Searched, Thorough
from equigrad.common.errors import MissingError
from equigrad.laws import networks
from equigrad.laws import search as searching
from equigrad.laws.laws import LAWS, LawBroken
from equigrad.laws.networks import FIXED, NEAR, RATES, TARGETS, WEIGHTS, Recipe, recipes
from equigrad.laws.search import Search, repeat, search
from equigrad.referee import roundoff
from length import at_length

pytestmark = pytest.mark.needs("flint", "hypothesis")

Ready = Callable[..., Backend]
ENGINES = Path(__file__).parents[1] / "engines"


def module(name: str) -> Any:
    """A file among the engines, under its own name."""
    spec = importlib.util.spec_from_file_location(name, ENGINES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


wrong_engines = module("wrong_engines")


@pytest.fixture(scope="module", autouse=True)
def _networks_are_kept_and_time_is_no_limit() -> Iterator[None]:
    """What is owed on a network is the same for every wrong engine: without this each computes it anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "_network", lru_cache(maxsize=4_000)(networks._network.__wrapped__))
        patch.setattr(searching, "NARROWING", float("inf"))  # no result depends on how quick the machine is
        yield


def looked(cls: type[Backend], examples: int, dtypes: tuple[str, ...] = DTYPES) -> Search:
    return search(
        lambda dtype, arithmetic: cls(device="cpu", dtype=dtype, arithmetic=arithmetic),
        cls.arithmetics,
        dtypes,
        examples=examples,
    )


TELLING = {
    "layers 1-1, 1 sample, learning rate 0.1, 1,500 updates": "DecaysAfterAThousand DecaysAfterAHundred ChunksOfFifty "
    "UnrollsByEight SingleUnitSkipped",
    "layers 3-300-2, 2 samples": "BlocksOf16 Float16BeyondWidth128 WidthBeyond256 DropoutLeftOn RoundsPredictions "
    "ClipsActivations",
    "layers 2-10, 2 samples": "OneOutputOnly",
    "layers 3-2, 33 samples": "Shuffles BatchesOf32 SortsRows",
    "layers 3-3-3, 3 samples, inputs very uneven": "NanAtZero ScalesLargeInputs SubnormalsRaise",
    "layers 3-3-3, 3 samples, weights very uneven": "NanToZero",
    "layers 2-2, 2 samples, weights normal / 1,000, targets normal times 100, learning rate 1e-05, 1,501 updates":
    "IntegerTargets IgnoresNegativeTargets RateAtLeast",
    "layers 64-32-10, 70 samples": "BlocksOf64Rows",
    "layers 3-2, 300 samples": "BatchesOf256",
    "layers 3-4-1, 4 samples, weights uniform from -1 to 1, learning rate 0.01, 3,000 updates": "CapsUpdates",
    "layers 3-2, 1,025 samples": "MeanBeyondAThousand",
    "layers 3-4-1, 4 samples, learning rate 10": "RateAtMostOne RateForgotten",
    "layers 3-4-1, 4 samples, inputs a row and a column of zeros, targets a row and a column of zeros": "DropsZeroRows",
    "layers 3-4-1, 4 samples, inputs every row the same, targets every row the same": "Deduplicates",
}  # fmt: skip
"""Where a search finds an engine late: that network comes first here, and the others only if it shows nothing.

One search through sixty networks on which the engine is right is left as it is, that for RecursionTooDeep.
"""
SOONER = {
    "layers 4-4-4-4, 4 samples, learning rate 0.1, 40 updates": "AveragesWeights NesterovInTrain SigmoidInPlace "
    "SortsTargets SquareNotTransposed TraceBackwards",
    "layers 3-4-1, 4 samples, targets normal times 1e5, learning rate 0.001": "AbsInsteadOfSquare "
    "ClipsGradientElements ClipsGradientNorm ClipsTargets ClipsTargetsWide ClipsZ NanFarBelow SaturatesTheLoss",
    "layers 3-4-1, 4 samples, targets the prediction but for 1e-10": "FlushesTinyGradients NegativeInputsAsZero "
    "StopsEarly StopsWhenNothingChanges",
    "layers 3-2-4-3-2-4-3-2-4-3, 3 samples": "RecursionTooDeep",
}  # fmt: skip
"""So it is for these in a short test, also for RecursionTooDeep; at full length all of them are searched for."""
EARLY = {
    name: told for told, names in at_length(TELLING, short={**TELLING, **SOONER}).items() for name in names.split()
}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (i % 12 != 6)) for i, name in enumerate(wrong_engines.WRONG)]


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_is_wrong_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "NARROWING", 0.0)
    if name in EARLY:
        telling = next(recipe for recipe in FIXED if str(recipe) == EARLY[name])
        monkeypatch.setattr(searching, "FIXED", (telling, *FIXED))
    finding = looked(wrong_engines.WRONG[name], 700).finding
    assert finding is not None
    assert finding.law in LAWS


def test_there_are_a_hundred_of_them() -> None:
    assert len(wrong_engines.WRONG) >= 100


@pytest.mark.slow
def test_the_engine_that_they_share_is_right() -> None:
    networks = at_length(60, short=20)
    result = looked(wrong_engines.Plain, networks)
    assert result.finding is None
    assert result.networks == networks
    assert 0 < max(result.closest.values()) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_right_backend_is_not_called_wrong(name: str, ready: Ready) -> None:
    ready(name)
    examples, dtypes = at_length((6, DTYPES), short=(3, ("float64",)))  # one network of its own shape, and another
    result = looked(backend_class(name)[0], examples, dtypes)
    assert result.finding is None
    assert max(result.closest.values()) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["autograd_engine:AutogradBackend", "torch_func_engine:TorchFuncBackend"])
def test_an_engine_of_foreign_make_is_not_called_wrong(
    engine: str, monkeypatch: pytest.MonkeyPatch, ready: Ready
) -> None:
    ready("torch")
    pytest.importorskip("autograd")
    monkeypatch.syspath_prepend(str(ENGINES))
    result = looked(backend_class(engine)[0], at_length(10, short=6))
    assert result.finding is None


def test_a_tape_of_scalars_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ENGINES))
    monkeypatch.setattr(searching, "FIXED", tuple(r for r in FIXED[:40] if r.updates < 10 and r.samples < 10))
    assert looked(backend_class("scalar_engine:ScalarBackend")[0], 4).finding is None


def test_what_is_found_is_small_and_says_what_it_depends_on() -> None:
    finding = looked(wrong_engines.WRONG["WrongSlopeInTheThirdLayer"], 200).finding
    assert finding is not None
    assert (finding.law, finding.outcome, finding.arithmetic) == ("gradient_is_exact", "disagree", "native")
    (recipe,) = finding.recipes
    assert (recipe.layers, recipe.samples) == ((1,) * 5, 1)
    assert recipe == Recipe(layers=(1,) * 5, seed=recipe.seed)
    assert [str(d) for d in finding.depends_on if d.dimension == "layers"] == [
        "layers: right for 1, 2, 3; wrong for 4, 5, 6, 8"
    ]
    assert {"gradient_is_exact", "weights_are_exact"} <= set(finding.broken)
    json.dumps(finding.to_json())


def test_what_breaks_by_chance_of_the_numbers_is_said_to_depend_on_no_size() -> None:
    finding = looked(wrong_engines.WRONG["HardSigmoidOutside"], 200).finding
    assert finding is not None
    assert [d.dimension for d in finding.depends_on] == ["weights"]


def test_the_lines_of_python_show_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ENGINES))
    finding = looked(wrong_engines.WRONG["MeanForOneSample"], 200).finding
    assert finding is not None
    with pytest.raises(LawBroken, match=f"{finding.law}: "):
        exec(finding.reproduce("wrong_engines:MeanForOneSample"), {})
    repeat("numpy", finding.law, finding.dtype, finding.arithmetic, *finding.recipes)


@pytest.mark.slow
def test_the_same_seed_finds_the_same() -> None:
    first, again = (looked(wrong_engines.WRONG["BlocksOf16"], 200) for _ in range(2))
    assert first.finding == again.finding
    assert first.networks == again.networks


def small(group: tuple[Recipe, ...]) -> bool:
    return all(max(recipe.layers) * recipe.samples < 100 for recipe in group)


@pytest.mark.slow
def test_what_hypothesis_draws_is_the_same_by_seed_and_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing fixed before, so that the random networks must find it; large ones would take long."""
    monkeypatch.setattr(searching, "FIXED", ())
    monkeypatch.setattr(searching, "recipes", lambda most: recipes(most).filter(small))
    results = [looked(wrong_engines.WRONG["DetachedBeyondThreeLayers"], 400, ("float64",)) for _ in range(2)]
    assert results[0].finding is not None
    assert results[0].finding == results[1].finding
    assert results[0].networks == results[1].networks
    (recipe,) = results[0].finding.recipes
    assert set(recipe.layers) == {1}
    assert recipe.depth == 5


@pytest.mark.slow
def test_what_is_drawn_goes_along_every_dimension() -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    seen: list[Recipe] = []

    @seed(0)
    @settings(
        max_examples=300, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(recipes())
    def draw(group: tuple[Recipe, ...]) -> None:
        assert len({(recipe.layers, recipe.samples) for recipe in group}) == 1
        seen.extend(group)

    draw()
    assert {recipe.weights for recipe in seen} == set(WEIGHTS)
    assert {recipe.targets for recipe in seen} == {*TARGETS, *NEAR}
    assert {recipe.lr for recipe in seen} == set(RATES)
    depths = {recipe.depth for recipe in seen}  # which, Hypothesis lets depend on the modules that are imported
    assert {1, 2, 3, 4, 5} <= depths
    assert max(depths) > 5
    assert max(max(recipe.layers) for recipe in seen) > 300
    assert {1, 2, 3} <= {recipe.samples for recipe in seen}
    assert max(recipe.samples for recipe in seen) > 1000
    assert {0, 1} <= {recipe.updates for recipe in seen}
    assert any(len(set(recipe.layers)) == 1 and recipe.samples == recipe.layers[0] > 1 for recipe in seen)


class Fading(NumpyBackend):
    """Wrong once: what comes of a state that nobody can set up again."""

    arithmetics: ClassVar[tuple[str, ...]] = ("native",)  # type: ignore[assignment]
    calls: ClassVar[list[int]] = []

    def gradient(self, *arguments: Any) -> Any:
        self.calls.append(1)
        factor = 1.5 if len(self.calls) == 40 else 1
        return tuple(factor * g for g in super().gradient(*arguments))


def test_what_does_not_show_again_is_found_all_the_same_and_said() -> None:
    finding = looked(Fading, 20).finding
    assert finding is not None
    assert not finding.repeats
    assert "it did not break again when repeated alone" in "\n".join(finding.lines("fading"))


class SecondOfItsShape(NumpyBackend):
    """Right until it has seen many other inputs."""

    arithmetics: ClassVar[tuple[str, ...]] = ("native",)  # type: ignore[assignment]

    def predict(self, weights: Any, x: Any) -> Any:
        seen = self.__dict__.setdefault("seen", set())
        seen.add(x.tobytes())
        return super().predict(weights, x) * (1 + 1e-3 * (len(seen) > 8))


def test_a_mistake_that_needs_what_came_before_is_shown_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "FIXED", tuple(Recipe((2, 1), 2, seed=n) for n in range(6)))
    finding = looked(SecondOfItsShape, 6, ("float64",)).finding
    assert finding is not None
    assert len(finding.recipes) > 1
    assert "; then layers 1-1, 1 sample" in "\n".join(finding.lines("mine:Mine"))


def test_the_verdict_is_left_to_the_referee_where_the_cheap_reference_leaves_a_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A processor without extended precision: the reference's error is as large as what it allows."""
    asked = []

    def strict(backend: Any, network: Any) -> float:
        asked.append(network.by_referee)
        if not network.by_referee:
            raise LawBroken("gradient_is_exact", "disagree", "by a hair", 1.5)
        return 0.9

    monkeypatch.setitem(LAWS, "gradient_is_exact", strict)
    monkeypatch.setattr(roundoff, "doubt", lambda dtype: 2.0)
    result = looked(wrong_engines.Plain, 4)
    assert result.finding is None
    assert result.closest["gradient_is_exact"] == 0.9
    assert asked[:2] == [False, True]


class Clocked(NumpyBackend):
    """Its calls take their time on a clock that stands still otherwise."""

    arithmetics: ClassVar[tuple[str, ...]] = ("native",)  # type: ignore[assignment]
    now: ClassVar[list[float]] = [0.0]
    call: ClassVar[float]
    """Seconds for anything but the updates of a training."""
    pace: ClassVar[float]
    """Seconds per update of a training."""

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        self.now[0] += self.call
        return super().from_numpy(array)

    def train(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        self.now[0] += self.call + self.pace * n
        return super().train(weights, x, y, lr, n)


@pytest.mark.parametrize(
    ("call", "pace", "tried"),
    [(1e-5, 1e-5, True), (0.3, 1e-3, True), (1e-5, 0.05, False), (0.05, 0.3, False)],
    ids=["all quick", "calls slow, training quick", "calls quick, training slow", "all slow"],
)
def test_a_long_training_is_tried_where_it_fits_into_the_time_and_said_to_be_left_out_where_not(
    call: float, pace: float, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("now", [0.0]), ("call", call), ("pace", pace)):
        monkeypatch.setattr(Clocked, name, value, raising=False)
    monkeypatch.setattr(searching, "monotonic", lambda: Clocked.now[0])
    monkeypatch.setattr(searching, "FIXED", (Recipe((3, 4, 1), 4), Recipe((2, 1), 3, lr=1e-3, updates=1501)))
    monkeypatch.setattr(searching, "_draw", lambda *arguments: None)
    result = search(lambda dtype, arithmetic: Clocked("cpu", dtype, arithmetic), ["native"], ["float64"], seconds=60)
    left = "layers 2-1, 3 samples, learning rate 0.001, 1,501 updates (float64, native)"
    assert (result.networks, result.left_out) == ((2, ()) if tried else (1, (left,)))
    row = Searched("clocked", "cpu", "agree", "", result)
    whole = Thorough({}, ("float64",), "both", 0, (row,))
    assert any(left in line for line in row.lines()) is not tried
    assert ("1 with long training was left out." in whole.verdict) is not tried
    assert whole.to_json()["searched"][0]["left_out"] == list(result.left_out)


def test_once_the_time_is_over_no_training_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("now", [0.0]), ("call", 10.0), ("pace", 0.0)):
        monkeypatch.setattr(Clocked, name, value, raising=False)
    monkeypatch.setattr(searching, "monotonic", lambda: Clocked.now[0])
    monkeypatch.setattr(searching, "FIXED", (Recipe((3, 4, 1), 4), Recipe((2, 1), 3, updates=10_000)))
    asked: list[int] = []

    def affordable(run: Any, backend: Backend, recipe: Recipe) -> bool:
        asked.append(recipe.updates)
        return True

    monkeypatch.setattr(searching._Run, "affordable", affordable)
    result = search(lambda dtype, arithmetic: Clocked("cpu", dtype, arithmetic), ["native"], ["float64"], seconds=5)
    assert result.networks == 1
    assert 10_000 not in asked


def test_one_network_is_tried_however_short_the_time() -> None:
    assert search(lambda d, a: NumpyBackend("cpu", d, a), ["native"], seconds=1e-9).networks == 1


def test_what_was_found_is_tried_again_however_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "NARROWING", 0.0)
    finding = looked(wrong_engines.WRONG["MeanForOneSample"], 200).finding
    assert finding is not None
    assert finding.repeats


def test_without_hypothesis_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(MissingError, match=r"pip install 'equigrad\[check\]'"):
        looked(wrong_engines.Plain, 1)


@pytest.mark.slow
def test_the_command_without_a_problem_shows_the_smallest_network_and_writes_it(
    command_line: Any, tmp_path: Path
) -> None:
    path = tmp_path / "check.json"
    arguments = ("-b", "wrong_engines:SquareNotTransposed", "-b", "numpy", "--examples", "20", "--json", path)
    done = command_line("check", *arguments, cwd=ENGINES)
    assert done.returncode == 1, done.stderr
    assert "gradient_is_exact: the gradient is off by" in done.stdout
    assert "the smallest network that shows it: " in done.stdout
    assert "sizes: right for " in done.stdout
    assert "NOT correct: wrong_engines:SquareNotTransposed (disagree)." in done.stdout
    written = json.loads(path.read_text())
    wrong, right = written["searched"]
    assert (right["outcome"], right["finding"], right["networks"]) == ("agree", None, 20)
    assert wrong["finding"]["law"] == "gradient_is_exact"
    assert wrong["finding"]["recipes"][0]["samples"] == 1


@pytest.mark.parametrize("arguments", [("--examples", "12"), ("--seconds", "0.4")], ids=["examples", "seconds"])
@pytest.mark.slow(but=["examples"])
def test_a_right_engine_gets_status_0_and_no_row_for_what_it_does_not_have(
    command_line: Any, arguments: tuple[str, ...]
) -> None:
    done = command_line("check", "-b", "wrong_engines:Plain", *arguments, cwd=ENGINES)
    assert done.returncode == 0, done.stdout
    assert "missing" not in done.stdout
    assert "no law broken on " in done.stdout


def test_one_dtype_and_arithmetic_may_be_chosen() -> None:
    result = search(
        lambda dtype, arithmetic: NumpyBackend("cpu", dtype, arithmetic), ARITHMETICS[1:], ("float32",), examples=6
    )
    assert result.networks == 6
    assert np.isfinite(max(result.closest.values()))
