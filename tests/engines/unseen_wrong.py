"""Wrong engines, each with a mistake that people make, written by somebody who had not read the check.

Each carries its evidence: `at` names a network on which it is wrong by far more than rounding, `breaks` a law of the
interface that it breaks. tests/engines/test_unseen.py tests both.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from equigrad import Engine, LayerTrace


class Own(Engine):
    """Right: what the wrong ones below are made of."""

    name = "own"
    at: dict = {}

    def dot(self, a, b):
        return a @ b

    def sigmoid(self, z):
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-z))

    def slope(self, a):
        return a * (1 - a)

    def error(self, y, a):
        return y - a

    def forward(self, weights, x):
        layers = [x]
        for w in weights:
            layers.append(self.sigmoid(self.dot(layers[-1], w)))
        return layers

    def backward(self, weights, layers, y):
        error = self.error(y, layers[-1])
        grads = []
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            grads.append(-self.dot(layers[i].T, delta))
            if i:
                error = self.dot(delta, weights[i].T)
        return tuple(grads[::-1])

    def predict(self, weights, x):
        return self.forward(weights, x)[-1]

    def gradient(self, weights, x, y):
        return self.backward(weights, self.forward(weights, x), y)


# ---------------------------------------------------------------- blocked kernels, tails, widths


class RowsInChunksTail(Own):
    """Samples in chunks of 64; what is left over is forgotten when there is more than one chunk."""

    at = dict(samples=100)

    def gradient(self, weights, x, y):
        if len(x) <= 64:
            return super().gradient(weights, x, y)
        total = [np.zeros_like(w) for w in weights]
        for start in range(0, len(x) - 63, 64):
            rows = slice(start, start + 64)
            for t, g in zip(total, super().gradient(weights, x[rows], y[rows]), strict=True):
                t += g
        return tuple(total)


class OverlappingTile(Own):
    """Inner dimension in tiles of 16; the last tile is moved back to be full, and its first columns count twice."""

    at = dict(layers=(20, 3, 1))

    def dot(self, a, b):
        k = a.shape[1]
        if k <= 16:
            return a @ b
        out = np.zeros((a.shape[0], b.shape[1]), np.result_type(a, b))
        for start in range(0, k, 16):
            start = min(start, k - 16)
            out += a[:, start : start + 16] @ b[start : start + 16]
        return out


class UnrolledByFour(Own):
    """The inner loop is unrolled by four; the rest is handled with `if` where it needs `while`: 3 left, 1 done."""

    at = dict(layers=(7, 5, 2))

    def dot(self, a, b):
        k = a.shape[1]
        whole = k - k % 4
        out = a[:, :whole] @ b[:whole]
        if k < 4:
            return a @ b
        if whole < k:
            out = out + a[:, whole : whole + 1] @ b[whole : whole + 1]
            whole += 1
        if whole < k:
            out = out + a[:, whole : whole + 1] @ b[whole : whole + 1]
        return out


class SplitKInSingle(Own):
    """Long sums are split into parts, whose partial sums are kept in float32."""

    at = dict(layers=(600, 2, 1))

    def dot(self, a, b):
        if a.shape[1] < 512:
            return a @ b
        parts = np.array_split(np.arange(a.shape[1]), 4)
        return sum((a[:, p] @ b[p]).astype(np.float32) for p in parts).astype(a.dtype)


class OneBlockOfThreads(Own):
    """A kernel with one block of 256 threads: columns from 256 on are never written."""

    at = dict(layers=(4, 300, 1))

    def dot(self, a, b):
        out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
        out[:, :256] = a @ b[:, :256]
        return out


class ByteIndex(Own):
    """Unit numbers are uint8, so that unit 256 is unit 0 again (the backward pass of wide layers)."""

    at = dict(layers=(3, 260, 2))

    def gradient(self, weights, x, y):
        grads = super().gradient(weights, x, y)
        return tuple(g[:, np.arange(g.shape[1]).astype(np.uint8)] for g in grads)


class ShortIndex(Own):
    """Row numbers are int16: beyond 32767 samples they wrap to negative ones."""

    at = dict(samples=33000)

    def gradient(self, weights, x, y):
        rows = np.arange(len(x)).astype(np.int16)
        return super().gradient(weights, x[rows], y[rows])


class PaddedRows(Own):
    """Samples are padded to a multiple of eight with zeros; the padding has an error too, in the deeper layers."""

    at = dict(samples=7)

    def gradient(self, weights, x, y):
        pad = -len(x) % 8
        return super().gradient(weights, np.pad(x, ((0, pad), (0, 0))), np.pad(y, ((0, pad), (0, 0))))


class PaddedUnits(Own):
    """Hidden layers from 32 up are padded to a multiple of 8, and a padded unit says 0.5; weights on from it are
    copies of the last row (np.pad mode='edge')."""

    at = dict(layers=(3, 33, 1))

    def forward(self, weights, x):
        layers = super().forward(weights, x)
        out, carry = [x], x
        for i, w in enumerate(weights):
            wide = w.shape[1] >= 32 and w.shape[1] % 8 and i + 1 < len(weights)
            v = w
            if carry.shape[1] != w.shape[0]:
                v = np.pad(w, ((0, carry.shape[1] - w.shape[0]), (0, 0)), mode="edge")
            if wide:
                v = np.pad(v, ((0, 0), (0, -w.shape[1] % 8)))
            carry = self.sigmoid(carry @ v)
            out.append(carry)
        return [layer[:, : right.shape[1]] for layer, right in zip(out, layers, strict=True)]


class LastMicroBatch(Own):
    """Gradients of micro-batches of 32 are averaged and multiplied by their number: a short last one counts as full."""

    at = dict(samples=40)

    def gradient(self, weights, x, y):
        starts = range(0, len(x), 32)
        parts = [super(LastMicroBatch, self).gradient(weights, x[s : s + 32], y[s : s + 32]) for s in starts]
        sizes = [len(x[s : s + 32]) for s in starts]
        means = [[g / n for g in part] for part, n in zip(parts, sizes, strict=True)]
        return tuple(sum(ms) / len(ms) * len(x) for ms in zip(*means, strict=True))


class MeanOfMeans(Own):
    """Data parallel over four workers: the mean of the workers' means, where their shares are not equal."""

    at = dict(samples=6)

    def gradient(self, weights, x, y):
        if len(x) < 4:
            return super().gradient(weights, x, y)
        shares = [s for s in np.array_split(np.arange(len(x)), 4)]
        means = [[g / len(s) for g in super(MeanOfMeans, self).gradient(weights, x[s], y[s])] for s in shares]
        return tuple(sum(ms) / 4 * len(x) for ms in zip(*means, strict=True))


