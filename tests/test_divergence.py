"""`diverge` names the update, the quantity and the operation in which two backends part."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends.interface import Backend, LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.cli import main
from equigrad.common import reproducible
from equigrad.common.errors import UsageError
from equigrad.common.problem import Problem, problem
from equigrad.divergence import Difference, Distance, Divergence, _quantities
from equigrad.views import divergence as render

Ready = Callable[..., Backend]
Weights = tuple[np.ndarray, ...]
EVERYONE = ("numpy", "torch", "jax")


@dataclass(frozen=True)
class Own(NumpyBackend):
    """The reproducible arithmetic in somebody's own backend, which cannot run single operations."""

    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return g * (s * (1 - s))

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return self.ops.dot(a, b)

    def squash(self, z: np.ndarray) -> np.ndarray:
        return self.ops.sigmoid(z)

    def back(self, delta: np.ndarray, w: np.ndarray, change: np.ndarray) -> np.ndarray:
        return self.product(delta, w.T)

    def trace(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> tuple[LayerTrace, ...]:
        zs, layers = [], [x]
        for w in weights:
            zs.append(self.product(layers[-1], w))
            layers.append(self.squash(zs[-1]))
        trace: list[LayerTrace] = []
        error = y - layers[-1]
        for i in reversed(range(len(weights))):
            delta = self.slope(error, layers[i + 1])
            change = lr * self.product(layers[i].T, delta)
            trace.insert(0, LayerTrace(zs[i], layers[i + 1], error, delta, change))
            error = self.back(delta, weights[i], change)
        return tuple(trace)

    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = tuple(w + t.change for w, t in zip(weights, self.trace(weights, x, y, lr), strict=True))
        return weights

    def replay(self, *_: Any) -> Any:
        return None


class OtherAssociation(Own):
    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return (g * (1 - s)) * s


class ReversedSum(Own):
    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reproducible.index_order_dot(_Space, a[:, ::-1], b[::-1])


class _Space:
    product = np.multiply


class SinglePrecisionSigmoid(Own):
    def squash(self, z: np.ndarray) -> np.ndarray:
        return self.ops.sigmoid(z.astype(np.float32)).astype(z.dtype)


class MissingUpdate(Own):
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - 1)


class MissingUpdateAtOnce(Own):
    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - (n > 1))


class HiddenDeltaAfterOutput(Own):
    def back(self, delta: np.ndarray, w: np.ndarray, change: np.ndarray) -> np.ndarray:
        return self.product(delta, (w + change).T)


@dataclass(frozen=True)
class OtherAssociationInOneLayer(Own):
    width: int = 1

    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return (g * (1 - s)) * s if g.shape[1] == self.width else g * (s * (1 - s))


class OddDerivative(Own):
    def slope(self, g: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.nextafter(g * (s * (1 - s)), np.inf)


@dataclass(frozen=True)
class Nudge(Own):
    """One ULP in one weight in the first update that finds that weight at a threshold."""

    threshold: float = math.inf

    def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
        for _ in range(n):
            late = weights[0][0, 0] >= self.threshold
            weights = super().train(weights, x, y, lr, 1)
            if late:
                weights[0][0, 0] = np.nextafter(weights[0][0, 0], np.inf)
        return weights


REPRODUCIBLE = {"dtype": "float64", "arithmetic": "reproducible"}


def planted(
    ready: Ready, spec: str, cls: type[Own], name: str = "two-layer", updates: int = 300, **fields: Any
) -> Divergence:
    """The divergence of `spec` from a planted backend, both in the reproducible arithmetic."""
    pair = [ready(spec, **REPRODUCIBLE), cls(arithmetic="reproducible", **fields)]
    return equigrad.diverge(problem(name).with_(updates=updates), pair)


def where(result: Divergence) -> tuple[int, int, str]:
    assert result.first is not None
    return result.first.update, result.first.layer, result.first.quantity


def blamed(result: Divergence) -> set[str]:
    assert result.first is not None
    return {o.name for o in result.first.operations if not o.same}


def how(result: Divergence, operation: str) -> str:
    assert result.first is not None
    return "\n".join(next(o.how for o in result.first.operations if o.name == operation))


@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
@pytest.mark.parametrize("spec", EVERYONE)
def test_an_own_backend_with_nothing_planted_is_identical(ready: Ready, spec: str, name: str) -> None:
    result = planted(ready, spec, Own, name)
    assert result.identical
    assert (result.first, result.earlier, result.updates, result.notes) == (None, None, 300, ())
    assert all((d.max_ulp, d.max_abs_difference) == (0, 0.0) for d in result.development)


@pytest.mark.parametrize("spec", EVERYONE)
def test_another_association_of_the_derivative_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, OtherAssociation)
    assert where(result) == (1, 1, "delta")
    assert blamed(result) == {"derivative"}
    assert how(result, "derivative") == f"{result.sides[0]}: g * (s * (1 - s))\n{result.sides[1]}: (g * (1 - s)) * s"


