"""The clock, the gate and the processes. No test here needs a quiet machine."""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import spawn
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad.backends import load
from equigrad.backends.interface import Backend
from equigrad.bench import clock, sizes, worker
from equigrad.bench.clock import Row, Table, measure, ratio, verdict
from equigrad.bench.contestants.roster import NULL, backends
from equigrad.bench.worker import Worker
from equigrad.bench.workload import Arrays, Contestant, Workload
from equigrad.common.agreement import Disagreement
from equigrad.common.machine import cores
from equigrad.common.problem import problem
from equigrad.common.ulp import sha256

ROUNDS = 3


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload.of(problem("one-layer").with_(updates=200), "float64")


@pytest.fixture(scope="module")
def warm_workers(warm: Callable[..., str]) -> Iterator[None]:
    """Each worker is a fork of a process that has made their imports."""
    python = spawn.get_executable()
    spawn.set_executable(warm("equigrad.bench.worker", "equigrad.bench.contestants.backend"))
    yield
    spawn.set_executable(python)


@pytest.fixture(scope="module")
def table(workload: Workload, warm_workers: None) -> Table:
    """Every wrong backend beside right ones, in one measurement."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        names = (
            "Right",
            "OneMissing",
            "Random",
            "OtherDtype",
            "NotANumber",
            "Crashing",
            "Raising",
            "Greedy",
            "Stale",
            "Late",
        )
        absent = Contestant("Absent", "peer", "peers:trask", (), ("not_installed_here",))
        submodule = Contestant("Submodule", "peer", "peers:trask", (), ("not_installed_here.part",))
        sizes = Contestant("Unfit", "floor", "floors:c", (True,))
        field = [*backends([f"bench_backends:{name}" for name in names], ["native"]), absent, submodule, NULL]
        found = measure(workload, field, rounds=ROUNDS)
        found.rows += measure(workload, backends(["bench_backends:Hanging"], ["native"]), rounds=1, patience=2).rows
        wide = Workload.of(problem("digits").with_(updates=1), "float64")
        found.rows += measure(wide, [sizes], rounds=1).rows
    return found


def row_of(table: Table, name: str) -> Row:
    row = table.row(f"bench_backends:{name}") or table.row(name)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        pytest.param("OneMissing", "disagree", "after 1 update", id="one update missing is refused"),
        pytest.param("Random", "nondeterministic", "other bits", id="other bits in another run are refused"),
        pytest.param("OtherDtype", "wrong-dtype", "an array of float32 - expected", id="another dtype is refused"),
        pytest.param("NotANumber", "disagree", "NaN", id="NaN is refused"),
        pytest.param("Crashing", "failed", "killed by SIGKILL", id="a crash is a row"),
        pytest.param(
            "Hanging", "failed", "no answer within 2 s: it hangs, or needs more --patience", id="a hang is a row"
        ),
        pytest.param(
            "Raising", "failed", "train raised ZeroDivisionError: no luck", id="an exception is a row of one line"
        ),
        pytest.param("Stale", "disagree", "after 5 updates", id="what was kept for other first weights is refused"),
        pytest.param("Late", "disagree", "after 1 update", id="what is computed once the clock has stopped is refused"),
        pytest.param("Absent", "missing", "pip install not_installed_here", id="a missing peer is a row"),
        pytest.param("Submodule", "missing", "pip install not_installed_here", id="a missing peer's module is a row"),
        pytest.param("Unfit", "unsuitable", "small layers", id="an unsuitable problem is a row"),
    ],
)
def test_no_number_without_agreement(table: Table, name: str, outcome: str, words: str) -> None:
    row = row_of(table, name)
    assert (row.outcome, row.samples) == (outcome, [])
    assert words in row.message
    assert "\n" not in row.message


@pytest.mark.parametrize("patience", [1e10, float("inf")])
def test_patience_may_be_without_limit(patience: float, workload: Workload) -> None:
    (row,) = measure(workload, [NULL], rounds=1, patience=patience).rows
    assert row.timed, row.message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_worker_in_the_middle_of_a_run_ends_when_its_parent_is_killed() -> None:
    code = (
        "from equigrad.bench.contestants.roster import backends\nfrom equigrad.bench.worker import Worker\n"
        "from equigrad.bench.workload import Workload\nfrom equigrad.common.problem import problem\n"
        "if __name__ == '__main__':\n"
        "    child = Worker(backends(['bench_backends:Hanging'], ['native'])[0], 1, 60)\n"
        "    child.prepare(Workload.of(problem('one-layer'), 'float64'))\n"
        "    child._pipe.send(('run', (1, 1)))\n"
        "    print(child._process.pid, flush=True)\n"
        "    child._answer()\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 60
    while (alive := running(pid)) and time.monotonic() < until:
        time.sleep(0.05)
    if alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive


def running(pid: int) -> bool:
    """Whether there is that process, and not only what is left of it for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_missing_framework_is_installed_as_everywhere_else_is_said() -> None:
    def absent(state: dict[str, Any], argument: None) -> None:
        raise ModuleNotFoundError("No module named 'jax'", name="jax")

    state = {"contestant": Contestant("jax", "jax", "jax_idioms:from_python", needs=("jax",))}
    assert worker._guarded(absent, state, None) == ("missing", "jax is not installed: pip install 'equigrad[jax]'")


