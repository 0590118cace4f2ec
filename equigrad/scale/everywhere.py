"""Where the published hash has really been seen: python -m equigrad.scale.everywhere docs/everywhere.md

Each line of the page is a command that was run, with what was installed; what could not be run is named too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..common.files import write_text
from ..common.machine import machine
from ..common.problem import problem

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = "digits"
ALL = ("numpy", "torch", "jax")
AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
VECTORS = {
    "AVX2 at most": {
        "NPY_DISABLE_CPU_FEATURES": AVX512, "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "SSE at most": {
        "NPY_DISABLE_CPU_FEATURES": f"{AVX512} AVX2 FMA3 X86_V3", "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}  # fmt: skip
"""What keeps NumPy, PyTorch and JAX, and the libraries that multiply their matrices, from the wider vector units."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
VERSIONS = {
    "oldest NumPy allowed": ("numpy", ["numpy==2.0.0"]),
    "oldest JAX allowed": ("jax", ["jax==0.10.0", "jaxlib==0.10.0"]),
    "newest NumPy": ("numpy", ["numpy"]),
    "newest JAX": ("jax", ["jax"]),
}
OLDEST_OTHERS = ("typer==0.15.1", "rich==13.7.0")
"""What else the package needs, in old versions."""
NOT_RUN = (
    ("aarch64", "no such machine here; under emulation not run for this version"),
    ("CUDA", "needs a GPU: `equigrad compare digits -b torch:cuda -b jax:cuda`"),
    ("several machines", "one machine alone: [scale.md](scale.md) has the commands"),
    ("the oldest PyTorch that pyproject.toml allows", "its wheel is a download of gigabytes"),
    ("macOS, Windows", "no such machine here"),
)


@dataclass
class Seen:
    """One command, and whether each backend's weights had the published hash."""

    where: str
    command: str
    versions: str
    hashes: dict[str, str]
    """Of each backend, or what it said instead."""
    published: bool


def here(
    environment: dict[str, str],
    *options: str,
    where: str,
    backends: Sequence[str] = ALL,
    python: str = sys.executable,
    installed: str = "",
) -> Seen:
    """Run the command, and look for the hash in its result; `installed` is what was done before."""
    chosen = [part for backend in backends for part in ("-b", backend)]
    arguments = ["compare", PROBLEM, *chosen, "--arithmetic", "reproducible", *options]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        done = subprocess.run(
            [python, "-m", "equigrad", *arguments, "--json", str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": [], "passport": {}}
    said = (done.stderr.strip().splitlines() or ["no result"])[-1][:100]
    told = found["passport"].get("versions", {})
    hashes, published = {}, True
    for backend in backends:
        runs = [run for run in found["runs"] if run["backend"] == backend]
        seen = {str(run["weights_sha256"]) for run in runs}
        hashes[backend] = ", ".join(sorted(one[:12] for one in seen)) or said
        published &= bool(runs) and seen == {problem(PROBLEM).golden[runs[0]["dtype"]]}
    return Seen(
        where,
        installed + " ".join([*(f"{k}={shlex.quote(v)}" for k, v in environment.items()), "equigrad", *arguments]),
        ", ".join(f"{name} {told.get(name)}" for name in dict.fromkeys(["numpy", *backends])),
        hashes,
        published,
    )


def in_other_versions(where: str, backend: str, packages: Sequence[str]) -> Seen:
    """In a virtual environment of its own, which is thrown away."""
    with tempfile.TemporaryDirectory(prefix="equigrad-") as folder:
        venv.create(folder, with_pip=True, symlinks=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", *packages, *OLDEST_OTHERS]
        done = subprocess.run(install, capture_output=True, text=True)
        command = f"pip install {' '.join([*packages, *OLDEST_OTHERS])}; "
        if done.returncode:
            line = (done.stderr.strip().splitlines() or ["it cannot be installed"])[-1]
            return Seen(where, command, "", {backend: line[:100]}, False)
        return here({}, where=where, backends=[backend], python=python, installed=command)


def places() -> dict[str, Callable[..., Seen]]:
    """All there is to run: this machine as it is, processes, other versions, narrower vector units, threads."""
    found: dict[str, Callable[..., Seen]] = {}
    for dtype in ("float64", "float32"):
        found[f"as it is, {dtype}"] = partial(here, {}, "--dtype", dtype)
    for where, (backend, packages) in VERSIONS.items():
        found[where] = partial(in_other_versions, backend=backend, packages=packages)
    for where, environment in VECTORS.items():
        found[where] = partial(here, environment)
    for threads in ("1", "2"):
        found[f"threads: {threads}"] = partial(here, dict.fromkeys(THREADS, threads), backends=("numpy", "torch"))
    for dtype in ("float64", "float32"):
        found[f"1, 2, 3 and 4 processes, {dtype}"] = partial(here, {}, "--dtype", dtype, "--processes", "1,2,3,4")
    return found


def row(seen: Seen) -> str:
    if len({*seen.hashes.values()}) == 1:
        hashes = f"`{next(iter(seen.hashes.values()))}`"
    else:
        hashes = ", ".join(f"{backend} `{text}`" for backend, text in seen.hashes.items())
    yes = "yes" if seen.published else "**no**"
    return f"| {seen.where} | {', '.join(seen.hashes)} | {seen.versions} | {hashes} | {yes} | `{seen.command}` |"


def page(seen: list[Seen], left: Sequence[str]) -> str:
    facts, golden = machine(), problem(PROBLEM).golden
    lines = [
        "# Where the hash has been seen",
        "",
        f"The weights that {PROBLEM} reaches under the reproducible arithmetic, by `make everywhere` on "
        f"{datetime.date.today():%Y-%m-%d}: {facts['processor']}, {facts['system']}, {facts['cores']} cores, "
        f"Python {facts['python']}. The published hash begins with `{golden['float64'][:12]}` in float64, "
        f"`{golden['float32'][:12]}` in float32. Each line is one command; NumPy on one process is its reference.",
        "",
        "| where | backends | versions | hash | published | command |",
        "|---|---|---|---|---|---|",
        *map(row, seen),
        "",
        "## Not run",
        "",
        *(f"- {where}: `make everywhere` was ended before" for where in left),
        *(f"- {what}: {why}" for what, why in NOT_RUN),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    chosen = parser.parse_args()
    seen: list[Seen] = []
    todo = places()
    for i, (where, run) in enumerate(todo.items(), 1):
        seen.append(found := run(where=where))
        print(f"{i} of {len(todo)}, {where}: {found.hashes}{'' if found.published else ' NOT PUBLISHED'}", flush=True)
        write_text(chosen.page, page(seen, [*todo][i:]))  # whoever ends this early has what was seen so far
    sys.exit(0 if all(found.published for found in seen) else 1)


if __name__ == "__main__":
    main()
