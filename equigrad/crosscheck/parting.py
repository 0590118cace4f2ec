"""The first operation at which a PyTorch function and its JAX port part.

Every value of one side is looked for among the other's, up to the order of its elements and its sign. What
has no counterpart between the last values that have one and the result is where the mistake is, but not all
of it is a mistake: one side may take three steps where the other takes one. So the mistake is found by
trying: PyTorch's value is put into JAX's computation, in place of one of JAX's, and what follows is computed
again. The first value after whose repair the results agree is where they parted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np

from .recording import Call, Recording

Same = Callable[[np.ndarray, np.ndarray], bool]
MOVING = {
    "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p", "convert_element_type",
    "stop_gradient", "optimization_barrier", "rev", "row", "stack", "reduce_precision", "neg",
    "aten.view", "aten._unsafe_view", "aten.t", "aten.transpose", "aten.permute", "aten.expand", "aten.unsqueeze",
    "aten.squeeze", "aten.clone", "aten._to_copy", "aten.neg", "aten.flip", "aten.detach", "aten.alias",
    "prims.broadcast_in_dim", "prims.transpose", "prims.convert_element_type", "prims.view_of", "prims.neg",
}  # fmt: skip
"""Operations whose outputs have counterparts if their inputs have: nothing is computed."""
TAKING = {"split", "slice", "dynamic_slice", "squeeze", "gather", "row", "reshape"}
"""Operations that take some elements of a value, and often several parts on one line."""
MOST = 3_000
"""Repairs tried at most."""
EVERYWHERE, AT_HEADS, AT_LOST = range(3)
"""Where a value is replaced: for all that use it, or, if it is right itself, for the first operations that go
wrong with it, or for all that go wrong."""


@dataclass(frozen=True)
class Blame:
    """One side's operation, and the value to look at."""

    operation: Call | None
    """None for a value that was given."""
    value: int


@dataclass(frozen=True)
class Fork:
    """Where they part."""

    kind: str
    """`differs`, `missing in jax`, `missing in torch`, `order`, `exchanged` or `stopped`."""
    torch: Blame
    jax: Blame
    onward: Call | None = None
    """The JAX operation that goes on with a value that torch changes first."""
    repaired: bool = False
    """Whether everything after it agrees once PyTorch's value is put into JAX's computation."""
    backward: bool = False


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
            if v.dtype.kind == "f" and v.shape == w.shape and v.size:
                with np.errstate(all="ignore"):
                    noise = np.abs(v - w).max() / (np.abs(v).max() or 1.0)
                self.relative[i] = np.clip(1e3 * noise * 2.0**-29, self.LEAST, np.inf) if np.isfinite(noise) else 1e-9

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

    def trivial(self, i: int) -> bool:
        """Whether the value says nothing: constants, noise."""
        v = self.recording.values[i]
        return v.size == 0 or bool((v == v.flat[0]).all() and v.size > 1) or self.tolerance.is_noise(i)

    def settle(self) -> None:
        """What is given, says nothing, or was only moved has a counterpart if its source has."""
        for i in range(len(self.recording.values)):
            if i not in self.recording.maker or self.trivial(i):
                self.matched[i] = True
        for operation in self.recording.operations:
            if operation.name in MOVING and all(self.matched[i] for i in operation.inputs):
                self.matched[list(operation.outputs)] = True

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

    def parts(self, number: int) -> list[Call]:
        """The steps of a fused operation, which stand before it."""
        found = []
        while number and self.recording.operations[number - 1].fused is not None:
            number -= 1
            found.append(self.recording.operations[number])
        return found

    def operation(self, i: int) -> Call | None:
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

    def edge(self, region: set[int]) -> set[int]:
        """The values on the region's edge: those that it is computed from."""
        makers = (self.operation(i) for i in region)
        return {i for o in makers if o is not None for i in o.inputs if i not in region}

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
        sizes.setdefault(v.size, []).append(j)
    stacks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for i, v in enumerate(a.recording.values):
        if not v.size or v.size not in sizes:
            continue
        if v.size not in stacks:
            theirs = sizes[v.size]
            stacks[v.size] = (
                np.array([np.sort(_number(b.recording.values[j]).ravel()) for j in theirs]),
                np.array([b.tolerance.relative[j] for j in theirs]),
            )
        rows, allowed = stacks[v.size]
        own = np.sort(_number(v).ravel())
        scale = max(float(np.abs(own[np.isfinite(own)]).max(initial=0.0)), 1e-300)
        with np.errstate(invalid="ignore"):
            for turned in (own, -own[::-1]) if v.dtype.kind != "b" else (own, 1 - own[::-1]):
                equal = (rows == turned) | (
                    np.abs(rows - turned) <= np.maximum(allowed, a.tolerance.relative[i])[:, None] * scale
                )
                for k in np.flatnonzero(equal.all(axis=1)):
                    j = sizes[v.size][k]
                    if j not in a.same[i]:
                        a.same[i].append(j)
                        b.same[j].append(i)
    for side in (a, b):
        side.matched[:] = [bool(s) for s in side.same]
        side.settle()


