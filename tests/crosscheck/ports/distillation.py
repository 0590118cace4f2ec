"""A student's loss: the divergence from its teacher at a temperature, and log-sum-exp kept small."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "ws": (6, 4), "wt": (6, 4)}


def f_torch(x, ws, wt):
    student = x @ ws.T  # student
    teacher = (x @ wt.T).detach()  # teacher
    logq = F.log_softmax(student / 2.0, dim=1)  # softened student
    logp = F.log_softmax(teacher / 2.0, dim=1)  # softened teacher
    soft = F.kl_div(logq, logp, reduction="batchmean", log_target=True)  # divergence
    z = torch.logsumexp(student, dim=1).pow(2).mean()  # z loss
    return 4.0 * soft + 0.01 * z  # total


def f_jax(x, ws, wt):
    student = x @ ws.T  # student
    teacher = jax.lax.stop_gradient(x @ wt.T)  # teacher
    logq = jax.nn.log_softmax(student / 2.0, axis=1)  # softened student
    logp = jax.nn.log_softmax(teacher / 2.0, axis=1)  # softened teacher
    soft = jnp.sum(jnp.exp(logp) * (logp - logq)) / x.shape[0]  # divergence
    z = jnp.mean(jax.scipy.special.logsumexp(student, axis=1) ** 2)  # z loss
    return 4.0 * soft + 0.01 * z  # total
