"""Porting mistakes that people make, each planted into one of the right ports of tests/crosscheck/ports."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple


class Planted(NamedTuple):
    """In the source of `port`, in the JAX function unless `side` says otherwise, `right` becomes `wrong`."""

    what: str
    port: str
    right: str
    wrong: str
    side: str = "jax"

    @property
    def held_out(self) -> bool:
        """A third that nobody looked at while the search was tuned."""
        return int(sha256(self.what.encode()).hexdigest(), 16) % 3 == 0


MISTAKES = [
    Planted("GELU by tanh for GELU by erf", "mlp", "jax.nn.gelu(h, approximate=False)", "jax.nn.gelu(h)"),
    Planted("a weight not transposed", "mlp", "h @ w2.T + b2", "h @ w2 + b2"),
    Planted("a sum for a mean", "mlp", "jnp.mean((out - y) ** 2)", "jnp.sum((out - y) ** 2)"),
    Planted("a forgotten bias", "mlp", "x @ w1.T + b1", "x @ w1.T"),
    Planted("weight decay of one layer only", "mlp", "(jnp.sum(w1**2) + jnp.sum(w2**2))", "jnp.sum(w1**2)"),
    Planted("half the squared error", "mlp", "jnp.mean((out - y) ** 2)", "0.5 * jnp.mean((out - y) ** 2)"),
    Planted("the epsilon outside the root", "layer_norm", "jnp.sqrt(var + 1e-5)", "(jnp.sqrt(var) + 1e-5)"),
    Planted("another framework's epsilon", "layer_norm", "jnp.sqrt(var + 1e-5)", "jnp.sqrt(var + 1e-6)"),
    Planted("unbiased variance for biased", "layer_norm", "x.var(-1, keepdims=True)", "x.var(-1, keepdims=True, ddof=1)"),
    Planted("statistics over the wrong axis", "layer_norm", "x.mean(-1, keepdims=True)", "x.mean(1, keepdims=True)"),
    Planted("GELU for SiLU", "layer_norm", "jax.nn.silu(h)", "jax.nn.gelu(h)"),
    Planted("a residual from after the norm", "layer_norm", "return x + h", "return mean + h"),
    Planted("a forgotten shift of the norm", "layer_norm", "h * g + b", "h * g"),
    Planted("softmax over another axis", "attention", "jax.nn.softmax(scores, axis=-1)", "jax.nn.softmax(scores, axis=-2)"),
    Planted("scaled by the model's width", "attention", "/ jnp.sqrt(3.0)", "/ jnp.sqrt(6.0)"),
    Planted("a forgotten scale of the scores", "attention", ", q, k) / jnp.sqrt(3.0)", ", q, k)"),
    Planted("a mask that is one off", "attention", "jnp.tril(jnp.ones((t, t), bool))", "jnp.tril(jnp.ones((t, t), bool), 1)"),
    Planted("a large number for minus infinity", "attention", "-jnp.inf)", "-1.0)"),
    Planted("heads split without a transpose", "attention",
            "k = (x @ wk.T).reshape(n, t, 2, 3).transpose(0, 2, 1, 3)", "k = (x @ wk.T).reshape(n, 2, t, 3)"),
    Planted("heads merged in the wrong order", "attention", "nhqk,nhkd->nqhd", "nhqk,nhkd->nhqd"),
    Planted("keys for values", "attention", "p, v)", "p, k)"),
    Planted("no label smoothing", "cross_entropy", "* 0.9 + 0.1 / 6", "* 1.0"),
    Planted("smoothing without the label's own share", "cross_entropy", "0.1 / 6", "0.1 / 5"),
    Planted("log-softmax over the batch", "cross_entropy", "log_softmax(logits, axis=-1)", "log_softmax(logits, axis=0)"),
    Planted("a temperature multiplied", "cross_entropy", "logits / 0.7", "logits * 0.7"),
    Planted("a mean over every element", "cross_entropy", "-jnp.mean(jnp.sum(target * logp, axis=-1))",
            "-jnp.mean(target * logp)"),
    Planted("SAME padding with a stride", "convolution", "(2, 2), ((1, 1), (1, 1))", '(2, 2), "SAME"'),
    Planted("a flipped kernel", "convolution", "(x, k, (2, 2)", "(x, k[..., ::-1, ::-1], (2, 2)"),
    Planted("the default slope of leaky ReLU", "convolution", "jax.nn.leaky_relu(h, 0.1)", "jax.nn.leaky_relu(h)"),
    Planted("pooled over channels", "convolution", "h.mean((2, 3))", "h.reshape(2, 3, 3, 4).mean((1, 2))"),
    Planted("a bias added along another axis", "convolution", "b[:, None, None]", "b[:3]"),
    Planted("Keras's epsilon of batch norm", "batch_norm", "+ 1e-5)", "+ 1e-3)"),
    Planted("a standard deviation for a variance", "batch_norm", "jax.lax.rsqrt(", "1 / ("),
    Planted("a stop-gradient that is missing", "batch_norm", "(h - jax.lax.stop_gradient(mean))", "(h - mean)"),
    Planted("ReLU for softplus", "batch_norm", "jax.nn.softplus(h)", "jax.nn.relu(h) + 0.01"),
    Planted("log1p for log", "batch_norm", "jnp.log(h", "jnp.log1p(h"),
    Planted("gates in another order", "lstm", "i, f, g, o = jnp", "i, g, f, o = jnp"),
    Planted("a forget bias of one", "lstm", "jax.nn.sigmoid(f)", "jax.nn.sigmoid(f + 1)"),
    Planted("hard sigmoid for sigmoid", "lstm", "jax.nn.sigmoid(o)", "jax.nn.hard_sigmoid(o)"),
    Planted("the new state fed to the output gate", "lstm", "* jnp.tanh(c)", "* c"),
    Planted("time for batch", "lstm", "h.sum(1)", "h.sum(0)[jnp.array([0, 1, 2, 3, 0])]"),
    Planted("damping the other way round", "fixed_point", "0.5 * z + 0.5 * new", "0.4 * z + 0.6 * new"),
    Planted("the spectral for the Frobenius norm", "fixed_point", "jnp.linalg.norm(w)", "jnp.linalg.norm(w, 2)"),
    Planted("one iteration too few", "fixed_point", "fori_loop(0, 5", "fori_loop(1, 5"),
    Planted("the injection left out of the loop", "fixed_point", "jnp.tanh(z @ w + x)", "jnp.tanh(z @ w) + x"),
    Planted("a forgotten scale of the embedding", "decoder", "table[tokens] * jnp.sqrt(6.0)", "table[tokens]"),
    Planted("the epsilon of another norm", "decoder", "+ 1e-6)", "+ 1e-5)"),
    Planted("a gain stored as its distance from one", "decoder", "n = n * g  #", "n = n * (1 + g)  #"),
    Planted("rotary positions interleaved", "decoder", "a, b = n[..., :3], n[..., 3:]", "a, b = n[..., ::2], n[..., 1::2]"),
    Planted("rotated the other way", "decoder", "[a * c - b * s, b * c + a * s]", "[a * c + b * s, b * c - a * s]"),
    Planted("gate and value exchanged", "decoder", "jax.nn.silu(n @ wg.T)", "jax.nn.silu(n @ wu.T)"),
    Planted("positions that begin at one", "decoder", "jnp.arange(4, dtype=h.dtype)[:, None]\n    angle = position *",
            "jnp.arange(4, dtype=h.dtype)[:, None]\n    angle = (position + 1) *"),
    Planted("the log-variance taken for its half", "vae", "jnp.exp(0.5 * logvar)", "jnp.exp(logvar)"),
    Planted("the divergence's sign of one term", "vae", "(1 + logvar - mean**2", "(1 + logvar + mean**2"),
    Planted("a divergence averaged over latents too", "vae", ".sum(1).mean()", ".mean()"),
    Planted("a fit averaged over every element", "vae", "/ len(x)", "/ x.size"),
    Planted("mean and log-variance exchanged", "vae", "mean, logvar = jnp", "logvar, mean = jnp"),
    Planted("a target that is not detached", "contrastive", "jax.lax.stop_gradient(y @ w.T)", "y @ w.T"),
    Planted("normalised along the batch", "contrastive", "jnp.linalg.norm(a, axis=-1", "jnp.linalg.norm(a, axis=0"),
    Planted("an L1 norm", "contrastive", "jnp.linalg.norm(b, axis=-1", "jnp.linalg.norm(b, ord=1, axis=-1"),
    Planted("the other direction of the similarity", "contrastive", "log_softmax(sim, axis=1)", "log_softmax(sim, axis=0)"),
    Planted("biased standard deviation", "policy", "std(ddof=1)", "std()"),
    Planted("an advantage that is not detached", "policy", "jax.lax.stop_gradient(returns - value)", "returns - value"),
    Planted("a maximum for a minimum", "policy", "-jnp.minimum(ratio", "-jnp.maximum(ratio"),
    Planted("Huber's other half", "policy", "error - 0.5)", "error)"),
    Planted("a gradient stopped where none should be", "policy", "jnp.tanh(x @ v)", "jax.lax.stop_gradient(jnp.tanh(x @ v))"),
    Planted("an entropy of the wrong sign", "policy", "- 0.01 * entropy", "+ 0.01 * entropy"),
    Planted("GELU by tanh in PyTorch", "mlp", "F.gelu(h)", 'F.gelu(h, approximate="tanh")', "torch"),
    Planted("the epsilon given to PyTorch", "layer_norm", "F.layer_norm(x, (6,), g, b)",
            "F.layer_norm(x, (6,), g, b, 1e-6)", "torch"),
    Planted("a target detached in PyTorch only", "policy", "torch.exp(chosen - old)",
            "torch.exp(chosen.detach() - old)", "torch"),
    Planted("training mode of batch norm", "batch_norm", "training=False", "training=True", "torch"),
    Planted("ceiling where both should round alike", "convolution", "stride=2, padding=1)",
            'stride=2, padding=1) * torch.tensor([1.0, 1.0, 1.0, 1.1], dtype=x.dtype)[:, None, None]', "torch"),
]  # fmt: skip