def test_more_threads_than_allowed_are_refused(table: Table) -> None:
    if cores() < 2 or not row_of(table, "Right").threads:
        pytest.skip("one core, or a system that does not limit a process to some")
    row = row_of(table, "Greedy")
    assert (row.outcome, row.samples) == ("failed", [])
    assert "threads where 1 were allowed" in row.message


@pytest.mark.parametrize(
    ("speed", "speeds", "cores", "n", "chosen"),
    [
        pytest.param("", "", "", 2, [4, 5], id="Linux says nothing"),
        pytest.param("cpufreq/cpuinfo_max_freq", "555533", "", 2, [2, 3], id="four fast and two slow"),
        pytest.param("cpu_capacity", "555533", "001123", 2, [1, 3], id="the fast ones are two to a core"),
        pytest.param("cpu_capacity", "333333", "012012", 3, [3, 4, 5], id="equally fast, two to a core"),
        pytest.param("cpu_capacity", "555533", "001123", 9, [0, 1, 2, 3, 4, 5], id="all"),
    ],
)
def test_the_fastest_cpus_are_chosen(
    speed: str, speeds: str, cores: str, n: int, chosen: list[int], tmp_path: Path
) -> None:
    for file, values in (
        (speed, speeds),
        ("topology/core_id", cores),
        ("topology/physical_package_id", "0" * len(cores)),
    ):
        for cpu, value in enumerate(values):
            path = tmp_path / f"cpu{cpu}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
    assert sorted(worker.fastest(set(range(6)), n, tmp_path)) == chosen
    assert worker.fastest({0}, 2, tmp_path) == [0]


def test_the_right_ones_go_on_beside_them_with_one_sample_a_round(table: Table) -> None:
    for name in ("Right", "null"):
        row = row_of(table, name)
        assert row.outcome == "identical", row.message
        assert len(row.samples) == ROUNDS
        assert all(seconds > 0 for seconds in row.samples)
    assert table.base == "bench_backends:Right"
    assert len(table.control) == ROUNDS


def test_the_hash_beside_a_number_is_that_of_its_weights(table: Table, workload: Workload) -> None:
    row = row_of(table, "Right")
    trained = load("numpy").train(workload.weights, workload.x, workload.y, workload.rate, row.updates)
    assert row.weights_sha256 == sha256(trained)
    assert (row.distance, row.max_ulp, row.updates) == (0.0, 0, 200)


def test_first_update_and_preparation_are_kept_apart(table: Table) -> None:
    row = row_of(table, "Right")
    assert row.first_call_seconds is not None
    assert row.second_call_seconds is not None
    assert row.prepare_seconds is not None
    assert row.first_call_seconds not in row.samples


