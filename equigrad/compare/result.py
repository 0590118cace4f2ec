"""What a comparison found, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..common import agreement
from ..common.agreement import GOOD
from ..common.files import SCHEMA
from ..common.markup import table
from ..common.problem import Problem
from ..common.words import at_most, counted, first_three, listed

INCONCLUSIVE = "inconclusive: rounding may hide any difference in {}"


@dataclass
class Run:
    """One backend, device, dtype and arithmetic, and what came of it."""

    backend: str
    device: str
    dtype: str
    arithmetic: str
    processes: int = 1
    outcome: str = "failed"
    message: str = ""
    weights: tuple[np.ndarray, ...] = ()
    weights_sha256: str | None = None
    max_ulp: int | None = None
    """From NumPy's weights, in ULP."""
    max_abs_difference: float | None = None
    bound: float | None = None
    """What max |w - NumPy's| / max |NumPy's| may be; 0 where the same bits are promised."""
    outputs: np.ndarray | None = None
    """The prediction for the problem's inputs, (samples, outputs)."""
    predictions: np.ndarray | None = None
    """The prediction for the inputs asked for, (rows, outputs)."""
    figures: list[bool] = field(default_factory=list)
    """Whether each published figure of the problem came out, digit for digit."""
    first_call_seconds: float | None = None
    """The first update, compilation included."""
    seconds: float | None = None
    """All updates after the first call."""
    microseconds_per_update: float | None = None
    """The median of the long uninterrupted stretches of updates."""
    watched: list[tuple[int, Any]] = field(default_factory=list, repr=False)
    """(update, one LayerTrace per layer) of the updates that were watched; updates count from 1."""

    @property
    def name(self) -> str:
        """As a user asks for it: torch, torch:cuda, package.module:Class."""
        return self.backend if self.device == "cpu" else f"{self.backend}:{self.device}"

    @property
    def label(self) -> str:
        """The name, and on how many processes."""
        return self.name if self.processes == 1 else f"{self.name} on {self.processes} processes"

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "backend": self.backend,
            "device": self.device,
            "dtype": self.dtype,
            "arithmetic": self.arithmetic,
            "processes": self.processes,
            "outcome": self.outcome,
            "message": self.message,
            "weights_sha256": self.weights_sha256,
            "max_ulp": self.max_ulp,
            "max_abs_difference": self.max_abs_difference,
            "bound": self.bound,
            "weights": [w.tolist() for w in self.weights],
            "outputs": None if self.outputs is None else self.outputs.tolist(),
            "predictions": None if self.predictions is None else self.predictions.tolist(),
            "figures": self.figures,
            "first_call_seconds": self.first_call_seconds,
            "seconds": self.seconds,
            "microseconds_per_update": self.microseconds_per_update,
        }


@dataclass
class Comparison:
    """Every run on one problem, NumPy's first."""

    problem: Problem
    passport: dict[str, Any]
    runs: list[Run]

    @property
    def agreed(self) -> bool:
        """Whether every run that could take place agrees with NumPy, and at least one did."""
        return agreement.agreed(run.outcome for run in self.runs)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Which of `names` are missing altogether, or on some number of processes."""
        numbers = dict.fromkeys(run.processes for run in self.runs)
        each = [((run.name, run.outcome) for run in self.runs if run.processes == n) for n in numbers]
        return list(dict.fromkeys(name for pairs in each for name in agreement.missing(pairs, names)))

    def status(self, names: Sequence[str] = ()) -> int:
        """The exit status of a command that was asked for these backends."""
        return agreement.status(self.agreed, self.missing(names))

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each arithmetic, with the hash or the distance that carries it."""
        return [self._verdict(arithmetic) for arithmetic in dict.fromkeys(run.arithmetic for run in self.runs)]

    @property
    def verdict(self) -> str:
        """All of `verdicts` in one line."""
        return " ".join(self.verdicts)

    def _verdict(self, arithmetic: str) -> str:
        runs = [run for run in self.runs if run.arithmetic == arithmetic]
        bad = [run for run in runs if agreement.bad(run.outcome)]
        open_ = [run for run in runs if run.outcome == "inconclusive"]
        good = [run for run in runs if run.outcome in GOOD]
        missing = [run.label for run in runs if run.outcome == "missing"]
        names = _named(good)
        if bad:
            sentence = f"NOT in agreement: {agreement.told((run.label, run.outcome) for run in bad)}"
        elif open_:
            sentence = INCONCLUSIVE.format(_named(open_))
        elif len(good) < 2:
            sentence = f"nothing to compare, {', '.join(run.label for run in good) or 'no backend'} ran alone"
        elif len({run.weights_sha256 for run in good}) == 1:
            sentence = f"identical weights in {names}, one SHA-256: {good[0].weights_sha256}"
            if arithmetic == "reproducible" and good[0].weights_sha256 == self.problem.golden.get(good[0].dtype):
                sentence += ", the published one"
        else:
            ulp = max(run.max_ulp or 0 for run in good)
            difference = max(run.max_abs_difference or 0.0 for run in good)
            sentence = f"{names} agree, {ulp:,} ULP or {at_most(difference)} apart at most, not bit for bit"
        skipped = f" ({', '.join(missing)} missing)" if missing else ""
        return f"{arithmetic}: {sentence}{skipped}."

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        p = self.problem
        rows = [
            (
                run.label,
                run.arithmetic,
                run.outcome,
                "" if run.max_ulp is None else f"{run.max_ulp:,}",
                first_three(run.weights, run.dtype),
                (run.weights_sha256 or "")[:12],
            )
            for run in self.runs
        ]
        title = f"{p.name}: {' → '.join(map(str, p.layers))}, {counted(p.updates, 'update')}"
        header = ("backend", "arithmetic", "outcome", "max ULP to NumPy", "first weights", "SHA-256")
        messages = [f"{run.label} {run.arithmetic}: {run.message}" for run in self.runs if run.message]
        return table(title, header, rows, [*messages, *self.notes, *self.verdicts])

    @property
    def notes(self) -> list[str]:
        """What was trained as it was asked, and can hardly be meant; each a sentence without a full stop."""
        targets = self.problem.targets
        beyond = int(((targets < 0) | (targets > 1)).sum())
        said = f"{beyond:,} of {counted(targets.size, 'target')} {'is' if beyond == 1 else 'are'} not between 0 and 1"
        return [f"{said}, where every output of the sigmoid is: scale them"] * (beyond > 0)

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "schema": SCHEMA,
            "problem": self.problem.to_json(),
            "passport": self.passport,
            "verdict": self.verdict,
            "runs": [run.to_json() for run in self.runs],
        }


def _named(runs: list[Run]) -> str:
    """The backends by name, and on which numbers of processes if not on one alone."""
    names = []
    for name in dict.fromkeys(run.name for run in runs):
        numbers = [str(run.processes) for run in runs if run.name == name]
        names.append(name if numbers == ["1"] else f"{name} on {listed(numbers)} processes")
    return listed(names)
