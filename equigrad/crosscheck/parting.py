"""The first operation at which a PyTorch function and its JAX port part.

What has no counterpart between the last values that have one and the result is where the mistake is, but not
all of it is a mistake: one side may take three steps where the other takes one. So the mistake is found by
trying: PyTorch's value is put into JAX's computation, in place of one of JAX's, and what follows is computed
again. The first value after whose repair the results agree is where they parted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, islice
from typing import Any

import numpy as np

from .counterparts import MOVING, Side, aligned, keep_order
from .differences import LEAST_SHARE, largest
from .recording import Recorded

Same = Callable[[np.ndarray, np.ndarray], bool]
"""Whether two outputs are the same."""
TAKING = {"split", "slice", "dynamic_slice", "squeeze", "gather", "row", "reshape"}
"""Operations that take some elements of a value, and often several parts on one line."""
MOST_REPAIRS = 3_000
"""Repairs tried at most."""
MOST_TRIALS = 12
"""Exchanges, and stopped gradients, tried at most."""
EVERYWHERE = 0
MODES = range(3)
"""Where a value is replaced, see `Program.repairs`; in fewer places than everywhere only if it is right itself."""


@dataclass(frozen=True)
class Spot:
    """One side's operation, and the value to look at."""

    operation: Recorded | None
    """None for a value that was given."""
    value: int


@dataclass(frozen=True)
class Fork:
    """Where they part."""

    kind: str
    """`differs`, `missing in jax`, `missing in torch`, `order`, `exchanged`, `reversed` or `stopped`."""
    torch: Spot
    jax: Spot
    onward: Recorded | None = None
    """The JAX operation that goes on with a value that torch changes first."""
    repaired: bool = True
    """Whether everything after it agrees once PyTorch's value is put into JAX's computation."""


def part(torch: Side, program: Any, jax: Side, outputs: list[tuple[int, int]], same: Same, signs: bool) -> Fork | None:
    """Where the outputs, pairs of (torch's value, JAX's value), part; None if they do not.

    `program` is the one whose recording is JAX's side. With `signs` a value is also tried with the other sign,
    as the two may carry it in the backward pass.
    """
    wrong = [(t, j) for t, j in outputs if not same(jax.recording.values[j], torch.recording.values[t])]
    if not wrong:
        return None
    size = [largest(torch.recording.values[t], jax.recording.values[j]) for t, j in wrong]
    wrong = [pair for pair, each in zip(wrong, size, strict=True) if not each < LEAST_SHARE * max(size)]
    repairs = _Repairs(torch, program, jax, wrong, same, signs)
    fork = repairs.exchanged() or repairs.reversed()
    if fork is not None:
        return fork
    fork = repairs.fork()
    if fork.torch.value in jax.same[fork.jax.value]:  # look nearer to where the order was lost
        keep_order(torch, jax, same, repairs.signs)
        nearer = _Repairs(torch, program, jax, wrong, same, signs).fork()
        fork = replace(nearer, onward=nearer.onward and fork.onward) if nearer.repaired else fork
    return fork


