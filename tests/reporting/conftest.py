"""What several of these tests need."""

from __future__ import annotations

from math import nan

import pytest

from equigrad.crosscheck.result import Crosscheck, FunctionCheck, LeafCheck, Parting, Site
from equigrad.passport import passport


@pytest.fixture(scope="session")
def crosschecked() -> Crosscheck:
    """The result of a crosscheck with every field filled in, without the seconds that one takes."""
    leaves = (
        LeafCheck("inputs['x']", (2, 3), "disagree", 3e-14, 0, "at [0, 1] torch's derivative is 0.5, jax's 0.4"),
        LeafCheck("inputs['b']", (), "agree", nan, 0),
    )
    calls = (("/home/somebody/train.py", 3),)
    torch = Site(
        "torch", "aten.gelu", "act, GELU", "/home/somebody/model.py", 12, "forward", calls, (2, 3), (-0.77, nan)
    )
    jax = Site("jax", "tanh", "gelu", "/home/somebody/port.py", 9, "f", calls, (2, 3), (-0.78, 0.25))
    onward = Site("jax", "add", "", "/home/somebody/port.py", 10, "f", (), (), ())
    functions = (
        FunctionCheck("torch", "disagree", "another function than jax", leaves, "central differences", 1e-12, 2e-15),
        FunctionCheck("jax", "disagree", "another function than torch", leaves, "central differences", 1e-12),
        FunctionCheck("numpy", "failed", "ValueError: no such axis"),
    )
    parting = Parting("differs", "forward", torch, jax, onward, True, 3.6e-4, 3208784627985, ((0, 1), (1, 2)))
    return Crosscheck(
        "float64", "central differences", 1e-12, 1e-9, functions, parting, ("x has a kink",), ("x is fc.weight",),
        passport(["numpy"]),
    )  # fmt: skip
