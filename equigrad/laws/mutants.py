"""Deliberately wrong backends, each with the law that catches it: a check that cannot fail proves nothing.

Every mutant is the NumPy backend with one mistake that people make. They are test material, never for use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..backends.interface import DTYPES, LayerTrace, Weights
from ..backends.numpy_backend import NumpyBackend


class Mutant(NumpyBackend):
    """A NumPy backend with a mistake: the class's docstring says which."""

    law: ClassVar[str]
    """The law that must catch it."""
    wrong_in: ClassVar[tuple[str, ...]] = DTYPES
    """In which dtypes it is a mistake: float64 alone where float32 rounds more than it is wrong by."""
    crashes: ClassVar[bool] = False
    """Whether the mistake is an error that is raised; others must show as a wrong result."""


MUTANTS: dict[str, type[Mutant]] = {}
"""Every mutant under its name."""


def breaks(law: str) -> Callable[[type[Mutant]], type[Mutant]]:
    def register(mutant: type[Mutant]) -> type[Mutant]:
        mutant.law = law
        mutant.name = (mutant.__doc__ or "").rstrip(".")
        MUTANTS[mutant.name] = mutant
        return mutant

    return register


def of_gradient(name: str, change: Callable[..., Weights], law: str = "gradient_is_exact") -> None:
    """Register a mutant whose gradient is `change(backend, gradient, weights, x, y)` of the right one."""

    class Changed(Mutant):
        def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
            return change(self, super().gradient(weights, x, y), weights, x, y)

    Changed.__doc__ = name
    breaks(law)(Changed)


def of_slope(name: str, slope: Callable[[np.ndarray], np.ndarray]) -> None:
    """Register a mutant whose sigmoid's slope is `slope(a)`."""

    class Sloped(Mutant):
        def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
            return backwards(self.activations(weights, x), weights, y, slope, [w.T for w in weights])

    Sloped.__doc__ = name
    breaks("gradient_is_exact")(Sloped)


def backwards(
    layers: list[np.ndarray],
    weights: Weights,
    y: Any,
    slope: Callable[[np.ndarray], np.ndarray],
    returns: list[np.ndarray],
) -> Weights:
    """Backpropagation with the slope and the way back (`returns`) left open."""
    error, gradient = y - layers[-1], []
    for i in reversed(range(len(weights))):
        delta = error * slope(layers[i + 1])
        gradient.append(-layers[i].T @ delta)
        error = delta @ returns[i]
    return tuple(reversed(gradient))


def rounded(array: np.ndarray, bits: int) -> np.ndarray:
    """`array` with a significand of that many bits."""
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits).astype(array.dtype)


def poked(gradient: Weights, change: Callable[[float], float]) -> Weights:
    """`gradient` with its single largest element changed."""
    copies = [g.copy() for g in gradient]
    largest = max(copies, key=lambda g: np.abs(g).max())
    place = np.unravel_index(np.abs(largest).argmax(), largest.shape)
    largest[place] = change(largest[place])
    return tuple(copies)


def narrow(w: Weights, x: Any, y: Any) -> tuple[Weights, Any, Any]:
    """The same numbers in float32."""
    return tuple(v.astype(np.float32) for v in w), x.astype(np.float32), y.astype(np.float32)


def every(change: Callable[[Any], Any]) -> Callable[..., Weights]:
    return lambda _, gradient, *rest: tuple(map(change, gradient))


