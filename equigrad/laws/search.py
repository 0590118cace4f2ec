"""The search for a network on which a backend breaks a law: fixed ones first, then drawn ones, for a budget.

What is found is made as small as it goes, and each dimension is varied alone to see what the mistake depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from time import monotonic
from typing import Any

from ..backends.interface import DTYPES, Backend
from ..common.progress import PARTS
from ..common.values import count, positive, seed_of
from ..common.words import exact
from ..referee import exact as referee
from ..referee import roundoff
from ..session import Fault, Progress
from .laws import LAWS, STEPS, LawBroken, Subject, unasked
from .networks import FIXED, INPUTS, PLAIN, TARGETS, WEIGHTS, Recipe, recipes

SECONDS = 60.0
"""The budget of a search unless another is given."""
NARROWING = 15.0
"""The most seconds that are spent on making what was found small."""
SEEDS = 3
"""A value of a dimension is right if the law holds for this many draws of the numbers."""
OWN, MANY, RARE = 8, 30, 0.1
"""Or for MANY, where some of OWN draws of the network found keep the law; nothing is said where RARE break it."""
FEW, LONG = 10, 100
"""Numbers of updates. A training of more than LONG is timed on shorter ones before it is begun."""
VALUES = {False: 8, True: 40}
"""The most networks of one shape that are drawn at once, without a compiler and with one."""
REFEREE_WORK = 50_000
"""On networks of at most this many multiplications, no law counts as broken unless the referee says so."""

Variant = tuple[str, str]
"""A dtype and an arithmetic."""
Make = Callable[[str, str], Backend]
WORK = "trying networks"
"""What a search is called where its progress is shown."""


@dataclass(frozen=True)
class Dependence:
    """What a mistake depends on: with one dimension varied and all others held, some values are right."""

    dimension: str
    wrong: tuple[str, ...]
    right: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.dimension}: right for {', '.join(self.right)}; wrong for {', '.join(self.wrong)}"


@dataclass(frozen=True)
class Finding:
    """The smallest network found on which a law is broken."""

    law: str
    outcome: str
    """`failed`, `disagree`, `wrong-dtype`, `wrong-device` or `nondeterministic`."""
    message: str
    margin: float
    dtype: str
    arithmetic: str
    recipes: tuple[Recipe, ...]
    """More than one where the law holds for the last alone and breaks after the others."""
    broken: tuple[str, ...] = ()
    """Every law that is broken on it."""
    depends_on: tuple[Dependence, ...] = ()
    repeats: bool = True
    """Whether it broke again when it was repeated."""

    def lines(self, spec: str) -> Iterator[str]:
        """Where it was found, what it depends on and how to see it again, for a person."""
        networks = "; then ".join(map(str, self.recipes))
        yield f"the smallest network that shows it: {networks} ({self.dtype}, {self.arithmetic})"
        if not self.repeats:
            yield "it did not break again when repeated alone, so it depends on what was called before, or on chance"
        yield from map(str, self.depends_on)
        if len(self.broken) > 1:
            yield f"laws broken there: {', '.join(self.broken)}"
        if self.repeats:
            yield "to see it again, in Python:"
            yield from (f"  {line}" for line in self.reproduce(spec).splitlines())

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        plain = {**vars(self), "recipes": [vars(recipe) for recipe in self.recipes]}
        return {**plain, "depends_on": [vars(dependence) for dependence in self.depends_on]}

    def reproduce(self, spec: str) -> str:
        """Lines of Python that raise the same LawBroken."""
        made = ", ".join(map(_source, self.recipes))
        return (
            "from equigrad.laws.networks import Recipe\n"
            "from equigrad.laws.search import repeat\n"
            f"repeat({spec!r}, {self.law!r}, {self.dtype!r}, {self.arithmetic!r}, {made})"
        )


@dataclass(frozen=True)
class Search:
    """What came of a search."""

    networks: int
    """How many were tried, each in one dtype and arithmetic."""
    seconds: float
    closest: dict[str, float] = field(default_factory=dict)
    """The largest margin of each law that was asked, see `laws`."""
    unasked: dict[str, str] = field(default_factory=dict)
    """The laws that ask nothing of this backend, and why."""
    finding: Finding | None = None
    left_out: tuple[str, ...] = ()
    """The networks whose long training did not fit into the budget, each with dtype and arithmetic."""


def search(
    make: Make,
    arithmetics: Sequence[str],
    dtypes: Sequence[str] = DTYPES,
    *,
    seconds: float = SECONDS,
    examples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Search:
    """Hold the backend that `make(dtype, arithmetic)` makes to every law on network after network.

    It ends with the first network that breaks a law, once `seconds` have passed, or after `examples` networks
    if that is given. The order is the same each time, by `seed`. Raises UsageError for a budget that is not
    positive, MissingError without Hypothesis or python-flint.
    """
    if examples is not None:
        examples = count("the number of networks", examples)
    seconds = positive("the seconds", seconds)
    seed = seed_of(seed)
    referee.ready()
    variants = list(product(dtypes, arithmetics))
    drawn = recipes(VALUES[make(*variants[0]).compiles])
    run = _Run(make, variants, monotonic() + seconds, examples, progress, seconds)
    try:
        for _, group in groupby(FIXED, key=lambda recipe: (recipe.layers, recipe.samples)):
            run.group(tuple(group))
        _draw(run, drawn, seed)
    except _Enough:
        pass
    except _Found as found:
        return run.result(_narrowed(run, found))
    return run.result(None)


def repeat(spec: str, law: str, dtype: str, arithmetic: str, *chosen: Recipe) -> None:
    """Hold the backend named `spec` to the law on these networks in order; raises LawBroken, or what `load` raises."""
    from ..backends import load

    backend = load(spec, dtype, arithmetic)
    for recipe in chosen:
        LAWS[law](backend, recipe.network(dtype))


class _Enough(BaseException):
    """The budget is spent. No Exception, so that Hypothesis lets it through."""


class _Found(Exception):
    def __init__(self, group: tuple[Recipe, ...], variant: Variant, broken: LawBroken) -> None:
        super().__init__(str(broken))
        self.group, self.variant, self.broken, self.at = group, variant, broken, monotonic()


class _Run:
    """One search: what it may spend, and what it has seen."""

    def __init__(
        self,
        make: Make,
        variants: Sequence[Variant],
        deadline: float,
        examples: int | None,
        progress: Progress | None,
        seconds: float,
    ) -> None:
        self.make, self.variants, self.deadline, self.examples = make, variants, deadline, examples
        self.progress, self.seconds, self.began = progress, seconds, monotonic()
        self.networks = 0
        self.closest: dict[str, float] = {}
        self.found: list[_Found] = []
        self.left_out: dict[str, None] = {}

    def spent(self) -> bool:
        """Whether the budget has no network left. One is tried however short it is."""
        if self.examples is not None:
            return self.networks >= self.examples
        return self.networks > 0 and monotonic() >= self.deadline

    def spend(self) -> None:
        """Count one network; raises _Enough where none is left."""
        if self.spent():
            raise _Enough
        left = self.deadline - monotonic()
        if self.progress and self.examples is not None:
            self.progress(WORK, self.networks, self.examples)
        elif self.progress and left < self.seconds:  # not while a mistake is narrowed down, which has its own limit
            self.progress(WORK, int(PARTS * (1 - left / self.seconds)), PARTS)
        self.networks += 1

    def affordable(self, backend: Backend, recipe: Recipe) -> bool:
        """Whether its long training fits into a quarter of the time that is left, or into a second."""
        if self.examples is not None or recipe.updates <= LONG:
            return True
        limit = max(1.0, (self.deadline - monotonic()) / 4)
        subject = Subject.facing(backend, recipe.network(backend.dtype))

        def seconds(n: int) -> float:
            began = monotonic()
            subject.train(subject.weights, n)
            return monotonic() - began

        try:
            seconds(FEW)  # which compiles
            few = seconds(FEW)
            if few / FEW * recipe.updates < limit:
                return True
            # what is recorded or compiled in each call shows in a few updates, not in many
            return few < limit / 4 and (seconds(LONG) - few) / (LONG - FEW) * recipe.updates < limit
        except Fault:
            return True  # the laws say what is wrong

    def group(self, group: tuple[Recipe, ...]) -> None:
        """Every law on every network in every variant; raises _Found, or _Enough."""
        backends = {variant: self.make(*variant) for variant in self.variants}
        for number, recipe in enumerate(group, 1):
            for variant in self.variants:
                if not self.spent() and not self.affordable(backends[variant], recipe):
                    self.left_out[f"{recipe} ({', '.join(variant)})"] = None
                    continue
                self.spend()
                broken = self.broken(backends[variant], recipe, variant)
                if broken:
                    self.found.append(_Found(group[:number], variant, broken))
                    raise self.found[-1]

    def broken(
        self, backend: Backend, recipe: Recipe, variant: Variant, laws: Sequence[str] = tuple(LAWS)
    ) -> LawBroken | None:
        network = recipe.network(variant[0])
        for law in laws:
            try:
                margin = LAWS[law](backend, network)
            except LawBroken as error:
                if error.margin > 1 + roundoff.doubt(network.dtype) or network.work > REFEREE_WORK:
                    return error
                try:
                    margin = LAWS[law](backend, replace(network, by_referee=True))
                except LawBroken as sure:
                    return sure
            if not unasked(law, backend, network):
                self.closest[law] = max(self.closest.get(law, 0.0), margin)
        return None

    def result(self, finding: Finding | None) -> Search:
        backend = self.make(*self.variants[0])
        not_asked = {law: why for law in LAWS if (why := unasked(law, backend))}
        seconds = monotonic() - self.began
        return Search(self.networks, seconds, self.closest, not_asked, finding, tuple(self.left_out))


def _draw(run: _Run, drawn: Any, seed: int) -> None:
    """Groups of networks as Hypothesis draws and shrinks them; raises _Found with the smallest, or _Enough."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, Verbosity

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=10**6,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )
    @hypothesis.given(drawn)
    def held(group: tuple[Recipe, ...]) -> None:
        if not run.found:
            run.group(group)
        elif monotonic() < run.found[0].at + NARROWING:
            count, run.networks = run.networks, 0  # shrinking is no part of the budget
            limits, run.examples, run.deadline = (run.examples, run.deadline), None, float("inf")
            try:
                run.group(group)
            finally:
                run.networks, (run.examples, run.deadline) = count, limits

    try:
        held()
    except _Found:
        raise
    except Exception:
        if not run.found:
            raise
        raise min(run.found, key=lambda found: _size(found.group)) from None  # it did not repeat, or took too long


