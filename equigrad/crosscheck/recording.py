"""Every value that a function computes, forwards and backwards, with the operation and the line that made it."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Line(NamedTuple):
    """A line of code that was being run."""

    file: str
    line: int
    function: str
    installed: bool = False
    """Whether it is in an installed package."""

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"


@dataclass
class Recorded:
    """One call into the framework; values are counted from 0 in the order in which they came up."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    lines: tuple[Line, ...] = ()
    """Of the user's code, and of packages that it calls, the innermost call first."""
    part_of: str = ""
    """The library's function, module or fused operation that the user called, if it did more than this."""
    backward: bool = False
    fused: int | None = None
    """For a step of a fused operation's decomposition: the number of that operation."""


@dataclass
class Recording:
    """What one call did, in order."""

    values: list[np.ndarray] = field(default_factory=list)
    operations: list[Recorded] = field(default_factory=list)
    maker: dict[int, int] = field(default_factory=dict)
    """Which operation made a value; the others were given: inputs, parameters, constants."""
    leaves: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    gradients: dict[str, int] = field(default_factory=dict)
    stopped: dict[int, tuple[Line, ...]] = field(default_factory=dict)
    """Values through which no gradient flows in some use, though they depend on what is differentiated; and where."""
    coarse: float = 0.0
    """The rounding of PyTorch's coarsest operation on what is differentiated; 0 if all are in float64."""

    def add(self, operation: Recorded) -> None:
        for output in operation.outputs:
            self.maker.setdefault(output, len(self.operations))
        self.operations.append(operation)

    def settle_lines(self) -> None:
        """Keep the user's lines alone, but where most is done behind one of them, as by a model that is installed."""
        count = Counter(own[0] for o in self.operations if (own := _own(o.lines)))
        broad = {line for line, n in count.items() if 2 * n > len(self.operations)}

        def kept(lines: tuple[Line, ...]) -> tuple[Line, ...]:
            own = _own(lines)
            return own if own and own[0] not in broad else _outlined(lines)

        for operation in self.operations:
            operation.lines = kept(operation.lines)
        self.stopped = {i: kept(lines) for i, lines in self.stopped.items()}


def _own(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    return tuple(line for line in lines if not line.installed)


def _outlined(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Of each package the innermost line, of Flax and of a model in it: the rest is how they call each other."""
    found: dict[object, Line] = {}
    for i, line in enumerate(lines):
        found.setdefault(_package(line) if line.installed else i, line)
    return tuple(found.values())


def _package(line: Line) -> str:
    """flax for .../site-packages/flax/linen/module.py."""
    return re.split(r"/(?:site|dist)-packages/", line.file)[-1].partition("/")[0]


GENERATED = ("<frozen ", "<__array_function__", "<eval_with_key")
"""Files without a file, of Python, NumPy and torch.fx; `<stdin>`, `<string>` or a notebook's cell are the user's."""
NAMED = ("torch/nn/functional", "torch/functional", "jax/_src/nn/functions", "jax/_src/numpy/", "jax/_src/scipy/")
"""Where the functions are that people call by name."""


@cache
def _kind(file: str) -> str:
    """`own` for equigrad, `framework`, `library` for anything installed, `generated`, or `user`."""
    if file.startswith("<"):
        return "generated" if file.startswith(GENERATED) else "user"
    path = str(Path(file).resolve())
    if path.startswith(str(Path(__file__).resolve().parent)):
        return "own"
    for name in ("torch", "jax", "jaxlib", "numpy"):
        if f"/site-packages/{name}/" in path or f"/dist-packages/{name}/" in path:
            return "framework"
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return "library" if any(path.startswith(str(Path(root).resolve())) for root in installed) else "user"


def user_lines(frames: Iterable[Line]) -> tuple[tuple[Line, ...], str]:
    """(the lines of the user's and of installed packages, the function of a framework that the innermost calls).

    `frames` come innermost first and are read as far as this package, which called the user.
    """
    found, called, begun, users = list[Line](), "", False, False
    for frame in frames:
        kind = _kind(frame.file)
        if kind == "own":
            if begun:
                break
            continue
        begun = True
        if kind == "user" or (kind == "library" and "/functools.py" not in frame.file):
            found.append(frame._replace(installed=kind == "library"))
            users = users or kind == "user"
        elif kind == "framework" and not users and any(part in frame.file for part in NAMED):
            called = called if frame.function.startswith(("_", "<")) or "." in frame.function else frame.function
    return tuple(found), called
