"""The JSON file is what docs/json.md says, loses no bit, and is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad import cli, compare, problem
from equigrad.common.agreement import OUTCOMES
from equigrad.common.errors import UsageError
from equigrad.common.files import write_json
from equigrad.compare.result import Comparison

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
MAPS = ("passport.versions", "passport.thread_variables", "passport.vector_variables")
"""Whose keys are names of the machine's, not ours."""
ISSUED = {
    "": "schema problem passport verdict runs",
    "problem": "name layers samples updates learning_rate",
    "runs": "backend device dtype arithmetic outcome message weights_sha256 max_ulp max_abs_difference bound "
    "weights outputs seconds microseconds_per_update",
}
"""The keys that every version of schema 1 has."""


@pytest.fixture(scope="module", params=["float64", "float32"])
def result(request: pytest.FixtureRequest) -> Comparison:
    return compare(problem("two-layer").with_(updates=60), dtype=request.param, predict=np.array([[0.1, 0.2, 1 / 3]]))


@pytest.fixture
def written(result: Comparison, tmp_path: Path) -> dict[str, Any]:
    write_json(tmp_path / "result.json", result.to_json())
    data: dict[str, Any] = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    return data


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The path of every key that holds no further keys."""
    if isinstance(value, dict) and path not in MAPS:
        for key, v in value.items():
            yield from paths(v, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for v in value:
            yield from paths(v, f"{path}[]")
    else:
        yield path


@pytest.mark.slow(but=["float64"])
def test_every_key_is_documented_and_every_documented_key_is_there(
    written: dict[str, Any], ready: Callable[..., object]
) -> None:
    ready("torch"), ready("jax")
    documented = re.findall(r"^\| `([a-z0-9_.\[\]]+)` \|", DOCUMENT.partition("## Outcomes")[0], re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == set(paths(written))


def test_the_documented_outcomes_are_the_vocabulary() -> None:
    table = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", DOCUMENT.partition("## Outcomes")[2], re.MULTILINE)
    assert dict(table) == OUTCOMES


def test_no_key_of_schema_1_is_missing(written: dict[str, Any]) -> None:
    assert written["schema"] == 1
    assert list(written) == ISSUED[""].split()
    assert set(written["problem"]) >= set(ISSUED["problem"].split())
    for run in written["runs"]:
        assert set(run) >= set(ISSUED["runs"].split())
        assert run["outcome"] in OUTCOMES


def test_every_number_comes_back_with_its_bits(result: Comparison, written: dict[str, Any]) -> None:
    for run, read in zip(result.runs, written["runs"], strict=True):
        if run.outcome == "missing":
            continue
        assert run.outputs is not None
        assert run.predictions is not None
        for array, values in [
            *zip(run.weights, read["weights"], strict=True),
            (run.outputs, read["outputs"]),
            (run.predictions, read["predictions"]),
        ]:
            assert array.dtype == run.dtype
            assert np.array(values, dtype=run.dtype).tobytes() == array.tobytes()
        for name in ("seconds", "max_abs_difference", "bound", "microseconds_per_update", "max_ulp"):
            assert read[name] == getattr(run, name)


def test_the_documented_code_recomputes_the_hash(written: dict[str, Any], tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    code = code.replace('open("result.json")', "opened")
    with (tmp_path / "result.json").open() as opened:
        exec(code, {"opened": opened})
    written["runs"][0]["weights"][0][0][0] += 1e-6
    run = written["runs"][0]
    changed = hashlib.sha256(b"".join(np.array(w, run["dtype"]).tobytes() for w in run["weights"]))
    assert changed.hexdigest() != run["weights_sha256"]


def test_nan_and_infinity_are_strings(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [math.nan, {"b": (math.inf, -math.inf, 5e-324)}]})
    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert read == {"a": ["nan", {"b": ["inf", "-inf", 5e-324]}]}


@pytest.mark.parametrize("failing", [(os, "replace"), (Path, "open")], ids=["taking the name", "opening"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_an_older_file_stays_when_writing_fails_in(
    failing: tuple[Any, str], error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    file.write_text("older")

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(*failing, fail)
    expected = UsageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_json(file, {"a": 1})
    monkeypatch.undo()
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("compare -b numpy --updates 5", "numpy ran alone"),
        ("diverge -b numpy -b numpy --updates 5", "never part"),
        ("check one-layer -b numpy --arithmetic native", "numpy"),
        ("check -b numpy --arithmetic native --examples 3", "numpy"),
    ],
    ids=["compare", "diverge", "check of a problem", "check"],
)
def test_a_disk_that_fills_up_costs_the_file_but_not_the_table_of(
    arguments: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "a.json"
    monkeypatch.setattr(sys, "argv", ["equigrad", *arguments.split(), "--json", str(file)])
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert err == f"equigrad: cannot write '{file}': No space left on device\n"
    assert shown in out
    assert not any(tmp_path.iterdir())


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "file.json")
    write_json(tmp_path / "link.json", {})
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "there" / "file.json").read_text() == "{}\n"
