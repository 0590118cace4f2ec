"""Pairs of functions that are the same: PyTorch's own against those of JAX, SciPy in JAX, stax and Equinox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import nn
from jax.scipy import linalg, special
from torch import nn as tnn


class Pair(NamedTuple):
    """`torch` and `jax` at `inputs`, or a module and a JAX function of `parameters`."""

    torch: Any
    jax: Any
    inputs: Any
    parameters: Any = None


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


X = drawn(4, 6)
UNIT = np.random.default_rng(1).uniform(0.1, 0.9, (4, 6))
SQUARE = drawn(5, 5) + 3 * np.eye(5)
SPD = SQUARE @ SQUARE.T
IMAGE = drawn(2, 3, 8, 8)
LINE = drawn(2, 3, 9)
LABELS = np.array([0, 3, 5, 1])


def _stax(build: Any, shape: tuple[int, ...]) -> tuple[Callable[[Any, Any], Any], Any]:
    from jax.example_libraries import stax

    init, apply = stax.serial(*build(stax))
    return lambda p, x: apply(p, x), _undrawn(jax.eval_shape(lambda: init(jax.random.key(0), shape)[1]))


def _undrawn(model: Any) -> Any:
    """With zeros for parameters: those of PyTorch's module take their place, and to draw some compiles for seconds."""

    def array(leaf: Any) -> Any:
        return jnp.asarray(np.zeros(leaf.shape, leaf.dtype)) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    return jax.tree.map(array, model)


