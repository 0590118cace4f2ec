"""Hold backends to the referee's gradient, layer by layer, and to the laws of their interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..backends.interface import DTYPES, Backend
from ..common.errors import UsageError
from ..common.nearest import check_known
from ..common.problem import Problem, task_of
from ..common.progress import Progress, named
from ..common.ulp import max_ulp
from ..common.values import count, positive, several
from ..laws.laws import LAWS, LawBroken, Network, Subject, unasked
from ..laws.search import SECONDS, search
from ..passport import passport
from ..referee import exact as referee
from ..referee import roundoff
from ..session import Fault, Loaded, Spec, labels, like, load_all, specs
from .result import BackendCheck, Check, LawCheck, LayerCheck, Searched, Thorough

SECOND_OPINION_WEIGHTS = 64
"""At how many weights, spread over the layers, the complex step checks the referee."""


def check(
    problem: str | Problem = "one-layer",
    backends: Spec | Sequence[Spec] | None = None,
    *,
    dtype: str = "float64",
    arithmetic: str = "both",
    weights: Sequence[np.ndarray] | None = None,
    curve: bool = False,
    progress: Progress | None = None,
) -> Check:
    """The gradient at the problem's first weights, or at `weights`, from every backend, against the referee.

    `backends` are names as `equigrad.load` takes them, or classes; all that are installed unless given.
    `arithmetic` is 'native', 'reproducible' or 'both'. `weights` are (fan_in, fan_out) matrices, first layer
    first. `curve` adds difference quotients over the step size. What goes wrong inside one backend is its
    outcome and message.

    Raises UsageError for arguments that cannot be used, MissingError without python-flint.
    """
    task = task_of(problem)
    task.check_fits(dtype)
    network = Network.of(task, dtype, _usable(weights, task, dtype))
    loaded = load_all(backends, dtype, arithmetic)
    checks = []
    for step, found in enumerate(loaded):
        if progress:
            progress("checking", step, len(loaded))
        checks.append(_checked(found, network))
    gradient = [layer.gradient for layer in network.exact]
    return Check(
        task.name,
        task.layers,
        task.samples,
        dtype,
        passport([found.name for found in loaded]),
        *_second_opinion(network),
        _with_nearest(checks),
        referee.curve(network.weights, network.x, network.y, dtype, exact=gradient) if curve else None,
    )


def thorough(
    backends: Spec | Sequence[Spec] | None = None,
    *,
    dtypes: str | Sequence[str] | None = None,
    arithmetic: str = "both",
    seconds: float = SECONDS,
    examples: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Thorough:
    """Every law on many networks, for every backend, until one is broken or the budget is spent.

    `seconds` are for all backends together, `examples` networks for each; `dtypes` are all that each backend has
    unless given. Other arguments are as for `check`, and what it raises; UsageError for a budget that cannot be
    spent, MissingError without Hypothesis, too.
    """
    seconds, given = positive("the seconds", seconds), several(DTYPES if dtypes is None else dtypes)
    count("the number of dtypes", len(given))
    for dtype in given:
        check_known("dtype", dtype, DTYPES)
    found = [one for dtype in given for one in load_all(backends, dtype, arithmetic)]
    ready = dict.fromkeys(one.name for one in found if isinstance(one.backend, Backend))
    results = {}
    asked = list(labels(specs(backends or ())).values())
    for name in sorted(dict.fromkeys(one.name for one in found), key=[*asked, *(one.name for one in found)].index):
        rows = [one for one in found if one.name == name]
        usable = [one.backend for one in rows if isinstance(one.backend, Backend)]
        faults = [one.backend for one in rows if isinstance(one.backend, Fault)]
        fault = next((each for each in faults if not usable or each.outcome != "missing"), None)
        if fault:
            results[name] = Searched(name, rows[0].device, fault.outcome, fault.message)
            continue
        made = usable[0]
        try:
            came = search(
                partial(like, made),
                list(dict.fromkeys(each.arithmetic for each in usable)),
                list(dict.fromkeys(each.dtype for each in usable)),
                seconds=seconds / len(ready),
                examples=examples,
                seed=seed,
                progress=named(name, progress),
            )
        except Fault as fault:  # it could be made once, and not again
            results[name] = Searched(name, made.device, fault.outcome, fault.message)
            continue
        broken = came.finding
        outcome = (broken.outcome, f"{broken.law}: {broken.message}") if broken else ("agree", "")
        results[name] = Searched(name, made.device, *outcome, came)
    had = {one.backend.dtype for one in found if isinstance(one.backend, Backend)} or given
    dtypes = tuple(dtype for dtype in given if dtype in had)
    return Thorough(passport(list(results)), dtypes, arithmetic, seed, tuple(results.values()))


def _usable(weights: Sequence[np.ndarray] | None, task: Problem, dtype: str) -> Sequence[np.ndarray] | None:
    if weights is None:
        return None
    shapes = list(task.shapes)
    try:
        arrays = [np.asarray(w, np.float64) for w in weights]
    except (TypeError, ValueError):
        raise UsageError(f"'{task.name}' takes weights of shapes {shapes}, arrays of numbers") from None
    if [a.shape for a in arrays] != shapes:
        raise UsageError(f"'{task.name}' takes weights of shapes {shapes}, not {[a.shape for a in arrays]}")
    with np.errstate(over="ignore"):
        if not all(np.isfinite(a.astype(dtype)).all() for a in arrays):
            raise UsageError(f"the weights must be finite numbers that fit into {dtype}")
    return arrays


def _checked(found: Loaded, network: Network) -> BackendCheck:
    name, mode, backend = found.name, found.arithmetic, found.backend
    if isinstance(backend, Fault):
        return BackendCheck(name, found.device, mode, backend.outcome, backend.message)
    left_out = {law: why for law in LAWS if (why := unasked(law, backend, network))}
    laws, broken = [], None
    for law, keep in LAWS.items():
        if law in left_out:
            continue
        try:
            laws.append(LawCheck(law, True, keep(backend, network)))
        except LawBroken as error:
            laws.append(LawCheck(law, False, error.margin, error.message))
            broken = broken or error
    layers: tuple[LayerCheck, ...] = ()
    try:
        layers = measured(Subject.facing(backend, network).result("gradient"), network)
    except Fault as fault:
        broken = broken or LawBroken("gradient_is_exact", fault.outcome, fault.message)
    if broken:
        outcome, message = broken.outcome, str(broken)
    elif all(layer.bound >= 1 for layer in layers):
        outcome = "inconclusive"
        message = "rounding alone may change every digit of this gradient: scale the inputs, or take smaller weights"
    else:
        outcome, message = "identical" if all(layer.ulp == 0 for layer in layers) else "agree", ""
    return BackendCheck(name, backend.device, mode, outcome, message, layers, tuple(laws), left_out)


def measured(gradient: Sequence[np.ndarray], network: Network) -> tuple[LayerCheck, ...]:
    """Each layer of `gradient` against the exact one."""
    layers = []
    for number, (g, exact, bounds) in enumerate(zip(gradient, network.exact, network.bounds, strict=True), 1):
        truth = exact.gradient
        error, scale = truth.error(g), float(np.abs(truth.value).max()) or 1.0
        layers.append(
            LayerCheck(
                number,
                g.shape,
                max_ulp([g], [truth.value.astype(g.dtype)]),
                float(error.max()) / scale,
                float(bounds.gradient.bound.max()) / scale,
                float((error / bounds.gradient.bound).max()),
            )
        )
    return tuple(layers)


def _with_nearest(checks: Sequence[BackendCheck]) -> tuple[BackendCheck, ...]:
    best: dict[int, float] = {}
    for layer in (layer for b in checks for layer in b.layers if layer.margin <= 1 > layer.bound):
        best[layer.layer] = min(best.get(layer.layer, np.inf), layer.relative_error)
    return tuple(
        replace(b, layers=tuple(replace(v, nearest=v.relative_error == best.get(v.layer)) for v in b.layers))
        for b in checks
    )


def _second_opinion(network: Network) -> tuple[float, float]:
    """The complex step's largest distance from the referee, and what rounding in float64 explains of it."""
    places = referee.elements(network.weights, SECOND_OPINION_WEIGHTS)
    found = referee.complex_step(
        referee.perceptron_loss(network.x.astype(float), network.y.astype(float)), network.weights, places
    )
    truth = np.array([network.exact[i].gradient.value[index] for i, index in places])
    bounds = roundoff.bounds(network.weights, network.x, network.y, "float64")
    allowed = max(float(b.gradient.bound.max()) for b in bounds)
    scale = float(np.abs(truth).max()) or 1.0
    return float(np.abs(found - truth).max()) / scale, 4 * allowed / scale  # complex exp rounds more often
