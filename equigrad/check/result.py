"""What checks find: one backend's gradient layer by layer, its laws, and what a search came upon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common import agreement
from ..common.agreement import GOOD
from ..common.files import SCHEMA
from ..common.markup import table
from ..common.words import counted, listed, percent
from ..laws.search import Search
from ..referee.exact import Curve


@dataclass(frozen=True)
class LayerCheck:
    """One layer's gradient against the exact one."""

    layer: int
    """Counted from 1, the first after the inputs."""
    shape: tuple[int, ...]
    ulp: int
    """The largest distance from the exact gradient, rounded to the dtype, in units in the last place."""
    relative_error: float
    """max |g - exact| / max |exact|."""
    bound: float
    """The largest error that rounding could explain, as a `relative_error`."""
    margin: float
    """The largest error over the bound of its own element; above 1 it is not rounding."""
    nearest: bool = False
    """Within its bound, and no other backend in this check is nearer to the exact gradient in this layer."""


@dataclass(frozen=True)
class LawCheck:
    """What came of one law."""

    law: str
    kept: bool
    margin: float
    """Measured over allowed, see `laws`."""
    message: str = ""


@dataclass(frozen=True)
class BackendCheck:
    """One backend in one arithmetic, and what came of it."""

    name: str
    device: str
    arithmetic: str
    outcome: str
    """A word of `common.agreement.OUTCOMES`; `identical` is the exact gradient, correctly rounded."""
    message: str = ""
    layers: tuple[LayerCheck, ...] = ()
    laws: tuple[LawCheck, ...] = ()
    """The laws that ask something of this backend here."""
    unasked: dict[str, str] = field(default_factory=dict)
    """The others, and why they do not."""

    @property
    def kept(self) -> str:
        """How many laws it keeps, in words."""
        return f"{sum(law.kept for law in self.laws)} of {len(self.laws)}" if self.laws else ""


