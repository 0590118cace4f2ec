"""A contrastive loss between normalised views; the second view is a target and gets no gradient."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "y": (5, 4), "w": (6, 4)}


def f_torch(x, y, w):
    a = x @ w.T  # online
    b = (y @ w.T).detach()  # target
    a = F.normalize(a, dim=-1)  # normalise
    b = b / b.norm(dim=-1, keepdim=True)  # normalise target
    sim = a @ b.T / 0.5  # similarity
    return F.cross_entropy(sim, torch.arange(5))  # loss


def f_jax(x, y, w):
    a = x @ w.T  # online
    b = jax.lax.stop_gradient(y @ w.T)  # target
    a = a / jnp.linalg.norm(a, axis=-1, keepdims=True)  # normalise
    b = b / jnp.linalg.norm(b, axis=-1, keepdims=True)  # normalise target
    sim = a @ b.T / 0.5  # similarity
    return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(sim, axis=1)))  # loss
