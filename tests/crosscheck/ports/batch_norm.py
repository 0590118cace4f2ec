"""Batch norm with running statistics after a linear layer, ReLU6 and a log of the mean."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "w": (6, 4), "mean": (6,), "var": "positive 6", "g": (6,), "b": (6,)}


def f_torch(x, w, mean, var, g, b):
    h = x @ w.T  # linear
    h = F.batch_norm(h, mean.detach(), var.detach(), g, b, training=False, eps=1e-5)  # norm
    h = F.softplus(h)  # softplus
    return torch.log(h.mean(0)).sum()  # log


def f_jax(x, w, mean, var, g, b):
    h = x @ w.T  # linear
    scale = g * jax.lax.rsqrt(jax.lax.stop_gradient(var) + 1e-5)  # norm
    h = (h - jax.lax.stop_gradient(mean)) * scale + b  # norm
    h = jax.nn.softplus(h)  # softplus
    return jnp.log(h.mean(0)).sum()  # log
