"""The two arithmetics of the PyTorch backend: its own operations, and the reproducible ones."""

from __future__ import annotations

import operator
import sys
from typing import Any

import torch

from ..common import reproducible


class Native:
    """What PyTorch does, and how it differentiates it."""

    product = staticmethod(operator.mul)
    dot = staticmethod(torch.matmul)
    sigmoid = staticmethod(torch.sigmoid)


class Space:
    """PyTorch under the names that `common.reproducible` uses."""

    int64, float64 = torch.int64, torch.float64
    product, rint, clip, matmul, concatenate = torch.mul, torch.round, torch.clamp, torch.matmul, torch.cat

    @staticmethod
    def ldexp(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return x * reproducible.power(Space, k.to(torch.int64))

    @staticmethod
    def block(x: torch.Tensor) -> int:
        return sys.maxsize if x.is_cuda else 2**18  # enough to be worth waking its threads

    @staticmethod
    def cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return x.to(dtype)

    @staticmethod
    def reach(x: torch.Tensor, axis: int) -> torch.Tensor:
        return torch.maximum(x.amax(axis, keepdim=True), -x.amin(axis, keepdim=True))  # abs would copy x


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return reproducible.dot(Space, a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        a, b = ctx.saved_tensors
        wants_a, wants_b = ctx.needs_input_grad
        return (
            reproducible.dot(Space, g, b.T) if wants_a else None,
            reproducible.dot(Space, a.T, g) if wants_b else None,
        )


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return reproducible.sigmoid(Space, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (s,) = ctx.saved_tensors
        return g * (s * (1 - s))


class Reproducible:
    """What `common.reproducible` defines, with the derivative rules that autograd composes."""

    product = staticmethod(operator.mul)
    dot = staticmethod(_Dot.apply)
    sigmoid = staticmethod(_Sigmoid.apply)
