"""What goes wrong on one rank ends all of them, soon, in one line that names the rank, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import equigrad
from equigrad import cli
from equigrad.common.errors import UsageError
from equigrad.common.problem import problem
from equigrad.scale import launch
from equigrad.scale.group import RankError, refuse_others
from equigrad.scale.launch import Local

from .groups import broken, ranks_of, running, trained

pytest.importorskip("mpi4py")


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(OSError, match="No space left on device"):
        Local("numpy", 2)


def test_a_rank_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = "train = rank.Rank.train\nrank.Rank.train = lambda self, *a: 1 / 0 if self.rank else train(self, *a)"
    broken(tmp_path, monkeypatch, change)
    ranks = Local("numpy", 2)
    pids = [*ranks.pids.values()]
    with pytest.raises(RankError, match=r"^rank 1 of 2 raised ZeroDivisionError: division by zero$"):
        trained(ranks, problem("digits"), "float64", "native", 5)
    assert running(pids) == []


@pytest.mark.skipif(not launch.FORKED, reason="each rank loads the framework itself here")
@pytest.mark.needs("jax")
def test_one_process_loads_the_framework_for_all_and_a_rank_that_ends_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(tmp_path, monkeypatch, "rank.Rank.train = lambda self, *a: os._exit(7) if self.rank else time.sleep(60)")
    ranks = Local("jax", 3)
    pids = [*ranks.pids.values()]
    (parent,) = {int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in pids}
    assert set(pids) <= set(ranks_of(parent))
    with pytest.raises(RankError, match=r"^rank [12] of 3 ended with status 7$"):
        trained(ranks, problem("digits"), "float64", "native", 5)
    assert running([parent, *pids]) == []


def test_a_rank_that_cannot_start_is_named_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch, "raise SystemExit('no such thing')")
    with pytest.raises(RankError, match="rank 0 of 2 ended before it began: no such thing"):
        Local("torch", 2)


def test_a_rank_with_other_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = "train = rank.Rank.train\nrank.Rank.train = lambda self, *a: (str(self.rank), *train(self, *a)[1:])"
    broken(tmp_path, monkeypatch, change)
    ranks = Local("numpy", 2)
    try:
        with pytest.raises(RankError, match="rank 1 of 2 holds other weights than rank 0"):
            trained(ranks, problem("digits"), "float64", "native", 1)
    finally:
        ranks.leave()


def test_a_rank_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch, "facts = rank.facts\nrank.facts = lambda p: {**facts(p), 'equigrad': '9.9'}")
    with pytest.raises(UsageError, match=r"rank \d differs from rank 0 in equigrad: 9.9, not "):
        Local("numpy", 2)


def test_a_rank_with_other_data_is_refused() -> None:
    with pytest.raises(UsageError, match="rank 3 differs from rank 0 in data: b, not a"):
        refuse_others(3, {"data": "b"}, {"data": "a"})


@pytest.mark.needs("jax")
def test_ranks_whose_command_was_killed_before_they_met_remove_its_folder(tmp_path: Path) -> None:
    code = f"import os, subprocess, sys, tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
    code += "from equigrad.scale import launch\nlaunch.Local._meet = lambda *_: os.kill(os.getpid(), 9)\n"
    code += "launch.Local('jax', 2)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len([*tmp_path.iterdir()]) == 1, "it was killed too late, or too early"
    until = time.monotonic() + 60
    while any(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_groups_leave_no_file_no_process_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MPICH names what ranks share after its launcher's process number: a killed one would leave that name, and the
    next launcher with that number would not start."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ranks = Local("numpy", 2)
    pids = [*ranks.pids.values()]
    try:
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in pids]
        shared = [line for text in maps for line in text.splitlines() if "/dev/shm/mpich" in line]
        assert len(shared) >= 2
        assert all(line.endswith(" (deleted)") for line in shared)
    finally:
        ranks.leave()
    assert running(pids) == []
    assert list(tmp_path.iterdir()) == []


MEETING = """
import sys
from pathlib import Path
def join(self, *_):
    from mpi4py import MPI
    names = [line.split()[-1] for line in open("/proc/self/maps") if "/dev/shm/mpich" in line]
    Path({folder!r}, str(self.rank)).write_text(" ".join(names))
    MPI.COMM_WORLD.Barrier()
    {then}
    time.sleep(60)
