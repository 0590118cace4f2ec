"""Proof of power: planted porting mistakes are caught, and the line that is named is the planted one.

`python tests/crosscheck/power.py` prints all of it; --tuned, --held-out and --unseen the three parts of the mistakes,
and --pairs the right pairs.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

import equigrad

HERE = Path(__file__).parent
PORTS = HERE / "ports"
NAMES = sorted(path.stem for path in PORTS.glob("*.py"))


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


planted, unseen = loaded(HERE / "planted.py"), loaded(HERE / "unseen.py")
PARTS = {
    "tuned": [m for m in planted.MISTAKES if not m.held_out],
    "held-out": [m for m in planted.MISTAKES if m.held_out],
    "unseen": unseen.MISTAKES,
}


class Trial(NamedTuple):
    """One planted mistake, and what came of it."""

    mistake: Any
    caught: bool
    named: bool
    """Whether both lines that are named are those of the planted step."""
    said: str


def inputs(shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Random inputs of a port, always the same."""
    generator = np.random.default_rng(0)
    special = {
        "labels": lambda: generator.integers(0, 6, 5),
        "tokens": lambda: generator.integers(0, 7, (2, 4)),
        "positive 6": lambda: generator.uniform(0.5, 2, 6),
        "unit 5 4": lambda: generator.uniform(0, 1, (5, 4)),
    }
    return {k: special[v]() if isinstance(v, str) else generator.standard_normal(v) for k, v in shapes.items()}


def right(name: str) -> Any:
    """The crosscheck of a port without a mistake."""
    module = loaded(PORTS / f"{name}.py")
    return equigrad.crosscheck(torch=module.f_torch, jax=module.f_jax, inputs=inputs(module.SHAPES))


def spoilt(mistake: Any) -> tuple[str, str]:
    """(the source of a port with one mistake in it, the name of the step that it is in)."""
    source = (PORTS / f"{mistake.port}.py").read_text()
    cut = source.index("def f_jax")
    parts = {"torch": source[:cut], "jax": source[cut:]}
    part = parts[mistake.side]
    assert part.count(mistake.right) == 1, mistake.what
    end = part.index(mistake.right) + len(mistake.right)
    step = _step(part[: (part + "\n").index("\n", end - 1)].splitlines()[-1])
    parts[mistake.side] = part.replace(mistake.right, mistake.wrong)
    return parts["torch"] + parts["jax"], step


def _step(line: str) -> str:
    found = re.search(r"  # (.*)$", line)
    return found[1] if found else ""


def trial(mistake: Any, folder: Path) -> Trial:
    """Crosscheck a port with one mistake in it."""
    source, step = spoilt(mistake)
    path = folder / f"{mistake.port}_{zlib.crc32(mistake.what.encode()):x}.py"
    path.write_text(source)
    module = loaded(path)
    result = equigrad.crosscheck(torch=module.f_torch, jax=module.f_jax, inputs=inputs(module.SHAPES))
    parting = result.parting
    lines = ["", *source.splitlines()]
    steps = [_step(lines[site.line]) for site in (parting.torch, parting.jax)] if parting else []
    return Trial(mistake, not result.agreed, steps == [step, step], str(parting or result))


def trials(mistakes: list[Any]) -> Iterator[Trial]:
    with tempfile.TemporaryDirectory() as folder:
        for mistake in mistakes:
            yield trial(mistake, Path(folder))


def correct() -> dict[str, Any]:
    """Pairs without a mistake, by people who do not know of this check."""
    module = loaded(HERE / "correct.py")
    return {**module.functions(), **module.modules()}


def falsely_accused(pairs: dict[str, Any]) -> dict[str, str]:
    """The pairs that are called different, and why."""
    found = {}
    for name, pair in pairs.items():
        result = equigrad.crosscheck(torch=pair.torch, jax=pair.jax, inputs=pair.inputs, parameters=pair.parameters)
        if not result.agreed:
            found[name] = str(result)
    return found


def main() -> None:
    asked = sys.argv[1:] or [*(f"--{name}" for name in PARTS), "--pairs"]
    for name, mistakes in PARTS.items():
        if f"--{name}" not in asked:
            continue
        found = []
        for t in trials(mistakes):
            found.append(t)
            outcome = "named" if t.named else "caught" if t.caught else "MISSED"
            print(outcome, t.mistake.port, t.mistake.what, t.said, sep=" | ", flush=True)
        print(f"{name}: {sum(t.caught for t in found)} of {len(found)} caught, {sum(t.named for t in found)} named")
    if "--pairs" in asked:
        pairs = correct()
        accused = falsely_accused(pairs)
        accused |= {f"port {name}": str(result) for name in NAMES if not (result := right(name)).agreed}
        print(f"{len(accused)} false alarms in {len(pairs) + len(NAMES)} correct pairs")
        for name, why in accused.items():
            print(name, why)


if __name__ == "__main__":
    main()
