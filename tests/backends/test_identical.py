"""Under the reproducible arithmetic all three frameworks hold the same bits after every update."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad.backends import FRAMEWORKS, load
from equigrad.backends.interface import DTYPES, Backend
from equigrad.backends.tape.tape import Tape
from equigrad.bench.sizes import sized
from equigrad.common.golden import GOLDEN
from equigrad.common.problem import PROBLEMS, Problem, problem
from equigrad.common.ulp import sha256
from length import at_length, published

Ready = Callable[..., Backend]
ALONE = at_length(250, short=50)
"""Updates that are called one by one; all are looked at within one call, of `train` or of a user's own program."""
OTHERS = ("torch", "torch:cuda", "jax", "jax:cuda")
UPDATES = at_length(
    {"one-layer": 10_000, "two-layer": 60_000, "digits": 50},
    short={"one-layer": 2_000, "two-layer": 2_000, "digits": 10},
)


def every_update(backend: Backend, task: Problem, updates: int) -> Iterator[bytes]:
    """The weights' bytes after each update, one call per update."""
    x, y, *rest = (backend.from_numpy(a) for a in (task.inputs, task.targets, *task.first_weights(backend.dtype)))
    weights = tuple(rest)
    for _ in range(updates):
        weights = backend.update(weights, x, y, task.rate(backend.dtype))
        yield b"".join(backend.to_numpy(w).tobytes() for w in weights)


def every_update_of_a_scan(backend: Backend, task: Problem, updates: int) -> list[bytes]:
    """The weights' bytes after each of JAX's updates within one compiled loop, which returns them all."""
    import jax

    x, y, *rest = (backend.from_numpy(a) for a in (task.inputs, task.targets, *task.first_weights(backend.dtype)))

    def turn(weights: Any, _: Any) -> tuple[Any, Any]:
        weights = backend.update(weights, x, y, task.rate(backend.dtype))
        return weights, weights

    _, stacked = jax.jit(lambda weights: jax.lax.scan(turn, weights, None, length=updates))(tuple(rest))
    return [b"".join(w.tobytes() for w in each) for each in zip(*map(backend.to_numpy, stacked), strict=True)]


