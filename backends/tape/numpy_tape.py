"""How NumPy's update gets onto a tape: it is given arrays that have a shape and no numbers, and that take notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..interface import Weights
from ..numpy_arithmetic import silent
from .tape import Bound, Tape, Train, Untapeable, Value, taping

LEAST = ((1_000_000, 1), (10_000, 5), (0, 100))
"""See `taping`. Making a tape took as long as it spared in 85 to 145 updates of one-layer and two-layer and in 4 to 18
of digits; with a million activations it takes less than their memory (both arithmetics, 2026-11-30)."""
SMALL = 1000
"""With at most this many elements a number is kept as a whole array: that makes a small call a tenth faster."""
SIGNLESS = frozenset({np.add, np.divide, np.dot, np.exp, np.multiply, np.subtract})
"""Operations that make of a zero's sign nothing but a zero's sign, if nothing is divided by a zero."""


@silent
def repeat(
    update: Callable[..., Weights],
    weights: Weights,
    x: np.ndarray,
    y: np.ndarray,
    lr: float,
    n: int,
    change: Callable[[Tape], Tape] = lambda tape: tape,
) -> Weights:
    """n times `update`, by the tape as `change` has it. Raises Untapeable before the first.

    Where that takes fewer calls, the negatives of the weights are held in their place: x @ -w is what exp is given,
    and no negation is left. Every number is then the same or the same with the other sign, but for the sign of a zero.
    So this is done only with weights without a zero, and what comes out with one is computed again as `update` has it.
    """
    inputs = (*weights, x, y)
    if len({v.dtype for v in inputs}) > 1 or not all(v.flags.c_contiguous for v in inputs):
        raise Untapeable("results whose dtype or order in memory changes from update to update")
    try:
        tape = _noted(update, inputs, lr, Noted)
        signless = tape.operations <= SIGNLESS | {np.negative} and _without_zeros(weights)
        negated = _noted(update, inputs, lr, Signless) if signless else tape
    except Exception as error:  # Noted lacks what cannot be noted; if the update itself is wrong, that shows again
        raise Untapeable(str(error)) from error
    if len(negated.steps) < len(tape.steps) and negated.operations <= SIGNLESS:
        held = tuple(map(np.negative, weights))
        Tape.run(_calls(change(negated), held, x, y), n)
        if _without_zeros(held):
            return tuple(map(np.negative, held))
    held = tuple(w.copy() for w in weights)
    Tape.run(_calls(change(tape), held, x, y), n)
    return held


def taped_with(change: Callable[[Tape], Tape]) -> Callable[[Train], Train]:
    """For `train`, with a tape that is changed."""
    return lambda train: taping(partial(repeat, change=change), LEAST)(silent(train))


def taped(train: Train) -> Train:
    """For `train`."""
    return taping(repeat, LEAST)(silent(train))


def _noted(update: Callable[..., Weights], inputs: Sequence[np.ndarray], lr: float, kind: type[Noted]) -> Tape:
    """The steps of one update, on the weights' negatives if `kind` is Signless."""
    tape = Tape(len(inputs))
    *held, x, y = (kind(tape, Value(i), v.shape, v.dtype) for i, v in enumerate(inputs))
    new = update(tuple(map(kind.turned, held)), x, y, lr)
    if [(v.shape, v.dtype) for v in new] != [(w.shape, w.dtype) for w in held]:
        raise Untapeable("new weights of another shape or dtype")
    tape.results = tuple(kind.turned(v).value for v in new)
    tape.drop_what_nothing_needs()
    return tape


def _without_zeros(weights: Weights) -> bool:
    return all(w.all() for w in weights)


def _calls(tape: Tape, held: Weights, x: np.ndarray, y: np.ndarray) -> list[Bound]:
    """The calls of one update that change `held`."""
    return tape.bind([*held, x, y], lambda like: np.empty(*like), _ready, cast)


def _ready(call: Callable[..., Any], arguments: Sequence[Any], into: np.ndarray) -> Bound:
    if call is np.dot:  # the method spares half the time of the function
        return partial(arguments[0].dot, arguments[1], into)
    if call in (np.minimum, np.maximum):  # these take `out` by name alone
        return partial(call, *arguments, out=into)
    return partial(call, *arguments, into)


def cast(of: np.ndarray, out: np.ndarray) -> None:
    np.copyto(out, of, casting="unsafe")


def viewed(of: np.ndarray, dtype: Any) -> np.ndarray:
    return of.view(dtype)


def _max(axis: int, of: np.ndarray, out: np.ndarray) -> None:
    of.max(axis, out, keepdims=True)


def _min(axis: int, of: np.ndarray, out: np.ndarray) -> None:
    of.min(axis, out, keepdims=True)


