"""PyTorch over processes: torch.distributed, https://docs.pytorch.org/docs/stable/distributed.html."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which the first call of torch.func.grad would import, in each rank
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: defaults of its functions keep the one they find

from ..backends.torch_arithmetic import Space
from ..backends.torch_backend import TorchBackend
from .summation import Shards


def join(rank: int, size: int, meeting: str, device: str) -> None:
    """Meet the others: at a file:// of this machine, at tcp://host:port, or at env:// that torchrun has set.

    Each process takes a GPU of its own, and NCCL adds between them; where GPUs are fewer than processes, gloo does.
    """
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    here = int(os.environ.get("LOCAL_RANK", rank))
    if gpus:
        torch.cuda.set_device(here % gpus)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    backend = "cpu:gloo,cuda:nccl" if gpus >= local_size else "gloo"
    if not dist.is_initialized():
        patience = timedelta(days=30)  # the others wait while rank 0 trains the reference, however long that takes
        dist.init_process_group(backend, meeting, timeout=patience, rank=rank, world_size=size)


def leave() -> None:
    """Ends gloo's threads too, if nobody else holds the group.

    One that still lets go of its last message while Python ends takes the process down, or hangs with it:
    https://github.com/pytorch/pytorch/issues/190489.
    """
    dist.destroy_process_group()


class TorchShards(Shards):
    def __init__(self, samples: int) -> None:
        super().__init__(samples, dist.get_world_size())

    def maximum(self, x: torch.Tensor) -> torch.Tensor:
        return self._reduced(x, dist.ReduceOp.MAX)

    def total(self, x: torch.Tensor) -> torch.Tensor:
        return self._reduced(x, dist.ReduceOp.SUM)

    def _reduced(self, x: torch.Tensor, operation: Any) -> torch.Tensor:
        x = x.contiguous()
        self.entering(x.nbytes)
        dist.all_reduce(x, operation)
        return x

    def gathered(self, x: torch.Tensor) -> torch.Tensor:
        most, size = max(self.counts), len(self.counts)
        filled = torch.cat([x, x.new_zeros(most - len(x), x.shape[1])])
        whole = x.new_empty(size * most, x.shape[1])
        self.entering(self.samples * x.shape[1] * x.itemsize)
        dist.all_gather_into_tensor(whole, filled)
        return torch.cat([part[:n] for part, n in zip(whole.split(most), self.counts, strict=True)])


def product_over(plain: Callable[..., torch.Tensor], over_samples: Callable[..., torch.Tensor]) -> Any:
    """The matrix product `plain`, and in its derivative the one that adds over processes."""

    class GradientDot(torch.autograd.Function):
        """A function of its own, so that torch.func.grad hands it plain tensors and notes nothing of what it does."""

        @staticmethod
        def forward(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return over_samples(a, b)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    class Dot(torch.autograd.Function):
        @staticmethod
        def forward(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return plain(a, b)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
            a, b = ctx.saved_tensors
            wants_a, wants_b = ctx.needs_input_grad
            return plain(g, b.T) if wants_a else None, GradientDot.apply(a.T, g) if wants_b else None

    return Dot.apply


class Operations:
    """The backend's own, but for the products: their way is the whole problem's, and one adds over processes."""

    def __init__(self, ops: Any, shards: TorchShards, arithmetic: str) -> None:
        self.product, self.sigmoid = ops.product, ops.sigmoid
        if arithmetic == "native":
            self.dot = product_over(torch.matmul, lambda a, b: shards.total(a @ b))
        else:
            self.dot = product_over(partial(shards.dot, Space), partial(shards.gradient_dot, Space))


@dataclass(frozen=True)
class RankBackend(TorchBackend):
    """The backend on one of several processes."""

    samples: int = 0

    @cached_property
    def shards(self) -> TorchShards:
        return TorchShards(self.samples)

    @cached_property
    def ops(self) -> Any:
        return Operations(super().ops, self.shards, self.arithmetic)

    def rows(self, array: np.ndarray) -> torch.Tensor:
        """This process's rows of the data."""
        return self.from_numpy(array)
