"""What a crosscheck found, and how it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..common import agreement
from ..common.agreement import GOOD
from ..common.files import SCHEMA
from ..common.words import at_most, listed

KIND = "crosscheck"


@dataclass(frozen=True)
class LeafCheck:
    """One function's gradient with respect to one leaf of the inputs or parameters."""

    path: str
    shape: tuple[int, ...]
    outcome: str
    """`agree`, `disagree`, `inconclusive`, `failed` or `wrong-dtype`."""
    relative_error: float
    """max |g - referee| / max |referee|; for a referee that looks along one direction, its error over max |g|.
    NaN where only the other framework could be compared with."""
    elements: int
    """At how many elements the referee was asked, one by one; 0 if only along a direction through all of them."""
    message: str = ""


@dataclass(frozen=True)
class FunctionCheck:
    """One framework's function, or the NumPy gradient written by hand."""

    name: str
    """`numpy`, `torch` or `jax`."""
    outcome: str
    message: str = ""
    leaves: tuple[LeafCheck, ...] = ()
    referee: str = ""
    """What its gradient was held to."""
    referee_error: float = 0.0
    """That referee's own uncertainty, relative to the largest derivative."""
    forward_mode: float | None = None
    """How far forward mode is from the gradient, relative to the largest derivative; None where it does not run."""


@dataclass(frozen=True)
class Site:
    """An operation in one of the two functions, and where it is called."""

    framework: str
    operation: str
    """aten.gelu, dot_general; empty for a value that was given."""
    part_of: str
    """What the user called, if that did more: the module, the library's function, or the leaf that was given."""
    file: str
    line: int
    """0 where no line of the user's is known."""
    function: str
    called_from: tuple[tuple[str, int], ...]
    """(file, line) of the calls that led there, innermost first."""
    shape: tuple[int, ...]
    values: tuple[float, ...]
    """Of the output: the elements that differ most, as many as `Parting.elements`."""

    @property
    def place(self) -> str:
        """model.py:12, or what stands in for it."""
        from pathlib import Path

        unknown = self.part_of or ("an unknown line" if self.operation else "an argument")
        return f"{Path(self.file).name}:{self.line}" if self.line else unknown

    def __str__(self) -> str:
        part = f" ({self.part_of})" if self.part_of and self.part_of != self.place else ""
        return f"{self.framework}: {self.operation or 'a value that is given'}{part} at {self.place}"


