"""A backend of the suite as a contestant: its `train`, as every command uses it."""

from __future__ import annotations

import time

import numpy as np

from ...backends import FRAMEWORKS
from ...scale import spread
from ...session import Session, loaded
from ..workload import Arrays, Moved, Workload


def train(workload: Workload, spec: str, arithmetic: str, processes: int = 1) -> Moved:
    """All updates in one call of `train`, the data already on the device, or with the processes that share it."""
    one = loaded(spec, workload.dtype, arithmetic)
    backend = spread.over(spread.Groups(), spec, processes, one)
    # the session has their shapes alone: a second copy of the data would count as the backend's memory
    inputs, targets = (np.broadcast_to(0.0, data.shape) for data in (workload.x, workload.y))
    session = Session(backend, workload.weights, inputs, targets, workload.rate)

    backend.synchronize(session.hold_all((workload.x, workload.y, *workload.weights)))  # the first pay for the device
    start = time.perf_counter()
    x, y, *weights = backend.synchronize(session.hold_all((workload.x, workload.y, *workload.weights)))
    seconds = time.perf_counter() - start

    def run(n: int) -> Arrays:
        result = session.call("synchronize", session.call("train", tuple(weights), x, y, session.lr, n))
        return tuple(map(np.asarray, session.numpy(result)))  # a class of its own might compute when it is pickled

    def begin(others: Arrays) -> None:
        weights[:] = backend.synchronize(session.hold_all(others))

    return Moved(run, seconds, begin)


def device_of(spec: str) -> str:
    """Where the backend of that name has to compute; '' where the name does not say."""
    name, _, rest = spec.partition(":")
    return (rest or "cpu") if name in FRAMEWORKS else ""
