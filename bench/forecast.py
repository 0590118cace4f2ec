"""What messages cost, fitted to what was measured, and what an update would then take on more processes.

t(n) = t(1) / n + (n - 1) x messages x latency + 2 (n - 1) / n x bytes / bandwidth: an all-reduce in a ring.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .clock import Row, Table, rounded

FORECAST = (8, 64, 1000)
"""Numbers of processes."""
SCATTER = 0.25
"""There is no forecast from a fit that is further off than this."""


@dataclass(frozen=True)
class Cost:
    """Of one backend's messages."""

    latency: float
    """Seconds for each message and neighbour in the ring."""
    per_byte: float
    """Seconds."""
    residual: float
    """Root mean square of the fit's relative errors."""
    rows: int
    """That it was fitted to."""

    def seconds(self, alone: float, n: int, row: Row, table: Table) -> float:
        """Of an update on n processes that takes `alone` seconds on one."""
        messages, traffic = _parts(n, row, table)
        return alone / n + messages * self.latency + traffic * self.per_byte


def _parts(n: int, row: Row, table: Table) -> tuple[float, float]:
    """By what latency and the seconds for a byte are multiplied."""
    messages = (len(table.layers) - 1) * (1 if row.arithmetic == "native" else 2)
    return (n - 1) * messages, 2 * (n - 1) / n * row.bytes_per_update


def pairs(tables: Sequence[Table]) -> list[tuple[Table, Row, Row]]:
    """Each timed row of several processes, behind its table and the same on one process."""
    return [
        (table, one, row)
        for table in tables
        for row in table.timed
        if row.processes > 1 and (one := table.row(row.name.removesuffix(f" x{row.processes}"))) and one.timed
    ]


def fit(found: Sequence[tuple[Table, Row, Row]]) -> Cost | None:
    """Least squares of the relative errors; None where the times do not tell latency and bandwidth apart."""
    left, right = [], []
    for table, one, row in found:
        seconds, alone = statistics.median(row.samples), statistics.median(one.samples)
        left.append([part / seconds for part in _parts(row.processes, row, table)])
        right.append(1 - alone / row.processes / seconds)
    if len(found) < 3:
        return None
    (latency, per_byte), _, rank, _ = np.linalg.lstsq(np.array(left), np.array(right))
    if rank < 2 or min(latency, per_byte) <= 0:
        return None
    missed = np.array(left) @ [latency, per_byte] - right
    return Cost(float(latency), float(per_byte), float(np.sqrt(np.mean(missed**2))), len(found))


def lines(tables: Sequence[Table]) -> list[str]:
    """The fit of each backend, and its forecast for the largest network; none for a single table."""
    said = []
    found = pairs(tables) if len(tables) > 1 else []
    for backend in dict.fromkeys(one.name.partition(" ")[0] for _, one, _ in found):
        mine = [pair for pair in found if pair[1].name.partition(" ")[0] == backend]
        cost = fit(mine)
        if cost is None:
            said.append(f"{backend}: these times do not tell latency and bandwidth apart")
            continue
        if cost.residual > SCATTER:
            said.append(f"{backend}: no forecast, the best fit is {cost.residual:.0%} off (root mean square)")
            continue
        said.append(
            f"{backend}: {1e6 * cost.latency:,.0f} us for each message, {1e-9 / cost.per_byte:.3g} GB/s; "
            f"fitted to {cost.rows} rows, {cost.residual:.0%} off (root mean square)"
        )
        largest = max((table for table, _, _ in mine), key=lambda table: table.work)
        for one, row in {one.name: (one, row) for table, one, row in mine if table is largest}.values():
            alone = statistics.median(one.samples)
            foretold = [
                f"{n:,} processes {rounded(1e3 * seconds)} ms (efficiency {alone / n / seconds:.2f})"
                for n in FORECAST
                if n <= largest.samples and (seconds := cost.seconds(alone, n, row, largest))
            ]
            network = f"{largest.samples}x{'-'.join(map(str, largest.layers))}"
            said.append(f"forecast, not measured, {network}, {one.name}: {', '.join(foretold)}")
    return said
