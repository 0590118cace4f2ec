"""Long work says how long it will take, also where no progress bar can be shown."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equigrad import cli, compare, console, problem
from equigrad.common.files import write_json


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the next look at the clock shows."""
    now = [0.0]
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    return now


def test_work_of_more_than_a_minute_is_announced_once_after_its_first_stretch(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress() as report:
        report("numpy native", 1_000, 10_000_000)
        assert capsys.readouterr().err == ""  # the first stretch pays for compilers
        for done in (2_000, 3_000):
            clock[0] += 1
            report("numpy native", done, 10_000_000)
    assert capsys.readouterr().err == "equigrad: numpy native: about 3 hours to go\n"


def test_longer_work_is_announced_again_every_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as report:
        for done in range(10):
            report("timing", done, 9)
            clock[0] += 30
    assert capsys.readouterr().err.splitlines() == [
        f"equigrad: timing: about {left} to go" for left in ("4 minutes", "3 minutes", "2 minutes", "60 seconds")
    ]


def test_the_same_work_begun_again_is_estimated_anew(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as report:
        for _ in range(2):
            for done in range(0, 60, 2):
                report("trying networks", done, 60)
                clock[0] += 2
    assert capsys.readouterr().err == ""


def test_short_work_is_not(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as report:
        for done in (100, 200, 300):
            report("numpy native", done, 1_000)
            clock[0] += 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("encoding", "block"), [("utf-8", "█"), ("ascii", "#"), ("latin-1", "#")])
def test_bars_are_drawn_with_what_there_is_in(encoding: str, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    assert console.bar(1.0, [0.1, 1.0]) == console.BAR * block


@pytest.mark.slow(but=["a mistake", "a report of a failure"])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("--help", 0),
        ("compare --help", 0),
        ("check nonsense", 2),
        ("report right.json -b numpy", 0),
        ("report failed.json -b numpy", 1),
    ],
    ids=["help", "help on a command", "a mistake", "a report of one right run", "a report of a failure"],
)
@pytest.mark.slow(but=["help", "mistake", "right run"])
def test_the_status_is_the_same_where_nobody_reads(arguments: str, status: int, tmp_path: Path) -> None:
    found = compare(problem("one-layer").with_(updates=1), ["numpy"], arithmetic="native").to_json()
    write_json(tmp_path / "right.json", found)
    write_json(tmp_path / "failed.json", {**found, "runs": [{**run, "outcome": "failed"} for run in found["runs"]]})
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "equigrad", *arguments.split()],
            cwd=tmp_path,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, b"Traceback" in done.stderr, b"Broken" in done.stderr) == (status, False, False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(75, "75 seconds"), (200, "3 minutes"), (3 * 3600, "3 hours"), (1e6, "12 days"), (1e12, "31,688 years")],
    ids=["seconds", "minutes", "hours", "days", "years"],
)
def test_durations_are_told_in_the_unit_that_fits_for(seconds: float, words: str) -> None:
    assert console.duration(seconds) == words


def test_a_command_whose_messages_nobody_reads_does_not_end_as_if_it_were_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        try:
            raise BrokenPipeError
        except BrokenPipeError as error:
            raise SystemExit(1) from error  # as rich makes of it

    monkeypatch.setattr(cli, "_whole", lambda: broken)
    for arguments, status in ((["compare"], 1), (["compare", "--help"], 0), ([], 0)):
        monkeypatch.setattr(sys, "argv", ["equigrad", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == status
