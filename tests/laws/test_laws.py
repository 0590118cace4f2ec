"""Right backends keep every law; each wrong one breaks the law that it should, by a wide margin."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import cycle, product
from typing import Any, ClassVar

import numpy as np
import pytest

from equigrad import Engine, check
from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.check.result import Check
from equigrad.common.problem import problem
from equigrad.laws.laws import LAWS, STEPS, Broken, LawBroken, Network, Subject, unasked
from equigrad.laws.mutants import MUTANTS, Mutant
from equigrad.laws.networks import FIXED, NEAR, Recipe, chosen
from equigrad.laws.power import trial
from equigrad.laws.search import search
from equigrad.referee import roundoff
from length import at_length

pytestmark = pytest.mark.needs("flint")

Ready = Callable[..., Backend]
CHOSEN = {dtype: {network.name: network for network in chosen(dtype)} for dtype in DTYPES}
NEEDED = 1_000
"""How many times outside its bound the least wrong mutant must be in float64."""


EVERY = [*product(["numpy", "torch", "torch:cuda", "jax", "jax:cuda"], DTYPES, ARITHMETICS)]
UNHELD = [("jax", "float64", "native"), ("jax", "float32", "reproducible")]
"""Left out of a short test, since JAX compiles for each; test_search tries the first, the second is held in parts."""
HELD = pytest.mark.parametrize(
    ("spec", "dtype", "arithmetic"),
    at_length(EVERY, short=[each for each in EVERY if each not in UNHELD]),
    ids=lambda word: word.replace(":", "-"),
)


@pytest.mark.slow
@HELD
@pytest.mark.parametrize("law", LAWS)
def test_a_right_backend_keeps(law: str, backend: Backend) -> None:
    """On saturated units; that it does on two-layer, every law in one call, the next test holds."""
    assert 0 <= LAWS[law](backend, CHOSEN[backend.dtype]["saturated"]) <= 1


@cache
def checked(spec: str, dtype: str, arithmetic: str) -> Check:
    return check("two-layer", [spec], dtype=dtype, arithmetic=arithmetic)


@pytest.mark.slow(but=["numpy-float64-native", "torch-float64-native", "jax-float32-native"])
@HELD
def test_every_backend_has_the_gradient(spec: str, dtype: str, arithmetic: str, ready: Ready) -> None:
    """Beside the test above, whose network has the same shapes: JAX compiles them once for both."""
    ready(spec, dtype, arithmetic)
    result = checked(spec, dtype, arithmetic)
    (backend,) = result.backends
    assert result.agreed
    assert backend.outcome in ("agree", "identical")
    assert [layer.shape for layer in backend.layers] == [(3, 4), (4, 1)]
    assert all(layer.margin < 0.1 and layer.nearest for layer in backend.layers)
    assert all(law.kept for law in backend.laws)
    assert result.complex_step <= result.complex_step_bound < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_reproducible_backends_err_alike(name: str, ready: Ready) -> None:
    ready(name)
    (numpys,), (others,) = (checked(spec, "float64", "reproducible").backends for spec in ("numpy", name))
    assert others.layers == numpys.layers


class KeepsAndOverwrites(NumpyBackend):
    """Computes in its caller's own memory, and leaves other numbers there."""

    arithmetics: ClassVar[tuple[str, ...]] = ("native",)  # type: ignore[assignment]

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array, self.dtype)

    def predict(self, weights: Any, x: Any) -> Any:
        if x.flags.writeable:
            x *= 2
        return super().predict(weights, x)


@pytest.mark.parametrize("law", LAWS)
def test_whatever_a_backend_writes_to_the_network_stays_as_it_was(law: str) -> None:
    """It is kept for the next law and the next backend, which would be called wrong."""
    network = Network.of(problem("two-layer"))
    before = [a.copy() for a in (network.x, network.y, *network.weights)]
    with contextlib.suppress(LawBroken):
        LAWS[law](KeepsAndOverwrites("cpu", "float64", "native"), network)
    assert [a.tobytes() for a in (network.x, network.y, *network.weights)] == [a.tobytes() for a in before]


@pytest.mark.parametrize("name", MUTANTS, ids=lambda name: name.replace(" ", "-"))
def test_a_wrong_backend_is_caught_by_its_law(name: str) -> None:
    for arithmetic in ARITHMETICS:
        caught = trial(MUTANTS[name], "float64", arithmetic)
        assert caught.caught
        assert caught.margin > NEEDED