class Noted(NDArrayOperatorsMixin):
    """Stands for an array while the update is noted. What it lacks, the update may not use."""

    negative_of: Noted | None = None

    def __init__(self, tape: Tape, value: Value, shape: tuple[int, ...], dtype: Any) -> None:
        self.tape, self.value, self.shape, self.dtype = tape, value, shape, np.dtype(dtype)
        self.ndim, self.size, self.itemsize = len(shape), int(np.prod(shape)), self.dtype.itemsize

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Noted:
        if method != "__call__" or options or ufunc.nout != 1:
            raise Untapeable(f"{ufunc.__name__} with {method} and {options}")
        turned = self._turned(ufunc, *(getattr(x, "negative_of", None) for x in inputs), *inputs)
        if turned is not None:
            return turned
        kinds = [x.dtype if isinstance(x, Noted | np.ndarray) else type(x) for x in inputs]
        *wanted, dtype = ufunc.resolve_dtypes((*kinds, None))
        if ufunc.signature is not None:
            return self._note(ufunc, inputs, _product(*inputs), dtype, elementwise=False)
        arrays = [x if isinstance(x, Noted) else np.array(x, d) for x, d in zip(inputs, wanted, strict=True)]
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
        if np.prod(shape) <= SMALL:
            arrays = [x if isinstance(x, Noted) else np.full(shape, x) for x in arrays]
        noted = self._note(ufunc, arrays, shape, dtype)
        noted.negative_of = inputs[0] if ufunc is np.negative else None
        return noted

    @staticmethod
    def turned(value: Noted) -> Noted:
        """What is held of a weight."""
        return value

    def _turned(self, ufunc: np.ufunc, *operands: Any) -> Noted | None:
        """The same bits with a sign less to turn. Of each operand first what it is the negative of, if anything."""
        if ufunc is np.negative:
            return operands[0]
        if ufunc not in (np.multiply, np.subtract):
            return None
        of_a, of_b, a, b = operands
        if ufunc is np.multiply and of_b is not None:
            return -np.multiply(a, of_b)
        if ufunc is np.multiply and of_a is not None:
            return -np.multiply(of_a, b)
        if ufunc is np.subtract and of_b is not None:
            return np.add(a, of_b)  # so w - lr * -(x.T @ delta) takes one call less
        return None

    def __array_function__(self, function: Any, types: Any, inputs: tuple[Any, ...], options: Any) -> Noted:
        if options or function not in (np.dot, np.concatenate):
            raise Untapeable(f"{function.__name__} with {options}")
        if function is np.dot:
            return self._note(np.dot, inputs, _product(*inputs), self.dtype, elementwise=False)
        parts, axis = inputs
        shape = list(self.shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self._note(np.concatenate, [list(parts), axis], tuple(shape), self.dtype, elementwise=False)

    def __array__(self, *_: Any) -> np.ndarray:
        raise Untapeable("it has no numbers")

    def __bool__(self) -> bool:
        raise Untapeable("what depends on its numbers")

    def _note(self, call: Any, inputs: Any, shape: tuple[int, ...], dtype: Any, elementwise: bool = True) -> Noted:
        values = [[v.value for v in x] if isinstance(x, list) else getattr(x, "value", x) for x in inputs]
        return type(self)(self.tape, self.tape.note(call, values, (shape, np.dtype(dtype)), elementwise), shape, dtype)

    def _view(self, call: Callable[..., np.ndarray], *how: Any) -> Noted:
        like = call(np.broadcast_to(np.zeros((), self.dtype), self.shape), *how)
        return type(self)(self.tape, self.tape.note(call, [self.value, *how], None), like.shape, like.dtype)

    @property
    def T(self) -> Noted:
        return self._view(lambda a: a.T)

    def __getitem__(self, index: Any) -> Noted:
        return self._view(lambda a: a[index])

    def view(self, dtype: Any) -> Noted:
        return self._view(viewed, np.dtype(dtype))

    def astype(self, dtype: Any, copy: bool = True) -> Noted:
        if not copy and self.dtype == dtype:
            return self
        return self._note(cast, [self], self.shape, dtype, elementwise=False)

    def max(self, axis: int, keepdims: bool) -> Noted:
        return self._reduced(partial(_max, axis), axis)

    def min(self, axis: int, keepdims: bool) -> Noted:
        return self._reduced(partial(_min, axis), axis)

    def _reduced(self, call: Callable[..., Any], axis: int) -> Noted:
        shape = tuple(1 if i == axis else n for i, n in enumerate(self.shape))
        return self._note(call, [self], shape, self.dtype, elementwise=False)

    def clip(self, low: Any, high: Any) -> Any:
        return np.minimum(np.maximum(self, low), high)


class Signless(Noted):
    """Turns signs where that may turn the sign of a zero, too; its weights are held as their negatives."""

    @staticmethod
    def turned(value: Noted) -> Noted:
        return -value

    def _turned(self, ufunc: np.ufunc, *operands: Any) -> Noted | None:
        turned = super()._turned(ufunc, *operands)
        if turned is None and ufunc in (np.add, np.subtract) and operands[0] is not None:
            of_a, _, _, b = operands
            return -(np.add(of_a, b) if ufunc is np.subtract else np.subtract(of_a, b))
        return turned

    def __array_function__(self, function: Any, types: Any, inputs: tuple[Any, ...], options: Any) -> Noted:
        if function is np.dot and not options:
            a, b = inputs
            if b.negative_of is not None:
                return -np.dot(a, b.negative_of)
            if a.negative_of is not None:
                return -np.dot(a.negative_of, b)
        return super().__array_function__(function, types, inputs, options)

    @property
    def T(self) -> Noted:
        return super().T if self.negative_of is None else -self.negative_of.T


def _product(a: Noted, b: Noted) -> tuple[int, int]:
    return a.shape[0], b.shape[1]
