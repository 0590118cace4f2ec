"""A recording of a PyTorch function: every ATen operation, forwards and backwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from .nesting import from_torch
from .recording import Line, Recorded, Recording, user_lines


class Recorder(TorchDispatchMode):
    """Keeps what happens while it is active.

    Values are told apart by their content, not by their storage: what was written in place is another value,
    and a value that is computed twice is one.
    """

    def __init__(self, module: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.recording = Recording()
        self.names = {id(m): name for name, m in module.named_modules()} if module is not None else {}
        self._known: dict[bytes, int] = {}
        self._forward: dict[int, tuple[tuple[Line, ...], str]] = {}
        """Where the operation with this sequence number of autograd's was called."""
        self._inside: int | None = None
        self._depends: set[int] = set()
        self._made_at: dict[int, tuple[int, int]] = {}

    def number(self, tensor: torch.Tensor) -> int:
        """Of a value that is known, or is now given."""
        array = _array(tensor)
        key = blake2b(f"{array.shape}{array.dtype}".encode() + array.tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = len(self.recording.values)
            self.recording.values.append(array)
        return self._known[key]

    def leaf(self, path: str, tensor: torch.Tensor, varied: bool) -> None:
        """Make an input or a parameter known."""
        self.recording.leaves[path] = self.number(tensor)
        if varied:
            self._depends.add(self.number(tensor))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        written = _tensors([t for t, a in zip(args, func._schema.arguments, strict=False) if _is_write(a)])
        given = [_whole(t) if any(t is w for w in written) else t for t in _tensors((args, kwargs))]
        inputs = tuple(self.number(t) for t in given)
        name = func.name().replace("::", ".").partition(".")[0] + "." + func.overloadpacket.__name__
        node = torch._C._current_autograd_node() if self._inside is None else None
        lines, called, at = self._where(node)
        first = len(self.recording.operations)
        if self._inside is None and not func.is_view:
            self._take_apart(func, args, kwargs, lines, name, node is not None)
        before = len(self.recording.values)
        out = func(*args, **kwargs)
        outputs = tuple(dict.fromkeys(self.number(t) for t in _tensors((out, written, list(map(_whole, written))))))
        if node is None and self._inside is None:
            self._note_stops(name, given, inputs, outputs, lines, at)
        if any(i in self._depends for i in inputs):
            self._depends.update(outputs)
            if self._inside is None:
                kinds = {t.dtype for t in _tensors(out) if t.is_floating_point()} - {torch.float64}
                self.recording.coarse = max([self.recording.coarse, *(torch.finfo(kind).eps for kind in kinds)])
        new = tuple(o for o in outputs if o >= before or self.recording.maker.get(o, -1) >= first)
        for o in new:
            self.recording.maker.pop(o, None)  # a step of the decomposition may have come upon the same numbers
        if new:
            operation = Recorded(name, inputs, new, lines, called, node is not None, self._inside)
            if self._inside is None:
                for part in self.recording.operations[first:]:
                    part.fused = len(self.recording.operations)
            self.recording.add(operation)
        return out

    def _where(self, node: Any) -> tuple[tuple[Line, ...], str, tuple[int, int]]:
        """The user's lines, the module's name, and the very instruction that is being executed."""
        if self._inside is not None:
            return (), "", (0, 0)
        if node is not None:
            metadata = self._forward.get(node._sequence_nr(), ((), ""))
            lines, _ = user_lines(_frames())  # a backward pass in the user's own autograd.Function
            where = (lines or metadata[0], metadata[1] or node.name())
            self._forward.setdefault(torch.autograd._get_sequence_nr() - 1, where)  # it is differentiated again
            return (*where, (0, 0))
        lines, called = user_lines(_frames())
        module = self._module()
        frame = sys._getframe(2)
        while frame.f_back and "torch/_" in frame.f_code.co_filename:
            frame = frame.f_back
        called = module or called
        # the first that is called after a node was made has made it; what follows may make none
        self._forward.setdefault(torch.autograd._get_sequence_nr() - 1, (lines, called))
        return lines, called, (id(frame.f_code), frame.f_lasti)

    def _module(self) -> str:
        frame: Any = sys._getframe(3)
        while frame is not None and self.names:
            if frame.f_code.co_name == "forward" and id(frame.f_locals.get("self")) in self.names:
                module = frame.f_locals["self"]
                return f"{self.names[id(module)] or 'the module'}, {type(module).__name__}"
            frame = frame.f_back
        return ""

    def _note_stops(
        self,
        name: str,
        given: list[torch.Tensor],
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        lines: tuple[Line, ...],
        at: tuple[int, int],
    ) -> None:
        """Note values that depend on what is differentiated, but are used where autograd does not look."""
        if name == "aten.detach":
            internal = all(self._made_at.get(i) == at for i in inputs)  # autograd keeps an output for itself
            if not internal:
                self.recording.stopped.update({i: lines for i in inputs if i in self._depends})
            return
        for tensor, i in zip(given, inputs, strict=True):
            if i in self._depends and not tensor.requires_grad and tensor.is_floating_point():
                self.recording.stopped.setdefault(i, lines)
        self._made_at.update(dict.fromkeys(outputs, at))

    def _take_apart(
        self, func: Any, args: Any, kwargs: Any, lines: tuple[Line, ...], name: str, backward: bool
    ) -> None:
        """Run PyTorch's own decomposition of an operation, so that its steps find their counterparts."""
        steps: Callable[..., Any] | None = decomposition_table.get(func)
        if steps is None:
            return
        first, values = len(self.recording.operations), len(self.recording.values)
        self._inside = first
        copies = tree_map(lambda t: t.detach().clone() if isinstance(t, torch.Tensor) else t, (args, kwargs))
        state = torch.random.get_rng_state()
        try:
            with torch.no_grad(), self:
                steps(*copies[0], **copies[1])
            whole = True
        except Exception:  # not every decomposition takes every dtype and layout
            whole = False
        finally:
            self._inside = None
            torch.random.set_rng_state(state)
        parts = self.recording.operations[first:]
        if not whole or len(parts) < 2:
            del self.recording.operations[first:], self.recording.values[values:]
            self._known = {key: i for key, i in self._known.items() if i < values}
            self._depends = {i for i in self._depends if i < values}
            self.recording.maker = {i: o for i, o in self.recording.maker.items() if o < first}
        for part in self.recording.operations[first:]:
            part.lines, part.part_of, part.backward = lines, name, backward


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)]


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """What a view is a part of."""
    return tensor if tensor._base is None else tensor._base


def _is_write(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _array(tensor: torch.Tensor) -> np.ndarray:
    with contextlib.suppress(Exception):
        return from_torch(tensor)
    return np.zeros(0)


def _frames() -> Iterator[Line]:
    frame: Any = sys._getframe(3)
    while frame is not None:
        yield Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