def _number(v: np.ndarray) -> np.ndarray:
    return v.astype(np.float64)


def aligned(value: np.ndarray, like: np.ndarray) -> Iterator[np.ndarray]:
    """The value in every order of axes that has the other's shape, or else reshaped."""
    if value.size != like.size:
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


def part(
    torch: Side,
    program: Any,
    jax: Side,
    outputs: list[tuple[int, int]],
    same: Same,
    backward: bool,
) -> Fork | None:
    """Where the outputs, pairs of (torch's value, JAX's value), part; None if they do not.

    `same` compares two outputs.
    """
    values_t, values_j = torch.recording.values, jax.recording.values
    wrong = [(t, j) for t, j in outputs if not same(values_j[j], values_t[t])]
    if not wrong:
        return None
    lost_t, lost_j = torch.astray([t for t, _ in wrong]), jax.astray([j for _, j in wrong])
    heads = {n for n, o in enumerate(jax.recording.operations)
             if any(i in lost_j for i in o.outputs) and not any(i in lost_j for i in o.inputs)}  # fmt: skip
    edge_j = {i for i in jax.edge(lost_j) if values_j[i].dtype.kind == "f"}
    edge_t = {i for t in lost_t if (o := torch.operation(t)) for i in o.inputs if i not in lost_t}
    candidates = sorted(t for t in lost_t | edge_t if values_t[t].dtype.kind == "f")
    users = {n for n, o in enumerate(jax.recording.operations) if any(i in lost_j for i in o.outputs)}
    finding = _exchanged(torch, program, jax, wrong, lost_j, same, backward)
    if finding is not None:
        return finding
    repair = program.repairs([w for _, w in wrong], heads, users)

    def fixes(j: int, value: np.ndarray, mode: int) -> bool:
        return all(same(f, values_t[v]) for f, (v, _) in zip(repair(j, value, mode), wrong, strict=True))

    tried = 0
    for j in sorted(lost_j | edge_j):
        if values_j[j].dtype.kind != "f" or (j in edge_j and jax.trivial(j)):
            continue
        own = [t for t in jax.same[j] if values_t[t].dtype.kind == "f"] if j not in lost_j else []
        order = sorted({*candidates, *own}, key=lambda t: (values_t[t].shape != values_j[j].shape, t))
        for t in order:
            for sign in (1, -1) if backward else (1,):
                for value in aligned(sign * values_t[t], values_j[j]):
                    if same(value, values_j[j]) or tried > MOST:
                        continue
                    tried += 1
                    for mode in (EVERYWHERE,) if j in lost_j else (AT_HEADS, AT_LOST, EVERYWHERE):
                        if fixes(j, value, mode):
                            if j in (w for _, w in wrong) and j not in jax.sources(lost_j):
                                return _first_astray(torch, jax, lost_t, lost_j, backward)
                            j = _counterpart(jax, lost_j, t, j, values_t[t], fixes)
                            return _blamed(torch, jax, lost_t, lost_j, t, j, backward)
    return _first_astray(torch, jax, lost_t, lost_j, backward)


def _first_astray(torch: Side, jax: Side, lost_t: set[int], lost_j: set[int], backward: bool) -> Fork:
    """Where no repair but that of the result helps, as with two mistakes or one in a loop: the first to go astray."""
    t, j = torch.sources(lost_t)[0], jax.sources(lost_j)[0]
    return Fork("differs", Blame(torch.operation(t), t), Blame(jax.operation(j), j), backward=backward)


def _blamed(torch: Side, jax: Side, lost_t: set[int], lost_j: set[int], t: int, j: int, backward: bool) -> Fork:
    """What the repair of JAX's value j by torch's value t says about where the mistake is."""
    onward = _first_user(jax, j, lost_j)
    there, here = torch.operation(t), jax.operation(j)
    if j not in lost_j:
        if t in jax.same[j]:
            if there is None or there.name not in MOVING:
                there = _first_user(torch, t, lost_t) or there
            if here is None or here.name not in MOVING:
                here = onward
            return Fork("order", Blame(there, t), Blame(here, j), onward, True, backward)
        if torch.matched[t] and torch.same[t]:
            there = _first_user(torch, t, lost_t) or there
            return Fork("differs", Blame(there, t), Blame(onward, j), None, True, backward)
        beside = here is not None and any(_line(torch.operation(i)) == _line(there) for i in jax.same[j])
        return Fork("missing in jax", Blame(there, t), Blame(here if beside else onward, j), onward, True, backward)
    region = jax.before(j, lost_j)
    sources_j = jax.sources(region)
    blamed = Blame(jax.operation(j if j in sources_j else sources_j[0]), j)
    if t in lost_t:
        firsts = torch.sources(torch.before(t, lost_t)) or [t]
        return Fork("differs", Blame(torch.operation(t if t in firsts else firsts[0]), t), blamed, None, True, backward)
    makers = [jax.operation(i) for i in jax.edge(region) if t in jax.same[i]]
    if there is None or not any(_line(o) == _line(blamed.operation) for o in makers):
        there = _first_user(torch, t, lost_t) or there
    return Fork("missing in torch", Blame(there, t), blamed, None, True, backward)


