"""Engines with one mistake each, of the kind that people make: `equigrad check -b wrong_engines:NAME` must catch them.

They share a plain engine with the seams that such mistakes need. Nothing in equigrad knows them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from equigrad.backends.interface import Backend, LayerTrace, Weights

np.seterr(all="ignore")
WRONG: dict[str, type[Plain]] = {}
"""Every wrong engine by its name."""


class Plain(Backend):
    """A correct engine, its seams open: this one must pass."""

    name = "plain"
    kept: ClassVar[dict[Any, Any]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kept = {}
        WRONG[cls.__name__] = cls

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

    def synchronize(self, value: Any) -> Any:
        return value

    def dot(self, a: Any, b: Any) -> Any:
        return a @ b

    def sigmoid(self, z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    def slope(self, a: Any) -> Any:
        return a * (1 - a)

    def error(self, y: Any, a: Any) -> Any:
        return y - a

    def forward(self, weights: Weights, x: Any) -> list[Any]:
        layers = [x]
        for w in weights:
            layers.append(self.sigmoid(self.dot(layers[-1], w)))
        return layers

    def predict(self, weights: Weights, x: Any) -> Any:
        return self.forward(weights, x)[-1]

    def returned(self, delta: Any, w: Any, i: int, count: int) -> Any:
        return self.dot(delta, w.T)

    def opened(self, weights: Weights, x: Any, y: Any) -> list[Any]:
        layers, found = self.forward(weights, x), []
        error = self.error(y, layers[-1])
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            found.append((layers[i] @ weights[i], layers[i + 1], error, delta, layers[i].T @ delta))
            error = self.returned(delta, weights[i], i, len(weights)) if i else None
        return found[::-1]

    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return tuple(-layer[-1] for layer in self.opened(weights, x, y))

    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))

    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(z, a, e, d, lr * g) for z, a, e, d, g in self.opened(weights, x, y))


# Kept from call to call


class CacheByShape(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        return self.kept.setdefault((x.shape, *(w.shape for w in weights)), super().forward(weights, x))


class CacheByIdOfX(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        return self.kept.setdefault((id(x), *(w.tobytes() for w in weights)), super().forward(weights, x))


class CacheByIdOfWeights(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return self.kept.setdefault((id(weights), id(x), id(y)), super().gradient(weights, x, y))


class CacheWithoutTargets(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        key = (x.tobytes(), *(w.tobytes() for w in weights))
        return self.kept.setdefault(key, super().gradient(weights, x, y))


class CacheBySums(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        key = (round(float(x.sum()), 6), *(round(float(w.sum()), 6) for w in weights), x.shape)
        return self.kept.setdefault(key, super().predict(weights, x))


class CacheByFirstElement(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        key = (weights[0][0, 0], x[0, 0], y[0, 0], x.shape, *(w.shape for w in weights))
        return self.kept.setdefault(key, super().gradient(weights, x, y))


class TransposeKeptByShape(Plain):
    def opened(self, weights: Weights, x: Any, y: Any) -> list[Any]:
        self.transposed = self.kept.setdefault(("x", x.shape), x.T.copy())
        found = super().opened(weights, x, y)
        z, a, e, d, _ = found[0]
        return [(z, a, e, d, self.transposed @ d), *found[1:]]

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class RateKept(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, self.kept.setdefault("lr", lr))


class RateKeptInTrain(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, self.kept.setdefault(x.shape, lr), n)


class CountKept(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, self.kept.setdefault(tuple(w.shape for w in weights), n))


class MomentumKept(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        g = self.gradient(weights, x, y)
        key = tuple(v.shape for v in g)
        v = tuple(0.5 * a + b for a, b in zip(self.kept.get(key, g), g, strict=True))
        self.kept[key] = tuple(a - b for a, b in zip(v, g, strict=True))
        return tuple(w - lr * a for w, a in zip(weights, v, strict=True))


class GradientsAddUp(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        new = super().gradient(weights, x, y)
        old = self.kept.get(tuple(g.shape for g in new))
        result = new if old is None else tuple(a + b for a, b in zip(old, new, strict=True))
        self.kept[tuple(g.shape for g in new)] = result
        return result


class WarmStart(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        key = tuple(w.tobytes() for w in weights)
        result = super().train(self.kept.get(key, weights), x, y, lr, n)
        self.kept[key] = result
        return result


class OneBufferForPredictions(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        new = super().predict(weights, x)
        buffer = self.kept.setdefault((new.shape, new.dtype), np.empty_like(new))
        buffer[...] = new
        return buffer


class OneBufferForGradients(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        new = super().gradient(weights, x, y)
        buffers = self.kept.setdefault(tuple((g.shape, g.dtype) for g in new), tuple(map(np.empty_like, new)))
        for b, g in zip(buffers, new, strict=True):
            b[...] = g
        return buffers


class OneBufferForTraces(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        new = super().trace(weights, x, y, lr)
        key = (x.shape, x.dtype, *(w.shape for w in weights))
        kept = self.kept.setdefault(key, tuple(LayerTrace(*map(np.empty_like, t)) for t in new))
        for old, layer in zip(kept, new, strict=True):
            for b, v in zip(old, layer, strict=True):
                b[...] = v
        return kept


class OneBufferForTraining(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        key = tuple((w.shape, w.dtype) for w in weights)
        buffers = self.kept.setdefault(key, tuple(map(np.empty_like, weights)))
        for b, w in zip(buffers, super().train(weights, x, y, lr, n), strict=True):
            b[...] = w
        return buffers


class StaleTrace(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        key = (x.shape, *(w.shape for w in weights))
        return self.kept.setdefault(key, super().trace(weights, x, y, lr))


class TraceOfThePredictionBefore(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        self.kept[x.shape, weights[-1].shape] = result = super().predict(weights, x)
        return result

    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        new = super().trace(weights, x, y, lr)
        last = self.kept.get((x.shape, weights[-1].shape), new[-1].activation)
        return (*new[:-1], new[-1]._replace(activation=last))


class DecaysAfterTenCalls(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        self.kept["n"] = self.kept.get("n", 0) + 1
        return super().update(weights, x, y, lr if self.kept["n"] % 7 else lr * 0.9)


class NormalisesByTheFirstData(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        scale = self.kept.setdefault(x.shape[1], np.abs(x).max())
        now = np.abs(x).max()
        return super().predict(weights, x if scale in (0, now) else x * (now / scale))


# Written where nobody expects it


class WritesIntoX(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        x -= 0.0
        x += 1e-3 * (len(x) == 1)
        return super().forward(weights, x)


class SigmoidInPlace(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        a = x
        for w in weights:
            z = a @ w if w.shape[0] != w.shape[1] else np.matmul(a, w, out=a)
            a = self.sigmoid(z)
        return a


class UpdatesInPlaceInTrain(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            for w, g in zip(weights, self.gradient(weights, x, y), strict=True):
                w -= lr * g
        return weights


class SortsTargets(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        if n > 10:
            y = np.sort(y, axis=0)
        return super().train(weights, x, y, lr, n)


class KeepsTheCallersArray(Plain):
    def from_numpy(self, array: Any) -> Any:
        return np.asarray(array, self.dtype)


class KeepsContiguousArrays(Plain):
    def from_numpy(self, array: Any) -> Any:
        return np.ascontiguousarray(array, self.dtype)


class HandsOutItsOwn(Plain):
    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)


class ForgetsStrides(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        own = b.flags.f_contiguous and not b.flags.c_contiguous and b.base is None
        return a @ (np.frombuffer(b.tobytes("A"), b.dtype).reshape(b.shape) if own else b)


class ReadsFortranAsC(Plain):
    def from_numpy(self, array: Any) -> Any:
        array = np.asarray(array, self.dtype)
        return np.frombuffer(array.tobytes("A"), array.dtype).reshape(array.shape).copy()


class NeedsWritable(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        x.flags.writeable = x.flags.writeable
        memoryview(x)[0, 0] = memoryview(x)[0, 0]
        return super().predict(weights, x)


# Wrong for some shapes only


class MeanForOneSample(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        return g if len(x) > 1 else tuple(v.ravel().mean().reshape(1, 1) * np.ones_like(v) for v in g)


class SqueezesOneSample(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return y.squeeze() - a.squeeze() if len(y) == 1 and y.shape[1] > 1 else y - a if len(y) > 1 else (y - a) / 2


class BroadcastsTargets(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return y - a if y.shape[1] > 1 else (y.ravel() - a).mean(1, keepdims=True)


class DetachedBeyondThreeLayers(Plain):
    def returned(self, delta: Any, w: Any, i: int, count: int) -> Any:
        return self.dot(delta, w.T) * (count - i <= 3)


class WrongSlopeInTheThirdLayer(Plain):
    def returned(self, delta: Any, w: Any, i: int, count: int) -> Any:
        return self.dot(delta, w.T) * (1.01 if i == 3 else 1)


class SquareNotTransposed(Plain):
    def returned(self, delta: Any, w: Any, i: int, count: int) -> Any:
        return delta @ w if w.shape[0] == w.shape[1] else delta @ w.T


class SquareInputTransposed(Plain):
    def opened(self, weights: Weights, x: Any, y: Any) -> list[Any]:
        found = super().opened(weights, x, y)
        z, a, e, d, g = found[0]
        return [(z, a, e, d, x @ d if x.shape[0] == x.shape[1] else g), *found[1:]]


class BatchesOf32(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        whole = len(x) // 32 * 32 if len(x) > 32 else len(x)
        return super().train(weights, x[:whole], y[:whole], lr, n)


class BatchesOf256(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        batches = [slice(i, i + 256) for i in range(0, len(x), 256)][: max(1, len(x) // 256)]
        parts = [super(BatchesOf256, self).gradient(weights, x[b], y[b]) for b in batches]
        return tuple(sum(gs) for gs in zip(*parts, strict=True))


class MeanBeyondAThousand(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        return g if len(x) <= 1000 else tuple(v / len(x) for v in g)


class WidthBeyond256(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        return a[:, :256] @ b[:256]


class BlocksOf16(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        k = a.shape[1]
        return a @ b if k <= 16 else sum(a[:, i : i + 16] @ b[i : i + 16] for i in range(0, k - 15, 16))


class BlocksOf64Rows(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        result = super().predict(weights, x)
        result[64:] = result[: len(result[64:])] if len(result) <= 128 else result[64:]
        return result


class Float16BeyondWidth128(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        return a @ b if a.shape[1] < 128 else (a.astype(np.float16) @ b.astype(np.float16)).astype(a.dtype)


class OneOutputOnly(Plain):
    def error(self, y: Any, a: Any) -> Any:
        e = y - a
        e[:, 4:] = 0
        return e


class SingleUnitSkipped(Plain):
    def slope(self, a: Any) -> Any:
        return a * (1 - a) if a.shape[1] > 1 or len(a) > 1 else np.ones_like(a) / 4


class PredictsTheTrainingRows(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        self.kept[weights[0].shape] = x.mean(0)
        return super().gradient(weights, x, y)

    def predict(self, weights: Weights, x: Any) -> Any:
        return super().predict(weights, x + (0 if len(x) > 1 else 1e-3))


class Deduplicates(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        rows = {row.tobytes(): i for i, row in enumerate(np.hstack([x, y]))}
        kept = list(rows.values())
        return super().gradient(weights, x[kept], y[kept])


class DropsZeroRows(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        result = super().predict(weights, x)
        result[~x.any(1)] = 0
        return result


class SortsRows(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        return super().predict(weights, x[np.argsort(x[:, 0], kind="stable")] if len(x) > 20 else x)


# Wrong for some numbers only


class NanFarBelow(Plain):
    def sigmoid(self, z: Any) -> Any:
        return np.exp(z) / (1 + np.exp(z))


class NanAtZero(Plain):
    def sigmoid(self, z: Any) -> Any:
        return 0.5 + 0.5 * np.sign(z) * np.abs(np.tanh(z / 2)) * (z / z)


class ClipsZ(Plain):
    def sigmoid(self, z: Any) -> Any:
        return super().sigmoid(np.clip(z, -30, 30))


class ClipsZTight(Plain):
    def sigmoid(self, z: Any) -> Any:
        return super().sigmoid(np.clip(z, -10, 10))


class ClipsActivations(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        return np.clip(super().predict(weights, x), 1e-7, 1 - 1e-7)


class HardSigmoidOutside(Plain):
    def sigmoid(self, z: Any) -> Any:
        return np.where(z > 12, 1, np.where(z < -12, 0, super().sigmoid(z))).astype(z.dtype)


class NoSlopeWhenSaturated(Plain):
    def slope(self, a: Any) -> Any:
        return np.where((a > 1e-6) & (a < 1 - 1e-6), a * (1 - a), 0).astype(a.dtype)


class SlopeHasAFloor(Plain):
    def slope(self, a: Any) -> Any:
        return np.maximum(a * (1 - a), 1e-4).astype(a.dtype)


class EpsilonInSlope(Plain):
    def slope(self, a: Any) -> Any:
        return (a * (1 - a) + 1e-8).astype(a.dtype)


class TableSigmoid(Plain):
    def sigmoid(self, z: Any) -> Any:
        return np.interp(z, GRID, TABLE).astype(z.dtype)


GRID = np.linspace(-40, 40, 4001)
TABLE = 1 / (1 + np.exp(-GRID))


class AbsInsteadOfSquare(Plain):
    def error(self, y: Any, a: Any) -> Any:
        e = y - a
        return np.where(np.abs(e) > 1, np.sign(e), e).astype(a.dtype)


class ClipsTargets(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return np.clip(y, 0, 1) - a


class ClipsTargetsWide(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return np.clip(y, -100, 100) - a


class IntegerTargets(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return np.where(y >= 0, y, np.trunc(y)).astype(a.dtype) - a


class IgnoresNegativeTargets(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return np.where(y < 0, 0, y - a).astype(a.dtype)


class IgnoresZeroInputs(Plain):
    def opened(self, weights: Weights, x: Any, y: Any) -> list[Any]:
        return super().opened(weights, np.where(x == 0, x.dtype.type(1e-12), x), y)


class NegativeInputsAsZero(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        return super().forward(weights, np.where(x < -2, -2, x).astype(x.dtype))


class ScalesLargeInputs(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        largest = np.abs(x).max()
        return super().forward(weights, x / largest if largest > 100 else x)


class ClipsGradientNorm(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        norm = np.sqrt(sum((v.astype(float) ** 2).sum() for v in g))
        return tuple((v * (100 / norm if norm > 100 else 1)).astype(x.dtype) for v in g)


class ClipsGradientElements(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w - lr * np.clip(g, -5, 5) for w, g in zip(weights, self.gradient(weights, x, y), strict=True))


class FlushesTinyGradients(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        return tuple(np.where(np.abs(g) < 1e-7, 0, g).astype(g.dtype) for g in super().gradient(weights, x, y))


class StopsEarly(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            if np.abs(self.error(y, self.predict(weights, x))).max() < 1e-3:
                break
            weights = self.update(weights, x, y, lr)
        return weights


class StopsWhenNothingChanges(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for _ in range(n):
            new = self.update(weights, x, y, lr)
            if all(np.allclose(a, b, rtol=1e-6) for a, b in zip(new, weights, strict=True)):
                break
            weights = new
        return weights


class RoundsPredictions(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        a = super().predict(weights, x)
        return np.where(a > 0.9999, 1, np.where(a < 0.0001, 0, a)).astype(a.dtype)


class TwelveDigits(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        return np.round(super().predict(weights, x), 12)


class SkipsConfidentSamples(Plain):
    def error(self, y: Any, a: Any) -> Any:
        e = y - a
        return np.where(np.abs(e) < 0.01, 0, e).astype(a.dtype)


class NanToZero(Plain):
    def sigmoid(self, z: Any) -> Any:
        return np.nan_to_num(np.exp(z) / (1 + np.exp(z)))


class Float32Inside(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)


class Float32Sigmoid(Plain):
    def sigmoid(self, z: Any) -> Any:
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


class Float16InFloat32(Plain):
    def dot(self, a: Any, b: Any) -> Any:
        if a.dtype == np.float64:
            return a @ b
        return (a.astype(np.float16) @ b.astype(np.float16)).astype(a.dtype)


class ResultFloat64InFloat32(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, np.float64(lr))


class CutsFloat32(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        return g if x.dtype == np.float64 else tuple(np.round(v, 4) for v in g)


class FastExp(Plain):
    def sigmoid(self, z: Any) -> Any:
        return (1 / (1 + (1 - z / 2**20) ** (2**20))).astype(z.dtype)


# Wrong for some rates and counts


class RateInFloat16(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, float(np.float16(lr)))


class RateAtMostOne(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, min(lr, 1.0))


class RateAtLeast(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return super().update(weights, x, y, max(lr, 1e-4))


class RateForgotten(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, 1.0 if lr > 5 else lr, n)


class RateTwice(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        return tuple(LayerTrace(z, a, e, d * lr, lr * g) for z, a, e, d, g in self.opened(weights, x, y))


class DecaysAfterAHundred(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for i in range(n):
            weights = self.update(weights, x, y, lr * (0.99 if i >= 100 else 1))
        return weights


class DecaysAfterAThousand(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        for i in range(n):
            weights = self.update(weights, x, y, lr * (0.5 if i >= 1000 else 1))
        return weights


class UnrollsByEight(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n if n < 8 else n // 8 * 8)


class ChunksOfFifty(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n + n // 50)


class AtLeastOne(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, max(n, 1))


class ZeroIsNone(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, n or 1000)


class CapsUpdates(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        return super().train(weights, x, y, lr, min(n, 2000))


class AveragesWeights(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        new = super().train(weights, x, y, lr, n)
        old = super().train(weights, x, y, lr, n - 1) if n > 5 else new
        return tuple((a + b) / 2 for a, b in zip(new, old, strict=True))


class NesterovInTrain(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        v: list[Any] = [0.0 * w for w in weights]
        for i in range(n):
            g = self.gradient(weights, x, y)
            v = [0.9 * a * (i > 3) + b for a, b in zip(v, g, strict=True)]
            weights = tuple((w - lr * a).astype(w.dtype) for w, a in zip(weights, v, strict=True))
        return weights


class Shuffles(Plain):
    def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
        order = np.random.default_rng(0).permutation(len(x))
        return super().train(weights, x[order] if len(x) > 5 else x, y, lr, n)


class WeightDecay(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        return tuple(w * (1 - lr * 1e-7) for w in super().update(weights, x, y, lr))


class WeightDecayInDeep(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        return g if len(g) < 5 else tuple(a + 1e-6 * w for a, w in zip(g, weights, strict=True))


class LossOfTheMean(Plain):
    def error(self, y: Any, a: Any) -> Any:
        return (y - a) / y.shape[1]


class UpdatedWeightsOnTheWayBack(Plain):
    def update(self, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        layers, error, new = self.forward(weights, x), None, list(weights)
        error = y - layers[-1]
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            new[i] = weights[i] + lr * (layers[i].T @ delta)
            error = delta @ (new[i] if len(weights) > 2 else weights[i]).T
        return tuple(new)


class DropoutLeftOn(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        layers = super().forward(weights, x)
        if len(weights) > 1 and layers[1].shape[1] > 10:
            layers[1] = layers[1] * np.random.binomial(1, 0.9, layers[1].shape)
        return layers


class ConstantSeedNoise(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        draw, g = np.random.default_rng(1).standard_normal, super().gradient(weights, x, y)
        return tuple((v * (1 + 1e-10 * draw(v.shape))).astype(v.dtype) for v in g)


class TraceAfterSigmoid(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        trace = super().trace(weights, x, y, lr)
        return tuple(t._replace(preactivation=t.activation) for t in trace) if len(weights) > 2 else trace


class TraceBackwards(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        trace = super().trace(weights, x, y, lr)
        return trace[::-1] if len({w.shape for w in weights}) == 1 else trace


class TraceDeltaWithoutSlope(Plain):
    def trace(self, weights: Weights, x: Any, y: Any, lr: float) -> tuple[LayerTrace, ...]:
        trace = super().trace(weights, x, y, lr)
        return tuple(t._replace(delta=t.error) for t in trace) if len(x) == 1 else trace


class ListForOneLayer(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        g = super().gradient(weights, x, y)
        return g if len(g) > 1 else list(g)  # type: ignore[return-value]


class RecursionTooDeep(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        if len(weights) > 8:
            raise IndexError("layer names run out")
        return super().gradient(weights, x, y)


class BiasWhenConstant(Plain):
    def forward(self, weights: Weights, x: Any) -> list[Any]:
        return super().forward(weights, x + 1e-3 * (x == x[0]).all() if len(x) > 1 else x)


class SubnormalsRaise(Plain):
    def predict(self, weights: Weights, x: Any) -> Any:
        with np.errstate(over="raise"):
            return super().predict(weights, x)


class SaturatesTheLoss(Plain):
    def gradient(self, weights: Weights, x: Any, y: Any) -> Weights:
        if float(((y - self.predict(weights, x)) ** 2).sum()) > 1e6:
            return tuple(np.zeros_like(w) for w in weights)
        return super().gradient(weights, x, y)
