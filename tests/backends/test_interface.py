"""What the interface states."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from equigrad.backends import backend_class
from equigrad.backends.interface import Backend
from equigrad.common.problem import problem
from equigrad.laws.laws import LAWS


def test_the_interface_lists_the_laws_by_their_names_in_their_order() -> None:
    assert re.findall(r"^ +\d+\. (\w+) ", Backend.__doc__ or "", flags=re.M) == list(LAWS)


def given(backend: Backend) -> tuple[tuple[Any, ...], Any, Any]:
    task = problem("two-layer")
    x, y, *weights = (backend.from_numpy(v) for v in (task.inputs, task.targets, *task.first_weights()))
    return tuple(weights), x, y


@pytest.mark.parametrize("spec", ["numpy", "torch", "jax"])
def test_no_update_leaves_the_weights_as_they_are(ready: Callable[..., Backend], spec: str) -> None:
    backend = ready(spec)
    weights, x, y = given(backend)
    trained = backend.train(weights, x, y, 1.0, 0)
    assert [backend.to_numpy(w).tolist() for w in trained] == [backend.to_numpy(w).tolist() for w in weights]


def test_the_device_is_spelt_as_devices_spells_it(backend: Backend) -> None:
    (w, *_), _, _ = given(backend)
    assert backend.device_of(w) == backend.device
    assert backend.device in backend.devices()


@pytest.mark.needs("torch")
def test_float32_products_on_cuda_keep_all_bits_whatever_precision_pytorch_was_set_to() -> None:
    import torch

    cls, _ = backend_class("torch")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        cls(device="cpu")
        assert torch.get_float32_matmul_precision() == "medium"
        cls(device="cuda")
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
