"""docs/everywhere.md holds what was run, names what was not, and loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equigrad import compare, problem
from equigrad.common.errors import MissingError
from equigrad.common.files import write_json
from equigrad.common.golden import EARLY
from equigrad.common.machine import machine
from equigrad.scale import emulated, everywhere
from equigrad.scale.everywhere import Place, Seen, Sightings, main

DOCS = Path(__file__).parents[1] / "docs"
HASH = EARLY["digits"][1]["float64"]
QUICK = Place(
    "as it is", backends=["numpy"], options=["--updates", "20"], environment={"OMP_NUM_THREADS": "1"}
)  # two threads would only wait for each other


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What somebody sends."""
    return compare(problem("digits").with_(updates=20), ["numpy"], arithmetic="reproducible").to_json()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "everywhere.md"


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`only(place, ...)` leaves nothing else to run."""
    return lambda *places: monkeypatch.setattr(everywhere, "places", lambda: list(places))


def python(folder: Path, *lines: str) -> Path:
    """What stands in for a Python that goes wrong."""
    path = folder / "python"
    path.write_text("\n".join(["#!/bin/sh", *lines]))
    path.chmod(0o755)
    return path


def lines(page: Path) -> list[Seen]:
    return Sightings.read(page).lines


def test_the_page_is_made_from_the_lines_that_are_kept_beside_it() -> None:
    kept = Sightings.read(DOCS / "everywhere.md")
    assert kept.text() == kept.path.read_text(encoding="utf-8"), "run python -m equigrad.scale.everywhere"
    assert all(line.published for line in kept.lines)


@pytest.mark.slow
def test_a_line_is_a_command_that_was_run_and_is_kept_while_it_says_the_same(
    page: Path, only: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    only(QUICK)
    assert main([str(page)]) == 0
    (line,) = lines(page)
    assert line.hashes == {"numpy": [HASH]}
    command = "equigrad compare digits -b numpy --arithmetic reproducible --dtype float64 --updates 20"
    assert line.command == f"OMP_NUM_THREADS=1 {command}"
    assert f"| `{HASH[:12]}` | yes | {line.date} |" in page.read_text()
    assert f"# as it is, float64\n{line.command}\n" in page.read_text()
    capsys.readouterr()
    assert main([str(page)]) == 0
    assert capsys.readouterr().out == "as it is, float64: kept\n"


@pytest.mark.parametrize(
    ("change", "again"),
    [
        pytest.param({}, False, id="the same"),
        pytest.param({"versions": {"numpy": "1.0"}}, True, id="another version"),
        pytest.param({"command": "another"}, True, id="another command"),
        pytest.param({"hashes": {"numpy": ["0" * 64]}}, True, id="not the published hash"),
    ],
)
def test_a_line_is_run_again_where_it_may_say_something_else_after(change: dict[str, Any], again: bool) -> None:
    place = replace(QUICK, versions={"numpy": "2.0"})
    line = Seen(
        "as it is", "float64", "m", "2026-11-25", place.command("float64"), 20, {"numpy": "2.0"}, {"numpy": [HASH]}
    )
    assert place.keeps(replace(line, **change)) is not again
    assert not replace(place, versions=None).keeps(line)


@pytest.mark.slow(but=["an error"])
@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(["echo 'No such instruction' >&2", "exit 3"], "ended with 3: No such instruction", id="an error"),
        pytest.param(["kill -KILL $$"], "ended with -9: it said nothing", id="a signal"),
        pytest.param(["sleep 60"], "not done after 1 seconds", id="silence"),
    ],
)
def test_a_line_that_fails_is_named_with_its_reason_and_others_are_kept_after(
    page: Path, only: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: list[str],
    why: str, document: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.setattr(everywhere, "LONGEST", 1)
    write_json(tmp_path / "mine.json", document)
    assert main([str(page), "--add", str(tmp_path / "mine.json")]) == 0
    only(replace(QUICK, where="bad", python=lambda folder: python(folder, *script)))
    assert main([str(page)]) == 1
    assert [line.where for line in lines(page)] == ["as it is"]
    assert f"- bad, float64: {'the command ' if 'ended' in why else ''}{why} (" in page.read_text()


def test_a_run_that_is_interrupted_says_so_on_the_page(
    page: Path, only: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: Path) -> Path:
        raise KeyboardInterrupt

    only(replace(QUICK, where="slow", python=interrupted), replace(QUICK, where="later"))
    assert main([str(page)]) == 130
    assert "- slow, float64: begun and not finished (" in page.read_text()
    assert "- later, float64: not run yet" in page.read_text()
    assert "interrupted" in capsys.readouterr().err


def test_another_hash_is_shown_as_such(page: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    other = compare(problem("digits").with_(updates=20, seed=2), ["numpy"], arithmetic="reproducible").to_json()
    write_json(tmp_path / "other.json", {**document, "runs": other["runs"]})
    assert main([str(page), "--add", str(tmp_path / "other.json")]) == 1
    assert "| **no** |" in page.read_text()


def test_two_machines_have_a_line_each(page: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    write_json(tmp_path / "mine.json", document)
    theirs = {**document, "passport": {**document["passport"], "processor": "Another"}}
    write_json(tmp_path / "theirs.json", theirs)
    for name in ("mine", "theirs", "mine"):
        assert main([str(page), "--add", str(tmp_path / f"{name}.json"), "--where", "by hand"]) == 0
    assert len(lines(page)) == 2
    assert "\n## Another, " in page.read_text()


def spoilt(document: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    copy["runs"][0]["weights"][0][0][0] += 1.0
    return copy


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(spoilt, "do not have the hash", id="weights that have another hash"),
        pytest.param(lambda d: {"runs": []}, "no result of `equigrad compare --json`", id="another kind of file"),
        pytest.param(lambda d: [], "no result of `equigrad compare --json`", id="a list"),
        pytest.param(
            lambda d: {**d, "problem": {"name": "two-layer", "updates": 50}}, "and its own updates", id="a problem"
        ),
        pytest.param(lambda d: {**d, "runs": []}, "and its own updates", id="no reproducible run"),
    ],
)
def test_what_is_no_such_result_is_refused_in_one_line_for(
    page: Path, tmp_path: Path, document: dict[str, Any], capsys: pytest.CaptureFixture[str], said: str,
    spoil: Callable[[dict[str, Any]], Any],
) -> None:  # fmt: skip
    write_json(tmp_path / "mine.json", spoil(document))
    assert main([str(page), "--add", str(tmp_path / "mine.json")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not page.exists()


def test_a_place_that_nobody_knows_is_refused_with_those_that_are(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(page), "--only", "Mars"]) == 2
    assert "'Mars' is none of the places: as it is; oldest NumPy" in capsys.readouterr().err


def test_what_costs_gigabytes_or_a_gpu_is_run_only_if_it_is_named() -> None:
    empty = Sightings(Path("x"), [], {})
    usual = {place.where for place, _ in everywhere._chosen([], False, empty)}
    assert {"SSE at most", "1, 2, 3 and 4 processes", "aarch64 under emulation"} <= usual
    assert not usual & {"CUDA", "oldest PyTorch allowed", "newest PyTorch"}
    assert [place.where for place, _ in everywhere._chosen(["cuda"], False, empty)] == ["CUDA"]
    assert [place.where for place, _ in everywhere._chosen(["SSE"], False, empty)] == ["SSE at most"]  # proceSSEs too


@pytest.mark.parametrize(("processor", "tried"), [("x86_64", True), ("aarch64", False)])
def test_the_vector_units_of_x86_are_tried_only_there(
    processor: str, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everywhere, "machine", lambda: {**machine(), "system": f"Linux {processor}"})
    usual = {place.where for place, _ in everywhere._chosen([], False, Sightings(Path("x"), [], {}))}
    assert (everywhere.VECTOR_SETTINGS.keys() <= usual) is tried
    assert "as it is" in usual


def test_the_oldest_versions_are_those_that_the_package_allows() -> None:
    project = (DOCS.parent / "pyproject.toml").read_text()
    old = [place.installed for place in everywhere.places() if place.where.startswith("oldest")]
    for name, minimum in (("numpy", "2.0"), ("jax", "0.10"), ("torch", "2.11")):
        assert f'"{name}>={minimum}"' in project
        assert any(f"{name}=={minimum}.0 " in installed for installed in old)


def test_emulation_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="qemu-aarch64-static is not installed: apt-get install qemu-user-static"):
        emulated.python(tmp_path)


def test_an_installation_that_fails_says_its_last_word(
    page: Path, only: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in emulated.NEEDED:
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    only(replace(QUICK, where="aarch64", dtypes=("float64", "float32"), python=emulated.python))
    assert main([str(page)]) == 1
    for dtype in ("float64", "float32"):
        assert f"- aarch64, {dtype}: apt-get ended with 100: E: no network (" in page.read_text()


def test_the_wrapper_hands_on_what_it_is_given(tmp_path: Path) -> None:
    """With a stand-in for QEMU that runs our own Python."""
    text = emulated.WRAPPER.format(site="/site", qemu=f"sh -c 'shift 3; exec {sys.executable} \"$@\"' sh", root="/root")
    path = tmp_path / "python"
    path.write_text(text)
    path.chmod(0o755)
    code = "import os, sys; print(os.environ['PYTHONPATH'], *sys.argv[1:])"
    done = subprocess.run(
        [path, "-c", code, "a b"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "/ours"}
    )
    assert done.stdout == "/ours:/site a b\n", done.stderr
