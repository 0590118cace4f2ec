"""What goes wrong with a GPU is one line that says what to do, and the other backends' results are shown all the same.

No GPU is needed here: the frameworks' errors are planted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad import backends
from equigrad.backends import everything, load, usable
from equigrad.backends.interface import Backend
from equigrad.bench import worker
from equigrad.bench.clock import Gate, Heat, measure
from equigrad.bench.contestants import backend as backend_contestant
from equigrad.bench.contestants import roster
from equigrad.bench.workload import Contestant, Moved, Workload
from equigrad.check import gradcheck
from equigrad.common.errors import DeviceError, said
from equigrad.common.problem import problem
from equigrad.session import Fault

SHORT = problem("one-layer").with_(updates=20)
TOO_OLD = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040).\n"
    "Please update your GPU driver. (Triggered internally at CUDAFunctions.cpp:119.)"
)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ...", "try a smaller problem"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes", "free what else"),
        ("CUDA error: CUDA driver version is insufficient for CUDA runtime version", "update the NVIDIA driver"),
        (TOO_OLD, "update the NVIDIA driver"),
        ("Found no NVIDIA driver on your system", "nvidia-smi"),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "another process holds the GPU"),
        ("CUDA error: no kernel image is available for execution on the device", "not made for this GPU"),
    ],
    ids=["torch memory", "jax memory", "insufficient driver", "old driver", "no driver", "busy", "other GPU"],
)
def test_a_known_cause_says_what_to_do_in_one_line(text: str, advice: str) -> None:
    line = said(RuntimeError(text + "\n" + "more\n" * 200))
    assert line.startswith("RuntimeError: ")
    assert advice in line
    assert "\n" not in line
    assert len(line) <= 310


def test_an_unknown_cause_is_only_shortened() -> None:
    assert said(ZeroDivisionError("no\nluck")) == "ZeroDivisionError: no luck"


@pytest.mark.slow(but=["from_numpy"])
@pytest.mark.parametrize("method", ["from_numpy", "train"])
def test_a_full_gpu_fails_alone(ready: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    torch_backend = type(ready("torch"))
    import torch

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation.")

    monkeypatch.setattr(torch_backend, method, full)
    numpy, failed = equigrad.compare(SHORT, ["numpy", "torch"], arithmetic="native").runs
    assert (numpy.outcome, failed.outcome) == ("identical", "failed")
    assert failed.message.startswith(f"{method} raised OutOfMemoryError: CUDA out of memory.")
    assert "try a smaller problem, or free what else is on the device" in failed.message


@pytest.fixture
def old_driver(ready: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch finds a GPU whose driver is too old: it warns, and has the CPU alone."""

    def devices(cls: type) -> tuple[str, ...]:
        warnings.warn(TOO_OLD, UserWarning, stacklevel=2)
        return ("cpu",)

    monkeypatch.setattr(type(ready("torch")), "devices", classmethod(devices))


@pytest.mark.usefixtures("old_driver")
def test_a_driver_too_old_is_told_to_whoever_asks_for_the_gpu() -> None:
    with pytest.raises(DeviceError, match=r"'torch:cuda': .*only cpu: .*too old \(found version 11040\)") as caught:
        load("torch:cuda")
    assert "Triggered internally" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load("torch").device == "cpu"


@pytest.mark.usefixtures("old_driver")
def test_a_driver_too_old_is_a_row_where_nobody_asked_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "FRAMEWORKS", ("numpy", "torch"))
    assert everything() == ["numpy", "torch", "torch:cuda"]
    assert usable() == ["numpy", "torch"]
    runs = {run.name: run for run in equigrad.compare(SHORT, arithmetic="native").runs}
    assert runs["torch:cuda"].outcome == "failed"
    assert "too old" in runs["torch:cuda"].message
    assert runs["torch"].outcome in ("identical", "agree")


@pytest.mark.needs("flint")
@pytest.mark.usefixtures("old_driver")
def test_check_has_that_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "FRAMEWORKS", ("numpy", "torch"))
    checks = {check.name: check for check in gradcheck.check(SHORT, arithmetic="native").backends}
    assert checks["torch:cuda"].outcome == "failed"
    assert checks["torch"].outcome in ("identical", "agree")