@pytest.mark.parametrize(("width", "layer"), [(4, 1), (1, 2)], ids=["hidden", "output"])
def test_an_association_that_only_one_layer_has_is_named(ready: Ready, width: int, layer: int) -> None:
    result = planted(ready, "numpy", OtherAssociationInOneLayer, width=width)
    assert where(result)[1:] == (layer, "delta")
    assert blamed(result) == {"derivative"}
    assert how(result, "derivative") == f"{result.sides[0]}: g * (s * (1 - s))\n{result.sides[1]}: (g * (1 - s)) * s"


def test_a_derivative_that_no_form_explains_is_blamed_all_the_same(ready: Ready) -> None:
    result = planted(ready, "numpy", OddDerivative)
    assert where(result) == (1, 2, "delta")
    assert blamed(result) == {"derivative"}
    assert result.first is not None
    derivative = next(o for o in result.first.operations if o.name == "derivative")
    assert (derivative.elements, derivative.differing, derivative.max_ulp) == (20, 20, 1)
    assert how(result, "derivative").endswith("none of the ways tried")


@pytest.mark.parametrize("spec", EVERYONE)
def test_a_reversed_sum_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, ReversedSum)
    assert where(result) == (6, 2, "preactivation")
    assert blamed(result) == {"dot", "gradient dot"}
    assert "reverse order" in how(result, "dot").splitlines()[1]
    assert "index order" in how(result, "dot").splitlines()[0]


@pytest.mark.parametrize("spec", EVERYONE)
def test_a_float32_sigmoid_inside_float64_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, SinglePrecisionSigmoid)
    assert where(result) == (1, 1, "activation")
    assert blamed(result) == {"sigmoid"}
    assert how(result, "sigmoid").splitlines()[1].endswith("in float32, then widened")


@pytest.mark.parametrize("spec", EVERYONE)
def test_one_update_missing_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, MissingUpdate)
    assert where(result) == (1, 1, "weight")
    assert blamed(result) == {"update"}
    assert "left out" in how(result, "update").splitlines()[1]


def test_an_update_missing_only_from_many_at_once_is_named(ready: Ready) -> None:
    result = planted(ready, "numpy", MissingUpdateAtOnce, updates=1_300)
    assert where(result) == (1_100, 1, "weight")
    assert result.notes == (
        f"{result.sides[1]} leaves one of 100 updates out when they are asked for in one call, not when one by one",
    )


@pytest.mark.parametrize("spec", EVERYONE)
def test_a_hidden_delta_after_the_output_weights_update_is_named(ready: Ready, spec: str) -> None:
    result = planted(ready, spec, HiddenDeltaAfterOutput)
    assert where(result) == (1, 1, "error")
    assert blamed(result) == {"backward dot"}
    assert "with the next layer's weights after their update" in how(result, "backward dot").splitlines()[1]


