"""Record both functions, find where they part, and say it in the user's terms."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..common.ulp import ulp_distance
from .arguments import Arguments
from .counterparts import Side, Tolerance, aligned, pair_up
from .nesting import Leaves
from .parting import Fork, Spot, part, stopped
from .recording import Recorded, Recording
from .result import Parting, Site

SHOWN = 3
"""How many numbers of each output are shown."""
AGREE, AGREE_NARROW = 1e-8, 1e-5
"""Results that are this close after a repair are the same."""


def search(torch: Any, jax: Any, given: Arguments, cotangents: Leaves, narrow: bool = False) -> Parting | None:
    """Where a TorchFunction and a JaxFunction part, first forwards, then backwards.

    With `narrow` one of them computes in float32 inside, whatever it is given, and rounds like that.
    """
    same = partial(_close, AGREE_NARROW if narrow else AGREE)
    forward: tuple[Side, Any, Side] | None = None
    fork: Fork | None = None
    for backward in (False, True):
        recording = torch.record(given.points, cotangents, "float64", backward)
        program = jax.record(given.points, cotangents, "float64", backward)
        for each in (recording, program.recording):
            each.settle_lines()
        rounded, slim = (_in_float32(one, given, cotangents, backward) for one in (torch, jax))
        sides = (
            Side(recording, Tolerance(recording, rounded, narrow)),
            Side(program.recording, Tolerance(program.recording, slim, narrow)),
        )
        pair_up(*sides)
        ours, theirs = (r.gradients if backward else r.results for r in (recording, program.recording))
        outputs = [(ours[path], theirs[path]) for path in ours if path in theirs]
        with jax.wide():
            if forward is not None:
                wanted = {path: recording.values[i] for path, i in ours.items()}
                like = jax.gradients_like(forward[1], wanted, cotangents, same)
                fork = stopped(*forward, like)
            fork = fork or part(sides[0], program, sides[1], outputs, same, signs=backward)
        if fork is not None:
            return _told(fork, "backward" if backward else "forward", *sides)
        forward = sides[0], program, sides[1]
    return None


def _in_float32(function: Any, given: Arguments, cotangents: Leaves, backward: bool) -> Recording:
    """What tells how much is rounded; empty for a function with constants in float64, which refuses float32."""
    try:
        found = function.record(given.points, cotangents, "float32", backward)
    except Exception:
        return Recording()
    return getattr(found, "recording", found)


def _close(bound: float, a: np.ndarray, b: np.ndarray) -> bool:
    if a.size != b.size or (a.size > 1 and a.shape != b.shape):
        return False
    wide = complex if "c" in (a.dtype.kind, b.dtype.kind) else float
    a, b = a.astype(wide).reshape(b.shape), b.astype(wide)
    with np.errstate(invalid="ignore"):
        close = (a == b) | (np.abs(a - b) <= bound * float(np.abs(b[np.isfinite(b)]).max(initial=0.0)) + 1e-14)
    return bool(close.all())


def _told(fork: Fork, direction: str, torch: Side, jax: Side) -> Parting:
    theirs, ours = torch.recording.values[fork.torch.value], jax.recording.values[fork.jax.value]
    difference, ulp = None, None
    elements: tuple[tuple[int, ...], ...] = ()
    picked: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    finite = np.isfinite(ours)
    nearest = min(aligned(theirs, ours), key=lambda v: float(np.abs(v[finite] - ours[finite]).sum()), default=None)
    if nearest is not None and ours.dtype.kind in "fc":
        with np.errstate(invalid="ignore"):
            off = np.where(nearest == ours, 0.0, np.abs(nearest - ours))
        difference = float(off.max(initial=0.0)) if fork.repaired else None
        if fork.repaired and nearest.dtype == ours.dtype and ours.dtype.kind == "f":
            ulp = int(ulp_distance(nearest, ours).max(initial=0))
        if ours.dtype.kind == "f":
            worst = np.argsort(-off, axis=None, kind="stable")[:SHOWN]
            elements = tuple(tuple(map(int, np.unravel_index(i, off.shape))) for i in worst)
            picked = tuple(float(nearest[ix]) for ix in elements), tuple(float(ours[ix]) for ix in elements)
    onward = None if fork.onward is None else _site("jax", fork.onward, ours, ())
    return Parting(
        fork.kind,
        direction,
        _spot("torch", fork.torch, torch, theirs, picked[0], fork.kind),
        _spot("jax", fork.jax, jax, ours, picked[1], fork.kind),
        onward, fork.repaired, difference, ulp, elements,
    )  # fmt: skip


def _spot(framework: str, spot: Spot, side: Side, value: np.ndarray, picked: tuple[float, ...], kind: str) -> Site:
    operation, maker = spot.operation, side.operation(spot.value) if kind != "stopped" else None
    if operation is not None:
        if maker is not None and maker.lines[:1] == operation.lines[:1] and maker.backward == operation.backward:
            operation = maker  # on one line, the step whose output is another says more than the first of its steps
        if operation.fused is not None:
            operation = side.recording.operations[operation.fused]
        return _site(framework, operation, value, picked)
    leaf = next((path for path, i in side.recording.leaves.items() if i == spot.value), "a constant")
    return Site(framework, "", leaf, "", 0, "", (), value.shape, picked)


def _site(framework: str, operation: Recorded, value: np.ndarray, picked: tuple[float, ...]) -> Site:
    lines = operation.lines
    first = lines[0] if lines else None
    return Site(
        framework,
        operation.name,
        operation.part_of,
        first.file if first else "",
        first.line if first else 0,
        first.function if first else "",
        tuple((line.file, line.line) for line in lines[1:]),
        value.shape,
        picked,
    )