class _Repairs:
    """The search for the value of torch's that, in the place of one of JAX's, makes the wrong outputs right."""

    def __init__(
        self, torch: Side, program: Any, jax: Side, wrong: list[tuple[int, int]], same: Same, signs: bool
    ) -> None:
        self.torch, self.program, self.jax, self.same = torch, program, jax, same
        self.signs = (1, -1) if signs else (1,)
        self.targets = [j for _, j in wrong]
        self.wanted = [torch.recording.values[t] for t, _ in wrong]
        self.lost_t, self.lost_j = torch.astray([t for t, _ in wrong]), jax.astray(self.targets)

    def fork(self) -> Fork:
        for j, t, value in islice(self._candidates(), MOST_REPAIRS):
            if any(self._fixes(j, value, m) for m in ([EVERYWHERE] if j in self.lost_j else MODES)):
                if j in self.targets and j not in self.jax.sources(self.lost_j):
                    break
                return self._said(t, self._counterpart(t, j))
        # no repair but that of the result helps, as with two mistakes or one in a loop: the first to go astray
        t, j = self._beginning(self.torch.sources(self.lost_t), self.jax.sources(self.lost_j))
        return Fork("differs", Spot(self.torch.operation(t), t), Spot(self.jax.operation(j), j), repaired=False)

    def _candidates(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """(JAX's value, torch's, that in JAX's shape), in JAX's order of computation."""
        torch, jax, lost = self.torch, self.jax, self.lost_j
        edge = jax.edge(lost)
        likely = {t for t in self.lost_t | torch.edge(self.lost_t) if torch.floats(t)}
        for j in sorted(lost | edge):
            if not jax.floats(j) or (j in edge and jax.trivial(j)):
                continue
            own = [t for t in jax.same[j] if torch.floats(t)] if j not in lost else []
            here = jax.recording.values[j]
            for t in sorted({*likely, *own}, key=lambda t: (torch.recording.values[t].shape != here.shape, t)):
                for sign in self.signs:
                    for value in aligned(sign * torch.recording.values[t], here):
                        if not self.same(value, here):
                            yield j, t, value

    @cached_property
    def _repair(self) -> Callable[[int, np.ndarray, int], list[np.ndarray]]:
        operations = list(enumerate(self.jax.recording.operations))
        users = {n for n, o in operations if any(i in self.lost_j for i in o.outputs)}
        heads = {n for n, o in operations if n in users and not any(i in self.lost_j for i in o.inputs)}
        repair: Callable[[int, np.ndarray, int], list[np.ndarray]] = self.program.repairs(self.targets, heads, users)
        return repair

    def _fixes(self, j: int, value: np.ndarray, mode: int) -> bool:
        return self._right(self._repair(j, value, mode))

    def _right(self, outputs: list[np.ndarray]) -> bool:
        return all(map(self.same, outputs, self.wanted))

    def _counterpart(self, t: int, j: int) -> int:
        """The value that JAX makes of j at once, if torch's value in its place is a repair as good as one of j."""
        jax, lost = self.jax, self.lost_j
        if j in lost or t in jax.same[j]:
            return j
        for number in jax.users.get(j, ()):
            operation = jax.recording.operations[number]
            if any(i in lost and jax.floats(i) for i in operation.inputs):
                continue
            for o in operation.outputs:
                values = aligned(self.torch.recording.values[t], jax.recording.values[o])
                if o in lost and jax.floats(o) and any(self._fixes(o, v, EVERYWHERE) for v in values):
                    return o
        return j

    def _said(self, t: int, j: int) -> Fork:
        """What the repair of JAX's value j by torch's value t says about where the mistake is."""
        torch, jax = self.torch, self.jax
        onward = jax.first_user(j, self.lost_j)
        there, here = torch.operation(t), jax.operation(j)
        user = torch.first_user(t, self.lost_t) or there
        theirs, first = self._first(t, j)
        if t in jax.same[j]:
            values = torch.recording.values[t], jax.recording.values[j]
            kind = "order" if self.same(*(np.sort(v, axis=None) for v in values)) else "differs"
            there, here = theirs or _moving(user, there), first or _moving(onward, here)
            return Fork(kind, Spot(there, t), Spot(here, j), onward)
        if first is None:
            if torch.matched[t] and torch.same[t]:
                return Fork("differs", Spot(user, t), Spot(onward, j))
            beside = here is not None and any(_line(torch.operation(i)) == _line(there) for i in jax.same[j])
            return Fork("missing in jax", Spot(there, t), Spot(here if beside else onward, j), onward)
        if theirs is not None:
            return Fork("differs", Spot(theirs, t), Spot(first, j))
        makers = [jax.operation(i) for i in jax.edge(jax.before(j, self.lost_j)) if t in jax.same[i]]
        beside = there is not None and any(_line(o) == _line(first) for o in makers)
        return Fork("missing in torch", Spot(there if beside else user, t), Spot(first, j))

    def _first(self, t: int, j: int) -> tuple[Recorded | None, Recorded | None]:
        """(torch's, JAX's) operation with which the part of the region that leads to t, or j, begins."""
        theirs, ours = self.torch.beginnings(t, self.lost_t), self.jax.beginnings(j, self.lost_j)
        if theirs and ours:
            theirs, ours = ([value] for value in self._beginning(theirs, ours))
        return (self.torch.operation(theirs[0]) if theirs else None), (self.jax.operation(ours[0]) if ours else None)

    def _beginning(self, theirs: list[int], ours: list[int]) -> tuple[int, int]:
        """(torch's, JAX's) first values that are made of the same numbers and matter, or else the first of either."""
        torch, jax = self.torch, self.jax
        for j in ours if len(ours) == 1 else filter(self._matters, ours):
            made_of = {t for i in getattr(jax.operation(j), "inputs", ()) if not jax.trivial(i) for t in jax.same[i]}
            for t in theirs:
                if made_of & {*getattr(torch.operation(t), "inputs", ())}:
                    return t, j
        return theirs[0], ours[0]

    def _matters(self, j: int) -> bool:
        """Whether the results change with this value, unlike with a mask that hides by -1e9 or by -1e30."""
        values = self.jax.recording.values
        theirs = (self.torch.recording.values[t] for t in sorted(self.lost_t) if self.torch.floats(t))
        trials = (
            v for w in theirs for v in aligned(w, values[j]) if self.jax.floats(j) and not self.same(v, values[j])
        )
        now = [values[i] for i in self.targets]
        return not any(all(map(self.same, self._repair(j, v, EVERYWHERE), now)) for v in islice(trials, MOST_TRIALS))

    def exchanged(self) -> Fork | None:
        """Two values that one line makes, such as the parts of a split, each used in the place of the other."""
        jax, lost = self.jax, self.lost_j
        groups: dict[Any, dict[tuple[Any, int], int]] = {}
        lines = {_line(o) for i in jax.edge(lost) if (o := jax.operation(i)) is not None and o.name in TAKING}
        for i, number in sorted(jax.recording.maker.items()):
            here = jax.recording.operations[number]
            if here.name in TAKING and i not in lost and here.lines and _line(here) in lines and jax.same[i]:
                group = groups.setdefault((here.lines[0], jax.recording.values[i].shape), {})
                group.setdefault(self.program.origin(i), i)
        pairs = (pair for group in groups.values() for pair in combinations(group.items(), 2))
        for (a, i), (b, j) in islice(pairs, MOST_TRIALS):
            if self._right(self.program.exchanged(a, b, self.targets)):
                i, j = self._unmoved(i, j)
                t = jax.same[i][0]
                return Fork("exchanged", Spot(self.torch.operation(t), t), Spot(jax.operation(j), j))
        return None

    def _unmoved(self, i: int, j: int) -> tuple[int, int]:
        """What two exchanged values of JAX's were before one and the same line did no more than move them."""
        while all(o is not None and o.name in MOVING for o in map(self.jax.operation, (i, j))):
            k, m = (self.jax.recording.operations[self.jax.recording.maker[v]].inputs[0] for v in (i, j))
            makers = self.jax.operation(k), self.jax.operation(m)
            if k == m or None in makers or _line(makers[0]) != _line(makers[1]) or not self.jax.same[k]:
                break
            i, j = k, m
        return i, j

    def reversed(self) -> Fork | None:
        """A scan that runs the other way."""
        torch, jax, scans = self.torch, self.jax, dict[Any, Recorded]()
        for operation in jax.recording.operations:
            if operation.name == "row":
                scans.setdefault(self.program.origin(operation.outputs[0])[0][0], operation)
        for scan, here in islice(scans.items(), MOST_TRIALS):
            if self._right(self.program.turned(scan, self.targets)):
                t = torch.sources(self.lost_t)[0]
                return Fork("reversed", Spot(torch.operation(t), t), Spot(here, here.outputs[0]), repaired=False)
        return None


def _moving(*operations: Recorded | None) -> Recorded | None:
    """The first that computes nothing, else the first."""
    return next((o for o in operations if o is not None and o.name in MOVING), operations[0])


def _line(operation: Recorded | None) -> Any:
    return operation.lines[:1] if operation is not None else None


def stopped(torch: Side, program: Any, jax: Side, gradients: Callable[[set[int], set[int]], bool]) -> Fork | None:
    """Where one side stops a gradient and the other does not, if that explains why the gradients differ.

    `gradients(stop, let)` is whether JAX's gradients are torch's once they are stopped after the values in
    `stop`, and no longer by the operations in `let`.
    """
    operations, stops = jax.recording.operations, torch.recording.stopped

    def goes_on(j: int) -> bool:
        return jax.floats(j) and any(n not in program.stops for n in jax.users.get(j, ()))

    def counterparts(number: int) -> list[int]:
        return jax.same[operations[number].inputs[0]]

    free = [(t, j) for t in stops for j in torch.same[t] if goes_on(j)]
    for t, j in free[:MOST_TRIALS]:
        if gradients({j}, set()):
            there, here = Recorded("aten.detach", (t,), (t,), stops[t]), jax.operation(j)
            if here is None or _line(torch.operation(t)) != _line(there):  # stopped where it is used
                changed = {o for n in operations if n.name not in MOVING for o in n.outputs}
                here = jax.first_user(j, changed) or here or operations[jax.users[j][0]]
            return Fork("stopped", Spot(there, t), Spot(here, j))
    bound = [n for n in program.stops if not any(t in stops for t in counterparts(n))]
    for n in bound[:MOST_TRIALS]:
        if gradients(set(), {n}):
            t = next(iter(counterparts(n)), 0)
            return Fork("stopped", Spot(torch.operation(t), t), Spot(operations[n], operations[n].inputs[0]))
    return None
