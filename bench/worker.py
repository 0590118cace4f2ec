"""A process for each contestant: what crashes, hangs or misbehaves does so alone, and no two thread pools meet.

The parent sends ("prepare", workload) or ("run", n) and waits for the answer, so only one of them works at a time:
that is what makes interleaved rounds possible over frameworks that should not share a process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..backends import backend_class
from ..common.agreement import Disagreement
from ..common.errors import EquigradError, MissingError, said
from ..common.garbage import keep_imports
from ..session import Fault
from .workload import Arrays, Contestant, Moved, Unsuitable, Workload

FOREVER = 1e6
"""Seconds of patience from which on there is no limit: the system cannot wait for just so long."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

ON_DEVICE = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu", "DEV": "CPU"},
    "cuda": {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # or the first JAX process takes the GPU from the others
}
"""Some libraries take a GPU whenever they see one. The last two are Keras's and tinygrad's."""

END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG in Linux's <sys/prctl.h>."""

PACKAGES = {"sklearn": "scikit-learn", "torch": "'equigrad[torch]'", "jax": "'equigrad[jax]'"}
"""What pip calls a package where that is not what it is imported as; the frameworks come as ranges that are tested."""


class Refused(Exception):
    """No number from this contestant: `outcome` is missing, unsuitable or failed, the text says why."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Worker:
    """The parent's side.

    Every call raises Refused when the contestant cannot, crashes, or takes longer than `patience` seconds.
    """

    def __init__(self, contestant: Contestant, threads: int, patience: float) -> None:
        self.contestant, self.patience = contestant, patience
        context = multiprocessing.get_context("spawn")
        self._pipe, child = context.Pipe()
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | ON_DEVICE.get(contestant.device, {})
        variables |= dict(contestant.environment)
        self._process = context.Process(target=_serve, args=(child, contestant, threads), daemon=True)
        with environment(variables):
            self._process.start()
        child.close()
        self.import_seconds: float = self._answer()

    def prepare(self, workload: Workload) -> float:
        """Build the contestant for this workload, data moved to its device; the seconds that took."""
        return float(self._ask("prepare", workload))

    def run(self, n: int, repeats: int = 1) -> tuple[float, Arrays]:
        """The seconds that a run of `n` updates took, the result included, and the result.

        A run that is short against the machine's hiccups is timed over several `repeats`, one after the other.
        """
        seconds, result = self._ask("run", (n, repeats))
        return seconds / repeats, result

    def begin(self, weights: Arrays) -> None:
        """Let a backend's runs that follow start from these weights."""
        self._ask("begin", weights)

    def facts(self) -> dict[str, Any]:
        """peak_bytes since it was prepared, on a GPU those of the GPU, else above what it held after its imports
        (None where not known); transfer_seconds, threads, versions and precision of float32 products as the
        libraries have them; of a backend, what it says of its environment."""
        return self._ask("facts", None)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _ask(self, what: str, argument: Any) -> Any:
        try:
            self._pipe.send((what, argument))
        except OSError:
            raise Refused("failed", self._epitaph()) from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(self.patience if self.patience < FOREVER else None):
                self.close()
                raise Refused("failed", f"no answer within {self.patience:g} s: it hangs, or needs more --patience")
            outcome, value = self._pipe.recv()
        except (EOFError, OSError):
            raise Refused("failed", self._epitaph()) from None
        if outcome != "ok":
            raise Refused(outcome, value)
        return value

    def _epitaph(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"crashed: killed by {signal.Signals(-code).name}"
        return f"crashed: its process ended with status {code}"


@contextmanager
def environment(variables: dict[str, str]) -> Any:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, contestant: Contestant, threads: int) -> None:
    """The child's side."""
    keep_imports()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)  # or it would go on until its run ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which keeps what it has
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints has no place in a table
    os.dup2(1, 2)
    if hasattr(os, "sched_setaffinity"):
        # the one setting that every library obeys, XLA included
        os.sched_setaffinity(0, fastest(os.sched_getaffinity(0), threads * contestant.processes))
    tasks = {"prepare": _prepare, "run": _run, "begin": _begin, "facts": _facts}
    state: dict[str, Any] = {"contestant": contestant}
    try:
        reply: tuple[str, Any] = _guarded(_import, state, contestant)
        while True:
            pipe.send(reply)
            what, argument = pipe.recv()
            reply = _guarded(tasks[what], state, argument)
    except (EOFError, OSError):
        pass  # the parent is gone


