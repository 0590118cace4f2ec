"""The three problems and the documentation as a folder of files that any web server can hand out."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..common.errors import UsageError
from ..common.files import check_writable, write_text
from ..common.problem import PROBLEMS
from ..common.progress import Progress, named
from .page import Page, libraries, report, text_of

ABOUT = {
    "one-layer": "Four rows, three inputs, one answer: the whole of backpropagation in one matrix.",
    "two-layer": "Exclusive or: what one layer cannot learn, a hidden layer can.",
    "digits": "1,797 handwritten digits, and a pad to draw one on.",
}
"""One sentence for each problem."""


def site(
    folder: str | os.PathLike[str],
    *,
    backends: Sequence[str] | None = None,
    dtype: str = "both",
    updates: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Page]:
    """Write index.html, a page for each problem and the documentation into `folder`, and return the pages by problem.

    The arguments are those of `report`; `updates` None means each problem's own. The folder is made if it is not
    there; what else is in it stays. Nothing is written before all pages are made.

    Raises UsageError for what cannot be used or written, and MissingError without 'equigrad[report]'.
    """
    target = Path(folder)
    there = os.path.isdir(target)
    if os.path.exists(target) and not there:
        raise UsageError(f"cannot write a site to '{folder}': it is not a folder")
    check_writable(target / "index.html" if there else target)
    environment, _ = libraries()
    template = environment.get_template("site.html")
    pages = {
        name: report(
            make().with_(updates=updates), backends=backends, dtype=dtype, home="index.html",
            progress=named(name, progress),
        )
        for name, make in PROBLEMS.items()
    }  # fmt: skip
    documents = {path.stem: path.read_text(encoding="utf-8") for path in _documentation()}
    titles = {name: _title(text) for name, text in documents.items()}
    common = {"css": text_of("page.css"), "problems": list(pages), "titles": titles}
    written = {f"{name}.html": page.html for name, page in pages.items()}
    for name, text in documents.items():
        body = _html(text, known={f"{other}.md" for other in documents})
        written[f"docs-{name}.html"] = template.render(title=titles[name], body=body, **common)
    about = {
        name: {"about": ABOUT[name], "verdict": page.verdict, "agreed": page.agreed} for name, page in pages.items()
    }
    written["index.html"] = template.render(title="equigrad", body="", about=about, **common)
    try:
        target.mkdir(exist_ok=True)
        if documents:
            shutil.copytree(_home() / "images", target / "images", dirs_exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write a site to '{folder}': {error.strerror or error}") from error
    for name, html in written.items():
        write_text(target / name, html)
    return pages


def _home() -> Path:
    return Path(str(files(__package__))).parent / "docs"


def _documentation() -> list[Path]:
    """The pages for users, by name."""
    return sorted(_home().glob("*.md"))


def _title(text: str) -> str:
    return next(line.removeprefix("# ").replace("`", "") for line in text.splitlines() if line.startswith("# "))


def _html(text: str, known: set[str]) -> str:
    """The page as HTML; links to pages of the site lead there, and those to files beside it are text alone."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(text)
    ids: set[str] = set()
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", _slug(inline.content, ids))
    for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "th_open" and not inline.content:
            opening.tag = closing.tag = "td"  # a header that says nothing is none
    for token in tokens:
        _relink(token.children or [], known)
        if token.type in ("fence", "table_open"):
            token.attrSet("tabindex", "0")  # they scroll, so they are reached by keyboard
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _slug(heading: str, taken: set[str]) -> str:
    """As most hosts of repositories name a heading; a second one of that name gets a number."""
    base = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
    slug = next(s for s in (base, *(f"{base}-{i}" for i in range(1, 1_000))) if s not in taken)
    taken.add(slug)
    return slug


def _relink(tokens: list[Any], known: set[str]) -> None:
    inside = False
    for token in tokens:
        if token.type == "link_open":
            page, _, anchor = str(token.attrGet("href")).partition("#")
            if page in known:
                token.attrSet("href", f"docs-{page.removesuffix('.md')}.html" + (f"#{anchor}" if anchor else ""))
            elif page and "://" not in page:
                token.tag, token.attrs, inside = "span", {}, True
        elif token.type == "link_close" and inside:
            token.tag, inside = "span", False
