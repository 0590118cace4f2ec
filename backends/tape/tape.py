"""An update written down once, operation by operation, and repeated into the same arrays.

The small networks spend their time in Python and in making arrays, the large ones in memory that is given
back and fetched again. A tape spares both: while the backend runs its own `update` once, every operation is noted,
and then the same operations are called in the same order. So the derivative is still the backend's (by hand, by
autograd), and every bit is the one that `update` gives.

This module knows no framework: it decides which array each result goes into. How operations are noted is in
`numpy_tape.py` and `torch_tape.py` beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

from ..interface import Weights

Array = Any
Bound = Callable[[], Any]
"""A call that has its arguments, and where its result goes."""

Least = Sequence[tuple[int, int]]
"""(activations in the widest layer, updates from which on a tape pays), the largest networks first."""


def worthwhile(least: Least, n: int, samples: int, weights: Sequence[Array]) -> bool:
    """Whether n updates are enough for a tape."""
    widest = samples * max(w.shape[1] for w in weights)
    return n >= next(updates for activations, updates in least if widest >= activations)


UNROLLED = 1000
"""Updates from which on it pays to write the calls out: to compile them takes as long as 200 to 700 updates spare."""


class Untapeable(Exception):
    """Something that a tape cannot hold."""


Train = Callable[..., Weights]


def taping(repeat: Train, least: Least) -> Callable[[Train], Train]:
    """The decorator of a `train` that leaves as many updates as `least` says to `repeat(update, weights, x, y, lr, n)`.

    Where that raises Untapeable, `train` runs as written. A subclass that does not write the decorator itself is
    trained as written too, since it may do what no tape holds.
    """

    def taped(train: Train) -> Train:
        @wraps(train)
        def call(self: Any, weights: Weights, x: Array, y: Array, lr: float, n: int) -> Weights:
            if vars(type(self)).get(train.__name__) is call and worthwhile(least, n, len(x), weights):
                with suppress(Untapeable):
                    return repeat(self.update, weights, x, y, lr, n)
            return train(self, weights, x, y, lr, n)

        return call

    return taped


@dataclass(frozen=True)
class Value:
    """A result, by its number; the first are the inputs."""

    number: int


@dataclass(frozen=True)
class Step:
    """One operation: `call(*arguments)` gives a view, `call(*arguments, into)` writes into `into`."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    """Value in place of each array; a Value may also be inside a list."""
    result: int
    like: Hashable | None
    """Shape and dtype of the array that it writes into, None for a view of its first argument."""
    elementwise: bool
    """Whether it may write into one of its own arguments."""

    @property
    def values(self) -> list[int]:
        flat = [v for a in self.arguments for v in (a if isinstance(a, list) else [a])]
        return [v.number for v in flat if isinstance(v, Value)]


@dataclass
class Tape:
    """The steps of one update."""

    inputs: int
    """How many, the weights first."""
    steps: list[Step] = field(default_factory=list)
    results: tuple[Value, ...] = ()
    """The new weights."""

    def note(
        self, call: Callable[..., Any], arguments: Sequence[Any], like: Hashable | None, elementwise: bool = True
    ) -> Value:
        """Write one operation down; its result's Value."""
        number = self.inputs + len(self.steps)
        self.steps.append(Step(call, tuple(arguments), number, like, elementwise))
        return Value(number)

    def bind(
        self,
        inputs: Sequence[Array],
        empty: Callable[[Any], Array],
        ready: Callable[..., Bound],
        copy: Callable[..., Any],
    ) -> list[Bound]:
        """The calls of one update on `inputs`, the first of which, the weights, change in place.

        `empty(like)` makes an array, `ready(call, arguments, into)` a call without arguments, `copy` is an operation
        that copies. An array that no later step needs takes the next result of its kind, so that as few are held
        as the update itself holds.

        Raises Untapeable where a new weight is not an array of its own: a view, another new weight, or what was given.
        """
        self.drop_what_nothing_needs()
        root, last = self._lifetimes()
        own = {v.number for v in self.results if v.number >= self.inputs and root[v.number] == v.number}
        if len(own) < len(self.results):
            raise Untapeable("a new weight that is not an array of its own")
        held: dict[int, Array] = dict(enumerate(inputs))
        spare: dict[Hashable, list[Array]] = {}
        kind: dict[int, Hashable] = {}
        final = {v.number: i for i, v in enumerate(self.results)}
        calls = []

        for at, step in enumerate(self.steps):
            arguments = [_filled(a, held) for a in step.arguments]
            if step.like is None:
                held[step.result] = step.call(*arguments)
                continue
            roots = [root[v] for v in step.values]
            dying = [r for r in dict.fromkeys(roots) if last[r] == at]
            whole = [r for r in dying if step.elementwise and all(v == r for v in step.values if root[v] == r)]
            weight = final.get(step.result)
            if weight in whole:
                into = held[weight]
            else:
                reusable = [r for r in whole if r >= self.inputs and kind[r] == step.like]
                if reusable:
                    into = held[reusable[0]]
                    dying.remove(reusable[0])
                else:
                    into = spare[step.like].pop() if spare.get(step.like) else empty(step.like)
            held[step.result], kind[step.result] = into, step.like
            calls.append(ready(step.call, arguments, into))
            for r in dying:
                if r >= self.inputs:
                    spare.setdefault(kind[r], []).append(held[r])
        for weight, value in enumerate(self.results):
            if held[value.number] is not inputs[weight]:
                calls.append(ready(copy, [held[value.number]], inputs[weight]))
        return calls

    @staticmethod
    def run(calls: Sequence[Bound], n: int) -> None:
        """n updates. This loop is what is timed."""
        if n >= UNROLLED:
            unrolled(calls)(n)
            return
        for _ in range(n):
            for call in calls:
                call()

    @property
    def operations(self) -> set[Callable[..., Any]]:
        """What its steps call, but for views."""
        return {step.call for step in self.steps if step.like is not None}

    def drop_what_nothing_needs(self) -> None:
        """Such as the loss itself, of which only the derivative goes on."""
        needed, steps = {v.number for v in self.results}, []
        for step in reversed(self.steps):
            if step.result in needed:
                needed.update(step.values)
                steps.append(step)
        self.steps = steps[::-1]

    def _lifetimes(self) -> tuple[dict[int, int], dict[int, int]]:
        """Of each value the one whose memory it is, and of each of those the last step that needs it."""
        root = {i: i for i in range(self.inputs)}
        last: dict[int, int] = {}
        for at, step in enumerate(self.steps):
            root[step.result] = root[step.values[0]] if step.like is None else step.result
            for v in step.values:
                last[root[v]] = at
        for value in self.results:
            last[root[value.number]] = len(self.steps)
        return root, last


def unrolled(calls: Sequence[Bound]) -> Callable[[int], None]:
    """A function of n that makes the calls n times, written out one after the other.

    That spares the loop over them, and of each `partial` the way through it, but for those with keywords, which a
    `partial` passes on quicker. What is called and given are its parameters: they are found quicker than globals.
    """
    names: dict[str, Any] = {}

    def name(value: Any) -> str:
        names[f"v{len(names)}"] = value
        return f"v{len(names) - 1}"

    lines = []
    for call in calls:
        if isinstance(call, partial) and not call.keywords:
            lines.append(f"  {name(call.func)}({', '.join(map(name, call.args))})")
        else:
            lines.append(f"  {name(call)}()")
    parameters = "".join(f", {known}={known}" for known in names)
    exec("\n".join([f"def run(n{parameters}):", " for _ in range(n):", "  pass", *lines]), names)
    run: Callable[[int], None] = names.pop("run")  # or it would hold itself, and the arrays with it
    return run


def _filled(argument: Any, held: dict[int, Array]) -> Any:
    """The array in place of each Value. No closure over itself, or `held` would wait for the garbage collector."""
    if isinstance(argument, list):
        return [_filled(a, held) for a in argument]
    return held[argument.number] if isinstance(argument, Value) else argument