@pytest.mark.parametrize("update", [1, 2, 37, 999, 1_000, 1_001, 1_050, 1_234, 1_299])
def test_the_first_update_is_found_exactly(ready: Ready, update: int) -> None:
    own, task = Own(arithmetic="reproducible"), problem("one-layer")
    weights = task.first_weights()
    before = own.train(weights, task.inputs, task.targets, 1.0, update - 1)
    threshold = float(before[0][0, 0])  # this weight grows in every update: its two targets are 1
    result = planted(ready, "numpy", Nudge, "one-layer", 1_300, threshold=threshold)
    assert where(result) == (update, 1, "weight")
    first = result.first
    assert first is not None
    assert [(e.index, e.ulp) for e in first.elements] == [((0, 0), 1)]
    assert blamed(result) == {"update"}
    rows = [d.update for d in result.development]
    regular = {row * power for power in (1, 10, 100, 1_000) for row in (1, 2, 3, 5, 7)}
    assert rows == sorted({row for row in regular if row < 1_300} | {update, 1_300})
    assert {d.max_ulp for d in result.development if d.update < update} <= {0}


def independent_runs(spec: str, task: Problem, updates: int) -> Sequence[Weights]:
    """Native weights after each update, by code that shares nothing with the backends."""
    x, y, first = task.inputs, task.targets, task.first_weights()
    history: list[Weights] = [first]
    if spec == "numpy":
        for _ in range(updates):
            ws, layers = history[-1], [x]
            for w in ws:
                layers.append(1 / (1 + np.exp(-np.dot(layers[-1], w))))
            delta, new = (y - layers[-1]) * (layers[-1] * (1 - layers[-1])), list(ws)
            for i in reversed(range(len(ws))):
                new[i] = ws[i] + np.dot(layers[i].T, delta)
                delta = np.dot(delta, ws[i].T) * (layers[i] * (1 - layers[i]))
            history.append(tuple(new))
    elif spec == "torch":
        import torch

        held = [torch.tensor(w, requires_grad=True) for w in first]
        for _ in range(updates):
            a = torch.tensor(x)
            for w in held:
                a = torch.sigmoid(a @ w)
            (0.5 * (torch.tensor(y) - a).square().sum()).backward()
            held = [(w - w.grad).detach().requires_grad_() for w in held]
            history.append(tuple(w.detach().numpy().copy() for w in held))
    else:
        import jax

        def loss(ws: Any) -> Any:
            a: Any = x
            for w in ws:
                a = jax.nn.sigmoid(a @ w)
            return 0.5 * ((y - a) ** 2).sum()

        with jax.enable_x64(True):
            step = jax.jit(lambda ws: tuple(w - g for w, g in zip(ws, jax.grad(loss)(ws), strict=True)))
            for _ in range(updates):
                history.append(tuple(map(np.array, step(history[-1]))))
    return history


@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
@pytest.mark.parametrize("spec", ["torch", "jax"])
def test_native_numpy_parts_from_them_where_independent_code_does(ready: Ready, spec: str, name: str) -> None:
    ready(spec)
    task = problem(name).with_(updates=30)
    result = equigrad.diverge(task, ("numpy", spec))
    numpys, others = (independent_runs(s, task, 30) for s in ("numpy", spec))
    differing = [k for k in range(31) if any((v != w).any() for v, w in zip(numpys[k], others[k], strict=True))]
    assert result.first is not None
    assert result.first.update == differing[0]


