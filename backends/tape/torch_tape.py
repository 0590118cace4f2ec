"""How PyTorch's update gets onto a tape: autograd runs it once, and a dispatch mode sees every operation that
autograd made of it, forward and backward.

Dispatch modes: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-all-torch-api-with-modes
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ..interface import Weights
from .tape import Bound, Step, Tape, Train, Untapeable, Value, taping

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": torch.add,
    "clamp": torch.clamp,
    "div": torch.div,
    "__lshift__": torch.bitwise_left_shift,
    "maximum": torch.maximum,
    "mul": torch.mul,
    "neg": torch.neg,
    "round": torch.round,
    "__rshift__": torch.bitwise_right_shift,
    "sigmoid": torch.sigmoid,
    "sub": torch.sub,
}
BINARY = ("add", "div", "__lshift__", "mul", "__rshift__", "rsub", "sub")
OTHERS: dict[str, Callable[..., Any]] = {"amax": torch.amax, "amin": torch.amin, "cat": torch.cat, "mm": torch.mm}
LEAST = ((1_000_000, 1), (0, 5))
"""See `taping`. Making a tape took as long as it spared in 2.5 to 4.1 updates (one-layer, two-layer and digits, both
arithmetics, 2026-11-30): an update alone, mostly `torch.func.grad` in Python, takes up to 30 times the tape's."""
GRAPH = 100
"""Updates in one CUDA graph."""
VIEWS = ("alias", "detach", "permute", "select", "slice", "t", "unsqueeze", "view")


def repeat(
    update: Callable[..., Weights],
    weights: Weights,
    x: torch.Tensor,
    y: torch.Tensor,
    lr: float,
    n: int,
    change: Callable[[Tape], Tape] = lambda tape: tape,
) -> Weights:
    """n times `update`, by the tape as `change` has it. The first is the one that is noted. Raises Untapeable."""
    inputs = [v.detach() for v in (*weights, x, y)]
    with torch.no_grad():
        held, tape = _noted(update, inputs, lr)
        calls = change(tape).bind([*held, x, y], partial(_empty, x.device), _ready, cast)
        (run_on_cuda if x.is_cuda else Tape.run)(calls, n - 1)
    return held


taped = taping(repeat, LEAST)
"""For `train`."""


def taped_with(change: Callable[[Tape], Tape]) -> Callable[[Train], Train]:
    """For `train`, with a tape that is changed."""
    return taping(partial(repeat, change=change), LEAST)


def _noted(update: Callable[..., Weights], inputs: Sequence[torch.Tensor], lr: float) -> tuple[Weights, Tape]:
    """The weights after one update, and the tape of it. No two inputs may be the same tensor."""
    *weights, x, y = inputs
    if any(torch.signbit(w[w == 0]).any() for w in weights):
        raise Untapeable("a weight of -0.0, from which 0.0 and -0.0 are not the same to subtract")
    tape = Tape(len(inputs))
    noting = Noting(tape, inputs)
    with noting:
        new = update(tuple(weights), x, y, lr)
    tape.results = tuple(noting.result(w) for w in new)
    if [_form(w) for w in new] != [_form(w) for w in weights] or not all(v.is_contiguous() for v in inputs):
        raise Untapeable("new weights of another shape, dtype or order in memory")
    return tuple(w.clone() for w in new), tape


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.is_contiguous()


