"""Sizes, stored results, comparisons, the page made from them and the command."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, Group, RenderableType

from equigrad.bench import calls, headline, process, results, sizes, suite, targets
from equigrad.bench.clock import Row, Table, rounded
from equigrad.bench.contestants import roster
from equigrad.bench.pages import document, picture, view
from equigrad.bench.process import Process
from equigrad.bench.results import Result
from equigrad.bench.workload import Workload
from equigrad.common import headline as rows
from equigrad.common.agreement import Disagreement
from equigrad.common.crossings import crossings
from equigrad.common.errors import MissingError, UsageError
from equigrad.common.problem import problem

DOCS = Path(__file__).parents[2] / "docs"
README = DOCS.parent / "README.md"


def text(renderable: RenderableType) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def made(numpy: list[float], torch: list[float], **passport: Any) -> Result:
    table = Table("one-layer", "float64", 4, [3, 1], 10, 1, len(numpy), 24, 400, base="numpy", control=[1.0, 1.0, 1.0])
    table.rows = [
        Row("numpy", "backend", outcome="identical", samples=numpy, updates=10, first_call_seconds=1e-3, distance=0.0),
        Row("torch", "backend", outcome="agree", samples=torch, updates=10, weights_sha256="ab" * 32, distance=1e-16),
        Row("keras", "peer", outcome="missing", message="keras is not installed"),
    ]
    machine = {"processor": "A", "cores": 2, "python": "3.12", "versions": {"numpy": "2.4"}, "equigrad": "0.1.0"}
    return Result([table], machine | passport, "equigrad bench")


@pytest.fixture
def result() -> Result:
    return made([1e-6, 1.1e-6, 1e-6], [4e-6, 4.2e-6, 4.1e-6])


def test_results_go_to_json_and_back(result: Result) -> None:
    data = json.loads(json.dumps(result.to_json()))
    assert Result.from_json(data) == result


def test_whole_processes_go_to_json_and_back_too(result: Result) -> None:
    result.process, result.interrupted = whole([3.0, 3.1], [2.0, 2.1]), True
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_what_each_call_costs_is_measured_kept_and_shown(result: Result, tmp_path: Path) -> None:
    found = calls.measure(Workload.of(problem("one-layer"), "float64"), "numpy", 2)
    assert len(found.names) == len(found.seconds) == 11
    assert all(len(samples) == 2 for _, samples in view.call_rows(found))
    result.calls = [found]
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
    shown = text(view.everything(result, with_anatomy=True))
    path = tmp_path / "small.json"
    path.write_text(json.dumps(result.to_json()))
    for line in ("exp -> 4x1", "dot -> 3x1", "these 11 calls together", "the seed's own loop"):
        assert line in shown
        assert line in document.document([path])


def test_a_call_that_gives_other_bits_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_elsewhere", lambda call: call)  # so it changes what the update works on
    with np.errstate(all="ignore"), pytest.raises(Disagreement, match="other bits"):
        calls.measure(Workload.of(problem("one-layer"), "float64"), "numpy", 2)


def test_calls_without_times_say_why(result: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And what was measured besides is kept."""

    def differing(*_: Any) -> Any:
        raise Disagreement("nondeterministic", "numpy: other bits than train")

    monkeypatch.setattr(suite, "_elsewhere", differing)
    result.calls = suite._calls(Workload.of(problem("one-layer"), "float64"), ["numpy", "jax"], 2)
    assert "no times of numpy's calls: numpy: other bits than train" in text(view.everything(result, with_anatomy=True))
    path = tmp_path / "small.json"
    path.write_text(json.dumps(result.to_json()))
    assert "No times: numpy: other bits than train" in document.document([path])


def whole(compare: list[float], alone: list[float], **more: Any) -> Process:
    return Process("one-layer", ["numpy"], compare, alone, **({"outcome": "identical"} | more))


def test_pytest_benchmark_reads_the_file(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result.to_json()))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=median,rounds"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout
    assert "keras" not in done.stdout


