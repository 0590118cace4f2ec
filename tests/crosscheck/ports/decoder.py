"""A layer as in large language models: embedding, RMS norm, rotary positions, gated SiLU, tied output."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"tokens": "tokens", "table": (7, 6), "g": (6,), "wg": (6, 6), "wu": (6, 6), "wd": (6, 6)}


def f_torch(tokens, table, g, wg, wu, wd):
    h = F.embedding(tokens, table) * 6**0.5  # embed
    n = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)  # norm
    n = n * g  # gain
    position = torch.arange(4, dtype=h.dtype)[:, None]
    angle = position * 0.1 ** torch.arange(3, dtype=h.dtype)  # angle
    a, b = n[..., :3], n[..., 3:]  # halves
    n = torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)  # rotate
    gate = F.silu(n @ wg.T)  # gate
    h = h + (gate * (n @ wu.T)) @ wd.T  # mlp
    return h @ table.T  # logits


def f_jax(tokens, table, g, wg, wu, wd):
    h = table[tokens] * jnp.sqrt(6.0)  # embed
    n = h * jax.lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6)  # norm
    n = n * g  # gain
    position = jnp.arange(4, dtype=h.dtype)[:, None]
    angle = position * 0.1 ** jnp.arange(3, dtype=h.dtype)  # angle
    a, b = n[..., :3], n[..., 3:]  # halves
    c, s = jnp.cos(angle), jnp.sin(angle)  # angle
    n = jnp.concatenate([a * c - b * s, b * c + a * s], -1)  # rotate
    gate = jax.nn.silu(n @ wg.T)  # gate
    h = h + (gate * (n @ wu.T)) @ wd.T  # mlp
    return h @ table.T  # logits
