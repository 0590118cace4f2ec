"""What people run today for the same update, each as its own documentation would have it."""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np

from ...common.errors import MissingError
from ..workload import Arrays, Loop, Unsuitable, Workload


def trask(workload: Workload) -> Loop:
    """A straight script in the manner of the post: two or four named arrays, nothing saved, nothing shared."""
    if workload.rate != 1 or len(workload.weights) > 2:
        raise Unsuitable("the script has a learning rate of 1 and one or two layers")
    x, y = workload.x, workload.y

    def nonlin(v: np.ndarray, slope: bool = False) -> np.ndarray:
        if slope:
            return v * (1 - v)
        return 1 / (1 + np.exp(-v))

    def one(n: int) -> Arrays:
        w = workload.weights[0].copy()
        for _ in range(n):
            out = nonlin(np.dot(x, w))
            out_delta = (y - out) * nonlin(out, True)
            w += np.dot(x.T, out_delta)
        return (w,)

    def two(n: int) -> Arrays:
        w1, w2 = (w.copy() for w in workload.weights)
        for _ in range(n):
            hidden = nonlin(np.dot(x, w1))
            out = nonlin(np.dot(hidden, w2))
            out_delta = (y - out) * nonlin(out, True)
            hidden_error = out_delta.dot(w2.T)
            hidden_delta = hidden_error * nonlin(hidden, True)
            w2 += hidden.T.dot(out_delta)
            w1 += x.T.dot(hidden_delta)
        return (w1, w2)

    return one if len(workload.weights) == 1 else two


def torch_nn(workload: Workload) -> Loop:
    """nn.Linear, nn.Sigmoid, a loss, optim.SGD: zero_grad, backward, step."""
    import torch
    from torch import nn

    x, y = torch.tensor(workload.x), torch.tensor(workload.y)
    stack: list[nn.Module] = []
    for fan_in, fan_out in zip(workload.layers, workload.layers[1:], strict=False):
        stack += [nn.Linear(fan_in, fan_out, bias=False, dtype=x.dtype), nn.Sigmoid()]
    model = nn.Sequential(*stack)
    optimizer = torch.optim.SGD(model.parameters(), lr=workload.rate)
    loss_function = nn.MSELoss(reduction="sum")

    def run(n: int) -> Arrays:
        with torch.no_grad():
            for parameter, w in zip(model.parameters(), workload.weights, strict=True):
                parameter.copy_(torch.tensor(w.T))
        for _ in range(n):
            optimizer.zero_grad()
            loss = loss_function(model(x), y) / 2
            loss.backward()
            optimizer.step()
        return tuple(p.detach().numpy().T for p in model.parameters())

    return run


def hips_autograd(workload: Workload) -> Loop:
    """HIPS autograd, which records NumPy's own operations."""
    import autograd.numpy as anp
    from autograd import grad

    def loss(weights: list[np.ndarray]) -> Any:
        a = workload.x
        for w in weights:
            a = 1 / (1 + anp.exp(-anp.dot(a, w)))
        return anp.sum((workload.y - a) ** 2) / 2

    gradient = grad(loss)

    def run(n: int) -> Arrays:
        weights = list(workload.weights)
        for _ in range(n):
            weights = [w - workload.rate * g for w, g in zip(weights, gradient(weights), strict=True)]
        return tuple(weights)

    return run


def keras(workload: Workload) -> Loop:
    """Keras 3, train_on_batch; KERAS_BACKEND says on what."""
    import keras
    from keras import layers

    keras.config.set_floatx(workload.dtype)
    product = keras.backend.standardize_dtype(keras.ops.matmul(workload.x, workload.weights[0]).dtype)
    if product != workload.dtype:
        on = keras.backend.backend()
        raise Unsuitable(f"Keras {keras.__version__} on {on} multiplies {workload.dtype} matrices in {product}")
    stack = [layers.Dense(w.shape[1], activation="sigmoid", use_bias=False) for w in workload.weights]
    model = keras.Sequential([layers.Input((workload.layers[0],)), *stack])
    model.compile(
        optimizer=keras.optimizers.SGD(workload.rate), loss=lambda y, a: keras.ops.sum(keras.ops.square(y - a)) / 2
    )

    def run(n: int) -> Arrays:
        model.set_weights(list(workload.weights))
        for _ in range(n):
            model.train_on_batch(workload.x, workload.y)
        return tuple(model.get_weights())

    return run


