"""A tape of scalars, every number a node of its own: slow, and right."""

from typing import Any

import numpy as np

from equigrad.backends.interface import Backend, LayerTrace, Weights


class Scalar:
    def __init__(self, value: Any, *parents: tuple[Any, Any]) -> None:
        self.value, self.parents, self.grad = value, parents, value * 0

    def __add__(self, other: Any) -> Any:
        return Scalar(self.value + other.value, (self, 1), (other, 1))

    def __mul__(self, other: Any) -> Any:
        return Scalar(self.value * other.value, (self, other.value), (other, self.value))

    def sigmoid(self) -> Any:
        s = 1 / (1 + np.exp(-self.value))
        return Scalar(s, (self, s * (1 - s)))


class ScalarBackend(Backend):
    name = "scalar"

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        return {}

    def from_numpy(self, array: Any) -> Any:
        return np.array(array, self.dtype)

    def to_numpy(self, array: Any) -> Any:
        return np.array(array)

    def device_of(self, array: Any) -> str:
        return "cpu"

    def tape(self, weights: Weights, x: Any) -> list[Any]:
        """Leaves, pre-activations and activations, each one array of scalars a layer."""
        leaves, zs, layers = [each(Scalar, w) for w in weights], [], [each(Scalar, x)]
        for w in leaves:
            zs.append(layers[-1] @ w)
            layers.append(each(Scalar.sigmoid, zs[-1]))
        return [leaves, zs, layers[1:]]

    def backward(self, weights: Weights, x: Any, y: Any) -> list[Any]:
        tape = self.tape(weights, x)
        for a, target in zip(tape[2][-1].flat, y.flat, strict=True):
            a.grad = a.value - target
        for node in reversed(self.nodes(tape)):
            for parent, slope in node.parents:
                parent.grad = parent.grad + slope * node.grad
        return tape

    def nodes(self, tape: list[Any]) -> list[Any]:
        """Everything that was computed, each after what it was made of."""
        found: dict[int, Any] = {}
        stack = [(node, False) for node in tape[2][-1].flat]
        while stack:
            node, ready = stack.pop()
            if ready:
                found.setdefault(id(node), node)
            elif id(node) not in found:
                stack += [(node, True), *((parent, False) for parent, _ in node.parents)]
        return list(found.values())

    def predict(self, weights: Weights, x: Any) -> Any:
        return self.values(self.tape(weights, x)[2][-1])

    def values(self, scalars: Any) -> Any:
        return each(lambda s: s.value, scalars).astype(self.dtype)

    def grads(self, scalars: Any) -> Any:
        return each(lambda s: s.grad, scalars).astype(self.dtype)

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return tuple(map(self.grads, self.backward(weights, x, y)[0]))

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        rows = zip(*self.backward(weights, x, y), strict=True)
        v, g = self.values, self.grads
        return tuple(LayerTrace(v(z), v(a), -g(a), -g(z), -lr * g(w)) for w, z, a in rows)

    def synchronize(self, value: Any) -> Any:
        return value


def each(function: Any, array: Any) -> Any:
    return np.frompyfunc(function, 1, 1)(array)