def _exchanged(
    torch: Side, program: Any, jax: Side, wrong: list[tuple[int, int]], lost: set[int], same: Same, backward: bool
) -> Fork | None:
    """Two values that one line makes, such as the parts of a split, each used in the place of the other."""
    values = torch.recording.values
    groups: dict[Any, dict[tuple[Any, int], int]] = {}
    lines = {_line(o) for i in jax.edge(lost) if (o := jax.operation(i)) is not None and o.name in TAKING}
    for i, number in sorted(jax.recording.maker.items()):
        here = jax.recording.operations[number]
        if here.name in TAKING and i not in lost and here.lines and _line(here) in lines and jax.same[i]:
            key = (here.lines[0], jax.recording.values[i].shape)
            groups.setdefault(key, {}).setdefault(program.origin(i), i)
    tried = 0
    for group in groups.values():
        for (a, i), (b, j) in combinations(group.items(), 2):
            tried += 1
            if tried > MANY:
                return None
            found = program.exchanged(a, b, [w for _, w in wrong])
            if all(same(f, values[t]) for f, (t, _) in zip(found, wrong, strict=True)):
                t = jax.same[i][0]
                return Fork("exchanged", Blame(torch.operation(t), t), Blame(jax.operation(j), j), None, True, backward)
    return None


def _counterpart(
    jax: Side, lost: set[int], t: int, j: int, value: np.ndarray, fixes: Callable[[int, np.ndarray, int], bool]
) -> int:
    """The value that JAX makes of j at once, if torch's value in its place is a repair as good as one of j."""
    values = jax.recording.values
    if j in lost or t in jax.same[j]:
        return j
    for number in jax.users.get(j, ()):
        operation = jax.recording.operations[number]
        if any(i in lost and values[i].dtype.kind == "f" for i in operation.inputs):
            continue
        for o in operation.outputs:
            if (
                o in lost
                and values[o].dtype.kind == "f"
                and any(fixes(o, v, EVERYWHERE) for v in aligned(value, values[o]))
            ):
                return o
    return j


def _first_user(side: Side, i: int, lost: set[int]) -> Call | None:
    """The first operation that goes wrong with this value, or with the same numbers moved."""
    for n in side.users.get(i, ()):
        operation = side.recording.operations[n]
        if operation.fused is None and any(k in lost for k in operation.outputs):
            return operation
        if operation.name in MOVING and operation.outputs[0] > i:
            found = _first_user(side, operation.outputs[0], lost)
            if found is not None:
                return found
    return None


def _line(operation: Call | None) -> Any:
    return operation.lines[:1] if operation is not None else None


def stopped(torch: Side, program: Any, jax: Side, gradients: Callable[[set[int], set[int]], bool]) -> Fork | None:
    """Where one side stops a gradient and the other does not, if that explains why the gradients differ.

    `gradients(stop, let)` is whether JAX's gradients are torch's once they are stopped after the values in
    `stop`, and no longer by the operations in `let`.
    """
    records = torch.recording, jax.recording
    free = [(t, j) for t in records[0].stopped for j in torch.same[t] if _goes_on(jax, j, program.stops)]
    bound = [n for n in program.stops if not any(t in records[0].stopped for t in _counterparts(jax, n))]
    for t, j in free[:MANY]:
        if gradients({j}, set()):
            there = Call("aten.detach", (t,), (t,), records[0].stopped[t])
            here = jax.operation(j)
            if here is None or _line(torch.operation(t)) != _line(
                there
            ):  # stopped where it is used, not where it is made
                moved = {o for n in records[1].operations if n.name not in MOVING for o in n.outputs}
                here = _first_user(jax, j, moved) or here or records[1].operations[jax.users[j][0]]
            return Fork("stopped", Blame(there, t), Blame(here, j), None, True, True)
    for n in bound[:MANY]:
        if gradients(set(), {n}):
            here = records[1].operations[n]
            t = next(iter(_counterparts(jax, n)), 0)
            return Fork("stopped", Blame(torch.operation(t), t), Blame(here, here.inputs[0]), None, True, True)
    return None


MANY = 12
"""Stopped gradients that are tried one by one."""


def _goes_on(jax: Side, j: int, stops: list[int]) -> bool:
    return jax.recording.values[j].dtype.kind == "f" and any(n not in stops for n in jax.users.get(j, ()))


def _counterparts(jax: Side, number: int) -> list[int]:
    return jax.same[jax.recording.operations[number].inputs[0]]
