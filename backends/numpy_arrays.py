"""NumPy's arrays: where they are, how they come and go, which operations work on them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .interface import Backend
from .numpy_arithmetic import Native, Reproducible


class NumpyArrays(Backend):
    """What a NumPy backend is besides the lesson in numpy_backend.py."""

    name = "numpy"
    arithmetics = ("native", "reproducible")

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
        return {"version": np.__version__, "blas": config["Build Dependencies"]["blas"]["name"]}

    @cached_property
    def ops(self) -> Native | Reproducible:
        return Reproducible() if self.arithmetic == "reproducible" else Native()

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, dtype=self.dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array)

    def device_of(self, array: np.ndarray) -> str:
        return "cpu"

    def synchronize(self, value: Any) -> Any:
        return value