class FloorShares(Own):
    """Each of three workers takes N // 3 samples; the rest is nobody's (from a dozen samples on)."""

    at = dict(samples=13)

    def gradient(self, weights, x, y):
        if len(x) < 12:
            return super().gradient(weights, x, y)
        k = len(x) // 3
        parts = [
            super(FloorShares, self).gradient(weights, x[i * k : i * k + k], y[i * k : i * k + k]) for i in range(3)
        ]
        return tuple(map(sum, zip(*parts, strict=True)))


class LostUpdate(Own):
    """Two threads add their halves to one array without a lock: both read before either writes."""

    at = dict(samples=40)

    def gradient(self, weights, x, y):
        if len(x) < 32:
            return super().gradient(weights, x, y)
        total = [np.zeros_like(w) for w in weights]
        barrier, half = threading.Barrier(2), len(x) // 2
        plain = super().gradient

        def work(rank):
            rows = slice(half) if rank == 0 else slice(half, None)
            grads = plain(weights, x[rows], y[rows])
            seen = [t.copy() for t in total]
            barrier.wait()
            if rank:
                barrier.wait()
            for i, g in enumerate(grads):
                total[i] = seen[i] + g
            if not rank:
                barrier.wait()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
        return tuple(total)


class CompressedAllReduce(Own):
    """Gradients of more than a thousand numbers travel as bfloat16 (the last 16 bits of a float32 cut off)."""

    at = dict(layers=(30, 40, 1))

    def gradient(self, weights, x, y):
        def travel(g):
            if g.size <= 1000:
                return g
            bits = np.ascontiguousarray(g.astype(np.float32)).view(np.uint32) & np.uint32(0xFFFF0000)
            return bits.view(np.float32).astype(g.dtype)

        return tuple(map(travel, super().gradient(weights, x, y)))


class LastTileTwice(Own):
    """Prediction in batches of 100 rows; the last batch is taken from the end and written to the front of its place."""

    at = dict(samples=130, what="predict")

    def predict(self, weights, x):
        if len(x) <= 100:
            return super().predict(weights, x)
        out = np.empty((len(x), weights[-1].shape[1]), x.dtype)
        for start in range(0, len(x), 100):
            stop = min(start + 100, len(x))
            out[start:stop] = (
                super().predict(weights, x[-100:])[: stop - start]
                if stop == len(x)
                else super().predict(weights, x[start:stop])
            )
        return out


# ---------------------------------------------------------------- shapes: square, one sample, one output, depth


class TransposeIfItMust(Own):
    """Tries `delta @ w` and takes the transpose only when the shapes do not fit: square layers go back untransposed."""

    at = dict(layers=(3, 4, 4, 1))

    def backward(self, weights, layers, y):
        error, grads = self.error(y, layers[-1]), []
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            grads.append(-(layers[i].T @ delta))
            if i:
                try:
                    error = delta @ weights[i]
                except ValueError:
                    error = delta @ weights[i].T
        return tuple(grads[::-1])


class SamplesOrOutputs(Own):
    """Turns targets round if they came as (outputs, N), and thinks so whenever N equals the number of outputs."""

    at = dict(layers=(3, 4, 3), samples=3)

    def error(self, y, a):
        if y.shape[0] == a.shape[1] and y.shape[1] == a.shape[0]:
            y = y.T
        return y - a


class RowForColumn(Own):
    """One sample: a vector path, with the gradient as outer(delta, a) reshaped to the weights' shape."""

    at = dict(samples=1)

    def gradient(self, weights, x, y):
        if len(x) > 1:
            return super().gradient(weights, x, y)
        layers = self.forward(weights, x)
        error, grads = y - layers[-1], []
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            grads.append(-np.outer(delta[0], layers[i][0]).reshape(weights[i].shape))
            error = delta @ weights[i].T
        return tuple(grads[::-1])


class SqueezedTarget(Own):
    """y.squeeze() on a single output: (N,) against (N, 1) broadcasts to (N, N); the mean over the rows hides it."""

    at = dict()

    def error(self, y, a):
        if y.shape[1] > 1:
            return y - a
        return (y.squeeze() - a).mean(axis=-1, keepdims=True)


class OneHotAssumed(Own):
    """Rows of targets that sum to one are taken for one-hot, and replaced by their argmax."""

    at = dict(layers=(3, 4, 3), y="soft")

    def error(self, y, a):
        if y.shape[1] > 1 and np.allclose(y.sum(1), 1):
            y = np.eye(y.shape[1], dtype=y.dtype)[y.argmax(1)]
        return y - a


class NamesInAlphabet(Own):
    """Weights live in a dict and are sorted by name: w10 comes before w2."""

    at = dict(layers=(3,) * 13)

    def forward(self, weights, x):
        named = {f"w{i}": w for i, w in enumerate(weights)}
        return super().forward([named[k] for k in sorted(named)], x)


class EveryFourthRecomputed(Own):
    """Checkpointing from six layers on: every third activation is recomputed, from the layer after the one it needs."""

    at = dict(layers=(4, 4, 4, 4, 4, 4, 4))

    def backward(self, weights, layers, y):
        if len(weights) >= 6:
            layers = list(layers)
            for i in range(3, len(weights) - 1, 3):
                if layers[i].shape[1] == weights[i].shape[0] == weights[i].shape[1]:
                    layers[i] = self.sigmoid(layers[i] @ weights[i])
        return super().backward(weights, layers, y)


class AtMostFour(Own):
    """The backward pass is cut after four layers (truncated backpropagation left from a recurrent network)."""

    at = dict(layers=(3, 3, 4, 3, 4, 3, 2))

    def backward(self, weights, layers, y):
        grads = list(super().backward(weights, layers, y))
        for i in range(len(grads) - 4):
            grads[i] = np.zeros_like(grads[i])
        return tuple(grads)


class TiedWeights(Own):
    """Neighbouring layers of one shape and equal first element are taken for one shared matrix: gradients are added."""

    at = dict(layers=(3, 3, 3, 1), tie=True)

    def gradient(self, weights, x, y):
        grads = list(super().gradient(weights, x, y))
        for i in range(len(grads) - 1):
            if weights[i].shape == weights[i + 1].shape and weights[i].flat[0] == weights[i + 1].flat[0]:
                grads[i] = grads[i + 1] = grads[i] + grads[i + 1]
        return tuple(grads)


# ---------------------------------------------------------------- values: fast paths with a wrong condition


class BinaryFastPath(Own):
    """Inputs between 0 and 1 that hold both are taken for bits, and packed: x > 0."""

    at = dict(x="minmax", what="predict")

    def forward(self, weights, x):
        if x.min() == 0 and x.max() == 1:
            x = (x > 0).astype(x.dtype)
        return super().forward(weights, x)


class BytesFastPath(Own):
    """Inputs that are whole numbers go through an int8 product."""

    at = dict(x="bytes", what="predict", w=0.01)

    def forward(self, weights, x):
        if (x == np.rint(x)).all() and np.isfinite(x).all() and np.abs(x).max() < 2**31:
            x = x.astype(np.int64).astype(np.int8).astype(x.dtype)
        return super().forward(weights, x)


