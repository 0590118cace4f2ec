"""Hold backends to the referee's gradient, layer by layer, and to the laws of their interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends import FRAMEWORKS, backend_class, everything, load
from ..backends.interface import ARITHMETICS, Backend
from ..common.agreement import GOOD
from ..common.errors import DeviceError, MissingError, UsageError
from ..common.nearest import nearest
from ..common.problem import Problem
from ..common.problem import problem as built_in
from ..common.ulp import max_ulp
from ..laws.laws import LAWS, Bench, Case, LawBroken
from ..laws.power import SCHEMA
from ..passport import passport
from ..referee import exact as referee
from ..referee import roundoff
from ..session import Progress

SECOND_OPINION_WEIGHTS = 64
"""At how many weights, spread over the layers, the complex step checks the referee."""


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


@dataclass(frozen=True)
class Check:
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
    curve: referee.Curve | None = None

    @property
    def agreed(self) -> bool:
        """Whether the two referees agree, every backend that could run does too, and at least one could."""
        ran = [b for b in self.backends if b.outcome != "missing"]
        return self.complex_step <= self.complex_step_bound and bool(ran) and all(b.outcome in GOOD for b in ran)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Which of `names` are missing altogether."""
        ran = {b.name for b in self.backends if b.outcome != "missing"}
        return [name for name in names if name not in ran]

    @property
    def verdict(self) -> str:
        """One sentence."""
        bad = [f"{b.name} {b.arithmetic} {b.outcome}" for b in self.backends if b.outcome not in (*GOOD, "missing")]
        good = [b for b in self.backends if b.outcome in GOOD]
        if self.complex_step > self.complex_step_bound:
            return "the referee and the complex step contradict each other: trust neither."
        if bad:
            return f"NOT the gradient: {', '.join(bad)}."
        if not good:
            return "no backend could be checked."
        worst = max(layer.margin for b in good for layer in b.layers)
        return f"every gradient is right: no error above {worst:.0%} of what rounding explains."

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/check.md."""
        return {
            "schema": SCHEMA,
            "problem": {"name": self.problem, "layers": list(self.layers), "samples": self.samples},
            "dtype": self.dtype,
            "passport": self.passport,
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


def check(
    problem: str | Problem = "one-layer",
    backends: Sequence[str | type[Backend]] | None = None,
    *,
    dtype: str = "float64",
    arithmetic: str = "both",
    weights: Sequence[np.ndarray] | None = None,
    curve: bool = False,
    progress: Progress | None = None,
) -> Check:
    """The gradient at the problem's first weights, or at `weights`, from every backend, against the referee.

    `backends` are names as `equigrad.load` takes them, or classes; everything that is here unless given.
    `arithmetic` is 'native', 'reproducible' or 'both'. `weights` are (fan_in, fan_out) matrices, first layer
    first. `curve` adds difference quotients over the step size. What goes wrong inside one backend is its
    outcome and message.

    Raises UsageError for arguments that cannot be used, MissingError without python-flint.
    """
    task = built_in(problem) if isinstance(problem, str) else problem
    if arithmetic not in (*ARITHMETICS, "both"):
        raise UsageError(f"unknown arithmetic '{arithmetic}'{nearest(arithmetic, [*ARITHMETICS, 'both'])}")
    modes = ("reproducible", "native") if arithmetic == "both" else (arithmetic,)
    case = Case.of(task, dtype, _usable(weights, task))
    chosen = list(dict.fromkeys(everything() if backends is None else backends))
    loaded = [(mode, spec, _loaded(spec, dtype, mode, backends is not None)) for mode in modes for spec in chosen]
    checks = []
    for step, (mode, spec, backend) in enumerate(loaded):
        if progress:
            progress("checking", step, len(loaded))
        checks.append(backend if isinstance(backend, BackendCheck) else _checked(backend, _name(spec), mode, case))
    names = [spec for spec in chosen if isinstance(spec, str)]
    return Check(
        task.name,
        task.layers,
        task.samples,
        dtype,
        passport(names),
        *_second_opinion(case),
        _with_nearest(checks),
        referee.curve(case.weights, case.x, case.y, dtype) if curve else None,
    )


def _usable(weights: Sequence[np.ndarray] | None, task: Problem) -> Sequence[np.ndarray] | None:
    if weights is None:
        return None
    arrays = [np.asarray(w) for w in weights]
    shapes = list(task.shapes)
    if [a.shape for a in arrays] != shapes:
        raise UsageError(f"'{task.name}' takes weights of shapes {shapes}, not {[a.shape for a in arrays]}")
    if not all(np.isfinite(a).all() for a in arrays):
        raise UsageError("the weights must be finite")
    return arrays


def _name(spec: str | type[Backend]) -> str:
    return spec if isinstance(spec, str) else spec.__name__


def _loaded(spec: str | type[Backend], dtype: str, mode: str, asked: bool) -> Backend | BackendCheck:
    """The backend, or what to report in its place; a device that nobody asked for by name fails alone."""
    framework, _, rest = _name(spec).partition(":")
    device = rest if rest and framework in FRAMEWORKS else "cpu"
    try:
        cls = backend_class(spec)[0] if isinstance(spec, str) else spec
        if cls.__abstractmethods__:
            lacking = ", ".join(sorted(cls.__abstractmethods__))
            message = f"{cls.__name__} lacks {lacking} - expected every method of equigrad.Backend"
            return BackendCheck(_name(spec), device, mode, "failed", message)
        return load(spec, dtype, mode) if isinstance(spec, str) else cls(device, dtype, mode)
    except MissingError as error:
        return BackendCheck(_name(spec), device, mode, "missing", str(error))
    except UsageError as error:
        if asked or not isinstance(error, DeviceError):
            raise
        return BackendCheck(_name(spec), device, mode, "failed", str(error))
    except Exception as error:
        return BackendCheck(_name(spec), device, mode, "failed", f"loading raised {type(error).__name__}: {error}")


def _checked(backend: Backend, name: str, mode: str, case: Case) -> BackendCheck:
    laws, broken = [], None
    for law, keep in LAWS.items():
        try:
            laws.append(LawCheck(law, True, keep(backend, case)))
        except LawBroken as error:
            laws.append(LawCheck(law, False, error.margin, error.message))
            broken = broken or error
    layers: tuple[LayerCheck, ...] = ()
    try:
        layers = measured(Bench("gradient_is_exact", backend, case).gradient(), case)
    except LawBroken as error:
        broken = broken or error
    if broken:
        outcome, message = broken.outcome, str(broken)
    else:
        outcome, message = "identical" if all(layer.ulp == 0 for layer in layers) else "agree", ""
    return BackendCheck(name, backend.device, mode, outcome, message, layers, tuple(laws))


def measured(gradient: Sequence[np.ndarray], case: Case) -> tuple[LayerCheck, ...]:
    """Each layer of `gradient` against the exact one."""
    layers = []
    for number, (g, exact, bounds) in enumerate(zip(gradient, case.exact, case.bounds, strict=True), 1):
        truth = exact.gradient
        error, scale = truth.error(g), float(np.abs(truth.value).max()) or 1.0
        layers.append(
            LayerCheck(
                number,
                g.shape,
                max_ulp([g], [truth.value.astype(g.dtype)]),
                float(error.max()) / scale,
                float(bounds.gradient.max()) / scale,
                float((error / bounds.gradient).max()),
            )
        )
    return tuple(layers)


def _with_nearest(checks: Sequence[BackendCheck]) -> tuple[BackendCheck, ...]:
    best: dict[int, float] = {}
    for layer in (layer for b in checks for layer in b.layers if layer.margin <= 1):
        best[layer.layer] = min(best.get(layer.layer, np.inf), layer.relative_error)
    return tuple(
        replace(b, layers=tuple(replace(v, nearest=v.relative_error == best.get(v.layer)) for v in b.layers))
        for b in checks
    )


def _second_opinion(case: Case) -> tuple[float, float]:
    """The complex step's largest distance from the referee, and what rounding in float64 explains of it."""
    places = referee.elements(case.weights, SECOND_OPINION_WEIGHTS)
    found = referee.complex_step(
        referee.perceptron_loss(case.x.astype(float), case.y.astype(float)), case.weights, places
    )
    truth = np.array([case.exact[i].gradient.value[index] for i, index in places])
    bounds = roundoff.bounds(case.weights, case.x, case.y, "float64")
    allowed = max(float(b.gradient.max()) for b in bounds)
    scale = float(np.abs(truth).max()) or 1.0
    return float(np.abs(found - truth).max()) / scale, 4 * allowed / scale  # complex exp rounds more often
