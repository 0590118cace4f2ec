"""Who takes part: the floors, the backends, the idioms of each framework and the peers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ...backends import FRAMEWORKS
from ...common.headline import is_written
from ..workload import Contestant, Workload
from .backend import device_of
from .floors import LARGEST

ONE_THREAD = 10**6
"""Up to this many multiplications per update everyone gets one thread: more would only wait for each other."""


def backends(
    specs: Sequence[str],
    arithmetics: Sequence[str],
    processes: Sequence[int] = (1,),
    lacking: Collection[tuple[str, str]] = (),
) -> list[Contestant]:
    """Each in each arithmetic, but for the pairs `lacking`, on each number of processes."""
    return [
        Contestant(
            (spec if arithmetic == "native" else f"{spec} {arithmetic}") + (f" x{n}" if n > 1 else ""),
            "backend",
            "backend:train",
            (spec, arithmetic, n),
            (framework,) if (framework := spec.partition(":")[0]) in FRAMEWORKS else (),
            device=device_of(spec),
            arithmetic=arithmetic,
            about=f"the {spec} backend's train, {arithmetic} arithmetic" + (f", on {n} processes" if n > 1 else ""),
            processes=n,
        )
        for arithmetic in arithmetics
        for spec in specs
        if (spec, arithmetic) not in lacking
        for n in processes
    ]


C_FLOORS = (
    Contestant("C, vectorised exp", "floor", "floors:c", (True,), about="floor.c, an exp of vector operations"),
    Contestant("C, libm", "floor", "floors:c", (False,), about="floor.c with the C library's exp"),
)
NULL = Contestant(
    "null", "floor", "floors:null", expect="first weights", about="no update: what the suite itself costs"
)


def products(specs: Sequence[str]) -> list[Contestant]:
    """The matrix products of one update alone, with the library of each backend."""
    found = []
    for spec in specs:
        framework, _, device = spec.partition(":")
        if framework in FRAMEWORKS:
            arguments = () if framework == "numpy" else (device or "cpu",)
            found.append(
                Contestant(
                    f"{spec}, products alone",
                    "floor",
                    f"floors:{framework}_products",
                    arguments,
                    (framework,),
                    device=device or "cpu",
                    expect="products",
                    about="the matrix products of an update and nothing else",
                )
            )
    return found


def idioms(specs: Sequence[str]) -> list[Contestant]:
    """The ways to write the update in each framework, on each device."""
    found: list[Contestant] = []
    for spec in specs:
        framework, _, device = spec.partition(":")
        if framework == "numpy":
            found += NUMPY
        elif framework in FRAMEWORKS:
            ways = {"torch": _torch, "jax": _jax}[framework](device or "cpu")
            found += [replace(one, device=device or "cpu") for one in ways]
    return found


def _fused(framework: str) -> Contestant:
    """`train` by Numba; not a backend's row, so that nobody takes it for what `equigrad` does unless told to."""
    return Contestant(
        f"{framework}, train, reproducible, fused by Numba",
        framework,
        "backend:train",
        (f"equigrad.backends.{framework}_fused:{framework.capitalize()}Fused", "reproducible"),
        (framework, "numba"),
        arithmetic="reproducible",
        about="its elementwise operations run together, compiled by Numba",
    )


NUMPY = (
    Contestant("numpy, expressions", "numpy", "numpy_idioms:expressions", (), ("numpy",)),
    Contestant("numpy, preallocated", "numpy", "numpy_idioms:preallocated", (), ("numpy",)),
    Contestant("numpy, preallocated, SciPy's expit", "numpy", "numpy_idioms:expit", (), ("numpy", "scipy.special")),
    _fused("numpy"),
)


