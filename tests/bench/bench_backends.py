"""Backends that are wrong on purpose, each in one way; benchmarks load them by name in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from typing import Any

import numpy as np

from equigrad.backends.interface import Weights
from equigrad.backends.numpy_backend import NumpyBackend


class Right(NumpyBackend):
    name = "right"


class OneMissing(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - 1)


class Random(NumpyBackend):
    """Inside the bound, but never twice the same: a ULP or two further with each call."""

    calls = count(1)

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        noise = 2.0**-52 * next(self.calls)
        return tuple(w * (1 + noise) for w in super().train(weights, x, y, lr, n))


class OtherDtype(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return tuple(w.astype(np.float32) for w in super().train(weights, x, y, lr, n))


class NotANumber(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return tuple(w * np.nan for w in super().train(weights, x, y, lr, n))


class Crashing(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")


class Hanging(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        time.sleep(600)
        raise AssertionError("not reached")


class Raising(NumpyBackend):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        raise ZeroDivisionError("no luck\nand a second line")


class Stale(NumpyBackend):
    """Computes a number of updates once, whatever it starts from."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        if n not in KEPT:
            KEPT[n] = super().train(weights, x, y, lr, n)
        return KEPT[n]


KEPT: dict[int, Weights] = {}


class Pending(np.ndarray):
    """Zeros until it is pickled."""

    train: Any = None

    def __reduce__(self) -> Any:
        return self.train().__reduce__()


class Late(NumpyBackend):
    """Trains when its result is sent, and the clock has stopped."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        def later(layer: int) -> Any:
            return NumpyBackend.train(self, weights, x, y, lr, n)[layer]

        found = tuple(np.zeros_like(w).view(Pending) for w in weights)
        for layer, array in enumerate(found):
            array.train = lambda layer=layer: later(layer)
        return found

    def to_numpy(self, array: Any) -> Any:
        return array


class Greedy(NumpyBackend):
    """Takes more threads than it was given."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        return super().train(weights, x, y, lr, n)


class Blind(NumpyBackend):
    """Fails where a GPU could be seen."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        if in_sight := os.environ.get("CUDA_VISIBLE_DEVICES"):
            raise RuntimeError(f"a GPU is in sight: {in_sight}")
        return super().train(weights, x, y, lr, n)
