"""A plug-in for pytest: a benchmark of two rounds, where the time itself is of no interest."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    item.module.ROUNDS = 2  # type: ignore[attr-defined]
