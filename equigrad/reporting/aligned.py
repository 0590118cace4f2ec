"""Trask's four steps, and the lines of the three backends that do each, read from the installed source."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..backends import FRAMEWORKS, backend_class


@dataclass(frozen=True)
class Step:
    """One step of the loop."""

    name: str
    formula: str
    meaning: str
    quantities: tuple[str, ...]
    """What a trace holds of it."""


STEPS = (
    Step(
        "predict", "z = a_prev · w,  a = σ(z)", "Sum the weighted inputs, then squash.", ("preactivation", "activation")
    ),
    Step("error", "e = y − a", "How far off is each output?", ("error",)),
    Step("delta", "δ = e · a(1 − a)", "Scale it by the slope of the sigmoid.", ("delta",)),
    Step("update", "w ← w + η · a_prevᵀ · δ", "Move each weight by what its inputs caused.", ("change", "weight")),
)

PLACES: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "numpy": {
        "predict": (("activations", r"sigmoid\("), ("gradient", r"= self\.activations\(")),
        "error": (("gradient", r"\berror = "),),
        "delta": (("gradient", r"\bdelta = "),),
        "update": (("gradient", r"gradient\.append\("), ("update", r"gradient = |\bw - ")),
    },
    "torch": {
        "predict": (("predict", r"sigmoid\("), ("loss", r"self\.predict\(")),
        "error": (("loss", r"\(y - "),),
        "delta": (("gradient", r"func\.grad\("),),
        "update": (("gradient", r"func\.grad\("), ("update", r"gradient = |\bw - ")),
    },
    "jax": {
        "predict": (("predict", r"sigmoid\("), ("loss", r"self\.predict\(")),
        "error": (("loss", r"\(y - "),),
        "delta": (("gradient", r"jax\.grad\("),),
        "update": (("gradient", r"jax\.grad\("), ("update", r"gradient = |\bw - ")),
    },
}
"""For each backend and step the methods, and a pattern that finds in each the lines of the step."""


@dataclass(frozen=True)
class Line:
    """One line of a method."""

    number: int
    """In its file, from 1."""
    indent: int
    """Spaces in front, which are not in `html`, so that a wrapped line can keep its indent."""
    html: str
    """Coloured by Pygments, escaped; a long line may break behind a parenthesis."""
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Code:
    """The methods of one backend that the steps name, in the order of the file."""

    backend: str
    file: str
    methods: tuple[Method, ...]


def aligned(backends: Sequence[str] = FRAMEWORKS) -> list[Code]:
    """The code of those among `backends` that are NumPy, PyTorch and JAX."""
    names = dict.fromkeys(spec.partition(":")[0] for spec in backends)
    return [_code(name) for name in names if name in PLACES]


def _code(name: str) -> Code:
    cls = backend_class(name)[0]
    methods = []
    for method in dict.fromkeys(method for places in PLACES[name].values() for method, _ in places):
        function = inspect.unwrap(getattr(cls, method))
        lines, first = inspect.getsourcelines(function)
        methods.append((first, _method(name, method, lines, first)))
    file = inspect.getsourcefile(cls) or ""
    return Code(name, re.split(r"[\\/]", file)[-1], tuple(m for _, m in sorted(methods, key=lambda pair: pair[0])))


def _method(backend: str, method: str, lines: Sequence[str], first: int) -> Method:
    source = textwrap.dedent("".join(lines)).rstrip("\n")
    found = []
    for i, (text, html) in enumerate(zip(source.split("\n"), _coloured(source), strict=True)):
        steps = tuple(step for step, places in PLACES[backend].items() if _does(method, text, places))
        found.append(Line(first + i, len(text) - len(text.lstrip()), html.lstrip().replace("(", "(<wbr>"), steps))
    return Method(method, tuple(found))


def _does(method: str, text: str, places: Sequence[tuple[str, str]]) -> bool:
    return any(m == method and re.search(pattern, text) for m, pattern in places)


def _coloured(source: str) -> list[str]:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return str(highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))).rstrip("\n").split("\n")
