"""Arrays in nested tuples, lists, dictionaries and JAX pytrees, each under the expression that finds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..common.errors import UsageError, said

Function = Callable[..., Any]
Leaves = dict[str, np.ndarray]
"""Arrays under the expression that finds them: inputs['w'][0]."""


def over(tree: Any, function: Callable[[str, Any], Any], path: str = "inputs") -> Any:
    """The same nesting of tuples, lists and dictionaries, each leaf v replaced by function(path, v).

    What else holds arrays, such as an Equinox module, is taken apart and put together by JAX.
    """
    if isinstance(tree, dict):
        return {key: over(value, function, f"{path}[{key!r}]") for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        parts = zip(tree._fields, tree, strict=True)
        return type(tree)(*(over(value, function, f"{path}.{name}") for name, value in parts))
    if isinstance(tree, (tuple, list)):
        return type(tree)(over(value, function, f"{path}[{i}]") for i, value in enumerate(tree))
    if is_pytree(tree):
        from jax.tree_util import keystr, tree_map_with_path

        return tree_map_with_path(lambda keys, v: function(path + keystr(keys), v), tree)
    return function(path, tree)


def is_pytree(tree: Any) -> bool:
    """Whether JAX knows how to take this object apart; false for arrays, and without JAX."""
    if hasattr(tree, "dtype") or isinstance(tree, (int, float, str)) or tree is None:
        return False
    try:
        from jax.tree_util import all_leaves
    except ImportError:
        return False
    return not all_leaves([tree])


def leaves(tree: Any, path: str = "inputs") -> dict[str, Any]:
    """Every leaf under its path."""
    found: dict[str, Any] = {}
    over(tree, found.__setitem__, path)
    return found


def returned(tree: Any, fits: Callable[[Any], bool], expected: str) -> dict[str, Any]:
    """Every leaf of what a function returned, a named tuple's by position: PyTorch's do not tell their names.

    None among them is left out: it stands for what was not asked for. Raises ValueError for one that does not fit.
    """
    found = {path: v for path, v in leaves(_unnamed(tree), "result").items() if v is not None or tree is None}
    for path, v in found.items():
        if not fits(v):
            raise ValueError(f"{path} is of type {type(v).__name__} - expected {expected}")
    return found


def _unnamed(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _unnamed(value) for key, value in tree.items()}
    return [_unnamed(value) for value in tree] if isinstance(tree, (tuple, list)) else tree


def is_array(leaf: Any) -> bool:
    """Whether the leaf holds numbers, and not a function, a name, a count or nothing.

    An int or bool of Python's own is passed on as it is: it says how often, which axis or whether.
    """
    return isinstance(leaf, (np.ndarray, np.generic, float)) or (hasattr(leaf, "shape") and hasattr(leaf, "dtype"))


def array(path: str, leaf: Any) -> np.ndarray:
    """A copy of the leaf in NumPy, floating-point numbers in float64; raises UsageError."""
    try:
        copied = from_torch(leaf) if hasattr(leaf, "detach") else np.array(leaf)
    except Exception as error:
        raise UsageError(f"{path} is not an array: {said(error)}") from error
    if str(copied.dtype) == "bfloat16" or copied.dtype.kind == "f":
        copied = copied.astype(np.float64)
    if copied.dtype.kind not in "fiub":
        raise UsageError(f"{path} is {copied.dtype} - expected numbers, real and not complex")
    if copied.dtype.kind == "f" and not np.isfinite(copied).all():
        raise UsageError(f"{path} holds NaN or inf")
    return copied


def from_torch(tensor: Any) -> np.ndarray:
    """A copy of a PyTorch tensor; NumPy has no bfloat16, which becomes float32."""
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    return np.array((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy(), order="C")


def call(function: Function, tree: Any, *first: Any, signature: Function | None = None) -> Any:
    """The function of `first` and of the parts of `tree`, if it takes them, or else of `tree` itself.

    A tuple's parts are positional arguments, a dictionary's are named ones. **options are given some of them only
    if the function does not take the dictionary itself.
    """
    asked = signature or function
    loosely = not _takes(asked, (*first, tree), {}, loosely=True)
    for args, named in _spread(tree):
        if _takes(asked, (*first, *args), named, loosely):
            return function(*first, *args, **named)
    return function(*first, tree)


def _spread(tree: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if type(tree) is tuple and tree:
        yield tree, {}
    if isinstance(tree, dict) and tree and all(isinstance(key, str) for key in tree):
        yield (), tree


def _takes(function: Function, args: tuple[Any, ...], named: dict[str, Any], loosely: bool) -> bool:
    """Whether it takes these arguments; if not `loosely`, without leaving any to its **options."""
    try:
        found = inspect.signature(function)
        bound = found.bind(*args, **named).arguments
    except (TypeError, ValueError):
        return False
    return loosely or all(found.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD for name in bound)