@pytest.mark.slow(but=["seen when"])
@pytest.mark.parametrize("waits", [True, False], ids=["seen when waited for", "missed when not"])
@pytest.mark.parametrize("queue", ["jax", "torch:cuda"], ids=["jax", "torch-cuda"])
def test_work_that_is_still_under_way(
    ready: Callable[..., Backend], workload: Workload, queue: str, waits: bool
) -> None:
    """JAX and CUDA return before they have computed; a known delay on the queue is in the time if it is waited for.

    That it is missed otherwise proves that there was something to miss.
    """
    ready(queue)
    delay = 0.2
    framework, _, device = queue.partition(":")
    maker = f"{framework}_idioms:delayed"
    contestant = Contestant("delayed", "peer", maker, (delay, waits), (framework,), device=device or "cpu")
    child = Worker(contestant, threads=1, patience=60)
    try:
        child.prepare(workload)
        child.run(1)  # compiles
        seconds, _ = child.run(1)
    finally:
        child.close()
    assert (seconds >= delay) is waits


def test_ctrl_c_keeps_the_rounds_that_are_complete(workload: Workload) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("timing", 4):  # two laps to a round: the row and its control
            raise KeyboardInterrupt

    table = measure(workload, backends(["numpy"], ["native"]), rounds=5, progress=interrupt)
    assert table.interrupted
    assert len(row_of(table, "numpy").samples) == 2
    assert verdict(table).startswith("interrupted")


def synthetic(control: list[float], **rows: list[float]) -> Table:
    table = Table("synthetic", "float64", 4, [3, 1], 10, 1, len(control), 24, 1, base="one", control=control)
    table.rows = [Row(name, "backend", outcome="agree", samples=samples) for name, samples in rows.items()]
    return table


def test_a_ratio_is_taken_within_each_round_so_a_slow_machine_cancels() -> None:
    slow = [1, 1.6, 1, 1.6, 1.6]
    found = ratio([3 * s for s in slow], slow)
    assert (found.median, found.low, found.high) == pytest.approx((3, 3, 3))
    assert statistics.median([3 * s for s in slow]) / statistics.median(sorted(slow)[:3]) != pytest.approx(3)


@pytest.mark.parametrize(
    ("control", "one", "two", "words"),
    [
        pytest.param([1.0, 1.01, 0.99], [1, 1, 1], [2, 2, 2], "fastest backend: one;", id="quiet and far apart"),
        pytest.param([1.0, 1.01, 0.99], [1, 1, 1], [1.1, 0.9, 1.0], "two within the noise", id="quiet and close"),
        pytest.param([1.0, 1.5, 0.7], [1, 1, 1], [2, 2, 2], "too noisy to rank", id="a control that scatters"),
        pytest.param([1.3, 1.3, 1.3], [1, 1, 1], [2, 2, 2], "too noisy to rank", id="a control that drifts"),
        pytest.param([], [1, 1, 1], [2, 2, 2], "no control was timed, so nothing is ranked", id="no control"),
        pytest.param([1.0], [1], [2], "one round does not show the noise, so nothing is ranked", id="one round"),
    ],
)
def test_the_verdict_respects_the_noise(control: list[float], one: list[float], two: list[float], words: str) -> None:
    assert words in verdict(synthetic(control, one=one, two=two))


@pytest.mark.parametrize(
    ("samples", "warm"),
    [
        pytest.param([1.0, 1.0, 1.1], True, id="a first round like the others"),
        pytest.param([3.0, 1.0, 1.1], False, id="a slow first round"),
    ],
)
def test_a_cold_first_round_is_told(samples: list[float], warm: bool) -> None:
    assert Row("r", "backend", samples=samples).warm is warm


@pytest.mark.parametrize(("updates", "lengths"), [(60_000, [5, 6, 60, 600, 6_000, 60_000]), (1, [1]), (25, [5, 25])])
def test_runs_are_the_problems_updates_or_a_power_of_ten_fewer_but_never_fewer_than_five(
    updates: int, lengths: list[int]
) -> None:
    assert clock.ladder(updates) == lengths


@pytest.mark.parametrize(("framework", "updates"), [("torch", clock.LEAST), ("numpy", clock.RECORDED)])
def test_no_run_is_too_short_for_a_tape(framework: str, updates: int) -> None:
    """Or a row would show under its name what is not recorded."""
    tape = pytest.importorskip(f"equigrad.backends.tape.{framework}_tape")
    assert max(least for _, least in tape.LEAST) <= updates


