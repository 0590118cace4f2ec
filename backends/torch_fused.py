"""The PyTorch backend whose `train` runs elementwise operations together, compiled by Numba, with the same bits.

`--backend equigrad.backends.torch_fused:TorchFused` on the command line, or that class wherever Python takes a backend.
On the CPU alone: Numba works in the memory that PyTorch's tensors share with NumPy.
"""

from __future__ import annotations

from functools import partial

import torch

from .tape.fused import Formulas, fused
from .tape.torch_tape import cast, taped_with
from .torch_backend import TorchBackend

FORMULAS: Formulas = {
    torch.add: "{} + {}",
    torch.bitwise_left_shift: "{} << {}",
    torch.bitwise_right_shift: "{} >> {}",
    torch.clamp: "np.minimum(np.maximum({}, {}), {})",
    torch.div: "{} / {}",
    torch.maximum: "np.maximum({}, {})",
    torch.mul: "{} * {}",
    torch.neg: "-{}",
    torch.ops.aten.detach.default: "{}",
    torch.ops.aten.view.dtype: "np.{source}({}).view(np.{dtype})",
    torch.round: "np.rint({})",
    torch.sub: "{} - {}",
    cast: "np.{dtype}({})",
}


class TorchFused(TorchBackend):
    """PyTorch's backend, `train` fused by Numba."""

    train = taped_with(partial(fused, FORMULAS))(TorchBackend.train)

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        return ("cpu",)
