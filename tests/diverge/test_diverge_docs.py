"""docs/diverge.md says what the commands do."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from equigrad.backends.interface import Backend
from equigrad.cli import main

Ready = Callable[..., Backend]
TEXT = (Path(__file__).parents[2] / "docs" / "diverge.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ equigrad (.+)$", TEXT, re.MULTILINE)
SNIPPETS = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["equigrad", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def test_the_finding_still_comes_out(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Counts depend on the processor; that the derivative differs, and how, does not."""
    ready("torch"), ready("jax")
    (command,) = (c for c in COMMANDS if c.startswith("diverge"))
    assert run(monkeypatch, *shlex.split(command), "--json", str(tmp_path / "d.json")) == 1
    first = json.loads((tmp_path / "d.json").read_text())["first"]
    assert "derivative" in {o["name"] for o in first["operations"] if not o["same"]}
    out = capsys.readouterr().out
    for association in ("torch: (g * (1 - s)) * s", "jax: g * (s * (1 - s))"):
        assert association in TEXT
        assert association in out


def test_the_trace_has_the_documented_lines(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready("torch"), ready("jax")
    (command,) = (c for c in COMMANDS if c.startswith("trace"))
    assert run(monkeypatch, *shlex.split(command)) == 0
    out = capsys.readouterr().out
    documented = re.findall(r"^\w\d = .+$", TEXT, re.MULTILINE)
    assert len(documented) == 3
    assert all(line in out for line in documented)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_snippet_runs(ready: Ready, capsys: pytest.CaptureFixture[str], snippet: str) -> None:
    ready("jax")
    exec(compile(snippet, "docs/diverge.md", "exec"), {})
    assert "gradient dot" in capsys.readouterr().out


def test_every_key_is_documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both = ("-b", "numpy", "--arithmetic", "native", "--arithmetic", "reproducible", "--updates", "3")
    assert run(monkeypatch, "diverge", *both, "--json", str(tmp_path / "d.json")) == 1
    data = json.loads((tmp_path / "d.json").read_text())
    keys = {*data, *data["first"], *data["first"]["elements"][0], *data["first"]["operations"][0]}
    shared_with_compare = {"schema", "problem", "passport"}
    table = TEXT[TEXT.index("| key |") :]
    assert {key for key in keys - shared_with_compare if f"`{key}`" not in table} == set()
