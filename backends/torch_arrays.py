"""PyTorch's tensors: where they are, how they come and go, which operations work on them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..common.garbage import importing
from .interface import Backend
from .torch_arithmetic import Native, Reproducible


class TorchArrays(Backend):
    """What a PyTorch backend is besides the lesson in torch_backend.py."""

    name = "torch"
    arithmetics = ("native", "reproducible")

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)

    @classmethod
    def environment(cls) -> dict[str, Any]:
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return {
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
            "simd": torch.backends.cpu.get_cpu_capability(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "devices": list(cls.devices()),
            "gpus": gpus,
        }

    def __post_init__(self) -> None:
        with importing():
            import torch._dynamo  # as the first torch.func.grad would, at some update's expense

        if self.device == "cuda":  # or a float32 product may keep 10 bits of 23 (TF32)
            torch.set_float32_matmul_precision("highest")

    @cached_property
    def ops(self) -> Native | Reproducible:
        return Reproducible() if self.arithmetic == "reproducible" else Native()

    def from_numpy(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=getattr(torch, self.dtype), device=self.device)

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        return np.array(array.detach().cpu().numpy())

    def device_of(self, array: torch.Tensor) -> str:
        return array.device.type

    def synchronize(self, value: Any) -> Any:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return value
