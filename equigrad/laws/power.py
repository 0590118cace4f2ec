"""Proof of power: every wrong backend is caught, and no right one is ever accused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ..backends import load, usable
from ..backends.interface import ARITHMETICS, DTYPES, Backend
from ..common.errors import UsageError
from ..passport import passport
from ..session import Progress
from . import cases
from .laws import LAWS, LawBroken
from .mutants import MUTANTS, Mutant

PROBLEMS = 500

SCHEMA = 1


@dataclass(frozen=True)
class Caught:
    """One wrong backend, and the law that must catch it."""

    name: str
    caught: bool
    law: str
    margin: float
    """Measured over allowed, on the case where it is largest; inf where bits or shapes differ."""
    case: str
    """On which case that was."""


@dataclass(frozen=True)
class Accusation:
    """A right backend that a law called wrong."""

    backend: str
    dtype: str
    arithmetic: str
    case: str
    message: str


@dataclass(frozen=True)
class Power:
    """What the laws catch, and whom they accuse."""

    passport: dict[str, Any]
    mutants: tuple[Caught, ...]
    problems: dict[str, int] = field(default_factory=dict)
    """How many random problems each backend was tried on."""
    closest: dict[str, float] = field(default_factory=dict)
    """The largest margin of each law over all right backends: below 1, or somebody was accused."""
    accusations: tuple[Accusation, ...] = ()

    @property
    def proved(self) -> bool:
        """Whether every mutant was caught and nobody else accused."""
        return all(m.caught for m in self.mutants) and not self.accusations

    @property
    def verdict(self) -> str:
        """One sentence."""
        caught, tried = sum(m.caught for m in self.mutants), sum(self.problems.values())
        sentence = f"{caught} of {len(self.mutants)} wrong backends caught"
        finite = [m.margin for m in self.mutants if m.caught and m.margin < float("inf")]
        if finite:
            sentence += f", the least wrong one {min(finite):,.0f} times outside its bound"
        if not tried:
            return sentence + "."
        alarms = len(self.accusations)
        nearest = max(self.closest.values(), default=0.0)
        return (
            f"{sentence}; {alarms} false alarms in {tried:,} correct runs, which used {nearest:.0%} of a bound at most."
        )

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        return {
            "schema": SCHEMA,
            "passport": self.passport,
            "verdict": self.verdict,
            "mutants": [vars(m) for m in self.mutants],
            "problems": self.problems,
            "closest": self.closest,
            "false_alarms": [vars(a) for a in self.accusations],
        }


def power(
    backends: Sequence[str] | None = None, *, problems: int = PROBLEMS, progress: Progress | None = None
) -> Power:
    """Try every mutant on the kit's cases, and every right backend on random problems, all of the laws.

    `backends` are names as `equigrad.load` takes them, every built-in one that is usable unless given; the
    problems go round dtypes and arithmetics. Raises UsageError for a negative number of problems, and what
    `equigrad.load` raises.
    """
    if problems < 0:
        raise UsageError(f"the number of random problems must not be negative, not {problems}")
    names = list(dict.fromkeys(usable() if backends is None else backends))
    right = {name: _variants(name) for name in names}
    caught = []
    for step, mutant in enumerate(MUTANTS.values()):
        if progress:
            progress("mutants", step + 1, len(MUTANTS))
        caught.append(trial(mutant))
    closest: dict[str, float] = {}
    accusations = []
    for seed in range(problems):
        if progress:
            progress("random problems", seed + 1, problems)
        drawn = {dtype: cases.random(seed, dtype) for dtype in DTYPES}
        for name, variants in right.items():
            backend = variants[seed // len(cases.SHAPES) % len(variants)]
            case = drawn[backend.dtype]
            for law, keep in LAWS.items():
                try:
                    closest[law] = max(closest.get(law, 0.0), keep(backend, case))
                except LawBroken as error:
                    who = (name, backend.dtype, backend.arithmetic)
                    accusations.append(Accusation(*who, case.name, str(error)))
    tried = dict.fromkeys(names, problems) if problems else {}
    return Power(passport(names), tuple(caught), tried, closest, tuple(accusations))


def _variants(name: str) -> list[Backend]:
    """The backend in every dtype and in every arithmetic it has."""
    arithmetics = type(load(name)).arithmetics
    return [load(name, d, a) for d, a in product(DTYPES, ARITHMETICS) if a in arithmetics]


def trial(mutant: type[Mutant]) -> Caught:
    """Whether the mutant's own law catches it on one of the kit's cases, in float64."""
    margin, where = 0.0, ""
    for case in CASES:
        try:
            LAWS[mutant.law](mutant(), case)
        except LawBroken as error:
            if error.margin > margin:
                margin, where = error.margin, case.name
    return Caught(mutant.name, bool(where), mutant.law, margin, where)


CASES = cases.chosen("float64")
