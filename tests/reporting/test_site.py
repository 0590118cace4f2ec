"""`equigrad report --site`: whole, closed in itself, and nothing of it is left behind where it fails."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import pytest

from equigrad.common.errors import UsageError
from equigrad.common.problem import PROBLEMS, Problem, digits, one_layer
from equigrad.reporting import static_site
from length import at_length

DOCS = Path(__file__).parents[2] / "docs"


def some_digits() -> Problem:
    """What is checked of them takes most of the time that a site takes."""
    task, rows = digits(), at_length(1_797, short=60)
    return replace(task, inputs=task.inputs[:rows], targets=task.targets[:rows])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "public"
    with patch.object(static_site, "PROBLEMS", {**PROBLEMS, "digits": some_digits}):
        pages = static_site.site(folder, backends=["numpy"], dtype="float64", updates=3)
    assert list(pages) == ["one-layer", "two-layer", "digits"]
    assert all(page.agreed for page in pages.values())
    return folder


def own(page: Path) -> str:
    """A page without the scripts, which hold what is no markup."""
    return re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.S)


@pytest.mark.slow
def test_it_holds_an_index_three_problems_and_every_page_of_the_documentation(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    documentation = {f"docs-{path.stem}.html" for path in DOCS.glob("*.md")}
    assert names == {"index.html", "one-layer.html", "two-layer.html", "digits.html", "images", *documentation}
    assert {path.name for path in (site / "images").iterdir()} == {path.name for path in (DOCS / "images").iterdir()}
    index = (site / "index.html").read_text()
    assert '<a class="brand" href="index.html">' in (site / "digits.html").read_text(encoding="utf-8")
    assert all(f'href="{name}"' in index for name in names - {"images", "index.html"})


@pytest.mark.slow
def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path.name: own(path) for path in site.glob("*.html")}
    for name, text in pages.items():
        for link in map(unescape, re.findall(r'\shref="([^"]*)"', text)):
            page, _, anchor = link.partition("#")
            if page.startswith("https://"):
                continue  # followed by a reader, asked for by no page
            assert (page or name) in pages, (name, link)
            assert not anchor or f'id="{anchor}"' in pages[page or name], (name, link)
        for source in re.findall(r'\ssrc="([^"]*)"', text):
            assert (site / source).is_file(), (name, source)


@pytest.mark.slow
def test_a_web_server_hands_it_out_and_its_page_trains(site: Path, chromium: Any) -> None:
    """Over HTTP and not from a file: the worker and SHA-256 work there too."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    context = chromium.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    home = f"http://127.0.0.1:{server.server_port}/"
    page.goto(home + "index.html")
    page.click('.cards a[href="one-layer.html"]')
    page.locator("#mine.good").wait_for()
    context.close()
    server.shutdown()
    server.server_close()
    assert all(url.startswith((home, f"blob:{home}")) for url in asked)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def test_what_is_in_the_folder_already_stays_but_for_pages_of_these_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "CNAME").write_text("mine")
    (tmp_path / "index.html").write_text("old")
    monkeypatch.setattr(static_site, "PROBLEMS", {"one-layer": one_layer})
    static_site.site(tmp_path, backends=["numpy"], dtype="float64", updates=1)
    assert (tmp_path / "CNAME").read_text() == "mine"
    assert "old" not in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere/site", "cannot write 'nowhere/site': there is no folder 'nowhere'"),
        ("taken", "cannot write a site to 'taken': it is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_is_told_before_anything_is_run(
    folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(static_site, "report", lambda *_, **__: pytest.fail("this was run"))
    with pytest.raises(UsageError, match=re.escape(message)):
        static_site.site(folder)
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize("other", [("one-layer",), ("--out", "a.html"), ("--seed", "2")], ids=" ".join)
def test_what_a_site_has_no_use_for_is_refused(command_line: Any, other: tuple[str, ...], tmp_path: Path) -> None:
    done = command_line("report", "--site", "site", *other, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("equigrad: --site writes a page for each built-in problem: leave out ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_headings_get_the_names_that_links_expect() -> None:
    html = static_site._html("# A: b c\n\n## A: b c\n\n[x](#a-b-c) [y](other.md#z) [c](../code.py)", {"other.md"})
    assert 'id="a-b-c"' in html
    assert 'id="a-b-c-1"' in html
    assert '<a href="#a-b-c">x</a> <a href="docs-other.html#z">y</a> <span>c</span>' in html


@pytest.mark.slow
@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize(
    ("name", "scheme"),
    at_length(
        [*product(["index", "docs-check"], ["light", "dark"])], short=[("index", "light"), ("docs-check", "dark")]
    ),
)
def test_axe_finds_no_violation_on(site: Path, open_tab: Any, name: str, scheme: str) -> None:
    from axe_playwright_python.base import AXE_FILE_PATH

    tab = open_tab(site / f"{name}.html", color_scheme=scheme)
    tab.page.evaluate(Path(AXE_FILE_PATH).read_text())
    found = tab.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    tab.close()
    assert [(v["id"], node["target"], node["failureSummary"]) for v in found for node in v["nodes"]] == []
