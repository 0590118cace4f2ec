"""What a notebook shows, and the notebook in docs, which is executed as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import equigrad
from equigrad.backends.interface import Backend
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.check.gradcheck import thorough
from equigrad.common.problem import problem as built_in
from length import at_length

WALKTHROUGH = Path(__file__).parents[2] / "docs" / "walkthrough.ipynb"
TASK = replace(built_in("one-layer").with_(updates=20), name="<i>&one</i>")


LONG = ("100_000", 'compare("one-layer")', "replace(two_layer,")
"""In cells that train for long, and that no other cell builds on."""


def text(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", html))


def test_a_comparison_shows_its_runs_and_verdict() -> None:
    result = equigrad.compare(TASK, ["numpy"])
    html = result._repr_html_()
    assert "<i>" not in html
    assert "&lt;i&gt;&amp;one&lt;/i&gt;: 3 → 1, 20 updates" in html
    assert all(verdict in text(html) for verdict in result.verdicts)
    assert str(result.runs[0].weights_sha256)[:12] in html
    assert html.count("<tr>") == 1 + len(result.runs)


class Doubled(NumpyBackend):
    def gradient(self, weights: Any, x: Any, y: Any) -> Any:
        return tuple(2 * g for g in super().gradient(weights, x, y))


@pytest.mark.needs("flint")
def test_a_check_shows_its_layers_messages_and_verdict() -> None:
    result = equigrad.check(TASK, ["numpy", Doubled], arithmetic="native")
    html, shown = result._repr_html_(), text(result._repr_html_())
    assert "<i>" not in html
    assert html.count("<tr>") == 1 + sum(len(b.layers) for b in result.backends)
    assert all(said in shown for said in (result.title, result.verdict, result.backends[1].message))


@pytest.mark.needs("flint", "hypothesis")
def test_a_thorough_check_shows_its_finding_and_verdict() -> None:
    result = thorough(["numpy", Doubled], examples=1)
    html, shown = result._repr_html_(), text(result._repr_html_())
    assert html.count("<tr>") == 1 + len(result.backends)
    finding = list(result.backends[1].lines())
    assert all(said in shown for said in (result.title, result.verdict, *finding))


def test_a_trace_shows_every_line_and_marks_what_differs() -> None:
    result = equigrad.trace(TASK, ["numpy"], updates=3, dtype=["float64", "float32"])
    html = result._repr_html_()
    assert "<i>" not in html
    assert html.count("<tr>") == 1 + len([*result.given, *result.lines])
    shown = text(html)
    for line in result.lines:
        assert f"{line.values[1][0, 0]:.8g}" in shown or str(line.values[1][0, 0]) in shown
    marks = sum(line.differing[1] for line in result.lines)
    assert marks
    assert shown.count("≠") == 1 + marks


def test_a_long_trace_is_cut_and_says_so() -> None:
    html = equigrad.trace(TASK, ["numpy"], updates=20)._repr_html_()
    assert "and 63 more lines" in html


def test_a_divergence_shows_its_verdict_and_operations(ready: Callable[..., Backend]) -> None:
    ready("torch")
    result = equigrad.diverge(TASK, ["numpy"], dtype=["float64", "float32"], arithmetic="native")
    html = result._repr_html_()
    assert "<i>" not in html
    assert result.first is not None
    assert f"part in update {result.first.update}" in text(html)
    assert html.count("<tr>") == 1 + len(result.first.operations)
    same = equigrad.diverge(TASK, ["numpy", "torch"], arithmetic="reproducible")._repr_html_()
    assert "never part" in same


@pytest.mark.slow
def test_the_walkthrough_runs_and_gives_the_figures_stored_in_it(
    ready: Callable[..., Backend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the shell that a kernel wraps, in this process, which has the frameworks already."""
    for name in ("numpy", "torch", "jax"):
        ready(name)
    nbformat, interactive = pytest.importorskip("nbformat"), pytest.importorskip("IPython.core.interactiveshell")
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(WALKTHROUGH, as_version=4)
    nbformat.validate(stored)
    alone = Config(HistoryManager={"enabled": False})
    shell = interactive.InteractiveShell(user_module=ModuleType("walkthrough"), config=alone)
    left_out = at_length((), short=LONG)
    cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    run = [cell for cell in cells if not any(part in cell.source for part in left_out)]
    assert len(run) == len(cells) - len(left_out)
    for cell in run:
        with capture_output() as shown:
            done = shell.run_cell(cell.source)
        assert done.success, cell.source
        forms = {} if done.result is None else shell.display_formatter.format(done.result)[0]
        if "same-everywhere" in cell.metadata.get("tags", []):
            assert forms.get("text/html", shown.stdout) == printed(cell)
            assert printed(cell)
        else:
            (output,) = cell.outputs
            assert set(output.data) <= set(forms)


def printed(cell: Any) -> str:
    """Everything that a cell put out, as text or as HTML."""
    return "".join(o.get("text") or o["data"].get("text/html", "") for o in cell.outputs)