of_gradient("the gradient has the wrong sign", every(lambda g: -g))
of_gradient("the loss lacks its 1/2", every(lambda g: 2 * g))
of_gradient("the loss is a mean, not a sum", lambda b, g, w, x, y: tuple(v / len(x) for v in g))
of_gradient("the gradient is wrong by 0.05 %", every(lambda g: g * g.dtype.type(1.0005)))
of_gradient("the gradient is rounded to float32 on the way", every(lambda g: np.float32(g).astype(g.dtype)))
of_gradient("the gradient is rounded to 11 bits, like TF32", every(lambda g: rounded(g, 11)))
of_gradient("one element is wrong by 1e-9", lambda b, g, *_: poked(g, lambda v: v * (1 + 1e-9)))
of_gradient("one element is NaN", lambda b, g, *_: poked(g, lambda v: np.nan))
of_gradient("one element is infinite", lambda b, g, *_: poked(g, lambda v: np.inf))
of_gradient("the gradient is all zeros", every(np.zeros_like))
of_gradient("the gradient is clipped at 0.1", every(lambda g: g.clip(-0.1, 0.1)))
of_gradient("square gradients are transposed", every(lambda g: g.T if g.shape[0] == g.shape[1] else g))
of_gradient(
    "layers of one shape are swapped",
    lambda b, g, *_: g[::-1] if len({v.shape for v in g}) == 1 else g,
)
of_gradient(
    "the first layers are detached",
    lambda b, g, *_: (*(np.zeros_like(v) for v in g[:-1]), g[-1]),
)
of_gradient(
    "the last sample is left out",
    lambda b, g, w, x, y: NumpyBackend.gradient(b, w, x[:-1], y[:-1]),
)
of_gradient(
    "the first sample counts twice",
    lambda b, g, w, x, y: NumpyBackend.gradient(b, w, np.vstack([x[:1], x]), np.vstack([y[:1], y])),
)
of_gradient(
    "inputs are reduced to 11 bits before the products, like TF32",
    lambda b, g, w, x, y: NumpyBackend.gradient(b, tuple(rounded(v, 11) for v in w), rounded(x, 11), y),
)
of_gradient(
    "the gradient is computed in float32",
    lambda b, g, w, x, y: tuple(v.astype(x.dtype) for v in NumpyBackend.gradient(b, *narrow(w, x, y))),
)
of_gradient("the gradient comes as a list", lambda b, g, *_: list(g), "results_fit")  # type: ignore[arg-type]
of_gradient("the gradient is one vector a layer", every(np.ravel), "results_fit")
of_gradient("the gradient is transposed", every(np.transpose), "results_fit")
of_gradient("the gradient is cut to integers", every(lambda g: g.astype(np.int64)), "results_fit")
of_gradient("the gradient is float32", every(np.float32), "results_fit")
of_gradient("one layer's gradient is missing", lambda b, g, *_: g[1:], "results_fit")
of_gradient(
    "the gradient carries noise in its last bits",
    every(
        lambda g: g * (1 + 8 * np.finfo(g.dtype).eps * np.random.default_rng().choice([-1, 1], g.shape).astype(g.dtype))
    ),
    "calls_repeat",
)

of_slope("the sigmoid's slope is left out", np.ones_like)
of_slope("the slope is a (1 + a)", lambda a: a * (1 + a))
of_slope("the slope is 1 - a^2, the one of tanh", lambda a: 1 - a * a)
of_slope("the slope is taken of the activation", lambda a: 1 / (2 + np.exp(a) + np.exp(-a)))
of_slope("saturated units get no gradient", lambda a: np.where(np.abs(a - 0.5) > 0.49, 0, a * (1 - a)))


@breaks("gradient_is_exact")
class WrongWayBack(Mutant):
    """errors return through ones, not through the weights."""

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        ones = [np.ones_like(w.T) for w in weights]
        return backwards(self.activations(weights, x), weights, y, lambda a: a * (1 - a), ones)


@breaks("gradient_is_exact")
class Differences(Mutant):
    """the gradient comes from central differences."""

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        from ..referee.exact import differences, elements, perceptron_loss

        flat = differences(perceptron_loss(x, y), weights, elements(weights), 1e-5)
        ends = np.cumsum([w.size for w in weights])[:-1]
        return tuple(g.reshape(w.shape) for g, w in zip(np.split(flat, ends), weights, strict=True))


@breaks("calls_repeat")
class Accumulated(Mutant):
    """gradients add up over the calls."""

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        kept = self.__dict__.setdefault("kept", {})
        new = super().gradient(weights, x, y)
        key = tuple(g.shape for g in new)
        kept[key] = tuple(a + b for a, b in zip(kept.get(key, [0] * len(new)), new, strict=True))
        return kept[key]


@breaks("calls_are_independent")
class StaleData(Mutant):
    """the data of the first call stay in the compiled program."""

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        kept = self.__dict__.setdefault("kept", {})
        shapes = (x.shape, *(w.shape for w in weights))
        return super().gradient(weights, *kept.setdefault(shapes, (x.copy(), y.copy())))


@breaks("calls_are_independent")
class StaleRate(Mutant):
    """the learning rate of the first call stays in the compiled program."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        kept = self.__dict__.setdefault("kept", {})
        return super().update(weights, x, y, kept.setdefault(tuple(w.shape for w in weights), lr))


@breaks("update_is_a_step")
class HiddenAfterOutput(Mutant):
    """the hidden delta uses the output weights from after their update."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        done: list[Any] = list(weights)
        for i in reversed(range(len(done))):
            done[i] = done[i] - lr * self.gradient(tuple(done), x, y)[i]
        return tuple(done)


@breaks("update_is_a_step")
class RateOff(Mutant):
    """the learning rate is off by 1e-6."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, lr * (1 + 1e-6))


@breaks("update_is_a_step")
class Decay(Mutant):
    """weights decay by 1e-9 an update."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w * (1 - 1e-9) for w in super().update(weights, x, y, lr))


