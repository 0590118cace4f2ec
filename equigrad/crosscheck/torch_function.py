"""A function or a module in PyTorch: its results, its gradient both ways, and a recording of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..common.errors import UsageError
from ..common.words import listed
from .arguments import Arguments
from .nesting import Function, Leaves, call, returned
from .nesting import from_torch as _numpy
from .recording import Recording


class TorchFunction:
    """Calls it with tensors of its own; a module is copied, and its parameters are arguments like others."""

    def __init__(self, function: Function, arguments: Arguments) -> None:
        self.arguments = arguments
        self.module = function if isinstance(function, torch.nn.Module) else None
        self._copies: dict[str, torch.nn.Module] = {}
        self.function = function
        self.widest = "float64"
        """The widest dtype that it is called in: float32 for a function that holds tensors of float32."""
        self.detached = False
        """Whether no gradient flows through its results."""
        self.matches = {match.leaf: match for match in arguments.matches}

    @property
    def changed(self) -> list[str]:
        """The buffers that a call of the module changes, as batch norm's statistics in training mode."""
        if self.module is None:
            return []
        return [name for name, b in self._after.items() if not torch.equal(b, self._before[name])]

    def results(self, points: Mapping[str, np.ndarray]) -> Leaves:
        """In float64. Autograd looks on, for a function may differentiate inside."""
        return {path: _numpy(v) for path, v in self._results(self._tensors(points, "float64", True)).items()}

    def gradient(self, points: Mapping[str, np.ndarray], cotangents: Leaves, dtype: str) -> tuple[Leaves, Leaves]:
        """(results, the gradient of the sum of results times cotangents)."""
        tensors = self._tensors(points, dtype, True)
        results = self._results(tensors)
        slopes = self._pull(results, tensors, cotangents)
        return {path: _numpy(v) for path, v in results.items()}, {p: _numpy(v) for p, v in slopes.items()}

    def forward(self, points: Mapping[str, np.ndarray], direction: Leaves) -> Leaves:
        """The derivative of the results along the direction, by forward mode."""
        tensors = self._tensors(points, "float64", False)
        moved = [path for path in self.arguments.varied if path in direction]

        def f(*values: torch.Tensor) -> dict[str, torch.Tensor]:
            results = self._called({**tensors, **dict(zip(moved, values, strict=True))})
            return {path: v for path, v in results.items() if v.is_floating_point()}

        primals = tuple(tensors[path] for path in moved)
        tangents = tuple(torch.tensor(direction[path], dtype=tensors[path].dtype) for path in moved)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what PyTorch does inside, which is nobody's concern here
            return {path: _numpy(v) for path, v in torch.func.jvp(f, primals, tangents)[1].items()}

    def record(self, points: Mapping[str, np.ndarray], cotangents: Leaves, dtype: str, backward: bool) -> Recording:
        from .torch_recording import Recorder

        tensors = self._tensors(points, dtype, True)
        recorder = Recorder(self._copied(min(dtype, self.widest)))
        for path, tensor in tensors.items():
            recorder.leaf(path, tensor, path in self.arguments.varied)
        with recorder:
            results = self._called(tensors)
            if backward:
                slopes = self._pull(results, tensors, cotangents)
        recording = recorder.recording
        recording.results = {path: recorder.number(v) for path, v in results.items()}
        if backward:
            recording.gradients = {path: recorder.number(v) for path, v in slopes.items()}
        return recording

    def coarse(self) -> float:
        """The rounding of one operation where the function computes in less than the float64 it is given, or 0."""
        return self.record(self.arguments.points, {}, "float64", False).coarse

    def _tensors(self, points: Mapping[str, np.ndarray], dtype: str, differentiated: bool) -> dict[str, torch.Tensor]:
        kind = getattr(torch, min(dtype, self.widest))  # float32 comes before float64

        def tensor(path: str, v: np.ndarray) -> torch.Tensor:
            made = torch.tensor(v, dtype=kind if v.dtype.kind == "f" else None)
            return made.requires_grad_(differentiated and path in self.arguments.varied)

        return {path: tensor(path, v) for path, v in points.items()}

    def _copied(self, dtype: str) -> torch.nn.Module | None:
        """The module in that dtype, made once."""
        if self.module is not None and dtype not in self._copies:
            self._copies[dtype] = copy.deepcopy(self.module).to(getattr(torch, dtype))
        return self._copies.get(dtype)

    def _results(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Raises ValueError for a function that changes what it is given."""
        before = {path: t.detach().clone() for path, t in tensors.items()}
        found = self._called(tensors)
        for path, tensor in tensors.items():
            if not torch.equal(tensor.detach(), before[path]):
                raise ValueError(f"it changes its input {path}")
        return found

    def _called(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs, parameters = self.arguments.trees(tensors)
        if self.module is None:
            result = call(self.function, inputs, *(() if parameters is None else (parameters,)))
        else:
            result = self._module(inputs, tensors)
        found = returned(result, lambda v: isinstance(v, (torch.Tensor, int, float)), "tensors")
        return {path: torch.as_tensor(v) for path, v in found.items()}

    def _module(self, inputs: Any, tensors: dict[str, torch.Tensor]) -> Any:
        dtype = next((str(t.dtype)[6:] for t in tensors.values() if t.is_floating_point()), "float64")
        module = self._copied(dtype)
        assert module is not None
        shapes = {name: v.shape for name, v in module.state_dict().items()}
        own = {
            match.name: tensors[leaf]
            .reshape([shapes[match.name][i] for i in match.axes])
            .permute(np.argsort(match.axes).tolist())
            for leaf, match in self.matches.items()
        }
        buffers = {name: own.get(name, b).detach() for name, b in module.named_buffers()}
        self._before = {name: b.clone() for name, b in buffers.items()}
        self._after = {name: b.clone() for name, b in buffers.items()}  # what the module writes to is not its input
        state = {**own, **self._after}

        def run(*args: Any, **named: Any) -> Any:
            return torch.func.functional_call(module, state, args, named, tie_weights=True)

        return call(run, inputs, signature=module.forward)

    def _pull(
        self, results: dict[str, torch.Tensor], tensors: dict[str, torch.Tensor], cotangents: Leaves
    ) -> dict[str, torch.Tensor]:
        varied = {path: tensors[path] for path in self.arguments.varied}
        pulled = {path: v for path, v in results.items() if v.requires_grad and path in cotangents}
        if not varied:
            return {}
        self.detached = not pulled
        if not pulled:
            return {path: torch.zeros_like(tensor) for path, tensor in varied.items()}
        weights = [torch.tensor(cotangents[path], dtype=v.dtype) for path, v in pulled.items()]
        slopes = torch.autograd.grad(
            list(pulled.values()), list(varied.values()), weights, allow_unused=True, materialize_grads=True
        )
        return dict(zip(varied, slopes, strict=True))


def state(module: Any) -> dict[str, np.ndarray]:
    """The module's parameters and buffers."""
    if not isinstance(module, torch.nn.Module):
        raise UsageError("parameters that are no plain nesting of arrays go with a torch.nn.Module")
    lazy = [name for name, v in module.state_dict().items() if torch.nn.parameter.is_lazy(v)]
    if lazy:
        raise UsageError(f"{listed(lazy[:3])} of the module have no shape yet: call it once before")
    return {name: _numpy(v) for name, v in module.state_dict().items()}
