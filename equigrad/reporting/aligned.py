"""Trask's four steps, and the lines of the backends and of the page's own script that do each, read from the source."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from ..backends import FRAMEWORKS, backend_class

BROWSER = "browser"
"""Stands for the network in JavaScript, engine/perceptron.js."""


@dataclass(frozen=True)
class LessonStep:
    """One step of the loop."""

    name: str
    formula: str
    meaning: str


CODE_STEPS = (
    LessonStep("predict", "z = a_prev · w,  a = σ(z)", "Sum the weighted inputs, then squash."),
    LessonStep(
        "error", "e = y − a, hidden: δ_next · w_nextᵀ", "How far off? A hidden unit takes it from the next layer."
    ),
    LessonStep("delta", "δ = e · a(1 − a)", "Scale it by the slope of the sigmoid."),
    LessonStep("update", "w ← w + η · a_prevᵀ · δ", "Move each weight by what its inputs caused."),
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
    BROWSER: {
        "predict": (("activations", r"sigmoid\("), ("gradient", r"= this\.activations\(")),
        "error": (("gradient", r"\berror = "),),
        "delta": (("gradient", r"\bdelta = "),),
        "update": (("gradient", r"gradient\.push\("), ("update", r"gradient = |minus\(w,")),
    },
}
"""For each backend and step the methods, and a pattern that finds in each the lines of the step."""


@dataclass(frozen=True)
class CodeLine:
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
    lines: tuple[CodeLine, ...]


@dataclass(frozen=True)
class Code:
    """The methods of one backend that the steps name, in the order of the file."""

    backend: str
    file: str
    methods: tuple[Method, ...]


def aligned(backends: Sequence[str] = FRAMEWORKS) -> list[Code]:
    """The code of those among `backends` that are NumPy, PyTorch, JAX and the browser."""
    names = dict.fromkeys(spec.partition(":")[0] for spec in backends)
    return [_code(name) for name in names if name in PLACES]


def _code(name: str) -> Code:
    file, methods = _script() if name == BROWSER else _module(name)
    wanted = {method for places in PLACES[name].values() for method, _ in places}
    shown = (Method(m, tuple(_lines(name, m, first, source))) for m, first, source in methods if m in wanted)
    return Code(name, file, tuple(sorted(shown, key=lambda method: method.lines[0].number)))


def _module(name: str) -> tuple[str, list[tuple[str, int, str]]]:
    """The file of a backend, and of each method that has steps its name, first line and source."""
    cls = backend_class(name)[0]
    methods = []
    for method in dict.fromkeys(method for places in PLACES[name].values() for method, _ in places):
        lines, first = inspect.getsourcelines(inspect.unwrap(getattr(cls, method)))
        methods.append((method, first, "".join(lines)))
    return re.split(r"[\\/]", inspect.getsourcefile(cls) or "")[-1], methods


def _script() -> tuple[str, list[tuple[str, int, str]]]:
    """The same of the network in JavaScript, whose methods end at the first brace that is indented as they are."""
    text = (files(__package__) / "engine" / "perceptron.js").read_text(encoding="utf-8")
    found = re.finditer(r"^  (\w+)\(.*?^  }$", text, flags=re.S | re.M)
    return "perceptron.js", [(m[1], text.count("\n", 0, m.start()) + 1, m[0]) for m in found]


def _lines(backend: str, method: str, first: int, source: str) -> Iterator[CodeLine]:
    source = textwrap.dedent(source).rstrip("\n")
    coloured = _coloured(source, "javascript" if backend == BROWSER else "python")
    for i, (text, html) in enumerate(zip(source.split("\n"), coloured, strict=True)):
        steps = tuple(step for step, places in PLACES[backend].items() if _does(method, text, places))
        yield CodeLine(first + i, len(text) - len(text.lstrip()), html.lstrip().replace("(", "(<wbr>"), steps)


def _does(method: str, text: str, places: Sequence[tuple[str, str]]) -> bool:
    return any(m == method and re.search(pattern, text) for m, pattern in places)


def _coloured(source: str, language: str) -> list[str]:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False)
    return str(highlight(source, lexer, HtmlFormatter(nowrap=True))).rstrip("\n").split("\n")
