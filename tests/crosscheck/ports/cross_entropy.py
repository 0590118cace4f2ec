"""Softmax cross-entropy with smoothed labels on top of a temperature."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "w": (4, 6), "labels": "labels"}


def f_torch(x, w, labels):
    logits = x @ w  # logits
    logits = logits / 0.7  # temperature
    return F.cross_entropy(logits, labels, label_smoothing=0.1)  # loss


def f_jax(x, w, labels):
    logits = x @ w  # logits
    logits = logits / 0.7  # temperature
    logp = jax.nn.log_softmax(logits, axis=-1)  # loss
    target = jax.nn.one_hot(labels, 6) * 0.9 + 0.1 / 6  # loss
    return -jnp.mean(jnp.sum(target * logp, axis=-1))  # loss
