"""A backend of the suite as a contestant: its `train`, as every command uses it."""

from __future__ import annotations

import time
from typing import Any

from ...backends import FRAMEWORKS, load
from ...common.agreement import Disagreement
from ..workload import Arrays, Moved, Workload


def train(workload: Workload, spec: str, arithmetic: str) -> Moved:
    """All updates in one call of `train`, the data already on the device."""
    backend = load(spec, workload.dtype, arithmetic)
    device, rate = device_of(spec), workload.rate

    def moved() -> Any:
        return backend.synchronize(tuple(backend.from_numpy(a) for a in (workload.x, workload.y, *workload.weights)))

    moved()  # the first to arrive pay for starting the device
    start = time.perf_counter()
    x, y, *first = moved()
    seconds = time.perf_counter() - start
    weights = tuple(first)

    def run(n: int) -> Arrays:
        trained = backend.synchronize(backend.train(weights, x, y, rate, n))
        for w in trained:
            if device and backend.device_of(w) != device:
                raise Disagreement("wrong-device", f"computed on {backend.device_of(w)} instead of {device}")
        return tuple(backend.to_numpy(w) for w in trained)

    return Moved(run, seconds)


def device_of(spec: str) -> str:
    """Where the backend of that name has to compute; '' where the name does not say."""
    name, _, rest = spec.partition(":")
    return (rest or "cpu") if name in FRAMEWORKS else ""
