"""The clipped policy loss of PPO with a value term and an entropy bonus."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "w": (4, 6), "v": (4,), "old": (5,), "returns": (5,), "actions": "labels"}


def f_torch(x, w, v, old, returns, actions):
    logp = F.log_softmax(x @ w, dim=-1)  # logits
    chosen = logp.gather(1, actions[:, None])[:, 0]  # chosen
    value = torch.tanh(x @ v)  # value
    advantage = (returns - value).detach()  # advantage
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)  # normalise
    ratio = torch.exp(chosen - old)  # ratio
    clipped = ratio.clamp(0.8, 1.2)  # clip
    policy = -torch.min(ratio * advantage, clipped * advantage).mean()  # policy
    critic = F.smooth_l1_loss(value, returns)  # critic
    entropy = -(logp.exp() * logp).sum(-1).mean()  # entropy
    return policy + 0.5 * critic - 0.01 * entropy  # loss


def f_jax(x, w, v, old, returns, actions):
    logp = jax.nn.log_softmax(x @ w, axis=-1)  # logits
    chosen = jnp.take_along_axis(logp, actions[:, None], axis=1)[:, 0]  # chosen
    value = jnp.tanh(x @ v)  # value
    advantage = jax.lax.stop_gradient(returns - value)  # advantage
    advantage = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)  # normalise
    ratio = jnp.exp(chosen - old)  # ratio
    clipped = jnp.clip(ratio, 0.8, 1.2)  # clip
    policy = -jnp.minimum(ratio * advantage, clipped * advantage).mean()  # policy
    error = jnp.abs(value - returns)  # critic
    critic = jnp.where(error < 1, 0.5 * error**2, error - 0.5).mean()  # critic
    entropy = -(jnp.exp(logp) * logp).sum(-1).mean()  # entropy
    return policy + 0.5 * critic - 0.01 * entropy  # loss