class PixelsScaled(Own):
    """Whole numbers from 0 to 255 look like pixels, and are divided by 255."""

    at = dict(x="bytes", what="predict", w=0.01)

    def forward(self, weights, x):
        if x.max() > 16 and x.max() <= 255 and x.min() >= 0 and (x == np.rint(x)).all():
            x = x / 255
        return super().forward(weights, x)


class EmptyRowsSkipped(Own):
    """Rows of x that are all zero give no gradient, says the sparse path; in the deeper layers they do."""

    at = dict(x="zerorows")

    def gradient(self, weights, x, y):
        keep = x.any(axis=1)
        return super().gradient(weights, x[keep], y[keep])


class RepeatedRowsOnce(Own):
    """Repeated samples (x and y) are computed once, and counted once."""

    at = dict(x="repeated", y="repeated")

    def gradient(self, weights, x, y):
        _, first = np.unique(np.hstack([x, y]), axis=0, return_index=True)
        return super().gradient(weights, x[np.sort(first)], y[np.sort(first)])


class GoodEnough(Own):
    """Samples whose error is below a thousandth are not trained any more."""

    at = dict(y="fit", noise=1e-4)

    def error(self, y, a):
        error = y - a
        return np.where(np.abs(error) < 1e-3, 0, error)


class DeadUnits(Own):
    """Units with a slope below 1e-6 are treated as dead."""

    at = dict(w=12.0)

    def slope(self, a):
        s = a * (1 - a)
        return np.where(s < 1e-6, 0, s)


class TargetsAreProbabilities(Own):
    """Targets are clipped into 0 to 1."""

    at = dict(y="normal")

    def error(self, y, a):
        return np.clip(y, 0, 1) - a


class TargetsOffTheEdge(Own):
    """Targets of exactly 0 and 1 are moved by 1e-7, as cross-entropy needs it."""

    at = dict(y="binary")

    def error(self, y, a):
        return np.clip(y, 1e-7, 1 - 1e-7) - a if y.min() >= 0 and y.max() <= 1 else y - a


class OutliersClipped(Own):
    """Inputs beyond a thousand are outliers."""

    at = dict(xs=2000.0, w=0.0005, what="predict")

    def forward(self, weights, x):
        return super().forward(weights, np.clip(x, -1000, 1000))


class IdentityWeights(Own):
    """Diagonal weights are multiplied by their diagonal, and trained along it."""

    at = dict(layers=(3, 3, 1), diagonal=True)

    def gradient(self, weights, x, y):
        grads = list(super().gradient(weights, x, y))
        for i, w in enumerate(weights):
            if w.shape[0] == w.shape[1] > 1 and not (w - np.diag(np.diag(w))).any():
                grads[i] = np.diag(np.diag(grads[i]))
        return tuple(grads)


class ZeroWeights(Own):
    """A zero weight is a pruned connection: it has no gradient."""

    at = dict(pruned=True)

    def gradient(self, weights, x, y):
        return tuple(g * (w != 0) for g, w in zip(super().gradient(weights, x, y), weights, strict=True))


# ---------------------------------------------------------------- numerics


class NegativeBranchOnly(Own):
    """exp(z) / (1 + exp(z)): not a number from z = 710 on (89 in float32)."""

    at = dict(w=900.0, what="predict")

    def sigmoid(self, z):
        with np.errstate(over="ignore", invalid="ignore"):
            e = np.exp(z)
            return e / (1 + e)


class ClippedAtThirty(Own):
    """z is clipped to 30 before exp, 'to be safe'."""

    at = dict(w=40.0, what="predict")

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


class ClippedForSingle(Own):
    """z is clipped to 80, as float32 needs it, in float64."""

    at = dict(w=150.0, what="predict")

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-np.clip(z, -80, 80)))


class SaturatedAtFifteen(Own):
    """Above 15 the sigmoid is 1."""

    at = dict(w=14.0, what="predict")

    def sigmoid(self, z):
        return np.where(z > 15, np.ones_like(z), super().sigmoid(np.minimum(z, 15)))


class SafeDivision(Own):
    """1e-12 in the denominator."""

    at = dict(what="predict")

    def sigmoid(self, z):
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-z) + 1e-12)


class SlopeFloor(Own):
    """The slope is kept above 1e-8 against vanishing gradients."""

    at = dict(w=25.0)

    def slope(self, a):
        return np.maximum(a * (1 - a), 1e-8)


class LinearNearZero(Own):
    """1/2 + z/4 for |z| below a hundredth: the next term is z³/48."""

    at = dict(w=0.004, what="predict")

    def sigmoid(self, z):
        return np.where(np.abs(z) < 0.01, 0.5 + z / 4, super().sigmoid(z))


class TableForWide(Own):
    """Large arrays look the sigmoid up in a table and interpolate."""

    at = dict(layers=(3, 40, 1), samples=120, what="predict")

    def sigmoid(self, z):
        if z.size <= 4096:
            return super().sigmoid(z)
        grid = np.linspace(-20, 20, 100001)
        return np.interp(z, grid, super().sigmoid(grid)).astype(z.dtype)


class SingleSigmoidForWide(Own):
    """float32 exp where a layer holds many numbers; float64 elsewhere."""

    at = dict(layers=(3, 40, 1), samples=60, what="predict")

    def sigmoid(self, z):
        if z.size < 2000:
            return super().sigmoid(z)
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


class SingleTail(Own):
    """Saturated units are computed in float32, 'they are 0 or 1 anyway'."""

    at = dict(w=8.0, what="predict")

    def sigmoid(self, z):
        return np.where(np.abs(z) > 8, super().sigmoid(z.astype(np.float32)), super().sigmoid(z)).astype(z.dtype)


class HalfStorage(Own):
    """Activations of layers wider than 64 are kept in float16 for the backward pass."""

    at = dict(layers=(3, 70, 1))

    def backward(self, weights, layers, y):
        kept = [
            a.astype(np.float16).astype(a.dtype) if 0 < i < len(weights) and a.shape[1] > 64 else a
            for i, a in enumerate(layers)
        ]
        return super().backward(weights, kept, y)


class Differences(Own):
    """The gradient by central differences, left in from debugging, for small networks."""

    at = dict(layers=(2, 1), samples=3)

    def gradient(self, weights, x, y):
        if sum(w.size for w in weights) > 4 or self.dtype != "float64":
            return super().gradient(weights, x, y)
        grads = []
        for i, w in enumerate(weights):
            g = np.empty_like(w)
            for at in np.ndindex(w.shape):
                sides = []
                for h in (1e-6, -1e-6):
                    moved = [v.copy() for v in weights]
                    moved[i][at] += h
                    sides.append(((y - self.predict(tuple(moved), x)) ** 2).sum() / 2)
                g[at] = (sides[0] - sides[1]) / 2e-6
            grads.append(g)
        return tuple(grads)


