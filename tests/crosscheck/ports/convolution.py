"""Strided convolution, leaky ReLU, average pooling over space and a linear layer; channels first."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (2, 3, 6, 6), "k": (4, 3, 3, 3), "b": (4,), "w": (6, 4)}


def f_torch(x, k, b, w):
    h = F.conv2d(x, k, b, stride=2, padding=1)  # convolution
    h = F.leaky_relu(h, 0.1)  # activation
    h = h.mean((2, 3))  # pool
    out = h @ w.T  # linear
    return out.square().sum(1)  # norm


def f_jax(x, k, b, w):
    h = jax.lax.conv_general_dilated(x, k, (2, 2), ((1, 1), (1, 1)))  # convolution
    h = h + b[:, None, None]  # convolution
    h = jax.nn.leaky_relu(h, 0.1)  # activation
    h = h.mean((2, 3))  # pool
    out = h @ w.T  # linear
    return (out**2).sum(1)  # norm
