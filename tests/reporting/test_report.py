"""The page of `equigrad report`: what goes into it, what it refuses, and that it asks no host for anything."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends.interface import DTYPES, Backend
from equigrad.common.errors import UsageError
from equigrad.common.files import write_json
from equigrad.common.problem import problem as built_in
from equigrad.common.ulp import farthest
from equigrad.diverge.result import UNFINISHED
from equigrad.reporting import aligned, content, documents, recording

DOCS = Path(__file__).parents[2] / "docs"
BENCH = "a file of bench"
"""Stands for the path of a fixture in a list of arguments."""
TASK = built_in("one-layer").with_(updates=40)


def data_of(html: str) -> dict[str, Any]:
    """What the scripts of the page read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.S)
    assert found
    result: dict[str, Any] = json.loads(found[1])
    return result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, timed: Path, crosschecked: Any) -> dict[str, Path]:
    """One file of each command, by NumPy alone."""
    folder = tmp_path_factory.mktemp("results")
    paths = {kind: folder / f"{kind}.json" for kind in ("compare", "diverge", "check", "crosscheck")}
    write_json(paths["compare"], equigrad.compare(TASK, ["numpy"]).to_json())
    pair = equigrad.diverge(TASK, ["numpy"], arithmetic=["native", "reproducible"])
    write_json(paths["diverge"], pair.to_json())
    write_json(paths["check"], equigrad.check(TASK, ["numpy"], curve=True).to_json())
    write_json(paths["crosscheck"], crosschecked.to_json())
    return {**paths, "bench": timed}


@pytest.fixture
def command(command_line: Any) -> Any:
    """`command("--help", cwd=folder)` is `equigrad report --help` there."""
    return lambda *arguments, cwd: command_line("report", *arguments, cwd=cwd)