def independent_operations(spec: str, at: Sequence[LayerTrace], before: Weights, task: Problem) -> dict[str, list[Any]]:
    """What the framework's own functions make of what NumPy held; by direct calls."""
    layers = [task.inputs, *(t.activation for t in at)]
    if spec == "torch":
        import torch

        t = torch.tensor

        def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return (t(a) @ t(b)).numpy()

        def dots_backward(a: np.ndarray, w: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            leaves = t(a).requires_grad_(), t(w).requires_grad_()
            (leaves[0] @ leaves[1]).backward(t(g))
            return tuple(leaf.grad.numpy() for leaf in leaves)

        def sigmoid(z: np.ndarray) -> np.ndarray:
            return torch.sigmoid(t(z)).numpy()

        def exp(z: np.ndarray) -> np.ndarray:
            return torch.exp(t(z)).numpy()

        def derivative(g: np.ndarray, s: np.ndarray) -> np.ndarray:
            return torch.ops.aten.sigmoid_backward(t(g), t(s)).numpy()
    else:
        import jax
        import jax.numpy as jnp

        def run(f: Any, *arrays: np.ndarray) -> Any:
            with jax.enable_x64(True):
                return jax.tree.map(np.array, jax.jit(f)(*arrays))

        def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return run(jnp.matmul, a, b)

        def dots_backward(a: np.ndarray, w: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return run(lambda a, w, g: jax.vjp(jnp.matmul, a, w)[1](g), a, w, g)

        def sigmoid(z: np.ndarray) -> np.ndarray:
            return run(jax.nn.sigmoid, z)

        def exp(z: np.ndarray) -> np.ndarray:
            return run(jnp.exp, z)

        def derivative(g: np.ndarray, s: np.ndarray) -> np.ndarray:
            return run(lambda g, s: g * (s * (1 - s)), g, s)

    backward = [dots_backward(a, w, layer.delta) for a, w, layer in zip(layers, before, at, strict=False)]
    return {
        "dot": [dot(a, w) for a, w in zip(layers, before, strict=False)],
        "exp": [exp(-layer.preactivation) for layer in at],
        "sigmoid": [sigmoid(layer.preactivation) for layer in at],
        "error": [task.targets - at[-1].activation],
        "derivative": [derivative(layer.error, layer.activation) for layer in at],
        "backward dot": [g for g, _ in backward[1:]],
        "gradient dot": [g for _, g in backward],
    }


@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
@pytest.mark.parametrize("spec", ["torch", "jax"])
def test_native_operations_differ_as_direct_calls_of_the_frameworks_do(ready: Ready, spec: str, name: str) -> None:
    ready(spec)
    task = problem(name).with_(updates=30)
    first = equigrad.diverge(task, ("numpy", spec)).first
    assert first is not None
    before = independent_runs("numpy", task, first.update - 1)[-1]
    at = ready("numpy").trace(before, task.inputs, task.targets, 1.0)
    numpys: dict[str, list[np.ndarray]] = {
        "dot": [t.preactivation for t in at],
        "exp": [np.exp(-t.preactivation) for t in at],
        "sigmoid": [t.activation for t in at],
        "error": [t.error for t in at[-1:]],
        "derivative": [t.delta for t in at],
        "backward dot": [t.error for t in at[:-1]],
        "gradient dot": [t.change for t in at],
    }
    expected = {
        operation: sum(int((v != w).sum()) for v, w in zip(numpys[operation], arrays, strict=True))
        for operation, arrays in independent_operations(spec, at, before, task).items()
    }
    found = {o.name: o.differing for o in first.operations}
    assert found.pop("update") == 0
    assert {name: expected[name] for name in found} == found
    assert {"dot", "sigmoid", "error", "derivative", "gradient dot"} <= set(found)


@pytest.mark.parametrize("spec", EVERYONE)
@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("one-layer", "float64"), ("two-layer", "float64"), ("two-layer", "float32"), ("digits", "float64")],
)
def test_a_trace_replayed_on_itself_is_itself(ready: Ready, spec: str, arithmetic: str, name: str, dtype: str) -> None:
    backend, task = ready(spec, dtype, arithmetic), problem(name)
    x, y, *rest = (backend.from_numpy(v.astype(dtype)) for v in (task.inputs, task.targets, *task.first_weights(dtype)))
    trace = backend.trace(tuple(rest), x, y, task.rate(dtype))
    replayed = backend.replay(tuple(rest), x, y, task.rate(dtype), trace)
    assert replayed is not None
    for one, other in zip(trace, replayed, strict=True):
        for quantity, v, w in zip(LayerTrace._fields, one, other, strict=True):
            assert v.dtype == w.dtype == dtype
            np.testing.assert_array_equal(v, w, err_msg=quantity)


@pytest.mark.parametrize("spec", EVERYONE)
def test_native_and_reproducible_of_one_framework_part_in_the_sigmoid(ready: Ready, spec: str) -> None:
    ready(spec)
    result = equigrad.diverge(problem("two-layer").with_(updates=20), [spec], arithmetic=("native", "reproducible"))
    assert result.sides == (f"{spec} native", f"{spec} reproducible")
    assert where(result) == (1, 1, "activation")
    assert "sigmoid" in blamed(result)


