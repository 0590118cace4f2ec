"""Under launchers of the user's own every process runs the same command, and rank 0 speaks for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from equigrad.common.golden import EARLY
from equigrad.scale.launch import free_port
from length import at_length

pytest.importorskip("mpi4py")
BIN = Path(sys.executable).parent
WARM = ("equigrad.cli", "equigrad.compare.comparison")
COMPARE = ["-m", "equigrad", "compare"]
EARLY_HASH = {name: hashes["float64"] for name, (_, hashes) in EARLY.items()}


def early(name: str) -> list[str]:
    """The arguments after which the hash is EARLY_HASH's."""
    return [name, "--updates", str(EARLY[name][0]), "--arithmetic", "reproducible"]


@pytest.fixture(scope="module")
def python(warm: Callable[..., str]) -> str:
    return warm(*WARM)


@pytest.fixture(scope="module")
def frameworks(warm: Callable[..., str]) -> str:
    """A Python that has PyTorch and JAX loaded."""
    there = [name for name in ("torch", "jax") if find_spec(name)]
    torch = ["torch.distributed.run"] if "torch" in there else []
    return warm(*WARM, *torch, *map("equigrad.scale.{}_engine".format, there))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )


def mpiexec(python: str, *each: list[str]) -> subprocess.CompletedProcess[str]:
    """One process for each list of arguments, all of one MPI."""
    parts = [part for i, command in enumerate(each) for part in ([":"] if i else []) + ["-n", "1", python, *command]]
    return run(str(BIN / "mpiexec"), *parts)


