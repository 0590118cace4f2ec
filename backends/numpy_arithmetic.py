"""The two arithmetics of the NumPy backend: its own operations, and the reproducible ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..common import reproducible

silent = np.errstate(over="ignore", invalid="ignore")  # an overflow shows in the weights, as everywhere


class Native:
    """What NumPy and its BLAS do."""

    product: Any = staticmethod(np.multiply)
    dot: Any = staticmethod(np.dot)

    @staticmethod
    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))


class Space:
    """NumPy under the names that `common.reproducible` uses."""

    int32, int64, float64 = np.int32, np.int64, np.float64
    product, rint, matmul, concatenate = np.multiply, np.rint, np.matmul, np.concatenate

    @staticmethod
    def clip(x: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.minimum(np.maximum(x, low), high)

    @staticmethod
    def ldexp(x: np.ndarray, k: np.ndarray) -> np.ndarray:
        return np.ldexp(x, k.astype(np.int32))

    @staticmethod
    def block(x: np.ndarray) -> int:
        return 2**17  # they stay in the cache

    @staticmethod
    def cast(x: np.ndarray, dtype: type) -> np.ndarray:
        return x.astype(dtype, copy=False)

    @staticmethod
    def reach(x: np.ndarray, axis: int) -> np.ndarray:
        return np.maximum(x.max(axis=axis, keepdims=True), -x.min(axis=axis, keepdims=True))  # abs would copy x


class Reproducible:
    """What `common.reproducible` defines; the derivative of each is the backend's business."""

    product: Any = staticmethod(np.multiply)

    @staticmethod
    def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reproducible.dot(Space, a, b)

    @staticmethod
    def sigmoid(x: np.ndarray) -> np.ndarray:
        return reproducible.sigmoid(Space, x)
