"""A room for each question; each floor imports only downwards."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

import equigrad

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("common",),
    ("backends",),
    ("session", "passport", "console", "interrupt", "referee"),
    ("scale",),
    ("compare", "laws", "diverge", "crosscheck"),
    ("check", "conformance", "pytest_plugin"),
    ("reporting",),
    ("bench",),
    ("cli",),
    ("__main__", ""),
)
"""What a room may import stands before it; rooms of one floor do not know each other."""
LINKED = ("common", "backends", "bench")
"""At the top of the checkout, and linked into the package."""
FILES = sorted(
    path
    for folder in (*LINKED, "equigrad")
    for path in (ROOT / folder).rglob("*.py")
    if folder in LINKED or path.relative_to(ROOT / folder).parts[0] not in LINKED
    if not path.name.startswith("benchmark_")  # as much outside as a test
)
FOR_PYTEST = ("conformance.py", "pytest_plugin.py")
"""What only a test-suite imports may need pytest."""
ENGINE = "_engine.py"
"""What adds over processes; imported by a rank, and only then."""
OPTIONAL = ("torch", "jax")
BARE = ("backends", "common", "bench", "tests")
"""What others call folders of their own; nothing of ours goes by these names."""


def module(path: Path) -> str:
    """The name that `path` is imported under: common/ulp.py is equigrad.common.ulp."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "equigrad" else ("equigrad", *parts)).removesuffix(".__init__")


def room(name: str) -> str:
    """The room of one of our modules: equigrad.laws.search is in laws, the package itself in ""."""
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> int:
    """How high that room lies."""
    return next(height for height, rooms in enumerate(FLOORS) if room(name) in rooms)


@cache
def imports(path: Path) -> list[tuple[str, bool, int]]:
    """(module, whether it is imported as soon as `path` is, line) of each import in `path`."""
    return [*found(path)]


def found(path: Path) -> Iterator[tuple[str, bool, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    within = {node for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in within, node.lineno
        elif isinstance(node, ast.ImportFrom):
            package = module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
            base = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                both = f"{base}.{alias.name}"
                yield both if both in MODULES else base, node not in within, node.lineno


MODULES = {module(path) for path in FILES}


def test_every_room_has_its_floor() -> None:
    assert {room(module(path)) for path in FILES} <= {name for rooms in FLOORS for name in rooms}
    assert "equigrad.common.ulp" in MODULES
    assert "equigrad.backends" in MODULES


def test_contributing_maps_the_same_floors() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.M)
    rooms = [{name for name in re.findall(r"`(\w+)(?:/|\.py)`", row) if name != "equigrad"} for row in rows]
    assert rooms == [set(floor) for floor in FLOORS[:-1]]


@pytest.mark.parametrize("name", sorted({path.parent.name for path in FILES if path.name == "__init__.py"}))
def test_a_room_says_its_question_in_one_line(name: str) -> None:
    path = next(path for path in FILES if path.name == "__init__.py" and path.parent.name == name)
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    assert path == ROOT / "equigrad" / "__init__.py" or first.endswith("?"), first


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_from_a_higher_floor_or_the_room_next_door_by(path: Path) -> None:
    here = module(path)
    for name, _, line in imports(path):
        if name.partition(".")[0] == "equigrad" and room(name) != room(here):
            assert floor(name) < floor(here), f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "result.py"], ids=str)
def test_a_result_does_not_know_how_it_is_shown_in(path: Path) -> None:
    for name, _, line in imports(path):
        assert name.rpartition(".")[2] != "view", f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_siblings_are_imported_relatively_and_nothing_by_a_bare_name_in(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
        for name in names:
            assert name.partition(".")[0] not in (*BARE, "equigrad"), f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "common").rglob("*.py")), ids=lambda path: path.name)
def test_common_needs_numpy_and_the_standard_library_alone(path: Path) -> None:
    for name, _, line in imports(path):
        top = name.partition(".")[0]
        assert top in ("numpy", "equigrad") or top in sys.stdlib_module_names, f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "backends").rglob("*.py")), ids=lambda path: path.name)
def test_no_backend_knows_another(path: Path) -> None:
    framework = path.stem.partition("_")[0]
    known = (
        "numpy",
        "equigrad",
        *([framework] if framework in OPTIONAL else []),
        *(["numba"] if path.name == "fused.py" else []),
    )
    for name, _, line in imports(path):
        top = name.partition(".")[0]
        assert top in known or top in sys.stdlib_module_names, f"{path}:{line} imports {name}"
        for other in {"numpy", "torch", "jax"} - {framework}:
            assert not name.startswith(f"equigrad.backends.{other}_"), f"{path}:{line} imports {name}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(module(path)) not in (*LINKED,)], ids=lambda path: path.name
)
def test_only_the_core_dependencies_are_imported_at_once_by(path: Path) -> None:
    for name, at_once, line in imports(path):
        top = name.partition(".")[0]
        core = top in ("numpy", "typer", "rich", "equigrad") or top in sys.stdlib_module_names
        core = core or top == path.stem.partition("_")[0] in OPTIONAL  # torch_function.py is imported for torch only
        assert core or not at_once or path.name in FOR_PYTEST or path.name.endswith(ENGINE), (
            f"{path}:{line} imports {name} at once"
        )


def test_everything_is_imported_as_equigrad_even_from_the_root_of_the_checkout() -> None:
    """There, `import common` would find the folder."""
    names = [module(path) for path in FILES if path.name != "__main__.py" and room(module(path)) != "bench"]
    code = (
        "import sys, importlib\n"
        f"for name in {[name for name in names if not any(f in name for f in (*OPTIONAL, 'pytest', '_engine'))]}:\n"
        "    importlib.import_module(name)\n"
        f"print([name for name in {BARE} if name in sys.modules], sys.modules['equigrad'].__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    assert done.stdout == f"[] {ROOT / 'equigrad' / '__init__.py'}\n"


def test_the_package_under_test_is_this_checkout() -> None:
    assert Path(equigrad.__file__ or "").resolve() == ROOT / "equigrad" / "__init__.py"