@pytest.mark.parametrize(
    "name", [n for n, m in MUTANTS.items() if "float32" in m.wrong_in], ids=lambda name: name.replace(" ", "-")
)
def test_it_is_caught_in_float32_too(name: str) -> None:
    caught = trial(MUTANTS[name], "float32")
    assert caught.caught
    assert caught.margin > 10


def test_weights_are_exact_catches_what_train_and_update_share() -> None:
    shared = MUTANTS["the loss lacks its 1/2"]()
    LAWS["train_repeats_update"](shared, CHOSEN["float64"]["two-layer"])
    with pytest.raises(LawBroken, match="weights_are_exact: train"):
        LAWS["weights_are_exact"](shared, CHOSEN["float64"]["two-layer"])


def test_a_right_backend_as_mutant_is_not_caught() -> None:
    class Right(Mutant):
        name, law = "right", "gradient_is_exact"

    assert not trial(Right).caught


def test_an_error_that_is_raised_is_no_wrong_result() -> None:
    class Raising(Mutant):
        name, law = "raising", "gradient_is_exact"

        def gradient(self, *_: Any) -> Any:
            raise ZeroDivisionError

    tried = trial(Raising)
    assert (tried.caught, tried.crashed) == (False, True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["the gradient is wrong by 0.05 %", "the gradient is rounded to 11 bits, like TF32"])
def test_the_smallest_bugs_show_in_either_dtype(name: str, dtype: str) -> None:
    mutant = MUTANTS[name](dtype=dtype)
    with pytest.raises(LawBroken) as caught:
        LAWS["gradient_is_exact"](mutant, CHOSEN[dtype]["one-layer"])
    assert caught.value.margin > 10


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_alone_stays_well_within_the_bounds(dtype: str, arithmetic: str, ready: Ready) -> None:
    backend, worst = ready("numpy", dtype, arithmetic), 0.0
    for recipe in FIXED[::3]:
        network = recipe.network(dtype)
        for law in ("gradient_is_exact", "prediction_is_exact"):
            worst = max(worst, LAWS[law](backend, network))
    assert 0 < worst < 0.5


class InOrder(NumpyBackend):
    """Adds products one after the other, as a loop in C does: right, but equal terms are rounded alike each time."""

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        a = self.predict(weights, x)
        total = np.zeros_like(weights[0])
        for row, delta in zip(x, (a - y) * (a * (1 - a)), strict=True):
            total += np.outer(row, delta)
        return (total,)


@pytest.mark.parametrize("inputs", ["all ones", "every row the same", "every row the same but for 1e-7"])
def test_a_sum_of_equal_terms_may_be_taken_in_order_of(inputs: str, dtype: str) -> None:
    for samples in (100, 2_100, 5_000):
        for seed in range(4):
            network = Recipe((2, 1), samples, inputs=inputs, targets="every row the same", seed=seed).network(dtype)
            assert LAWS["gradient_is_exact"](InOrder(dtype=dtype), network) < 0.5
    varied = Recipe((2, 1), 5_000).network(dtype)
    (layer,) = varied.bounds
    magnitudes = np.abs(varied.x.T) @ np.abs(layer.delta.value).astype(float)
    assert (layer.gradient.bound < 16 * 5_000**0.5 * float(np.finfo(dtype).eps) / 2 * magnitudes).all()


def test_the_bound_follows_the_cancellation_in_a_sum() -> None:
    """Two samples whose gradients cancel to one part in 1e8: the bound stays at the size of the parts."""
    w, y = (np.array([[1.0]]),), np.array([[0.0], [0.0]])
    alone = roundoff.bounds(w, np.array([[1.0]]), y[:1], "float64")[-1].gradient.bound
    x = np.array([[1.0], [-1.0]])
    s = 1 / (1 + np.exp(-1.0))
    y[1] = (1 - s) - s + 1e-8  # the second sample's error is nearly the first's
    both = roundoff.bounds(w, x, y, "float64")[-1].gradient.bound
    assert alone.item() < both.item() < 4 * alone.item()


