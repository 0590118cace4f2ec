"""Results of several machines side by side."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from equigrad.bench import hardware
from equigrad.bench.clock import Row, Table
from equigrad.bench.pages import picture, view
from equigrad.bench.results import Result
from equigrad.common.errors import UsageError

HASH = "ab" * 32


def made(seconds: float, device: str = "cpu", digest: str = HASH, **passport: str) -> Result:
    at = "" if device == "cpu" else f":{device}"
    table = Table("one-layer", "float64", 4, [3, 1], 10, 1, 3, 24, 400, base="numpy", control=[1.0, 1.0, 1.0])
    table.rows = [
        Row("null", "floor", outcome="identical", samples=[1e-9] * 3),
        Row("numpy", "backend", outcome="identical", samples=[seconds] * 3, updates=10, weights_sha256="cd" * 32),
        Row(f"torch{at} reproducible", "backend", "reproducible", outcome="identical", samples=[4 * seconds] * 3,
            updates=10, weights_sha256=digest, device=device),
        Row("keras", "peer", outcome="missing", message="keras is not installed"),
    ]  # fmt: skip
    machine = {"processor": "A", "cores": 2, "versions": {"numpy": "2.4"}, "equigrad": "0.1.0"}
    return Result([table], machine | passport, "equigrad bench")


def written(folder: Path, **results: Result) -> list[Path]:
    files = [folder / f"{name}.json" for name in results]
    for file, result in zip(files, results.values(), strict=True):
        file.write_text(json.dumps(result.to_json()))
    return files


def test_each_machine_and_device_is_a_column_with_ratios_to_the_first(tmp_path: Path) -> None:
    server = made(5e-7, "cuda")
    server.tables[0].rows.append(made(5e-7).tables[0].rows[2])
    server.passport["backends"] = {"torch:cuda": {"gpus": ["H9"]}}
    (sheet,) = hardware.merge(written(tmp_path, laptop=made(1e-6), server=server)).sheets
    assert [(place.file, place.device) for place in sheet.places] == [
        ("laptop", "cpu"), ("server", "cpu"), ("server", "cuda")
    ]  # fmt: skip
    assert sheet.places[2].about == "H9; numpy 2.4"
    assert sheet.times_first("numpy") == [1, 0.5, None]
    assert sheet.times_first("torch reproducible") == [1, 0.5, 0.5]
    assert set(sheet.rows) == {"numpy", "torch reproducible"}


@pytest.mark.parametrize(("digest", "findings"), [(HASH, 0), ("ef" * 32, 1)], ids=["the same hash", "another hash"])
def test_only_reproducible_rows_with_other_weights_are_a_finding(tmp_path: Path, digest: str, findings: int) -> None:
    other = made(1e-6, digest=digest)
    other.tables[0].rows[1].weights_sha256 = "12" * 32  # native weights may differ
    found = hardware.merge(written(tmp_path, laptop=made(1e-6), server=other))
    assert len(found.findings) == findings
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view.hardware(found))
    assert ("≠" in capture.get()) is bool(findings)
    assert ("the same weights" in capture.get()) is not bool(findings)


def test_weights_after_other_numbers_of_updates_in_a_run_are_not_compared(tmp_path: Path) -> None:
    other = made(1e-6, digest="ef" * 32)
    other.tables[0].rows[2].updates = 5
    assert hardware.merge(written(tmp_path, laptop=made(1e-6), server=other)).findings == []


def test_runs_of_other_lengths_are_told(tmp_path: Path) -> None:
    other = made(1e-6)
    other.tables[0].rows[1].updates = 21
    found = hardware.merge(written(tmp_path, a=made(1e-6), b=made(1e-6), c=other))
    assert found.cautions == ["numpy, one-layer float64: runs of 10 and 21 updates on a cpu and c cpu"]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view.hardware(found))
    assert all(line in capture.get() for line in found.cautions)


def test_what_cannot_be_compared_is_left_out_with_one_line_each(tmp_path: Path) -> None:
    longer = made(1e-6)
    longer.tables[0].updates = 20
    files = written(tmp_path, a=made(1e-6), b=made(1e-6), c=longer, d=made(1e-6, equigrad="0.2.0"))
    found = hardware.merge(files)
    assert found.left_out == [
        "d is left out: made by equigrad 0.2.0, a by 0.1.0",
        "one-layer float64 of c is left out: 20 updates, in a 10",
    ]
    assert [place.file for place in found.sheets[0].places] == ["a", "b"]
    with pytest.raises(UsageError, match=r"20 updates, in a 10; --merge: no problem was timed in two places"):
        hardware.merge([files[0], files[2]])


@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 100_000, "is not JSON"), ("{}", "not a result of equigrad bench"), ("schema", "has schema 99")],
    ids=["too deep", "no result", "another schema"],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, words: str) -> None:
    first, second = written(tmp_path, a=made(1e-6), b=made(1e-6))
    second.write_text(json.dumps(made(1e-6).to_json() | {"schema": 99}) if text == "schema" else text)
    with pytest.raises(UsageError, match=words):
        hardware.merge([first, second])
    with pytest.raises(UsageError, match="the same file is given twice"):
        hardware.merge([first, first])
    with pytest.raises(UsageError, match="the same file is given twice"):
        hardware.merge([first, tmp_path / "folder" / ".." / first.name])


def test_the_command_shows_and_draws_them_and_ends_with_1_on_a_finding(command_line: Any, tmp_path: Path) -> None:
    files = written(tmp_path, a=made(1e-6), b=made(2e-6, digest="ef" * 32))
    done = command_line("bench", "--merge", *files, "--plot", "hardware.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "torch reproducible, one-layer float64: other weights on b cpu" in done.stdout
    assert "b cpu" in (tmp_path / "hardware.html").read_text()


def test_what_was_typed_and_would_be_ignored_is_named(command_line: Any, tmp_path: Path) -> None:
    """Also where it is the default, or nothing."""
    done = command_line(
        "bench", "--merge", "a.json", "--rounds", "7", "--threads", "0", "--json", "b.json", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.endswith("times nothing: leave out --rounds, --threads, --json\n")


@pytest.mark.needs("plotly")
def test_the_picture_has_a_bar_for_each_row_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(picture, "save", lambda figure, path, below: drawn.append(figure))
    other = copy.deepcopy(made(2e-6))
    picture.write_hardware(hardware.merge(written(tmp_path, a=made(1e-6), b=other)), tmp_path / "x.html")
    bars = {bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in drawn[0].data}
    assert bars["a cpu"] == pytest.approx({"numpy, train": 1, "torch reproducible, train": 4})
    assert bars["b cpu"] == pytest.approx({"numpy, train": 2, "torch reproducible, train": 8})
