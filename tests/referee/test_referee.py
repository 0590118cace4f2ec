"""The referee against derivatives by definition, and the opinions in float64 against the referee."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest

from equigrad.common.problem import problem
from equigrad.laws.laws import Network
from equigrad.laws.networks import FIXED, chosen
from equigrad.referee import exact as referee
from equigrad.referee.roundoff import bounds, doubt

pytestmark = pytest.mark.needs("flint")

NETWORKS = {network.name: network for network in chosen("float64") if network.name != "far beyond saturation"}
"""Beyond saturation exp overflows, and a difference quotient in 90 digits shows nothing of gradients of 1e-800."""


@pytest.fixture(params=NETWORKS, ids=lambda name: name.replace(" ", "-"))
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]


def by_definition(network: Network, layer: int, index: tuple[int, ...]) -> mpmath.mpf:
    """(L(w + h) - L(w - h)) / 2h with h = 1e-30 in 90 digits, one scalar operation at a time."""

    def loss(step: mpmath.mpf) -> mpmath.mpf:
        total = mpmath.mpf(0)
        for inputs, targets in zip(network.x.tolist(), network.y.tolist(), strict=True):
            a = [mpmath.mpf(v) for v in inputs]
            for i, w in enumerate(network.weights):
                moved = [[mpmath.mpf(v) for v in row] for row in w.tolist()]
                if i == layer:
                    moved[index[0]][index[1]] += step
                sums = [mpmath.fsum(v * row[j] for v, row in zip(a, moved, strict=True)) for j in range(w.shape[1])]
                a = [1 / (1 + mpmath.exp(-z)) for z in sums]
            total += mpmath.fsum((t - v) ** 2 for t, v in zip(targets, a, strict=True)) / 2
        return total

    with mpmath.workdps(90):
        h = mpmath.mpf(10) ** -30
        return (loss(h) - loss(-h)) / (2 * h)


def test_the_gradient_is_the_derivative_by_definition_to_thirty_digits(network: Network) -> None:
    exact = referee.gradient(network.weights, network.x, network.y)
    for layer, index in referee.elements(network.weights, 6):
        value, rest = exact[layer].value[index], exact[layer].rest[index]
        true = by_definition(network, layer, index)
        assert value == float(true)
        with mpmath.workdps(60):
            assert abs(mpmath.mpf(value) + mpmath.mpf(rest) - true) < 1e-30 * max(1, abs(true))


def test_every_part_of_a_layer_follows_from_the_others_by_the_chain_rule(network: Network) -> None:
    layers = referee.opened(network.weights, network.x, network.y)
    inputs = [network.x, *(layer.activation.value for layer in layers)]
    for (before, after), w, layer in zip(pairwise(inputs), network.weights, layers, strict=True):
        np.testing.assert_allclose(layer.preactivation.value, before @ w, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(after, 1 / (1 + np.exp(-layer.preactivation.value)), rtol=1e-12)
        slope = after * (1 - after)
        np.testing.assert_allclose(layer.delta.value, layer.error.value * slope, rtol=1e-9)
        np.testing.assert_allclose(layer.gradient.value, -before.T @ layer.delta.value, atol=1e-13)


def test_training_adds_up_exact_updates() -> None:
    network = NETWORKS["two-layer"]
    once = referee.train(network.weights, network.x, network.y, 0.25, 1)
    for new, w, g in zip(once, network.weights, referee.gradient(network.weights, network.x, network.y), strict=True):
        np.testing.assert_array_equal(new.value, w - 0.25 * g.value)
    none = referee.train(network.weights, network.x, network.y, 0.25, 0)
    assert all((n.value == w).all() and not n.rest.any() for n, w in zip(none, network.weights, strict=True))


def test_the_value_is_the_nearest_float64(network: Network) -> None:
    for exact in referee.gradient(network.weights, network.x, network.y):
        assert (np.abs(exact.rest) <= np.spacing(np.abs(exact.value)) / 2).all()


def test_the_error_of_a_neighbouring_number_is_one_ulp() -> None:
    exact = referee.Exact(np.array([1.0, 1.0]), np.array([0.0, 2.0**-54]))
    error = exact.error(np.nextafter(exact.value, 2))
    assert error.tolist() == [2.0**-52, 2.0**-52 - 2.0**-54]
    assert np.isnan(exact.error(np.array([np.nan, 1.0]))).tolist() == [True, False]


@pytest.mark.parametrize("seed", range(12))
def test_the_complex_step_agrees_with_the_referee(seed: int) -> None:
    network = FIXED[10 * seed].network("float64")
    places = referee.elements(network.weights)
    found = referee.complex_step(referee.perceptron_loss(network.x, network.y), network.weights, places)
    allowed = bounds(network.weights, network.x, network.y, "float64")
    for slope, (layer, index) in zip(found, places, strict=True):
        true = network.exact[layer].gradient.value[index]
        assert abs(slope - true) <= 4 * allowed[layer].gradient.bound[index]


@pytest.mark.parametrize(("dtype", "best", "step"), [("float64", 1e-9, 1e-5), ("float32", 2e-3, 1e-2)])
def test_central_differences_draw_a_v_over_the_step_size(dtype: str, best: float, step: float) -> None:
    task = problem("two-layer")
    curve = referee.curve(task.first_weights(), task.inputs, task.targets, dtype)
    errors = [point.central for point in curve.points]
    lowest = errors.index(min(errors))
    assert min(errors) < best
    assert step / 10 < curve.best.step < step * 10
    assert errors[0] > 100 * min(errors) or dtype == "float32"
    assert errors[-1] > 100 * min(errors)
    assert all(a > b for a, b in pairwise(errors[: lowest - 1]))  # truncation: smooth, falling
    assert curve.complex_step < 1e-14
    assert all(point.forward > curve.best.central for point in curve.points)


def test_elements_are_spread_evenly_and_complete() -> None:
    arrays = [np.zeros((2, 2)), np.zeros((1, 3))]
    assert len(referee.elements(arrays)) == 7
    assert referee.elements(arrays, 3) == [(0, (0, 0)), (0, (1, 1)), (1, (0, 2))]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        referee.gradient([np.array([[bad]])], np.ones((1, 1)), np.ones((1, 1)))


def test_a_difference_is_divided_by_the_step_as_it_was_rounded() -> None:
    arrays = [np.array([1.0, 3.0], np.float32)]
    slopes = referee.differences(lambda a: a[0][0], arrays, referee.elements(arrays)[:1], 1e-3, central=False)
    assert slopes.tolist() == [1.0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("number", range(0, len(FIXED), 7))
def test_the_cheap_reference_is_as_near_the_exact_values_as_it_says(number: int, dtype: str) -> None:
    network = FIXED[number].network(dtype)
    if network.work > 20_000:
        pytest.skip("too large for the exact referee")
    for exact, bounded in zip(network.exact, network.bounds, strict=True):
        for name, truth, known in zip(exact._fields, exact, bounded, strict=True):
            near = known.bound * doubt(dtype) + np.abs(truth.value) * 2**-60
            off = np.abs((known.value - truth.value) - truth.rest)
            assert (off <= near).all(), name


def test_training_is_as_near_the_exact_weights_as_it_says() -> None:
    network = NETWORKS["square"]
    exact = referee.train(network.weights, network.x, network.y, network.lr, 3)
    for truth, known in zip(exact, network.after(3), strict=True):
        assert (np.abs((known.truth.value - truth.value) - truth.rest) <= known.bound * doubt("float64") + 1e-18).all()