def test_a_broken_law_says_which_where_and_how_much() -> None:
    with pytest.raises(LawBroken) as caught:
        LAWS["gradient_is_exact"](MUTANTS["one element is wrong by 1e-9"](), CHOSEN["float64"]["one-layer"])
    assert caught.value.law == "gradient_is_exact"
    assert caught.value.outcome == "disagree"
    assert "the gradient is off by 2.86e-10 at layer 1 element (0, 0), allowed 1.74e-15" in str(caught.value)


@pytest.mark.parametrize("referee", [False, True], ids=["the cheap reference", "the exact referee"])
def test_both_references_say_the_same(referee: bool) -> None:
    for name in ("two-layer", "square", "long sums", "saturated"):
        held = replace(CHOSEN["float64"][name], by_referee=referee)
        for law in ("gradient_is_exact", "weights_are_exact", "trace_is_the_update"):
            assert LAWS[law](NumpyBackend(), held) < 0.5
        with pytest.raises(LawBroken):
            LAWS["gradient_is_exact"](MUTANTS["one element is wrong by 1e-9"](), held)


def test_a_variation_changes_what_it_says_and_no_shape() -> None:
    for network in CHOSEN["float64"].values():
        for what, other in network.variations.items():
            parts = [(a, b) for a, b in zip(arrays(network), arrays(other), strict=True)]
            assert all(a.shape == b.shape for a, b in parts)
            changed = sum(a.tobytes() != b.tobytes() for a, b in parts) + (network.lr != other.lr)
            repeated = len(network.shapes) - len(set(network.shapes))
            most = {"other weights": len(parts) - 2, "one array for several layers": repeated}
            most["other numbers throughout"] = len(parts) + 1
            assert changed == {**most, "its rows in another order": 2}.get(what, 1)


def arrays(network: Network) -> list[np.ndarray]:
    return [*network.weights, network.x, network.y]


def test_constant_arrays_have_other_numbers_too() -> None:
    recipe = Recipe((3, 4, 1), 4, weights="all zero", inputs="all zero", targets="all zero")
    other = recipe.network("float64").other
    assert all(array.any() for array in arrays(other))


def test_nan_is_outside_every_bound_but_where_nothing_is_known() -> None:
    subject = Subject.facing(NumpyBackend(), CHOSEN["float64"]["one-layer"])
    with pytest.raises(Broken, match="not finite"):
        subject.small("it", [np.array([0.0, np.nan])], [np.array([np.inf, 1.0])])
    assert subject.small("it", [np.array([0.0, np.nan])], [np.array([0.0, np.inf])]) == 0


def test_a_network_that_overflows_accuses_nobody() -> None:
    """A learning rate of 1e300 carries the weights to infinity: of that the analysis says nothing."""
    network = replace(Recipe((3, 3, 3), 3, targets="normal times 1e5").network("float64"), lr=1e300)
    for law in LAWS:
        assert LAWS[law](NumpyBackend(), network) <= 1


class SavesNothing(NumpyBackend):
    """Overwrites gradients where it should add them up, and keeps nothing: a wrong value and no dependence."""

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return super().gradient(weights, x[-1:], y[-1:])


def test_a_wrong_gradient_is_no_dependence_between_calls() -> None:
    network = CHOSEN["float64"]["two-layer"]
    with pytest.raises(LawBroken, match="the gradient is off"):
        LAWS["gradient_is_exact"](SavesNothing(), network)
    assert LAWS["calls_are_independent"](SavesNothing(), network) <= 1


class ReadOnlyOut(NumpyBackend):
    def to_numpy(self, array: Any) -> Any:
        copy = super().to_numpy(array)
        copy.flags.writeable = False
        return copy


def test_to_numpy_may_return_read_only_arrays() -> None:
    for law in LAWS:
        assert LAWS[law](ReadOnlyOut(), CHOSEN["float64"]["two-layer"]) <= 1


class ReadOnlyIn(NumpyBackend):
    def from_numpy(self, array: np.ndarray) -> Any:
        copy = np.array(array, self.dtype)
        copy.flags.writeable = False
        return copy


def test_arrays_that_nobody_can_write_to_are_not_written_to() -> None:
    assert LAWS["calls_are_independent"](ReadOnlyIn(), CHOSEN["float64"]["two-layer"]) <= 1