def test_mpiexec_trains_all_three_and_rank_0_alone_writes(frameworks: str, tmp_path: Path) -> None:
    """JAX compiles its program for two layers in a fifth of the time that it takes for digits."""
    out, name = tmp_path / "out.json", at_length("digits", short="two-layer")
    done = mpiexec(frameworks, *[[*COMPARE, *early(name), "--json", str(out)]] * 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("one SHA-256") == 1
    assert done.stdout.startswith(f"{name}: ")
    runs = json.loads(out.read_text())["runs"]
    assert [(run["backend"], run["processes"]) for run in runs] == [
        ("numpy", 1),
        ("numpy", 2),
        ("torch", 2),
        ("jax", 2),
    ]
    assert {run["weights_sha256"] for run in runs} == {EARLY_HASH[name]}


@pytest.mark.needs("torch")
def test_torchrun_trains_pytorch_on_two_nodes(frameworks: str) -> None:
    """One process on the first and two on the other, so that no number of one kind is that of another."""
    port = str(free_port())
    torchrun = [frameworks, "-m", "torch.distributed.run"]
    node = [*torchrun, "--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", port]
    rest = ["-m", "equigrad", "compare", *early("digits"), "-b", "torch"]
    other = subprocess.Popen(
        [*node, "--node-rank", "1", "--nproc-per-node", "2", *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        done = run(*node, "--node-rank", "0", "--nproc-per-node", "1", *rest)
        assert done.returncode == 0, done.stderr
        assert f"torch on 3 processes, one SHA-256: {EARLY_HASH['digits']}" in " ".join(done.stdout.split())
        assert other.communicate(timeout=60)[0] == ""
        assert other.returncode == 0
    finally:
        other.kill()
        other.communicate()


@pytest.mark.needs("torch")
def test_no_thread_of_gloo_outlives_the_group(frameworks: str, tmp_path: Path) -> None:
    """One that does may abort the process, or hang it, when Python ends."""
    code = (
        "from pathlib import Path\nfrom equigrad.scale.torch_engine import RankBackend, join, leave\n"
        "from equigrad.common.problem import problem\n"
        "def threads(): return [path.read_text() for path in Path('/proc/self/task').glob('*/comm')]\n"
        "p = problem('one-layer')\n"
        f"join(0, 1, 'file://{tmp_path}/meeting', 'cpu')\n"
        "b = RankBackend('cpu', 'float64', 'native', samples=p.samples)\n"
        "held = tuple(map(b.from_numpy, p.first_weights())), b.rows(p.inputs), b.rows(p.targets)\n"
        "b.train(*held, p.rate('float64'), 1)\n"
        "before = threads()\nleave()\n"
        "print(*(sum('gloo' in name for name in names) for names in (before, threads())))"
    )
    done = run(frameworks, "-c", code)
    before, after = map(int, done.stdout.split()[-2:])
    assert before > 0
    assert after == 0


@pytest.mark.parametrize(
    ("commands", "status", "line"),
    [
        ([[*COMPARE, "one-layer"], [*COMPARE, "two-layer"]], 2, "rank 1 differs from rank 0 in data: "),
        ([[*COMPARE, "one-layer", "--processes", "2"]] * 2, 2, "--processes: the launcher has started 2 already"),
        ([[*COMPARE, "one-layer"]] * 5, 2, "4 samples cannot be shared among 5 processes"),
        ([[*COMPARE, "one-lair"]] * 2, 2, "unknown problem 'one-lair'"),
    ],
    ids=["ranks with other data", "--processes too", "fewer samples than processes", "an unknown problem"],
)
def test_what_cannot_be_is_said_once_and_not_by_every_rank(
    python: str, commands: list[list[str]], status: int, line: str
) -> None:
    done = mpiexec(python, *([*command, "-b", "numpy"] for command in commands))
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.count("equigrad: ") == 1
    assert done.stderr.startswith(f"equigrad: {line}")


def test_a_backend_that_trains_in_one_process_is_missing_as_with_processes(python: str) -> None:
    mine = ["one-layer", "--updates", "20", "-b", "equigrad.backends.numpy_fused:NumpyFused"]
    done, alone = mpiexec(python, *[[*COMPARE, *mine]] * 2), run(python, *COMPARE, *mine, "--processes", "2")
    assert (done.returncode, done.stderr) == (alone.returncode, alone.stderr) == (3, "")
    assert "NumpyFused trains in one process only" in done.stdout


def test_a_rank_that_raises_under_mpiexec_ends_all_and_is_named(python: str) -> None:
    code = (
        "import sys\nfrom equigrad.scale import rank\nfrom equigrad.cli import main\n"
        "train = rank.Rank.train\n"
        "def fail():\n"
        "    shared = [line for line in open('/proc/self/maps') if '/dev/shm/mpich' in line]\n"
        "    assert all('(deleted)' in line for line in shared), 'memory that outlives a killed rank'\n"
        "    return 1 / 0\n"
        "rank.Rank.train = lambda self, *a: fail() if self.rank == 1 else train(self, *a)\n"
        "sys.argv = ['equigrad', 'compare', 'digits', '-b', 'numpy', '--updates', '20']\n"
        "main()\n"
    )
    done = mpiexec(python, *[["-c", code]] * 3)
    assert done.returncode == 1
    assert "equigrad: numpy: rank 1 of 3 raised ZeroDivisionError: division by zero" in done.stderr


@pytest.mark.needs("jax")
def test_jax_trains_over_several_devices_of_one_process() -> None:
    code = (
        "from equigrad.scale.jax_engine import RankBackend\n"
        "from equigrad.common.problem import problem\nfrom equigrad.common.ulp import sha256\n"
        "p = problem('digits')\n"
        "b = RankBackend('cpu', 'float64', 'reproducible', samples=p.samples)\n"
        "held = tuple(map(b.from_numpy, p.first_weights())), b.rows(p.inputs), b.rows(p.targets)\n"
        "print(b.mesh.size, sha256([b.to_numpy(w) for w in b.train(*held, p.rate('float64'), 20)]))"
    )
    done = run(sys.executable, "-c", code, JAX_NUM_CPU_DEVICES="4")
    assert done.stdout.split() == ["4", EARLY_HASH["digits"]], done.stderr