def fastest(cpus: set[int], n: int, folder: Path = Path("/sys/devices/system/cpu")) -> list[int]:
    """`n` of these CPUs: one of each core before a second, fast before slow, as far as Linux tells, then the last."""

    def told(cpu: int, *files: str) -> int | None:
        for file in files:
            with suppress(OSError, ValueError):
                return int((folder / f"cpu{cpu}" / file).read_text())
        return None

    cores: dict[Any, int] = {}
    for cpu in sorted(cpus):
        core = told(cpu, "topology/core_id")
        cores[cpu if core is None else (core, told(cpu, "topology/physical_package_id"))] = cpu
    speed = {cpu: told(cpu, "cpu_capacity", "cpufreq/cpuinfo_max_freq") or 0 for cpu in cpus}
    return sorted(cpus, key=lambda cpu: (cpu in cores.values(), speed[cpu], cpu))[-n:]


def _guarded(task: Any, state: dict[str, Any], argument: Any) -> tuple[str, Any]:
    try:
        return "ok", task(state, argument)
    except Unsuitable as reason:
        return "unsuitable", str(reason)
    except MissingError as error:
        return "missing", str(error)
    except (Disagreement, Fault) as error:
        return error.outcome, str(error)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if absent in {name for need in state["contestant"].needs for name in (need, need.partition(".")[0])}:
            return "missing", f"{absent} is not installed: pip install {PACKAGES.get(absent, absent)}"
        return "failed", f"ModuleNotFoundError: {error}"
    except EquigradError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", said(error)


def _import(state: dict[str, Any], contestant: Contestant) -> float:
    start = time.perf_counter()
    for module in contestant.needs:
        import_module(module)
    seconds = time.perf_counter() - start
    name, _, function = contestant.maker.partition(":")
    state["maker"] = getattr(import_module(f".contestants.{name}", __package__), function)
    state["before"] = _status("VmRSS")
    gc.freeze()  # or each collection before a run takes longer than the run
    return seconds


def _prepare(state: dict[str, Any], workload: Workload) -> float:
    state.pop("run", None)
    gc.collect()
    start = time.perf_counter()
    made = state["maker"](workload, *state["contestant"].arguments)
    seconds = time.perf_counter() - start
    moved = isinstance(made, Moved)
    state["run"], state["transfer"] = (made.run, made.transfer_seconds) if moved else (made, None)
    state["begin"] = made.begin if moved else None
    del workload
    _forget_peak()
    return seconds


def _run(state: dict[str, Any], asked: tuple[int, int]) -> tuple[float, Arrays]:
    run = state["run"]
    n, repeats = asked
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repeats):
            result = run(n)
        seconds = time.perf_counter() - start
    finally:
        gc.enable()
    return seconds, result


def _begin(state: dict[str, Any], weights: Arrays) -> None:
    state["begin"](weights)


def _facts(state: dict[str, Any], _: None) -> dict[str, Any]:
    peak, before = _status("VmHWM"), state["before"]
    contestant = state["contestant"]
    if contestant.device == "cuda":
        peak, before = gpu_peak(), 0
    facts = {
        "peak_bytes": None if peak is None or before is None else max(0, peak - before),
        "transfer_seconds": state["transfer"],
        "threads": threads_in_use(),
        "precision": precision(),
        "versions": {name: version(name) for name in (m.partition(".")[0] for m in contestant.needs) if _known(name)},
    }
    if contestant.group == "backend":
        facts["environment"] = environment = backend_class(contestant.arguments[0])[0].environment()
        pinned = environment.get("matmul_precision")  # inside its own calls
        facts["precision"] = {contestant.arguments[0]: pinned} if pinned else {}
    return facts


def threads_in_use() -> dict[str, int]:
    """How many threads each library here would use, asked of the libraries themselves."""
    found = {}
    if hasattr(os, "sched_getaffinity"):
        found["affinity"] = len(os.sched_getaffinity(0))
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    if "numba" in sys.modules:
        found["numba"] = sys.modules["numba"].get_num_threads()
    return found


def precision() -> dict[str, str]:
    """What each library here would use for the products of float32 matrices: 'highest' is float32 itself."""
    found = {}
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_float32_matmul_precision()
    if "jax" in sys.modules:
        found["jax"] = sys.modules["jax"].config.jax_default_matmul_precision or "default"
    return found


def gpu_peak() -> int | None:
    """The most bytes that this process's arrays have held on the GPU, as its framework counts them."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].cuda.max_memory_allocated())
    if "jax" in sys.modules:
        (gpu, *_) = sys.modules["jax"].devices("cuda")
        return (gpu.memory_stats() or {}).get("peak_bytes_in_use")
    return None


def _known(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _status(field: str) -> int | None:
    """A line of Linux's /proc/self/status, in bytes."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
    except OSError:
        return None


def _forget_peak() -> None:
    """Let VmHWM start again from what is held now (Linux), and torch's count of the GPU's."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.reset_peak_memory_stats()
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
