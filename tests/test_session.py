"""A backend is loaded, called and checked in one place, with one text for one mistake."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad import Engine, problem
from equigrad.backends.interface import LayerTrace
from equigrad.backends.numpy_backend import NumpyBackend
from equigrad.common.agreement import Disagreement
from equigrad.common.errors import UsageError, foreign
from equigrad.common.machine import machine
from equigrad.session import Fault, Session, load_all, loaded, sessions

TASK = problem("two-layer").with_(updates=5)
LIKE_WEIGHTS = "a tuple of 2 arrays of shape (3, 4), (4, 1), float64"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def replaced(method: str, result: Any) -> Session:
    """A session of NumPy's backend in which `method` returns `result`, or raises it."""

    def instead(self: object, *arguments: Any) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    return Session.of(TASK, type("Other", (NumpyBackend,), {method: instead})(), "other")


WRONG: dict[str, tuple[str, Any, str, str]] = {
    "a list": ("train", [1], "failed", f"train returned a list - expected {LIKE_WEIGHTS}"),
    "too few arrays": ("train", (np.ones((3, 4)),), "failed", f"train returned 1 array - expected {LIKE_WEIGHTS}"),
    "another shape": (
        "train",
        (np.ones((4, 3)), np.ones((4, 1))),
        "failed",
        f"train returned an array of shape (4, 3) - expected {LIKE_WEIGHTS}",
    ),
    "another dtype": (
        "train",
        (np.ones((3, 4), "f4"), np.ones((4, 1))),
        "wrong-dtype",
        f"train returned an array of float32 - expected {LIKE_WEIGHTS}",
    ),
    "whole numbers": (
        "train",
        (np.ones((3, 4), int), np.ones((4, 1))),
        "failed",
        f"train returned an array of int64 - expected {LIKE_WEIGHTS}",
    ),
    "another device": ("device_of", "tpu", "wrong-device", "train left its result on 'tpu', not on 'cpu'"),
    "no NumPy array": ("to_numpy", 7, "failed", "to_numpy returned an int - expected a NumPy array with the same bits"),
    "an error": (
        "train",
        OSError("two\nlines"),
        "failed",
        f"train raised OSError: two lines - expected {LIKE_WEIGHTS}",
    ),
    "an error without a text": (
        "train",
        Unprintable(),
        "failed",
        f"train raised Unprintable, which cannot be printed - expected {LIKE_WEIGHTS}",
    ),
    "an exit": ("train", SystemExit(0), "failed", f"train raised SystemExit: 0 - expected {LIKE_WEIGHTS}"),
}


@pytest.mark.parametrize(("method", "result", "outcome", "message"), WRONG.values(), ids=WRONG)
def test_one_text_for(method: str, result: Any, outcome: str, message: str) -> None:
    session = replaced(method, result)
    with pytest.raises(Fault) as caught:
        session.numpy(session.train(session.weights))
    assert (caught.value.outcome, caught.value.message) == (outcome, message)
    assert str(caught.value) == f"other: {message}"


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "a NoneType"),
        ((), "a tuple of 0"),
        ((1, 2), "an int for a layer"),
        (tuple(LayerTrace(*[np.ones(3)] * 5) for _ in range(2)), "an array of shape (3,)"),
    ],
    ids=["nothing", "no layers", "no LayerTrace", "flat arrays"],
)
def test_a_trace_is_checked_too(result: Any, says: str) -> None:
    session = replaced("trace", result)
    with pytest.raises(Fault, match="trace returned ") as caught:
        session.trace(session.weights)
    assert says in caught.value.message


def test_ctrl_c_is_nobodys_fault() -> None:
    session = replaced("train", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.train(session.weights)


def test_faults_survive_the_way_to_another_process() -> None:
    fault = pickle.loads(pickle.dumps(Fault("failed", "message", "who")))
    assert (fault.outcome, fault.message, str(fault)) == ("failed", "message", "who: message")
    other = pickle.loads(pickle.dumps(Disagreement("disagree", "far")))
    assert (other.outcome, other.message) == ("disagree", "far")


class Native(Engine):
    def predict(self, weights: Any, x: Any) -> Any: ...
    def gradient(self, weights: Any, x: Any, y: Any) -> Any: ...


class Halfway(Engine):
    """Lacks `gradient`."""

    def predict(self, weights: Any, x: Any) -> Any: ...


def test_who_has_one_arithmetic_takes_part_in_that_one() -> None:
    found = load_all([Native], "float64", "both", first="numpy")
    assert [(entry.name, entry.arithmetic) for entry in found] == [("numpy", "native"), ("Native", "native")]
    (numpy, missing) = load_all([Native], "float64", "reproducible", first="numpy")
    assert isinstance(missing.backend, Fault)
    assert (numpy.name, missing.backend.outcome) == ("numpy", "missing")
    assert "has no reproducible arithmetic, only native" in missing.backend.message


def test_one_backend_under_two_names_is_one() -> None:
    assert [entry.name for entry in load_all(["numpy:cpu", "numpy"], "float64", "native")] == ["numpy"]
    assert [each.label for each in sessions(TASK, ["numpy:cpu"], "float64", ["native", "reproducible"])] == [
        "numpy native",
        "numpy reproducible",
    ]


def test_a_class_that_lacks_methods_says_which() -> None:
    with pytest.raises(Fault, match=r"^Halfway lacks gradient - expected both methods of equigrad\.Engine$"):
        loaded(Halfway)
    (entry,) = load_all([Halfway], "float64", "native")
    assert isinstance(entry.backend, Fault)
    assert entry.backend.outcome == "failed"


def test_a_problem_that_does_not_fit_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="does not fit into float32"):
        sessions(TASK.with_(learning_rate=1e300), ["numpy"], "float32", "native")


def test_what_is_installed_meanwhile_is_found_and_its_version_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("equigrad.common.machine.PACKAGES", ("late-engine",))
    assert machine()["versions"] == {"late-engine": None}
    (tmp_path / "late.py").write_text("from equigrad.backends.numpy_backend import NumpyBackend as Late\n")
    with pytest.raises(UsageError, match="unknown backend 'late-engine'"):
        loaded("late-engine")
    info = tmp_path / "late_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[equigrad.backends]\nlate-engine = late:Late\n")
    assert loaded("late-engine").name == "numpy"
    assert machine()["versions"] == {"late-engine": "1.0"}


def test_os_exit_is_refused_while_foreign_code_runs_and_is_itself_again_after() -> None:
    leave = os._exit
    with pytest.raises(SystemExit, match=r"^it calls os._exit\(3\)$"), foreign():
        os._exit(3)
    assert os._exit is leave
