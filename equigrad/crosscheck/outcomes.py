"""The outcome of each function: against the referee, and PyTorch and JAX against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..common.errors import UsageError, said
from ..common.words import listed, some
from ..passport import passport
from .differences import gradients_unlike, largest, unfit, unlike
from .measuring import ALLOWED, VAGUE, Measured, Measurements
from .nesting import Leaves
from .result import Crosscheck, FunctionCheck, LeafCheck, Parting

NARROW = 10
"""How far two gradients in float32 may be apart: that many times what the steadier one is from its own in float64."""


def outcomes(m: Measurements) -> Crosscheck:
    """Every function against the referee, and torch and JAX against each other."""
    pair = [one for one in m.functions.values() if not one.outcome]
    differing, noise = _apart(m, *pair) if len(pair) == 2 else ({}, 0.0)
    checks = [_by_hand(m)] if m.numpy is not None and m.numpy.by_hand is not None else []
    if m.numpy is not None:
        own = {one.name: _by_numpy(m, one) for one in pair}
        if differing and all(check.outcome == "agree" for check in own.values()):  # or it is known who is right
            own = {name: _apart_within_the_bound(check, differing) for name, check in own.items()}
    else:
        own = {one.name: _by_itself(m, one, next((o for o in pair if o is not one), None), differing) for one in pair}
        if noise > VAGUE:
            own = {name: _undecided(check, noise) for name, check in own.items()}
    checks += [own.get(one.name) or FunctionCheck(one.name, one.outcome, one.message) for one in m.functions.values()]
    _of_constants(m, checks)
    _of_data(m, pair, checks)
    _of_last_bits(m, pair, checks)
    if differing and getattr(pair[0].function, "detached", False):
        m.note("with jax.lax.stop_gradient around JAX's result too, the values alone are compared")
    parting = _parting(m, *pair) if differing else None
    if m.truth is not None:
        referee, error = m.truth.name, m.truth.error
        left = [path for path, where in m.truth.places.items() if len(where) < m.given.points[path].size]
        if left:
            m.note(
                f"the referee was asked at {m.elements} elements of {', '.join(left)}, one by one"
                + ", and along a direction through all of them" * all(path in m.truth.whole for path in left)
                + "; elements= asks at more"
            )
    else:
        referee = "central differences of each function itself, and its forward mode"
        error = max((one.referee_error for one in pair), default=0.0)
    if m.untold:
        m.note(f"differences in {some(m.untold)} are too uncertain to tell anything")
    kept = _kept(m)
    if kept:
        m.note(f"the module keeps its own {', '.join(kept)}")
    return Crosscheck(
        m.dtype, referee, error, max(m.bound, noise, m.loosest), tuple(checks), parting, tuple(m.notes),
        tuple(str(match) for match in m.given.matches), passport([*m.functions]),
    )  # fmt: skip


def _kept(m: Measurements) -> list[str]:
    """The module's tensors that no leaf of the parameters is, nor is tied to."""
    module = getattr(getattr(m.functions.get("torch"), "function", None), "module", None)
    if module is None or m.given.parameters is None:
        return []
    state = module.state_dict(keep_vars=True)
    given = [state[match.name] for match in m.given.matches]
    return sorted(n for n, v in state.items() if v.is_floating_point() and not any(v is each for each in given))


def _of_constants(m: Measurements, checks: list[FunctionCheck]) -> None:
    """Note it where JAX's function differs by no more than the float32 constants that it holds explain."""
    wrong = any(check.name == "jax" and check.outcome == "disagree" for check in checks)
    if not wrong or m.dtype != "float64":
        return
    torch, results = m.functions.get("torch"), m.functions["jax"].results
    otherwise = m.functions["jax"].function.rounded_otherwise(results)
    if otherwise is None:
        return
    value = torch.results if torch is not None and not torch.outcome else m.value
    floors = {path: 10 * largest(v - results[path]) for path, v in otherwise.items()}
    if value and not unlike(results, value, 0.0, "", floors=floors):
        m.note(
            "jax holds constants in float32, JAX's default, and differs by no more than their rounding: make them "
            'with jax_enable_x64 or in NumPy, or ask with dtype="float32"'
        )


def _of_data(m: Measurements, pair: list[Measured], checks: list[FunctionCheck]) -> None:
    """Note it where one function rounds data that are not differentiated, and that is all that differs."""
    wrong = any(check.outcome == "disagree" for check in checks)
    data = [path for path, v in m.given.points.items() if v.dtype.kind == "f" and path not in m.given.varied]
    if len(pair) < 2 or not wrong or m.dtype != "float64" or not data:
        return
    rounded = {path: m.given.points[path].astype(np.float32).astype(np.float64) for path in data}
    points = {**m.given.points, **rounded}
    for one, other in (pair, pair[::-1]):
        try:
            found, expected = one.function.results(points), other.function.results(points)
        except Exception:  # outside of where the function is defined
            return
        blind = all(np.array_equal(v, one.results[path], equal_nan=True) for path, v in found.items())
        if blind and not unlike(found, expected, ALLOWED["float64"], ""):
            m.note(
                f"{one.name} rounds {listed(data)} to float32 inside, which is all that differs in the results: "
                'ask with dtype="float32"'
            )


