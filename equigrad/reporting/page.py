"""The page: what to run for it, what goes into it, and the text of the file."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import Any

from ..backends import backend_class, usable
from ..backends.interface import ARITHMETICS, DTYPES
from ..check import gradcheck
from ..common.errors import MissingError, UsageError, needed
from ..common.files import check_writable, plain, write_text
from ..common.headline import TRAIN
from ..common.nearest import check_known
from ..common.problem import Problem, task_of
from ..common.progress import Progress
from ..common.values import several
from ..common.words import listed
from ..compare import comparison
from ..diverge import divergence
from ..passport import passport
from ..session import Spec, canonical_names
from . import aligned, content, documents, recording
from .content import nice
from .documents import Documents

MOST_WORK = 2 * 10**7
"""A forward pass of this many multiplications, over all updates, is recorded in one dtype and not in both."""

ENGINE = ("reproducible", "perceptron", "mt19937", "sha256", "training")
"""The files of the network in JavaScript, each after those that it uses."""


@dataclass(frozen=True)
class Page:
    """The page, ready to be written."""

    html: str = field(repr=False)
    agreed: bool
    """Whether every result in it agrees; missing frameworks do not count."""
    verdict: str
    """In one line."""

    def write(self, path: str | os.PathLike[str]) -> None:
        """Replace the file as a whole or leave it as it was; raises UsageError if it cannot be written."""
        write_text(path, self.html)


def report(
    problem: str | Problem | None = None,
    results: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    backends: Spec | Sequence[Spec] | None = None,
    dtype: str = "both",
    out: str | os.PathLike[str] | None = None,
    home: str = "#verdict",
    progress: Progress | None = None,
) -> Page:
    """The page about `problem`, or about the problem that `results` are of; written to `out` if that is given.

    `results` are JSON files of compare, diverge, check, crosscheck and bench. With a problem, what they do not hold
    is run here, but for timings and ports; without one the page shows what they hold, and a replay if their problem
    is built in. Neither means 'one-layer'. `backends` are as `equigrad.load` takes them, all that are usable
    here unless given; NumPy, with which the others are compared, is always first. `dtype` is 'float64', 'float32' or
    'both', which is float64 alone for a large problem. The name at the top leads `home`.

    Raises UsageError for arguments and files that cannot be used, before anything is written or run, and
    MissingError without the libraries of 'equigrad[report]'.
    """
    check_known("dtype", dtype, (*DTYPES, "both"))
    check_writable(out)
    if out is not None and Path(out).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is written to .html, not to '{out}'")
    environment, plotly = libraries()
    template = environment.get_template("page.html")
    results = several(results)
    given = documents.read(results)
    if problem is None and not results:
        problem = "one-layer"
    asked = None if problem is None else task_of(problem)
    task = documents.of_one_problem(given, asked)
    runs = task is not None or not given.passport  # to find out what is usable imports every framework
    wanted = (usable() if runs else ()) if backends is None else backends
    names = canonical_names(["numpy", *several(wanted)])
    for name in names if backends is not None else ():
        backend_class(name)  # whoever asks for a backend by name is told at once that it is not here
    replay = None
    if task is not None:
        dtypes, notes = _dtypes(task, dtype)
        if asked is not None:
            notes += _run(task, names, dtypes, given, progress)
        firsts = [d["first"]["update"] for d in given.diverge if d["first"]]
        replay = recording.record(task, names, dtypes, ARITHMETICS, firsts, progress)
    else:
        notes = ["There is no replay: " + _why_not(given)] if given.of_problems else []
    page = _page(template, plotly, given, replay, names, notes, home)
    if out is not None:
        page.write(out)
    return page


def _why_not(given: Documents) -> str:
    named = next((d["problem"]["name"] for d in (*given.compare, *given.diverge, *given.check)), None)
    if named is None:
        return (
            "the timings are not of one built-in problem. Name the problem to see it: equigrad report one-layer FILE."
        )
    return f"the results are of '{named}', whose data they do not hold."


@cache
def libraries() -> tuple[Any, str]:
    """The templates' environment, one for all pages, and Plotly's JavaScript; raises MissingError."""
    with needed("jinja2", "plotly", extra="report"):
        import jinja2
        from plotly.offline import get_plotlyjs
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(text_of),
    )
    return environment, get_plotlyjs()


@cache
def _packed(script: str) -> str:
    """As gzip in base64, 2 MB in place of 5, which the page unpacks when the first chart comes into view."""
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()


def text_of(name: str) -> str:
    """A file of this folder."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def _dtypes(task: Problem, dtype: str) -> tuple[list[str], list[str]]:
    """Which to record, and what to say of it."""
    if dtype != "both":
        return [dtype], []
    wide, narrow = DTYPES
    try:
        task.check_fits(narrow)
    except UsageError:
        return [wide], [f"Some numbers of '{task.name}' do not fit into {narrow}, so it was trained in {wide} alone."]
    if task.samples * sum(a * b for a, b in task.shapes) * task.updates < MOST_WORK:
        return [wide, narrow], []
    return [wide], [f"'{task.name}' is large, so it was trained in {wide} alone; --dtype {narrow} shows the other."]