class Outcomes:
    """Backends with an outcome each."""

    backends: Sequence[Any]

    @property
    def agreed(self) -> bool:
        """Whether every backend that could run is right, and at least one could."""
        return agreement.agreed(b.outcome for b in self.backends)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Which of `names` are missing altogether."""
        return agreement.missing(((b.name, b.outcome) for b in self.backends), names)

    def complaint(self, label: Callable[[Any], str]) -> str:
        """Why this is no agreement, in one sentence."""
        bad = agreement.told((label(b), b.outcome) for b in self.backends if agreement.bad(b.outcome))
        if any(b.outcome == "inconclusive" for b in self.backends) and not bad:
            return "inconclusive: nothing can be told of a gradient that rounding may change in every digit."
        return f"NOT correct: {bad}." if bad else "no backend could be checked."

    def status(self, names: Sequence[str]) -> int:
        """The exit status if these backends were asked for by name."""
        return agreement.status(self.agreed, self.missing(names))


@dataclass(frozen=True)
class Check(Outcomes):
    """Every backend against the referee, at one point."""

    problem: str
    layers: tuple[int, ...]
    samples: int
    dtype: str
    passport: dict[str, Any]
    complex_step: float
    """How far the complex step is from the referee, max |difference| / max |exact|."""
    complex_step_bound: float
    backends: tuple[BackendCheck, ...]
    curve: Curve | None = None

    @property
    def agreed(self) -> bool:
        """Whether the two referees agree, every backend that could run does too, and at least one could."""
        return not self.contradicted and super().agreed

    @property
    def contradicted(self) -> bool:
        """Whether the complex step says something else than the referee, or nothing (NaN)."""
        return not self.complex_step <= self.complex_step_bound

    @property
    def title(self) -> str:
        return f"{self.problem}: gradient dL/dw, {self.dtype}, {self.samples:,} sample{'s' * (self.samples != 1)}"

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.contradicted:
            return "the referee and the complex step contradict each other: trust neither."
        if not self.agreed:
            return self.complaint(lambda b: f"{b.name} {b.arithmetic}")
        good = [b for b in self.backends if b.outcome in GOOD]
        worst = max(layer.margin for b in good for layer in b.layers)
        return f"every gradient is right: no error above {percent(worst)} of what rounding explains."

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        rows: list[tuple[Any, ...]] = []
        for b in self.backends:
            head = (b.name, b.arithmetic, b.outcome, b.kept)
            layers = [(v.layer, f"{v.relative_error:.1e}", f"{v.bound:.1e}") for v in b.layers]
            rows += [(*head, *layer) for layer in layers] or [head]
        header = ("backend", "arithmetic", "outcome", "laws", "layer", "relative error", "allowed at most")
        notes = [f"{b.name} {b.arithmetic}: {b.message}" for b in self.backends if b.message]
        return table(self.title, header, rows, [*notes, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        return {
            "schema": SCHEMA,
            "problem": {"name": self.problem, "layers": list(self.layers), "samples": self.samples},
            "dtype": self.dtype,
            "passport": self.passport,
            "agreed": self.agreed,
            "verdict": self.verdict,
            "complex_step": self.complex_step,
            "backends": [
                {
                    "backend": b.name,
                    "device": b.device,
                    "arithmetic": b.arithmetic,
                    "outcome": b.outcome,
                    "message": b.message,
                    "layers": [vars(layer) for layer in b.layers],
                    "laws": [vars(law) for law in b.laws],
                    "not_asked": b.unasked,
                }
                for b in self.backends
            ],
            "curve": None
            if self.curve is None
            else {
                **self.curve._asdict(),
                "points": [point._asdict() for point in self.curve.points],
            },
        }


def not_asked(name: str, unasked: dict[str, str]) -> Iterator[str]:
    """Which laws ask nothing of a backend, for each reason."""
    for why in dict.fromkeys(unasked.values()):
        laws = [law for law, reason in unasked.items() if reason == why]
        yield f"{name}: not tested: {listed(laws)}, since {why}"


@dataclass(frozen=True)
class Searched:
    """One backend, in every dtype and arithmetic that was asked for, and what the search came upon."""

    name: str
    device: str
    outcome: str
    """A word of `common.agreement.OUTCOMES`: `agree` where no law was broken."""
    message: str = ""
    search: Search | None = None
    """None for a backend that could not be made."""

    def lines(self) -> Iterator[str]:
        """What a person wants to know of a broken law, line by line."""
        finding = self.search.finding if self.search else None
        if finding is None:
            if self.message:
                yield f"{self.name}: {self.message}"
            yield from not_asked(self.name, self.search.unasked if self.search else {})
            if self.search and (left := self.search.left_out):
                named = listed([*left[:2], *([f"{len(left) - 2} more"] * (len(left) > 2))])
                yield f"{self.name}: left out, since training takes too long for these --seconds: {named}"
            return
        yield f"{self.name}: {finding.law}: {finding.message}"
        yield from (f"  {line}" for line in finding.lines(self.name))


@dataclass(frozen=True)
class Thorough(Outcomes):
    """Every backend against every law on many networks."""

    passport: dict[str, Any]
    dtypes: tuple[str, ...]
    arithmetic: str
    seed: int
    backends: tuple[Searched, ...]

    @property
    def title(self) -> str:
        return f"every law on many networks, {' and '.join(self.dtypes)}, seed {self.seed}"

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.agreed:
            return self.complaint(lambda b: str(b.name))
        good = [b.search for b in self.backends if b.search and b.outcome in GOOD]
        networks = sum(search.networks for search in good)
        worst = max((margin for search in good for margin in search.closest.values()), default=0.0)
        left = sum(len(search.left_out) for search in good)
        rest = f" {left} with long training {'was' if left == 1 else 'were'} left out." if left else ""
        tried = counted(networks, "network")
        return f"no law broken on {tried}: no error above {percent(worst)} of what rounding explains.{rest}"

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        rows = [(b.name, b.outcome, b.search.networks if b.search else "") for b in self.backends]
        notes = [line for b in self.backends for line in b.lines()]
        return table(self.title, ("backend", "outcome", "networks"), rows, [*notes, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        return {
            "schema": SCHEMA,
            "passport": self.passport,
            "agreed": self.agreed,
            "verdict": self.verdict,
            "dtypes": list(self.dtypes),
            "arithmetic": self.arithmetic,
            "seed": self.seed,
            "searched": [
                {
                    "backend": b.name,
                    "device": b.device,
                    "outcome": b.outcome,
                    "message": b.message,
                    "networks": b.search.networks if b.search else 0,
                    "seconds": b.search.seconds if b.search else 0.0,
                    "closest": b.search.closest if b.search else {},
                    "not_asked": b.search.unasked if b.search else {},
                    "left_out": list(b.search.left_out) if b.search else [],
                    "finding": b.search.finding.to_json() if b.search and b.search.finding else None,
                }
                for b in self.backends
            ],
        }