def _of_last_bits(m: Measurements, pair: list[Measured], checks: list[FunctionCheck]) -> None:
    """Note it where a gradient differs and the inputs' last bits alone change it by as much as is not allowed."""
    wrong = {(c.name, leaf.path) for c in checks for leaf in c.leaves if leaf.outcome == "disagree"}
    for one in pair:
        changes = m.beside(one) if any(name == one.name for name, _ in wrong) else {}
        for path in m.given.varied:
            share = changes.get(path, 0.0) / (largest(one.gradient[path]) or 1.0)
            if (one.name, path) in wrong and share > 10 * m.bound:
                m.note(
                    f"the last bits of the inputs change {one.name}'s gradient in {path} by {share:.0e} of its largest "
                    "derivative: its rounding may be all that is wrong"
                )


def _by_hand(m: Measurements) -> FunctionCheck:
    """The gradient by hand against the derivative of NumPy's function."""
    assert m.numpy is not None
    try:
        _, found = m.numpy.gradient(m.given.points, m.cotangents, m.dtype)
    except Exception as error:
        return FunctionCheck("numpy", "failed", said(error))
    foreign = [path for path in found if path not in m.given.points]
    if foreign and any(path not in found for path in m.given.varied):
        expected, got = (", ".join(paths[:4]) + ", ..." * (len(paths) > 4) for paths in (m.given.varied, [*found]))
        return FunctionCheck(
            "numpy", "failed", f"expected a nesting like what is differentiated: {expected} - not {got}"
        )
    return _against_truth(m, "numpy", found)


def _by_numpy(m: Measurements, one: Measured) -> FunctionCheck:
    """One framework's function against NumPy's."""
    different = unlike(one.results, m.value, m.bound, "NumPy's", floors=dict.fromkeys(m.value, m.bound * m.least(one)))
    if different:
        return FunctionCheck(one.name, "disagree", f"another function: {different}")
    return _against_truth(m, one.name, one.in_dtype)


def _apart_within_the_bound(check: FunctionCheck, differing: dict[str, str]) -> FunctionCheck:
    """What agrees with NumPy, as the other framework's does, and yet differs from that by more than rounding."""
    leaves = tuple(
        replace(leaf, outcome="disagree", message=differing[leaf.path]) if leaf.path in differing else leaf
        for leaf in check.leaves
    )
    path, message = next(iter(differing.items()))
    return replace(check, outcome="disagree", message=f"{path}: {message}", leaves=leaves)


def _undecided(check: FunctionCheck, noise: float) -> FunctionCheck:
    """What agrees within a rounding that would hide any mistake."""
    message = f"rounding inside may change {noise:.0%} of the largest derivative, so that nothing can be told"
    return replace(check, outcome="inconclusive", message=message) if check.outcome == "agree" else check


def _against_truth(m: Measurements, name: str, gradient: Leaves) -> FunctionCheck:
    assert m.truth is not None
    leaves = tuple(_leaf_against_truth(m, path, gradient.get(path)) for path in m.given.varied)
    return FunctionCheck(name, *_of(leaves), leaves, f"{m.truth.name} of the NumPy function", m.truth.error)


def _of(leaves: tuple[LeafCheck, ...]) -> tuple[str, str]:
    """(the outcome, the leaves that it comes from, in words)."""
    bad = [leaf for leaf in leaves if leaf.outcome != "agree"]
    return (bad[0].outcome, f"gradient with respect to {listed([leaf.path for leaf in bad])}") if bad else ("agree", "")


def _leaf_against_truth(m: Measurements, path: str, gradient: Any) -> LeafCheck:
    assert m.truth is not None
    shape, places = m.given.points[path].shape, m.truth.places[path]

    def result(outcome: str, error: float, message: str = "") -> LeafCheck:
        return LeafCheck(path, shape, outcome, error, len(places), message)

    wrong = unfit(gradient, shape, m.dtype)
    if wrong:
        return result(wrong[0], np.inf, wrong[1])
    array = np.asarray(gradient, np.float64)
    scale, truth = m.truth.scale(path, m.bound), m.truth.slopes[path]
    errors = np.abs(np.array([array[index] for _, index in places]) - truth)
    error = largest(errors) / scale
    if not error <= m.bound:
        at = int(errors.argmax())
        index = places[at][1]
        return result("disagree", error, f"at {list(index)}: {array[index]:.10g}, referee {truth[at]:.10g}")
    if path in m.truth.whole:
        direction, through, uncertain = m.truth.whole[path]
        off = abs(float((array * direction).sum()) - through)
        if off > max(m.bound * max(scale, float(np.abs(array).sum()) * 1e-3), 10 * uncertain):
            where = "right at the elements that were tried one by one, wrong along a direction through all"
            return result("disagree", off / scale, f"{where}: try more with elements=")
    return result("agree", error)