def test_a_saved_result_is_found_by_its_name(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results.save(result, "before")
    later = copy.deepcopy(result)
    later.made = "later"
    results.save(later, "before")
    assert results.load("before") == later


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("no json", "is not JSON: .* line 1", id="no JSON"),
        pytest.param("[]", "not a result of equigrad bench", id="JSON of another kind"),
        pytest.param('{"kind": "bench", "schema": 1}', "another layout", id="a part is missing"),
        pytest.param("[" * 100_000, "is not JSON", id="too deep"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words) as caught:
        results.load(str(path))
    assert "--against" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param(["machine_info"], None, "'machine_info' is None", id="no machine"),
        pytest.param(["machine_info", "versions"], "x", "'machine_info.versions' is no object", id="versions in words"),
        pytest.param(["machine_info", "backends"], {"a": {"gpus": 1}}, "'gpus' is no list", id="a number of GPUs"),
        pytest.param(["tables", 0, "layers"], None, "'tables[0].layers' is no list", id="no layers"),
        pytest.param(["tables", 0, "control", 1], "x", "'tables[0].control[1]' is 'x'", id="a control in words"),
        pytest.param(["tables", 0, "rows", 0, "updates"], 1.5, "'tables[0].rows[0].updates' is 1.5", id="half updates"),
        pytest.param(["process"], {"problem": 1, "backends": []}, "'process.problem' is 1", id="a problem in numbers"),
        pytest.param(["benchmarks", 0, "stats"], [], "'benchmarks[0].stats' is no object", id="no samples"),
    ],
)
def test_a_result_with_a_part_of_another_kind_is_refused_before_anything_is_timed(
    path: list[Any], value: Any, words: str, result: Result, tmp_path: Path, command_line: Any
) -> None:
    data = part = json.loads(json.dumps(result.to_json()))
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    (tmp_path / "bad.json").write_text(json.dumps(data))
    for options in (["--merge", "bad.json"], ["--against", "bad.json"]):
        done = command_line("bench", *options, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"equigrad: 'bad.json' has another layout (schema 1): {words}\n"


def test_times_of_a_row_that_did_not_agree_are_left_in_the_file(result: Result) -> None:
    data = json.loads(json.dumps(result.to_json()))
    data["tables"][0]["rows"][1]["outcome"] = "disagree"
    assert [row.name for row in Result.from_json(data).tables[0].timed] == ["numpy"]


def test_another_schema_is_compared_with_a_warning(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(result.to_json() | {"schema": 99}))
    assert results.load(str(path)) == result
    assert "schema 99" in capsys.readouterr().err


def test_another_machine_is_compared_with_a_warning_that_names_what_differs(result: Result) -> None:
    other = made([1e-6] * 3, [1e-6] * 3, processor="B")
    shown = text(view.against(result, other, "before"))
    assert "warning" in shown
    assert "processor: B before, A now" in shown
    other = made([1e-6] * 3, [1e-6] * 3)
    other.tables[0].threads = 2
    assert "threads of one-layer: 2 before, 1 now" in text(view.against(result, other, "before"))
    assert "warning" not in text(view.against(result, copy.deepcopy(result), "before"))


@pytest.mark.parametrize(
    ("numpy", "torch", "verdict"),
    [
        pytest.param([1e-6] * 3, [2e-6] * 3, "slower", id="half the time before"),
        pytest.param([1e-6] * 3, [9e-6] * 3, "faster", id="twice the time before"),
        pytest.param([1e-6] * 3, [3e-6, 4e-6, 5e-6], "cannot be told", id="a spread that covers both"),
        pytest.param([5e-7] * 3, [2.05e-6] * 3, "cannot be told", id="a machine twice as fast before"),
    ],
)
def test_the_verdict_against_an_earlier_result(
    result: Result, numpy: list[float], torch: list[float], verdict: str
) -> None:
    found = {change.name: change.verdict for change in results.changes(result, made(numpy, torch))}
    assert found["torch"] == verdict
    assert "keras" not in found


@pytest.mark.parametrize("side", ["now", "before"])
@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"control": [1.0, 1.6, 0.7]}, id="too noisy to rank"),
        pytest.param({"control": [1.0]}, id="one round"),
        pytest.param({"interrupted": True}, id="interrupted"),
        pytest.param({"control": [1.09, 1.13, 1.05]}, id="a control that differs from itself as much"),
    ],
)
def test_nothing_is_faster_or_slower_by_a_table_that_ranks_nothing(
    side: str, spoilt: dict[str, Any], result: Result
) -> None:
    before = made([1.04e-6, 1.14e-6, 1.04e-6], [4.5e-6] * 3)
    before.tables[0].base = ""  # so that the seconds alone decide
    assert {change.verdict for change in results.changes(result, before)} == {"cannot be told", "faster"}
    for name, value in spoilt.items():
        setattr((result if side == "now" else before).tables[0], name, value)
    assert {change.verdict for change in results.changes(result, before)} == {"cannot be told"}


