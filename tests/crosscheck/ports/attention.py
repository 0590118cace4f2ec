"""Causal self-attention with two heads."""

import jax
import jax.numpy as jnp
import torch

SHAPES = {"x": (2, 4, 6), "wq": (6, 6), "wk": (6, 6), "wv": (6, 6), "wo": (6, 6)}


def f_torch(x, wq, wk, wv, wo):
    n, t, d = x.shape
    q = (x @ wq.T).view(n, t, 2, 3).transpose(1, 2)  # queries
    k = (x @ wk.T).view(n, t, 2, 3).transpose(1, 2)  # keys
    v = (x @ wv.T).view(n, t, 2, 3).transpose(1, 2)  # values
    scores = q @ k.transpose(-2, -1) / 3**0.5  # scores
    mask = torch.ones(t, t, dtype=torch.bool).tril()  # mask
    scores = scores.masked_fill(~mask, float("-inf"))  # masked
    p = scores.softmax(dim=-1)  # softmax
    out = (p @ v).transpose(1, 2).reshape(n, t, d)  # mix
    return out @ wo.T  # out


def f_jax(x, wq, wk, wv, wo):
    n, t, d = x.shape
    q = (x @ wq.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # queries
    k = (x @ wk.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # keys
    v = (x @ wv.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # values
    scores = jnp.einsum("nhqd,nhkd->nhqk", q, k) / jnp.sqrt(3.0)  # scores
    mask = jnp.tril(jnp.ones((t, t), bool))  # mask
    scores = jnp.where(mask, scores, -jnp.inf)  # masked
    p = jax.nn.softmax(scores, axis=-1)  # softmax
    out = jnp.einsum("nhqk,nhkd->nqhd", p, v).reshape(n, t, d)  # mix
    return out @ wo.T  # out
