"""A variational autoencoder's loss, its noise given."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": "unit 5 4", "we": (4, 6), "wd": (3, 4), "noise": (5, 3)}


def f_torch(x, we, wd, noise):
    mean, logvar = (x @ we).chunk(2, dim=1)  # encode
    z = mean + noise * torch.exp(0.5 * logvar)  # sample
    logits = z @ wd  # decode
    fit = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)  # fit
    kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1).mean()  # divergence
    return fit + kl  # loss


def f_jax(x, we, wd, noise):
    mean, logvar = jnp.split(x @ we, 2, axis=1)  # encode
    z = mean + noise * jnp.exp(0.5 * logvar)  # sample
    logits = z @ wd  # decode
    fit = -jnp.sum(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits)) / len(x)  # fit
    kl = -0.5 * (1 + logvar - mean**2 - jnp.exp(logvar)).sum(1).mean()  # divergence
    return fit + kl  # loss