def test_nor_are_parameters_of_which_pytorch_records_gradients(ready: Ready) -> None:
    parameter = type("Parameters", (type(ready("torch")),), {"from_numpy": _parameter})
    assert LAWS["calls_are_independent"](parameter(), CHOSEN["float64"]["two-layer"]) <= 1


def _parameter(self: Backend, array: np.ndarray) -> Any:
    import torch

    return torch.nn.Parameter(torch.tensor(array, dtype=getattr(torch, self.dtype)))


class KeptByX(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        kept = self.__dict__.setdefault("kept", {})
        return kept.setdefault(x.tobytes(), super().gradient(weights, x, y))


class OneBuffer(NumpyBackend):
    def predict(self, weights: Any, x: Any) -> Any:
        new = super().predict(weights, x)
        buffer = self.__dict__.setdefault(f"buffer {new.shape}", np.empty_like(new))
        buffer[...] = new
        return buffer


class NanBelow(NumpyBackend):
    def predict(self, weights: Any, x: Any) -> Any:
        for w in weights:
            e = np.exp(x @ w)
            x = e / (1 + e)
        return x


class OneReplayed(NumpyBackend):
    def replay(self, *arguments: Any) -> Any:
        *rest, last = super().replay(*arguments)
        return (*rest, last._replace(delta=last.delta * (1 + 1e-9)))


class StopsEarly(NumpyBackend):
    def train(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        return super().train(weights, x, y, lr, min(n, 1000))


class TrainsAtLeastOnce(NumpyBackend):
    def train(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        return super().train(weights, x, y, lr, n or 1)


class ReadsFortranAsC(NumpyBackend):
    def predict(self, weights: Any, x: Any) -> Any:
        def as_c(v: Any) -> Any:
            return np.frombuffer(v.tobytes("A"), v.dtype).reshape(v.shape)

        return super().predict(tuple(map(as_c, weights)), as_c(x))


class LongTraining(NumpyBackend):
    """Right for a few updates; what it does for more is `several`."""

    def train(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        return self.several(weights, x, y, lr, n) if n > STEPS else super().train(weights, x, y, lr, n)

    def several(self, *arguments: Any) -> Any:
        return super().train(*arguments)


class LongInOneBuffer(LongTraining):
    def several(self, *arguments: Any) -> Any:
        new = super().several(*arguments)
        buffers = self.__dict__.setdefault(f"buffers {[w.shape for w in new]}", tuple(map(np.empty_like, new)))
        for buffer, w in zip(buffers, new, strict=True):
            buffer[...] = w
        return buffers


class LongReadsFortranAsC(LongTraining):
    def several(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        def as_c(v: Any) -> Any:
            return np.frombuffer(v.tobytes("A"), v.dtype).reshape(v.shape)

        return super().several(tuple(map(as_c, weights)), as_c(x), as_c(y), lr, n)


class LongInPlace(LongTraining):
    def several(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        for w, new in zip(weights, super().several(weights, x, y, lr, n), strict=True):
            w[...] = new
        return tuple(w.copy() for w in weights)


class LongRoundsTheRate(LongTraining):
    def several(self, weights: Any, x: Any, y: Any, lr: float, n: int) -> Any:
        return super().several(weights, x, y, round(lr, 1), n)


class FourBuffers(NumpyBackend):
    def predict(self, weights: Any, x: Any) -> Any:
        new = super().predict(weights, x)
        ring = self.__dict__.setdefault(f"ring {new.shape}", cycle([np.empty_like(new) for _ in range(4)]))
        buffer = next(ring)
        buffer[...] = new
        return buffer


class Remembering(np.ndarray):
    seen: np.ndarray | None = None


class KeptOnTheArray(NumpyBackend):
    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, self.dtype).view(Remembering)

    def to_numpy(self, array: Any) -> np.ndarray:
        return np.array(array)

    def predict(self, weights: Any, x: Any) -> Any:
        if isinstance(x, Remembering):
            x.seen = np.array(x) if x.seen is None else x.seen
            x = x.seen
        return super().predict(tuple(map(np.asarray, weights)), x)


class SlopeByArray(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        found = dict(zip(map(id, weights), super().gradient(weights, x, y), strict=True))
        return tuple(found[id(w)] for w in weights)


KEPT_OUTSIDE: dict[Any, Any] = {}


class KeptOutside(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return super().gradient(weights, x, KEPT_OUTSIDE.setdefault((y.shape, y.dtype), y.copy()))


class Doubled(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(2 * g for g in super().gradient(weights, x, y))


class ManyfoldIfTransposed(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        factor = 2 if x.flags.c_contiguous else 4
        return tuple(factor * g for g in super().gradient(weights, x, y))


class SynchronizesNothing(NumpyBackend):
    def synchronize(self, value: Any) -> Any:
        return None


class Short(Engine):
    """Right, in two methods."""

    def predict(self, weights: Any, x: Any) -> Any:
        return NumpyBackend(dtype=self.dtype).predict(weights, x)

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return NumpyBackend(dtype=self.dtype).gradient(weights, x, y)


class OwnPreactivation(Short):
    traced = ("preactivation", "activation")

    def trace(self, *arguments: Any) -> Any:
        return tuple(layer._replace(preactivation=2 * layer.preactivation) for layer in super().trace(*arguments))


@pytest.mark.parametrize(
    ("backend", "law", "message", "recipe"),
    [
        (LongInOneBuffer, "results_stay", "a result of train, held across later calls, differs", Recipe(updates=5)),
        (LongReadsFortranAsC, "layout_is_free", "train with transposed arguments is off",
         Recipe((3, 4, 1), 4, updates=5)),
        (LongInPlace, "arguments_stay", r"weights\[0\], an argument of train, was changed by it", Recipe(updates=5)),
        (LongInPlace, "calls_repeat", r"the same arguments, of which it changed weights\[0\]", Recipe(updates=5)),
        (LongRoundsTheRate, "calls_are_independent", "is kept outside of it", Recipe(updates=5)),
        (FourBuffers, "results_stay", "a result of predict, held across later calls, differs", Recipe((3, 4, 1), 4)),
        (KeptOnTheArray, "calls_are_independent", "after other numbers were written into its arguments",
         Recipe((3, 4, 1), 4)),
        (SlopeByArray, "calls_are_independent", "gradient with one array for several layers is off",
         Recipe((4, 4, 4), 5)),
        (KeptOutside, "calls_are_independent", "what was carried over, if anything, is kept outside of it",
         Recipe((3, 4, 2), 4)),
        (SynchronizesNothing, "results_fit", "synchronize returned a NoneType - expected what it was given", Recipe()),
        (OwnPreactivation, "trace_is_the_update", "trace.preactivation is off", Recipe()),
        (KeptByX, "calls_are_independent", "gradient with other weights is off",
         Recipe((3, 4, 1), 4)),
        (KeptByX, "calls_are_independent", "a freshly made backend gets it right", Recipe((3, 4, 1), 4)),
        (OneBuffer, "results_stay", "a result of predict, held across later calls, differs", Recipe((3, 4, 1), 4)),
        (NanBelow, "prediction_is_exact", "the prediction is not finite",
         Recipe((3, 4, 1), 4, weights="normal times 1,000", inputs="whole numbers")),
        (OneReplayed, "replay_is_the_trace", "the replay", Recipe((3, 4, 1), 4)),
        (StopsEarly, "long_training_is_exact", r"train\(1,500\) is off", Recipe(updates=1500, lr=0.1)),
        (TrainsAtLeastOnce, "train_repeats_update", "train, n = 0, differs in its bits", Recipe()),
        (ReadsFortranAsC, "layout_is_free", "predict with transposed arguments is off .*; in C order it is right",
         Recipe((3, 4, 1), 4)),
        (Doubled, "layout_is_free", "is off .*; the same in C order: the layout is not to blame", Recipe((3, 4, 1), 4)),
        (ManyfoldIfTransposed, "layout_is_free", "is off .*; in C order it is wrong in another way",
         Recipe((3, 4, 1), 4)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_what_no_law_used_to_ask(backend: type[NumpyBackend], law: str, message: str, recipe: Recipe) -> None:
    with pytest.raises(LawBroken, match=message):
        LAWS[law](backend(), recipe.network("float64"))
    assert LAWS[law](NumpyBackend(), recipe.network("float64")) <= 1


def test_near_targets_are_near() -> None:
    for kind, size in NEAR.items():
        network = Recipe((3, 4, 1), 4, targets=kind).network("float64")
        off = np.abs(network.y - NumpyBackend().predict(network.weights, network.x))
        assert 0.01 * size < off.max() < 10 * size


@pytest.mark.slow(but=["float64"])
def test_jax_traces_once_per_shape_and_dtype(ready: Ready, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is Python code: it runs while JAX traces, and never again."""
    backend: Any = ready("jax", dtype)
    loss, traced = type(backend).loss, []

    def counted(*arguments: Any) -> Any:
        traced.append(arguments)
        return loss(*arguments)

    monkeypatch.setattr(type(backend), "loss", counted)
    network = Recipe((3, 7, 2), 9, seed=5).network(dtype)  # a shape of its own
    counts = []
    for numbers, n in ((network, 2), (network.other, 5)):
        subject = Subject.facing(backend, numbers)
        subject.result("gradient"), subject.result("update"), subject.result("train", n)
        counts.append(len(traced))
    assert 0 < counts[0] == counts[1]


class ShortWithTrace(Short):
    def trace(self, weights: Any, x: Any, y: Any, lr: float) -> Any:
        return NumpyBackend(dtype=self.dtype).trace(weights, x, y, lr)


def making(cls: type[Backend]) -> Callable[[str, str], Backend]:
    return lambda dtype, arithmetic: cls("cpu", dtype, arithmetic)


def test_a_trace_that_is_not_the_engines_own_is_not_asked_for() -> None:
    network, searched = CHOSEN["float64"]["two-layer"], search(making(Short), ["native"], examples=3)
    (checked,) = check("two-layer", [Short], arithmetic="native").backends
    about_traces = {"trace_is_the_update", "replay_is_the_trace"}
    assert set(searched.unasked) == about_traces == {law for law in LAWS if unasked(law, Short())}
    assert set(checked.unasked) == {*about_traces, "long_training_is_exact"}
    assert {law.law for law in checked.laws} == set(LAWS) - set(checked.unasked)
    assert not about_traces & set(searched.closest)
    assert "trace" not in Subject.facing(Short(), network).methods


def test_a_trace_of_its_own_is_asked_for_and_a_replay_where_there_is_one() -> None:
    assert [law for law in LAWS if unasked(law, ShortWithTrace())] == ["replay_is_the_trace"]
    assert not any(unasked(law, NumpyBackend()) for law in LAWS)


def test_a_training_that_is_not_long_is_not_asked_for() -> None:
    network = CHOSEN["float64"]["two-layer"]
    assert unasked("long_training_is_exact", NumpyBackend(), network)
    assert not unasked("long_training_is_exact", NumpyBackend(), replace(network, updates=STEPS + 1))


class SecondCallDoubled(Short):
    """Wrong the second time that a shape is seen in this process, and never again."""

    calls: ClassVar[dict[Any, int]] = {}

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        key = tuple(w.shape for w in weights)
        self.calls[key] = self.calls.get(key, 0) + 1
        return tuple(g * (1 + (self.calls[key] == 2)) for g in super().gradient(weights, x, y))


def test_no_call_goes_by_without_a_look_at_its_numbers() -> None:
    found = search(making(SecondCallDoubled), ["native"], examples=3).finding
    assert found is not None
    assert found.law == "calls_repeat"


class Clipped(Short):
    most: float

    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(g.clip(-self.most, self.most) for g in super().gradient(weights, x, y))


@pytest.mark.parametrize("most", [1e3, 1e6, 1e9, 1e12])
def test_gradients_clipped_where_they_are_very_large_are_caught_at(most: float) -> None:
    wrong = type("Clipped", (Clipped,), {"most": most})("cpu", "float64", "native")
    networks = [r.network("float64") for r in FIXED if "times 1e" in f"{r.targets} {r.inputs}"]
    assert [n.name for n in networks if broken("gradient_is_exact", wrong, n)]


def broken(law: str, backend: Backend, network: Network) -> bool:
    try:
        LAWS[law](backend, network)
    except LawBroken:
        return True
    return False


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_a_zero_keeps_its_sign_in_a_trace(name: str, dtype: str, ready: Ready) -> None:
    network = Recipe(inputs="all zero", seed=715).network(dtype)
    assert LAWS["replay_is_the_trace"](ready(name, dtype, "reproducible"), network) == 0