def every_update_of_train(
    backend: Backend, task: Problem, updates: int, monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    """The weights' bytes after each update within one call of NumPy's or PyTorch's `train`, which goes by a tape."""
    held: list[Any] = []
    history: list[bytes] = []
    bind = Tape.bind

    def noting(self: Tape, inputs: Any, *rest: Any) -> Any:
        held.extend(inputs[: len(self.results)])
        return bind(self, inputs, *rest)

    def watching(calls: Any, n: int) -> None:
        note()
        for _ in range(n):
            for call in calls:
                call()
            note()

    def note() -> None:
        history.append(b"".join(backend.to_numpy(w).tobytes() for w in held))

    monkeypatch.setattr(Tape, "bind", noting)
    monkeypatch.setattr(Tape, "run", staticmethod(watching))
    if backend.name == "torch":
        monkeypatch.setattr("equigrad.backends.tape.torch_tape.run_on_cuda", watching)
    trained(backend, task, updates)
    return history[-updates:]  # NumPy's tape begins with the first weights, PyTorch's after the first update


@cache
def numpys_history(name: str, dtype: str) -> list[bytes]:
    backend, task, updates = load("numpy", dtype, "reproducible"), problem(name), UPDATES[name]
    with pytest.MonkeyPatch.context() as patch:
        history = every_update_of_train(backend, task, updates, patch)
    assert first_difference(every_update(backend, task, min(updates, ALONE)), history) is None
    return history


COMPILED = [("jax", "float32", "digits"), ("jax:cuda", "float32", "digits")]
"""Left out of a short test: three programs, each compiled for a second."""
HISTORIES = [each for each in product(OTHERS, DTYPES, UPDATES) if each not in at_length([], short=COMPILED)]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "dtype", "name"), HISTORIES, ids=lambda word: word.replace(":", "-"))
def test_weights_are_numpys_after_every_update(
    ready: Ready, spec: str, dtype: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, task, updates = ready(spec, dtype, "reproducible"), problem(name), UPDATES[name]
    history = numpys_history(name, dtype)
    assert len(history) == updates
    assert first_difference(every_update(backend, task, min(updates, ALONE)), history) is None
    if spec.startswith("torch"):
        together = every_update_of_train(backend, task, updates, monkeypatch)
    else:
        together = every_update_of_a_scan(backend, task, updates)
    assert len(together) == updates
    assert first_difference(together, history) is None
    if updates == task.updates:
        assert hashlib.sha256(together[-1]).hexdigest() == GOLDEN[name][dtype]


def first_difference(mine: Iterable[bytes], numpys: list[bytes]) -> int | None:
    """The update, counted from 1, after which the weights differ first."""
    return next((i for i, weights in enumerate(mine, 1) if weights != numpys[i - 1]), None)


def trained(backend: Backend, task: Problem, updates: int) -> tuple[np.ndarray, ...]:
    x, y, *rest = (backend.from_numpy(a) for a in (task.inputs, task.targets, *task.first_weights(backend.dtype)))
    return tuple(map(backend.to_numpy, backend.train(tuple(rest), x, y, task.rate(backend.dtype), updates)))


TRAININGS = [
    pytest.param(spec, name, dtype, marks=[pytest.mark.slow] * (name == "digits"))
    for spec in (*FRAMEWORKS, "torch:cuda", "jax:cuda")
    for name in PROBLEMS
    for dtype in DTYPES
    if (spec, name) not in at_length([("torch", "two-layer")], short=[])  # the longest; its every update is seen above
]


@pytest.mark.slow(but=["numpy-one-layer", "torch-one-layer-float64", "jax-one-layer-float32", "jax-two-layer-float64"])
@pytest.mark.parametrize(("spec", "name", "dtype"), TRAININGS)
def test_the_hash_is_the_golden_one(ready: Ready, spec: str, dtype: str, name: str) -> None:
    updates, hashes = published(name)
    assert sha256(trained(ready(spec, dtype, "reproducible"), problem(name), updates)) == hashes[dtype]


@st.composite
def problems(draw: st.DrawFn) -> list[Problem]:
    """Any network of 1 to 4 layers, odd sizes, a batch of 1 to 300; of that shape several, since JAX compiles it once:

    any inputs, any learning rate, any first weights.
    """
    layers = tuple(draw(st.lists(st.integers(1, 21), min_size=2, max_size=5)))
    samples = draw(st.integers(1, 300))

    def one(numbers: int, scale: int, rate: float, seed: int) -> Problem:
        generator = np.random.default_rng(numbers)
        inputs = generator.normal(0, 10.0**scale, (samples, layers[0]))
        targets = generator.random((samples, layers[-1]))
        return Problem("random", inputs, targets, layers, updates=3, learning_rate=rate, seed=seed)

    whole, rates = st.integers(0, 2**32 - 1), st.floats(1e-5, 10.0, allow_subnormal=False)
    return draw(st.lists(st.builds(one, whole, st.integers(-6, 3), rates, whole), min_size=5, max_size=5))


@pytest.mark.slow
@settings(max_examples=at_length(6, short=4), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(tasks=problems(), dtype=st.sampled_from(["float64", "float32"]))
def test_any_problem_gives_the_same_bits_in_all_three(tasks: list[Problem], dtype: str) -> None:
    for task in tasks:
        hashes = {spec: sha256(trained(load(spec, dtype, "reproducible"), task, 3)) for spec in FRAMEWORKS}
        assert len(set(hashes.values())) == 1, hashes


X86 = platform.machine() in ("x86_64", "AMD64")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TWO = {**dict.fromkeys(THREADS, "2"), "OMP_WAIT_POLICY": "PASSIVE"}  # or they spin, beside other tests
SETTINGS = {
    "AVX2 only, one thread": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_cpu_multi_thread_eigen=false",
        **dict.fromkeys(THREADS, "1"),
    },
    "SSE only, two threads": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
        **TWO,
    },
    **({} if X86 and at_length(False, short=True) else {"all vector units, two threads": TWO}),
}
TRAINED = """
from equigrad.common.garbage import keep_imports

keep_imports()
import json, sys
from equigrad.backends import FRAMEWORKS, load
from equigrad.common.problem import problem
from equigrad.common.ulp import sha256
from equigrad.session import Session

for name, dtype, updates in json.load(sys.stdin):
    for spec in FRAMEWORKS:
        session = Session.of(problem(name), load(spec, dtype, "reproducible"))
        weights = session.numpy(session.train(session.weights, updates))
        print(json.dumps([name, dtype, spec, sha256(weights)]))
import torch
print(json.dumps(torch.backends.cpu.get_cpu_capability().lower()))
"""
"""One process trains everything under one setting: that spares most of the imports."""
SHORTER = [
    *(("one-layer", dtype, 1000) for dtype in DTYPES),
    *(("digits", dtype, at_length(20, short=5)) for dtype in at_length(DTYPES, short=DTYPES[:1])),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(
            setting, id=name, marks=pytest.mark.skipif("XLA_FLAGS" in setting and not X86, reason="x86's units")
        )
        for name, setting in SETTINGS.items()
    ],
)
def test_the_hash_does_not_depend_on_vector_width_or_threads(setting: dict[str, str], ready: Ready) -> None:
    for spec in FRAMEWORKS:
        ready(spec)
    keep = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", TRAINED],
        input=json.dumps(SHORTER),
        env={**keep, **setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *found, in_force = map(json.loads, done.stdout.splitlines())
    here = {(name, dtype): expected(name, dtype, updates) for name, dtype, updates in SHORTER}
    assert found == [[name, dtype, spec, here[name, dtype]] for name, dtype, _ in SHORTER for spec in FRAMEWORKS]
    assert in_force == setting.get("ATEN_CPU_CAPABILITY", in_force), "the setting did not reach torch"


@cache
def expected(name: str, dtype: str, updates: int) -> str:
    return sha256(trained(load("numpy", dtype, "reproducible"), problem(name), updates))


LARGE = {
    "a layer too wide for a block": (140, (3, 1100, 2)),
    "a sample too wide for a block": (2, (3, 140_000, 2)),
    "many inputs": (300, (1000, 2)),
    "many blocks": (3000, (90, 100, 2)),
}


MANY = ("many inputs", "many blocks")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "dtype"),  # products are cut into blocks in float64 in any case
    [*((what, "float64") for what in LARGE), *((what, "float32") for what in at_length(MANY, short=MANY[:1]))],
)
def test_large_layers_give_the_same_bits(ready: Ready, dtype: str, what: str) -> None:
    task = sized(*LARGE[what])
    hashes = {sha256(trained(ready(spec, dtype, "reproducible"), task, 2)) for spec in FRAMEWORKS}
    assert len(hashes) == 1


@pytest.mark.parametrize("rate", [1.0, 0.3, 1 / 3, 1e-3, 7.77])
def test_any_learning_rate_gives_the_same_bits(ready: Ready, dtype: str, rate: float) -> None:
    task = problem("two-layer").with_(learning_rate=rate)
    hashes = {sha256(trained(ready(spec, dtype, "reproducible"), task, 200)) for spec in ("numpy", "torch", "jax")}
    assert len(hashes) == 1