def test_two_dtypes_are_compared_in_the_narrower(ready: Ready) -> None:
    result = equigrad.diverge(problem("one-layer").with_(updates=20), ["numpy"], dtype=("float64", "float32"))
    assert result.sides == ("numpy float64", "numpy float32")
    assert "rounded to float32" in result.notes[0]
    first = result.first
    assert first is not None
    for element in first.elements:
        assert all(float(np.float32(v)) == v for v in element.values)
    assert result.development[-1].max_abs_difference < 1e-5


def test_an_identical_pair_of_dtypes_does_not_exist_but_equal_values_are_not_blamed(ready: Ready) -> None:
    first = equigrad.diverge(problem("one-layer").with_(updates=20), ["numpy"], dtype=("float64", "float32")).first
    assert first is not None
    assert {o.name for o in first.operations if o.same} >= {"error"}


def test_the_budget_ends_the_development_and_says_so(ready: Ready) -> None:
    task = problem("two-layer").with_(updates=200)
    result = equigrad.diverge(task, ["numpy"], arithmetic=("native", "reproducible"), budget=0)
    assert [d.update for d in result.development] == [1]
    assert result.updates == 1
    assert "ends at update 1 of 200" in result.notes[0]


def test_the_development_holds_the_weights_distances(ready: Ready) -> None:
    task = problem("two-layer").with_(updates=40)
    result = equigrad.diverge(task, ["numpy"], arithmetic=("native", "reproducible"))
    assert [d.update for d in result.development] == [1, 2, 3, 5, 7, 10, 20, 30, 40]
    a, b = (ready("numpy", "float64", arithmetic) for arithmetic in ("native", "reproducible"))
    for d in result.development:
        va, vb = (s.train(task.first_weights(), task.inputs, task.targets, 1.0, d.update) for s in (a, b))
        assert d.max_abs_difference == max(float(np.abs(v - w).max()) for v, w in zip(va, vb, strict=True))
        ulps = [np.abs(v.view(np.int64) - w.view(np.int64)).max() for v, w in zip(va, vb, strict=True)]
        assert d.max_ulp == max(ulps)


def test_an_intermediate_that_rounding_removed_is_told(ready: Ready) -> None:
    ready("jax")
    result = equigrad.diverge(problem("one-layer").with_(updates=30), ("numpy", "jax"))
    assert result.first is not None
    assert result.earlier is not None
    assert result.earlier.update < result.first.update
    assert result.earlier.quantity != "weight"


def test_quantities_come_in_the_order_of_computation(ready: Ready) -> None:
    task = problem("two-layer")
    trace = ready("numpy").trace(task.first_weights(), task.inputs, task.targets, 1.0)
    assert [(name, layer) for name, layer, _ in _quantities(trace)] == [
        ("preactivation", 1),
        ("activation", 1),
        ("preactivation", 2),
        ("activation", 2),
        ("error", 2),
        ("delta", 2),
        ("change", 2),
        ("error", 1),
        ("delta", 1),
        ("change", 1),
    ]


def test_healing_is_counted_only_after_the_first_difference() -> None:
    development = tuple(Distance(u, ulp, float(ulp)) for u, ulp in ((1, 0), (2, 3), (3, 0), (5, 1), (7, 0)))
    first = Difference(2, 1, "weight", 3, (), 3)
    result = Divergence(
        problem("one-layer"), ("a", "b"), ("float64",) * 2, ("native",) * 2, {}, first, None, development, 7
    )
    assert result.healed == (3, 7)
    assert replace(result, first=None).healed == ()


def test_two_nan_are_no_difference(ready: Ready) -> None:
    class Broken(Own):
        def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
            return tuple(np.full_like(w, np.nan) for w in weights)

    task = problem("one-layer").with_(updates=3)

    class BrokenOtherwise(Own):
        def train(self, weights: Weights, x: np.ndarray, y: np.ndarray, lr: float, n: int) -> Weights:
            return tuple(-np.full_like(w, np.nan) for w in weights)

    assert equigrad.diverge(task, [Broken(), BrokenOtherwise()]).identical
    result = equigrad.diverge(task, ["numpy", Broken()])
    assert where(result) == (1, 1, "weight")
    assert math.isnan(result.development[0].max_abs_difference)
    assert render(result)


