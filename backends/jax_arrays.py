"""JAX's arrays: where they are, how they come and go, which operations work on them, and how methods are compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, Self

import jax
import numpy as np

from .interface import Backend, Weights
from .jax_arithmetic import Native, Reproducible

UNROLLED = {"cuda": 50}
"""Updates in one turn of the loop, by device, 1 elsewhere: a GPU waits for each turn, which takes longer than a
small update."""
UNROLLED_INPUTS = 2**16
"""At most this many numbers of input; with more, a turn takes longer than the waiting."""

ADVICE = ": make it with the backend's from_numpy, or, if it is made by JAX outside of the backend, set jax_enable_x64"
"""What to do where JAX made float32 of what was to be float64."""


@dataclass(frozen=True)
class JaxArrays(Backend):
    """What a JAX backend is besides the lesson in jax_backend.py."""

    name = "jax"
    arithmetics = ("native", "reproducible")

    one: Any = field(default=None, repr=False, compare=False)
    """1.0 in the programs that are compiled here, see `jax_arithmetic.Space`."""

    def __init_subclass__(cls) -> None:
        # so that jit takes `self`: `one` is data of a compiled program, all the rest is part of it
        jax.tree_util.register_pytree_node(cls, lambda b: ((b.one,), b.alone), lambda b, data: replace(b, one=data[0]))

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        try:
            return ("cpu", "cuda") if jax.devices("cuda") else ("cpu",)
        except RuntimeError:
            return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {
            "version": jax.__version__,
            "x64": "on inside each call" + (", and outside" if jax.config.jax_enable_x64 else ", off outside"),
            "matmul_precision": "highest, in each product",
            "devices": list(cls.devices()),
        }

    @cached_property
    def ops(self) -> Native | Reproducible:
        return Reproducible(self.one) if self.arithmetic == "reproducible" else Native()

    @cached_property
    def alone(self) -> Self:
        return self if self.one is None else replace(self, one=None)

    @cached_property
    def with_one(self) -> Self:
        return replace(self, one=self.from_numpy(np.ones(())))

    def from_numpy(self, array: np.ndarray) -> jax.Array:
        with jax.enable_x64(True):
            return jax.device_put(np.array(array, dtype=self.dtype), jax.devices(self.device)[0])

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        return np.array(array)

    def device_of(self, array: jax.Array) -> str:
        (device,) = array.devices()
        return "cuda" if device.platform == "gpu" else device.platform

    def synchronize(self, value: Any) -> Any:
        return jax.block_until_ready(value)


def compiled(method: Callable[..., Any]) -> Callable[..., Any]:
    """jit, with float64 switched on for this call alone; TypeError for arrays of another dtype than the backend's."""

    @wraps(method)
    def traced(self: Any, *args: Any) -> Any:
        _check_dtype(self.dtype, args)  # while it is traced, so that no compiled call pays for it
        return method(self, *args)

    jitted = jax.jit(traced, inline=True)

    @wraps(method)
    def call(self: Any, *args: Any) -> Any:
        with jax.enable_x64(True):
            if self.arithmetic == "native" or self.one is not None or any(map(_is_traced, jax.tree.leaves(args))):
                return jitted(self, *args)
            with jax.ensure_compile_time_eval():  # a program of the user's may hold all arguments as constants
                return jitted(self.with_one, *args)

    call.jitted = jitted  # type: ignore[attr-defined]
    return call


def _check_dtype(dtype: str, args: Any) -> None:
    for array in jax.tree.leaves(args):
        if isinstance(array, jax.Array) and array.ndim and array.dtype != dtype:
            raise TypeError(f"this backend computes in {dtype}, and was given an array of {array.dtype}{ADVICE}")


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def unrolled(train: Callable[..., Weights]) -> Callable[..., Weights]:
    """`train`, with several updates in each turn of its loop where the turns cost more than the updates."""

    @wraps(train)
    def call(backend: Any, weights: Weights, x: jax.Array, y: jax.Array, lr: float, n: int) -> Weights:
        several = updates_in_a_turn(backend.device, x)
        if several > 1:
            weights = train(Several(backend, several), weights, x, y, lr, n // several)
            n = n % several
        return train(backend, weights, x, y, lr, n)

    return call


def updates_in_a_turn(device: str, x: jax.Array) -> int:
    return UNROLLED.get(device, 1) if x.size <= UNROLLED_INPUTS else 1


class Several:
    """A backend whose one update is several of another's."""

    def __init__(self, backend: Any, count: int) -> None:
        self.backend, self.count = backend, count

    def update(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float) -> Weights:
        for _ in range(self.count):
            weights = self.backend.update(weights, x, y, lr)
        return weights