@pytest.mark.parametrize(
    ("spec", "patched", "words"),
    [
        ("jax:cuda", {"plugin": False}, "pip install 'equigrad[cuda]'"),
        ("jax:cuda", {"plugin": True}, "nvidia-smi"),
        ("torch:cuda", {"cuda": None}, "built without CUDA: https://pytorch.org/get-started/locally"),
        ("torch:cuda", {"cuda": "13.0"}, "nvidia-smi"),
    ],
    ids=["jax without its plug-in", "jax without a GPU", "torch for the CPU", "torch without a GPU"],
)
def test_a_gpu_that_is_not_here_comes_with_the_way_to_get_it(
    ready: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch, spec: str, patched: dict[str, Any], words: str
) -> None:
    cls = type(ready(spec.partition(":")[0]))
    monkeypatch.setattr(cls, "devices", classmethod(lambda cls: ("cpu",)))
    if "plugin" in patched:
        monkeypatch.setattr(backends, "find_spec", lambda name: patched["plugin"] or None)
    else:
        monkeypatch.setattr(sys.modules["torch"], "version", SimpleNamespace(cuda=patched["cuda"]))
    with pytest.raises(DeviceError) as caught:
        load(spec)
    assert f"'{spec}': no such device here, only cpu: " in str(caught.value)
    assert words in str(caught.value)


def test_a_fall_back_to_another_device_gets_no_number(
    ready: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ready("torch")), "device_of", lambda self, array: "meta")
    workload = Workload.of(SHORT, "float64")
    moved = backend_contestant.train(workload, "torch", "native")
    with pytest.raises(Fault, match="left its result on 'meta', not on 'cpu'"):
        moved.run(1)
    contestant = roster.backends(["torch"], ["native"])[0]
    state = {"contestant": contestant, "run": moved.run}
    outcome, _ = worker._guarded(worker._run, state, (1, 1))
    assert outcome == "wrong-device"


def test_the_gpu_is_hidden_from_a_row_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "bench")
        hidden, seen = (
            Contestant(device or "any", "backend", "backend:train", ("bench_backends:Blind", "native"), device=device)
            for device in ("cpu", "")
        )
        table = measure(Workload.of(SHORT, "float64"), [hidden, seen], rounds=1)
    assert [row.outcome for row in table.rows] == ["identical", "failed"]
    assert "a GPU is in sight: 0" in table.rows[1].message
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("device", "dtype", "outcome"),
    [("cuda", "float32", "failed"), ("cuda", "float64", "agree"), ("cpu", "float32", "agree")],
)
def test_products_of_lower_precision_get_no_number_on_a_gpu_in_float32(device: str, dtype: str, outcome: str) -> None:
    contestant = Contestant("jax", "jax", "jax_idioms:from_python", device=device)
    heat = Heat(contestant, Gate(Workload.of(SHORT, dtype)))
    heat.row.outcome, heat.row.samples = "agree", [1.0]
    facts = {"peak_bytes": 1, "transfer_seconds": 0.1, "threads": {}, "precision": {"jax": "default"}, "versions": {}}
    heat.worker = SimpleNamespace(facts=lambda: facts, close=lambda: None)  # type: ignore[assignment]
    heat.ask(1, dtype)
    assert heat.row.outcome == outcome
    assert heat.row.timed is (outcome == "agree")
    assert ("jax 'default'" in heat.row.message) is (outcome == "failed")


def test_the_transfer_is_timed_apart_from_starting_the_device(
    ready: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    from equigrad.backends import numpy_backend

    calls: list[int] = []

    def from_numpy(self: Any, array: np.ndarray) -> np.ndarray:
        calls.append(array.size)
        return np.array(array)

    monkeypatch.setattr(numpy_backend.NumpyBackend, "from_numpy", from_numpy)
    moved = backend_contestant.train(Workload.of(SHORT, "float64"), "numpy", "native")
    assert isinstance(moved, Moved)
    assert moved.transfer_seconds > 0
    assert calls == [12, 4, 3] * 2
