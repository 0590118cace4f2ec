"""An LSTM over four steps; JAX scans."""

import jax
import jax.numpy as jnp
import torch

SHAPES = {"x": (4, 5, 3), "wi": (16, 3), "wh": (16, 4), "b": (16,)}


def f_torch(x, wi, wh, b):
    h = c = torch.zeros(5, 4, dtype=x.dtype)
    for step in x:
        gates = step @ wi.T + h @ wh.T + b  # gates
        i, f, g, o = gates.chunk(4, dim=1)  # split
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)  # cell
        h = torch.sigmoid(o) * torch.tanh(c)  # hidden
    return h.sum(1)  # result


def f_jax(x, wi, wh, b):
    def step(carry, x):
        h, c = carry
        gates = x @ wi.T + h @ wh.T + b  # gates
        i, f, g, o = jnp.split(gates, 4, axis=1)  # split
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)  # cell
        h = jax.nn.sigmoid(o) * jnp.tanh(c)  # hidden
        return (h, c), None

    zero = jnp.zeros((5, 4), x.dtype)
    (h, _), _ = jax.lax.scan(step, (zero, zero), x)
    return h.sum(1)  # result
