"""What `diverge` says about native arithmetic, held against code that shares nothing with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends.interface import Backend, LayerTrace
from equigrad.common.problem import Problem, problem
from equigrad.diverge.operations import HasExp, Replays
from length import at_length

Ready = Callable[..., Backend]
Weights = tuple[np.ndarray, ...]


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
                a = jax.nn.sigmoid((a[:, :, None] * w).sum(1))  # so the backend has it for a dozen numbers
            return 0.5 * ((y - a) ** 2).sum()

        with jax.enable_x64(True):
            step = jax.jit(lambda ws: tuple(w - g for w, g in zip(ws, jax.grad(loss)(ws), strict=True)))
            for _ in range(updates):
                history.append(tuple(map(np.array, step(history[-1]))))
    return history


@pytest.mark.slow(but=["torch-one-layer"])
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

        def product(a: Any, b: Any) -> Any:
            return (a[:, :, None] * b).sum(1)

        def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return run(product, a, b)

        def dots_backward(a: np.ndarray, w: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return run(lambda a, w, g: jax.vjp(product, a, w)[1](g), a, w, g)

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
@pytest.mark.slow(but=["torch", "jax-one-layer"])
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


@pytest.mark.slow(but=["one-layer"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *[("one-layer", "float64"), ("two-layer", "float64"), ("two-layer", "float32")],
        pytest.param("digits", "float64", marks=pytest.mark.slow),
    ],
)
def test_a_trace_replayed_on_itself_is_itself(ready: Ready, spec: str, arithmetic: str, name: str, dtype: str) -> None:
    backend, whole = ready(spec, dtype, arithmetic), problem(name)
    layers = whole.layers if name != "digits" else at_length(whole.layers, short=(64, 10))  # as many as JAX compiles
    task = replace(whole, inputs=whole.inputs[:100], targets=whole.targets[:100], layers=layers)
    x, y, *rest = (backend.from_numpy(v.astype(dtype)) for v in (task.inputs, task.targets, *task.first_weights(dtype)))
    trace = backend.trace(tuple(rest), x, y, task.rate(dtype))
    assert isinstance(backend, Replays)
    replayed = backend.replay(tuple(rest), x, y, task.rate(dtype), trace)
    assert replayed is not None
    for one, other in zip(trace, replayed, strict=True):
        for quantity, v, w in zip(LayerTrace._fields, one, other, strict=True):
            assert v.dtype == w.dtype == dtype
            np.testing.assert_array_equal(v, w, err_msg=quantity)


@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_exp_is_the_frameworks_own_and_none_where_the_sigmoid_is_not_made_of_it(ready: Ready, spec: str) -> None:
    native, x = ready(spec), np.linspace(-30, 30, 1001)[:, None]
    assert isinstance(native, HasExp)
    found = native.to_numpy(native.exp(native.from_numpy(x)))
    if spec == "numpy":
        expected = np.exp(x)
    elif spec == "torch":
        import torch

        expected = torch.exp(torch.tensor(x)).numpy()
    else:
        import jax

        with jax.enable_x64(True):
            expected = np.array(jax.jit(jax.numpy.exp)(x))
    np.testing.assert_array_equal(found, expected)
    reproducible = ready(spec, "float64", "reproducible")
    assert isinstance(reproducible, HasExp)
    assert reproducible.exp(x) is None
