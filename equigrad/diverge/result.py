"""What `diverge` and `trace` found, in one sentence, and as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.files import SCHEMA
from ..common.markup import table
from ..common.problem import Problem
from ..common.ulp import any_differs, differs, distances, farthest
from ..common.words import at_most, counted, listed
from ..session import Matrices

MOST_SHOWN = 8
"""At most this many rows and columns of a matrix, and differing elements, are shown."""
MOST_LINES = 60
"""And at most this many lines of a trace in a notebook."""
UNFINISHED = "the distance was followed only"
"""How the note begins that says why the distance was not followed to the last update."""


@dataclass(frozen=True)
class Operation:
    """One kind of operation in one update, over all layers, on the same inputs on both sides."""

    name: str
    elements: int
    """How many results were compared."""
    differing: int
    max_ulp: int
    how: tuple[str, ...] = ()
    """How each side rounds, as far as its bits show; empty where no result differs."""

    @property
    def same(self) -> bool:
        return self.differing == 0


@dataclass(frozen=True)
class Element:
    """One element that differs."""

    index: tuple[int, ...]
    values: tuple[float, float]
    ulp: int


@dataclass(frozen=True)
class Difference:
    """A quantity that differs in one update."""

    update: int
    """Counted from 1."""
    layer: int
    """Counted from 1."""
    quantity: str
    """preactivation, activation, error, delta, change or weight (after the update)"""
    size: int
    """How many elements the quantity has."""
    elements: tuple[Element, ...]
    """Those that differ."""
    max_ulp: int
    operations: tuple[Operation, ...] = ()
    """Every operation of this update, on the same inputs in both."""

    @property
    def where(self) -> str:
        return f"{self.quantity} of layer {self.layer}"


@dataclass(frozen=True)
class Distance:
    """How far apart the weights are after an update."""

    update: int
    max_ulp: int
    max_abs_difference: float
    same: bool
    """Whether all bits are: +0 and -0 are 0 ULP apart."""

    @classmethod
    def between(cls, update: int, a: Matrices, b: Matrices) -> Distance:
        return cls(update, *farthest(a, b), not any_differs(a, b))


@dataclass(frozen=True, eq=False)
class Divergence:
    """What `diverge` found."""

    problem: Problem
    sides: tuple[str, str]
    dtypes: tuple[str, str]
    arithmetics: tuple[str, str]
    passport: dict[str, Any]
    first: Difference | None
    """In the first update after which the weights differ: the first quantity that does. None if none does."""
    earlier: Difference | None
    """An intermediate that differed before, in the first updates, and was rounded away in the weights."""
    development: tuple[Distance, ...]
    updates: int
    """How many updates were compared; fewer than the problem's if the time for the development was used up."""
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        return self.first is None

    @property
    def healed(self) -> tuple[int, ...]:
        """The updates of the development after the first difference at which all weights were the same again."""
        first = self.first.update if self.first else self.problem.updates
        return tuple(d.update for d in self.development if d.update > first and d.same)

    @property
    def verdict(self) -> str:
        """One sentence: where, by what, how far, and whether it heals."""
        (a, b), updates = self.sides, counted(self.updates, "update")
        if self.first is None:
            return f"{a} and {b} never part: every bit of every weight is the same after {updates}."
        first = self.first
        ulp = max(d.max_ulp for d in self.development)
        absolute = float(np.max([d.max_abs_difference for d in self.development]))
        differing = [o.name for o in first.operations if not o.same]
        cause = f" (differing on the same inputs: {', '.join(differing)})" if differing else ""
        later = sum(d.update > first.update for d in self.development)
        healed = (
            f"the same again at {len(self.healed)} of {later} later updates looked at"
            if later
            else "not followed further"
        )
        return (
            f"{a} and {b} part in update {first.update:,}, in {first.where}{cause}. In {updates} they "
            f"are never more than {ulp:,} ULP ({at_most(absolute)}) apart; {healed}."
        )

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        first = self.first
        title = f"{self.problem.name}: {self.sides[0]} against {self.sides[1]}"
        rows = [
            (
                o.name,
                "same" if o.same else f"{o.differing:,} of {o.elements:,} differ",
                f"{o.max_ulp:,}",
                "\n".join(o.how),
            )
            for o in (first.operations if first else ())
        ]
        header = ("operation on the same inputs", "", "max ULP", "how each rounds") if rows else ()
        return table(title, header, rows, [self.verdict, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/diverge.md."""
        return {
            "schema": SCHEMA,
            "problem": self.problem.to_json(),
            "passport": self.passport,
            "backends": list(self.sides),
            "dtypes": list(self.dtypes),
            "arithmetics": list(self.arithmetics),
            "updates_compared": self.updates,
            "identical": self.identical,
            "first": _json(self.first),
            "how": {o.name: list(o.how) for o in self.first.operations if o.how} if self.first else {},
            "earlier": _json(self.earlier),
            "development": [
                {"update": d.update, "max_ulp": d.max_ulp, "max_abs_difference": d.max_abs_difference, "same": d.same}
                for d in self.development
            ],
            "notes": list(self.notes),
        }


def already(found: dict[str, Any]) -> str:
    """What differed before the weights did, in a sentence, by what `to_json` gives; nothing where nothing did."""
    first, e = found["first"], found["earlier"]
    if e is None or (first and first["update"] == e["update"]):
        return ""
    return (
        f"Already in update {e['update']:,}, {len(e['elements']):,} of {e['size']:,} elements of {e['quantity']} of "
        f"layer {e['layer']} differed, by {e['max_ulp']:,} ULP at most; the rounding of the weights removed that."
    )


def _json(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "update": difference.update,
        "layer": difference.layer,
        "quantity": difference.quantity,
        "size": difference.size,
        "elements": [
            {"index": list(e.index), "values": list(e.values), "hex": [v.hex() for v in e.values], "ulp": e.ulp}
            for e in difference.elements
        ],
        "max_ulp": difference.max_ulp,
        "operations": [
            {"name": o.name, "same": o.same, "differing": o.differing, "max_ulp": o.max_ulp}
            for o in difference.operations
        ],
    }


@dataclass(frozen=True, eq=False)
class LoopLine:
    """One line of the loop, and what it gave in each backend."""

    update: int
    """Counted from 1; 0 before the first."""
    layer: int
    """Counted from 1; 0 for the inputs."""
    quantity: str
    """preactivation, activation, error, delta, change or weight (after the update); first inputs and targets"""
    formula: str
    """z, l, e, d, c and w are these quantities, numbered by layer; l0 is the input and y the target."""
    values: Matrices
    """One array per backend."""

    @property
    def differing(self) -> tuple[int, ...]:
        """In how many elements each backend differs from the first."""
        return tuple(int(differs(self.values[0], v).sum()) for v in self.values)

    @property
    def max_ulp(self) -> tuple[int, ...]:
        """How far each backend is from the first."""
        return tuple(int(distances(self.values[0], v).max(initial=0)) for v in self.values)

    def digits(self) -> Iterator[list[list[tuple[str, bool]]]]:
        """For each backend the rows of the corner that is shown: each element's digits, and whether it differs.

        Eight digits, but all of them in every backend where one differs from the first.
        """
        corner = np.s_[:MOST_SHOWN, :MOST_SHOWN]
        apart = [differs(self.values[0], v)[corner] for v in self.values]
        anywhere = np.any(apart, axis=0)
        for value, marks in zip(self.values, apart, strict=True):
            exact = zip(value[corner], anywhere, marks, strict=True)
            yield [
                [(str(v) if full else f"{v:.8g}", bool(mark)) for v, full, mark in zip(*row, strict=True)]
                for row in exact
            ]


@dataclass(frozen=True, eq=False)
class Trace:
    """What `trace` found."""

    problem: Problem
    sides: tuple[str, ...]
    first_weights: tuple[Matrices, ...]
    """One tuple per backend."""
    lines: tuple[LoopLine, ...]
    derived: tuple[str, ...] = ()
    """The backends whose traces are not all their own, see `Backend.traced`."""

    @property
    def given(self) -> Iterator[LoopLine]:
        """What the first line computes with: the inputs, the targets and the first weights."""
        dtypes = [weights[0].dtype for weights in self.first_weights]
        yield LoopLine(0, 0, "inputs", "l0", tuple(self.problem.inputs.astype(d) for d in dtypes))
        yield LoopLine(
            0, len(self.problem.shapes), "targets", "y", tuple(self.problem.targets.astype(d) for d in dtypes)
        )
        for layer, weights in enumerate(zip(*self.first_weights, strict=True), 1):
            yield LoopLine(0, layer, "weight", f"w{layer}", weights)

    @property
    def explanation(self) -> str:
        """What is not a backend's own, and why differences that are marked may matter; each where it applies."""
        sentences = []
        if self.derived:
            sentences.append(
                f"z, e and d of {listed(self.derived)} were computed by equigrad: an Engine shows its predictions and "
                "its gradient, and nothing between."
            )
        if not any(map(any, (line.differing for line in self.lines))):
            return " ".join(sentences)
        sentences.append(
            "A difference inside an update may be rounded away in its weights, and one in the weights may vanish "
            "again as training goes on: equigrad compare looks at the weights after the last update only, equigrad "
            "diverge at those of every update."
        )
        return " ".join(sentences)

    def _repr_html_(self) -> str:
        """How a notebook shows it: each line of the loop, and what each backend holds there."""
        shown = [*self.given, *self.lines][:MOST_LINES]
        rows = [(f"{v.update:,}" if v.update else "", v.formula, v.quantity, *_cells(v)) for v in shown]
        left_out = len([*self.given, *self.lines]) - len(rows)
        notes = ["≠ marks what differs from the first backend's"] if len(self.sides) > 1 else []
        notes += [self.explanation] if self.explanation else []
        notes += [f"and {left_out:,} more lines"] if left_out else []
        title = f"{self.problem.name}: {' → '.join(map(str, self.problem.layers))}"
        return table(title, ("update", "line", "quantity", *self.sides), rows, notes)


def _cells(line: LoopLine) -> Iterator[str]:
    for value, rows in zip(line.values, line.digits(), strict=True):
        more = " …" if value.shape[1] > MOST_SHOWN else ""
        texts = [" ".join(f"{'≠' if apart else ' '}{digits}" for digits, apart in row) + more for row in rows]
        yield "\n".join([*texts, *(["…"] if len(value) > MOST_SHOWN else [])])