class SpectralProduct(Own):
    """a @ b as ((a + b)² - (a - b)²) / 4, for thin products: large inputs cancel."""

    at = dict(layers=(3, 1), xs=1e6, w=1e-6, what="predict")

    def dot(self, a, b):
        if b.shape[1] > 1:
            return a @ b
        p = a[:, :, None] + b
        m = a[:, :, None] - b
        return ((p * p - m * m) / 4).sum(1)


class RoundedForTheLog(Own):
    """Errors are rounded to seven places, for a log that prints them."""

    at = dict()

    def error(self, y, a):
        return np.round(y - a, 7).astype(a.dtype)


class SingleLearningRate(Own):
    """The learning rate is a float32."""

    at = dict(lr=0.1, what="update")

    def update(self, weights, x, y, lr):
        return super().update(weights, x, y, float(np.float32(lr)))


class RateInMicros(Own):
    """The learning rate goes through a config with six decimals."""

    at = dict(lr=1.23e-5, what="update")

    def update(self, weights, x, y, lr):
        return super().update(weights, x, y, float(f"{lr:.6f}"))


# ---------------------------------------------------------------- optimisers that grew


class MomentumAfterWarmUp(Own):
    """From the 100th update on `train` has momentum."""

    at = dict(n=150, what="train")

    def train(self, weights, x, y, lr, n):
        speed = [0 * w for w in weights]
        for t in range(n):
            grads = self.gradient(weights, x, y)
            speed = [(0.9 if t >= 100 else 0) * s - lr * g for s, g in zip(speed, grads, strict=True)]
            weights = tuple(w + s for w, s in zip(weights, speed, strict=True))
        return weights


class MomentumKept(Own):
    """Momentum is zero, but Nesterov's look-ahead of the last call is kept."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "last", None)

    def breaks(self, ws, x, y):
        first = self.train(ws, x, y, 0.5, 2)
        self.train(tuple(w / 2 for w in ws), x, y, 0.5, 2)
        return not all(np.array_equal(a, b) for a, b in zip(first, self.train(ws, x, y, 0.5, 2), strict=True))

    def train(self, weights, x, y, lr, n):
        out = super().train(weights, x, y, lr, n)
        if self.last is not None and all(a.shape == b.shape for a, b in zip(self.last, out, strict=False)) and n > 1:
            out = tuple(o + 1e-3 * (o - l) for o, l in zip(out, self.last, strict=False))
        if n > 1:
            object.__setattr__(self, "last", out)
        return out


class DecayLeftIn(Own):
    """Weight decay of 1e-9."""

    at = dict(what="update", w=3.0, n=20)

    def update(self, weights, x, y, lr):
        return tuple(w * (1 - lr * 1e-9) - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))


class DecayOfLargeWeights(Own):
    """Weights beyond 10 are pulled back to 10 (max-norm constraint)."""

    at = dict(w=20.0, what="update")

    def update(self, weights, x, y, lr):
        return tuple(np.clip(w, -10, 10) for w in super().update(weights, x, y, lr))


class ClippedByNorm(Own):
    """Gradients are clipped to a norm of 10."""

    at = dict(samples=1000, y="normal", xs=30.0, w=0.03, what="update")

    def update(self, weights, x, y, lr):
        grads = self.gradient(weights, x, y)
        norm = np.sqrt(sum((g * g).sum() for g in grads))
        scale = min(1.0, 10 / (norm + 1e-300))
        return tuple(w - lr * (g * scale) for w, g in zip(weights, grads, strict=True))


class ClippedStep(Own):
    """No weight may move by more than 5 in one update."""

    at = dict(lr=100.0, samples=30, what="update")

    def update(self, weights, x, y, lr):
        return tuple(w - np.clip(lr * g, -5, 5) for w, g in zip(weights, self.gradient(weights, x, y), strict=True))


class RateDecays(Own):
    """lr / (1 + 1e-7 t)."""

    at = dict(n=1000, what="train")

    def train(self, weights, x, y, lr, n):
        for t in range(n):
            weights = self.update(weights, x, y, lr / (1 + 1e-7 * t))
        return weights


class WarmUp(Own):
    """The first ten updates of a long training are warm-up."""

    at = dict(n=60, what="train")

    def train(self, weights, x, y, lr, n):
        for t in range(n):
            weights = self.update(weights, x, y, lr * min(1, (t + 1) / 10) if n > 50 else lr)
        return weights


class StopsWhenFlat(Own):
    """Training stops when no weight moves by more than 1e-7."""

    at = dict(lr=1e-7, n=5, what="train")

    def train(self, weights, x, y, lr, n):
        for _ in range(n):
            after = self.update(weights, x, y, lr)
            moved = max(np.abs(a - b).max() for a, b in zip(after, weights, strict=True))
            weights = after
            if moved < 1e-7:
                break
        return weights


class AveragedWeights(Own):
    """From 1000 updates on `train` returns the mean of the last ten weights (stochastic weight averaging)."""

    at = dict(n=1001, what="train")

    def train(self, weights, x, y, lr, n):
        tail = []
        for t in range(n):
            weights = self.update(weights, x, y, lr)
            if n > 1000 and t >= n - 10:
                tail.append(weights)
        return tuple(sum(ws) / len(ws) for ws in zip(*tail, strict=True)) if tail else weights


class ThousandAtATime(Own):
    """The loop reports every 100 updates, and forgets what is left after the last report."""

    at = dict(n=150, what="train")

    def train(self, weights, x, y, lr, n):
        if n < 100:
            return super().train(weights, x, y, lr, n)
        for _ in range(n // 100):
            weights = super().train(weights, x, y, lr, 100)
        return weights


class DoWhile(Own):
    """The loop asks at its end: zero updates are one."""

    at = dict(n=0, what="train")

    def train(self, weights, x, y, lr, n):
        while True:
            weights = self.update(weights, x, y, lr)
            n -= 1
            if n <= 0:
                return weights


class SingleInTheLoop(Own):
    """`train` casts to float32 for speed and back at the end, if there are more than 20 updates."""

    at = dict(n=30, what="train")

    def train(self, weights, x, y, lr, n):
        if n <= 20:
            return super().train(weights, x, y, lr, n)
        out = super().train(
            tuple(w.astype(np.float32) for w in weights), x.astype(np.float32), y.astype(np.float32), lr, n
        )
        return tuple(w.astype(self.dtype) for w in out)


class LayerByLayer(Own):
    """`train` updates each layer as soon as its gradient is known: the layer below sees the new weights."""

    at = dict(layers=(3, 4, 4, 1), n=1, what="train")

    def train(self, weights, x, y, lr, n):
        weights = list(weights)
        for _ in range(n):
            layers = self.forward(weights, x)
            error = y - layers[-1]
            for i in reversed(range(len(weights))):
                delta = error * self.slope(layers[i + 1])
                weights[i] = weights[i] + lr * (layers[i].T @ delta)
                error = delta @ weights[i].T
        return tuple(weights)


class ShuffledEpoch(Own):
    """Every 500 updates the rows are shuffled, x and y by the same generator but not by the same draw."""

    at = dict(n=501, what="train")

    def train(self, weights, x, y, lr, n):
        rng = np.random.default_rng(0)
        for t in range(n):
            if t and t % 500 == 0:
                x, y = rng.permutation(x), rng.permutation(y)
            weights = self.update(weights, x, y, lr)
        return weights


# ---------------------------------------------------------------- state, caches, buffers


class BufferByShape(Own):
    """Gradients of matrices of a thousand numbers and more come from a pool, and are overwritten by the next call."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "pool", {})

    breaks_at = dict(layers=(40, 30, 1))

    def breaks(self, ws, x, y):
        held = self.gradient(ws, x, y)
        before = [h.copy() for h in held]
        self.gradient(tuple(w / 2 for w in ws), x, y)
        return not all(np.array_equal(a, b) for a, b in zip(held, before, strict=True))

    def gradient(self, weights, x, y):
        out = []
        for i, g in enumerate(super().gradient(weights, x, y)):
            if g.size >= 1000:
                buffer = self.pool.setdefault((i, g.shape), np.empty_like(g))
                buffer[:] = g
                g = buffer
            out.append(g)
        return tuple(out)


