"""A recording of a JAX function: its jaxpr as one list of primitives, all of whose values are kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax.extend import core

from .recording import Line, Recorded, Recording, user_lines

MOST_STEPS = 1_500
"""Primitives that loops are unrolled to, all together; what is beyond runs in one piece."""
INLINED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters that hold the body of jit, custom_jvp, custom_vjp, checkpoint and the like."""
FAST = {
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Each program runs a few times only: compiling it well would take longer.

Not `xla_backend_optimization_level` 0, which would be quicker still: it gives NaN for a softmax of a layer norm, and
other wrong numbers (JAX 0.10.2).
"""

Where = tuple[tuple[Line, ...], str]
Primitive = Callable[..., Sequence[Any]]


class Program:
    """What a jaxpr does to given arrays, without calls, branches or loops.

    Of branches the one taken is kept. Loops are unrolled as often as they ran, long ones for their first
    iterations only. All primitives are compiled together: one by one they would take a second for every fifty.
    """

    def __init__(self, jaxpr: Any, arguments: Sequence[Any]) -> None:
        self.recording = Recording()
        self.steps: list[Primitive] = []
        self.stops: list[int] = []
        """Which operations are stop_gradient."""
        self._arrays: list[Any] = []
        self._avals: list[Any] = []
        self._done = 0
        self._origins: list[tuple[Hashable, ...]] = []
        """What each operation comes from, an equation or a scan's row or stack: in a loop, one for all iterations."""
        consts = [self._given(v) for v in jaxpr.consts]
        self.given = [self._given(v) for v in arguments]
        self.outputs = self._run(jaxpr.jaxpr, consts, self.given, ((), ""))
        self._compute()
        self.recording.values = [_numpy(v) for v in self._arrays]

    def _given(self, array: Any, dtype: Any = None) -> int:
        self._arrays.append(jax.numpy.asarray(array, dtype))
        return len(self._arrays) - 1

    def _compute(self) -> None:
        """Fill in the values of the operations that have been added since the last time."""
        operations, steps = self.recording.operations[self._done :], self.steps[self._done :]
        self._done = len(self.steps)
        known = {i: v for o in operations for i in o.inputs if (v := self._arrays[i]) is not None}

        def run(arrays: dict[int, Any]) -> dict[int, Any]:
            found = dict(arrays)
            for operation, step in zip(operations, steps, strict=True):
                found.update(zip(operation.outputs, step(*(found[i] for i in operation.inputs)), strict=True))
            return {i: v for i, v in found.items() if i not in arrays}

        for i, v in compiled(run)(known).items():
            self._arrays[i] = v

    def _run(self, jaxpr: Any, consts: Sequence[int], arguments: Sequence[int], outer: Where) -> list[int]:
        known: dict[Any, int] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> int:
            return self._given(atom.val, atom.aval.dtype) if isinstance(atom, core.Literal) else known[atom]

        for eqn in jaxpr.eqns:
            numbers = self._equation(eqn, [read(atom) for atom in eqn.invars], outer)
            known.update(zip(eqn.outvars, numbers, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: Any, inputs: list[int], outer: Where) -> list[int]:
        name, params = eqn.primitive.name, eqn.params
        lines, called = _where(eqn)
        where = (lines, called) if lines else outer
        bound = eqn.primitive.get_bind_params(params)
        functions, bound = bound if isinstance(bound, tuple) else ((), bound)  # before JAX 0.10 a pair
        many = eqn.primitive.multiple_results

        def step(*arrays: Any) -> Sequence[Any]:
            with eqn.ctx.manager:
                found = eqn.primitive.bind(*functions, *arrays, **bound)
            return found if many else [found]

        if name == "cond":
            self._compute()
            branch = params["branches"][int(self._arrays[inputs[0]])]
            return self._closed(branch, inputs[1:], where)
        if name in ("scan", "while"):
            return self._loop(eqn, step, inputs, where)
        body = next((params[key] for key in INLINED if key in params), None)
        if body is not None:
            return self._closed(body, inputs, where) if hasattr(body, "consts") else self._run(body, [], inputs, where)
        backward = "transpose(" in str(eqn.source_info.name_stack)
        return self._do((id(eqn),), name, step, inputs, len(eqn.outvars), where, backward)

    def _closed(self, jaxpr: Any, inputs: Sequence[int], where: Where) -> list[int]:
        return self._run(jaxpr.jaxpr, [self._given(c) for c in jaxpr.consts], inputs, where)

    def _do(
        self,
        origin: tuple[Hashable, ...],
        name: str,
        step: Primitive,
        inputs: Sequence[int],
        count: int,
        where: Where,
        backward: bool = False,
    ) -> list[int]:
        outputs = list(range(len(self._arrays), len(self._arrays) + count))
        self._arrays += [None] * count
        if name == "stop_gradient":
            self.stops.append(len(self.steps))
        self.steps.append(step)
        self._origins.append(origin)
        self.recording.add(Recorded(name, tuple(inputs), tuple(outputs), *where, backward=backward))
        return outputs

    def _loop(self, eqn: Any, step: Primitive, inputs: list[int], where: Where) -> list[int]:
        params, first = eqn.params, len(self.steps)
        backward = "transpose(" in str(eqn.source_info.name_stack)
        scan = eqn.primitive.name == "scan"
        unroll, length = (partial(self._scan, eqn), params["length"]) if scan else self._while(params, inputs)
        body = params["jaxpr" if scan else "body_jaxpr"]
        room = max(1, (MOST_STEPS - len(self.steps)) // max(1, _size(body.jaxpr)))
        found = unroll(inputs, where, min(length, room))
        if length <= room:
            return found
        outputs = self._do((id(eqn),), eqn.primitive.name, step, inputs, len(eqn.outvars), where, backward)
        for operation in self.recording.operations[first:-1]:
            operation.fused = len(self.steps) - 1
        return outputs

    def _scan(self, eqn: Any, inputs: list[int], where: Where, most: int) -> list[int]:
        params = eqn.params
        body, length, fixed, carried = (params[k] for k in ("jaxpr", "length", "num_consts", "num_carry"))
        consts, carry, rows = inputs[:fixed], inputs[fixed : fixed + carried], inputs[fixed + carried :]
        made: list[list[int]] = []
        for i in (range(length)[::-1] if params["reverse"] else range(length))[:most]:
            row = [
                n
                for k, r in enumerate(rows)
                for n in self._do((id(eqn), "row", k), "row", lambda v, i=i: [v[i]], [r], 1, where)
            ]
            out = self._closed(body, [*consts, *carry, *row], where)
            carry = out[:carried]
            made.append(out[carried:])
        if params["reverse"]:
            made.reverse()
        if not made:
            shapes = [v.aval for v in body.jaxpr.outvars[carried:]]
            return [*carry, *(self._given(jax.numpy.zeros((0, *a.shape), a.dtype)) for a in shapes)]
        stacks = [
            self._do((id(eqn), "stack", k), "stack", lambda *vs: [jax.numpy.stack(vs)], column, 1, where)[0]
            for k, column in enumerate(zip(*made, strict=True))
        ]
        return [*carry, *stacks]

    def _while(self, params: Any, inputs: list[int]) -> tuple[Callable[..., list[int]], int]:
        """(what unrolls it, how often it runs)."""
        self._compute()
        split = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        condition, body = (core.jaxpr_as_fun(params[key]) for key in ("cond_jaxpr", "body_jaxpr"))
        arrays = [self._arrays[i] for i in inputs]
        asked, used, carry = arrays[: split[0]], arrays[split[0] : split[1]], arrays[split[1] :]

        def count(state: Any) -> Any:
            return (state[0] + 1, body(*used, *state[1]))

        times = jax.lax.while_loop(lambda s: condition(*asked, *s[1])[0], count, (0, carry))[0]

        def unroll(inputs: list[int], where: Where, most: int) -> list[int]:
            carry = inputs[split[1] :]
            for _ in range(most):
                carry = self._closed(params["body_jaxpr"], [*inputs[split[0] : split[1]], *carry], where)
            return carry

        return unroll, int(times)

    def repairs(
        self, targets: Sequence[int], heads: set[int], lost: set[int]
    ) -> Callable[[int, np.ndarray, int], list[np.ndarray]]:
        """A function that gives the targets as they are once a value, by its number, is another array.

        With mode 0 for all that use it, with 1 for the operations in `heads` only (the first that go wrong), with 2 for
        those in `lost` (all that go wrong).
        """
        values, operations = self.recording.values, self.recording.operations
        slots = {(v.shape, v.dtype): i for i, v in enumerate(values) if v.dtype.kind in "fc"}
        blank = {i: np.zeros_like(values[i]) for i in slots.values()}
        given = {i: v for i, v in enumerate(self._arrays) if i not in self.recording.maker}

        def run(given: dict[int, Any], changed: Any, mode: Any, arrays: dict[int, Any]) -> list[Any]:
            found = dict(given)

            def other(i: int, v: Any, asked: Any) -> Any:
                slot = slots.get((values[i].shape, values[i].dtype))
                return v if slot is None else jax.numpy.where((changed == i) & asked, arrays[slot], v)

            for number, (operation, step) in enumerate(zip(operations, self.steps, strict=True)):
                inputs = [found[i] for i in operation.inputs]
                if number in lost:
                    asked = mode >= 1 if number in heads else mode == 2
                    inputs = [other(i, v, asked) for i, v in zip(operation.inputs, inputs, strict=True)]
                made = zip(operation.outputs, step(*inputs), strict=True)
                found.update((i, other(i, v, mode == 0)) for i, v in made)
            return [found[i] for i in targets]

        again = compiled(run)

        def repair(number: int, array: np.ndarray, mode: int) -> list[np.ndarray]:
            slot = slots[(values[number].shape, values[number].dtype)]
            arrays = {**blank, slot: array.astype(values[number].dtype)}
            return [np.asarray(v) for v in again(given, number, mode, arrays)]

        return repair

    def origin(self, i: int) -> tuple[tuple[Hashable, ...], int]:
        """(the equation that makes a value, which of its outputs it is); the same in each iteration of a loop."""
        number = self.recording.maker[i]
        return self._origins[number], self.recording.operations[number].outputs.index(i)

    def exchanged(self, a: tuple[Hashable, int], b: tuple[Hashable, int], targets: Sequence[int]) -> list[np.ndarray]:
        """The targets as they are if the values of two origins are exchanged wherever they are used."""
        other = {a: b, b: a}
        given = {i: v for i, v in enumerate(self._arrays) if i not in self.recording.maker}

        def run(given: dict[int, Any]) -> list[Any]:
            found, latest = dict(given), dict[tuple[Hashable, int], Any]()
            places: dict[int, tuple[Hashable, int]] = {}
            for number, (operation, step) in enumerate(zip(self.recording.operations, self.steps, strict=True)):
                inputs = [latest.get(other[places[i]], found[i]) if i in places else found[i] for i in operation.inputs]
                for k, (output, v) in enumerate(zip(operation.outputs, step(*inputs), strict=True)):
                    found[output] = v
                    place = (self._origins[number], k)
                    if place in other:
                        places[output], latest[place] = place, v
            return [found[i] for i in targets]

        return [np.asarray(v) for v in compiled(run)(given)]

    def turned(self, scan: Hashable, targets: Sequence[int]) -> list[np.ndarray]:
        """The targets as they are if a scan runs the other way."""
        given = {i: v for i, v in enumerate(self._arrays) if i not in self.recording.maker}

        def run(given: dict[int, Any]) -> list[Any]:
            found = dict(given)
            for operation, step, origin in zip(self.recording.operations, self.steps, self._origins, strict=True):
                inputs = [found[i] for i in operation.inputs]
                if origin[:2] == (scan, "row"):
                    inputs = [v[::-1] for v in inputs]
                elif origin[:2] == (scan, "stack"):
                    inputs = inputs[::-1]
                found.update(zip(operation.outputs, step(*inputs), strict=True))
            return [found[i] for i in targets]

        return [np.asarray(v) for v in compiled(run)(given)]

    def replay(self, arguments: Sequence[Any], stop: set[int], let: set[int]) -> list[Any]:
        """The outputs for other arguments, differentiable; gradients are stopped after the values in `stop`,
        and no longer by the operations in `let`."""
        arrays = list(self._arrays)
        for i, v in zip(self.given, arguments, strict=True):
            arrays[i] = jax.lax.stop_gradient(v) if i in stop else v
        for number, (operation, step) in enumerate(zip(self.recording.operations, self.steps, strict=True)):
            inputs = [arrays[i] for i in operation.inputs]
            made = inputs if number in let else step(*inputs)
            for output, array in zip(operation.outputs, made, strict=True):
                arrays[output] = jax.lax.stop_gradient(array) if output in stop else array
        return [arrays[i] for i in self.outputs]


def kinds(jaxpr: Any) -> set[Any]:
    """The floating-point dtypes of all that a jaxpr makes of its arguments."""
    found, depends = set[Any](), set(jaxpr.invars)
    for eqn in jaxpr.eqns:
        if any(not isinstance(v, core.Literal) and v in depends for v in eqn.invars):
            for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
                if hasattr(inner, "eqns"):
                    found |= kinds(getattr(inner, "jaxpr", inner))
            depends.update(eqn.outvars)
            found |= {v.aval.dtype for v in eqn.outvars if jax.numpy.issubdtype(v.aval.dtype, jax.numpy.floating)}
    return found


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """By jit, as it is written."""
    return jax.jit(function, compiler_options=_known())


@cache
def _known() -> dict[str, Any]:
    """The options of FAST that this XLA has: they come and go, and it refuses what it does not know."""
    known = {}
    for name, value in FAST.items():
        with suppress(Exception):
            jax.jit(lambda: 0, compiler_options={name: value})()
            known[name] = value
    return known


def _size(jaxpr: Any) -> int:
    """How many primitives a body unrolls to, loops inside counted once."""
    bodies = (next((e.params[k] for k in INLINED if k in e.params), None) for e in jaxpr.eqns)
    return sum(1 if b is None else _size(getattr(b, "jaxpr", b)) for b in bodies)


def _numpy(array: Any) -> np.ndarray:
    try:
        return np.asarray(array)
    except Exception:  # a random key, or what else JAX keeps to itself
        return np.zeros(0, bool)


def _where(eqn: Any) -> Where:
    traceback = eqn.source_info.traceback
    return user_lines(_frames(traceback)) if traceback else ((), "")


def _frames(traceback: Any) -> Iterator[Line]:
    for frame in traceback.frames:
        if "traceback_util" not in frame.file_name:
            yield Line(frame.file_name, frame.line_num, frame.function_name)
