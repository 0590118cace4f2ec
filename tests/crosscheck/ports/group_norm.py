"""Group norm before SiLU, and squeeze-and-excitation after it; an array as the result."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (2, 4, 3, 3), "g": (4,), "b": (4,), "down": (3, 4), "up": (4, 3)}


def f_torch(x, g, b, down, up):
    h = F.group_norm(x, 2, g, b)  # norm
    h = F.silu(h)  # silu
    s = h.mean((2, 3))  # squeeze
    s = F.relu(s @ down.T)  # down
    s = torch.sigmoid(s @ up.T)  # up
    return x + h * s[:, :, None, None]  # excite


def f_jax(x, g, b, down, up):
    n, c, height, width = x.shape
    groups = x.reshape(n, 2, c // 2, height, width)  # norm
    mean = groups.mean((2, 3, 4), keepdims=True)  # norm
    var = groups.var((2, 3, 4), keepdims=True)  # norm
    h = ((groups - mean) * jax.lax.rsqrt(var + 1e-5)).reshape(x.shape)  # norm
    h = h * g[:, None, None] + b[:, None, None]  # norm
    h = jax.nn.silu(h)  # silu
    s = jnp.mean(h, (2, 3))  # squeeze
    s = jax.nn.relu(s @ down.T)  # down
    s = jax.nn.sigmoid(s @ up.T)  # up
    return x + h * s[:, :, None, None]  # excite
