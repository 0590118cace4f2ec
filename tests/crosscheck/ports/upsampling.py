"""A decoder's stage: a transposed convolution, ELU, and bilinear interpolation."""

import jax
import jax.numpy as jnp
import torch.nn.functional as F
from jax.lax import conv_transpose

SHAPES = {"x": (2, 3, 3, 4), "k": (3, 2, 4, 4), "b": (2,)}


def f_torch(x, k, b):
    h = F.conv_transpose2d(x, k, b, stride=2, padding=1)  # transposed
    h = F.elu(h, 0.7)  # elu
    h = F.interpolate(h, scale_factor=1.5, mode="bilinear", align_corners=False)  # interpolate
    return (h**2).mean((2, 3))  # energy


def f_jax(x, k, b):
    numbers = ("NCHW", "OIHW", "NCHW")
    h = conv_transpose(x, k, (2, 2), ((2, 2), (2, 2)), dimension_numbers=numbers, transpose_kernel=True)  # transposed
    h = h + b[:, None, None]  # transposed
    h = jax.nn.elu(h, 0.7)  # elu
    n, c, height, width = h.shape
    h = jax.image.resize(h, (n, c, 3 * height // 2, 3 * width // 2), "bilinear")  # interpolate
    return jnp.mean(h**2, (2, 3))  # energy
