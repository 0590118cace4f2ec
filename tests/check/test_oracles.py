"""Oracles that nobody here wrote: other people's gradient checkers, and other people's engines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, cast

import numpy as np
import pytest

from equigrad.backends.interface import ARITHMETICS, Backend
from equigrad.laws.laws import Network
from equigrad.laws.networks import chosen
from length import at_length

Ready = Callable[..., Backend]
NETWORKS = {network.name: network for network in chosen("float64")}
NAMES = ("two-layer", "square", "long sums")


@pytest.fixture(
    params=[NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])],
    ids=lambda name: name.replace(" ", "-"),
)
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_torchs_gradcheck_passes_our_network(network: Network, arithmetic: str, ready: Ready) -> None:
    backend: Any = ready("torch", "float64", arithmetic)
    import torch

    weights = tuple(backend.from_numpy(w).requires_grad_() for w in network.weights)
    x, y = backend.from_numpy(network.x), backend.from_numpy(network.y)

    def loss(*weights: Any) -> Any:
        return ((y - backend.predict(weights, x)) ** 2).sum() / 2

    # Far below gradcheck's defaults, which let a gradient through that is wrong by 0.1 %.
    assert torch.autograd.gradcheck(loss, weights, eps=1e-5, atol=1e-9, rtol=1e-7)


@pytest.mark.slow(but=["two-layer-native"])
@pytest.mark.parametrize(
    ("name", "arithmetic"),
    at_length([*product(NAMES, ARITHMETICS)], short=[("two-layer", "native"), ("long sums", "reproducible")]),
)
def test_jaxs_check_grads_passes_our_network(name: str, arithmetic: str, ready: Ready) -> None:
    network, backend = NETWORKS[name], cast(Any, ready("jax", "float64", arithmetic))
    import jax
    from jax.test_util import check_grads

    with jax.enable_x64(True):
        weights = tuple(backend.from_numpy(w) for w in network.weights)
        x, y = backend.from_numpy(network.x), backend.from_numpy(network.y)
        loss = jax.jit(lambda weights: ((y - backend.predict(weights, x)) ** 2).sum() / 2)
        check_grads(loss, (weights,), order=1, modes=["rev"], eps=1e-5, atol=1e-8, rtol=1e-6)


def test_jaxs_check_grads_passes_the_sigmoid_in_both_modes(ready: Ready) -> None:
    backend: Any = ready("jax", "float64", "reproducible")
    import jax
    from jax.test_util import check_grads

    with jax.enable_x64(True):
        z = backend.from_numpy(np.linspace(-8, 8, 9))
        check_grads(jax.jit(backend.ops.sigmoid), (z,), order=1, modes=["fwd", "rev"], eps=1e-5, atol=1e-8, rtol=1e-6)


def test_torchs_gradcheck_catches_a_wrong_rule(ready: Ready) -> None:
    ready("torch")
    import torch

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(s := torch.sigmoid(x))
            return s

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (s,) = ctx.saved_tensors
            return g * s * (1 + s)

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(Wrong.apply, torch.linspace(-2, 2, 5, dtype=torch.float64, requires_grad=True))


@pytest.mark.needs("autograd")
@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_hips_autograd_finds_the_same_gradient(network: Network, spec: str, ready: Ready) -> None:
    import autograd.numpy as anp
    from autograd import grad

    def loss(weights: Any) -> Any:
        a = network.x
        for w in weights:
            a = 0.5 * (anp.tanh(0.5 * anp.dot(a, w)) + 1)  # the sigmoid by another formula
        return 0.5 * anp.sum((network.y - a) ** 2)

    backend = ready(spec)
    found = backend.gradient(
        tuple(map(backend.from_numpy, network.weights)), backend.from_numpy(network.x), backend.from_numpy(network.y)
    )
    for ours, theirs in zip(found, grad(loss)(network.weights), strict=True):
        np.testing.assert_allclose(backend.to_numpy(ours), theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.needs("sklearn")
@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_scikit_learn_takes_the_same_step(network: Network, spec: str, ready: Ready) -> None:
    """MLPRegressor has our hidden layers, but a linear output z and 1/2 (z - t)^2, so that its output delta is z - t.

    With targets t = z - (a - y) a (1 - a) that delta is ours, and so must be every layer's gradient.
    """
    from sklearn.neural_network import MLPRegressor

    hidden = [w.shape[1] for w in network.weights[:-1]]
    plain = {"solver": "sgd", "alpha": 0.0, "momentum": 0.0, "learning_rate_init": 1.0, "batch_size": len(network.x)}
    theirs = MLPRegressor(hidden_layer_sizes=hidden, activation="logistic", **plain)
    flat = network.y.shape[1] == 1
    theirs.partial_fit(network.x, network.y.ravel() if flat else network.y)  # lays out its arrays
    theirs.coefs_ = [w.copy() for w in network.weights]
    theirs.intercepts_ = [np.zeros(w.shape[1]) for w in network.weights]
    z = theirs.predict(network.x).reshape(network.y.shape)
    a = 1 / (1 + np.exp(-z))
    targets = z - (a - network.y) * a * (1 - a)
    theirs.partial_fit(network.x, targets.ravel() if flat else targets)
    backend = ready(spec)
    found = backend.gradient(
        tuple(map(backend.from_numpy, network.weights)), backend.from_numpy(network.x), backend.from_numpy(network.y)
    )
    for ours, w, moved in zip(found, network.weights, theirs.coefs_, strict=True):
        np.testing.assert_allclose(backend.to_numpy(ours), (w - moved) * len(network.x), rtol=1e-9, atol=1e-13)
