"""The machine and the software that a result was made with."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "torch", "jax", "jaxlib")
VECTOR_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "OPENBLAS_CORETYPE",
    "XLA_FLAGS",
)
"""Environment variables that choose vector units, and with them native bits."""
CONTAINER = Path("/sys/fs/cgroup")


def machine() -> dict[str, Any]:
    """Processor, cores, SIMD level, operating system and the versions installed, read off and never typed."""
    return {
        "equigrad": _version("equigrad"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "simd": _simd(),
        "versions": {name: _version(name) for name in PACKAGES},
        "thread_variables": {k: v for k, v in sorted(os.environ.items()) if k.endswith("_NUM_THREADS")},
        "vector_variables": {k: os.environ[k] for k in VECTOR_VARIABLES if k in os.environ},
    }


_installed = cache(version)
"""What is not installed raises, which is not kept: it may be installed meanwhile."""


def _version(name: str) -> str | None:
    try:
        return _installed(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Linux keeps the name in /proc/cpuinfo; elsewhere Python knows it, or not."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _simd() -> list[str]:
    """The vector extensions that NumPy found and uses beyond those it was built for."""
    config: Any = np.show_config(mode="dicts")
    extensions = config.get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]


def cores() -> int:
    """The processors that this process may use, by the system and by the quota of the container it runs in."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, (CONTAINER / "cpu.max").read_text().split())
    except (OSError, ValueError):  # no container, or "max"
        return allowed
    return max(1, min(allowed, quota // period))


def free_memory() -> int | None:
    """Bytes that a process could still get, by the system and by the container it runs in; None if unknown."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        if hasattr(os, "sysconf"):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        most, used = (int((CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(most - used)
    except (OSError, ValueError):  # no container, or "max"
        pass
    return min(found, default=None)
