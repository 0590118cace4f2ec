"""The interface that NumPy, PyTorch and JAX implement, and the laws every implementation obeys.

The network is a stack of fully connected sigmoid layers without bias, trained on the full batch:

    z = a_prev @ w          pre-activation  (N, fan_out)
    a = 1 / (1 + exp(-z))   activation      (N, fan_out)
    L = 1/2 sum (y - a)^2   loss of the last activation, a sum and not a mean

It is Andrew Trask's "A Neural Network in 11 lines of Python" (https://iamtrask.github.io/2015/07/12/basic-python-network/).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..common.problem import DTYPES as DTYPES

Array = Any
"""The backend's own kind: np.ndarray, torch.Tensor or jax.Array."""

Weights = tuple[Array, ...]
"""One (fan_in, fan_out) matrix per layer, first layer first."""

ARITHMETICS = ("native", "reproducible")


class LayerTrace(NamedTuple):
    """What one layer computes during one update, as NumPy arrays, in order of computation."""

    preactivation: np.ndarray
    """z = a_prev @ w, (N, fan_out)"""
    activation: np.ndarray
    """a = sigmoid(z), (N, fan_out)"""
    error: np.ndarray
    """-dL/da, (N, fan_out)"""
    delta: np.ndarray
    """-dL/dz, (N, fan_out)"""
    change: np.ndarray
    """-learning_rate * dL/dw, (fan_in, fan_out)"""


@dataclass(frozen=True)
class Backend(ABC):
    """One framework on one device, in one dtype, with one arithmetic.

    A backend is frozen and holds no weights. Every method is a function of its arguments and does not
    modify them. `x` is (N, inputs), `y` is (N, outputs), `lr` a Python float.

    No later call changes a result. A result may be read-only, and may share memory with an argument, as that of
    `train` does for n = 0.

    Laws, one function each in `equigrad.laws.laws`; what rounding may do is bounded there:

     1. round_trip             to_numpy(from_numpy(v)) is a copy of v with its bits and dtype
     2. calls_repeat           the same call gives the same bits, the second time and the tenth
     3. results_fit            every result has the kind, number, shapes, dtype and device that is stated here
     4. arguments_stay         no method changes its arguments
     5. prediction_is_exact    predict equals the referee's prediction
     6. gradient_is_exact      gradient equals the referee's gradient
     7. update_is_a_step       update == w - lr * gradient
     8. train_repeats_update   train(n) == n times update; train(0) changes nothing
     9. weights_are_exact      the weights after three updates equal the referee's
    10. long_training_is_exact the weights after thousands of updates, too
    11. trace_is_the_update    w + trace.change == update, and each quantity equals the referee's
    12. replay_is_the_trace    a trace replayed on itself is itself, where a backend has `replay`
    13. calls_are_independent  nothing is kept from one call to the next
    14. results_stay           a result that is held keeps its bits, whatever is called later
    15. layout_is_free         arguments may be transposed views, strided or read-only
    """

    device: str = "cpu"
    dtype: str = "float64"
    arithmetic: str = "native"

    name: ClassVar[str]
    compiles: ClassVar[bool] = False
    """Whether a new shape takes far longer than new numbers; the search then varies numbers more than shapes."""
    arithmetics: ClassVar[tuple[str, ...]] = ("native",)
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    """What it can compute in; nothing asks it for another."""

    def __post_init__(self) -> None:  # noqa: B027 - most have nothing to tell
        """Runs when a backend is made: for what its framework has to be told first."""

    @classmethod
    @abstractmethod
    def devices(cls) -> tuple[str, ...]:
        """The devices usable in this process, 'cpu' first."""

    @classmethod
    @abstractmethod
    def environment(cls) -> dict[str, Any]:
        """Version, threads and precision settings in force, for the passport."""

    @abstractmethod
    def from_numpy(self, array: np.ndarray) -> Array:
        """A copy of `array` on this device, in this dtype."""

    @abstractmethod
    def to_numpy(self, array: Array) -> np.ndarray:
        """A copy of `array` as NumPy, with the bits and dtype it has; waits until it is computed. May be read-only."""

    @abstractmethod
    def device_of(self, array: Array) -> str:
        """The device that holds `array`, spelt as `devices` spells it: 'cuda' for what JAX calls 'gpu'."""

    @abstractmethod
    def predict(self, weights: Weights, x: Array) -> Array:
        """The last layer's activation, (N, outputs)."""

    @abstractmethod
    def gradient(self, weights: Weights, x: Array, y: Array) -> Weights:
        """dL/dw, one matrix per layer, each of its weights' shape."""

    @abstractmethod
    def update(self, weights: Weights, x: Array, y: Array, lr: float) -> Weights:
        """w - lr * dL/dw, all layers from the same gradient."""

    @abstractmethod
    def train(self, weights: Weights, x: Array, y: Array, lr: float, n: int) -> Weights:
        """The weights after `n` updates; for n = 0 as they are. This loop is what the benchmarks time."""

    @abstractmethod
    def trace(self, weights: Weights, x: Array, y: Array, lr: float) -> tuple[LayerTrace, ...]:
        """Everything that one update computes, one LayerTrace per layer. Never timed."""

    @property
    def traced(self) -> tuple[str, ...]:
        """The fields of its traces that the backend computes itself; only these are tested."""
        return LayerTrace._fields

    @abstractmethod
    def synchronize(self, value: Any) -> Any:
        """`value`, once it is computed."""
