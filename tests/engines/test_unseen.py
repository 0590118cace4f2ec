"""The wrong engines of unseen_wrong.py are wrong and the correct ones of unseen_correct.py correct, as each says.

How many of them `equigrad check` catches is counted by tests/laws/unseen_engines.py, which takes minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad.backends.numpy_backend import NumpyBackend
from length import at_length

pytest.importorskip("torch")
pytest.importorskip("jax")
sys.path.insert(0, str(Path(__file__).parent))
import unseen_correct
import unseen_wrong

Data = tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray, float, int]

INPUTS: dict[str, Any] = {
    "normal": lambda rng, n, k: rng.normal(size=(n, k)),
    "binary": lambda rng, n, k: rng.integers(0, 2, (n, k)) * 1.0,
    "bytes": lambda rng, n, k: rng.integers(0, 256, (n, k)) * 1.0,
    "minmax": lambda rng, n, k: np.clip(rng.normal(size=(n, k)) / 2 + 0.5, 0, 1),
    "zerorows": lambda rng, n, k: rng.normal(size=(n, k)) * (np.arange(n) % 2)[:, None],
    "repeated": lambda rng, n, k: np.tile(rng.normal(size=(1, k)), (n, 1)),
    "close": lambda rng, n, k: rng.normal(size=(1, k)) + 1e-7 * rng.random((n, k)),
}
TARGETS: dict[str, Any] = {
    "uniform": lambda rng, n, k: rng.random((n, k)),
    "binary": lambda rng, n, k: rng.integers(0, 2, (n, k)) * 1.0,
    "normal": lambda rng, n, k: rng.normal(size=(n, k)) * 2,
    "repeated": lambda rng, n, k: np.tile(rng.random((1, k)), (n, 1)),
    "soft": lambda rng, n, k: (lambda r: r / r.sum(1, keepdims=True))(rng.random((n, k))),
}


def network(
    layers: tuple[int, ...] = (3, 4, 1), samples: int = 7, x: str = "normal", y: str = "uniform", w: float = 1.0,
    xs: float = 1.0, lr: float = 0.5, n: int = 1, dtype: str = "float64", seed: int = 0, noise: float = 0.0,
    tie: bool = False, diagonal: bool = False, pruned: bool = False, what: str = "gradient",
) -> Data:  # fmt: skip
    """What the words of an engine's `at` mean."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) * w for shape in pairwise(layers)]
    if tie:
        weights[1].flat[0] = weights[0].flat[0]
    if diagonal:
        weights[0] = np.diag(np.diag(weights[0]))
    if pruned:
        weights[0][0, 0] = 0
    weights = [v.astype(dtype) for v in weights]
    inputs = (INPUTS[x](rng, samples, layers[0]) * xs).astype(dtype)
    if y == "fit":
        output = activations([v.astype(np.longdouble) for v in weights], inputs.astype(np.longdouble))[-1]
        targets = output + noise * rng.normal(size=output.shape)
    else:
        targets = TARGETS[y](rng, samples, layers[-1])
    return tuple(weights), inputs, targets.astype(dtype), lr, n


def activations(weights: Any, x: Any) -> list[Any]:
    layers = [x]
    for w in weights:
        with np.errstate(over="ignore"):
            layers.append(1 / (1 + np.exp(-(layers[-1] @ w))))
    return layers


def errors_and_deltas(weights: Any, layers: list[Any], y: Any) -> Iterator[tuple[int, Any, Any]]:
    """(layer, error, delta), the last layer first."""
    error = y - layers[-1]
    for i in reversed(range(len(weights))):
        delta = error * layers[i + 1] * (1 - layers[i + 1])
        yield i, error, delta
        error = delta @ weights[i].T


