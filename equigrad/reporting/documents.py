"""Results that other commands wrote as JSON: read, told apart, checked, and held to be of one problem."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.errors import UsageError
from ..common.files import SCHEMA, read_json
from ..common.problem import PROBLEMS, Problem
from ..common.shapes import NUMBER, misfit

DISTANCE = (int, float, str)
"""NaN and infinity are written as strings."""

TRAINED = {"name": str, "layers": [int], "samples": int, "updates": int, "learning_rate": NUMBER, "seed": int}
SHAPES: dict[str, Any] = {
    "compare": {
        "problem": TRAINED,
        "passport": dict,
        "verdict": str,
        "runs": [
            {
                "backend": str, "device": str, "dtype": str, "arithmetic": str, "outcome": str, "message": str,
                "weights_sha256": (str, None), "max_ulp": (int, None), "max_abs_difference": (*DISTANCE, None),
                "weights": [[[NUMBER]]], "figures": [bool], "microseconds_per_update": (*NUMBER, None),
            }
        ],
    },
    "diverge": {
        "problem": TRAINED,
        "passport": dict,
        "backends": [str],
        "dtypes": [str],
        "arithmetics": [str],
        "updates_compared": int,
        "identical": bool,
        "first": (dict, None),
        "earlier": (dict, None),
        "how": dict,
        "development": [{"update": int, "max_ulp": int, "max_abs_difference": DISTANCE}],
        "notes": [str],
    },
    "check": {
        "problem": {"name": str, "layers": [int], "samples": int},
        "passport": dict,
        "dtype": str,
        "agreed": bool,
        "verdict": str,
        "complex_step": DISTANCE,
        "backends": [
            {
                "backend": str, "device": str, "arithmetic": str, "outcome": str, "message": str,
                "layers": [{"layer": int, "ulp": int, "relative_error": DISTANCE, "bound": DISTANCE}],
            }
        ],
        "curve": (dict, None),
    },
    "crosscheck": {
        "dtype": str,
        "referee": str,
        "bound": DISTANCE,
        "agreed": bool,
        "verdict": str,
        "notes": [str],
        "matches": [str],
        "passport": dict,
        "functions": [
            {
                "name": str, "outcome": str, "message": str, "forward_mode": (*DISTANCE, None),
                "leaves": [
                    {"path": str, "shape": [int], "outcome": str, "relative_error": DISTANCE, "message": str}
                ],
            }
        ],
        "parting": (dict, None),
    },
    "bench": {
        "command": str,
        "datetime": str,
        "machine_info": dict,
        "tables": [
            {
                "problem": str, "dtype": str, "samples": int, "layers": [int], "threads": int, "rounds": int,
                "rows": [{"name": str, "group": str, "outcome": str}],
            }
        ],
        "benchmarks": [{"group": str, "name": str, "stats": {"data": [NUMBER]}}],
    },
}  # fmt: skip
"""What the page takes from a file of each kind: a type, one of several, a list of one shape, or keys."""

FIRST = {
    "update": int, "layer": int, "quantity": str, "max_ulp": int,
    "elements": [{"index": [int], "values": [DISTANCE], "hex": [str], "ulp": int}],
    "operations": [{"name": str, "same": bool, "differing": int, "max_ulp": int}],
}  # fmt: skip
EARLIER = {**FIRST, "size": int}
CURVE = {
    "dtype": str,
    "elements": int,
    "complex_step": DISTANCE,
    "points": [{"step": NUMBER, "forward": DISTANCE, "central": DISTANCE}],
}
SITE = {
    "framework": str, "operation": str, "part_of": str, "file": str, "line": int, "function": str,
    "called_from": [[(str, int)]], "shape": [int], "values": [DISTANCE],
}  # fmt: skip
PARTING = {
    "direction": str, "explanation": str, "difference": (*DISTANCE, None), "ulp": (int, None), "elements": [[int]],
    "torch": SITE, "jax": SITE, "onward": (dict, None),
}  # fmt: skip


@dataclass
class Documents:
    """The results of one report, by the command that wrote them."""

    compare: list[dict[str, Any]] = field(default_factory=list)
    diverge: list[dict[str, Any]] = field(default_factory=list)
    check: list[dict[str, Any]] = field(default_factory=list)
    crosscheck: list[dict[str, Any]] = field(default_factory=list)
    bench: list[dict[str, Any]] = field(default_factory=list)

    @property
    def of_problems(self) -> list[dict[str, Any]]:
        """Those about the training of a network."""
        return [*self.compare, *self.diverge, *self.check, *self.bench]

    @property
    def passport(self) -> dict[str, Any] | None:
        for document in (*self.compare, *self.check, *self.diverge, *self.crosscheck, *self.bench):
            return document["machine_info" if document in self.bench else "passport"]
        return None


def read(paths: Sequence[str | os.PathLike[str]]) -> Documents:
    """The results in these files.

    Raises UsageError, one line that names the file, for what cannot be read, is cut off, is not a result of
    compare, diverge, check, crosscheck or bench, or has another schema.
    """
    documents = Documents()
    for path in paths:
        kind, data = _read(Path(path))
        getattr(documents, kind).append(data)
    return documents


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    data = read_json(path)
    kind = _kind(data)
    if kind is None:
        raise UsageError(f"'{path}' is not a result of equigrad compare, diverge, check, crosscheck or bench")
    if kind == "power":
        raise UsageError(f"'{path}' is of check --power, which is about no one problem: give a result of check itself")
    if kind == "search":
        raise UsageError(f"'{path}' is of check without a problem: give a result of equigrad check PROBLEM")
    if data.get("schema") != SCHEMA:
        raise UsageError(f"'{path}' has schema {data.get('schema')!r}, this version reads schema {SCHEMA}")
    wrong = misfit(data, SHAPES[kind], "")
    if wrong is None and kind == "diverge":
        parted = [(data[key], shape, key) for key, shape in (("first", FIRST), ("earlier", EARLIER)) if data[key]]
        wrong = next(filter(None, (misfit(*each) for each in parted)), None)
        wrong = wrong or _not_two(data) or misfit([*data["how"].values()], [[str]], "how")
    if wrong is None and kind == "check" and data["curve"] is not None:
        wrong = misfit(data["curve"], CURVE, "curve")
    if wrong is None and kind == "crosscheck" and data["parting"] is not None:
        wrong = misfit(data["parting"], PARTING, "parting")
        if wrong is None and data["parting"]["onward"] is not None:
            wrong = misfit(data["parting"]["onward"], SITE, "parting.onward")
        wrong = wrong or _uneven(data["parting"])
    if wrong is not None:
        raise UsageError(f"'{path}' is not a whole result of equigrad {kind}: {wrong}")
    return kind, data


def _not_two(data: dict[str, Any]) -> str | None:
    """What a divergence has not for exactly two backends."""
    elements = data["first"]["elements"] if data["first"] else []
    pairs = [
        ("backends", data["backends"]),
        *((f"first.elements.{k}", e[k]) for e in elements for k in ("values", "hex")),
    ]
    return next((f"'{where}' is not of two backends" for where, pair in pairs if len(pair) != 2), None)


def _uneven(parting: dict[str, Any]) -> str | None:
    """What of a parting has not one number for each element shown."""
    shown = len(parting["elements"])
    uneven = (name for name in ("torch", "jax") if len(parting[name]["values"]) != shown)
    return next((f"'parting.{name}.values' is not of {shown} elements" for name in uneven), None)


def _kind(data: Any) -> str | None:
    """Which command wrote it, by the keys that only its result has."""
    if not isinstance(data, dict):
        return None
    if (kind := data.get("kind")) in ("bench", "crosscheck"):
        return str(kind)
    for key, kind in (
        ("runs", "compare"),
        ("development", "diverge"),
        ("mutants", "power"),
        ("searched", "search"),
        ("complex_step", "check"),
    ):
        if key in data:
            return kind
    return None


def of_one_problem(documents: Documents, problem: Problem | None) -> Problem | None:
    """The built-in problem, as it was trained, that the documents and `problem` are about; None if it is not built in.

    A bench result says nothing about sizes that are no built-in problem's, such as those of a sweep.
    Raises UsageError where two problems are mixed.
    """
    described = [] if problem is None else [(problem.to_json(), "the problem asked for")]
    for kind in ("compare", "diverge", "check"):
        described += [(document["problem"], f"a result of {kind}") for document in getattr(documents, kind)]
    merged: dict[str, Any] = {}
    for facts, what in described:
        for key, value in facts.items():
            if key in merged and merged[key] != value:
                named = merged["name"], facts["name"]
                both = (
                    f"'{named[0]}' and '{named[1]}'"
                    if named[0] != named[1]
                    else f"'{named[0]}' with {key} {merged[key]} and {value}"
                )
                raise UsageError(f"one report is about one problem, not about {both} ({what})")
        merged |= {key: value for key, value in facts.items() if key in TRAINED}
    timed = list(dict.fromkeys(t["problem"] for d in documents.bench for t in d["tables"] if t["problem"] in PROBLEMS))
    if timed and merged and merged["name"] not in timed:
        raise UsageError(
            f"one report is about one problem, not about '{merged['name']}' and '{timed[0]}' (a result of bench)"
        )
    if problem is not None:
        return problem
    if not merged:
        updates = {t.get("updates") for d in documents.bench for t in d["tables"] if t["problem"] in PROBLEMS}
        return (
            PROBLEMS[timed[0]]().with_(updates=updates.pop() if len(updates) == 1 else None)
            if len(timed) == 1
            else None
        )
    return _rebuilt(merged)


def _rebuilt(facts: dict[str, Any]) -> Problem | None:
    if facts["name"] not in PROBLEMS:
        return None
    built_in = PROBLEMS[facts["name"]]()
    if (list(built_in.layers), built_in.samples) != (facts["layers"], facts["samples"]):
        return None
    return built_in.with_(
        updates=facts.get("updates"), learning_rate=facts.get("learning_rate"), seed=facts.get("seed")
    )