def functions() -> dict[str, Pair]:
    """Functions of arrays."""
    one: dict[str, tuple[Any, Any]] = {
        "relu": (F.relu, nn.relu), "silu": (F.silu, nn.silu), "elu": (F.elu, nn.elu), "selu": (F.selu, nn.selu),
        "celu": (F.celu, nn.celu), "mish": (F.mish, nn.mish), "relu6": (F.relu6, nn.relu6),
        "gelu": (F.gelu, lambda x: nn.gelu(x, approximate=False)),
        "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), nn.gelu),
        "softplus": (F.softplus, nn.softplus), "softsign": (F.softsign, nn.soft_sign),
        "hard tanh": (F.hardtanh, nn.hard_tanh), "hard silu": (F.hardswish, nn.hard_silu),
        "leaky relu": (F.leaky_relu, nn.leaky_relu),
        "log sigmoid": (F.logsigmoid, nn.log_sigmoid), "glu": (F.glu, nn.glu),
        "softmax": (lambda x: F.softmax(x, 0), lambda x: nn.softmax(x, 0)),
        "log softmax": (lambda x: F.log_softmax(x, 1), nn.log_softmax),
        "logsumexp": (lambda x: x.logsumexp(1), lambda x: nn.logsumexp(x, 1)),
        "softmax by hand": (lambda x: F.softmax(x, 1), lambda x: jnp.exp(x) / jnp.exp(x).sum(1, keepdims=True)),
        "layer norm": (lambda x: F.layer_norm(x, (6,)), lambda x: nn.standardize(x, epsilon=1e-5)),
        "mean": (lambda x: x.mean(0), lambda x: x.mean(0)), "variance": (lambda x: x.var(1), lambda x: x.var(1, ddof=1)),
        "std": (lambda x: x.std(0), lambda x: x.std(0, ddof=1)), "product": (lambda x: x.prod(1), lambda x: x.prod(1)),
        "cumsum": (lambda x: x.cumsum(1), lambda x: jnp.cumsum(x, 1)),
        "cumprod": (lambda x: x.cumprod(1), lambda x: jnp.cumprod(x, 1)),
        "largest": (lambda x: x.amax(1), lambda x: x.max(1)), "sorted": (lambda x: x.sort(1).values, lambda x: jnp.sort(x, 1)),
        "top three": (lambda x: x.topk(3).values, lambda x: jax.lax.top_k(x, 3)[0]),
        "median": (lambda x: x.median(), lambda x: jnp.sort(x.ravel())[11]),
        "norm": (lambda x: x.norm(), jnp.linalg.norm), "L1 norm": (lambda x: x.norm(1, dim=1), lambda x: jnp.abs(x).sum(1)),
        "normalised": (lambda x: F.normalize(x, dim=1), lambda x: x / jnp.linalg.norm(x, axis=1, keepdims=True)),
        "cosine": (lambda x: F.cosine_similarity(x[:2], x[2:]), lambda x: (nn_unit(x[:2]) * nn_unit(x[2:])).sum(1)),
        "roll and flip": (lambda x: x.roll(2, 1).flip(0) * x, lambda x: jnp.roll(x, 2, 1)[::-1] * x),
        "outer": (lambda x: torch.outer(x[0], x[1]), lambda x: jnp.outer(x[0], x[1])),
        "einsum": (lambda x: torch.einsum("ij,kj->ik", x, x), lambda x: x @ x.T),
        "clamp": (lambda x: x.clamp(-0.5, 0.5), lambda x: jnp.clip(x, -0.5, 0.5)),
        "where": (lambda x: torch.where(x > 0, x.sin(), x.cos()), lambda x: jnp.where(x > 0, jnp.sin(x), jnp.cos(x))),
        "sinc": (torch.sinc, jnp.sinc), "atan2": (lambda x: torch.atan2(x[0], x[1]), lambda x: jnp.arctan2(x[0], x[1])),
        "erf": (torch.erf, special.erf), "expm1": (torch.expm1, jnp.expm1), "asinh": (torch.asinh, jnp.arcsinh),
        "i0": (torch.i0, special.i0), "detached": (lambda x: x * x.detach(), lambda x: x * jax.lax.stop_gradient(x)),
        "two results": (lambda x: (x.sin(), {"a": x.sum()}), lambda x: (jnp.sin(x), {"a": x.sum()})),
        "rfft": (lambda x: torch.fft.rfft(x).abs(), lambda x: jnp.abs(jnp.fft.rfft(x))),
        "pad": (lambda x: F.pad(x, (1, 2), value=0.5), lambda x: jnp.pad(x, ((0, 0), (1, 2)), constant_values=0.5)),
        "one of each": (lambda x: F.cross_entropy(x, torch.tensor(LABELS)), lambda x: -jnp.take_along_axis(nn.log_softmax(x), LABELS[:, None], 1).mean()),
        "weighted classes": (lambda x: F.nll_loss(F.log_softmax(x, 1), torch.tensor(LABELS), torch.arange(1.0, 7.0, dtype=x.dtype)),
                             lambda x: -(jnp.arange(1.0, 7)[LABELS] * nn.log_softmax(x)[jnp.arange(4), LABELS]).sum() / jnp.arange(1.0, 7)[LABELS].sum()),
    }  # fmt: skip
    unit: dict[str, tuple[Any, Any]] = {
        "lgamma": (torch.lgamma, special.gammaln), "digamma": (torch.digamma, special.digamma),
        "erfinv": (torch.erfinv, special.erfinv), "logit": (torch.logit, special.logit), "log1p": (torch.log1p, jnp.log1p),
        "entropy": (lambda p: torch.special.entr(p).sum(), lambda p: special.entr(p).sum()),
        "xlogy": (lambda p: torch.xlogy(p, p), lambda p: special.xlogy(p, p)),
        "ndtri": (torch.special.ndtri, special.ndtri), "rsqrt": (torch.rsqrt, jax.lax.rsqrt),
        "power": (lambda p: p**2.5, lambda p: p**2.5),
        "binary cross-entropy": (lambda p: F.binary_cross_entropy(p, p.flip(0).detach()),
                                 lambda p: -(lambda t: t * jnp.log(p) + (1 - t) * jnp.log1p(-p))(jax.lax.stop_gradient(p[::-1])).mean()),
        "KL": (lambda p: F.kl_div(p.log(), p.flip(0), reduction="batchmean"), lambda p: special.rel_entr(p[::-1], p).sum() / 4),
        "huber": (lambda p: F.huber_loss(3 * p, p.flip(1)), lambda p: (lambda e: jnp.where(e < 1, e**2 / 2, e - 0.5))(jnp.abs(3 * p - p[:, ::-1])).mean()),
        "gaussian": (lambda p: F.gaussian_nll_loss(p, p.flip(0), p.flip(1)), lambda p: (jnp.log(p[:, ::-1]) + (p - p[::-1]) ** 2 / p[:, ::-1]).mean() / 2),
        "poisson": (lambda p: F.poisson_nll_loss(p, p.flip(0)), lambda p: (jnp.exp(p) - p[::-1] * p).mean()),
    }  # fmt: skip
    square: dict[str, tuple[Any, Any]] = {
        "inverse": (torch.linalg.inv, jnp.linalg.inv), "determinant": (torch.linalg.det, jnp.linalg.det),
        "log determinant": (lambda a: torch.linalg.slogdet(a)[1], lambda a: jnp.linalg.slogdet(a)[1]),
        "solve": (lambda a: torch.linalg.solve(a, a[0]), lambda a: jnp.linalg.solve(a, a[0])),
        "cholesky": (torch.linalg.cholesky, jnp.linalg.cholesky), "eigenvalues": (torch.linalg.eigvalsh, jnp.linalg.eigvalsh),
        "singular values": (torch.linalg.svdvals, lambda a: jnp.linalg.svd(a, compute_uv=False)),
        "nuclear norm": (lambda a: torch.linalg.norm(a, "nuc"), lambda a: jnp.linalg.norm(a, "nuc")),
        "exponential": (lambda a: torch.linalg.matrix_exp(a / 50), lambda a: linalg.expm(a / 50)),
        "matrix power": (lambda a: torch.linalg.matrix_power(a / 9, 5), lambda a: jnp.linalg.matrix_power(a / 9, 5)),
        "pseudo-inverse": (torch.linalg.pinv, jnp.linalg.pinv), "Kronecker": (lambda a: torch.kron(a, a[:2, :2]), lambda a: jnp.kron(a, a[:2, :2])),
        "trace": (torch.trace, jnp.trace), "triangle": (lambda a: a.tril(-1) @ a.triu(), lambda a: jnp.tril(a, -1) @ jnp.triu(a)),
        "whitened": (lambda a: torch.linalg.solve_triangular(torch.linalg.cholesky(a + a.T), a + 1, upper=False),
                     lambda a: linalg.solve_triangular(linalg.cholesky(a + a.T, lower=True), a + 1, lower=True)),
    }  # fmt: skip
    conv = jax.lax.conv_general_dilated
    image: dict[str, tuple[Any, Any]] = {
        "max pool": (lambda x: F.max_pool2d(x, 2), lambda x: x.reshape(2, 3, 4, 2, 4, 2).max((3, 5))),
        "average pool": (lambda x: F.avg_pool2d(x, 2), lambda x: x.reshape(2, 3, 4, 2, 4, 2).mean((3, 5))),
        "group norm": (lambda x: F.group_norm(x, 3), lambda x: (x - x.mean((2, 3), keepdims=True)) * jax.lax.rsqrt(x.var((2, 3), keepdims=True) + 1e-5)),
        "pixel shuffle": (lambda x: F.pixel_unshuffle(x, 2), lambda x: x.reshape(2, 3, 4, 2, 4, 2).transpose(0, 1, 3, 5, 2, 4).reshape(2, 12, 4, 4)),
        "own kernel": (lambda x: F.conv2d(x, x[:, :, :3, :3]), lambda x: conv(x, x[:, :, :3, :3], (1, 1), "VALID")),
        "dilated": (lambda x: F.conv2d(x, x[:, :, :2, :2], dilation=2, stride=2), lambda x: conv(x, x[:, :, :2, :2], (2, 2), "VALID", rhs_dilation=(2, 2))),
        "depthwise": (lambda x: F.conv2d(x, x[0, :, None, :3, :3], groups=3, padding=1), lambda x: conv(x, x[0, :, None, :3, :3], (1, 1), "SAME", feature_group_count=3)),
        "nearest": (lambda x: F.interpolate(x, scale_factor=2), lambda x: jnp.repeat(jnp.repeat(x, 2, 2), 2, 3)),
        "bilinear": (lambda x: F.interpolate(x, size=(16, 16), mode="bilinear"), lambda x: jax.image.resize(x, (2, 3, 16, 16), "linear")),
        "unfold": (lambda x: F.unfold(x, 2, stride=2), lambda x: jax.lax.conv_general_dilated_patches(x, (2, 2), (2, 2), "VALID").reshape(2, 12, 16)),
    }  # fmt: skip
    tables = ((one, X), (unit, UNIT), (square, SPD), (image, IMAGE))
    return {name: Pair(*pair, inputs) for table, inputs in tables for name, pair in table.items()}


