"""Planted porting mistakes are caught, the line that is named is the planted one, and no right port is accused."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from length import at_length

pytest.importorskip("torch")
pytest.importorskip("jax")
_spec = spec_from_file_location("crosscheck_power", Path(__file__).parent / "power.py")
assert _spec is not None
assert _spec.loader is not None
power = module_from_spec(_spec)
_spec.loader.exec_module(power)

MISTAKES = {m.what: m for m in power.planted.MISTAKES}
UNNAMED = {"the injection left out of the loop", "one iteration too few", "training mode of batch norm"}
"""Caught, but another line is named, or none; docs/crosscheck.md says why."""
FEW = ("GELU by tanh for GELU by erf", "mean and log-variance exchanged")
SAMPLE = at_length(
    [FEW[1], "a target that is not detached", *sorted(MISTAKES.keys() - UNNAMED - set(FEW))[::9]],
    short=[
        FEW[1], "a stop-gradient that is missing", "GELU by tanh in PyTorch", "statistics over the wrong axis",
        "a temperature multiplied",
    ],
)  # fmt: skip
"""Of all, which `python tests/crosscheck/power.py` tries."""
RIGHT = at_length([name for name in power.NAMES[::4] if name != "mlp"], short=["adam", "detection", "vae"])
PAIRS_SAMPLED, PAIRS = at_length(6, short=12), 100
"""Every so many is tried here; there are at least this many."""


@pytest.mark.parametrize("what", [FEW[0], *(pytest.param(what, marks=pytest.mark.slow) for what in SAMPLE)])
def test_the_line_is_named_of(what: str, tmp_path: Path) -> None:
    found = power.trial(MISTAKES[what], tmp_path)
    assert found.caught
    assert found.named, found.said


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
@pytest.mark.parametrize(
    "what", at_length(sorted(UNNAMED), short=["one iteration too few", "training mode of batch norm"])
)
def test_a_known_miss_is_at_least_caught(what: str, tmp_path: Path) -> None:
    assert power.trial(MISTAKES[what], tmp_path).caught


def test_there_are_enough_mistakes_over_enough_functions() -> None:
    assert MISTAKES.keys() >= UNNAMED
    assert len(MISTAKES) >= 30
    assert len({m.port for m in MISTAKES.values()}) >= 8
    assert sum(m.held_out for m in MISTAKES.values()) >= len(MISTAKES) / 3
    unseen = power.PARTS["unseen"]
    assert len(unseen) >= 24
    assert len({m.port for m in unseen}) >= 8
    assert not {m.port for m in unseen} & {m.port for m in MISTAKES.values()}
    assert all(power.spoilt(m)[1] for m in [*MISTAKES.values(), *unseen])


@pytest.mark.parametrize("port", ["mlp", *(pytest.param(port, marks=pytest.mark.slow) for port in RIGHT)])
def test_a_right_port_is_not_accused(port: str) -> None:
    result = power.right(port)
    assert result.agreed, str(result)
    assert result.parting is None


@pytest.mark.slow
def test_no_right_pair_is_accused() -> None:
    pairs: dict[str, Any] = power.correct()
    assert len(pairs) >= PAIRS
    assert not power.falsely_accused(dict(list(pairs.items())[::PAIRS_SAMPLED]))