def test_a_size_on_an_axis_of_the_sweep_hides_no_other_table(result: Result, tmp_path: Path) -> None:
    on_axis = copy.deepcopy(result.tables[0])
    on_axis.problem, on_axis.samples, on_axis.layers = "64x32-32", 64, [32, 32]
    result.tables.append(on_axis)
    for shown in text(view.everything(result)), document.document([written(result, tmp_path)]):
        assert "one-layer: 3 -> 1" in shown
        assert "32 -> 32, 64 samples" in shown


def test_a_sweep_says_why_a_row_has_no_number_and_holds_dtypes_apart(result: Result, tmp_path: Path) -> None:
    result.sweep, result.tables[0].rows[0].weights_sha256 = True, "cd" * 32
    result.tables[0].problem, result.tables[0].samples, result.tables[0].layers = "64x32-32", 64, [32, 32]
    for shown in text(view.everything(result)), document.document([written(result, tmp_path)]):
        assert "64x32-32: keras: keras is not installed" in shown
    narrow = replace(result.tables[0], dtype="float32")
    result.tables.append(narrow)
    for shown in text(view.everything(result)), document.document([written(result, tmp_path)]):
        assert all(f"over depth, {dtype}, us per update" in shown for dtype in ("float64", "float32"))
    older = json.loads(json.dumps(result.to_json())) | {"command": "equigrad bench --sweep"}
    del older["sweep"]
    assert Result.from_json(older).sweep


@pytest.mark.parametrize(("updates", "caution"), [(20, ""), (21, "runs of 21 and 10 updates")])
def test_runs_of_other_lengths_are_told(result: Result, updates: int, caution: str) -> None:
    before = made([1e-6] * 3, [2e-6] * 3)
    before.tables[0].rows[1].updates = updates
    assert [change.caution for change in results.changes(result, before)] == ["", caution]
    assert (f"slower, {caution}" if caution else "slower ") in text(view.against(result, before, "before"))


def test_the_table_shows_a_row_without_a_number(result: Result) -> None:
    shown = text(view.tables(result))
    assert "keras: keras is not installed" in shown
    assert "4 [3.91, 4.05]" in shown


def test_a_long_reason_leaves_the_numbers_alone(result: Result) -> None:
    result.tables[0].rows[2].message = "no luck " * 40
    console = Console(width=160)
    with console.capture() as capture:
        console.print(view.tables(result))
    assert "4 [3.91, 4.05]" in capture.get()
    assert "log scale" in capture.get()


@pytest.mark.parametrize("name", ["torch", "my_long_package.my_long_module:MyClassOfALongName"], ids=["short", "long"])
def test_no_number_is_cut_in_80_columns_where_the_backends_name_is(name: str, result: Result) -> None:
    table = result.tables[0]
    table.rows[1] = replace(table.rows[1], name=name)
    table.base = name
    screen = Console(width=80)
    with screen.capture() as capture:
        screen.print(Group(view.tables(result), view.against(result, copy.deepcopy(result), "before")))
    shown = capture.get()
    assert max(map(len, shown.splitlines())) <= 80
    assert all(number in shown for number in ("4.1", "0.25 [0.247, 0.256]", "1 [0.976, 1.02]"))
    assert "…" not in shown


def test_why_a_peer_disagrees_is_said_beside_the_distance(result: Result) -> None:
    row = result.tables[0].rows[2]
    row.outcome, row.message, row.about = "disagree", "3 ULP from the reference", "it minimises another loss"
    assert view.refusals(result.tables[0]) == ["keras: 3 ULP from the reference (it minimises another loss)"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.00123, "0.00123"), (1.2e-6, "1.2e-06")]
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert rounded(value) == shown


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(whole([3.0, 3.0], [2.0, 2.0]), "1.5 [1.5, 1.5]", id="a ratio"),
        pytest.param(whole([], [], outcome="disagree", message="other bits"), "disagree: other bits", id="no number"),
    ],
)
def test_whole_processes_are_shown(result: Result, found: Process, words: str) -> None:
    result.process = found
    assert words in text(view.everything(result))


