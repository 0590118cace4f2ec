"""Which values of a PyTorch and of a JAX recording are the same numbers.

Every value of one side is looked for among the other's, up to the order of its elements and its sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import numpy as np

from .recording import Recorded, Recording
from .slopes import FINER

MOVING = {
    "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p", "convert_element_type",
    "stop_gradient", "optimization_barrier", "rev", "row", "stack", "reduce_precision", "neg",
    "aten.view", "aten._unsafe_view", "aten.t", "aten.transpose", "aten.permute", "aten.expand", "aten.unsqueeze",
    "aten.squeeze", "aten.clone", "aten._to_copy", "aten.neg", "aten.flip", "aten.detach", "aten.alias",
    "prims.broadcast_in_dim", "prims.transpose", "prims.convert_element_type", "prims.view_of", "prims.neg",
}  # fmt: skip
"""Operations whose outputs have counterparts if their inputs have: nothing is computed."""


class Tolerance:
    """How far two values of one quantity may be apart: what the noise of the pair itself allows.

    Rounding in float64 is 2^-29 of rounding in float32, so a value's own difference between the two says what
    its difference between two correct float64 computations may be.
    """

    LEAST, MOST = 1e-12, 1e-6

    def __init__(self, wide: Recording, narrow: Recording, narrow_inside: bool = False) -> None:
        self.most = 1e-2 if narrow_inside else self.MOST
        self.relative = np.full(len(wide.values), 1e-5 if narrow_inside else 1e-9)
        if len(narrow.values) != len(wide.values) or narrow_inside:
            return
        for i, (v, w) in enumerate(zip(wide.values, narrow.values, strict=True)):
            if v.dtype.kind in "fc" and v.shape == w.shape and v.size:
                with np.errstate(all="ignore"):
                    noise = np.abs(v - w).max() / (np.abs(v).max() or 1.0)
                self.relative[i] = np.clip(1e3 * noise * FINER, self.LEAST, np.inf) if np.isfinite(noise) else 1e-9

    def is_noise(self, i: int) -> bool:
        """Whether nothing but rounding is left of this value."""
        return bool(self.relative[i] > self.most)


class Side:
    """One recording, with what is known about each value."""

    def __init__(self, recording: Recording, tolerance: Tolerance) -> None:
        self.recording, self.tolerance = recording, tolerance
        self.matched = np.zeros(len(recording.values), bool)
        self.same: list[list[int]] = [[] for _ in recording.values]
        """Each value's counterparts."""
        self.users: dict[int, list[int]] = {}
        for number, operation in enumerate(recording.operations):
            for i in operation.inputs:
                self.users.setdefault(i, []).append(number)

    def floats(self, i: int) -> bool:
        return self.recording.values[i].dtype.kind in "fc"

    def trivial(self, i: int) -> bool:
        """Whether the value says nothing: constants, noise."""
        v = self.recording.values[i]
        return v.size == 0 or bool((v == v.flat[0]).all() and v.size > 1) or self.tolerance.is_noise(i)

    def settle(self, matched: list[bool]) -> None:
        """What is given, says nothing, or is nowhere else but only moved has a counterpart if its source has."""
        self.matched[:] = matched
        for i in range(len(self.recording.values)):
            if i not in self.recording.maker or self.trivial(i):
                self.matched[i] = True
        for operation in self.recording.operations:
            if operation.name in MOVING and all(self.matched[i] for i in operation.inputs):
                self.matched[[o for o in operation.outputs if not self.same[o]]] = True

    def astray(self, targets: list[int]) -> set[int]:
        """The values without counterparts on the way to the targets, back to the last ones that have one."""
        self.matched[targets] = False
        found: set[int] = set()
        waiting = list(targets)
        while waiting:
            i = waiting.pop()
            if i in found or self.matched[i]:
                continue
            found.add(i)
            number = self.recording.maker.get(i)
            if number is None:
                continue
            waiting.extend(self.recording.operations[number].inputs)
            waiting.extend(o for part in self.parts(number) for o in part.outputs)
        return found

    def parts(self, number: int) -> list[Recorded]:
        """The steps of a fused operation, which stand before it."""
        found = []
        while number and self.recording.operations[number - 1].fused is not None:
            number -= 1
            found.append(self.recording.operations[number])
        return found

    def operation(self, i: int) -> Recorded | None:
        number = self.recording.maker.get(i)
        return None if number is None else self.recording.operations[number]

    def sources(self, region: set[int]) -> list[int]:
        """The values of the region whose inputs all have counterparts, in order."""
        found = []
        for i in sorted(region):
            operation = self.operation(i)
            if operation is None or not any(j in region for j in operation.inputs):
                found.append(i)
        return found

    def beginnings(self, i: int, region: set[int]) -> list[int]:
        """The values with which the part of the region that leads to a value begins: itself alone, if it is one."""
        sources = self.sources(self.before(i, region))
        return [i] if i in sources else sources

    def edge(self, region: set[int]) -> set[int]:
        """The values on the region's edge: those that it is computed from."""
        makers = (self.operation(i) for i in region)
        return {i for o in makers if o is not None for i in o.inputs if i not in region}

    def first_user(self, i: int, lost: set[int]) -> Recorded | None:
        """The first operation that goes wrong with this value, or with the same numbers moved."""
        for number in self.users.get(i, ()):
            operation = self.recording.operations[number]
            if operation.fused is None and any(k in lost for k in operation.outputs):
                return operation
            if operation.name in MOVING and operation.outputs[0] > i:
                found = self.first_user(operation.outputs[0], lost)
                if found is not None:
                    return found
        return None

    def before(self, i: int, region: set[int]) -> set[int]:
        """The values of the region that this one depends on, itself included."""
        found: set[int] = set()
        waiting = [i]
        while waiting:
            j = waiting.pop()
            if j in region and j not in found:
                found.add(j)
                operation = self.operation(j)
                if operation is not None:
                    waiting.extend(operation.inputs)
        return found