def exact(weights: Any, x: Any, y: Any, lr: Any, n: int, what: str) -> list[Any]:
    """The same in long doubles."""
    weights, (x, y, lr) = [v.astype(np.longdouble) for v in weights], map(np.longdouble, (x, y, lr))
    layers = activations(weights, x)
    if what == "predict":
        return layers[-1:]
    if what == "trace":
        found = [
            (layers[i] @ weights[i], layers[i + 1], error, delta, lr * (layers[i].T @ delta))
            for i, error, delta in errors_and_deltas(weights, layers, y)
        ]
        return [array for layer in reversed(found) for array in layer]
    for _ in range(n if what == "train" else 1):
        layers = activations(weights, x)
        gradient = [-layers[i].T @ delta for i, _, delta in errors_and_deltas(weights, layers, y)][::-1]
        weights = [v - lr * g for v, g in zip(weights, gradient, strict=True)]
    return gradient if what == "gradient" else weights


def computed(engine: Any, weights: Any, x: Any, y: Any, lr: float, n: int, what: str) -> list[np.ndarray]:
    w, x, y = tuple(map(engine.from_numpy, weights)), engine.from_numpy(x), engine.from_numpy(y)
    if what == "trace":
        return [np.asarray(array) for layer in engine.trace(w, x, y, lr) for array in layer]
    if what == "predict":
        return [engine.to_numpy(engine.predict(w, x))]
    given = {"gradient": (), "update": (lr,), "train": (lr, n)}[what]
    return [engine.to_numpy(array) for array in getattr(engine, what)(w, x, y, *given)]


def distance(cls: Any, at: dict[str, Any]) -> np.ndarray:
    """Of what `cls` computes from the exact: relative to the largest element of each array, and to each element."""
    dtype, what = at.get("dtype", "float64"), at.get("what", "gradient")
    data = network(**at)
    worst = np.zeros(2)
    for got, true in zip(computed(cls(dtype=dtype), *data, what), exact(*data, what), strict=True):
        if got.shape != true.shape:
            return np.full(2, np.inf)
        off = np.abs(got.astype(np.longdouble) - true)
        with np.errstate(all="ignore"):
            each = np.where(off == 0, 0, off / np.abs(true)).max()
        found = np.array([off.max() / (np.abs(true).max() or 1), each], float)
        worst = np.maximum(worst, np.where(np.isnan(found), np.inf, found))
    return worst


def far_off(cls: Any, at: dict[str, Any]) -> bool:
    """By more than a thousand roundings, and more than a thousand times what NumPy's backend is off by."""
    eps = np.finfo(at.get("dtype", "float64")).eps
    return bool((distance(cls, at) > 1000 * np.maximum(eps, distance(NumpyBackend, at))).any())


@pytest.mark.parametrize("cls", unseen_wrong.WRONG, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore")
def test_it_is_wrong_where_it_says(cls: Any) -> None:
    broken = "breaks" in vars(cls) and cls().breaks(*network(**getattr(cls, "breaks_at", {}))[:3])
    off = "at" in vars(cls) and far_off(cls, cls.at)
    assert broken or off
    if off:
        assert not far_off(unseen_wrong.Own, cls.at), "the network is to blame, not the mistake"


GRID: list[dict[str, Any]] = [
    {}, {"samples": 1}, {"layers": (3, 1), "samples": 40}, {"layers": (3, 5, 5, 2), "samples": 9, "y": "normal"},
    {"layers": (20, 33, 2), "samples": 70}, {"lr": 0.1, "what": "update"}, {"lr": 0.3, "n": 20, "what": "train"},
    {"n": 0, "what": "train"}, {"what": "predict", "w": 6.0}, {"layers": (2,) * 13, "what": "predict"},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cls", unseen_correct.RIGHT, ids=lambda cls: cls.__name__)
def test_a_correct_one_is_within_rounding(cls: Any) -> None:
    dtypes = ("float64", "float32")
    for i, at in enumerate(GRID):
        for dtype in at_length(dtypes, short=(dtypes[i % 2],) if cls.compiles else dtypes):
            assert distance(cls, at | {"dtype": dtype})[0] < 200 * np.finfo(dtype).eps, at