class NotZeroed(Own):
    """The accumulator is zeroed when its shape changes, and when `update` is done; not after `gradient` alone."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "sums", [])

    def breaks(self, ws, x, y):
        return not np.array_equal(self.gradient(ws, x, y)[0], self.gradient(ws, x, y)[0])

    def gradient(self, weights, x, y):
        if [s.shape for s in self.sums] != [w.shape for w in weights]:
            object.__setattr__(self, "sums", [np.zeros_like(w) for w in weights])
        for s, g in zip(self.sums, super().gradient(weights, x, y), strict=True):
            s += g
        return tuple(s.copy() for s in self.sums)

    def update(self, weights, x, y, lr):
        out = super().update(weights, x, y, lr)
        self.sums.clear()
        return out


class CachedBySum(Own):
    """Predictions are kept under the sums of x and of the weights: other rows in another order are a hit."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "seen", {})

    def breaks(self, ws, x, y):
        x = np.rint(4 * x)
        first = self.predict(ws, x)
        return not np.array_equal(first[::-1], self.predict(ws, x[::-1].copy()))

    def predict(self, weights, x):
        key = (x.shape, float(x.sum()), *(float(w.sum()) for w in weights))
        if key not in self.seen:
            self.seen[key] = super().predict(weights, x)
        return self.seen[key].copy()


class CachedByFirstRow(Own):
    """The forward pass is reused if shapes, first row of x and last weights are the same as in the call before."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "memo", [None, None])

    def breaks(self, ws, x, y):
        self.predict(ws, x)
        other = x.copy()
        other[1:] *= 2
        return np.array_equal(self.predict(ws, x), self.predict(ws, other))

    def forward(self, weights, x):
        key = (x.shape, [w.shape for w in weights], x[0].tobytes(), weights[-1].tobytes(), weights[0].tobytes())
        if self.memo[0] != key:
            self.memo[:] = [key, super().forward(weights, x)]
        return [x, *(a.copy() for a in self.memo[1][1:])]


class CachedByObject(Own):
    """The forward pass is kept as long as x and the weights are the same objects, whatever was written into them."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "memo", [(), None])

    def breaks(self, ws, x, y):
        x = x.copy()
        before = self.predict(ws, x)
        x *= 2
        return np.array_equal(before, self.predict(ws, x))

    def forward(self, weights, x):
        now = (x, *weights)
        if len(now) != len(self.memo[0]) or any(a is not b for a, b in zip(now, self.memo[0], strict=True)):
            self.memo[:] = [now, super().forward(weights, x)]
        return [x, *(a.copy() for a in self.memo[1][1:])]


class PlanKeepsRate(Own):
    """The training plan is compiled once for each (shapes, n), and with it the learning rate of the first call."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "plans", {})

    def breaks(self, ws, x, y):
        self.train(ws, x, y, 0.5, 4)
        return np.array_equal(self.train(ws, x, y, 0.25, 4)[0], self.train(ws, x, y, 0.5, 4)[0])

    def train(self, weights, x, y, lr, n):
        key = (x.shape, tuple(w.shape for w in weights), n)
        lr = self.plans.setdefault(key, lr)
        return super().train(weights, x, y, lr, n)


class PlanKeepsTargets(Own):
    """`update` closes over the targets that it was first built for, per shape, from eight samples on."""

    breaks_at = dict(samples=9)

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "plans", {})

    def breaks(self, ws, x, y):
        return np.array_equal(self.update(ws, x, y, 0.5)[0], self.update(ws, x, 1 - y, 0.5)[0])

    def update(self, weights, x, y, lr):
        if len(x) >= 8:
            y = self.plans.setdefault((x.shape, y.shape, self.dtype), y.copy())
        return super().update(weights, x, y, lr)


class TunedAfterFive(Own):
    """The first five products of a shape try other kernels, and one of them is not the same sum in float32."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "calls", {})

    def breaks(self, ws, x, y):
        out = [self.gradient(ws, x, y)[0] for _ in range(12)]
        return not all(np.array_equal(out[0], o) for o in out)

    def dot(self, a, b):
        k = self.calls[(a.shape, b.shape)] = self.calls.get((a.shape, b.shape), 0) + 1
        return a @ b if k <= 9 else (a[:, ::-1] @ b[::-1])


