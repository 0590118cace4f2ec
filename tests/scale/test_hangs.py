"""A rank that hangs ends all of them, in one line that names it; where all stood still none is named."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from equigrad.common.problem import problem
from equigrad.scale import launch
from equigrad.scale.group import RankError
from equigrad.scale.launch import Local
from length import at_length

from .groups import broken, failing, needing, running, trained

pytest.importorskip("mpi4py")
SPECS = ("numpy", "torch", "jax")


def test_a_rank_that_stands_still_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 2.0)
    ranks = Local("numpy", 2)
    pids = [*ranks.pids.values()]
    text, _ = failing(ranks, "SIGSTOP")
    assert text == "rank 1 of 2 hangs: no sign of life for 2 seconds"
    assert running(pids) == []


def test_no_rank_is_named_where_all_processes_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is paused; the ranks wake up a little later than this process."""
    monkeypatch.setattr(launch, "PATIENCE", 1.0)
    monkeypatch.setattr(launch, "STANDSTILL", 0.5)
    ranks = Local("numpy", 2)
    looks = count()

    def signalled(number: int) -> None:
        for pid in ranks.pids.values():
            os.kill(pid, number)

    def standing_still(*given: Any) -> Any:
        if next(looks) == 0:
            signalled(signal.SIGSTOP)
            time.sleep(3)
            Timer(0.4, signalled, [signal.SIGCONT]).start()
        return wait(*given)

    monkeypatch.setattr(launch, "wait", standing_still)
    try:
        assert len(trained(ranks, problem("digits"), "float64", "native", 5)) == 2
        assert next(looks) > 2
    finally:
        ranks.leave()


def test_patience_fits_into_the_ten_seconds_promised() -> None:
    assert launch.PATIENCE + launch.GRACE < 10


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, marks=needing(spec)) for spec in at_length(SPECS, short=SPECS[:2])]
)
def test_a_rank_for_which_all_others_wait_is_named(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PATIENCE", 3.0)
    change = (
        "train = rank.Rank.train\nrank.Rank.train = lambda self, *a: (time.sleep(600 * self.rank), train(self, *a))[1]"
    )
    broken(tmp_path, monkeypatch, change)
    ranks = Local(spec, 2)
    pids = [*ranks.pids.values()]
    with pytest.raises(RankError, match=r"rank 1 of 2 hangs: the others have waited for it for \d+ seconds"):
        trained(ranks, problem("digits"), "float64", "native", 5)
    assert running(pids) == []