def nn_unit(x: Any) -> Any:
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)


def modules() -> dict[str, Pair]:
    """Modules of PyTorch against models of Equinox and stax; JAX's parameters are taken from the module."""
    torch.manual_seed(0)
    dense = _stax(lambda s: (s.Dense(8), s.Tanh, s.Dense(3)), (-1, 6))
    deep = _stax(lambda s: (s.Dense(7), s.Softplus, s.Dense(5), s.Elu, s.Dense(2), s.LogSoftmax), (-1, 6))
    found = {
        "stax: dense": Pair(tnn.Sequential(tnn.Linear(6, 8), tnn.Tanh(), tnn.Linear(8, 3)), dense[0], X, dense[1]),
        "stax: deep": Pair(
            tnn.Sequential(tnn.Linear(6, 7), tnn.Softplus(), tnn.Linear(7, 5), tnn.ELU(), tnn.Linear(5, 2), tnn.LogSoftmax(-1)),
            deep[0], X, deep[1],
        ),
        "dictionary: LSTM cell": Pair(
            tnn.LSTMCell(6, 3), _lstm_cell, X,
            {"weight_ih": np.zeros((12, 6)), "weight_hh": np.zeros((12, 3)), "bias_ih": np.zeros(12), "bias_hh": np.ones(12)},
        ),
    }  # fmt: skip
    try:
        import equinox as eqx
    except ImportError:
        return found
    batched: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
        "linear": (tnn.Linear(6, 4), lambda key: eqx.nn.Linear(6, 4, key=key), X),
        "MLP": (
            tnn.Sequential(tnn.Linear(6, 8), tnn.ReLU(), tnn.Linear(8, 8), tnn.ReLU(), tnn.Linear(8, 2)),
            lambda key: eqx.nn.MLP(6, 2, 8, 2, key=key), X,
        ),
        "layer norm": (tnn.LayerNorm(6), lambda key: eqx.nn.LayerNorm(6), X),
        "RMS norm": (tnn.RMSNorm(6, eps=1e-5), lambda key: eqx.nn.RMSNorm(6, use_bias=False), X),
        "group norm": (tnn.GroupNorm(3, 3), lambda key: eqx.nn.GroupNorm(3, 3), LINE),
        "convolution": (tnn.Conv2d(3, 4, 3, padding=1), lambda key: eqx.nn.Conv2d(3, 4, 3, padding=1, key=key), IMAGE),
        "strided convolution": (tnn.Conv1d(3, 5, 3, 2), lambda key: eqx.nn.Conv1d(3, 5, 3, 2, key=key), LINE),
        "max pool": (tnn.MaxPool1d(3), lambda key: eqx.nn.MaxPool1d(3, 3), LINE),
        "average pool": (tnn.AvgPool2d(2), lambda key: eqx.nn.AvgPool2d(2, 2), IMAGE),
        "embedding": (tnn.Embedding(7, 4), lambda key: eqx.nn.Embedding(7, 4, key=key), LABELS),
        "PReLU": (tnn.PReLU(), lambda key: eqx.nn.PReLU(0.25), X),
    }  # fmt: skip
    for name, (module, make, inputs) in batched.items():
        model = _undrawn(eqx.filter_eval_shape(lambda: make(jax.random.key(0))))  # noqa: B023
        found[f"Equinox: {name}"] = Pair(module, _batched, inputs, model)
    return found


def _batched(model: Any, x: Any) -> Any:
    return jax.vmap(model)(x)


def _lstm_cell(p: Any, x: Any) -> Any:
    h = c = jnp.zeros((len(x), 3), x.dtype)
    gates = x @ p["weight_ih"].T + p["bias_ih"] + h @ p["weight_hh"].T + p["bias_hh"]
    i, f, g, o = jnp.split(gates, 4, axis=1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c
