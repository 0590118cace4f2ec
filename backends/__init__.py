"""How does each framework do it?

One file per framework, all three with the same names in the same order.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec
from inspect import isabstract
from pathlib import Path
from typing import Any

from ..common.errors import DeviceError, MissingError, UsageError, foreign, install, needed, said
from ..common.garbage import importing
from ..common.nearest import check_known, unknown
from .interface import ARITHMETICS, DTYPES, Backend

FRAMEWORKS = ("numpy", "torch", "jax")
REGISTRY = "equigrad.backends"
"""The group of entry points under which a package registers its backends: name = "package.module:ClassName"."""

__all__ = ["FRAMEWORKS", "Backend", "backend_class", "everything", "load", "usable"]


Spec = str | type[Backend]
"""A backend as users name it, see `backend_class`, or its class."""


def backend_class(spec: Spec) -> tuple[type[Backend], str]:
    """The class and the device that `spec` names; its framework is imported now, and only now.

    `spec` is numpy, torch, torch:cuda, jax, jax:cuda, a name that an installed package registered, or
    package.module:ClassName, which is looked for in the current folder too; or it is the class itself.

    Raises UsageError for a name that is none of these or cannot be imported and for what is no such class,
    MissingError, with the command that installs it, for a framework that is not here. An installed framework that
    fails to import is a broken install: whatever it raises goes through.
    """
    if not isinstance(spec, str):
        if isinstance(spec, type) and issubclass(spec, Backend):
            return spec, "cpu"
        got = f"the class {spec.__name__}" if isinstance(spec, type) else f"an instance of {type(spec).__name__}"
        raise UsageError(f"a backend is given by its name or as a subclass of equigrad.Backend, not as {got}")
    name, colon, rest = spec.partition(":")
    if name in FRAMEWORKS:
        with needed(name, extra=name), importing():
            module = import_module(f".{name}_backend", __package__)
        return getattr(module, f"{name.capitalize()}Backend"), rest if colon else "cpu"
    registered = registry()
    if name in registered.names:
        return _foreign_class(spec, registered[name].module, registered[name].attr), rest if colon else "cpu"
    if not rest:
        known = [*FRAMEWORKS, *sorted(registered.names)]
        raise unknown("backend", spec, known, " (your own: package.module:ClassName)")
    return _foreign_class(spec, name, rest), "cpu"


def registry() -> EntryPoints:
    """What installed packages registered; read again once a folder that packages are in has changed."""
    return _read_registry(tuple(map(_state, sys.path)))


@lru_cache(maxsize=1)
def _read_registry(folders: tuple[tuple[Any, ...], ...]) -> EntryPoints:
    return entry_points(group=REGISTRY)


def _state(folder: str) -> tuple[Any, ...]:
    try:
        found = os.stat(folder or os.curdir)
    except OSError:
        return (folder,)
    return folder, found.st_dev, found.st_ino, found.st_mtime_ns


def _foreign_class(spec: str, module_name: str, class_name: str) -> type[Backend]:
    if module_name.endswith(".py"):
        raise UsageError(f"backend '{spec}': name the module, not its file: {Path(module_name).stem}:{class_name}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # an installed command does not look there, its user does
    try:
        with foreign():
            module = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"backend '{spec}' cannot be imported: {said(error)}") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise UsageError(f"backend '{spec}': module {module_name} has no class {class_name}")
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise UsageError(f"backend '{spec}': {class_name} is not a subclass of equigrad.Backend")
    return found


def load(spec: Spec, dtype: str = "float64", arithmetic: str = "native") -> Backend:
    """The backend that `spec` names, see `backend_class`, ready to train.

    Raises DeviceError for a device that this process cannot use, MissingError for an arithmetic or a dtype that the
    backend does not have, UsageError for an unknown dtype or arithmetic, TypeError for a class that lacks methods.
    """
    check_known("dtype", dtype, DTYPES)
    check_known("arithmetic", arithmetic, ARITHMETICS)
    cls, device = backend_class(spec)
    label = spec if isinstance(spec, str) else cls.__name__
    name = label.partition(":")[0]
    if isabstract(cls):
        cls()  # raises the TypeError that names the missing methods
    devices, said = _devices(cls)
    if device not in devices:
        why = said or _how_to_get(name, device)
        raise DeviceError(f"'{label}': no such device here, only {', '.join(devices)}{why and ': '}{why}")
    if arithmetic not in cls.arithmetics:
        raise MissingError(f"'{label}' has no {arithmetic} arithmetic, only {', '.join(cls.arithmetics)}")
    if dtype not in cls.dtypes:
        raise MissingError(f"'{label}' has no {dtype}, only {', '.join(cls.dtypes)}")
    return cls(device=device, dtype=dtype, arithmetic=arithmetic)


def _devices(cls: type[Backend]) -> tuple[tuple[str, ...], str]:
    """The devices, and what the framework had to say of a GPU that it found and cannot use, or ''."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = cls.devices()
    said = [" ".join(str(warning.message).split()) for warning in caught if "CUDA" in str(warning.message)]
    return devices, said[0].partition(" (Triggered internally")[0] if said else ""


def _how_to_get(name: str, device: str) -> str:
    if device != "cuda" or name not in ("torch", "jax"):
        return ""
    if name == "jax" and not any(find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        return f"JAX's CUDA plug-in is not installed: {install('cuda')}"
    if name == "torch" and sys.modules["torch"].version.cuda is None:
        return "this PyTorch is built without CUDA: https://pytorch.org/get-started/locally has the command for another"
    return "check with nvidia-smi that the driver sees a GPU"


def everything() -> list[str]:
    """Every framework, and every device it can use in this process, NumPy first; imports what is installed.

    A framework that is missing or broken is in the list, and so is a GPU that was found and cannot be used, so
    that nobody overlooks its absence.
    """
    specs = []
    for name in FRAMEWORKS:
        try:
            devices, said = _devices(backend_class(name)[0])
            devices += ("cuda",) if said and "cuda" not in devices else ()
        except Exception:
            devices = ("cpu",)
        specs += [name if device == "cpu" else f"{name}:{device}" for device in devices]
    return specs


def usable() -> list[str]:
    """`everything`, less what is missing or broken."""
    return [spec for spec in everything() if _usable(spec)]


def _usable(spec: str) -> bool:
    try:
        cls, device = backend_class(spec)
        return device in _devices(cls)[0]
    except Exception:
        return False
