"""`equigrad bench --processes` times several processes beside one, gated as every row."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from equigrad.bench import suite
from equigrad.bench.clock import scaling
from equigrad.common.errors import UsageError
from equigrad.common.machine import cores
from equigrad.scale.summation import bytes_per_update

from .groups import marked, running

pytest.importorskip("mpi4py")


@pytest.mark.skipif(cores() < 2, reason="two processes are timed on two cores")
def test_several_processes_are_rows_with_an_efficiency_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIGRAD_TEST", mark := str(uuid4()))
    result = suite.bench(["digits"], ["numpy"], processes=[2], updates=2, rounds=1)
    (table,) = result.tables
    assert [(row.name, row.processes) for row in table.rows] == [
        ("numpy", 1), ("numpy x2", 2), ("numpy reproducible", 1), ("numpy reproducible x2", 2),
    ]  # fmt: skip
    assert [row.outcome for row in table.rows if row.arithmetic == "reproducible"] == ["identical", "identical"]
    assert len({row.weights_sha256 for row in table.rows[2:]}) == 1
    assert [row.name for row, _ in scaling(table)] == ["numpy x2", "numpy reproducible x2"]
    assert [row.bytes_per_update for row in table.rows[1::2]] == [
        bytes_per_update(1797, (64, 32, 10), 8, arithmetic) for arithmetic in ("native", "reproducible")
    ]
    ranks = [pid for pid in marked(mark) if "scale.rank" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert running(ranks) == []


def test_more_processes_than_cores_are_refused() -> None:
    with pytest.raises(UsageError, match="processes of 1 threads need more than the"):
        suite.bench(["digits"], ["numpy"], processes=[10_000])
