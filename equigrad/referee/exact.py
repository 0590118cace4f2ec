"""The neutral referee: the gradient in 50-digit arithmetic, and two cheaper opinions in float64.

The backends differentiate backwards, by hand or by autograd. The referee works forwards: it pushes the
derivative with respect to one unit's pre-activation through the layers that follow, takes the sigmoid's
slope from 1 / (2 + exp(z) + exp(-z)) rather than from a (1 - a), and never forms a backward delta. A
mistake in the common formula has no second home here.

Arithmetic: Arb's balls through python-flint, which carry a proven error radius and measured 16 times
faster than mpmath for a scalar multiply-add, 90 times for a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import UsageError, needed

DIGITS = 50


class Exact(NamedTuple):
    """Numbers to twice the digits of float64, as an unevaluated sum."""

    value: np.ndarray
    """The nearest float64."""
    rest: np.ndarray
    """What `value` leaves out, at most half an ULP of it; float64."""

    def error(self, got: np.ndarray) -> np.ndarray:
        """|got - exact|, element by element, in float64; NaN where `got` is NaN."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.abs((got.astype(np.float64) - self.value) - self.rest)


class ExactLayer(NamedTuple):
    """What one layer holds, with the signs of `LayerTrace` and without a learning rate."""

    preactivation: Exact
    activation: Exact
    error: Exact
    delta: Exact
    gradient: Exact
    """+dL/dw, (fan_in, fan_out)"""


@cache
def _flint() -> Any:
    with needed("flint", extra="check", why="the referee needs python-flint"):
        import flint
    return flint


def ready() -> None:
    """Raise MissingError without python-flint."""
    _flint()


