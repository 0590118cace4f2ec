"""Proof of power: wrong backends are caught, dimension by dimension, and no right one is ever called wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from itertools import product
from typing import Any

from ..backends import FRAMEWORKS, usable
from ..backends.interface import ARITHMETICS, DTYPES, Backend
from ..common.files import SCHEMA
from ..common.progress import named
from ..common.values import count
from ..common.words import percent
from ..passport import passport
from ..session import Progress, canonical_names, having, like, loaded
from . import networks
from .laws import LAWS, LawBroken, Network
from .mutants import MUTANTS, Mutant
from .planted import PLANS, Dimension, Plan, equivalent
from .search import Finding, search

NETWORKS = 500

VARIANTS = tuple(product(DTYPES, ARITHMETICS))


@dataclass(frozen=True)
class Caught:
    """One wrong backend in one dtype and arithmetic, and the law that must catch it."""

    name: str
    caught: bool
    law: str
    margin: float
    """Measured over allowed, where it was caught; inf where bits or shapes differ."""
    case: str
    """On which network that was."""
    dtype: str = "float64"
    arithmetic: str = "native"
    dimension: str = ""
    """Where the mistake hides, if it was made by construction."""
    kind: str = ""
    hidden: bool = False
    """Whether it belongs to the tenth that nobody looked at while the search was tuned."""
    crashed: bool = False
    """It raised an error on the way and no law caught an honest wrong result of it; that does not count."""


@dataclass(frozen=True)
class Alarm:
    """A backend that a law called wrong: a false alarm if it is right."""

    backend: str
    dtype: str
    arithmetic: str
    case: str
    message: str

    @classmethod
    def of(cls, backend: str, finding: Finding) -> Alarm:
        where = "; then ".join(map(str, finding.recipes))
        return cls(backend, finding.dtype, finding.arithmetic, where, f"{finding.law}: {finding.message}")


@dataclass(frozen=True)
class Power:
    """What the laws catch, and which backends they call wrong."""

    passport: dict[str, Any]
    mutants: tuple[Caught, ...]
    equivalent: dict[str, str] = field(default_factory=dict)
    """The mutants that were left out, each with the argument why nothing can tell it from a correct backend."""
    problems: dict[str, int] = field(default_factory=dict)
    """How many networks each backend was tried on."""
    closest: dict[str, float] = field(default_factory=dict)
    """The largest margin of each law over the backends of this project: below 1, or one of them was called wrong."""
    false_alarms: tuple[Alarm, ...] = ()
    """For the backends of this project."""
    findings: tuple[Alarm, ...] = ()
    """For other people's backends: what is wrong with them, as far as anybody knows."""

    @property
    def missed(self) -> tuple[Caught, ...]:
        return tuple(m for m in self.mutants if not m.caught)

    @property
    def proved(self) -> bool:
        """Whether every mutant was caught, right backends were tried, and none was called wrong."""
        return not self.missed and bool(self.problems) and not self.false_alarms and not self.findings

    def share(self, members: Iterable[Caught]) -> tuple[int, int]:
        """How many of these were caught, and how many there are."""
        found = list(members)
        return sum(m.caught for m in found), len(found)

    def by(self, key: Callable[[Caught], str]) -> dict[str, tuple[int, int]]:
        """Caught and tried for each value of `key`, in order of appearance."""
        return {
            value: self.share(m for m in self.mutants if key(m) == value)
            for value in dict.fromkeys(map(key, self.mutants))
        }

    @property
    def verdict(self) -> str:
        """One sentence."""
        caught, tried = self.share(self.mutants)
        sentence = f"{caught:,} of {tried:,} wrong backends caught"
        hidden = self.share(m for m in self.mutants if m.hidden)
        if hidden[1]:
            sentence += f" ({hidden[0]} of the {hidden[1]} that the search was not tuned on)"
        finite = [m.margin for m in self.mutants if m.caught and m.margin < float("inf")]
        if finite:
            sentence += f", the least wrong one {min(finite):,.0f} times outside its bound"
        right = sum(count for name, count in self.problems.items() if _ours(name))
        if right:
            nearest = max(self.closest.values(), default=0.0)
            sentence += (
                f"; {len(self.false_alarms)} false alarms in {right:,} correct runs, "
                f"which used {percent(nearest)} of a bound at most"
            )
        else:
            sentence += "; no backend of this project was tried, so nothing is known of false alarms"
        if self.findings:
            sentence += f"; NOT correct: {', '.join(f.backend for f in self.findings)}"
        return sentence + "."

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        return {
            "schema": SCHEMA,
            "passport": self.passport,
            "verdict": self.verdict,
            "mutants": [vars(m) for m in self.mutants],
            "equivalent": self.equivalent,
            "dimensions": {name: list(share) for name, share in self.by(lambda m: m.dimension).items() if name},
            "problems": self.problems,
            "closest": self.closest,
            "false_alarms": [vars(a) for a in self.false_alarms],
            "findings": [vars(a) for a in self.findings],
        }


