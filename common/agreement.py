"""When two runs agree: one vocabulary, one table of bounds, one comparator, which raises."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ulp import any_differs, max_difference, max_ulp
from .words import listed

OUTCOMES = {
    "identical": "every bit of every weight is the reference's",
    "agree": "within the stated bound of the reference",
    "disagree": "outside the bound, or not the same bits where these are promised",
    "inconclusive": "nothing can be told: a mistake would not show",
    "missing": "the framework, or its arithmetic, is not here",
    "failed": "raised an error, or left the finite numbers",
    "wrong-device": "computed on another device than asked",
    "wrong-dtype": "computed in another dtype than asked",
    "nondeterministic": "the same call twice gave different bits",
}
"""What can come of a run, in the words that every command uses."""

GOOD = ("identical", "agree")


def bad(outcome: str) -> bool:
    """Whether a run took place, and its outcome is neither agreement nor left open by rounding."""
    return outcome not in (*GOOD, "inconclusive", "missing")


def agreed(outcomes: Iterable[str]) -> bool:
    """Whether all agree who are not missing, and at least one is not."""
    took_part = [outcome for outcome in outcomes if outcome != "missing"]
    return bool(took_part) and all(outcome in GOOD for outcome in took_part)


def told(outcomes: Iterable[tuple[str, str]]) -> str:
    """torch and jax (disagree), mine:Mine (failed)"""
    names: dict[str, list[str]] = {}
    for name, outcome in outcomes:
        names.setdefault(outcome, []).append(name)
    return ", ".join(f"{listed(each)} ({outcome})" for outcome, each in names.items())


def missing(outcomes: Iterable[tuple[str, str]], asked: Sequence[str]) -> list[str]:
    """Which of the backends asked for are missing altogether, given each one's (name, outcome)."""
    outcomes = list(outcomes)
    took_part = {name for name, outcome in outcomes if outcome != "missing"}
    names = {name.removesuffix(":cpu") for name in asked}
    return [name for name in dict.fromkeys(n for n, _ in outcomes) if name in names and name not in took_part]


def status(agreed: bool, missing: Sequence[str] = ()) -> int:
    """The exit status: 3 where a backend asked for by name is missing, 0 for agreement, else 1."""
    return 3 if missing else 0 if agreed else 1


FEW = 10
"""Agreement is also asked after this many updates, when noise has had no time to hide a mistake."""


@dataclass(frozen=True)
class Bound:
    """How far native weights may be from NumPy's: max |w - reference| / max |reference| in any layer."""

    noise: float
    """The largest distance measured between correct backends on the three problems."""
    bound: float
    """What is allowed, unless rounding can do more to the very problem, see `compare.sensitivity`."""
    bug: float
    """The smallest distance that one missing update makes on the three problems."""


BOUNDS = {
    ("float64", "few"): Bound(noise=8e-16, bound=1e-13, bug=1.0e-2),
    ("float64", "all"): Bound(noise=2e-15, bound=1e-12, bug=8.5e-7),
    ("float32", "few"): Bound(noise=4e-7, bound=5e-6, bug=1.0e-2),
    ("float32", "all"): Bound(noise=4e-7, bound=5e-6, bug=8.5e-7),
}
"""Keyed by dtype, and by whether FEW or all updates are behind. In float32 a missing update is smaller than the
bound once the two-layer network has had all of its updates; that is why the first FEW are compared as well.
Measured on 2026-11-23 over the three problems and three frameworks; tests/common/test_agreement.py does so again."""


class Disagreement(AssertionError):
    """Two sets of weights that should agree do not; `outcome` is the word for it."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome, self.message = outcome, message

    def __reduce__(self) -> tuple[Any, ...]:
        return Disagreement, (self.outcome, self.message)  # so that it can come from another process


def distance(weights: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """max |w - r| / max |r| in the layer where it is largest; inf where anything is NaN."""
    worst = 0.0
    for w, r in zip(weights, reference, strict=True):
        scale = float(np.abs(r).max(initial=0.0)) or 1.0
        value = max_difference([w], [r]) / scale
        worst = max(worst, value if np.isfinite(value) else np.inf)
    return worst


def assert_agreement(
    weights: Sequence[np.ndarray], reference: Sequence[np.ndarray], bound: float, after: str = "all updates"
) -> str:
    """'identical' or 'agree'; anything else raises Disagreement with the outcome and the distance.

    `bound` is relative, see `Bound`; 0 asks for the same bits.
    """
    if len(weights) != len(reference):
        raise Disagreement("failed", f"{len(weights)} weight matrices instead of {len(reference)}")
    for layer, (w, r) in enumerate(zip(weights, reference, strict=True), 1):
        if w.dtype != r.dtype:
            raise Disagreement("wrong-dtype", f"layer {layer} is {w.dtype} instead of {r.dtype}")
        if w.shape != r.shape:
            raise Disagreement("failed", f"layer {layer} has shape {w.shape} instead of {r.shape}")
        if not (np.isfinite(w).all() and np.isfinite(r).all()):
            raise Disagreement("disagree", f"layer {layer} holds NaN or inf after {after}")
    if not any_differs(weights, reference):
        return "identical"
    if distance(weights, reference) <= bound and bound > 0:
        return "agree"
    apart = max_ulp(weights, reference)
    if apart == 0:
        raise Disagreement("disagree", f"after {after} a zero has the other sign; the same bits are promised")
    raise Disagreement(
        "disagree",
        f"after {after} {apart} ULP from the reference, {distance(weights, reference):.1e} of the largest weight"
        + (f"; {bound:.0e} is allowed" if bound else "; the same bits are promised"),
    )


def holds_subnormal(arrays: Sequence[np.ndarray]) -> bool:
    """Whether any element is subnormal: nonzero, but below the smallest normal number of its dtype."""
    return any(bool(((a != 0) & (np.abs(a) < np.finfo(a.dtype).tiny)).any()) for a in arrays)


def unpromised(arrays: Sequence[np.ndarray]) -> str:
    """The numbers among data for which no bits are promised, in words; see `reproducible`."""
    if holds_subnormal(arrays):
        return "subnormal numbers, which XLA treats as zero"
    most = max(float(np.abs(a).max(initial=0)) for a in arrays)
    return "numbers of 2**960 (1e289) or more" if most >= 2.0**960 else ""