def tinygrad(workload: Workload) -> Loop:
    """tinygrad, one update under TinyJit."""
    from tinygrad import Device, Tensor, TinyJit

    if shutil.which(os.environ.get("CC", "clang")) is None:
        raise MissingError("tinygrad compiles with clang, which is not installed")
    if Device.DEFAULT != "CPU":
        raise Unsuitable(f"tinygrad would compute on {Device.DEFAULT}")
    x, y = Tensor(workload.x).realize(), Tensor(workload.y).realize()
    weights = [Tensor(w).realize() for w in workload.weights]

    @TinyJit
    def step() -> None:
        a = x
        for w in weights:
            a = (a @ w).sigmoid()
        gradient = (((y - a) ** 2).sum() / 2).gradient(*weights)
        new = [(w - workload.rate * g).contiguous() for w, g in zip(weights, gradient, strict=True)]
        Tensor.realize(*(w.assign(v) for w, v in zip(weights, new, strict=True)))

    def run(n: int) -> Arrays:
        Tensor.realize(*(w.assign(Tensor(f)) for w, f in zip(weights, workload.weights, strict=True)))
        for _ in range(n):
            step()
        return tuple(w.numpy() for w in weights)

    return run


def numba(workload: Workload) -> Loop:
    """The update by hand as loops over numbers, compiled by numba."""
    import math

    from numba import njit

    if len(workload.weights) > 2:
        raise Unsuitable("written for one or two layers")

    @njit
    def one(x: Any, y: Any, w: Any, rate: float, n: int) -> Any:
        samples, inputs = x.shape
        outputs = w.shape[1]
        change = np.zeros_like(w)
        for _ in range(n):
            change[:] = 0
            for s in range(samples):
                for j in range(outputs):
                    z = 0.0
                    for i in range(inputs):
                        z += x[s, i] * w[i, j]
                    a = 1 / (1 + math.exp(-z))
                    delta = (y[s, j] - a) * a * (1 - a)
                    for i in range(inputs):
                        change[i, j] += x[s, i] * delta
            w += rate * change
        return w

    @njit
    def two(x: Any, y: Any, w1: Any, w2: Any, rate: float, n: int) -> Any:
        samples, inputs = x.shape
        width, outputs = w2.shape
        change1, change2 = np.zeros_like(w1), np.zeros_like(w2)
        hidden, delta = np.zeros(width), np.zeros(outputs)
        for _ in range(n):
            change1[:] = 0
            change2[:] = 0
            for s in range(samples):
                for h in range(width):
                    z = 0.0
                    for i in range(inputs):
                        z += x[s, i] * w1[i, h]
                    hidden[h] = 1 / (1 + math.exp(-z))
                for j in range(outputs):
                    z = 0.0
                    for h in range(width):
                        z += hidden[h] * w2[h, j]
                    a = 1 / (1 + math.exp(-z))
                    delta[j] = (y[s, j] - a) * a * (1 - a)
                for h in range(width):
                    error = 0.0
                    for j in range(outputs):
                        error += delta[j] * w2[h, j]
                        change2[h, j] += hidden[h] * delta[j]
                    error *= hidden[h] * (1 - hidden[h])
                    for i in range(inputs):
                        change1[i, h] += x[s, i] * error
            w1 += rate * change1
            w2 += rate * change2
        return w1, w2

    def run(n: int) -> Arrays:
        weights = [w.copy() for w in workload.weights]
        if len(weights) == 1:
            return (one(workload.x, workload.y, weights[0], workload.rate, n),)
        return two(workload.x, workload.y, *weights, workload.rate, n)

    return run


def scikit_learn(workload: Workload) -> Loop:
    """The nearest that scikit-learn has: full-batch SGD without momentum or penalty, started from our weights.

    Its networks always have biases, and its output delta leaves the sigmoid's slope out (it takes the
    loss for the one that cancels it). So the gate is expected to refuse it.
    """
    from sklearn.neural_network import MLPClassifier

    if workload.layers[-1] != 1 or len(workload.weights) < 2:
        raise Unsuitable("its classifiers have a hidden layer, and one output for two classes")
    model = MLPClassifier(
        workload.layers[1:-1], "logistic", solver="sgd", alpha=0, batch_size=len(workload.x), momentum=0,
        learning_rate_init=workload.rate * len(workload.x), shuffle=False,
    )  # fmt: skip
    labels = workload.y.ravel().astype(int)

    def run(n: int) -> Arrays:
        model.partial_fit(workload.x, labels, classes=[0, 1])
        for mine, w in zip(model.coefs_, workload.weights, strict=True):
            mine[:] = w
        for mine in model.intercepts_:
            mine[:] = 0
        for _ in range(n):
            model.partial_fit(workload.x, labels)
        return tuple(w.copy() for w in model.coefs_)

    return run