def pair_up(a: Side, b: Side) -> None:
    """Note for each value its counterparts on the other side: the same numbers in any order, or their negatives."""
    sizes: dict[int, list[int]] = {}
    for j, v in enumerate(b.recording.values):
        sizes.setdefault(_number(v).size, []).append(j)
    stacks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for i, v in enumerate(a.recording.values):
        own = np.sort(_number(v), axis=None)
        if not own.size or own.size not in sizes:
            continue
        if own.size not in stacks:
            theirs = sizes[own.size]
            stacks[own.size] = (
                np.array([np.sort(_number(b.recording.values[j]), axis=None) for j in theirs]),
                np.array([b.tolerance.relative[j] for j in theirs]),
            )
        rows, allowed = stacks[own.size]
        scale = max(float(np.abs(own[np.isfinite(own)]).max(initial=0.0)), 1e-300)
        with np.errstate(invalid="ignore"):
            for turned in (own, -own[::-1]) if v.dtype.kind != "b" else (own, 1 - own[::-1]):
                equal = (rows == turned) | (
                    np.abs(rows - turned) <= np.maximum(allowed, a.tolerance.relative[i])[:, None] * scale
                )
                for k in np.flatnonzero(equal.all(axis=1)):
                    j = sizes[own.size][k]
                    if j not in a.same[i]:
                        a.same[i].append(j)
                        b.same[j].append(i)
    for side in (a, b):
        side.settle([bool(s) for s in side.same])


def keep_order(a: Side, b: Side, same: Callable[[np.ndarray, np.ndarray], bool], signs: Sequence[int]) -> None:
    """From now on the same numbers are a counterpart only in the same order, or in another order of axes."""

    def ordered(v: np.ndarray, w: np.ndarray) -> bool:
        return any(same(sign * t, w) for sign in signs for t in ([v] if v.shape == w.shape else aligned(v, w)))

    for side, other in ((a, b), (b, a)):
        values, theirs = (s.recording.values for s in (side, other))
        side.settle([any(ordered(v, theirs[k]) for k in ks) for v, ks in zip(values, side.same, strict=True)])


def _number(v: np.ndarray) -> np.ndarray:
    """As real numbers."""
    return np.ascontiguousarray(v, complex).view(float) if v.dtype.kind == "c" else v.astype(float)


def aligned(value: np.ndarray, like: np.ndarray) -> Iterator[np.ndarray]:
    """The value in every order of axes that has the other's shape, or else reshaped."""
    if value.size != like.size or (value.dtype.kind == "c") != (like.dtype.kind == "c"):
        return
    if value.shape == like.shape:
        yield value
    lean, wanted = value.squeeze(), like.squeeze()
    found = False
    if lean.ndim <= 5:
        for axes in permutations(range(lean.ndim)):
            turned = lean.transpose(axes)
            if turned.shape == wanted.shape:
                found = True
                if value.shape != like.shape or axes != tuple(range(lean.ndim)):
                    yield turned.reshape(like.shape)
    if not found:
        yield value.reshape(like.shape)
