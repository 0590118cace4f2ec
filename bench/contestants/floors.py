"""The floors: the same update in C, the library's own matrix products alone, and nothing at all."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ..workload import Arrays, Loop, Unsuitable, Workload

LARGEST = 64
"""Layers up to this wide are unrolled in C. Beyond, a library's matrix product is the floor."""


def compiler() -> str | None:
    """The machine's own C compiler, or $CC."""
    return next(
        (found for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if (found := shutil.which(name))), None
    )


def version() -> str | None:
    """What that compiler calls itself, for the passport."""
    if (cc := compiler()) is None:
        return None
    done = subprocess.run([cc, "--version"], capture_output=True, text=True)
    return next(iter(done.stdout.splitlines()), None)


FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC"]


def c(workload: Workload, polynomial: bool) -> Loop:
    """`floor.c`, compiled for this workload with -O3 -march=native.

    Raises Unsuitable without a compiler, or for a problem that floor.c is not made for.
    """
    n, sizes = len(workload.x), workload.layers
    if n & (n - 1) or n > LARGEST or len(sizes) > 3 or max(sizes) > LARGEST:
        raise Unsuitable("floor.c is for one or two small layers and a power of two of samples")
    if polynomial and workload.dtype != "float64":
        raise Unsuitable("the polynomial is for float64")
    cc = compiler()
    if cc is None:
        raise Unsuitable("no C compiler here (cc, gcc or clang)")
    macros = {
        "REAL": "double" if workload.dtype == "float64" else "float",
        "SAMPLES": n,
        "INPUTS": sizes[0],
        "HIDDEN": sizes[1] if len(sizes) == 3 else 0,
        "OUTPUTS": sizes[-1],
        "POLYNOMIAL": int(polynomial),
    }
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        source = (files(__package__) / "floor.c").read_text()
        command = [cc, *FLAGS, *(f"-D{k}={v}" for k, v in macros.items()), "-xc", "-", "-o", str(library), "-lm"]
        done = subprocess.run(command, input=source, capture_output=True, text=True)
        if done.returncode:
            raise Unsuitable(f"{cc} could not compile floor.c: {done.stderr.strip().splitlines()[0]}")
        train = ctypes.CDLL(str(library)).train
    pointer = np.ctypeslib.ndpointer(workload.x.dtype, flags="C")
    train.argtypes = [pointer, pointer, pointer, ctypes.c_double, ctypes.c_int64]
    train.restype = None
    x, y = np.ascontiguousarray(workload.x.T), np.ascontiguousarray(workload.y.T)
    first = np.concatenate([w.ravel() for w in workload.weights])
    ends = np.cumsum([w.size for w in workload.weights])

    def run(n: int) -> Arrays:
        weights = first.copy()
        train(x, y, weights, workload.rate, n)
        return tuple(
            part.reshape(w.shape) for part, w in zip(np.split(weights, ends[:-1]), workload.weights, strict=True)
        )

    return run


def operands(workload: Workload) -> list[tuple[np.ndarray, np.ndarray]]:
    """The factors of an update's matrix products: forward, gradient and, but for the first layer, backward.

    Activations and deltas are stand-ins of the right shapes: the time does not depend on the numbers.
    """
    generator = np.random.RandomState(0)
    layers = [workload.x]
    layers += [generator.random_sample((len(workload.x), w.shape[1])).astype(workload.dtype) for w in workload.weights]
    pairs = []
    for i, w in enumerate(workload.weights):
        pairs += [(layers[i], w), (layers[i].T, layers[i + 1])]
        if i:
            pairs.append((layers[i + 1], w.T))
    return pairs


def numpy_products(workload: Workload) -> Loop:
    """The update's matrix products with NumPy's BLAS, into arrays made beforehand."""
    pairs = operands(workload)
    results = tuple(a @ b for a, b in pairs)

    def run(n: int) -> Arrays:
        for _ in range(n):
            for (a, b), result in zip(pairs, results, strict=True):
                np.dot(a, b, out=result)
        return corners(results)

    return run


def corners(products: Any) -> Arrays:
    """Enough of each product to see that it was computed, little enough to send."""
    return tuple(np.array(p[:8, :8]) for p in products)


def torch_products(workload: Workload, device: str) -> Loop:
    """The same with PyTorch's."""
    import torch

    pairs = [(on(torch, a, device), on(torch, b, device)) for a, b in operands(workload)]
    results = [a @ b for a, b in pairs]

    def run(n: int) -> Arrays:
        for _ in range(n):
            for (a, b), result in zip(pairs, results, strict=True):
                torch.mm(a, b, out=result)
        return corners(r[:8, :8].cpu() for r in results)

    return run


def on(torch: Any, array: np.ndarray, device: str) -> Any:
    """`array` on the device, a transposed one as a transposed view, as in an update."""
    if array.flags.c_contiguous:
        return torch.tensor(array, device=device)
    return torch.tensor(array.T, device=device).T


def jax_products(workload: Workload, device: str) -> Loop:
    """The same with XLA's, in one compiled call for each update. Transposes are XLA's to fold."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    where = jax.devices(device)[0]
    pairs = [
        (
            jax.device_put(a if a.flags.c_contiguous else a.T, where),
            jax.device_put(b if b.flags.c_contiguous else b.T, where),
        )
        for a, b in operands(workload)
    ]
    turned = [(not a.flags.c_contiguous, not b.flags.c_contiguous) for a, b in operands(workload)]

    @jax.jit
    def products(pairs: Any) -> Any:
        return [(a.T if ta else a) @ (b.T if tb else b) for (a, b), (ta, tb) in zip(pairs, turned, strict=True)]

    def run(n: int) -> Arrays:
        for _ in range(n):
            results = products(pairs)
        return corners(results)

    return run


def null(workload: Workload) -> Loop:
    """No update at all: what the suite itself costs in each run."""
    return lambda n: workload.weights
