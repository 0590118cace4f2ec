"""Attention by cosine with a learned temperature, a bias by distance, and padding masked."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (2, 5, 6), "wq": (6, 6), "wk": (6, 6), "wv": (6, 6), "scale": (2, 1, 1), "bias": (2, 9)}


def f_torch(x, wq, wk, wv, scale, bias):
    n, t, d = x.shape
    q = (x @ wq.T).view(n, t, 2, 3).transpose(1, 2)  # queries
    k = (x @ wk.T).view(n, t, 2, 3).transpose(1, 2)  # keys
    v = (x @ wv.T).view(n, t, 2, 3).transpose(1, 2)  # values
    q = F.normalize(q, dim=-1)  # unit queries
    k = F.normalize(k, dim=-1)  # unit keys
    scores = q @ k.transpose(-1, -2) * torch.clamp(scale, max=0.5).exp()  # scores
    far = torch.arange(t)[:, None] - torch.arange(t)[None, :] + t - 1
    scores = scores + bias[:, far]  # bias
    scores = scores.masked_fill(torch.arange(t) >= 4, float("-inf"))  # mask
    p = scores.softmax(-1)  # softmax
    return (p @ v).transpose(1, 2).reshape(n, t, d)  # mix


def f_jax(x, wq, wk, wv, scale, bias):
    n, t, d = x.shape
    q = (x @ wq.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # queries
    k = (x @ wk.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # keys
    v = (x @ wv.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)  # values
    q = q / jnp.linalg.norm(q, axis=-1, keepdims=True)  # unit queries
    k = k / jnp.linalg.norm(k, axis=-1, keepdims=True)  # unit keys
    scores = jnp.einsum("nhqd,nhkd->nhqk", q, k) * jnp.exp(jnp.minimum(scale, 0.5))  # scores
    far = jnp.arange(t)[:, None] - jnp.arange(t)[None, :] + t - 1
    scores = scores + bias[:, far]  # bias
    scores = jnp.where(jnp.arange(t) >= 4, -jnp.inf, scores)  # mask
    p = jax.nn.softmax(scores, axis=-1)  # softmax
    return jnp.einsum("nhqk,nhkd->nqhd", p, v).reshape(n, t, d)  # mix
