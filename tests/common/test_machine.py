"""What is read off the machine, and off the container that it may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from equigrad.common import machine


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("150000 100000", 1), ("300000 100000", 3), ("50000 100000", 1), ("max 100000", 8), ("9900000 100000", 8)],
    ids=["one and a half", "three", "half of one", "no limit", "more than there are"],
)
def test_cores_are_those_that_the_container_may_use(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine.machine()["cores"] == expected


def test_what_chooses_vector_units_is_in_the_passport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert machine.machine()["vector_variables"]["ATEN_CPU_CAPABILITY"] == "default"
