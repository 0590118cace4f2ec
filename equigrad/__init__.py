"""One perceptron with backpropagation in NumPy, PyTorch and JAX, and the proof that they agree.

>>> import equigrad
>>> result = equigrad.compare("one-layer", ["numpy"], arithmetic="native")
>>> result.runs[0].outputs.round(2).ravel().tolist()
[0.01, 0.01, 0.99, 0.99]
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends import load as load
    from .backends.engine import Engine as Engine
    from .backends.interface import Backend as Backend
    from .backends.interface import LayerTrace as LayerTrace
    from .check.gradcheck import check as check
    from .common.data import load_data as load_data
    from .common.problem import Problem as Problem
    from .common.problem import problem as problem
    from .compare.comparison import compare as compare
    from .crosscheck.crosschecks import crosscheck as crosscheck
    from .diverge.divergence import diverge as diverge
    from .diverge.tracing import trace as trace
    from .passport import passport as passport
    from .reporting import report as report

__version__ = "0.1.0"

_HOMES = {
    "Backend": ".backends.interface",
    "Engine": ".backends.engine",
    "LayerTrace": ".backends.interface",
    "Problem": ".common.problem",
    "check": ".check.gradcheck",
    "compare": ".compare.comparison",
    "crosscheck": ".crosscheck.crosschecks",
    "diverge": ".diverge.divergence",
    "load": ".backends",
    "passport": ".passport",
    "load_data": ".common.data",
    "problem": ".common.problem",
    "report": ".reporting",
    "trace": ".diverge.tracing",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: `import equigrad` alone imports no framework."""
    if name not in _HOMES:
        raise AttributeError(f"module 'equigrad' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(ModuleType):
    """`equigrad.compare` is the function, though the folder that it comes from has that name too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):  # the import system sets a folder's module here
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
