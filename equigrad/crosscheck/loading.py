"""Functions, parameters and inputs from files, as the command line names them."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..backends import FRAMEWORKS
from ..common.archive import read_npz
from ..common.errors import MissingError, UsageError, needed, not_ended_by, said
from ..common.nearest import nearest, unknown
from ..common.words import a


@not_ended_by("a file that is compared")
def from_files(
    functions: Sequence[str],
    inputs: str | os.PathLike[str] | None,
    parameters: str | None = None,
    gradient: str | None = None,
) -> dict[str, Any]:
    """The arguments of `crosscheck`: functions as FILE.py:NAME or torch=FILE.py:NAME, arrays from .npz files.

    Which framework a function is for is what its file imports, unless said. A class of modules is made with
    no arguments, after torch.manual_seed(0). `parameters` is an .npz file or FILE.py:NAME. `gradient` is the
    gradient of NumPy's function, FILE.py:NAME. The arrays of a file come as a dictionary, or by themselves where
    a function takes one argument of that name. Raises UsageError for what cannot be read or imported.
    """
    found: dict[str, Any] = {}
    for text in functions:
        name, function = _function(text)
        if name in found:
            raise UsageError(
                f"two functions for {name}: write torch= or jax= before a port, --gradient before a gradient"
            )
        found[name] = function
    if gradient is not None:
        if "numpy" not in found or isinstance(found["numpy"], tuple):
            raise UsageError("--gradient is the gradient of a NumPy function: name that function before it")
        found["numpy"] = (found["numpy"], _named(gradient))
    if parameters is not None:
        found["parameters"] = _arrays(Path(parameters)) if parameters.endswith(".npz") else _named(parameters)
    arrays = {} if inputs is None else _arrays(Path(inputs))
    if len(arrays) == 1 and not any(_has_other_arguments(f, arrays) for n, f in found.items() if n in FRAMEWORKS):
        return {**found, "inputs": next(iter(arrays.values()))}
    return {**found, "inputs": arrays}


def _has_other_arguments(function: Any, arrays: dict[str, np.ndarray]) -> bool:
    """Whether the function takes the dictionary rather than its one array."""
    asked: Any = getattr(function, "forward", function[0] if isinstance(function, tuple) else function)
    try:
        names = [p.name for p in inspect.signature(asked).parameters.values()]
    except (TypeError, ValueError):
        return False
    return names[-1:] != list(arrays) and names[-1:] in (["p"], ["inputs"], ["batch"])


def _function(text: str) -> tuple[str, Any]:
    name, _, rest = text.partition("=")
    if not rest or name not in FRAMEWORKS:
        if rest and ":" not in name and not os.path.isfile(text.rpartition(":")[0]):
            raise unknown("framework", name, FRAMEWORKS)
        name, rest = "", text
    function = _named(rest)
    if inspect.isclass(function):
        function = _made(rest, function)
    part = function[0] if isinstance(function, tuple) else function
    if not callable(part):
        raise UsageError(f"'{rest}' is {a(part)} - expected a function")
    return name or _framework(rest, part), function


def _made(text: str, cls: type) -> Any:
    try:
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)
        return cls()
    except Exception as error:
        raise UsageError(f"'{text}' is a class that cannot be made without arguments: {said(error)}") from error


def _framework(text: str, function: Any) -> str:
    """Which framework the file of a function imports."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(function, torch.nn.Module):
        return "torch"
    known = getattr(inspect.unwrap(function), "__globals__", None) or vars(sys.modules[type(function).__module__])
    used = {v.__name__.partition(".")[0] for v in known.values() if isinstance(v, ModuleType)}
    used |= {str(getattr(v, "__module__", "")).partition(".")[0] for v in known.values()}
    found = [name for name in ("torch", "jax") if name in used or (name == "jax" and "equinox" in used)]
    if len(found) == 2:
        raise UsageError(f"the file of '{text}' imports torch and jax: write torch={text} or jax={text}")
    return found[0] if found else "numpy"


def _named(text: str) -> Any:
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or not name:
        raise UsageError(f"'{text}': write FILE.py:NAME")
    if not os.path.isfile(file):
        raise UsageError(f"no such file: '{file}'")
    key = f"_equigrad_crosscheck_{abs(hash(str(path.resolve())))}"
    if key not in sys.modules:
        spec = spec_from_file_location(key, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"'{file}' is not a Python file")
        module = module_from_spec(spec)
        sys.modules[key] = module
        try:
            with _beside(path.resolve().parent), needed("torch", extra="torch"), needed("jax", extra="jax"):
                spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[key]
            if isinstance(error, (KeyboardInterrupt, MissingError)):
                raise
            raise UsageError(f"'{file}' cannot be imported: {said(error)}") from error
    found = vars(sys.modules[key])
    if name not in found:
        public = [n for n, v in found.items() if not n.startswith("_") and not isinstance(v, ModuleType)]
        raise UsageError(f"'{file}' has no '{name}'{nearest(name, public)}")
    return found[name]


_BESIDE: dict[Path, dict[str, ModuleType]] = {}
"""The modules that stand beside the files of a folder, for each folder."""


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """What stands in this folder can be imported, as when Python runs a file of it, and no namesake of another one."""
    for modules in _BESIDE.values():
        for name in modules:
            sys.modules.pop(name, None)
    own = _BESIDE.setdefault(folder, {})
    sys.modules.update(own)
    sys.path.insert(0, str(folder))  # for good: a function may import when it is called
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            module = sys.modules[name]
            file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
            root = folder / name.partition(".")[0]
            if Path(file) in (root, root.with_suffix(".py")) or root in Path(file).parents:
                own[name] = module


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz file; raises UsageError."""
    try:
        found = read_npz(path)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror or error}") from error
    if not found:
        raise UsageError(f"'{path}' holds no arrays")
    return found
