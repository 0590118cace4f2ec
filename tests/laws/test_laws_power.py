"""The proof of power: planted mistakes are caught, blind laws are found out, and no right backend is called wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from equigrad.backends.interface import LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common.errors import UsageError
from equigrad.common.problem import problem
from equigrad.laws import laws
from equigrad.laws.laws import LAWS, LawBroken, Network, Subject
from equigrad.laws.mutants import MUTANTS
from equigrad.laws.planted import DIMENSIONS, KINDS, PLANS, Plan, equivalent
from equigrad.laws.power import VARIANTS, planted_trial, power
from length import at_length

pytestmark = pytest.mark.needs("flint", "hypothesis")

PLANTED = [plan for plan in PLANS if not equivalent(plan)]


def test_there_are_hundreds_by_construction_in_every_dimension_of_every_kind_for_every_law() -> None:
    assert len(PLANTED) >= 400
    assert {plan.dimension for plan in PLANTED} == {dimension.name for dimension in DIMENSIONS}
    assert {plan.kind for plan in PLANTED} == set(KINDS)
    assert {plan.law for plan in PLANTED} | {mutant.law for mutant in MUTANTS.values()} == set(LAWS) - {"results_stay"}
    assert len({plan.name for plan in PLANS}) == len(PLANS)


def test_a_tenth_of_them_was_hidden_while_the_search_was_tuned() -> None:
    hidden = sum(plan.hidden for plan in PLANTED)
    assert 0.05 < hidden / len(PLANTED) < 0.15


def test_what_is_left_out_has_an_argument() -> None:
    left_out = [plan for plan in PLANS if equivalent(plan)]
    assert 0 < len(left_out) < len(PLANS) / 50
    assert all(len(equivalent(plan)) > 20 for plan in left_out)


@pytest.mark.slow(but=["float64-native"])
@pytest.mark.parametrize(("dtype", "arithmetic"), VARIANTS, ids=["-".join(v) for v in VARIANTS])
def test_what_was_planted_is_caught(dtype: str, arithmetic: str) -> None:
    step = at_length(20, short=40)
    start = step // 4 * VARIANTS.index((dtype, arithmetic))
    missed = [plan.name for plan in PLANTED[start::step] if not planted_trial(plan, dtype, arithmetic).caught]
    assert missed == []


def test_without_its_mistake_a_planted_backend_is_right() -> None:
    plan = Plan("gradient_is_exact", "more than six layers", "factor", "gradient")
    network = Network.of(problem("two-layer"))
    for law in LAWS:
        assert LAWS[law](plan.make()(), network) <= 1


BLIND = [
    ("float32 alone", "gradient_is_exact", lambda subject: subject.backend.dtype == "float32"),
    ("reproducible arithmetic alone", "update_is_a_step", lambda s: s.backend.arithmetic == "reproducible"),
    ("deep networks", "prediction_is_exact", lambda subject: len(subject.first) > 3),
    ("one sample", "train_repeats_update", lambda subject: len(subject.inputs) == 1),
    ("everything", "weights_are_exact", lambda subject: True),
    ("everything", "calls_are_independent", lambda subject: True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("to", "law", "when"), BLIND, ids=[f"{law} blind to {to}" for to, law, _ in BLIND])
def test_a_law_made_blind_proves_nothing(to: str, law: str, when: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = LAWS[law]

    def blind(backend: Any, network: Network) -> float:
        return 0.0 if when(Subject.facing(backend, network)) else seeing(backend, network)

    monkeypatch.setitem(LAWS, law, blind)
    planted = [plan for plan in PLANTED if plan.law == law]
    assert not all(planted_trial(plan, *VARIANTS[n % 4]).caught for n, plan in enumerate(planted))


@pytest.mark.slow(but=["preactivation"])
@pytest.mark.parametrize("gone", LayerTrace._fields)
def test_a_trace_law_that_looks_away_from_one_field_proves_nothing(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if gone == "change":
        monkeypatch.setattr(laws, "_step", lambda *_: 0.0)
        monkeypatch.setattr(Subject, "right_trace", _without_change)
    else:
        monkeypatch.setattr(laws, "FIELDS", tuple(field for field in laws.FIELDS if field != gone))
    planted = [plan for plan in PLANTED if plan.law == "trace_is_the_update" and plan.field == gone]
    assert not all(planted_trial(plan).caught for plan in planted)


def _without_change(subject: Subject, trace: Any, what: str = "") -> float:
    for name in laws.FIELDS:
        subject.within(name, [getattr(t, name) for t in trace], [getattr(o, name) for o in subject.network.owed])
    return 0.0


@pytest.mark.slow
def test_numpy_is_not_called_wrong_and_the_sentence_counts() -> None:
    problems = at_length(40, short=16)
    proof = power(["numpy"], problems=problems, mutants=at_length(40, short=20))
    assert proof.missed == ()
    assert proof.false_alarms == ()
    assert proof.problems == {"numpy": problems}
    assert 0 < max(proof.closest.values()) < 0.9
    assert proof.proved
    assert f"0 false alarms in {problems} correct runs" in proof.verdict
    counts = Counter(m.dtype for m in proof.mutants)
    assert min(counts.values()) > 40
    assert proof.to_json()["equivalent"]


def test_without_a_correct_run_nothing_is_proved() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        power(["numpy"], problems=0)


FEW = dict(list(MUTANTS.items())[:2])


@pytest.mark.slow
def test_a_false_alarm_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(backend: Any, network: Network) -> float:
        raise LawBroken("gradient_is_exact", "disagree", "too strict", 2.0)

    monkeypatch.setitem(LAWS, "gradient_is_exact", strict)
    monkeypatch.setattr("equigrad.laws.power.MUTANTS", FEW)
    proof = power(["numpy", "numpy:cpu"], problems=2, mutants=1)  # one backend, spelt twice
    assert [(a.backend, a.message) for a in proof.false_alarms] == [("numpy", "gradient_is_exact: too strict")]
    assert not proof.proved
    assert "1 false alarms" in proof.verdict


class Halved(NumpyBackend):
    def gradient(self, *arguments: Any) -> Any:
        return tuple(g / 2 for g in super().gradient(*arguments))


@pytest.mark.slow
def test_a_wrong_backend_of_somebody_elses_is_a_finding_and_no_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equigrad.laws.power.loaded", lambda name: Halved())
    monkeypatch.setattr("equigrad.laws.power.MUTANTS", FEW)
    proof = power(["theirs:Halved"], problems=2, mutants=1)
    assert proof.false_alarms == ()
    assert [f.backend for f in proof.findings] == ["theirs:Halved"]
    assert "NOT correct: theirs:Halved" in proof.verdict
    assert not proof.proved