def opened(weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[ExactLayer, ...]:
    """Everything about one forward and one derivative, exact to 30 digits or more.

    `weights` are (fan_in, fan_out) matrices, first layer first, x is (N, inputs), y is (N, outputs); their
    float64 or float32 values are taken as they are. Raises ValueError for values that are not finite,
    UsageError should the error radius ever reach the 30th digit, MissingError without python-flint.
    """
    with _flint().ctx.workdps(DIGITS):
        return tuple(ExactLayer(*map(_exact, layer)) for layer in _opened([_arb(w) for w in weights], x, y))


def gradient(weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[Exact, ...]:
    """dL/dw, one matrix per layer. Arguments and errors as for `opened`."""
    return tuple(layer.gradient for layer in opened(weights, x, y))


def train(weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, lr: float, n: int) -> tuple[Exact, ...]:
    """The weights after n updates, rounded only at the end. Meant for a few updates: the cost is n gradients."""
    flint = _flint()
    with flint.ctx.workdps(DIGITS):
        ws = [_arb(w) for w in weights]
        for _ in range(n):
            ws = [w - flint.arb(lr) * layer[-1] for w, layer in zip(ws, _opened(ws, x, y), strict=True)]
        return tuple(map(_exact, ws))


def _opened(ws: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """(z, a, -dL/da, -dL/dz, dL/dw) of each layer, as object arrays of balls."""
    zs, layers = [], [_arb(x)]
    for w in ws:
        zs.append(_product(layers[-1], w))
        layers.append(_each(lambda z: 1 / (1 + (-z).exp()), zs[-1]))
    slopes = [_each(lambda z: 1 / (2 + z.exp() + (-z).exp()), z) for z in zs]
    error: Any = _arb(y) - layers[-1]
    result: list[tuple[np.ndarray, ...]] = []
    for i, (z, w) in enumerate(zip(zs, ws, strict=True)):
        delta = np.empty(z.shape, object)
        for unit in range(w.shape[1]):
            units = slice(unit, unit + 1)  # dz = 1 in this unit of every sample; where da is not zero
            tangent = slopes[i][:, units]
            for later, slope in zip(ws[i + 1 :], slopes[i + 1 :], strict=True):
                tangent = slope * _product(tangent, later[units])
                units = slice(None)
            delta[:, unit] = (error[:, units] * tangent).sum(axis=1)
        result.append((z, layers[i + 1], delta / slopes[i], delta, -_product(layers[i].T, delta)))
    return result


def _arb(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("the referee needs finite numbers")
    return _each(lambda v: _flint().arb(float(v)), values)


def _each(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray:
    return np.frompyfunc(function, 1, 1)(values)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    matrix = _flint().arb_mat
    return np.array((matrix(a.tolist()) * matrix(b.tolist())).tolist(), object)


def _exact(balls: np.ndarray) -> Exact:
    scale = max((abs(float(v)) for v in balls.flat), default=0.0)
    if any(not v.is_finite() or float(v.rad()) > 1e-30 * scale for v in balls.flat):
        raise UsageError(f"{DIGITS} digits are too few to check numbers as large as these: scale the data")
    value = _each(float, balls).astype(np.float64)
    rest = [float(v.mid() - _flint().arb(float(v))) for v in balls.flat]
    return Exact(value, np.array(rest).reshape(balls.shape))


Loss = Callable[[list[np.ndarray]], Any]
"""A scalar function of a list of arrays."""


def perceptron_loss(x: np.ndarray, y: np.ndarray) -> Loss:
    """L(weights) for real or complex weights: 1/2 sum (y - a)^2 without conjugation, hence analytic."""

    def loss(weights: list[np.ndarray]) -> Any:
        a = x
        with np.errstate(over="ignore", invalid="ignore"):
            for w in weights:
                z = a @ w
                left = z.real < 0
                e = np.exp(np.where(left, z, -z))  # never infinite
                a = np.where(left, e, 1) / (1 + e)
            return (0.5 * (y - a) * (y - a)).sum()  # halved first: half of a complex infinity is NaN

    return loss


ElementIndex = tuple[int, tuple[int, ...]]
"""Which array, and where in it."""


def elements(arrays: Sequence[np.ndarray], most: int | None = None) -> list[ElementIndex]:
    """Every element's place, or at most `most` of them, spread evenly."""
    places = [(i, index) for i, array in enumerate(arrays) for index in np.ndindex(array.shape)]
    if most is None or len(places) <= most:
        return places
    return [places[k] for k in np.linspace(0, len(places) - 1, most).astype(int)]


def complex_step(loss: Loss, arrays: Sequence[np.ndarray], places: Sequence[ElementIndex]) -> np.ndarray:
    """dL at each place as Im L(w + ih) / h with h = 1e-200: no subtraction, so no cancellation.

    Good to rounding for analytic functions only. W. Squire and G. Trapp, SIAM Review 40, 1998.
    """
    point = [np.array(a, np.complex128) for a in arrays]
    result = []
    for i, index in places:
        kept = point[i][index]
        point[i][index] = kept + 1e-200j
        result.append(np.imag(loss(point)) / 1e-200)
        point[i][index] = kept
    return np.array(result, np.float64)


def differences(
    loss: Loss, arrays: Sequence[np.ndarray], places: Sequence[ElementIndex], step: float, *, central: bool = True
) -> np.ndarray:
    """dL at each place as (L(w + h) - L(w - h)) / 2h, or (L(w + h) - L(w)) / h, in the arrays' dtype."""
    return _quotients(loss, arrays, places, step)[int(central)]


def _quotients(
    loss: Loss, arrays: Sequence[np.ndarray], places: Sequence[ElementIndex], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Forward and central differences at each place, which share L(w + h); L(w) is the same for all."""
    point = [np.array(a) for a in arrays]
    here = loss(point)
    forward: list[Any] = []
    central: list[Any] = []
    for i, index in places:
        kept = point[i][index]
        up = point[i][index] = kept + point[i].dtype.type(step)
        high = loss(point)
        down = point[i][index] = kept - point[i].dtype.type(step)
        low = loss(point)
        point[i][index] = kept
        for found, below, other in ((forward, here, kept), (central, low, down)):
            width = up - other  # what h became when it was added and rounded
            with np.errstate(invalid="ignore"):  # infinite here and there
                found.append((high - below) / width if width else np.nan)
    return np.array(forward, np.float64), np.array(central, np.float64)


class CurvePoint(NamedTuple):
    """Largest error of the difference quotients at one step size, relative to the largest derivative."""

    step: float
    forward: float
    central: float


class Curve(NamedTuple):
    """The V that difference quotients draw over the step size, and the line complex steps draw."""

    dtype: str
    elements: int
    """How many weights it was measured at."""
    points: tuple[CurvePoint, ...]
    complex_step: float
    """The complex step's largest relative error, in float64 whatever `dtype` is."""

    @property
    def best(self) -> CurvePoint:
        """Where central differences err least."""
        return min(self.points, key=lambda point: point.central)


def curve(
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    dtype: str = "float64",
    most: int = 24,
    exact: Sequence[Exact] | None = None,
) -> Curve:
    """Difference quotients against the exact gradient, two step sizes a decade from 0.1 down to rounding.

    Too large a step leaves the third derivative in, too small a one leaves only rounding error; `most`
    bounds the number of weights looked at. `exact` is the gradient there, for who has it already.
    """
    weights, x, y = [w.astype(dtype) for w in weights], x.astype(dtype), y.astype(dtype)
    exact, places, loss = exact or gradient(weights, x, y), elements(weights, most), perceptron_loss(x, y)
    truth = np.array([exact[i].value[index] for i, index in places])
    scale = np.abs(truth).max() or 1.0

    def worst(found: np.ndarray) -> float:
        return float(np.abs(found - truth).max() / scale)

    decades = 15 if dtype == "float64" else 7
    points = []
    for k in range(2, 2 * decades + 1):
        step = 10.0 ** (-k / 2)
        points.append(CurvePoint(step, *map(worst, _quotients(loss, weights, places, step))))
    wide = perceptron_loss(x.astype(float), y.astype(float))
    return Curve(dtype, len(places), tuple(points), worst(complex_step(wide, weights, places)))