def edited(path: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a result, changed."""
    document = json.loads(path.read_text())
    change(document)
    to.write_text(json.dumps(document))
    return to


def test_a_problem_is_run_and_every_section_is_there(command: Any, tmp_path: Path) -> None:
    done = command("one-layer", "--updates", "30", "--backend", "numpy", cwd=tmp_path)
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.startswith("report.html: 2.")
    html = (tmp_path / "report.html").read_text()
    sections = ["verdict", "steps", "lab", "replay", "code", "divergence", "gradient", "timings", "iterations"]
    assert re.findall(r'<section id="(\w+)"', html) == sections
    data = data_of(html)
    assert data["replay"]["stops"][-1] == 30
    assert {c["dtype"] for c in data["curves"]} == {"float64", "float32"}
    assert "No benchmark was given" in html
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_library_gives_the_same_page_and_files_are_shown(results: dict[str, Path]) -> None:
    page = equigrad.report(results=list(results.values())[:3], backends=["numpy"])
    assert page.agreed
    assert "reproducible, float64: " in page.verdict
    data = data_of(page.html)
    assert data["replay"]["updates"] == 40
    assert [c["dtype"] for c in data["curves"]] == ["float64"]
    assert {d["arithmetic"] for d in data["distances"]} == {"native / reproducible"}


@pytest.mark.slow
def test_files_alone_run_nothing_but_the_replay(results: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for home, name in (
        ("compare.comparison", "compare"),
        ("diverge.divergence", "diverge"),
        ("check.gradcheck", "check"),
    ):
        monkeypatch.setattr(import_module(f"equigrad.{home}"), name, lambda *_, **__: pytest.fail("this was run"))
    html = equigrad.report(results=[results["check"]], backends=["numpy"], dtype="float64").html
    assert "every gradient is right" in html
    assert data_of(html)["replay"]["name"] == "one-layer"


def test_results_of_data_that_is_not_here_load_no_framework(
    results: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(import_module("equigrad.reporting.page"), "usable", lambda: pytest.fail("all were loaded"))
    mine = edited(results["check"], tmp_path / "mine.json", lambda d: d["problem"].update(name="mine"))
    assert "every gradient is right" in equigrad.report(results=[mine]).html


def test_timings_come_with_every_sample_and_the_floor(results: dict[str, Path]) -> None:
    (table,) = data_of(equigrad.report(TASK, list(results.values()), backends=["numpy"]).html)["timings"]
    document = json.loads(results["bench"].read_text())
    expected = {b["name"]: b["stats"]["data"] for b in document["benchmarks"] if b["name"] != "null"}
    assert {row["name"]: row["samples"] for row in table["rows"]} == expected
    floors = [r["name"] for r in document["tables"][0]["rows"] if r["group"] == "floor" and r["name"] != "null"]
    assert table["floor"] == min(np.median(expected[name]) for name in floors)


def test_a_sweep_shows_where_two_cost_the_same() -> None:
    def table(samples: int, seconds: dict[str, float]) -> dict[str, Any]:
        rows = [
            {"name": n, "group": "backend", "framework": n, "samples": [s], "median": s} for n, s in seconds.items()
        ]
        return {"dtype": "float64", "samples": samples, "layers": [16, 16, 1], "rows": rows}

    found = content.sweeps(
        [table(10**k, {"numpy": 1e-6 * 10**k, "torch": 5e-5, "jax": 1e-3 * 10**k}) for k in range(5)]
    )
    (curve,) = found
    assert curve["axis"] == "samples"
    (even,) = curve["even"]
    assert even["rows"] == ["numpy", "torch"]
    assert even["size"] == pytest.approx(50)
    assert even["seconds"] == pytest.approx(5e-5)


@pytest.mark.parametrize(
    ("layers", "axis"),
    [([[4, 4, 1], [16, 16, 1], [64, 64, 1]], "width"), ([[32] * 2, [32] * 3, [32] * 5], "depth")],
)
def test_the_axis_of_a_sweep_is_what_grows(layers: list[list[int]], axis: str) -> None:
    tables = [{"dtype": "float64", "samples": 64, "layers": sizes, "rows": []} for sizes in layers]
    assert [s["axis"] for s in content.sweeps(tables)] == [axis]


@pytest.mark.parametrize(("width", "dtype"), [("<f8", "float64"), ("<f4", "float32")])
def test_the_recorded_bits_are_those_of_a_trace(ready: Callable[..., Backend], dtype: str, width: str) -> None:
    """Base64 of a page, decoded, against `equigrad.trace`, which goes another way through the backends."""
    names = ["numpy", "torch", "jax"]
    for name in names:
        ready(name)
    traced = equigrad.trace(TASK, names, updates=4, dtype=dtype)
    recorded = recording.record(TASK, names, [dtype], ["native"])
    replay = content.data(documents.Documents(), recorded)["replay"]
    for side, name in enumerate(names):
        track = next(t for t in replay["tracks"] if t["backend"] == name)
        for line in traced.lines:
            k = recording.QUANTITIES.index("after" if line.quantity == "weight" else line.quantity)
            text = track["moments"][line.update - 1][line.layer - 1][k]
            if text is None:  # the same bits as NumPy's
                text = replay["tracks"][0]["moments"][line.update - 1][line.layer - 1][k]
                assert line.values[side].tobytes() == line.values[0].tobytes()
            assert base64.b64decode(text) == line.values[side].astype(width).tobytes()


def test_distances_and_hash_are_those_of_a_comparison(ready: Callable[..., Backend]) -> None:
    ready("torch")
    compared = equigrad.compare(TASK, ["numpy", "torch"], arithmetic="native").runs
    numpy, torch = recording.record(TASK, ["numpy", "torch"], ["float64"], ["native"]).tracks
    assert [t.weights_sha256 for t in (numpy, torch)] == [r.weights_sha256 for r in compared]
    last = torch.distances[-1]
    assert (last.max_ulp, last.max_abs_difference) == farthest(compared[0].weights, compared[1].weights)


def test_stops_are_single_at_both_ends_and_logarithmic_between() -> None:
    stops = recording.stops(10_000, 12, more=[77])
    assert stops[:10] == list(range(1, 11))
    assert stops[-5:] == [9_996, 9_997, 9_998, 9_999, 10_000]
    assert 77 in stops
    assert len(stops) < 60
    assert recording.stops(3, 12) == [1, 2, 3]


def test_iterations_go_on_beyond_the_problem_and_come_closer() -> None:
    found = recording.record(TASK, ["numpy"], ["float64"], ["native"]).iterations
    assert found.updates[-1] == 400
    outputs = found.outputs[-1]
    weights = equigrad.compare(TASK.with_(updates=399), ["numpy"], arithmetic="native").runs[0].outputs
    assert weights is not None
    np.testing.assert_allclose(outputs, weights, rtol=1e-12)
    assert found.errors[-1] < found.errors[0] / 4


def test_a_large_problem_is_cut_to_what_fits_and_says_so() -> None:
    task = built_in("digits").with_(updates=2)
    recorded = recording.record(task, ["numpy"], ["float64"], ["native"])
    assert len(recorded.samples) <= 8 < task.samples
    assert all(len(units) <= 10 for units in recorded.units)
    full = recording.cut(built_in("digits"), 3, ["float64"])
    deep = recording.cut(
        equigrad.Problem("deep", task.inputs, task.targets, (64, *[256] * 20, 10), 10**6), 3, ["float64"]
    )
    assert len(full[0]) * len(full[1][1]) > len(deep[0]) * len(deep[1][1])


def test_the_file_is_small_and_holds_plotly_once(results: dict[str, Path]) -> None:
    from plotly.offline import get_plotlyjs

    html = equigrad.report(results=[results["compare"]], backends=["numpy"]).html
    assert len(html.encode()) < 3_000_000
    (packed,) = re.findall(r'<script type="text/plain" id="plotly">(.*?)</script>', html, flags=re.S)
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()


def test_nothing_in_the_page_loads_anything(results: dict[str, Path]) -> None:
    """The policy in the page forbids the browser every request; nor does anything try one."""
    html = equigrad.report(results=[results["compare"]], backends=["numpy"]).html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline'; worker-src blob:; ")
    assert "http" not in policy
    own = re.sub(r'<script type="text/plain" id="plotly">.*?</script>', "", html, flags=re.S)
    for load in (
        r"\ssrc\s*=",
        r"<link\b",
        r"@import",
        r"url\(",
        r"\bfetch\(",
        r"XMLHttpRequest",
        r"WebSocket",
        r"\bimport\(",
    ):
        assert not re.search(load, own), load
    addresses = set(re.findall(r"https?://[^\s\"'<]+", own))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a namespace, not an address


def test_a_crosscheck_is_shown_with_where_it_parts_and_nothing_of_trainings(
    results: dict[str, Path], tmp_path: Path
) -> None:
    page = equigrad.report(results=[results["crosscheck"]])
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.html.partition("</main>")[0]))
    assert not page.agreed
    assert "They part here: torch: aten.gelu (act, GELU) at model.py:12; jax: tanh (gelu) at port.py:9" in page.verdict
    for shown in (
        "PyTorch aten.gelu act, GELU model.py:12 forward train.py:3 2 x 3 -0.77 nan",
        "JAX tanh gelu port.py:9 f train.py:3 2 x 3 -0.78 0.25",
        "goes on add port.py:10 f one number",
        "Largest difference of the two outputs: 3.6e-04, 3,208,784,627,985 ULP.",
        "at [0, 1] torch&#39;s derivative is 0.5, jax&#39;s 0.4",
        "NumPy failed ValueError: no such axis",
        "PyTorch disagree: another function than jax.",
        "x is fc.weight.",
        "Note: x has a kink.",
    ):
        assert shown in text
    assert "There is no replay" not in text
    assert 'id="divergence"' not in page.html
    both = equigrad.report(results=[results["crosscheck"], results["compare"]], backends=["numpy"]).html
    assert all(f'id="{section}"' in both for section in ("crosscheck", "divergence", "replay"))
    agree = {"agreed": True, "verdict": "They agree.", "parting": None}
    right = edited(results["crosscheck"], tmp_path / "right.json", lambda d: d.update(agree, functions=[
        {**d["functions"][0], "outcome": "agree"}
    ]))  # fmt: skip
    assert equigrad.report(results=[right]).agreed


def test_names_from_files_are_text_and_no_markup(results: dict[str, Path], tmp_path: Path) -> None:
    """Of a problem, which goes into the page, and of a row, which goes into the data of its scripts."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    path = edited(results["compare"], tmp_path / "evil.json", lambda d: d["problem"].update(name=evil))
    timings = tmp_path / "bench.json"
    timings.write_text(
        results["bench"].read_text().replace('"jax reproducible"', json.dumps(evil)).replace("one-layer", "mine")
    )
    html = equigrad.report(results=[path, timings], backends=["numpy"]).html
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "There is no replay" in html
    assert evil in [row["name"] for table in data_of(html)["timings"] for row in table["rows"]]


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("step", [step.name for step in aligned.CODE_STEPS])
def test_every_step_finds_its_lines_in(ready: Callable[..., Backend], step: str, name: str) -> None:
    """And each pattern one at least, so that a backend that is written anew is noticed here."""
    ready(name)
    (code,) = aligned.aligned([name])
    methods = {m.name: [line for line in m.lines if step in line.steps] for m in code.methods}
    for method, pattern in aligned.PLACES[name][step]:
        assert methods[method], f"nothing in {name}'s {method} looks like {pattern}"
        assert len(methods[method]) <= 2, f"{pattern} takes too much of {name}'s {method}"


def test_the_code_shown_is_the_installed_source() -> None:
    (code,) = aligned.aligned(["numpy"])
    source = Path(equigrad.backends.__path__[0], code.file).read_text().splitlines()
    for line in (line for method in code.methods for line in method.lines):
        plain = re.sub(r"<[^>]+>", "", line.html).replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
        assert " " * line.indent + plain == source[line.number - 1].removeprefix("    ")


def test_the_documentation_runs_and_its_pictures_are_light(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "report.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert capsys.readouterr().out.startswith("True reproducible, float64: ")
    assert (tmp_path / "report.html").is_file()
    help_text = command("--help", cwd=tmp_path).stdout
    options = set(re.findall(r"`(--[a-z-]+)", page)) - {"--json"}  # of the commands that make the files
    assert {"--data", "--dtype"} <= options
    assert all(option in help_text for option in options)
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (DOCS / picture).stat().st_size < 300_000


BROKEN = """
from dataclasses import dataclass
from equigrad.backends.numpy_backend import NumpyBackend

@dataclass(frozen=True)
class Late(NumpyBackend):
    name = "late"
    arithmetics = ("native",)

    def trace(self, weights, x, y, lr):
        if abs(weights[0]).max() > 1.2:
            raise RuntimeError("out of\\nluck")
        return super().trace(weights, x, y, lr)

@dataclass(frozen=True)
class Flat(NumpyBackend):
    name = "flat"
    arithmetics = ("native",)

    def trace(self, weights, x, y, lr):
        return tuple(type(t)(*(v.ravel() for v in t)) for t in super().trace(weights, x, y, lr))

@dataclass(frozen=True)
class Huge(NumpyBackend):
    name = "huge"
    arithmetics = ("native",)

    def update(self, weights, x, y, lr):
        return tuple(w * 1e60 for w in weights)
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Late", "trace raised RuntimeError"),
        ("Huge", "leave the finite numbers"),
        ("Flat", "expected a tuple of 1 LayerTrace"),
    ],
)
def test_a_backend_that_breaks_down_ends_its_track_with_the_reason(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brokens.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    both = recording.record(TASK, ["numpy", f"brokens:{name}"], ["float64"], ["native", "reproducible"])
    numpy, other, _ = both.tracks  # reproducible is NumPy's alone
    assert not numpy.trouble
    assert len(numpy.moments) == len(both.stops) > len(other.moments)
    assert reason in other.trouble
    assert name not in other.trouble  # it stands before it wherever it is shown
    with np.errstate(all="ignore"):
        page = equigrad.report(TASK, backends=["numpy", f"brokens:{name}"], dtype="float64")
    assert not page.agreed
    assert "Not everything agrees." in page.html


def test_a_training_that_overflows_is_shown_as_far_as_it_got() -> None:
    """Its learning rate does not even fit into float32."""
    page = equigrad.report(TASK.with_(learning_rate=1e200), backends=["numpy"])
    assert not page.agreed
    assert "do not fit into float32" in page.html
    assert "NumPy (failed): the weights of layer 1 overflow at update" in page.verdict


BAD = {
    "truncated": (lambda text: text[: len(text) // 2], "is not JSON: it breaks off or goes wrong in line"),
    "empty": (lambda text: "", "is not JSON: it breaks off"),
    "not UTF-8": (lambda text: b"\xff\xfe{}", "is not JSON"),
    "no object": (lambda text: "[1, 2]", "is not a result of equigrad compare, diverge, check, crosscheck or bench"),
    "something else": (lambda text: '{"a": 1}', "is not a result of equigrad compare, diverge"),
    "of another schema": (lambda text: text.replace('"schema": 1', '"schema": 2'), "has schema 2, this version reads"),
    "without a key": (lambda text: text.replace('"outcome"', '"outcom"'), "it lacks 'runs[0].outcome'"),
    "of another type": (lambda text: text.replace('"updates": 40', '"updates": "many"'), "'problem.updates' is 'many'"),
    "with a NaN": (lambda text: text.replace('"seed": 1', '"seed": NaN'), "is not JSON"),
    "of check --power": (lambda text: '{"schema": 1, "mutants": []}', "is of check --power"),
    "of check without a problem": (lambda text: '{"schema": 1, "searched": []}', "is of check without a problem"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_one_clear_line_and_nothing_written_for_a_file(
    command: Any, spoil: Callable[[str], str | bytes], message: str, results: dict[str, Path], tmp_path: Path
) -> None:
    spoiled = spoil(results["compare"].read_text())
    (tmp_path / "bad.json").write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.encode())
    done = command("bad.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("equigrad: 'bad.json' ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert os.listdir(tmp_path) == ["bad.json"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to everything in a document, of long lists to the first two."""
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


@pytest.mark.parametrize(("rate", "text"), [(1.0, "1"), (0.001953125, "0.001953125"), (0.1, "0.1")])
def test_the_learning_rate_is_printed_as_it_can_be_typed_again(rate: float, text: str) -> None:
    given = documents.Documents(compare=[{"problem": TASK.with_(learning_rate=rate).to_json()}])
    assert f", learning rate {text}, seed" in content.title(given, None)["line"]


def test_who_ran_alone_is_neither_right_nor_wrong(results: dict[str, Path]) -> None:
    given = documents.read([results["compare"]])
    assert [v.good for v in content.verdicts(given, None)] == [None, None]
    assert content.headline(given, None) == "Nothing to compare."
    assert content.headline(documents.read([results["compare"], results["check"]]), None) == "Checked, and in order."


def test_a_page_of_timings_alone_says_how_many_updates_they_are_of(timed: Path, tmp_path: Path) -> None:
    given = documents.read([edited(timed, tmp_path / "bench.json", lambda d: d["tables"][0].update(updates=500))])
    task = documents.of_one_problem(given, None)
    assert task is not None
    assert (task.name, task.updates) == ("one-layer", 500)


@pytest.mark.slow
def test_what_differed_before_the_weights_did_is_on_the_page_too(results: dict[str, Path], tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["earlier"] = {**document["first"], "quantity": "activation", "size": 4, "max_ulp": 1, "update": 1}
        document["earlier"]["elements"] = document["first"]["elements"][:1]
        document["first"] |= {"update": 5, "quantity": "preactivation"}

    page = equigrad.report(results=[edited(results["diverge"], tmp_path / "diverge.json", change)]).html
    assert "Their weights part in update 5, from the pre-activation of layer " in page
    assert "Already in update 1, 1 of 4 elements of activation of layer 1 differed, by 1 ULP at most; the " in page


def test_where_the_development_ends_is_seen_in_its_chart_and_no_note() -> None:
    result = equigrad.diverge(TASK, ["numpy"], arithmetic=["native", "reproducible"], budget=0)
    assert any(note.startswith(UNFINISHED) for note in result.notes)
    document = result.to_json()
    document["notes"].append("kept")
    [card] = content.divergences(documents.Documents(diverge=[document]))
    assert card["notes"] == ["kept"]


@pytest.mark.parametrize(
    "kind", ["compare", "diverge", "check", "crosscheck", pytest.param("bench", marks=pytest.mark.slow)]
)
def test_no_value_in_a_file_is_met_with_a_traceback(kind: str, results: dict[str, Path], tmp_path: Path) -> None:
    """Each in turn is another one: then there is a page, or one clear line."""
    document = json.loads(results[kind].read_text())
    for subject in {"bench": document.get("tables"), "crosscheck": []}.get(kind, [document]):
        subject["problem"] = "mine" if kind == "bench" else {**subject["problem"], "name": "mine"}
    outcomes = set()
    for path in places(document):
        for other in (None, -1, [None]):
            *outer, key = path
            inside = reduce(lambda inside, k: inside[k], outer, document)
            kept, inside[key] = inside[key], other
            (tmp_path / "odd.json").unlink(missing_ok=True)  # to write over a file can be slow
            (tmp_path / "odd.json").write_text(json.dumps(document))
            inside[key] = kept
            try:
                data = content.data(read := documents.read([tmp_path / "odd.json"]), None)
                json.dumps(
                    [
                        data,
                        content.captions(data),
                        content.divergences(read),
                        content.runs(read),
                        content.crosschecks(read),
                    ],
                    allow_nan=False,
                )
                content.verdicts(read, None), content.headline(read, None), content.title(read, None)
                content.facts(read.passport or {}, None), content.rows(read.passport or {})
                outcomes.add("page")
            except UsageError:
                outcomes.add("line")
    assert outcomes == {"page", "line"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json"], "cannot read 'missing.json': No such file or directory"),
        (["one-lyer"], "unknown problem 'one-lyer': did you mean 'one-layer'?"),
        (["one-layer", "two-layer"], "one report is about one problem, not about 'one-layer' and 'two-layer'"),
        (["--out", "nowhere/report.html"], "cannot write 'nowhere/report.html': there is no folder 'nowhere'"),
        (["--out", "."], "cannot write '.': it is a folder"),
        (["--dtype", "float16"], "unknown dtype 'float16'"),
        (["--backend", "numpi"], "unknown backend 'numpi'"),
        (["digits", BENCH], "one report is about one problem, not about 'digits' and 'one-layer'"),
        ([BENCH, "--updates", "3"], "the results say how it was trained: leave out --updates"),
    ],
)
def test_one_clear_line_for(command: Any, arguments: list[str], message: str, timed: Path, tmp_path: Path) -> None:
    done = command(*(timed if argument == BENCH else argument for argument in arguments), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"equigrad: {message}")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "two-layer"}, "not about 'one-layer' and 'two-layer'"),
        ({"updates": 41}, "not about 'one-layer' with updates 40 and 41"),
        ({"seed": 2}, "not about 'one-layer' with seed 1 and 2"),
    ],
    ids=["problem", "updates", "seed"],
)
def test_results_of_two_trainings_are_not_mixed(
    change: dict[str, Any], message: str, results: dict[str, Path], tmp_path: Path
) -> None:
    other = edited(results["diverge"], tmp_path / "other.json", lambda d: d["problem"].update(change))
    with pytest.raises(UsageError, match=re.escape(message)):
        equigrad.report(results=[results["compare"], other], out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_an_older_page_is_replaced_whole_or_kept(
    results: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")
    before = out.stat().st_ino
    page = equigrad.report(results=[results["compare"]], backends=["numpy"], out=out)
    assert out.read_text() == page.html
    assert out.stat().st_ino != before  # another file took its name
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UsageError, match="No space left on device"):
        page.write(out)
    assert out.read_text() == page.html
    assert os.listdir(tmp_path) == ["report.html"]


HIDE = """
import sys

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hider())
sys.argv[1:] = ["report"]
from equigrad.cli import main
main()
"""


@pytest.mark.slow(but=["jinja2"])
@pytest.mark.parametrize("library", ["jinja2", "plotly"])
def test_a_missing_library_is_named_with_its_command(library: str, tmp_path: Path) -> None:
    code = HIDE.format(name=library)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == f"equigrad: {library} is not installed: pip install 'equigrad[report]'\n"
    assert os.listdir(tmp_path) == []


def test_neither_library_is_imported_before_it_is_needed() -> None:
    heavy = ("jinja2", "plotly", "torch", "jax")
    code = f"import sys, equigrad; equigrad.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_backend_spelt_in_two_ways_is_shown_once() -> None:
    page = equigrad.report(built_in("one-layer").with_(updates=3), backends=["numpy:cpu", "numpy"])
    assert "as NumPy. Start" in page.html
    assert "NumPy:cpu" not in page.html


@pytest.mark.slow(but=["nothing was checked"])
@pytest.mark.parametrize(
    "change",
    [
        {"complex_step": 1.0},
        {"backends": ()},
    ],
    ids=["the two referees contradict each other", "nothing was checked"],
)
@pytest.mark.slow(but=["contradict"])
def test_a_check_that_is_no_agreement_is_none_on_the_page(change: dict[str, Any], tmp_path: Path) -> None:
    check = replace(equigrad.check(TASK, ["numpy"]), **change)
    assert not check.agreed
    write_json(tmp_path / "check.json", check.to_json())
    page = equigrad.report(None, [tmp_path / "check.json"], backends=["numpy"])
    assert not page.agreed
    assert "Not everything agrees." in page.html


def test_weights_of_two_dtypes_are_the_same_within_each(tmp_path: Path) -> None:
    for dtype in DTYPES:
        result = equigrad.compare(TASK, ["numpy", "torch"], dtype=dtype, arithmetic="reproducible")
        write_json(tmp_path / f"{dtype}.json", result.to_json())
    page = equigrad.report(None, sorted(tmp_path.glob("*.json")), backends=["numpy"])
    assert "NumPy and PyTorch reach the same weights, bit for bit." in page.html