def heated(
    seconds: Callable[[int], float], workload: Workload, monkeypatch: pytest.MonkeyPatch, train: bool = True
) -> clock.Row:
    """The row of a backend whose runs of n updates take `seconds(n)`, warmed up."""

    class Slow:
        import_seconds = 0.1

        def __init__(self, *_: Any) -> None: ...
        def prepare(self, workload: Workload) -> float:
            return 0.1

        def run(self, n: int, repeats: int = 1) -> tuple[float, Any]:
            given = (workload.weights, workload.x, workload.y, workload.rate)
            return seconds(n), load("numpy").train(*given, n * train)

        def facts(self) -> dict[str, Any]:
            return dict.fromkeys(("peak_bytes", "transfer_seconds")) | {"threads": {}, "versions": {}, "precision": {}}

        def close(self) -> None: ...

    monkeypatch.setattr(clock, "Worker", Slow)
    heat = clock.Heat(backends(["numpy"], ["native"])[0], clock.Gate(workload))
    heat.start(workload, 1, 60)
    assert heat.row.outcome == "identical", heat.row.message
    return heat.row


@pytest.mark.parametrize(
    ("unseen", "outcome", "message"),
    [
        pytest.param([0.3, 0.3, 0.3], "failed", "takes 0.3 s .* 0.01 s otherwise: it keeps results", id="thirty times"),
        pytest.param([0.3, 0.2, 0.09], "identical", "", id="thirty times, then nine times"),
    ],
)
def test_a_backend_that_is_much_slower_from_weights_it_has_not_seen_keeps_results(
    unseen: list[float], outcome: str, message: str, workload: Workload
) -> None:
    class Keeping:
        weights = workload.weights

        def begin(self, weights: Arrays) -> None:
            self.weights = weights

        def run(self, n: int) -> tuple[float, Arrays]:
            return times.pop(0), trained(replace(workload, weights=self.weights), n)

        def close(self) -> None: ...

    times = [0.0, *unseen]
    heat = clock.Heat(backends(["numpy"], ["native"])[0], clock.Gate(workload))
    heat.worker, heat.row.samples, heat.row.updates, heat.row.outcome = Keeping(), [1e-4], 100, "identical"  # type: ignore[assignment]
    heat.renew([clock.Gate(replace(workload, weights=weights)) for weights in clock.other_weights(workload)])
    assert heat.row.outcome == outcome
    assert re.search(message, heat.row.message)


def test_a_run_that_compiled_does_not_keep_the_runs_short(monkeypatch: pytest.MonkeyPatch, workload: Workload) -> None:
    """On a busy machine one update took long, and the first run of each length compiles for two seconds."""
    seen: set[int] = set()

    def seconds(n: int) -> float:
        compiling = n not in seen
        seen.add(n)
        return 0.06 if n == 1 else n * 1e-5 + 2.0 * compiling

    assert heated(seconds, workload, monkeypatch).updates == workload.updates


def test_runs_are_long_enough_for_a_tape_that_short_ones_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond for each update until there are a hundred, as of PyTorch's reproducible ones, then 70 us."""
    workload = Workload.of(problem("two-layer").with_(updates=6_000), "float64")
    row = heated(lambda n: n * (1.05e-3 if n < 100 else 7e-5), workload, monkeypatch)
    assert row.updates >= 600