@pytest.mark.parametrize(
    ("backends", "options", "message"),
    [
        (["numpy"], {}, "two are compared"),
        (["numpy"] * 3, {}, "two are compared"),
        (["numpy", "numpy"], {"dtype": ["float64"] * 3}, "give backend once for all or 3 times"),
        (["numpy", "nunpy"], {}, "did you mean 'numpy'"),
        (["numpy", "numpy"], {"dtype": "float16"}, "unknown dtype"),
    ],
    ids=["one", "three", "unequal-numbers", "mistyped", "unknown-dtype"],
)
def test_bad_arguments_are_refused(backends: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        equigrad.diverge("one-layer", backends, **options)


def test_a_backend_that_raises_or_returns_other_weights_is_told_in_one_line() -> None:
    class Raises(NumpyBackend):
        def trace(self, *_: Any) -> Any:
            raise ValueError("no\ntrace")

    class Widens(Own):
        def train(self, weights: Weights, *_: Any) -> Weights:
            return tuple(w.astype(np.float32) for w in weights)

    with pytest.raises(UsageError, match="trace raised ValueError"):
        equigrad.diverge("one-layer", ["numpy", Raises()])
    with pytest.raises(UsageError, match=r"float32 \(3, 1\) instead of float64 \(3, 1\)"):
        equigrad.diverge("one-layer", ["numpy", Widens()])


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["equigrad", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


TWO_NUMPYS = ("-b", "numpy", "--arithmetic", "native", "--arithmetic", "reproducible", "--updates", "50")


def test_the_command_writes_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(monkeypatch, "diverge", "two-layer", *TWO_NUMPYS, "--json", str(tmp_path / "d.json")) == 1
    data = json.loads((tmp_path / "d.json").read_text())
    assert data["identical"] is False
    assert set(data["first"]) == {"update", "layer", "quantity", "elements", "max_ulp", "operations"}
    assert all(set(o) == {"name", "same", "differing", "max_ulp"} for o in data["first"]["operations"])
    assert all(o["same"] is (o["differing"] == 0) for o in data["first"]["operations"])
    assert all(set(d) == {"update", "max_ulp", "max_abs_difference"} for d in data["development"])
    assert data["passport"]["backends"]["numpy"]["version"] == np.__version__
    for element in data["first"]["elements"]:
        assert [float.fromhex(h) for h in element["hex"]] == element["values"]
    out = capsys.readouterr().out
    assert data["first"]["elements"][0]["hex"][1] in out
    assert "part in update 1, in activation of layer 1" in out


def test_the_command_says_when_nothing_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    both = ("-b", "numpy", "-b", "numpy", "--updates", "50", "--json", str(tmp_path / "d.json"))
    assert command(monkeypatch, "diverge", *both) == 0
    data = json.loads((tmp_path / "d.json").read_text())
    assert data["identical"] is True
    assert data["first"] is None
    assert {d["max_ulp"] for d in data["development"]} == {0}
    assert "never part" in capsys.readouterr().out


def test_the_command_refuses_bad_arguments_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "diverge", "-b", "numpy") == 2
    assert command(monkeypatch, "diverge", *TWO_NUMPYS, "--json", "/nowhere/d.json") == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_command_names_a_missing_framework(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "equigrad.backends.torch_backend", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(monkeypatch, "diverge", "-b", "numpy", "-b", "torch") == 3
    assert "pip install 'equigrad[torch]'" in capsys.readouterr().err


def test_the_command_takes_your_own_backend(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "somebodys.py").write_text(
        "from equigrad.backends.numpy_backend import NumpyBackend\n"
        "class Mine(NumpyBackend):\n"
        "    def train(self, weights, x, y, lr, n):\n"
        "        return super().train(weights, x, y, lr * 2, n)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert command(monkeypatch, "diverge", "-b", "numpy", "-b", "somebodys:Mine", "--updates", "20") == 1
    out = capsys.readouterr().out
    assert "part in update 1, in weight of layer 1 (differing on the same inputs: update)" in out
    assert "somebodys:Mine: none of the ways tried" in out
