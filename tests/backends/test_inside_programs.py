"""The backends inside programs of the user's own: under jit, vmap and scan, under no_grad and inference_mode, whatever
precision the user has set. The reproducible bits are NumPy's, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad.backends import load
from equigrad.backends.interface import DTYPES, Backend, Weights
from equigrad.bench.sizes import sized
from equigrad.common.problem import Problem, problem
from length import at_length

Ready = Callable[..., Backend]
Call = Callable[..., Any]

CALLS: dict[str, Call] = {
    "predict": lambda backend, weights, x, y: (backend.predict(weights, x),),
    "gradient": lambda backend, weights, x, y: backend.gradient(weights, x, y),
    "update": lambda backend, weights, x, y: backend.update(weights, x, y, 0.37),
    "train": lambda backend, weights, x, y: backend.train(weights, x, y, 0.37, 3),
}


def jitted(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax

    return jax.jit(lambda weights: call(backend, weights, x, y))(weights)


def all_jitted(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax

    return jax.jit(call)(backend, weights, x, y)


def with_constants_alone(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax

    return jax.jit(lambda: call(backend, weights, x, y))()


def with_data_made_inside(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    arrays = [np.asarray(v) for v in (x, y, *weights)]

    def made() -> Any:
        x, y, *weights = map(jnp.asarray, arrays)
        return call(backend, tuple(weights), x, y)

    with jax.enable_x64(True):
        return jax.jit(made)()


def mapped(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    several = tuple(jnp.stack([w, w]) for w in weights)
    found = jax.jit(jax.vmap(lambda weights: call(backend, weights, x, y)))(several)
    return tuple(v[1] for v in found)


def scanned(call: Call, backend: Backend, weights: Weights, x: Any, y: Any) -> Any:
    import jax

    def turn(weights: Weights, _: Any) -> tuple[Weights, Any]:
        return weights, call(backend, weights, x, y)

    _, found = jax.jit(lambda weights: jax.lax.scan(turn, weights, None, length=2))(weights)
    return tuple(v[1] for v in found)


WAYS = [jitted, all_jitted, with_constants_alone, with_data_made_inside, mapped, scanned]


def bits(arrays: Any) -> list[bytes]:
    return [np.asarray(a).tobytes() for a in arrays]


def called(call: Call, backend: Backend, task: Problem) -> list[bytes]:
    return bits(backend.to_numpy(v) for v in call(backend, *held(backend, task)))


def held(backend: Backend, task: Problem) -> tuple[Weights, Any, Any]:
    given = (task.inputs, task.targets, *task.first_weights())
    x, y, *weights = (backend.from_numpy(v.astype(backend.dtype)) for v in given)
    return tuple(weights), x, y


ODD = sized(9, (5, 7, 2))
"""All products in index order, where an FMA would show."""


QUICK = (jitted, scanned)
PROGRAMS = [
    pytest.param(
        way, dtype, marks=[pytest.mark.slow] * (way not in QUICK), id=f"{way.__name__.replace('_', ' ')}, {dtype}"
    )
    for way in WAYS
    for dtype in (DTYPES if way in QUICK else DTYPES[:1])  # the random networks below have all ways in both
]


@pytest.mark.slow(but=["scanned, float32"])
@pytest.mark.parametrize(("way", "dtype"), PROGRAMS)
def test_reproducible_bits_survive_a_users_own_program(ready: Ready, way: Call, dtype: str) -> None:
    numpy, jax = (ready(spec, dtype, "reproducible") for spec in ("numpy", "jax"))
    for name in at_length(tuple(CALLS), short=("gradient", "train")):  # the others are within these
        call = CALLS[name]
        found = bits(way(call, jax, *held(jax, ODD)))
        assert found == called(call, numpy, ODD), name


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize("name", CALLS)
def test_arrays_that_jax_made_in_float32_are_refused_in_float64(ready: Ready, name: str, arithmetic: str) -> None:
    import jax
    import jax.numpy as jnp

    backend = ready("jax", "float64", arithmetic)
    weights, x, y = held(backend, ODD)
    CALLS[name](backend, weights, x, y)
    with pytest.raises(TypeError, match=r"computes in float64.*given an array of float32.*set jax_enable_x64"):
        jax.jit(lambda: CALLS[name](backend, weights, jnp.ones(ODD.inputs.shape), y))()


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    layers = tuple(draw(st.lists(st.integers(1, 20), min_size=2, max_size=4)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    samples, scale = draw(st.integers(1, 60)), 10.0 ** draw(st.integers(-3, 2))
    inputs, targets = generator.normal(0, scale, (samples, layers[0])), generator.random((samples, layers[-1]))
    return Problem("random", inputs, targets, layers, 3, seed=draw(st.integers(0, 2**32 - 1)))


@pytest.mark.slow
@settings(max_examples=at_length(7, short=4), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(way=st.sampled_from(WAYS), task=problems(), dtype=st.sampled_from(["float64", "float32"]))
def test_of_any_network_reproducible_bits_survive_a_users_own_program(way: Call, task: Problem, dtype: str) -> None:
    numpy, jax = (load(spec, dtype, "reproducible") for spec in ("numpy", "jax"))
    for name in ("gradient", "train"):
        assert bits(way(CALLS[name], jax, *held(jax, task))) == called(CALLS[name], numpy, task), name


def test_the_published_hash_comes_out_of_a_program_of_the_users(ready: Ready, dtype: str) -> None:
    import jax

    from equigrad.common.golden import GOLDEN
    from equigrad.common.ulp import sha256

    backend, task = ready("jax", dtype, "reproducible"), problem("one-layer")
    weights, x, y = held(backend, task)

    def turn(_: Any, weights: Weights) -> Weights:
        return backend.update(weights, x, y, 1.0)

    trained = jax.jit(lambda weights: jax.lax.fori_loop(0, task.updates, turn, weights))(weights)
    assert sha256(tuple(map(backend.to_numpy, trained))) == GOLDEN["one-layer"][dtype]


def test_a_reproducible_update_can_be_differentiated(ready: Ready) -> None:
    """The fence has a derivative of its own, 1: without it that of the learning rate would be 0."""
    import jax

    backend = ready("jax", "float64", "reproducible")
    weights, x, y = held(backend, ODD)
    with jax.enable_x64(True):
        found = jax.jacfwd(lambda lr: backend.update(weights, x, y, lr)[0])(0.5)
    np.testing.assert_array_equal(found, -np.asarray(backend.gradient(weights, x, y)[0]))


PRECISIONS = at_length(["default", "bfloat16", "F32_F32_F32", "BF16_BF16_F32"], short=["bfloat16", "BF16_BF16_F32"])


@pytest.mark.slow(but=["float64-bfloat16"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_exact_whatever_precision_jax_is_set_to(ready: Ready, dtype: str, precision: str) -> None:
    import jax

    numpy, reproducible, native = (
        ready(*named) for named in (("numpy", dtype, "reproducible"), ("jax", dtype, "reproducible"), ("jax", dtype))
    )
    large = sized(70, (90, 3))  # its product goes through slices, and natively through jnp.matmul
    predict = CALLS["predict"]
    expected = called(predict, native, large)
    with jax.default_matmul_precision(precision):
        assert called(predict, reproducible, large) == called(predict, numpy, large)
        assert called(predict, native, large) == expected


@pytest.mark.slow(but=["float64-native-no_grad"])
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_pytorchs_gradient_does_not_depend_on_the_mode_it_is_called_in(
    ready: Ready, mode: str, dtype: str, arithmetic: str
) -> None:
    backend = ready("torch", dtype, arithmetic)
    import torch

    def everything() -> list[list[bytes]]:
        weights, x, y = held(backend, ODD)
        trace = backend.trace(weights, x, y, 0.5)
        taped = backend.train(weights, x, y, 0.5, 100)
        return [
            *(called(call, backend, ODD) for call in CALLS.values()),
            bits(map(backend.to_numpy, taped)),
            *(bits(layer) for layer in trace),
            *(bits(layer) for layer in backend.replay(weights, x, y, 0.5, trace)),  # type: ignore[attr-defined]
        ]

    expected = everything()
    with getattr(torch, mode)():
        assert everything() == expected
