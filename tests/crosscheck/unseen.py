"""Porting mistakes that were all written down before the first of them was run, and that nothing was tuned on.

In ports of their own. What became of them at the first and only look is in docs/crosscheck.md.
"""

from __future__ import annotations

from planted import Planted

MISTAKES = [
    Planted("Adam's epsilon inside the root", "adam", "(jnp.sqrt(v_hat) + 1e-6)", "jnp.sqrt(v_hat + 1e-6)"),
    Planted("a second moment that is not corrected", "adam", "v_hat = v / (1 - 0.999**3)", "v_hat = v"),
    Planted("decay by the gradient's own step", "adam", "w - 0.05 * 0.1 * w", "w - 0.05 * 0.1 * m_hat"),
    Planted("groups of interleaved channels", "group_norm", "groups = x.reshape(n, 2, c // 2, height, width)",
            "groups = x.reshape(n, c // 2, 2, height, width).swapaxes(1, 2)"),
    Planted("statistics of each channel alone", "group_norm", "groups.mean((2, 3, 4), keepdims=True)",
            "groups.mean((3, 4), keepdims=True)"),
    Planted("a group's unbiased variance", "group_norm", "groups.var((2, 3, 4), keepdims=True)",
            "groups.var((2, 3, 4), keepdims=True, ddof=1)"),
    Planted("a maximum squeezed for a mean", "group_norm", "jnp.mean(h, (2, 3))", "jnp.max(h, (2, 3))"),
    Planted("reset and update gate exchanged", "gru", "ir, iz, ih = jnp.split", "iz, ir, ih = jnp.split"),
    Planted("the update gate the other way round", "gru", "(1 - z) * new + z * h", "z * new + (1 - z) * h"),
    Planted("reset before the matrix product", "gru", "jnp.tanh(ih + r * hh)", "jnp.tanh(ih + (r * h) @ wh[10:].T + bh[10:])"),
    Planted("the divergence the other way round", "distillation", "jnp.exp(logp) * (logp - logq)",
            "jnp.exp(logq) * (logq - logp)"),
    Planted("a teacher that learns", "distillation", "jax.lax.stop_gradient(x @ wt.T)", "x @ wt.T"),
    Planted("the mean of every element for that of the batch", "distillation", "/ x.shape[0]", "/ logp.size"),
    Planted("a temperature for the student only", "distillation", "log_softmax(teacher / 2.0", "log_softmax(teacher"),
    Planted("a transposed kernel that is not flipped", "upsampling", "(x, k, (2, 2)", "(x, k[:, :, ::-1, ::-1], (2, 2)"),
    Planted("corners aligned", "upsampling", "align_corners=False", "align_corners=True", "torch"),
    Planted("nearest neighbours for bilinear", "upsampling", '"bilinear")', '"nearest")'),
    Planted("the default scale of ELU", "upsampling", "jax.nn.elu(h, 0.7)", "jax.nn.elu(h)"),
    Planted("queries of length one along the sequence", "cosine_attention", "jnp.linalg.norm(q, axis=-1,",
            "jnp.linalg.norm(q, axis=-2,"),
    Planted("a temperature without its clamp", "cosine_attention", "jnp.exp(jnp.minimum(scale, 0.5))", "jnp.exp(scale)"),
    Planted("distances of the other sign", "cosine_attention", "bias[:, far]  # bias", "bias[:, far.T]  # bias"),
    Planted("a mask of zeros", "cosine_attention", "-jnp.inf, scores)", "0.0, scores)"),
    Planted("a layer norm's mean in an RMS norm", "gated", "jnp.mean(x**2, axis=-1, keepdims=True)",
            "jnp.var(x, axis=-1, keepdims=True)"),
    Planted("a sum of squares for their mean", "gated", "jax.lax.rsqrt(jnp.mean(x**2", "jax.lax.rsqrt(jnp.sum(x**2"),
    Planted("a cap that is not scaled back", "gated", "3.0 * jnp.tanh(logits / 3.0)", "jnp.tanh(logits / 3.0)"),
    Planted("one balance for both classes", "detection", "jnp.sum(alpha * ce", "jnp.sum(0.25 * ce"),
    Planted("a focus of one", "detection", "(1 - pt) ** 2", "(1 - pt)"),
    Planted("a smooth L1 loss that is Huber's", "detection", "off**2 / (2 * 0.5), off - 0.5 * 0.5)",
            "0.5 * off**2, 0.5 * (off - 0.5 * 0.5))"),
    Planted("padding left out of the mean", "pooling", "jax.lax.add, window, strides, pads) / 9  # mean",
            "jax.lax.add, window, strides, pads) / jax.lax.reduce_window(jnp.ones_like(h), 0.0, jax.lax.add, window, "
            "strides, pads)  # mean"),
    Planted("a maximum that begins at zero", "pooling", "-jnp.inf, jax.lax.max", "0.0, jax.lax.max"),
    Planted("a dilation left out", "pooling", "((2, 2), (2, 2)), rhs_dilation=(2, 2)", "((1, 1), (1, 1)), rhs_dilation=(1, 1)"),
    Planted("a clamp from one side only", "pooling", "jnp.clip(h, -2.0, 2.0)", "jnp.minimum(h, 2.0)"),
]  # fmt: skip
