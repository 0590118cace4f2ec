"""Right backends keep every law; each wrong one breaks the law that it should, by a wide margin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.laws import cases
from equigrad.laws.laws import LAWS, Bench, Case, LawBroken
from equigrad.laws.mutants import MUTANTS, Mutant
from equigrad.laws.power import power, trial
from equigrad.referee import roundoff

Ready = Callable[..., Backend]
CHOSEN = {dtype: {case.name: case for case in cases.chosen(dtype)} for dtype in DTYPES}
NEEDED = 1_000
"""How many times outside its bound the least wrong mutant must be."""


@pytest.mark.parametrize("name", ["two-layer", "long sums", "saturated"], ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("law", LAWS)
def test_a_right_backend_keeps(law: str, backend: Backend, name: str) -> None:
    assert 0 <= LAWS[law](backend, CHOSEN[backend.dtype][name]) <= 1


@pytest.mark.parametrize("name", MUTANTS, ids=lambda name: name.replace(" ", "-"))
def test_a_wrong_backend_is_caught_by_its_law(name: str) -> None:
    caught = trial(MUTANTS[name])
    assert caught.caught
    assert caught.margin > NEEDED


def test_there_are_at_least_25_mutants_and_nearly_every_law_has_one() -> None:
    assert len(MUTANTS) >= 25
    # weights_are_exact follows from the laws before it; it is there because it is what a user wants to know.
    assert set(LAWS) - {mutant.law for mutant in MUTANTS.values()} == {"weights_are_exact"}


def test_weights_are_exact_catches_what_train_and_update_share() -> None:
    shared = MUTANTS["the loss lacks its 1/2"]()
    LAWS["train_repeats_update"](shared, CHOSEN["float64"]["two-layer"])
    with pytest.raises(LawBroken, match="weights_are_exact: train"):
        LAWS["weights_are_exact"](shared, CHOSEN["float64"]["two-layer"])


def test_a_right_backend_as_mutant_is_not_caught() -> None:
    class Right(Mutant):
        name, law = "right", "gradient_is_exact"

    assert not trial(Right).caught


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["the gradient is wrong by 0.05 %", "the gradient is rounded to 11 bits, like TF32"])
def test_the_smallest_bugs_show_in_either_dtype(name: str, dtype: str) -> None:
    mutant = MUTANTS[name](dtype=dtype)
    with pytest.raises(LawBroken) as caught:
        LAWS["gradient_is_exact"](mutant, CHOSEN[dtype]["one-layer"])
    assert caught.value.margin > 10


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(0, 400, 8))
def test_rounding_alone_never_reaches_the_bounds(seed: int, dtype: str, arithmetic: str, ready: Ready) -> None:
    case = cases.random(seed + seed // 8 % 8, dtype)
    for law in ("gradient_is_exact", "prediction_is_exact"):
        assert LAWS[law](ready("numpy", dtype, arithmetic), case) < 0.5


def test_the_bound_follows_the_cancellation_in_a_sum() -> None:
    """Two samples whose gradients cancel to one part in 1e8: the bound stays at the size of the parts."""
    w, y = (np.array([[1.0]]),), np.array([[0.0], [0.0]])
    alone = roundoff.bounds(w, np.array([[1.0]]), y[:1], "float64")[-1].gradient
    x = np.array([[1.0], [-1.0]])
    s = 1 / (1 + np.exp(-1.0))
    y[1] = (1 - s) - s + 1e-8  # the second sample's error is nearly the first's
    both = roundoff.bounds(w, x, y, "float64")[-1].gradient
    assert alone.item() < both.item() < 4 * alone.item()


def test_a_broken_law_says_which_where_and_how_much() -> None:
    with pytest.raises(LawBroken) as caught:
        LAWS["gradient_is_exact"](MUTANTS["one element is wrong by 1e-9"](), CHOSEN["float64"]["one-layer"])
    assert caught.value.law == "gradient_is_exact"
    assert caught.value.outcome == "disagree"
    assert "the gradient is off by 2.86e-10 at layer 1 element (0, 0), allowed 1.74e-15" in str(caught.value)


def test_other_numbers_differ_everywhere_but_in_shape() -> None:
    for case in CHOSEN["float64"].values():
        other = case.other
        assert other.shapes == case.shapes
        assert other.lr != case.lr
        assert all(a.tobytes() != b.tobytes() for a, b in zip(case.weights, other.weights, strict=True))


def test_nan_is_outside_every_bound() -> None:
    bench = Bench("law", MUTANTS["one element is NaN"](), CHOSEN["float64"]["one-layer"])
    with pytest.raises(LawBroken, match="not finite"):
        bench.within("it", [np.array([0.0, np.nan])], [np.array([np.inf, np.inf])])


def test_no_correct_backend_is_accused_on_a_few_random_problems(spec: str, ready: Ready) -> None:
    ready(spec)
    rounds = 1 if spec.startswith("jax") else 4  # each round has another dtype or arithmetic, and JAX compiles anew
    proof = power([spec], problems=rounds * len(cases.SHAPES))
    assert proof.accusations == ()
    assert proof.problems == {spec: rounds * len(cases.SHAPES)}
    assert 0 < max(proof.closest.values()) < 0.9
    assert proof.proved
    assert f"{len(MUTANTS)} of {len(MUTANTS)} wrong backends caught" in proof.verdict


@pytest.mark.slow
def test_no_correct_backend_is_accused_on_500_random_problems() -> None:
    proof = power(["numpy"], problems=500)
    assert proof.accusations == ()


def test_a_false_alarm_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(backend: Backend, case: Case) -> float:
        raise LawBroken("gradient_is_exact", "disagree", "too strict", 2.0)

    monkeypatch.setitem(LAWS, "gradient_is_exact", strict)
    proof = power(["numpy"], problems=2)
    assert [a.case for a in proof.accusations] == ["random 0", "random 1"]
    assert not proof.proved
    assert "2 false alarms in 2 correct runs" in proof.verdict


def test_jax_traces_once_per_shape_and_dtype(ready: Ready, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is Python code: it runs while JAX traces, and never again."""
    backend: Any = ready("jax", dtype)
    loss, traced = type(backend).loss, []

    def counted(*arguments: Any) -> Any:
        traced.append(arguments)
        return loss(*arguments)

    monkeypatch.setattr(type(backend), "loss", counted)
    case = cases.drawn("a shape of its own", 5, 9, (3, 7, 2), dtype)
    counts = []
    for numbers, n in ((case, 2), (case.other, 5)):
        bench = Bench("law", backend, numbers)
        bench.gradient(), bench.update(), bench.train(n)
        counts.append(len(traced))
    assert 0 < counts[0] == counts[1]
