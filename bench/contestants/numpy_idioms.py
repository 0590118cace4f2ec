"""Ways to write the update in NumPy."""

from __future__ import annotations

import numpy as np

from ..workload import Arrays, Loop, Workload


def expressions(workload: Workload) -> Loop:
    """As a textbook writes it: every operation makes an array."""
    x, y, rate = workload.x, workload.y, workload.rate

    def run(n: int) -> Arrays:
        weights = [w.copy() for w in workload.weights]
        for _ in range(n):
            layers = [x]
            for w in weights:
                layers.append(1 / (1 + np.exp(-(layers[-1] @ w))))
            error = y - layers[-1]
            for i in reversed(range(len(weights))):
                delta = error * layers[i + 1] * (1 - layers[i + 1])
                if i:
                    error = delta @ weights[i].T
                weights[i] += rate * (layers[i].T @ delta)
        return tuple(weights)

    return run


def preallocated(workload: Workload) -> Loop:
    """Every result into an array made once. Literals become arrays: NumPy converts them at each call."""
    x, y = workload.x, workload.y
    rate = np.array(workload.rate, workload.dtype)
    ones = [np.ones((len(x), w.shape[1]), workload.dtype) for w in workload.weights]
    layers = [x, *(one.copy() for one in ones)]
    slopes, deltas = [one.copy() for one in ones], [one.copy() for one in ones]
    changes = [w.copy() for w in workload.weights]
    multiply, subtract, add, negative = np.multiply, np.subtract, np.add, np.negative
    exp, divide = np.exp, np.divide

    def run(n: int) -> Arrays:
        weights = [w.copy() for w in workload.weights]
        last = len(weights) - 1
        forward = [(layers[i].dot, w, layers[i + 1], ones[i]) for i, w in enumerate(weights)]
        backward = [
            (i, weights[i], layers[i].T.dot, layers[i + 1], slopes[i], deltas[i], changes[i], ones[i])
            for i in reversed(range(last + 1))
        ]
        for _ in range(n):
            for dot, w, a, one in forward:
                dot(w, a)
                negative(a, a)
                exp(a, a)
                add(a, one, a)
                divide(one, a, a)
            subtract(y, layers[-1], deltas[last])
            for i, w, dot, a, slope, delta, change, one in backward:
                subtract(one, a, slope)
                multiply(slope, a, slope)
                multiply(delta, slope, delta)
                if i:
                    delta.dot(w.T, deltas[i - 1])
                dot(delta, change)
                multiply(change, rate, change)
                add(w, change, w)
        return tuple(weights)

    return run


def expit(workload: Workload) -> Loop:
    """The preallocated update with SciPy's sigmoid, one call in place of four."""
    from scipy.special import expit as sigmoid

    x, y = workload.x, workload.y
    rate = np.array(workload.rate, workload.dtype)
    ones = [np.ones((len(x), w.shape[1]), workload.dtype) for w in workload.weights]
    layers = [x, *(one.copy() for one in ones)]
    slopes, deltas = [one.copy() for one in ones], [one.copy() for one in ones]
    changes = [w.copy() for w in workload.weights]

    def run(n: int) -> Arrays:
        weights = [w.copy() for w in workload.weights]
        last = len(weights) - 1
        for _ in range(n):
            for i, w in enumerate(weights):
                sigmoid(layers[i].dot(w, layers[i + 1]), layers[i + 1])
            np.subtract(y, layers[-1], deltas[last])
            for i in range(last, -1, -1):
                a, slope, delta = layers[i + 1], slopes[i], deltas[i]
                np.subtract(ones[i], a, slope)
                np.multiply(slope, a, slope)
                np.multiply(delta, slope, delta)
                if i:
                    delta.dot(weights[i].T, deltas[i - 1])
                np.multiply(layers[i].T.dot(delta, changes[i]), rate, changes[i])
                np.add(weights[i], changes[i], weights[i])
        return tuple(weights)

    return run