@pytest.mark.slow
def test_a_whole_process_has_the_hashes_of_its_loops_alone() -> None:
    found = process.measure("one-layer", ["numpy"], rounds=1)
    assert found.outcome == "identical", found.message
    assert len(found.compare_seconds) == len(found.alone_seconds) == 1
    assert found.weights_sha256["numpy reproducible"].startswith("ea759685aa71")


def test_both_whole_processes_have_numpy_which_compare_never_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in "_compare", "_alone":
        monkeypatch.setattr(process, function, lambda name, specs: (1.0, dict.fromkeys(specs, "ab")))
    assert process.measure("one-layer", ["jax"], rounds=1).backends == ["numpy", "jax"]
    assert process.measure("one-layer", ["torch", "numpy"], rounds=1).backends == ["numpy", "torch"]


@pytest.mark.parametrize(
    ("hashes", "outcome"),
    [({"numpy native": "other"}, "disagree"), (ValueError("ended with status 1"), "failed")],
    ids=["other bits", "an error"],
)
def test_a_whole_process_without_agreement_gets_no_number(
    monkeypatch: pytest.MonkeyPatch, hashes: Any, outcome: str
) -> None:
    def compare(name: str, specs: list[str]) -> tuple[float, dict[str, str]]:
        if isinstance(hashes, Exception):
            raise hashes
        return 1.0, hashes

    monkeypatch.setattr(process, "_compare", compare)
    monkeypatch.setattr(process, "_alone", lambda name, specs: (1.0, {"numpy native": "ab"}))
    found = process.measure("one-layer", ["numpy"], rounds=2)
    assert (found.outcome, found.compare_seconds, found.alone_seconds) == (outcome, [], [])


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("html", marks=pytest.mark.needs("plotly")),
        pytest.param("png", marks=[pytest.mark.needs("plotly", "kaleido"), pytest.mark.slow]),
    ],
)
def test_a_picture_is_written(result: Result, tmp_path: Path, ending: str, request: pytest.FixtureRequest) -> None:
    if ending == "png":
        request.getfixturevalue("chromium_path")
    path = tmp_path / f"picture.{ending}"
    picture.check(path)
    picture.write(result, path)
    start = path.read_bytes()[:15]
    assert start == (b"<!doctype html>" if ending == "html" else b"\x89PNG\r\n\x1a\n" + path.read_bytes()[8:15])


