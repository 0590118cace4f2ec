"""Three steps into Adam with decoupled weight decay: the next weights."""

import jax.numpy as jnp
import torch

SHAPES = {"w": (6,), "g": (6,), "m": (6,), "v": "positive 6"}


def f_torch(w, g, m, v):
    m = torch.lerp(m, g, 0.1)  # first moment
    v = (0.999 * v).addcmul(g, g, value=0.001)  # second moment
    m_hat = m / (1 - 0.9**3)  # first correction
    v_hat = v / (1 - 0.999**3)  # second correction
    w = w * (1 - 0.05 * 0.1)  # decay
    return w - 0.05 * m_hat / (v_hat.sqrt() + 1e-6)  # step


def f_jax(w, g, m, v):
    m = 0.9 * m + 0.1 * g  # first moment
    v = 0.999 * v + 0.001 * g**2  # second moment
    m_hat = m / (1 - 0.9**3)  # first correction
    v_hat = v / (1 - 0.999**3)  # second correction
    w = w - 0.05 * 0.1 * w  # decay
    return w - 0.05 * m_hat / (jnp.sqrt(v_hat) + 1e-6)  # step