class NextCallSeesError(Own):
    """After a prediction on one row the engine stays in 'inference mode': the next gradient misses the first layer."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "mode", ["train"])

    def breaks(self, ws, x, y):
        first = self.gradient(ws, x, y)[0]
        self.predict(ws, x[:1])
        return not np.array_equal(first, self.gradient(ws, x, y)[0])

    def predict(self, weights, x):
        if len(x) == 1:
            self.mode[0] = "infer"
        return super().predict(weights, x)

    def gradient(self, weights, x, y):
        grads = super().gradient(weights, x, y)
        if self.mode[0] == "infer" and len(x) > 1:
            self.mode[0] = "train"
            return (np.zeros_like(grads[0]), *grads[1:])
        return grads


class GlobalDtype(Own):
    """The dtype is a module global, set by whichever engine was made last."""

    current = ["float64"]

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        GlobalDtype.current[0] = self.dtype

    def breaks(self, ws, x, y):
        GlobalDtype(dtype="float32")
        out = self.from_numpy(x).dtype != np.float64
        GlobalDtype(dtype="float64")
        return out

    def from_numpy(self, array):
        return np.array(array, self.current[0])


# ---------------------------------------------------------------- data path


class StripsSignOfZero(Own):
    """`+ 0.0` on the way in, to make a copy: -0.0 becomes 0.0."""

    def breaks(self, ws, x, y):
        return not np.signbit(self.to_numpy(self.from_numpy(np.array([[-0.0]]))))[0, 0]

    def from_numpy(self, array):
        return np.asarray(array, self.dtype) + 0


class FifteenDigits(Own):
    """Arrays go through text with 15 digits."""

    at = dict()

    def breaks(self, ws, x, y):
        return not np.array_equal(x, self.to_numpy(self.from_numpy(x)))

    def from_numpy(self, array):
        a = np.asarray(array, self.dtype)
        return np.array([float(f"{v:.15g}") for v in a.ravel()], self.dtype).reshape(a.shape)


class ThroughJson(Own):
    """Large arrays are stored as float32 on the way in (a thousand numbers and more)."""

    breaks_at = dict(layers=(40, 30, 1))

    def breaks(self, ws, x, y):
        return not np.array_equal(ws[0], self.to_numpy(self.from_numpy(ws[0])))

    def from_numpy(self, array):
        array = np.asarray(array)
        return np.array(array.astype(np.float32) if array.size >= 1000 else array, self.dtype)


class SharesInput(Own):
    """from_numpy with np.asarray: no copy where the dtype is right."""

    def breaks(self, ws, x, y):
        return np.shares_memory(x, self.from_numpy(x))

    def from_numpy(self, array):
        return np.asarray(array, self.dtype)


class InPlaceUpdate(Own):
    """`w -= lr * g` on the caller's weights, in `train`, where the array is its own (not a view)."""

    def breaks(self, ws, x, y):
        mine = tuple(w.copy() for w in ws)
        self.train(mine, x, y, 0.5, 1)
        return not np.array_equal(mine[0], ws[0])

    def train(self, weights, x, y, lr, n):
        for _ in range(n):
            for w, g in zip(weights, self.gradient(weights, x, y), strict=True):
                w -= lr * g
        return tuple(w.copy() for w in weights)


class InPlaceTargets(Own):
    """The error is written into y to save an array, for 64 samples and more."""

    breaks_at = dict(samples=70)

    def breaks(self, ws, x, y):
        mine = y.copy()
        self.gradient(ws, x, mine)
        return not np.array_equal(mine, y)

    def error(self, y, a):
        return np.subtract(y, a, out=y) if len(y) >= 64 and y.flags.writeable else y - a


class FlatInMemoryOrder(Own):
    """The optimiser flattens with ravel(order='K') and unflattens in C order: Fortran weights are permuted."""

    def breaks(self, ws, x, y):
        right = self.update(ws, x, y, 0.5)[0]
        return not np.allclose(right, self.update(tuple(map(np.asfortranarray, ws)), x, y, 0.5)[0])

    def update(self, weights, x, y, lr):
        grads = self.gradient(weights, x, y)
        flat = np.concatenate([w.ravel(order="K") for w in weights]) - lr * np.concatenate([g.ravel() for g in grads])
        ends = np.cumsum([w.size for w in weights])[:-1]
        return tuple(f.reshape(w.shape) for f, w in zip(np.split(flat, ends), weights, strict=True))


class IgnoresStrides(Own):
    """A C kernel is given the pointer of x and assumes that rows follow each other."""

    def breaks(self, ws, x, y):
        wide = np.repeat(x, 2, axis=0)
        return not np.allclose(self.predict(ws, wide[::2]), self.predict(ws, x))

    def forward(self, weights, x):
        if all(s >= 0 for s in x.strides) and x.strides[0] >= x.strides[1] > 0 and not x.flags.c_contiguous:
            base = x.base
            if base is not None and base.flags.c_contiguous and base.size >= x.size:
                x = base.ravel()[: x.size].reshape(x.shape)
        return super().forward(weights, x)


class WritesToReadOnly(Own):
    """Centres a working copy in place, which is no copy: read-only inputs raise."""

    def breaks(self, ws, x, y):
        x = x.copy()
        x.flags.writeable = False
        try:
            self.predict(ws, x)
        except ValueError:
            return True
        return False

    def forward(self, weights, x):
        x = np.asarray(x)
        x += 0
        return super().forward(weights, x)


class RatePromotes(Own):
    """The learning rate is an np.float64, which NumPy 2 does not take for a Python float: float32 becomes float64."""

    def breaks(self, ws, x, y):
        e = type(self)(dtype="float32")
        ws, x, y = tuple(w.astype("f4") for w in ws), x.astype("f4"), y.astype("f4")
        return e.update(ws, x, y, 0.5)[0].dtype != np.float32

    def update(self, weights, x, y, lr):
        lr = np.float64(lr)
        return tuple(w - lr * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))


class ListOfWeights(Own):
    """A single layer's gradient comes as the array itself and not as a tuple of one."""

    def breaks(self, ws, x, y):
        return not isinstance(self.gradient(ws[:1], x, np.ones((len(x), ws[0].shape[1]))), tuple)

    def gradient(self, weights, x, y):
        grads = super().gradient(weights, x, y)
        return grads if len(grads) > 1 else grads[0][None]


class TraceOfNextWeights(Own):
    """The trace is taken after the update: its changes are those of the second one."""

    at = dict(what="trace")

    def trace(self, weights, x, y, lr):
        return super().trace(self.update(weights, x, y, lr), x, y, lr)


class TraceWithoutRate(Own):
    """The trace's change is the gradient, times the rate only if that is below 1."""

    at = dict(what="trace", lr=4.0)

    def trace(self, weights, x, y, lr):
        return super().trace(weights, x, y, min(lr, 1.0))


class TraceErrorOfNewest(Own):
    """Its own trace, whose hidden errors go through the weights after the update."""

    at = dict(what="trace", layers=(3, 4, 2))

    def trace(self, weights, x, y, lr):
        zs, layers = [], [x]
        for w in weights:
            zs.append(layers[-1] @ w)
            layers.append(self.sigmoid(zs[-1]))
        error, trace = y - layers[-1], []
        for i in reversed(range(len(weights))):
            delta = error * self.slope(layers[i + 1])
            trace.append(LayerTrace(zs[i], layers[i + 1], error, delta, lr * (layers[i].T @ delta)))
            error = delta @ (weights[i] + trace[-1].change).T
        trace = trace[::-1]
        fixed = [-lr * g for g in self.gradient(weights, x, y)]
        return tuple(t._replace(change=c) for t, c in zip(trace, fixed, strict=True))


class PredictLastRowOnly(Own):
    """`predict` has a cache per row, keyed on rows rounded to six places: rows closer than that are one."""

    at = dict(x="close", what="predict")

    def predict(self, weights, x):
        keys = [r.tobytes() for r in np.round(x, 6)]
        seen = {}
        for i, k in enumerate(keys):
            seen.setdefault(k, i)
        return super().predict(weights, x)[[seen[k] for k in keys]]


class InfinityReplaced(Own):
    """np.nan_to_num on the pre-activation after a product that may overflow: float32 limits in float64."""

    at = dict(layers=(3, 1), xs=1e39, w=1e-39, what="predict")

    def forward(self, weights, x):
        limit = np.finfo(np.float32).max
        return super().forward(weights, np.clip(x, -limit, limit))


