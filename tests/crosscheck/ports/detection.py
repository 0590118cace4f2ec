"""A detector's loss: focal loss of the classes, smooth L1 loss of the boxes."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

SHAPES = {"x": (5, 4), "wc": (6, 4), "wb": (4, 4), "boxes": (5, 4), "labels": "labels"}


def f_torch(x, wc, wb, boxes, labels):
    logits = x @ wc.T  # classes
    target = F.one_hot(labels, 6).to(x.dtype)
    ce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")  # entropy
    p = torch.sigmoid(logits)  # probability
    pt = p * target + (1 - p) * (1 - target)  # right one
    alpha = 0.25 * target + 0.75 * (1 - target)
    focal = (alpha * ce * (1 - pt) ** 2).sum() / 5  # focal
    box = F.smooth_l1_loss(x @ wb.T, boxes, beta=0.5)  # boxes
    return focal + 2.0 * box  # loss


def f_jax(x, wc, wb, boxes, labels):
    logits = x @ wc.T  # classes
    target = jax.nn.one_hot(labels, 6)
    ce = -(target * jax.nn.log_sigmoid(logits) + (1 - target) * jax.nn.log_sigmoid(-logits))  # entropy
    p = jax.nn.sigmoid(logits)  # probability
    pt = p * target + (1 - p) * (1 - target)  # right one
    alpha = jnp.where(target == 1, 0.25, 0.75)
    focal = jnp.sum(alpha * ce * (1 - pt) ** 2) / 5  # focal
    off = jnp.abs(x @ wb.T - boxes)  # boxes
    box = jnp.mean(jnp.where(off < 0.5, off**2 / (2 * 0.5), off - 0.5 * 0.5))  # boxes
    return focal + 2.0 * box  # loss