@pytest.mark.needs("plotly")
def test_a_page_with_a_picture_needs_no_network_and_shows_every_row_and_what_kind_it_is(
    result: Result, tmp_path: Path
) -> None:
    result.command = "equigrad bench <script>alert(1)</script>"
    picture.write(as_written(result), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "cdn.plot.ly/plotly" not in page
    assert "<script>alert" not in page
    figure = picture._bars(result)
    bars = {name: bar.name for bar in figure.data if bar.type == "bar" for name in bar.y}
    assert bars["torch, train"] == "train of this suite"
    assert bars["torch, loss.backward()"] == "as people write it"
    assert sum(len(points.x) for points in figure.data if points.type == "scatter") == 3 * len(bars)


@pytest.mark.needs("plotly")
def test_a_sweep_is_drawn() -> None:
    swept = []
    for shape in [shape for shapes in sizes.SWEEP.values() for shape in shapes]:
        table = Table("s", "float64", shape.samples, list(shape.layers), 1, 1, 1, 24, 1)
        table.rows = [Row("numpy", "backend", samples=[1e-6] * 3, peak_bytes=2**20), Row("torch", "backend")]
        swept.append(table)
    figure = picture._sweep(Result([*swept, *(replace(table, dtype="float32") for table in swept)], {}))
    assert {trace.name for trace in figure.data} == {"numpy, float64", "numpy, float32"}
    assert all(list(trace.x) == sorted(set(trace.x)) for trace in figure.data if trace.mode == "lines+markers")
    layout = figure.to_dict()["layout"]
    titles = {axis["title"]["text"] for name, axis in layout.items() if "axis" in name and "title" in axis}
    assert titles == {*sizes.SWEEP, picture.WORK, "microseconds per update", "peak memory, MiB"}


@pytest.mark.parametrize(
    ("absent", "file"), [("plotly", "picture.html"), ("kaleido", "picture.png")], ids=["no Plotly", "no kaleido"]
)
def test_what_a_picture_lacks_is_named_with_the_command_to_install_it(
    absent: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda name: None if name == absent else name)
    monkeypatch.setattr(picture, "_figure", lambda: None)
    with pytest.raises(MissingError, match=rf"{absent}.* not installed: pip install 'equigrad\[plot\]'"):
        picture.check(Path(file))


def test_a_png_without_a_browser_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Figure:
        def to_image(self, *_: Any, **__: Any) -> bytes:
            raise RuntimeError("ChromeNotFound\nand more")

    monkeypatch.setattr(picture, "find_spec", lambda name: name)
    monkeypatch.setattr(picture, "_figure", Figure)
    with pytest.raises(MissingError, match=r"needs Chrome or Chromium, \.html does not: RuntimeError: ChromeNotFound"):
        picture.check(Path("picture.png"))


@pytest.mark.parametrize(
    ("name", "samples", "layers"), [("4096x256-256-10", 4096, (256, 256, 10)), ("4x3-1", 4, (3, 1))]
)
def test_a_size_is_a_problem(name: str, samples: int, layers: tuple[int, ...]) -> None:
    found = sizes.chosen(name)
    assert (found.samples, found.layers, found.name) == (samples, layers, name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"names": ["two-leyer"]}, "did you mean 'two-layer'", id="an unknown problem"),
        pytest.param({"names": ["0x3-1"]}, "at least 1", id="a size of zero"),
        pytest.param({"names": ["own.csv"]}, "give SAMPLESxINPUTS-HIDDEN-OUTPUTS", id="a file of data"),
        pytest.param({"names": ["99999999x9999-9999-1"]}, "does not fit", id="a size beyond memory"),
        pytest.param({"rounds": 0}, "--rounds must be at least 1", id="no rounds"),
        pytest.param({"threads": 0}, "--threads must be between 1", id="no threads"),
        pytest.param({"patience": 0.0}, "--patience", id="no patience"),
        pytest.param({"dtype": "float16"}, "unknown dtype", id="an unknown dtype"),
        pytest.param({"who": "all"}, "unknown --who", id="an unknown field"),
        pytest.param({"names": ["one-layer"], "sweep": True}, "give no problem", id="a sweep of a problem"),
        pytest.param({"backends": ["nunpy"]}, "did you mean 'numpy'", id="an unknown backend"),
        pytest.param({"updates": 0}, "updates", id="no updates"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(
    arguments: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("it was started")

    monkeypatch.setattr(suite, "measure", start)
    monkeypatch.setattr(sizes, "free_memory", lambda: 2**34)
    with pytest.raises(UsageError, match=words):
        suite.bench(**arguments)


def test_a_size_that_does_not_fit_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """250,000 samples of 3 inputs and 1 output: as many numbers, and each output's activation and delta, 12 MB."""
    shape = sizes.Shape(250_000, [3, 1])
    assert Workload.of(sizes.sized(*shape), "float64").bytes_needed == 12_000_048
    monkeypatch.setattr(sizes, "free_memory", lambda: 50_000_000)
    with pytest.raises(UsageError, match=r"^250000x3-1 does not fit: about 0\.1 GB for 1 contestant, 0\.1 GB are free"):
        sizes.check_memory([shape])
    monkeypatch.setattr(sizes, "free_memory", lambda: 8 * 12_000_048)
    sizes.check_memory([shape])
    with pytest.raises(UsageError, match=r"about 0\.3 GB"):
        sizes.check_memory([shape], 1, ["native", "reproducible"])


def test_the_sweep_spans_four_decades_of_work() -> None:
    for shapes in sizes.SWEEP.values():
        assert len(shapes) >= 5
    works = [Workload.of(sizes.sized(*shape), "float64").work for shapes in sizes.SWEEP.values() for shape in shapes]
    assert max(works) / min(works) >= 1e4


def test_curves_cross_where_they_cross() -> None:
    at = [1, 10, 100, 1000]
    overhead_and_slope = {n: 10 + 1.0 * n for n in at}
    no_overhead = {n: 2.0 * n for n in at}
    ((size, cost),) = crossings(no_overhead, overhead_and_slope)
    assert 7 < size < 13
    assert cost == pytest.approx(2 * size)
    assert crossings(no_overhead, {n: 3.0 * n for n in at}) == []


def test_break_even_names_the_winner_on_each_side() -> None:
    tables = []
    for n in (4, 40, 400):
        table = Table("s", "float64", n, [16, 16, 1], 1, 1, 1, n, 1)
        table.rows = [Row("lean", "backend", samples=[2.0 * n]), Row("heavy", "backend", samples=[100 + 1.0 * n])]
        tables.append(table)
    (line,) = results.break_even("samples", tables, [4, 40, 400])
    assert line.startswith("lean and heavy: lean is faster first, break-even at samples")
    tables[1].control = [1.0, 2.0, 1.0]
    assert "too noisy to rank at samples 40:" in results.break_even("samples", tables, [4, 40, 400])[0]


@pytest.mark.parametrize(
    ("outcome", "asked", "status"),
    [("agree", [], 0), ("disagree", [], 1), ("failed", [], 1), ("missing", [], 0), ("missing", ["torch"], 3)],
)
def test_exit_status(result: Result, outcome: str, asked: list[str], status: int) -> None:
    result.tables[0].rows[1].outcome = outcome
    assert suite.status(result, asked) == status


@pytest.mark.slow
def test_the_command_times_prints_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    command = [sys.executable, "-m", "equigrad", "bench", "--backend", "numpy", "--who", "backends", "--updates", "50"]
    command += ["--rounds", "2", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "numpy reproducible" in done.stdout
    (table,) = results.load(str(path)).tables
    assert [(row.outcome, len(row.samples)) for row in table.rows] == [("identical", 2)] * 2
    assert json.loads(path.read_text())["command"].endswith("--rounds 2 --json " + str(path))


def test_a_backend_of_two_names_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(workload: Workload, field: Any, **_: Any) -> Table:
        table = Table(workload.name, "float64", 4, [3, 1], 1, 1, 1, 1, 1)
        table.rows = [Row(one.name, one.group, outcome="missing") for one in field]
        return table

    monkeypatch.setattr(suite, "measure", measured)
    monkeypatch.setattr(suite, "imports", lambda name: [1.0])
    monkeypatch.setattr(suite, "_calls", lambda workload, specs, rounds: [])
    asked = ["numpy", "numpy:cpu"]
    found = suite.bench(["one-layer"], asked, who="backends", anatomy=True)
    assert [row.name for row in found.tables[0].rows] == ["numpy", "numpy reproducible"]
    assert list(found.imports) == ["numpy"]
    assert suite.status(found, asked[1:]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arithmetic", "names"),
    [("both", ["native_only:Own"]), ("reproducible", ["native_only:Own reproducible"])],
    ids=["left out of both", "timed where it is asked for"],
)
def test_an_arithmetic_that_a_class_lacks_is(
    arithmetic: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(workload: Workload, field: Any, **_: Any) -> Table:
        rows = [Row(one.name, one.group) for one in field]
        return Table(workload.name, "float64", 4, [3, 1], 1, 1, 1, 1, 1, rows=rows)

    methods = "    def predict(self, weights, x): ...\n    def gradient(self, weights, x, y): ...\n"
    (tmp_path / "native_only.py").write_text(f"import equigrad\n\nclass Own(equigrad.Engine):\n{methods}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(suite, "measure", measured)
    found = suite.bench(["one-layer"], ["native_only:Own"], who="backends", arithmetic=arithmetic)
    assert [row.name for row in found.tables[0].rows] == names


def test_a_size_of_two_spellings_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(workload: Workload, *_: Any, **__: Any) -> Table:
        return Table(workload.name, "float64", 4, [3, 1], 1, 1, 1, 1, 1)

    monkeypatch.setattr(suite, "measure", measured)
    found = suite.bench(["one-layer", "4x3-1", "one-layer", "04x3-1"], ["numpy"], who="backends")
    assert [table.problem for table in found.tables] == ["one-layer", "4x3-1"]


@pytest.mark.parametrize("during", ["imports", "measure"])
def test_ctrl_c_at_any_time_keeps_what_was_measured(during: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(*_: Any, **__: Any) -> Any:
        calls.append(during)
        if during == "imports" or len(calls) == 2:
            raise KeyboardInterrupt
        return Table("4x16-16-1", "float64", 4, [16, 16, 1], 1, 1, 1, 1, 1)

    monkeypatch.setattr(suite, during, interrupted)
    found = suite.bench([], ["numpy"], sweep=True, anatomy=during == "imports")
    assert found.interrupted
    assert len(found.tables) == len(calls) - 1
    assert suite.status(found) == 130


FILES = sorted((DOCS / "results").glob("*.json"))


def test_the_page_is_in_step_with_the_results() -> None:
    assert FILES
    assert (DOCS / "benchmarks.md").read_text() == document.document(FILES), "run `make pages`"
    assert (DOCS / "maintainers" / "targets.md").read_text() == document.targets(FILES), "run `make pages`"


def test_readmes_table_is_in_step_with_the_results() -> None:
    shown = README.read_text()
    assert document.readme(FILES, shown) == shown, "run `make pages`"
    table = shown[shown.index(document.BEGIN) : shown.index(document.END)]
    for words in (
        "**loss.backward(), then",
        "| torch | train, reproducible |",
        "`equigrad bench one-layer",
        "ea759685aa71",
    ):
        assert words in table


def written(result: Result, tmp_path: Path, name: str = "result.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(result.to_json()))
    return path


def as_written(result: Result) -> Result:
    """With each framework as people write it beside `train`, and NumPy's `train` reproducible."""
    result.tables[0].rows += [
        Row("numpy, expressions", "numpy", outcome="agree", samples=[2.5e-6] * 3, updates=10),
        Row("torch, loss.backward()", "torch", outcome="agree", samples=[9e-5] * 3, updates=10, first_call_seconds=0.0),
        Row("numpy reproducible", "backend", "reproducible", outcome="identical", samples=[9e-6] * 3, updates=10),
    ]
    result.tables[0].row("torch").first_call_seconds = 0.86  # type: ignore[union-attr]
    return result


def test_readmes_table_is_made_of_the_results_and_leaves_the_rest_alone(result: Result, tmp_path: Path) -> None:
    text = f"before\n{document.BEGIN}\nyesterday\n{document.END}\nafter\n"
    file = written(as_written(result), tmp_path)
    new = document.readme([file], text)
    assert new.startswith(f"before\n{document.BEGIN}\n")
    assert new.endswith(f"{document.END}\nafter\n")
    assert "yesterday" not in new
    assert "| torch | **loss.backward(), then w -= lr * w.grad** | 90 | 0 | never |  |" in new
    assert "| torch | train | 4.1 | 860 | never | 10,012 | `abababababab` (10) |" in new
    assert all(how in new for how in rows.TRAIN.values())
    assert "equigrad bench" in new
    assert document.readme([file], new) == new


def test_the_headline_shows_each_framework_as_written_and_as_train_runs_it(result: Result) -> None:
    assert list(headline.ways(result.tables[0])) == []
    (table,) = as_written(result).tables
    found = [(way.spec, way.how, way.written, way.pays, way.pays_at_home) for way in headline.ways(table)]
    assert found == [
        ("numpy", "NumPy expressions", True, "", ""),
        ("numpy", "train", False, "667", "667"),
        ("numpy", "train, reproducible", False, "never", "never"),
        ("torch", "loss.backward(), then w -= lr * w.grad", True, "never", ""),
        ("torch", "train", False, "never", "10,012"),
    ]
    shown = text(view.tables(result))
    assert all(words in shown for words in ("loss.backward(), then", "10,012", "torch, train", "recorded and repeated"))


def test_what_each_call_does_once_has_to_be_earned_back_too(result: Result, tmp_path: Path) -> None:
    """860 ms to compile, and 10 ms in each call."""
    (table,) = as_written(result).tables
    torch = table.row("torch")
    assert torch is not None
    assert "older" not in headline.compile_time([table])
    assert "counts in us per update" in headline.compile_time([table])
    torch.once_seconds, torch.settled = 1e-2, False
    assert torch.compile_seconds == pytest.approx(0.87)
    assert next(w.pays_at_home for w in headline.ways(table) if w.row is torch) == "10,129"
    assert "older results have the latter" in headline.compile_time([table])
    for shown in text(view.tables(result)), document.document([written(result, tmp_path)]):
        assert "4.1 short" in shown
        assert view.SHORT in shown
    assert view.SHORT in document.readme([written(result, tmp_path)], document.BEGIN + document.END)
    for row in table.rows:
        row.once_seconds, row.settled = 0.0, True
    assert headline.compile_time([table]).endswith("does once, such as recording")
    assert "short" not in text(view.tables(result))
    assert view.SHORT not in document.readme([written(result, tmp_path)], document.BEGIN + document.END)


def test_every_name_of_a_headline_row_is_a_contestants() -> None:
    specs = ["numpy", "torch", "torch:cuda", "jax", "jax:cuda"]
    workload = Workload.of(problem("one-layer"), "float64")
    names = {one.name for one in roster.chosen("headline", workload, specs, ["native"])}
    assert {rows.written(spec) for spec in specs} <= names
    assert "torch, torch.compile of a step" not in names


@pytest.mark.parametrize(
    "text", ["", document.BEGIN, f"{document.END}\n{document.BEGIN}", document.BEGIN * 2 + document.END]
)
def test_a_readme_without_a_place_for_the_table_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="needs one line"):
        document.readme([], text)


def aimed(result: Result, tmp_path: Path, *more: Result) -> list[list[str]]:
    files = [written(one, tmp_path, f"{i}.json") for i, one in enumerate((result, *more))]
    lines = document.targets(files).splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]


def test_every_figure_aimed_at_is_reached_missed_or_not_measured(result: Result, tmp_path: Path) -> None:
    result.tables[0].rows += [
        Row("torch reproducible", "backend", outcome="agree", samples=[1e-5, 1.1e-5, 1e-5]),
        Row(targets.LINEAR, "peer", outcome="agree", samples=[1e-4] * 3),
        Row("numpy reproducible", "backend", outcome="agree", samples=[9e-6] * 3),
    ]
    result.process = whole([2.4] * 3, [2.0] * 3)
    found = {(row[0], row[1]): row for row in aimed(result, tmp_path)}
    assert len(found) == len(targets.TARGETS)
    assert found[f"torch against {targets.LINEAR}", "one-layer float64"][2:] == [
        "0.24",
        "0.041 [0.0405, 0.0415]",
        "reached",
    ]
    assert found["numpy reproducible against numpy", "one-layer float64"][4].startswith("missed")
    process_row = found["equigrad compare, the process, against imports and loops alone", "one-layer float64"]
    assert process_row[3:] == ["1.2", "reached"]
    assert found["torch:cuda, us per update", "one-layer float64"][3:] == ["", "not measured"]


def test_why_a_figure_was_missed_is_said_only_where_it_was(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "WHY", {"numpy reproducible": "because"})
    for seconds, said in (9e-6, "missed: because"), (1e-6, "reached"):
        result.tables[0].rows[2:] = [Row("numpy reproducible", "backend", outcome="agree", samples=[seconds] * 3)]
        found = {(row[0], row[1]): row for row in aimed(result, tmp_path)}
        assert found["numpy reproducible against numpy", "one-layer float64"][4] == said


def test_memory_is_counted_above_what_the_same_row_holds_for_the_one_layer_network(
    result: Result, tmp_path: Path
) -> None:
    large = copy.deepcopy(result)
    large.tables[0].problem, large.tables[0].bytes_needed = targets.MEDIUM, 1000
    result.tables[0].rows[0].peak_bytes, large.tables[0].rows[0].peak_bytes = 500, 1700
    found = {(row[0], row[1]): row for row in aimed(result, tmp_path, large)}
    row = found["memory of numpy, above one-layer's, against what the arrays need", f"{targets.MEDIUM} float64"]
    assert row[3:] == ["1.2", "reached"]


def test_every_reason_is_for_a_figure() -> None:
    assert set(targets.WHY) <= {target.why for target in targets.TARGETS}


def test_the_page_maker_refuses_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    command = [sys.executable, "-m", "equigrad.bench.pages.document", "x.json", "--page", "page.md"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a result of equigrad bench" in done.stderr
    assert not (tmp_path / "page.md").exists()