def _size(group: Sequence[Recipe]) -> tuple[int, int]:
    return len(group), sum(sum(recipe.layers) * recipe.samples for recipe in group)


def _narrowed(run: _Run, found: _Found) -> Finding:
    """The finding, smaller where the same law breaks on less, and what it depends on."""
    law, variant, until = found.broken.law, found.variant, monotonic() + NARROWING
    tried: dict[tuple[tuple[Recipe, ...], Variant], LawBroken | None] = {}

    def breaks(group: tuple[Recipe, ...], other: Variant = variant) -> LawBroken | None:
        if (group, other) not in tried:
            if tried and monotonic() > until:
                return None
            backend, result = run.make(*other), None
            for recipe in group:
                result = run.broken(backend, recipe, other, (law,))
            tried[group, other] = result
        return tried[group, other]

    def in_any_seed(recipe: Recipe, other: Variant = variant, draws: int = SEEDS) -> Recipe | None:
        """The recipe, or with other numbers, if the law breaks on it: what breaks by chance alone is no dependence."""
        seeds = dict.fromkeys((recipe.seed, *range(draws)))
        return next((r for r in (replace(recipe, seed=n) for n in seeds) if breaks((*before, r), other)), None)

    def broken_of(draws: int) -> int:
        return sum(bool(breaks((*before, replace(recipe, seed=n)))) for n in range(draws))

    group = found.group
    if not breaks(group):
        return _finding(found.broken, variant, group, repeats=False)
    for shorter in (group[-1:], *((*group[:i], *group[i + 1 :]) for i in range(len(group) - 1))):
        if len(group) > 1 and breaks(shorter):
            group = shorter
            break
    *before, recipe = group
    candidates = _simpler(recipe)
    while candidate := next(candidates, None):
        if smaller := in_any_seed(candidate):
            recipe, candidates = smaller, _simpler(smaller)
    group = (*before, recipe)
    depends = []
    draws = SEEDS if broken_of(OWN) == OWN else MANY
    for dimension, values in _varied(recipe).items() if draws == SEEDS or broken_of(MANY) > RARE * MANY else ():
        wrong = {said for said, other in values if in_any_seed(other, draws=draws)}
        right = tuple(said for said, _ in values if said not in wrong)
        if right and monotonic() < until:
            also = tuple(said for said, _ in values if said in wrong)
            depends.append(Dependence(dimension, (_value(recipe, dimension), *also), right))
    for place, dimension in enumerate(("dtype", "arithmetic")):
        others = [v for v in run.variants if v[1 - place] == variant[1 - place] and v != variant]
        right = tuple(v[place] for v in others if not in_any_seed(recipe, v, draws))
        if right and monotonic() < until:
            depends.append(Dependence(dimension, (variant[place],), right))
    broken = breaks(group) or found.broken
    laws = tuple(name for name in LAWS if name == law or run.broken(run.make(*variant), recipe, variant, (name,)))
    return _finding(broken, variant, group, laws, tuple(depends))


