"""The update loop of every backend under pytest-benchmark: `pytest bench`, see docs/benchmarks.md.

A time is that of one call of `train` with the updates that the group names, so that two runs can be compared; how
often it is called in a round is calibrated. Weights that do not agree with NumPy's fail, and have no time.
"""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import pytest

from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.bench import sizes
from equigrad.bench.clock import SAMPLE_SECONDS, Gate, Row
from equigrad.bench.workload import Workload
from equigrad.common.agreement import Disagreement
from equigrad.common.errors import DeviceError, MissingError
from equigrad.common.ulp import sha256
from equigrad.session import Fault, Session, loaded

pytest.importorskip("pytest_benchmark", reason="pip install 'equigrad[bench]'")
BACKENDS = ("numpy", "torch", "torch:cuda", "jax", "jax:cuda")
UPDATES = {"one-layer": 10_000, "two-layer": 10_000, "digits": 100, "4096x256-256-10": 10}
"""By network, in each call: so many that what a call does once, such as recording an update, hardly shows."""
ROUNDS = 5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """--equigrad-backend, which the laws take too, times that one alone."""
    own = metafunc.config.getoption("--equigrad-backend", None)
    backends = [own] if own else BACKENDS
    metafunc.parametrize("network", UPDATES)
    metafunc.parametrize("backend", backends, ids=[name.replace(":", "-") for name in backends])
    metafunc.parametrize("dtype", DTYPES)
    metafunc.parametrize("arithmetic", ARITHMETICS)


@cache
def gate_of(network: str, dtype: str) -> Gate:
    """One for all backends, so that NumPy's weights are computed once."""
    return Gate(Workload.of(sizes.chosen(network), dtype))


def test_train(network: str, backend: str, dtype: str, arithmetic: str, request: pytest.FixtureRequest) -> None:
    try:
        chosen = loaded(backend, dtype, arithmetic)
    except (MissingError, DeviceError) as error:
        pytest.skip(str(error))
    reason = measure(chosen, gate_of(network, dtype), UPDATES[network], request)
    if reason:
        pytest.fail(f"{backend} {arithmetic}: {reason}", pytrace=False)


def measure(backend: Backend, gate: Gate, updates: int, request: pytest.FixtureRequest) -> str:
    """Time it; or say why it gets no time. `benchmark` is asked for only once the weights agree."""
    workload, row = gate.workload, Row(backend.name, "backend", backend.arithmetic)
    session = Session(backend, workload.weights, workload.x, workload.y, workload.rate)
    trained: list[Any] = []

    def train() -> None:
        trained[:] = [session.train(session.weights, updates)]

    def check() -> None:
        """The same bits as those that agreed; what is raised here takes the time away."""
        if sha256(session.numpy(trained[0])) != row.weights_sha256:
            raise Disagreement("nondeterministic", "the same call gave other bits than the one before")

    try:
        train()  # compiles
        gate.check(row, "weights", session.numpy(trained[0]), updates)
        start = time.perf_counter()
        train()
        calls = max(1, min(1000, math.ceil(SAMPLE_SECONDS / max(time.perf_counter() - start, 1e-6))))
        benchmark = request.getfixturevalue("benchmark")
        benchmark.group = f"{updates} updates of {workload.name} {workload.dtype}"
        benchmark.extra_info |= {
            "updates": updates, "outcome": row.outcome, "distance": row.distance, "weights_sha256": row.weights_sha256
        }  # fmt: skip
        benchmark.pedantic(train, teardown=check, rounds=ROUNDS, iterations=calls)
    except (Disagreement, Fault) as error:
        return str(error)
    if benchmark.stats:
        seconds = benchmark.stats.stats.median / updates
        benchmark.extra_info |= {"microseconds_per_update": 1e6 * seconds, "updates_per_second": 1 / seconds}
    return ""
