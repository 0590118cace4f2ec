"""What a file of results says is shown as text: whatever it holds, the page has no element that the data brought."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import reduce
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import equigrad
from equigrad.common.errors import UsageError
from equigrad.common.files import write_json
from equigrad.common.problem import problem as built_in
from length import at_length

EVIL = [
    "<img src=x onerror=alert(1) data-evil>",
    "</script><script data-evil>document.title='evil'</script>",
    "\"'><svg onload=alert(1) data-evil>",
    "<a href='https://evil.example/' data-evil>x</a>",
    "<b data-evil>x</b>",
    "<!-- <script>",
    "&lt;img data-evil&gt;",
    "</td></table><iframe data-evil>",
    "{{ 7 * 7 }}{% raw %}",
    "%{fullData.name}",
    "__proto__",
    "constructor",
    "\u2028\u0000\U0001f600",
]
TASK = built_in("one-layer").with_(updates=15)
KINDS = ("compare", "diverge", "check", "crosscheck", "bench")
TRAINED = ("compare", "diverge", "check")


@pytest.fixture(scope="module")
def results(timed: Path, crosschecked: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One result of each kind, of a problem that is not built in, so that nothing is run for a page."""
    path = tmp_path_factory.mktemp("port") / "crosscheck.json"
    write_json(path, crosschecked.to_json())
    found = {
        "compare": equigrad.compare(TASK, ["numpy"]).to_json(),
        "diverge": equigrad.diverge(TASK, ["numpy"], dtype=["float64", "float32"]).to_json(),
        "check": equigrad.check(TASK, ["numpy"], curve=True).to_json(),
        "bench": json.loads(timed.read_text()),
        "crosscheck": json.loads(path.read_text()),
    }
    for kind in TRAINED:
        found[kind]["problem"]["name"] = "mine"
    bench = json.loads(json.dumps(found["bench"]).replace("one-layer", "mine"))
    for table in (*bench["tables"], bench):  # the same name in the table and beside its samples
        for i, row in enumerate(table.get("rows", table.get("benchmarks"))):
            row["name"] = row["name"] + EVIL[i % len(EVIL)]
    return {**found, "bench": bench}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every string and every object in a document, of long lists to the first three."""
    if isinstance(value, str | dict):
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


def spoil(document: dict[str, Any], at: tuple[Any, ...], evil: str) -> None:
    """Put `evil` in the place of a string, or as a key and its value into an object."""
    value = reduce(lambda inside, key: inside[key], at, document)
    if isinstance(value, dict):
        value[evil] = [evil] if at == ("how",) else evil
    elif at != ("kind",):
        reduce(lambda inside, key: inside[key], at[:-1], document)[at[-1]] = evil


class Elements(HTMLParser):
    """Counts the elements of a page by name and notes what only the data could have brought."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.brought: list[str] = []
        self.scripts = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        names = [name for name, _ in attributes]
        if tag in ("img", "iframe") or any(name == "data-evil" or name.startswith("on") for name in names):
            self.brought.append(f"{tag} {names}")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), share=st.sampled_from([0.03, 0.3, 1.0]), seed=st.integers(0, 2**32 - 1))
def test_no_field_of_a_file_is_ever_markup(
    results: dict[str, Any], tmp_path: Path, kind: str, share: float, seed: int
) -> None:
    """A share of all strings and objects is spoiled, so that every field is tried many times."""
    document, pick = json.loads(json.dumps(results[kind])), Random(seed)
    for at in list(places(document)):
        if pick.random() < share:
            spoil(document, at, pick.choice(EVIL))
    (tmp_path / "odd.json").write_text(json.dumps(document))
    try:
        html = equigrad.report(results=[tmp_path / "odd.json"]).html
    except UsageError:
        return
    found = Elements(html)
    assert found.brought == []
    assert found.scripts == SCRIPTS
    assert "49" not in re.findall(r"<title>(.*?)</title>", html)[0]


SCRIPTS = 6
"""Data, engine, worker, replay, Plotly's library and charts; what trains comes only with a problem's data."""


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(at_length(3, short=1)))
def test_a_browser_makes_no_element_of_what_stands_in_every_string(
    open_tab: Any, results: dict[str, Any], tmp_path: Path, turn: int
) -> None:
    """All strings of five files at once, but those that say what trained alike; then every chart is drawn."""
    paths = []
    for kind in KINDS:
        document = json.loads(json.dumps(results[kind]))
        for i, at in enumerate(list(places(document))):
            if at[:1] not in {("problem",), ("tables",), ("benchmarks",)}:
                spoil(document, at, EVIL[(5 * turn + i) % len(EVIL)])
        paths.append(tmp_path / f"{kind}.json")
        paths[-1].write_text(json.dumps(document))
    equigrad.report(results=paths, out=tmp_path / "page.html")
    tab = open_tab(tmp_path / "page.html")
    title = tab.page.title()
    for chart in tab.page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for(timeout=8000)
    assert tab.page.locator("[data-evil], img, iframe, [onerror], [onload]").count() == 0
    links = (
        "all => all.map(a => a.getAttribute('href') ?? a.getAttribute('xlink:href')).filter(to => !to.startsWith('#'))"
    )
    assert tab.page.locator("a").evaluate_all(links) == []
    assert EVIL[3] in tab.page.locator("#chart-timings .yaxislayer-above").text_content()
    assert tab.page.title() == title
    tab.close()
