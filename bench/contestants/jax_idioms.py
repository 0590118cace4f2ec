"""Ways to write the update in JAX. The derivative is grad's in all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.agreement import Disagreement
from ..workload import Arrays, Loop, Workload

jax.config.update("jax_enable_x64", True)  # each contestant has a process of its own
jax.config.update("jax_default_matmul_precision", "highest")  # float32 means float32, on a GPU too

Weights = tuple[jax.Array, ...]


def matmul(a: jax.Array, w: jax.Array) -> jax.Array:
    return a @ w


def multiply_and_sum(a: jax.Array, w: jax.Array) -> jax.Array:
    """a @ w in one kernel with its neighbours, which beats a call of a matrix product at a dozen numbers."""
    return (a[:, :, None] * w).sum(1)


def on_device(workload: Workload, device: str) -> tuple[jax.Array, jax.Array, Weights]:
    return jax.device_put((workload.x, workload.y, workload.weights), jax.devices(device)[0])


def arrays(weights: Weights, device: str) -> Arrays:
    """As NumPy, which waits for them."""
    for w in weights:
        if w.devices() != {jax.devices(device)[0]}:
            raise Disagreement("wrong-device", f"computed on {w.devices()} instead of {device}")
    return tuple(np.asarray(w) for w in weights)


def update(workload: Workload, dot: Callable[..., jax.Array] = matmul) -> Callable[..., Weights]:
    def loss(weights: Weights, x: jax.Array, y: jax.Array) -> jax.Array:
        a = x
        for w in weights:
            a = jax.nn.sigmoid(dot(a, w))
        return ((y - a) ** 2).sum() / 2

    def step(weights: Weights, x: jax.Array, y: jax.Array) -> Weights:
        gradient = jax.grad(loss)(weights, x, y)
        return tuple(w - workload.rate * g for w, g in zip(weights, gradient, strict=True))

    return step


def from_python(workload: Workload, device: str, compiled: bool) -> Loop:
    """One update for each call from Python, jitted or not."""
    x, y, first = on_device(workload, device)
    step = jax.jit(update(workload)) if compiled else update(workload)

    def run(n: int) -> Arrays:
        weights = first
        for _ in range(n):
            weights = step(weights, x, y)
        return arrays(weights, device)

    return run


def in_one_program(workload: Workload, device: str, loop: str, dot: str, unroll: int = 1) -> Loop:
    """All updates in one compiled program, by fori_loop or scan."""
    x, y, first = on_device(workload, device)
    step = update(workload, {"matmul": matmul, "multiply-and-sum": multiply_and_sum}[dot])

    def several(weights: Weights, x: jax.Array, y: jax.Array) -> Weights:
        for _ in range(unroll):
            weights = step(weights, x, y)
        return weights

    @jax.jit
    def fori(weights: Weights, x: jax.Array, y: jax.Array, n: Any) -> Weights:
        weights = jax.lax.fori_loop(0, n // unroll, lambda _, w: several(w, x, y), weights)
        return jax.lax.fori_loop(0, n % unroll, lambda _, w: step(w, x, y), weights) if unroll > 1 else weights

    def scan(weights: Weights, x: jax.Array, y: jax.Array, n: int) -> Weights:
        return jax.lax.scan(lambda w, _: (step(w, x, y), None), weights, None, length=n, unroll=unroll)[0]

    train = {"fori_loop": fori, "scan": jax.jit(scan, static_argnums=3)}[loop]
    return lambda n: arrays(train(first, x, y, n), device)


def delayed(workload: Workload, seconds: float, waits: bool) -> Loop:
    """No update, but work that is known to take `seconds` on JAX's asynchronous queue: a test of the clock.

    The pause comes behind a matrix product of some 0.1 s, because what could start at once JAX does at once.
    """
    import time

    def pause(product: np.ndarray, w: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return w

    product = jax.jit(lambda a: a @ a)
    later = jax.jit(lambda a, w: jax.pure_callback(pause, jax.ShapeDtypeStruct(w.shape, w.dtype), a, w))
    busy, first = jnp.ones((1500, 1500)), jnp.asarray(workload.weights[0])
    pending: list[jax.Array] = []

    def run(n: int) -> Arrays:
        result = later(product(busy), first)
        if waits:
            return (np.asarray(result), *workload.weights[1:])
        pending.append(result)
        return workload.weights

    return run