def _finding(
    broken: LawBroken,
    variant: Variant,
    group: tuple[Recipe, ...],
    laws: tuple[str, ...] = (),
    depends: tuple[Dependence, ...] = (),
    repeats: bool = True,
) -> Finding:
    what = (broken.law, broken.outcome, broken.message, broken.margin)
    return Finding(*what, *variant, group, laws or (broken.law,), depends, repeats)


SIZES = (1, 2, 3, 4, 5, 8, 16, 17, 32, 33, 64, 65, 128, 129, 256, 257, 512, 513, 1024, 1025)


def _simpler(recipe: Recipe) -> Iterator[Recipe]:
    """Recipes that are simpler in one dimension, the simplest first."""
    if recipe.problem:
        network = recipe.network("float64")
        sizes = (network.shapes[0][0], *(shape[1] for shape in network.shapes))
        yield Recipe(sizes, len(network.x))
        return
    plain = Recipe()
    for depth in range(1, recipe.depth):
        yield replace(recipe, layers=recipe.layers[-depth - 1 :])
        yield replace(recipe, layers=recipe.layers[: depth + 1])
    for place, width in enumerate(recipe.layers):
        for size in (s for s in SIZES if s < width):
            yield replace(recipe, layers=(*recipe.layers[:place], size, *recipe.layers[place + 1 :]))
    for size in (s for s in SIZES if s < max(recipe.layers) and len(set(recipe.layers)) == 1):
        yield replace(recipe, layers=(size,) * len(recipe.layers))
    for samples in (s for s in SIZES if s < recipe.samples):
        yield replace(recipe, samples=samples)
    for name in ("weights", "inputs", "targets", "lr", "updates"):
        if getattr(recipe, name) != getattr(plain, name):
            yield replace(recipe, **{name: getattr(plain, name)})
    for updates in (n for n in (0, 1, 2, 4, 8, 16, 64, 256) if STEPS < n < recipe.updates):
        yield replace(recipe, updates=updates)


