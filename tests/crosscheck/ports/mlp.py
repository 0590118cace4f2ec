"""Two linear layers with GELU between them, mean squared error and weight decay."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "w1": (6, 4), "b1": (6,), "w2": (6, 6), "b2": (6,), "y": (5, 6)}


def f_torch(x, w1, b1, w2, b2, y):
    h = F.linear(x, w1, b1)  # hidden
    h = F.gelu(h)  # gelu
    out = F.linear(h, w2, b2)  # out
    loss = F.mse_loss(out, y)  # loss
    return loss + 0.01 * (w1.square().sum() + w2.square().sum())  # decay


def f_jax(x, w1, b1, w2, b2, y):
    h = x @ w1.T + b1  # hidden
    h = jax.nn.gelu(h, approximate=False)  # gelu
    out = h @ w2.T + b2  # out
    loss = jnp.mean((out - y) ** 2)  # loss
    return loss + 0.01 * (jnp.sum(w1**2) + jnp.sum(w2**2))  # decay
