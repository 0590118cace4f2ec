"""What the rows of a benchmark are called that readers look for first; for the benchmarks and the page."""

from __future__ import annotations

WRITTEN = {
    "numpy": ("expressions", "NumPy expressions"),
    "torch": ("loss.backward()", "loss.backward(), then w -= lr * w.grad"),
    "jax": ("jitted step from Python", "one call of a jitted step"),
}
"""Each framework as people write it, one update at a time from Python: the row's name behind the framework's, and
what the code says."""
TRAIN = {
    "numpy": "the calls of one update, recorded once and repeated into the same arrays",
    "torch": "autograd runs once; the operations that it made are recorded and repeated",
    "jax": "the whole loop is one compiled program",
}
"""What `train` does to be faster, so that nobody takes its rows for what a framework costs."""


def written(spec: str) -> str:
    """The name of the row of that framework and device as people write it."""
    return f"{spec}, {WRITTEN[spec.partition(':')[0]][0]}"


def is_written(name: str, group: str) -> bool:
    """Whether that row is one of those."""
    return group in WRITTEN and name.partition(", ")[2] == WRITTEN[group][0]


def shown(name: str, group: str) -> str:
    """What a row is called in tables: that of a backend is its `train`, beside other ways to write the update."""
    return f"{name}, train" if group == "backend" else name
