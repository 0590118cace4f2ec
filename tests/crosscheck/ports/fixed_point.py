"""Five steps of a damped fixed-point iteration; JAX loops with fori_loop."""

import jax
import jax.numpy as jnp
import torch

SHAPES = {"x": (5, 4), "w": (4, 4)}


def f_torch(x, w):
    w = 0.5 * w / w.norm()  # scale
    z = torch.zeros_like(x)
    for _ in range(5):  # loop
        new = torch.tanh(z @ w + x)  # step
        z = 0.5 * z + 0.5 * new  # damping
    return z.pow(2).sum()  # result


def f_jax(x, w):
    w = 0.5 * w / jnp.linalg.norm(w)  # scale

    def body(_, z):
        new = jnp.tanh(z @ w + x)  # step
        return 0.5 * z + 0.5 * new  # damping

    z = jax.lax.fori_loop(0, 5, body, jnp.zeros_like(x))  # loop
    return (z**2).sum()  # result