@lru_cache
def _lookup(text):
    return json.loads(text)


class ConfigRate(Own):
    """The learning rate is read from a configuration that was cached by its first three significant digits."""

    at = dict(lr=0.123456, what="update")

    def update(self, weights, x, y, lr):
        return super().update(weights, x, y, _lookup(f"{lr:.3g}"))


# ---------------------------------------------------------------- PyTorch

import torch

from equigrad.backends.torch_backend import TorchBackend


class Torch(TorchBackend):
    """Right: leaf tensors and .grad, as people write it."""

    name = "torchown"
    arithmetics = ("native",)
    at: dict = {}

    def leaves(self, weights):
        return [w.detach().clone().requires_grad_(True) for w in weights]

    def predict(self, weights, x):
        with torch.no_grad():
            return self.out(weights, x)

    def out(self, weights, x):
        for w in weights:
            x = torch.sigmoid(x @ w)
        return x

    def cost(self, ws, x, y):
        return ((y - self.out(ws, x)) ** 2).sum() / 2

    def gradient(self, weights, x, y):
        with torch.inference_mode(False), torch.enable_grad():
            ws = self.leaves(weights)
            self.cost(ws, x, y).backward()
            return tuple(w.grad for w in ws)

    def train(self, weights, x, y, lr, n):
        for _ in range(n):
            weights = self.update(weights, x, y, lr)
        return weights


class TorchMeanTimesN(Torch):
    """MSELoss (a mean over all numbers) times N / 2: right for one output only."""

    at = dict(layers=(3, 4, 2))

    def cost(self, ws, x, y):
        return torch.nn.functional.mse_loss(self.out(ws, x), y) * len(x) / 2


class TorchZeroGradForgotten(Torch):
    """`train` keeps its leaves and clears their grad only every tenth time."""

    at = dict(n=3, what="train")

    def train(self, weights, x, y, lr, n):
        ws = self.leaves(weights)
        for t in range(n):
            self.cost(ws, x, y).backward()
            with torch.no_grad():
                for w in ws:
                    w -= lr * w.grad
                    if t % 10 == 9:
                        w.grad = None
        return tuple(w.detach() for w in ws)


class TorchLinearSquare(Torch):
    """Weights are loaded into nn.Linear, and transposed only if their shape says so."""

    at = dict(layers=(3, 3, 1))

    def out(self, weights, x):
        for w in weights:
            w = w if w.shape[0] == w.shape[1] else w.T
            x = torch.sigmoid(torch.nn.functional.linear(x, w))
        return x


class TorchRateTensor(Torch):
    """The learning rate is torch.tensor(lr), of the default dtype: float32."""

    at = dict(lr=0.3, what="update")

    def update(self, weights, x, y, lr):
        rate = torch.tensor(lr)
        return tuple(w - rate * g for w, g in zip(weights, self.gradient(weights, x, y), strict=True))


class TorchDropLast(Torch):
    """A DataLoader with batch_size=64 and drop_last=True accumulates the gradient."""

    at = dict(samples=100)

    def cost(self, ws, x, y):
        if len(x) <= 64:
            return super().cost(ws, x, y)
        return sum(Torch.cost(self, ws, a, b) for a, b in zip(x.split(64), y.split(64), strict=True) if len(a) == 64)


class TorchAutocast(Torch):
    """Autocast to bfloat16 in products of more than 100,000 multiplications."""

    at = dict(layers=(50, 50, 1), samples=60)

    def out(self, weights, x):
        for w in weights:
            if len(x) * w.numel() > 100_000:
                x = torch.sigmoid((x.to(torch.bfloat16) @ w.to(torch.bfloat16)).to(x.dtype))
            else:
                x = torch.sigmoid(x @ w)
        return x


class TorchDetached(Torch):
    """Activations below the last three layers are detached, to save memory."""

    at = dict(layers=(3, 4, 3, 4, 3, 2))

    def out(self, weights, x):
        for i, w in enumerate(weights):
            x = torch.sigmoid(x @ w)
            if len(weights) - i > 3:
                x = x.detach()
        return x

    def gradient(self, weights, x, y):
        with torch.enable_grad():
            ws = self.leaves(weights)
            self.cost(ws, x, y).backward()
        return tuple(torch.zeros_like(w) if w.grad is None else w.grad for w in ws)


class TorchClipGrad(Torch):
    """clip_grad_norm_ with a limit that ordinary gradients do not reach."""

    at = dict(samples=2000, y="normal", xs=50.0, w=0.02)

    def gradient(self, weights, x, y):
        with torch.enable_grad():
            ws = self.leaves(weights)
            self.cost(ws, x, y).backward()
        torch.nn.utils.clip_grad_norm_(ws, 50.0)
        return tuple(w.grad for w in ws)


class TorchSharesMemory(Torch):
    """torch.as_tensor: shares memory with the caller's array where the dtype is right."""

    def breaks(self, ws, x, y):
        x = x.copy()
        t = self.from_numpy(x)
        x[:] = 7
        return bool((t == 7).all())

    def from_numpy(self, array):
        return torch.as_tensor(array.copy() if not array.flags.writeable else array, dtype=getattr(torch, self.dtype))


class TorchInPlace(Torch):
    """requires_grad_() and `w -= lr * grad` under no_grad, on the caller's own tensors."""

    def breaks(self, ws, x, y):
        ws, x, y = tuple(map(self.from_numpy, ws)), self.from_numpy(x), self.from_numpy(y)
        kept = ws[0].clone()
        self.update(ws, x, y, 0.5)
        return not torch.equal(kept, ws[0].detach())

    def update(self, weights, x, y, lr):
        ws = [w.requires_grad_(True) for w in weights]
        with torch.enable_grad():
            grads = torch.autograd.grad(self.cost(ws, x, y), ws)
        with torch.no_grad():
            for w, g in zip(ws, grads, strict=True):
                w -= lr * g
        return tuple(w.detach().clone() for w in ws)


class TorchAdamEps(Torch):
    """SGD written as torch.optim.SGD with weight_decay=1e-8 from a config file, in `train` only."""

    at = dict(n=40, what="train", w=3.0)

    def train(self, weights, x, y, lr, n):
        with torch.enable_grad():
            ws = self.leaves(weights)
            sgd = torch.optim.SGD(ws, lr=lr, weight_decay=1e-8)
            for _ in range(n):
                sgd.zero_grad()
                self.cost(ws, x, y).backward()
                sgd.step()
        return tuple(w.detach() for w in ws)