@pytest.mark.parametrize("scale", [0.3, 1, 3, 10, 30])
@pytest.mark.parametrize(
    ("once", "slope"),
    [(0.0, 5e-6), (3e-3, 6e-6), (3e-3, 3e-5), (2e-5, 4e-8), (1e-2, 1e-3), (0.0, 0.1)],
    ids=["nothing", "PyTorch native", "PyTorch reproducible", "JAX", "wide", "large"],
)
def test_what_is_done_once_is_kept_apart_however_slow_the_machine(
    once: float, slope: float, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the row is marked: its runs would take too long."""
    workload = Workload.of(problem("one-layer"), "float64")
    monkeypatch.setattr(clock.Gate, "check", lambda gate, row, *_: setattr(row, "outcome", "identical"))
    row = heated(lambda n: scale * (once + n * slope), workload, monkeypatch, train=False)
    row.samples = [scale * (once / row.updates + slope)]
    assert row.settled is (once <= 0.05 * (once + row.updates * slope))
    assert row.once_seconds == pytest.approx(scale * once, abs=1e-9)
    assert row.settled or 20 * row.updates * scale * slope > clock.LONGEST
    if row.settled:
        assert row.samples[0] == pytest.approx(scale * slope, rel=0.06)
    assert row.samples[0] * row.updates <= clock.LONGEST or row.updates == clock.LEAST


def test_a_single_length_says_nothing_of_what_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    row = heated(lambda n: 0.1 * n, Workload.of(problem("one-layer").with_(updates=1), "float64"), monkeypatch)
    assert (row.once_seconds, row.settled) == (None, False)


def test_other_bits_are_refused_where_a_run_is_one_update_too() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        once = Workload.of(problem("one-layer").with_(updates=1), "float64")
        (row,) = measure(once, backends(["bench_backends:Random"], ["native"]), rounds=5).rows
    assert (row.outcome, row.samples) == ("nondeterministic", [])


@pytest.fixture(scope="module")
def sluggish() -> Workload:
    """Three updates move its float32 weights by less than the bound."""
    return replace(Workload.of(sizes.sized(64, (64, 64, 4)), "float32"), rate=2.0**-20, updates=3)


def trained(workload: Workload, n: int) -> Arrays:
    found: Arrays = load("numpy", workload.dtype).train(workload.weights, workload.x, workload.y, workload.rate, n)
    return found


def untouched(workload: Workload) -> Arrays:
    return workload.weights


def one_missing(workload: Workload) -> Arrays:
    return trained(workload, 2)


def off_by_three_percent(workload: Workload) -> Arrays:
    right = trained(workload, 3)
    return tuple((r + 0.03 * (np.float64(r) - w)).astype(r.dtype) for r, w in zip(right, workload.weights, strict=True))


def rounded_otherwise(workload: Workload) -> Arrays:
    return tuple(np.nextafter(w, np.float32(2)) for w in trained(workload, 3))


@pytest.mark.parametrize(
    ("result", "rate", "right"),
    [
        pytest.param(untouched, 2.0**-21, False, id="weights that are returned untouched are refused"),
        pytest.param(one_missing, 2.0**-21, False, id="a missing update is refused"),
        pytest.param(off_by_three_percent, 2.0**-17, False, id="a gradient that is off by three percent is refused"),
        pytest.param(rounded_otherwise, 2.0**-21, True, id="the last bit of every weight may differ"),
    ],
)
def test_what_is_allowed_is_less_than_what_little_training_moves(
    result: Callable[[Workload], Arrays], rate: float, right: bool, sluggish: Workload
) -> None:
    gate, row = clock.Gate(replace(sluggish, rate=rate)), Row("r", "backend")
    assert gate.shows("native", 3)
    with nullcontext() if right else pytest.raises(Disagreement, match="is allowed") as refused:
        gate.check(row, "weights", result(gate.workload), 3)
    assert refused is None or refused.value.outcome == "disagree"
    assert row.moved is not None
    assert row.moved < 5e-5


@pytest.mark.parametrize(
    ("updates", "timed"),
    [
        pytest.param(5, 0, id="inconclusive if the problem has no more updates"),
        pytest.param(5_000, 50, id="and otherwise longer than the time would allow"),
    ],
)
def test_runs_are_long_enough_for_a_mistake_to_show(
    updates: int, timed: int, sluggish: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = replace(sluggish, rate=2.0**-27, updates=updates)
    if timed:
        assert heated(lambda n: 1.0 * n, still, monkeypatch).updates == timed
    else:
        with pytest.raises(AssertionError, match=r"5 updates move the weights by .* give more --updates"):
            heated(lambda n: 1.0 * n, still, monkeypatch)
