"""The cost of messages is found again in times that were made from known constants."""

from __future__ import annotations

from itertools import pairwise

import pytest

from equigrad.bench.clock import Row, Table
from equigrad.bench.forecast import Cost, fit, lines, pairs
from equigrad.bench.results import break_even
from equigrad.scale.summation import bytes_per_update

KNOWN = Cost(40e-6, 1 / 2e9, 0.0, 0)
SIZES = [(400, (16, 16, 1)), (40_000, (16, 16, 1)), (64, (1024, 1024, 1)), (4096, (1024, 1024, 10))]


def made(samples: int, layers: tuple[int, ...], off: float = 1.0) -> Table:
    """A table whose times follow the model exactly, but for a factor."""
    work = samples * sum(a * b for a, b in pairwise(layers))
    table = Table("made", "float64", samples, list(layers), 1, 1, 1, work, 0)
    for arithmetic in ("native", "reproducible"):
        name = "numpy" if arithmetic == "native" else "numpy reproducible"
        table.rows.append(Row(name, "backend", arithmetic, samples=[1e-9 * work]))
        for n in (2, 4):
            row = Row(f"{name} x{n}", "backend", arithmetic, processes=n)
            row.bytes_per_update = bytes_per_update(samples, layers, 8, arithmetic)
            row.samples = [off * KNOWN.seconds(1e-9 * work, n, row, table)]
            table.rows.append(row)
    return table


def test_latency_and_bandwidth_are_found_again() -> None:
    cost = fit(pairs([made(*size) for size in SIZES]))
    assert cost is not None
    assert (cost.latency, cost.per_byte) == pytest.approx((KNOWN.latency, KNOWN.per_byte))
    assert cost.residual < 1e-9
    assert cost.rows == 16


def test_times_that_do_not_follow_the_model_leave_a_residual() -> None:
    cost = fit(pairs([made(*size, off=1 + 0.2 * (i % 2)) for i, size in enumerate(SIZES)]))
    assert cost is not None
    assert 0.01 < cost.residual < 0.2


def test_nothing_is_foretold_from_times_that_scatter() -> None:
    (line,) = lines([made(*size, off=1 + 3 * (i % 2)) for i, size in enumerate(SIZES)])
    assert line.startswith("numpy: no forecast, the best fit is ")


def test_a_ring_sends_twice_its_bytes_at_most_and_waits_for_every_neighbour() -> None:
    table = Table("made", "float64", 4096, [1024, 1024, 10], 1, 1, 1, 1, 0)
    row = Row("numpy x8", "backend", "native", processes=8, bytes_per_update=8_000_000)
    assert KNOWN.seconds(1.0, 8, row, table) == pytest.approx(1 / 8 + 7 * 2 * 40e-6 + 2 * 7 / 8 * 8e6 / 2e9)


def test_a_forecast_says_that_it_is_one() -> None:
    said = lines([made(*size) for size in SIZES])
    assert said[0] == "numpy: 40 us for each message, 2 GB/s; fitted to 16 rows, 0% off (root mean square)"
    assert [line.partition(": ")[0] for line in said[1:]] == [
        "forecast, not measured, 4096x1024-1024-10, numpy",
        "forecast, not measured, 4096x1024-1024-10, numpy reproducible",
    ]
    assert all("8 processes" in line and "64 processes" in line and "1,000 processes" in line for line in said[1:])


def test_of_one_size_nothing_is_foretold() -> None:
    assert lines([made(*SIZES[0])]) == []
    assert lines([made(*SIZES[0]), made(*SIZES[0])]) != []


def test_sizes_alike_do_not_tell_latency_and_bandwidth_apart() -> None:
    tables = [made(*SIZES[0]) for _ in range(3)]
    for table in tables:
        table.rows = [row for row in table.rows if row.arithmetic == "native" and row.processes < 4]
    assert lines(tables) == ["numpy: these times do not tell latency and bandwidth apart"]


def test_a_sweep_says_from_which_number_of_samples_two_processes_pay() -> None:
    sizes = (40, 400, 4_000, 40_000)
    found = break_even("samples", [made(n, (16, 16, 1)) for n in sizes], sizes)
    assert found[0].startswith("numpy and numpy x2: numpy ")
    assert "break-even at samples" in found[0]
    assert all(line.split(" and ")[1].startswith(line.split(" and ")[0]) for line in found)