def power(
    backends: Sequence[str] | None = None,
    *,
    problems: int = NETWORKS,
    mutants: int | None = None,
    progress: Progress | None = None,
) -> Power:
    """Try every mutant on the kit's and the search's networks, and every right backend on `problems` of them.

    `backends` are names as `equigrad.load` takes them, every built-in one that is usable unless given.
    `mutants` is how many of those by construction are tried, evenly spread; all unless given. Dtypes and
    arithmetics take turns. Raises UsageError for fewer than one network, and what `equigrad.load` raises.
    """
    problems = count("the number of networks", problems)
    names = canonical_names(usable() if backends is None else backends)
    right = {name: loaded(name) for name in names}
    planted = [plan for plan in PLANS if not equivalent(plan)]
    if mutants is not None:
        planted = planted[:: max(1, len(planted) // max(1, mutants))]
    caught, total = [], len(MUTANTS) + len(planted)
    for step, mutant in enumerate(MUTANTS.values()):
        if progress:
            progress("trying wrong backends", step + 1, total)
        caught += [trial(mutant, *variant) for variant in VARIANTS if variant[0] in mutant.wrong_in]
    for step, plan in enumerate(planted):
        if progress:
            progress("trying wrong backends", len(MUTANTS) + step + 1, total)
        caught.append(planted_trial(plan, *VARIANTS[step % len(VARIANTS)]))
    closest: dict[str, float] = {}
    false_alarms: list[Alarm] = []
    findings: list[Alarm] = []
    tried = {}
    for name, backend in right.items():
        dtypes, arithmetics = having(type(backend))
        came = search(
            partial(like, backend),
            arithmetics,
            dtypes,
            examples=problems,
            progress=named(name, progress),
        )
        tried[name] = came.networks
        if _ours(name):
            closest |= {law: max(closest.get(law, 0.0), margin) for law, margin in came.closest.items()}
        if came.finding:
            (false_alarms if _ours(name) else findings).append(Alarm.of(name, came.finding))
    left_out = {plan.name: why for plan in PLANS if (why := equivalent(plan))}
    found = (tuple(false_alarms), tuple(findings))
    return Power(passport(names), tuple(caught), left_out, tried, closest, *found)


def _ours(name: str) -> bool:
    """Whether the backend is this project's, on whatever device."""
    return name.partition(":")[0] in FRAMEWORKS


def trial(mutant: type[Mutant], dtype: str = "float64", arithmetic: str = "native") -> Caught:
    """Whether the mutant's own law catches it on one of the kit's networks, and by how much at most."""
    margin, where, crashed = 0.0, "", False
    for network in _chosen(dtype):
        broken = _broken(mutant("cpu", dtype, arithmetic), mutant.law, network)
        if broken and broken.__cause__ and not mutant.crashes:
            crashed = True
        elif broken and broken.margin > margin:
            margin, where = broken.margin, network.name
    return Caught(mutant.name, bool(where), mutant.law, margin, where, dtype, arithmetic, crashed=crashed and not where)


def planted_trial(plan: Plan, dtype: str = "float64", arithmetic: str = "native") -> Caught:
    """Whether the law that must catch the mutant by construction does, on one of the search's fixed networks."""
    cls, crashed = plan.make(), False
    missed = Caught(plan.name, False, plan.law, 0.0, "", dtype, arithmetic, plan.dimension, plan.kind, plan.hidden)
    for network in _likely_first(plan.where, dtype):
        broken = _broken(cls("cpu", dtype, arithmetic), plan.law, network)
        if broken and not broken.__cause__:
            return replace(missed, caught=True, margin=broken.margin, case=network.name)
        crashed = crashed or broken is not None
    return replace(missed, crashed=crashed)


def _broken(backend: Backend, law: str, network: Network) -> LawBroken | None:
    try:
        LAWS[law](backend, network)
    except LawBroken as error:
        return error
    return None


@lru_cache(maxsize=2)
def _chosen(dtype: str) -> tuple[Network, ...]:
    return networks.chosen(dtype)


@cache
def _likely_first(where: Dimension, dtype: str) -> list[Network]:
    """Those on which the condition holds are worth trying first."""
    return sorted(_fixed(dtype), key=lambda network: not where.likely(network))


@lru_cache(maxsize=2)
def _fixed(dtype: str) -> tuple[Network, ...]:
    """The search's fixed networks but for the largest, which would take the time of all others."""
    return tuple(recipe.network(dtype) for recipe in networks.FIXED if recipe.problem != "digits")
