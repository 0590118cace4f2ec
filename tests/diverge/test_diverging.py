"""A training that leaves the finite numbers has failed, and says at which update and in which layer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equigrad import Problem, compare

TINY = 1.7e-154
"""Inputs so small that the sigmoid does not saturate before the weights overflow."""
EXPLODING = Problem(
    name="exploding",
    inputs=TINY * np.array([[1.0, 0], [0, 1]]),
    targets=np.array([[1.5e152], [-1.5e153]]),
    layers=(2, 1),
    updates=500,
    learning_rate=1.5e153,
)


def last_good_update() -> int:
    """How many updates keep every weight below the root of the largest float64, found without any backend."""
    limit, rate = sys.float_info.max**0.5, EXPLODING.learning_rate
    w = EXPLODING.first_weights()[0].ravel().tolist()
    for update in range(EXPLODING.updates):
        for i, target in enumerate(EXPLODING.targets.ravel().tolist()):
            a = 1 / (1 + np.exp(-TINY * w[i]))
            w[i] += rate * (TINY * ((target - a) * (a * (1 - a))))
        if max(map(abs, w)) > limit:
            return update
    raise AssertionError("the problem does not explode")


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_the_first_bad_update_is_named_by(framework: str, arithmetic: str, ready: Callable[..., object]) -> None:
    ready(framework)
    last_good = last_good_update()
    assert 50 < last_good < 400
    run = compare(EXPLODING, [framework], arithmetic=arithmetic).runs[-1]
    assert (run.name, run.outcome) == (framework, "failed")
    assert run.message == (f"the weights of layer 1 overflow at update {last_good + 1:,}: try a smaller learning rate")
    assert run.weights == ()
    before = compare(EXPLODING.with_(updates=last_good), [framework], arithmetic=arithmetic).runs[-1]
    assert before.outcome in ("identical", "agree")


def test_the_command_line_says_so_with_status_1_and_no_warning(tmp_path: Path) -> None:
    rows = zip(EXPLODING.inputs.tolist(), EXPLODING.targets.tolist(), strict=True)
    (tmp_path / "data.csv").write_text("".join(f"{a},{b},{y}\n" for (a, b), (y,) in rows))
    options = ["--data", "data.csv", "--target", "3", "--learning-rate", "1.5e153", "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, "-m", "equigrad", "compare", *options, "--updates", "500"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    assert done.returncode == 1
    assert done.stdout.count(f"overflow at update {last_good_update() + 1}:") == 2
    assert "native: NOT in agreement: numpy (failed)." in done.stdout
