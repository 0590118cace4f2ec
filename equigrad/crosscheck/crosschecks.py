"""Check anybody's function in NumPy, PyTorch and JAX: its value, its gradient, and where two of them part.

With NumPy's function the referee is that function: its complex step where differences confirm it, else
differences. Without it each function is held to differences of itself, and to its forward mode.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..common.errors import UsageError, not_ended_by
from ..common.nearest import check_known
from ..common.progress import Progress
from ..common.values import count
from ..common.words import a, listed
from .arguments import Arguments, arguments
from .measuring import ALLOWED, Measurements
from .nesting import Function, is_array, is_pytree, leaves
from .numpy_function import NumpyFunction
from .orientation import oriented
from .outcomes import outcomes
from .result import Crosscheck

ELEMENTS = 200
"""Elements of a leaf at which NumPy's function is differentiated one by one, spread evenly, unless told otherwise."""


@not_ended_by("a function that is compared")
def crosscheck(
    *,
    numpy: Function | tuple[Function, Function] | None = None,
    torch: Function | None = None,
    jax: Function | None = None,
    inputs: Any = (),
    parameters: Any = None,
    mapping: Mapping[str, Any] | None = None,
    dtype: str = "float64",
    elements: int | None = None,
    progress: Progress | None = None,
) -> Crosscheck:
    """Compare one function, written for several frameworks: its value and its gradient, at `inputs`.

    Any of `numpy`, `torch` and `jax` may be left out. `numpy` is f, or (f, df) with its gradient written by
    hand, a nesting like what is differentiated. The result is a number, an array, or a nesting of them; of
    several numbers the gradient of a sum with fixed random weights is compared, the same for every function.

    `inputs` is an array, or any nesting of tuples, lists and dictionaries of arrays. Each function is called
    with it as one argument or, if it is a tuple or a dictionary and the function takes these, with its parts.
    Floating-point arrays are differentiated; arrays of integers and booleans are data, and what is no array, such
    as an int or a string, is passed on as it is.

    `parameters` is what is differentiated in place of the inputs, and the first argument of each function: a
    nesting, or any JAX pytree. If `torch` is a torch.nn.Module, which takes inputs alone, their values come
    from its state_dict; `mapping` has the leaf, "['dense']['kernel']", or (leaf, axes) under the module's
    name for it, and what it leaves out is matched by values, or by name and shape. An Equinox module given as
    `jax` is its own parameters.

    Everything is computed in `dtype`; the referee and the search for where torch and JAX part are in float64.
    `elements` bounds at how many elements of each leaf NumPy's function is differentiated one by one, ELEMENTS if None.

    `progress` is called with what is being done, the steps done and the steps to do.

    What goes wrong in one function is its outcome and message. Raises UsageError for arguments that cannot be
    used, and for a NumPy function that fails, or has no derivative at `inputs` that differences could find.
    """
    check_known("dtype", dtype, ALLOWED)
    if elements is not None:
        elements = count("elements", elements)
        if numpy is None:
            raise UsageError("elements goes with a NumPy function: no other is differentiated element by element")
    if torch is None and jax is None and not isinstance(numpy, tuple):
        raise UsageError(
            "nothing to check: a NumPy function needs a port to torch or jax, or its gradient, numpy=(f, df) or "
            "--gradient FILE.py:df"
        )
    for name, function in (("numpy", numpy), ("torch", torch), ("jax", jax)):
        for part in function if isinstance(function, tuple) else (function,):
            if part is not None and not callable(part):
                raise UsageError(f"{name}= is {a(part)} - expected a function")
    given, jax = _given(torch, jax, inputs, parameters, mapping, dtype)
    if not given.varied and (torch is None or jax is None):
        whole = [path for path, v in given.points.items() if v.dtype.kind != "f"]
        if not given.points:
            raise UsageError("nothing to differentiate: give floating-point numbers, inputs= or --inputs FILE.npz")
        reason = f"no floating-point array among {listed(whole)}" if whole else "every array is empty"
        raise UsageError(f"nothing to differentiate: {reason}")
    given, note = oriented(given, numpy, torch, jax)
    measurements = Measurements(given, dtype, ELEMENTS if elements is None else elements)
    if note:
        measurements.note(note)
    named: dict[str, Any] = {"numpy": numpy, "torch": torch, "jax": jax}
    asked = {name: function for name, function in named.items() if function is not None}
    each = len(given.varied) + 1
    steps = each * (len(asked) + 1)  # the last are those of the comparison

    def tell(done: int) -> None:
        if progress:
            progress("crosscheck", done, steps)

    for i, (name, function) in enumerate(asked.items()):
        tell(i * each)
        if name == "numpy":
            measurements.ask_numpy(NumpyFunction(function, given))
        else:
            measurements.ask(name, function, lambda leaf, first=i * each: tell(first + leaf))  # type: ignore[misc]
    tell(steps - each)
    with np.errstate(all="ignore"):
        result = outcomes(measurements)
    tell(steps)
    return result


def _given(
    torch: Any, jax: Any, inputs: Any, parameters: Any, mapping: Mapping[str, Any] | None, dtype: str
) -> tuple[Arguments, Any]:
    """(the arguments, the JAX function): a model that is its own parameters becomes a function of them."""
    if parameters is None and is_pytree(jax) and any(is_array(leaf) for leaf in leaves(jax).values()):
        parameters, jax = jax, _applied(jax)
    state: dict[str, np.ndarray] | None = None
    frozen: set[str] = set()
    if sys.modules.get("torch") is not None and isinstance(torch, sys.modules["torch"].nn.Module):
        from .torch_function import state as state_of

        learned = {name for name, _ in torch.named_parameters()}
        if parameters is None and jax is None:
            parameters = {name: v for name, v in state_of(torch).items() if name in learned} or None
            mapping = {name: f"[{name!r}]" for name in parameters or ()}
        if parameters is not None:
            state = state_of(torch)
            frozen = set(state) - learned
    found = arguments(inputs, parameters, state, mapping, dtype)
    still = {match.leaf for match in found.matches if match.name in frozen}  # a module's buffers are not differentiated
    varied = tuple(path for path in found.varied if path not in still)
    return Arguments(found.inputs, found.parameters, found.points, varied, found.matches), jax


def _applied(model: Any) -> Function:
    def apply(model: Any, *args: Any, **named: Any) -> Any:
        return model(*args, **named)

    apply.__signature__ = inspect.signature(type(model).__call__)  # type: ignore[attr-defined]
    return apply
