"""One perceptron with backpropagation in NumPy, PyTorch and JAX, and the proof that they agree.

>>> import equigrad
>>> result = equigrad.compare("one-layer", ["numpy"], arithmetic="native")
>>> result.runs[0].outputs.round(2).ravel().tolist()
[0.01, 0.01, 0.99, 0.99]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends import load as load
    from .backends.interface import Backend as Backend
    from .backends.interface import LayerTrace as LayerTrace
    from .common.data import load_data as load_data
    from .common.problem import Problem as Problem
    from .common.problem import problem as problem
    from .comparison import compare as compare
    from .crosschecks import crosscheck as crosscheck
    from .divergence import diverge as diverge
    from .engine import Engine as Engine
    from .environment import passport as passport
    from .gradcheck import check as check
    from .reporting import report as report
    from .tracing import trace as trace

__version__ = "0.1.0"

_HOMES = {
    "Backend": ".backends.interface",
    "Engine": ".engine",
    "LayerTrace": ".backends.interface",
    "Problem": ".common.problem",
    "check": ".gradcheck",
    "compare": ".comparison",
    "crosscheck": ".crosschecks",
    "diverge": ".divergence",
    "load": ".backends",
    "passport": ".environment",
    "load_data": ".common.data",
    "problem": ".common.problem",
    "report": ".reporting",
    "trace": ".tracing",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: `import equigrad` alone imports no framework."""
    if name not in _HOMES:
        raise AttributeError(f"module 'equigrad' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
