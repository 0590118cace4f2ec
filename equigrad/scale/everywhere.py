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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.files import write_text
from ..common.machine import machine
from ..common.problem import problem

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = "digits"
AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
VECTORS = {
    "numpy": {
        "AVX2 at most": {"NPY_DISABLE_CPU_FEATURES": AVX512, "OPENBLAS_CORETYPE": "Haswell"},
        "SSE at most": {"NPY_DISABLE_CPU_FEATURES": f"{AVX512} AVX2 FMA3 X86_V3", "OPENBLAS_CORETYPE": "Nehalem"},
    },
    "torch": {
        "AVX2 at most": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        "SSE at most": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    },
    "jax": {
        "AVX2 at most": {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
        "SSE at most": {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
    },
}
"""What keeps each backend, and the library that multiplies its matrices, from the wider vector units."""
VERSIONS = {
    "oldest NumPy allowed": ("numpy", ["numpy==2.0.0"]),
    "oldest JAX allowed": ("jax", ["jax==0.10.0", "jaxlib==0.10.0"]),
    "newest NumPy": ("numpy", ["numpy"]),
    "newest JAX": ("jax", ["jax"]),
}
NOT_RUN = (
    ("aarch64", "no such machine here, and emulation takes hours"),
    ("CUDA", "no GPU in this machine: `equigrad compare digits -b torch:cuda -b jax:cuda` on one that has it"),
    ("several machines", "one machine alone: [scale.md](scale.md) has the commands"),
    ("other versions of PyTorch than the one above", "each is a large download"),
    ("macOS, Windows", "no such machine here"),
)


@dataclass
class Seen:
    """One command, and whether the backend's weights had the published hash."""

    where: str
    backend: str
    command: str
    versions: str
    hash: str
    published: bool


def here(
    backend: str,
    where: str,
    environment: dict[str, str],
    *options: str,
    python: str = sys.executable,
    installed: str = "",
) -> Seen:
    """Run the command, and look for the hash in its result; `installed` is what was done before."""
    arguments = ["compare", PROBLEM, "-b", backend, "--arithmetic", "reproducible", *options]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        done = subprocess.run(
            [python, "-m", "equigrad", *arguments, "--json", str(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": [], "passport": {}}
    runs = [run for run in found["runs"] if run["backend"] == backend]
    hashes = {run["weights_sha256"] for run in runs}
    golden = problem(PROBLEM).golden[runs[0]["dtype"]] if runs else ""
    told = found["passport"].get("versions", {})
    return Seen(
        where,
        backend,
        installed + " ".join([*(f"{k}={shlex.quote(v)}" for k, v in environment.items()), "equigrad", *arguments]),
        f"{backend} {told.get(backend)}" + (f", numpy {told.get('numpy')}" if backend != "numpy" else ""),
        ", ".join(sorted(str(h)[:12] for h in hashes)) or (done.stderr.strip().splitlines() or ["no result"])[-1],
        hashes == {golden},
    )


def plain() -> Iterator[Seen]:
    """This machine as it is, narrower vector units, threads, processes."""
    for backend in VECTORS:
        for dtype in ("float64", "float32"):
            yield here(backend, f"as it is, {dtype}", {}, "--dtype", dtype)
        for where, environment in VECTORS[backend].items():
            yield here(backend, where, environment)
        for threads in ("1", "2"):
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
            if backend != "jax":
                yield here(backend, f"threads: {threads}", dict.fromkeys(names, threads))
        yield here(backend, "1, 2 and 3 processes", {}, "--processes", "1,2,3")


def in_other_versions() -> Iterator[Seen]:
    """Each in a virtual environment of its own, which is thrown away."""
    for where, (backend, packages) in VERSIONS.items():
        with tempfile.TemporaryDirectory(prefix="equigrad-") as folder:
            venv.create(folder, with_pip=True, symlinks=True)
            python = str(Path(folder) / "bin" / "python")
            install = [python, "-m", "pip", "install", "--quiet", *packages, "typer>=0.15", "rich>=13.7"]
            done = subprocess.run(install, capture_output=True, text=True)
            if done.returncode:
                line = (done.stderr.strip().splitlines() or ["it cannot be installed"])[-1]
                yield Seen(where, backend, f"pip install {' '.join(packages)}", "", line[:100], False)
            else:
                yield here(backend, where, {}, python=python, installed=f"pip install {' '.join(packages)}; ")


YES = {True: "yes", False: "**no**"}


def page(seen: list[Seen]) -> str:
    facts, golden = machine(), problem(PROBLEM).golden
    lines = [
        "# Where the hash has been seen",
        "",
        f"The weights that {PROBLEM} reaches under the reproducible arithmetic, by `make everywhere` on "
        f"{datetime.date.today():%Y-%m-%d}: {facts['processor']}, {facts['system']}, {facts['cores']} cores, "
        f"Python {facts['python']}. The published hash begins with `{golden['float64'][:12]}` in float64, "
        f"`{golden['float32'][:12]}` in float32.",
        "",
        "| backend | where | versions | hash | published | command |",
        "|---|---|---|---|---|---|",
        *(
            f"| {s.backend} | {s.where} | {s.versions} | `{s.hash}` | {YES[s.published]} | `{s.command}` |"
            for s in seen
        ),
        "",
        "## Not run",
        "",
        *(f"- {what}: {why}" for what, why in NOT_RUN),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    chosen = parser.parse_args()
    seen = []
    for found in (entry for each in (plain(), in_other_versions()) for entry in each):
        print(f"{found.backend}, {found.where}: {found.hash} {'' if found.published else 'NOT PUBLISHED'}", flush=True)
        seen.append(found)
    write_text(chosen.page, page(seen))
    sys.exit(0 if all(found.published for found in seen) else 1)


if __name__ == "__main__":
    main()
