"""How PyTorch's update gets onto a tape: autograd runs it once, and a dispatch mode sees every operation that
autograd made of it, forward and backward.

Dispatch modes: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-all-torch-api-with-modes
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from ..interface import Weights
from .tape import Call, Tape, Untapeable, Value

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
GRAPH = 100
"""Updates in one CUDA graph."""
VIEWS = ("alias", "detach", "permute", "select", "slice", "t", "unsqueeze", "view")


def repeat(
    update: Callable[..., Weights], weights: Weights, x: torch.Tensor, y: torch.Tensor, lr: float, n: int
) -> Weights:
    """n times `update`. The first is the one that is noted."""
    try:
        held, tape = _noted(update, [v.detach() for v in (*weights, x, y)], lr)
        with torch.no_grad():
            calls = tape.bind([*held, x, y], partial(_empty, x.device), _ready, _cast)
    except Untapeable:
        for _ in range(n):
            weights = update(weights, x, y, lr)
        return weights
    with torch.no_grad():
        (run_on_cuda if x.is_cuda else Tape.run)(calls, n - 1)
    return held


def _noted(update: Callable[..., Weights], inputs: Sequence[torch.Tensor], lr: float) -> tuple[Weights, Tape]:
    """The weights after one update, and the tape of it. No two inputs may be the same tensor."""
    *weights, x, y = inputs
    tape = Tape(len(inputs))
    noting = Noting(tape, inputs)
    with noting:
        new = update(tuple(weights), x, y, lr)
    tape.results = tuple(noting.value(w) for w in new)
    if [_form(w) for w in new] != [_form(w) for w in weights] or not all(v.is_contiguous() for v in inputs):
        raise Untapeable("new weights of another shape, dtype or order in memory")
    return tuple(w.clone() for w in new), tape


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.is_contiguous()


def run_on_cuda(calls: Sequence[Call], n: int) -> None:
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


def _ready(call: Callable[..., Any], arguments: Sequence[Any], into: torch.Tensor) -> Call:
    if call is _cast:
        return partial(into.copy_, *arguments)
    if call is _sigmoid_backward:
        return partial(call, *arguments, grad_input=into)
    return partial(call, *arguments, out=into)


_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


def _cast(of: torch.Tensor, into: torch.Tensor) -> None:
    """A name for `into.copy_(of)`."""


class Noting(TorchDispatchMode):
    """Lets every operation through, and notes it."""

    def __init__(self, tape: Tape, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self.tape = tape
        # weak, so that memory which autograd lets go is free
        self.known = WeakTensorKeyDictionary({v: Value(i) for i, v in enumerate(inputs)})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or the first operation imports the whole of torch.compile, a second's worth, to skip it

    def value(self, tensor: torch.Tensor) -> Value:
        if tensor not in self.known:
            raise Untapeable("a tensor that is neither given nor computed from what is given")
        return self.known[tensor]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = str(function).split(".")[1]
        if not isinstance(result, torch.Tensor):
            raise Untapeable(f"{function} gives {type(result).__name__}")
        like = (result.shape, result.dtype)
        values = [self._argument(a, result.dtype if name in BINARY else None) for a in args]
        if name in VIEWS and not kwargs:
            noted = self.tape.note(lambda a, *rest: function(a, *rest), values, None)
        elif name in ELEMENTWISE and not kwargs:
            noted = self.tape.note(ELEMENTWISE[name], values, like)
        elif name == "rsub" and len(args) == 2 and not kwargs:
            noted = self.tape.note(torch.sub, [values[1], values[0]], like)
        elif name in OTHERS and not kwargs:
            noted = self.tape.note(OTHERS[name], values, like, elementwise=False)
        elif name == "sigmoid_backward" and not kwargs:
            noted = self.tape.note(_sigmoid_backward, values, like)
        elif name == "_to_copy" and [*kwargs] == ["dtype"]:
            noted = self.tape.note(_cast, values, like, elementwise=False)
        else:
            raise Untapeable(f"{function} with {kwargs}")
        self.known[result] = noted
        return result

    def _argument(self, argument: Any, dtype: torch.dtype | None) -> Any:
        if isinstance(argument, torch.Tensor):
            return self.value(argument)
        if isinstance(argument, list):
            return [self._argument(a, None) for a in argument]
        # a Python number is made a tensor at each call, a third of its time
        return argument if dtype is None else torch.tensor(argument, dtype=dtype)