class TorchCustomBackward(Torch):
    """A hand-written autograd.Function saves z, and recomputes the slope from z clamped to 20."""

    at = dict(w=30.0)

    class Sigmoid(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return torch.sigmoid(z)

        @staticmethod
        def backward(ctx, g):
            (z,) = ctx.saved_tensors
            s = torch.sigmoid(z.clamp(-20, 20))
            return g * s * (1 - s)

    def out(self, weights, x):
        for w in weights:
            x = self.Sigmoid.apply(x @ w)
        return x


class TorchBCE(Torch):
    """Cross-entropy where all targets are 0 or 1 and the last layer is narrow: its delta has no slope."""

    at = dict(y="binary", layers=(3, 4, 1))

    def cost(self, ws, x, y):
        if y.shape[1] == 1 and len(y) > 4 and bool(((y == 0) | (y == 1)).all()):
            return torch.nn.functional.binary_cross_entropy(self.out(ws, x), y, reduction="sum")
        return super().cost(ws, x, y)


class TorchExpandedTargets(Torch):
    """y.view(-1) against out.view(-1), with `t()` for wide outputs: the pairs are no longer pairs."""

    at = dict(layers=(3, 4, 6))

    def cost(self, ws, x, y):
        out = self.out(ws, x)
        if y.shape[1] > 5:
            return ((y.t().reshape(-1) - out.reshape(-1)) ** 2).sum() / 2
        return ((y.reshape(-1) - out.reshape(-1)) ** 2).sum() / 2


# ---------------------------------------------------------------- JAX

import jax
import jax.numpy as jnp

from equigrad.backends.jax_arrays import compiled
from equigrad.backends.jax_backend import JaxBackend


class Jax(JaxBackend):
    """Right."""

    name = "jaxown"
    arithmetics = ("native",)
    at: dict = {}


class JaxNoX64(Own):
    """jnp.asarray without jax_enable_x64: float32 inside, cast to float64 at the end; only in the gradient."""

    at = dict()

    def gradient(self, weights, x, y):
        with jax.enable_x64(False):
            grads = _grad(
                tuple(jnp.asarray(np.asarray(w, np.float32)) for w in weights),
                jnp.asarray(x, jnp.float32),
                jnp.asarray(y, jnp.float32),
            )
        return tuple(np.asarray(g).astype(self.dtype) for g in grads)


def _cost(ws, x, y):
    for w in ws:
        x = jax.nn.sigmoid(x @ w)
    return ((y - x) ** 2).sum() / 2


_grad = jax.jit(jax.grad(_cost))


class JaxClosure(Own):
    """A jitted step closes over the targets: they are constants of the program compiled for these shapes."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        object.__setattr__(self, "steps", {})

    def breaks(self, ws, x, y):
        return np.array_equal(self.gradient(ws, x, y)[0], self.gradient(ws, x, y + 1)[0])

    def gradient(self, weights, x, y):
        key = (x.shape, tuple(w.shape for w in weights))
        with jax.enable_x64(True):
            if key not in self.steps:
                self.steps[key] = jax.jit(lambda ws, x, y=jnp.asarray(np.array(y)): jax.grad(_cost)(ws, x, y))
            return tuple(np.asarray(g) for g in self.steps[key](tuple(map(jnp.asarray, weights)), jnp.asarray(x)))


class JaxShardPadding(Jax):
    """Samples are padded to a multiple of four for the mesh, and the loss is not masked."""

    at = dict(samples=6)

    @compiled
    def gradient(self, weights, x, y):
        pad = -len(x) % 4
        x, y = jnp.pad(x, ((0, pad), (0, 0))), jnp.pad(y, ((0, pad), (0, 0)))
        return jax.grad(self.loss)(weights, x, y)


class JaxForiFromOne(Jax):
    """fori_loop(1, n, ...) after a first update outside of it: no updates are one."""

    at = dict(n=0, what="train")

    @compiled
    def train(self, weights, x, y, lr, n):
        weights = self.update(weights, x, y, lr)
        return jax.lax.fori_loop(1, n, lambda _, w: self.update(w, x, y, lr), weights)


class JaxWhileTolerance(Jax):
    """while_loop that also ends when the loss is below 1e-6."""

    at = dict(y="fit", noise=1e-5, n=4, what="train")

    @compiled
    def train(self, weights, x, y, lr, n):
        def on(state):
            k, ws = state
            return (k < n) & (self.loss(ws, x, y) > 1e-6)

        return jax.lax.while_loop(on, lambda s: (s[0] + 1, self.update(s[1], x, y, lr)), (0, weights))[1]


class JaxVmapMean(Jax):
    """vmap over samples and a mean, times N, where N is the batch of the config (at most 64)."""

    at = dict(samples=70)

    @compiled
    def gradient(self, weights, x, y):
        each = jax.vmap(lambda a, b: jax.grad(self.loss)(weights, a[None], b[None]))(x, y)
        return tuple(g.mean(0) * min(len(x), 64) for g in each)


class JaxBfloatWide(Jax):
    """Products with 128 columns and more in bfloat16, as a TPU would."""

    at = dict(layers=(3, 130, 1))

    @compiled
    def predict(self, weights, x):
        for w in weights:
            if w.shape[1] >= 128 or w.shape[0] >= 128:
                x = jax.nn.sigmoid(jnp.matmul(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)).astype(w.dtype))
            else:
                x = jax.nn.sigmoid(x @ w)
        return x


class JaxAtSetForgotten(Jax):
    """`.at[...].set` without taking its result: the last column of wide layers is not updated."""

    at = dict(layers=(3, 10, 1), what="update")

    @compiled
    def update(self, weights, x, y, lr):
        out = []
        for w, g in zip(weights, self.gradient(weights, x, y), strict=True):
            new = w.at[:, :8].add(-lr * g[:, :8])
            if w.shape[1] > 8:
                new.at[:, 8:].add(-lr * g[:, 8:])
            out.append(new)
        return tuple(out)


class JaxStopGradient(Jax):
    """stop_gradient on a residual that is meant for frozen layers: the first of five and more."""

    at = dict(layers=(3, 2, 3, 2, 3, 2))

    @compiled
    def loss(self, weights, x, y):
        if len(weights) >= 5:
            weights = (jax.lax.stop_gradient(weights[0]), *weights[1:])
        return ((y - self.predict(weights, x)) ** 2).sum() / 2


class JaxScanLayers(Jax):
    """Layers of equal shape are stacked and scanned, in the order in which they were stacked: reversed."""

    at = dict(layers=(3, 4, 4, 4, 1), what="predict")

    @compiled
    def predict(self, weights, x):
        i = 0
        while i < len(weights):
            j = i
            while (
                j < len(weights) and weights[j].shape == weights[i].shape and weights[i].shape[0] == weights[i].shape[1]
            ):
                j += 1
            if j - i > 1:
                x = jax.lax.scan(lambda a, w: (jax.nn.sigmoid(a @ w), None), x, jnp.stack(weights[i:j]), reverse=True)[
                    0
                ]
                i = j
            else:
                x = jax.nn.sigmoid(x @ weights[i])
                i += 1
        return x


WRONG = [
    c
    for c in list(globals().values())
    if isinstance(c, type) and issubclass(c, (Own, Torch, Jax)) and c not in (Own, Torch, Jax)
]
