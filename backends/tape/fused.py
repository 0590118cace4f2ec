"""Runs of elementwise steps as one compiled loop each, by Numba, with the bits of the steps one by one.

The loops are made from the steps that a tape has noted, so no formula is written a second time. Only operations that
IEEE 754 or integer arithmetic fix to the last bit are among them, and Numba neither reorders nor contracts them unless
told to (`fastmath`, which is off), so the loop gives the bits that the steps give; exp stays the library's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np

from .tape import Step, Tape, Value

Formulas = Mapping[Callable[..., Any], str]
"""Of each operation how Numba is to write it: {0} is the first argument, {dtype} the result's."""


def fused(formulas: Formulas, tape: Tape) -> Tape:
    """The same tape with each run of steps over arrays of one shape, of which only the last is needed, as one step."""
    tape.drop_what_nothing_needs()
    kinds = _dtypes(tape)
    shape = {step.result: tuple(step.like[0]) for step in tape.steps if step.like}  # type: ignore[index]
    users: dict[int, list[int]] = {value.number: [-1] for value in tape.results}
    end: dict[int, int] = {-1: -1}
    """Of each step the last of its run; -1 for one that stays as it is."""
    for step in reversed(tape.steps):
        runs = {end[user] for user in users[step.result]}
        (run,) = runs if len(runs) == 1 else (-1,)
        if step.call not in formulas:
            end[step.result] = -1
        elif step.like is None:  # of other bits, not of another shape
            end[step.result] = run
        else:
            end[step.result] = run if run >= 0 and shape[step.result] == shape[run] else step.result
        for value in step.values:
            users.setdefault(value, []).append(step.result)
    steps = []
    for step in tape.steps:
        run = end[step.result]
        together = [s for s in tape.steps if end[s.result] == run]
        if run == -1 or (len(together) == 1 and isinstance(step.call, np.ufunc)):
            steps.append(step)
        elif run == step.result:
            steps.append(_as_one(together, kinds, formulas))
    return Tape(tape.inputs, steps, tape.results)


def _as_one(steps: Sequence[Step], kinds: Mapping[int, str], formulas: Formulas) -> Step:
    """One step for a run; its operation is a NumPy ufunc, so it broadcasts and takes `out` like any other."""
    names: dict[int, str] = {}
    arguments: list[Any] = []
    dtypes: list[str] = []
    lines: list[str] = []

    def name(argument: Any, dtype: str) -> str:
        if isinstance(argument, Value):
            if argument.number in names:
                return names[argument.number]
            names[argument.number] = f"a{len(arguments)}"
            dtypes.append(kinds[argument.number])
        else:
            array = np.asarray(argument, None if hasattr(argument, "dtype") else dtype)
            number = array.flat[0]
            if np.isfinite(number) and array.tobytes() == number.tobytes() * array.size:
                return f"np.{array.dtype}({number.item()!r})"
            dtypes.append(str(array.dtype))
        arguments.append(argument)
        return f"a{len(arguments) - 1}"

    for step in steps:
        of = step.arguments if step.like else step.arguments[:1]
        given = [name(a, _dtype(step)) for a in of]
        source = kinds[step.values[0]]
        names[step.result] = f"t{len(lines)}"  # not by its number, so that the layers share what is compiled
        formula = formulas[step.call].format(*given, dtype=_dtype(step), source=source)
        lines.append(f" {names[step.result]} = {formula}")
    return Step(
        _compiled(tuple(lines), tuple(dtypes), _dtype(steps[-1])),
        tuple(arguments),
        steps[-1].result,
        steps[-1].like,
        True,
    )


def _dtypes(tape: Tape) -> dict[int, str]:
    """Of each value the name of its dtype. All inputs have that of the weights, old and new."""
    found: dict[int, str] = {}
    for step in tape.steps:
        found[step.result] = _dtype(step) or found.get(step.values[0], "")
    inputs = found[tape.results[0].number]
    return dict.fromkeys(range(tape.inputs), inputs) | {number: dtype or inputs for number, dtype in found.items()}


def _dtype(step: Step) -> str:
    """The name of a result's dtype, NumPy's and PyTorch's alike; '' for a view in its argument's own."""
    form: Any = step.like or step.arguments
    name = str(form[-1]).rpartition(".")[2]
    return name if name in np.sctypeDict else ""


@cache
def _compiled(lines: tuple[str, ...], dtypes: tuple[str, ...], result: str) -> np.ufunc:
    given = ", ".join(f"a{i}" for i in range(len(dtypes)))
    names: dict[str, Any] = {"np": np}
    exec("\n".join([f"def run({given}):", *lines, f" return {lines[-1].split()[0]}"]), names)
    made = numba.vectorize([f"{result}({', '.join(dtypes)})"])(names["run"])
    return made.ufunc  # which Numba's own call of it takes four times as long to reach