@dataclass(frozen=True)
class Parting:
    """The first operation in each function whose inputs have counterparts in the other and whose output has none."""

    kind: str
    """`differs`, `missing in jax`, `missing in torch`, `order`, `exchanged`, `reversed` or `stopped`."""
    direction: str
    """`forward` or `backward`."""
    torch: Site
    jax: Site
    onward: Site | None
    """Where JAX goes on with a value that PyTorch changes first."""
    repaired: bool
    """Whether all that follows agrees once PyTorch's value is put in the place of JAX's."""
    difference: float | None
    """max |torch's output - JAX's|; None where their sizes differ, or they need not be the same quantity."""
    ulp: int | None
    """The same in ULP of float64."""
    elements: tuple[tuple[int, ...], ...]
    """Where in JAX's output they differ most."""

    def __str__(self) -> str:
        return f"{self.torch}; {self.jax}; {self.explanation}"

    @property
    def explanation(self) -> str:
        """What the two do differently, in one sentence without a full stop."""
        apart = ", outputs have no counterparts"
        if self.difference is not None:
            apart = f", outputs differ by {self.difference:.1e}"
        said = {
            "differs": f"inputs agree{apart}",
            "missing in jax": f"JAX has no counterpart of torch's operation, and goes on{_at(self.onward)} without it",
            "missing in torch": "torch has no counterpart of JAX's operation",
            "order": f"the same numbers in another order{_at(self.onward, ', which matters')}",
            "exchanged": "two values that are made here are each used in the place of the other",
            "reversed": "the loop runs the other way on one side, and with that corrected all that follows agrees",
            "stopped": "the gradient is stopped on one side only",
        }[self.kind]
        if self.kind == "stopped":
            return f"{said}, and with that corrected the gradients agree"
        return said + (", and with torch's value in its place all that follows agrees" if self.repaired else "")

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/crosscheck.md."""
        return {
            **vars(self),
            "torch": vars(self.torch),
            "jax": vars(self.jax),
            "onward": None if self.onward is None else vars(self.onward),
            "explanation": self.explanation,
        }


def _at(site: Site | None, why: str = "") -> str:
    return "" if site is None else f"{why} at {site.place} ({site.operation})"


@dataclass(frozen=True)
class Crosscheck:
    """Every function against the referee and against each other, leaf by leaf; `print` shows it."""

    dtype: str
    referee: str
    """`complex step` or `central differences`."""
    referee_error: float
    """Its own uncertainty, relative to the largest derivative; the complex step is believed within it."""
    bound: float
    """Allowed relative error."""
    functions: tuple[FunctionCheck, ...]
    parting: Parting | None = None
    """Where torch and JAX part, if they do and both can be recorded."""
    notes: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    """Which tensor of the module each leaf of the parameters is."""
    passport: dict[str, Any] = field(default_factory=dict)

    @property
    def agreed(self) -> bool:
        """Whether every function that could run is right, and at least one could."""
        return agreement.agreed(f.outcome for f in self.functions)

    @property
    def missing(self) -> list[str]:
        """The frameworks that are not here."""
        return [f.name for f in self.functions if f.outcome == "missing"]

    @property
    def status(self) -> int:
        """The exit status."""
        return agreement.status(self.agreed, self.missing)

    @property
    def verdict(self) -> str:
        """One sentence."""
        ran = [f for f in self.functions if f.outcome != "missing"]
        skipped = f" ({', '.join(self.missing)} missing)" if self.missing else ""
        if not ran:
            return f"nothing could be checked{skipped}."
        if self.agreed:
            agree = "agree" if len(ran) > 1 else "agrees"
            names = listed([f.name for f in ran])
            return f"{names} {agree} within {at_most(self.bound, 1)} of the largest derivative{skipped}."
        bad = [f for f in ran if agreement.bad(f.outcome)]
        if not bad:
            vague = [f.name for f in ran if f.outcome not in GOOD]
            right = f"{listed(vague)} {'are' if len(vague) > 1 else 'is'} right"
            return f"inconclusive: nothing can tell whether {right} here{skipped}."
        words = agreement.told((f.name, f.outcome) for f in bad)
        return f"NOT in agreement: {words}{skipped}." + (f" They part here: {self.parting}." if self.parting else "")

    def __str__(self) -> str:
        width = max((len(leaf.path) for f in self.functions for leaf in f.leaves), default=0)
        lines = [f"{self.dtype}, referee: {self.referee}, allowed {self.bound:.0e}"]
        for f in self.functions:
            lines.append(f"{f.name}: {f.outcome}" + (f" - {f.message}" if f.message else ""))
            lines += [
                f"  {leaf.path:<{width}}  {leaf.shape!s:<12} {leaf.outcome:<9} {leaf.relative_error:.1e} {leaf.message}"
                for leaf in f.leaves
            ]
        if self.parting:
            lines.append(f"they part in the {self.parting.direction} pass: {self.parting}")
        return "\n".join(line.rstrip() for line in [*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from ..common.markup import table

        rows: list[tuple[Any, ...]] = []
        for f in self.functions:
            rows += [
                (f.name, f.outcome, leaf.path, leaf.shape, leaf.outcome, f"{leaf.relative_error:.1e}", leaf.message)
                for leaf in f.leaves
            ] or [(f.name, f.outcome, "", "", "", "", f.message)]
        header = ("function", "outcome", "leaf", "shape", "gradient", "error to referee", "")
        return table(f"crosscheck, {self.dtype}, referee: {self.referee}", header, rows, [*self.notes, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/crosscheck.md."""
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "dtype": self.dtype,
            "referee": self.referee,
            "referee_error": self.referee_error,
            "bound": self.bound,
            "agreed": self.agreed,
            "verdict": self.verdict,
            "functions": [{**vars(f), "leaves": [vars(leaf) for leaf in f.leaves]} for f in self.functions],
            "parting": None if self.parting is None else self.parting.to_json(),
            "notes": list(self.notes),
            "matches": list(self.matches),
            "passport": self.passport,
        }