def _torch(device: str) -> list[Contestant]:
    make, torch, at = "torch_idioms", ("torch",), "" if device == "cpu" else f":{device}"
    cold = (("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1"),)  # or the compile time depends on the last run
    found = [
        Contestant(f"torch{at}, loss.backward()", "torch", f"{make}:autograd_loss", (device,), torch),
        Contestant(f"torch{at}, autograd.grad without the loss", "torch", f"{make}:autograd_seed", (device,), torch),
        Contestant(f"torch{at}, torch.compile of a step", "torch", f"{make}:compiled_step", (device,), torch, cold),
    ]
    if device == "cpu":
        found += [
            Contestant("torch, torch.compile of the loop", "torch", f"{make}:compiled_loop", (device,), torch, cold),
            _fused("torch"),
        ]
    else:
        found += [
            Contestant(f"torch{at}, CUDA graph of {k}", "torch", f"{make}:cuda_graph", (device, k), torch)
            for k in (1, 100)
        ]
    return found


def _jax(device: str) -> list[Contestant]:
    make, jax, at = "jax_idioms", ("jax",), "" if device == "cpu" else f":{device}"
    loops = [
        Contestant(
            f"jax{at}, {loop}, {dot}" + (f", {unroll} unrolled" if unroll > 1 else ""),
            "jax",
            f"{make}:in_one_program",
            (device, loop, dot, unroll),
            jax,
        )
        for loop, dot, unroll in (
            ("fori_loop", "matmul", 1),
            ("fori_loop", "multiply-and-sum", 1),
            ("scan", "multiply-and-sum", 1),
            ("fori_loop", "multiply-and-sum", 4),
        )
    ]
    return [Contestant(f"jax{at}, jitted step from Python", "jax", f"{make}:from_python", (device, True), jax), *loops]


PEERS = (
    Contestant("Trask's way, a NumPy script", "peer", "peers:trask", (), ("numpy",)),
    Contestant("torch, nn.Linear and optim.SGD", "peer", "peers:torch_nn", (), ("torch",)),
    Contestant("jax, grad without jit", "peer", "jax_idioms:from_python", ("cpu", False), ("jax",)),
    Contestant("HIPS autograd", "peer", "peers:hips_autograd", (), ("autograd",)),
    Contestant("Keras on torch", "peer", "peers:keras", (), ("torch", "keras"), (("KERAS_BACKEND", "torch"),)),
    Contestant(
        "Keras on jax", "peer", "peers:keras", (), ("jax", "keras"), (("KERAS_BACKEND", "jax"), ("JAX_ENABLE_X64", "1"))
    ),
    Contestant("tinygrad, TinyJit", "peer", "peers:tinygrad", (), ("tinygrad",)),
    Contestant("numba", "peer", "peers:numba", (), ("numba",)),
    Contestant(
        "scikit-learn",
        "peer",
        "peers:scikit_learn",
        (),
        ("sklearn",),
        about="its networks minimise another loss, whose output delta lacks the sigmoid's slope",
    ),
)


def small(workload: Workload) -> bool:
    """Whether call overhead and not arithmetic decides, so that C is the floor, and one thread the rule."""
    return workload.work <= ONE_THREAD and max(workload.layers) <= LARGEST


def chosen(
    who: str,
    workload: Workload,
    specs: Sequence[str],
    arithmetics: Sequence[str],
    processes: Sequence[int] = (1,),
    lacking: Collection[tuple[str, str]] = (),
) -> list[Contestant]:
    """The backends, see `backends`.

    For `who` floors the floors too; for headline each framework as people write it too; for everyone, on a small
    problem, all idioms and peers.
    """
    found = backends(specs, arithmetics, processes, lacking)
    if who != "backends":
        found = [NULL, *(C_FLOORS if small(workload) else products(specs)), *found]
    if who == "headline":
        found += [one for one in idioms(specs) if is_written(one.name, one.group)]
    elif who == "everyone" and small(workload):
        ways = [one for one in idioms(specs) if one.arithmetic in ("native", *arithmetics)]
        found += [*ways, *PEERS]
    return found