rank.Rank.join = join
"""


@pytest.mark.parametrize("killed", ["a rank", "the command"])
def test_what_is_killed_while_ranks_meet_leaves_no_name(
    killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "names").mkdir()
    if killed == "a rank":
        broken(tmp_path, monkeypatch, MEETING.format(folder=str(folder), then="if self.rank: os.kill(os.getpid(), 9)"))
        with pytest.raises(RankError, match=r"rank \d of 2 was killed, or crashed"):
            Local("numpy", 2)
    else:
        broken(tmp_path, monkeypatch, MEETING.format(folder=str(folder), then="pass"))
        code = "import os\nfrom equigrad.scale import launch\n"
        code += f"launch.RANK = {launch.RANK!r}\n"
        code += "launch.Local._hung = lambda *_: {} if len(os.listdir(FOLDER)) < 2 else os.kill(os.getpid(), 9)\n"
        code += "launch.Local('numpy', 2)"
        assert subprocess.run([sys.executable, "-c", f"FOLDER = {str(folder)!r}\n{code}"]).returncode == -9
    names = {name for path in folder.iterdir() for name in path.read_text().split()}
    assert len([*folder.iterdir()]) == 2
    assert names
    until = time.monotonic() + 20
    while any(map(os.path.exists, names)) and time.monotonic() < until:
        time.sleep(0.05)
    assert [name for name in names if os.path.exists(name)] == []


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "equigrad", "compare", *arguments]


@pytest.mark.parametrize("hurt", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_rank_outlives_the_command(hurt: signal.Signals, tmp_path: Path) -> None:
    arguments = ("digits", "-b", "numpy", "--processes", "3", "--updates", "300", "--arithmetic", "reproducible")
    with subprocess.Popen(
        command(*arguments, "--json", str(tmp_path / "out.json")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            until = time.monotonic() + 60
            while len(ranks_of(process.pid)) < 4 and time.monotonic() < until:  # mpiexec and three ranks
                time.sleep(0.1)
            time.sleep(0.5)  # well into the updates
            pids = ranks_of(process.pid)
            assert len(pids) >= 4
            start = time.monotonic()
            process.send_signal(hurt)
            _, err = process.communicate(timeout=30)
            assert running(pids) == []
            assert time.monotonic() - start < 10, "a second or two are promised; a loaded machine gets more"
        finally:
            process.kill()
    assert process.returncode == (130 if hurt is signal.SIGINT else -9)
    if hurt is signal.SIGINT:
        assert err == "equigrad: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("processes", "line"),
    [
        ("0", "the number of processes must be at least 1, not 0"),
        ("-2", "the number of processes must be at least 1, not -2"),
        ("1,x", "--processes takes whole numbers with commas between, such as 1,2,4, not '1,x'"),
        ("", "--processes takes whole numbers with commas between, such as 1,2,4, not ''"),
        ("1.5", "--processes takes whole numbers with commas between, such as 1,2,4, not '1.5'"),
        ("5", "4 samples cannot be shared among 5 processes: each needs at least one"),
    ],
    ids=["none", "negative", "no number", "nothing", "a part of one", "more than samples"],
)
def test_bad_numbers_of_processes_are_refused(
    processes: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", command("one-layer", "--processes", processes)[2:])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, *capsys.readouterr()) == (2, "", f"equigrad: {line}\n")


def test_watching_goes_with_one_process_alone() -> None:
    with pytest.raises(UsageError, match="leave out --processes or --watch"):
        equigrad.compare("one-layer", ["numpy"], processes=[2], watch=1)


def test_without_mpi4py_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    task = equigrad.problem("one-layer").with_(updates=20)
    result = equigrad.compare(task, ["numpy"], arithmetic="reproducible", processes=[1, 2])
    assert [run.outcome for run in result.runs] == ["identical", "missing"]
    assert result.runs[1].message == "NumPy over processes needs mpi4py: pip install 'equigrad[processes]'"
    assert result.missing(["numpy"]) == ["numpy"]


def test_without_sockets_of_the_system_itself_as_on_windows_no_process_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    task = equigrad.problem("one-layer").with_(updates=20)
    result = equigrad.compare(task, ["numpy"], arithmetic="reproducible", processes=[1, 2])
    assert [run.outcome for run in result.runs] == ["identical", "missing"]
    assert result.runs[1].message == "several processes are started on Linux and macOS only"


@pytest.mark.needs("jax")
def test_where_somebody_took_the_port_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free = launch.free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(launch, "free_port", lambda: next(ports, None) or free())
        Local("jax", 2).leave()
        assert next(ports, None) is None


def test_where_every_port_is_taken_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = "rank.engine = print\nrank.Rank.join = lambda *_: exec('raise OSError(\"Address already in use\")')"
    broken(tmp_path, monkeypatch, change)
    monkeypatch.setattr(launch, "TRIES", 2)
    with pytest.raises(RankError, match="rank 0 of 1 tried 2 ports, and each was in use"):
        Local("torch", 1)


def test_one_table_has_all_processes_and_json_says_how_many(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("digits", "-b", "numpy", "--updates", "20", "--processes", "1,2", "--json", str(out))
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=True)
    runs = json.loads(out.read_text())["runs"]
    assert [(run["arithmetic"], run["processes"]) for run in runs] == [
        ("reproducible", 1), ("reproducible", 2), ("native", 1), ("native", 2),
    ]  # fmt: skip
    assert [run["outcome"] for run in runs] == ["identical", "identical", "identical", "agree"]
    assert "numpy on 1 and 2 processes, one SHA-256" in " ".join(done.stdout.split())
    for run in runs:
        assert f"{run['weights_sha256'][:12]}…" in done.stdout