def run_on_cuda(calls: Sequence[Bound], n: int) -> None:
    """n updates, GRAPH at a time as a CUDA graph, so that Python launches one of them and not each operation.

    Says so in a warning, and launches each operation, where CUDA refuses to capture them.
    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """
    graph = None
    if n > GRAPH:
        Tape.run(calls, 1)  # what CUDA loads at the first use it may not load during a capture
        n -= 1
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                Tape.run(calls, GRAPH)
        except RuntimeError as error:
            graph = None
            reason = str(error).partition("\n")[0]
            warnings.warn(f"CUDA captured no graph, so each operation is launched alone: {reason}", stacklevel=2)
    if graph is not None:
        for _ in range(n // GRAPH):
            graph.replay()
        n %= GRAPH
    Tape.run(calls, n)


def _empty(device: torch.device, like: tuple[torch.Size, torch.dtype]) -> torch.Tensor:
    return torch.empty(like[0], dtype=like[1], device=device)


def _ready(call: Callable[..., Any], arguments: Sequence[Any], into: torch.Tensor) -> Bound:
    if isinstance(call, Unknown):
        raise Untapeable(f"{call.function}")
    if isinstance(call, np.ufunc):  # a ufunc, which works in the memory that NumPy sees of the tensors
        return partial(call, *(a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments), into.numpy())
    if call is cast:
        return partial(into.copy_, *arguments)
    if call is _sigmoid_backward:
        return partial(call, *arguments, grad_input=into)
    return partial(call, *arguments, out=into)


_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


def cast(of: torch.Tensor, into: torch.Tensor) -> None:
    """A name for `into.copy_(of)`."""


@dataclass(frozen=True)
class Unknown:
    """An operation that cannot be repeated. That does no harm where nothing needs its result, as that of a loss."""

    function: Any

    def __call__(self, *arguments: Any) -> None:
        raise Untapeable(f"{self.function}")


class Noting(TorchDispatchMode):
    """Lets every operation through, and notes it.

    Of a loss, half a sum of squares, autograd makes -(1/2 * (2 * e**1)) with e = y - a, which is noted as a - y: the
    same bits, but for the sign of a zero. `make_fx` would note it too, in 5 to 160 ms where this takes 0.2 to 10
    (one-layer native to digits reproducible, two cores of an AMD EPYC, PyTorch 2.13.0, 2026-11-25).
    """

    def __init__(self, tape: Tape, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.tape = tape
        # weak, so that memory which autograd lets go is free
        self.known = WeakTensorKeyDictionary({v: Value(i) for i, v in enumerate(inputs)})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or the first operation imports the whole of torch.compile, a second's worth, to skip it

    def result(self, tensor: torch.Tensor) -> Value:
        value = self._value(tensor)
        if not isinstance(value, Value):
            raise Untapeable("a new weight that does not depend on the old ones")
        return value

    def _value(self, tensor: torch.Tensor) -> Value | torch.Tensor:
        if tensor not in self.known:
            raise Untapeable("a tensor that is neither given nor computed from what is given")
        return self.known[tensor]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = str(function).split(".")[1]
        if not isinstance(result, torch.Tensor) or function._schema.is_mutable:
            raise Untapeable(f"{function}")
        values = [self._argument(a, result.dtype if name in BINARY else None) for a in args]
        if name == "ones_like" or not any(isinstance(v, Value) for v in _flat(values)):
            self.known[result] = result  # the same in every update, a number
        else:
            self.known[result] = self._shortened(name, values) or self._noted(function, name, values, kwargs, result)
        return result

    def _noted(self, function: Any, name: str, values: list[Any], kwargs: Any, result: torch.Tensor) -> Value:
        like = (result.shape, result.dtype)
        if name in VIEWS and not kwargs:
            return self.tape.note(function, values, None)
        if name in ELEMENTWISE and not kwargs:
            return self.tape.note(ELEMENTWISE[name], values, like)
        if name == "rsub" and len(values) == 2 and not kwargs:
            return self.tape.note(torch.sub, [values[1], values[0]], like)
        if name in OTHERS and not kwargs:
            return self.tape.note(OTHERS[name], values, like, elementwise=False)
        if name == "sigmoid_backward" and not kwargs:
            return self.tape.note(_sigmoid_backward, values, like)
        if name == "_to_copy" and [*kwargs] == ["dtype"]:
            return self.tape.note(cast, values, like, elementwise=False)
        return self.tape.note(Unknown(function), values, like)

    def _shortened(self, name: str, values: list[Any]) -> Value | None:
        """A value that is there already, or takes one operation less than `name` and the one before it."""
        if name == "pow" and values[1] == 1:
            return values[0]
        if name == "mul":
            made, factor = _by_a_number(values)
            before = self._step(made)
            if before is not None and before.call is torch.mul:
                first, other = _by_a_number(before.arguments)
                if factor * other == 1 and math.frexp(factor)[0] == 0.5:  # powers of two: neither product rounds
                    return first
        if name == "neg":
            before = self._step(values[0])
            if before is not None and before.call is torch.sub:
                return self.tape.note(torch.sub, before.arguments[::-1], before.like)
        return None

    def _step(self, value: Any) -> Step | None:
        at = value.number - self.tape.inputs if isinstance(value, Value) else -1
        return self.tape.steps[at] if at >= 0 else None

    def _argument(self, argument: Any, dtype: torch.dtype | None) -> Any:
        if isinstance(argument, torch.Tensor):
            return self._value(argument)
        if isinstance(argument, list):
            return [self._argument(a, None) for a in argument]
        # a Python number is made a tensor at each call, a third of its time
        return argument if dtype is None else torch.tensor(argument, dtype=dtype)


def _flat(values: Sequence[Any]) -> list[Any]:
    return [v for a in values for v in (a if isinstance(a, list) else [a])]


def _by_a_number(factors: Sequence[Any]) -> tuple[Any, float]:
    """The value, and the number that it is multiplied by; NaN if that is no single number."""
    made, other = sorted(factors, key=lambda v: not isinstance(v, Value))
    alone = isinstance(other, torch.Tensor) and not any(other.stride())
    return made, float(other[(0,) * other.ndim]) if alone else math.nan
