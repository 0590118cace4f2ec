"""Three steps of a GRU, each of its gates with two biases, and a readout."""

import jax
import jax.numpy as jnp
import torch

SHAPES = {"x": (3, 2, 4), "wi": (15, 4), "wh": (15, 5), "bi": (15,), "bh": (15,), "out": (3, 5)}


def f_torch(x, wi, wh, bi, bh, out):
    h = x.new_zeros(2, 5)
    for t in range(3):
        h = torch.gru_cell(x[t], h, wi, wh, bi, bh)  # cell
    return torch.tanh(h @ out.T)  # readout


def f_jax(x, wi, wh, bi, bh, out):
    h = jnp.zeros((2, 5))
    for t in range(3):
        ir, iz, ih = jnp.split(x[t] @ wi.T + bi, 3, axis=-1)  # cell
        hr, hz, hh = jnp.split(h @ wh.T + bh, 3, axis=-1)  # cell
        r = jax.nn.sigmoid(ir + hr)  # cell
        z = jax.nn.sigmoid(iz + hz)  # cell
        new = jnp.tanh(ih + r * hh)  # cell
        h = (1 - z) * new + z * h  # cell
    return jnp.tanh(h @ out.T)  # readout