def _run(task: Problem, names: list[str], dtypes: list[str], given: Documents, progress: Progress | None) -> list[str]:
    """Add to `given` what the files did not hold; what could not be done is told in a sentence."""
    notes = []
    if not given.compare:
        given.compare.append(comparison.compare(task, names, dtype=dtypes[0], progress=progress).to_json())
    if not given.diverge:
        for dtype in dtypes:
            for name in names[1:]:
                try:
                    found = divergence.diverge(task, ["numpy", name], dtype=dtype, budget=0.0, progress=progress)
                    given.diverge.append(found.to_json())
                except Exception as error:  # of a backend at odds with the interface; the replay says how
                    notes.append(f"{nice(name)} could not be followed in {dtype}: {_said(error)}")
    if not given.check:
        try:
            for dtype in dtypes:
                checked = gradcheck.check(task, names, dtype=dtype, curve=True, progress=progress)
                given.check.append(checked.to_json())
        except (MissingError, UsageError) as error:  # no referee, or numbers beyond its digits
            notes.append(f"The gradients were not checked: {_said(error)}")
    return notes


def _said(error: Exception) -> str:
    return shorten(str(error) or type(error).__name__, 300, placeholder=" ...")


def _page(
    template: Any,
    plotly: str,
    given: Documents,
    replay: recording.Replay | None,
    names: list[str],
    notes: list[str],
    home: str,
) -> Page:
    verdicts = content.verdicts(given, replay)
    facts = given.passport or passport(names)
    data = content.data(given, replay)
    html = template.render(
        title=content.title(given, replay),
        headline=content.headline(given, replay),
        verdicts=verdicts,
        facts=content.facts(facts, replay),
        passport=content.rows(facts),
        runs=content.runs(given),
        checks=given.check,
        crosschecks=content.crosschecks(given),
        trained=given.of_problems or not given.crosscheck,
        divergences=content.divergences(given),
        replay=replay,
        code=aligned.aligned([*names, aligned.BROWSER]) if replay else [],
        steps=aligned.CODE_STEPS,
        notes=notes,
        home=home,
        charts=content.captions(data),
        timed=data["timings"],
        train=TRAIN,
        curves=data["curves"],
        version=facts.get("equigrad"),
        data=json.dumps(plain(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        plotly=_packed(plotly),
        css=text_of("page.css"),
        live=data["task"] is not None,
        task=replay.problem if replay else None,
        trained_by=listed([nice(name) for name in names]),
        engine="\n".join(text_of(f"engine/{name}.js") for name in ENGINE),
        worker=text_of("engine/worker.js"),
        scripts={name: text_of(f"{name}.js") for name in ("replay", "pictures", "lab", "charts")},
    )
    agreed = all(v.good is not False for v in verdicts)
    told = [v for v in verdicts if not v.aside] or verdicts
    verdict = " ".join(f"{v.name}: {v.text}." for v in told)
    return Page(html, agreed, verdict or "Timings alone: there are no weights to compare.")


def told_apart(sources: Sequence[str]) -> tuple[str | None, list[Path]]:
    """The problem and the files among the arguments of a command line; raises UsageError for two problems.

    What has a folder or an ending in its name, or is there, is a file.
    """
    paths = [Path(s) for s in sources if os.sep in s or "." in s or os.path.isfile(s)]
    problems = [s for s in sources if Path(s) not in paths]
    if len(problems) > 1:
        raise UsageError(f"one report is about one problem, not about '{problems[0]}' and '{problems[1]}'")
    return (problems[0] if problems else None), paths