def _by_itself(m: Measurements, one: Measured, other: Measured | None, differing: dict[str, str]) -> FunctionCheck:
    """One framework's function against differences of itself, and against the other framework's."""
    leaves = tuple(_own_leaf(m, one, path, other, differing.get(path, "")) for path in m.given.varied)
    outcome, message = _of(leaves)
    floats = [v for v in one.results.values() if v.dtype.kind == "f"]
    if outcome == "agree" and not differing and not any(np.isfinite(v).any() for v in floats):
        outcome, message = "inconclusive", "its result holds no finite number at these inputs: choose others"
    if "result" in differing and other is not None:
        outcome, message = "disagree", f"another function than {other.name}: {differing['result']}"
        if all(not one.own[path][2] for path in m.given.varied):
            message += "; its gradient is right for itself"
    modes = [mode for _, mode, _ in one.own.values() if mode is not None]
    referee = "central differences of itself", one.referee_error, max(modes, default=None)
    return FunctionCheck(one.name, outcome, message, leaves, *referee)


def _own_leaf(m: Measurements, one: Measured, path: str, other: Measured | None, differing: str) -> LeafCheck:
    shape, gradient = m.given.points[path].shape, one.in_dtype.get(path)
    wrong = unfit(gradient, shape, m.dtype)
    if wrong and "NaN" in wrong[1] and other is not None and not differing:
        return LeafCheck(path, shape, "inconclusive", np.inf, 0, f"{wrong[1]}, at the same places as {other.name}'s")
    if wrong:
        return LeafCheck(path, shape, wrong[0], np.inf, 0, wrong[1])
    assert gradient is not None
    error, mode, message = one.own[path]
    rounding = largest(gradient - one.gradient[path]) / (largest(one.gradient[path]) or 1.0)
    outcome = "disagree" if message else "agree"
    if np.isnan(error) and other is None and not (mode is not None and mode <= 10 * ALLOWED["float64"]):
        outcome, message = "inconclusive", "differences say nothing here, and there is nothing else to hold it to"
    if differing:
        if message and other is not None and not other.own[path][2] and other.own[path][0] <= VAGUE:
            m.note(f"{one.name}'s gradient in {path} is not the derivative of its value, {other.name}'s is")
        outcome, message = "disagree", "; ".join(filter(None, (differing, message)))
    elif message and other is not None:
        whose = "torch and jax alike" if other.own[path][2] else one.name
        m.note(
            f"the gradient in {path} is not the derivative of the value, in {whose}, "
            "as if it were stopped or redefined on purpose"
        )
        outcome, message = "agree", ""
    elif rounding > m.bound and other is None:
        outcome, message = "disagree", f"{m.dtype} is {rounding:.1e} from float64"
    return LeafCheck(path, shape, outcome, error if np.isnan(error) else max(error, rounding), 0, message)


def _apart(m: Measurements, torch: Measured, jax: Measured) -> tuple[dict[str, str], float]:
    """(what differs between torch and JAX, with a message for each result and leaf; what noise allows)."""
    differing: dict[str, str] = {}
    tight = ALLOWED["float64"]
    noise: tuple[float, dict[str, float]] | None = None
    absolute: dict[str, float] = {}
    used = 0.0

    def apart(path: str | None, bound: float, left: Leaves, right: Leaves) -> str:
        """How the results differ, or the gradients in `path`."""
        if path is None:
            floors = {p: max(tight * m.least(torch, jax), absolute.get(p, 0.0)) for p in torch.results}
            return unlike(left, right, bound, "jax's", "torch's", floors)
        return gradients_unlike(left, right, path, bound, absolute.get(path, 0.0))

    asked: list[tuple[str | None, float, Leaves, Leaves]] = [(None, tight, torch.results, jax.results)]
    for path in m.given.varied:
        asked += [(path, tight, torch.gradient, jax.gradient), (path, m.bound, torch.in_dtype, jax.in_dtype)]
    for where, bound, left, right in asked:
        different, floor = apart(where, bound, left, right), 0.0
        if different and bound == tight:
            noise = noise or m.noise([torch, jax])
            relative, absolute = noise
            different = apart(where, bound, left, right)
            floor = absolute.get(where or "", 0.0)
            if different:
                used, different = max(used, relative), apart(where, max(bound, relative), left, right)
        elif different and where is not None:  # float32 is asked for: terms that cancel do so in it too
            floor = NARROW * min(largest(one.in_dtype[where] - one.gradient[where]) for one in (torch, jax))
            different = gradients_unlike(left, right, where, bound, floor)
        share = floor / (largest(*left.values(), *right.values()) or 1.0)
        used = max(used, share if share < VAGUE else 0.0)  # more, and the gradient is rounding alone
        if different:
            differing.setdefault(where or "result", different)
    return differing, used if not differing else 0.0


def _parting(m: Measurements, torch: Measured, jax: Measured) -> Parting | None:
    from .parting_search import search

    try:
        return search(torch.function, jax.function, m.given, m.cotangents, torch.narrows or jax.narrows)
    except Exception as error:
        m.note(f"where they part could not be found: {error if isinstance(error, UsageError) else said(error)}")
        return None