def _varied(recipe: Recipe) -> dict[str, list[tuple[str, Recipe]]]:
    """For each dimension other values of it, in words, all else held."""
    if recipe.problem:
        return {}
    first, *inner = recipe.layers
    depths = [n for n in (1, 2, 3, 4, 5, 6, 8) if n != recipe.depth]
    deeper = {n: (first, *(inner[i % recipe.depth] for i in range(-n, 0))) for n in depths}
    widths = [
        (*recipe.layers[:i], other, *recipe.layers[i + 1 :])
        for i, width in enumerate(recipe.layers)
        for other in sorted({max(1, width // 2), max(1, width - 1), width + 1} - {width})
    ]
    counts = sorted({1, 2, 3, 5, max(1, recipe.samples - 1), recipe.samples + 1} - {recipe.samples})
    found = {
        "layers": [(str(n), replace(recipe, layers=sizes)) for n, sizes in deeper.items()],
        "sizes": [("-".join(map(str, sizes)), replace(recipe, layers=sizes)) for sizes in widths],
        "samples": [(str(n), replace(recipe, samples=n)) for n in counts],
    }
    for name, kinds in (("weights", WEIGHTS), ("inputs", INPUTS), ("targets", TARGETS)):
        if getattr(recipe, name) not in (PLAIN, Recipe.targets):
            others = [kind for kind in list(kinds)[:3] if kind != getattr(recipe, name)]
            found[name] = [(kind, replace(recipe, **{name: kind})) for kind in others]  # type: ignore[arg-type]
    if recipe.lr != Recipe.lr:
        rates = [rate for rate in (1e-3, 0.1, 0.5, 1.0, 10.0) if rate != recipe.lr]
        found["learning rate"] = [(exact(rate), replace(recipe, lr=rate)) for rate in rates]
    if recipe.updates != STEPS:
        numbers = sorted({1, recipe.updates - 1, recipe.updates + 1} - {recipe.updates, -1})
        found["updates"] = [(f"{n:,}", replace(recipe, updates=n)) for n in numbers]
    return found


def _value(recipe: Recipe, dimension: str) -> str:
    return {
        "layers": str(recipe.depth),
        "sizes": "-".join(map(str, recipe.layers)),
        "samples": str(recipe.samples),
        "learning rate": exact(recipe.lr),
        "updates": f"{recipe.updates:,}",
    }.get(dimension) or str(getattr(recipe, dimension))


def _source(recipe: Recipe) -> str:
    """The recipe as Python, without what is the default."""
    plain = Recipe()
    given = {name: value for name, value in vars(recipe).items() if value != getattr(plain, name)}
    return f"Recipe({', '.join(f'{name}={value!r}' for name, value in given.items())})"