@breaks("update_is_a_step")
class Ascent(Mutant):
    """the update climbs."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, -lr)


@breaks("train_repeats_update")
class OneShort(Mutant):
    """training is one update short."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n - 1)


@breaks("train_repeats_update")
class OneLong(Mutant):
    """training is one update long."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n + 1)


@breaks("train_repeats_update")
class TrainingRateOff(Mutant):
    """the learning rate is off by 1e-6 in the training loop alone."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr * (1 + 1e-6), n)


@breaks("train_repeats_update")
class Momentum(Mutant):
    """training has momentum."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        velocity: list[Any] = [0] * len(weights)
        for _ in range(n):
            gradient = self.gradient(weights, x, y)
            velocity = [0.9 * v + g for v, g in zip(velocity, gradient, strict=True)]
            weights = tuple(w - lr * v for w, v in zip(weights, velocity, strict=True))
        return weights


@breaks("train_repeats_update")
class SampleBySample(Mutant):
    """training updates after every sample."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            for i in range(len(x)):
                weights = self.update(weights, x[i : i + 1], y[i : i + 1], lr)
        return weights


@breaks("arguments_stay")
class WeightsInPlace(Mutant):
    """the update happens in the caller's weights."""

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        for w, g in zip(weights, self.gradient(weights, x, y), strict=True):
            w -= lr * g
        return weights


@breaks("arguments_stay")
class DataInPlace(Mutant):
    """training shuffles the caller's samples."""

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        weights = super().train(weights, x, y, lr, n)
        x[:], y[:] = x[::-1].copy(), y[::-1].copy()
        return weights


@breaks("round_trip")
class NoCopyIn(Mutant):
    """from_numpy keeps the caller's array."""

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return array


@breaks("round_trip")
class NoCopyOut(Mutant):
    """to_numpy hands out its own array."""

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return array


@breaks("round_trip")
class ThroughFloat32(Mutant):
    """the way in goes through float32."""

    def from_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, np.float32).astype(self.dtype)


@breaks("round_trip")
class PositiveZero(Mutant):
    """-0 comes back as +0."""

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return array + 0.0


@breaks("results_fit")
class ElsewhereResult(Mutant):
    """results are left on another device."""

    def device_of(self, array: Any) -> str:
        return "cuda"


@breaks("results_fit")
class WideResult(Mutant):
    """predictions come in another dtype."""

    def predict(self, weights: Weights, x: Any) -> np.ndarray:
        return super().predict(weights, x).astype("float32" if self.dtype == "float64" else "float64")


@breaks("results_fit")
class NoTrace(Mutant):
    """trace is not written yet."""

    crashes = True

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        raise NotImplementedError("trace")


@breaks("prediction_is_exact")
class Constant(Mutant):
    """every prediction is 1/2."""

    def predict(self, weights: Weights, x: Any) -> np.ndarray:
        return np.full_like(super().predict(weights, x), 0.5)


@breaks("prediction_is_exact")
class LastLayerLinear(Mutant):
    """the last layer lacks its sigmoid."""

    def predict(self, weights: Weights, x: Any) -> np.ndarray:
        return self.activations(weights[:-1], x)[-1] @ weights[-1]


@breaks("prediction_is_exact")
class Offset(Mutant):
    """predictions are off by 1e-12."""

    def predict(self, weights: Weights, x: Any) -> np.ndarray:
        return super().predict(weights, x) + x.dtype.type(1e-12)


@breaks("trace_is_the_update")
class TraceSign(Mutant):
    """the trace shows the error with the other sign."""

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return tuple(t._replace(error=-t.error) for t in super().trace(weights, x, y, lr))


@breaks("trace_is_the_update")
class TraceWithoutRate(Mutant):
    """the trace's change forgets the learning rate."""

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return super().trace(weights, x, y, 1.0)


@breaks("trace_is_the_update")
class TraceTooLate(Mutant):
    """the trace shows the update after the one asked for."""

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return super().trace(self.update(weights, x, y, lr), x, y, lr)


FLOAT64_ALONE = (
    "the gradient is rounded to float32 on the way",
    "one element is wrong by 1e-9",
    "the gradient is computed in float32",
    "the gradient is float32",
    "the learning rate is off by 1e-6",
    "weights decay by 1e-9 an update",
    "the learning rate is off by 1e-6 in the training loop alone",
    "the way in goes through float32",
    "predictions are off by 1e-12",
)
"""Mistakes that float32 cannot show: they are smaller than its rounding, or they are what float32 is."""
for _name in FLOAT64_ALONE:
    MUTANTS[_name].wrong_in = ("float64",)
