"""What JSON from a file has to look like, and where it does not."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

NUMBER = (int, float)

ABSENT = object()
"""Stands for a key that is not there."""


def misfit(value: Any, shape: Any, where: str = "") -> str | None:
    """The first place where `value` is not of `shape`, in words, or None.

    A shape is a type, several of which one fits, None among them, a list of one shape, or keys, `str` for any key.
    """
    if value is ABSENT:
        return f"it lacks '{where}'"
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"'{where}' is no object"
        known = dict.fromkeys(value, shape[str]) if str in shape else shape
        inside = ((key, value.get(key, ABSENT), s) for key, s in known.items())
        return next((w for key, v, s in inside if (w := misfit(v, s, f"{where}.{key}".lstrip(".")))), None)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"'{where}' is no list"
        return next((w for i, v in enumerate(value) if (w := misfit(v, shape[0], f"{where}[{i}]"))), None)
    types = shape if isinstance(shape, tuple) else (shape,)
    right = any(value is None if t is None else isinstance(value, t) for t in types)
    return None if right and not (isinstance(value, bool) and bool not in types) else f"'{where}' is {value!r:.40}"


def shape_of(hint: Any) -> Any:
    """The shape that a type stands for: a dataclass for its fields, and what is in lists, dicts and unions."""
    if is_dataclass(hint):
        return {name: shape_of(each) for name, each in get_type_hints(hint).items()}
    inside = [shape_of(each) for each in get_args(hint)]
    if get_origin(hint) is list:
        return inside
    if get_origin(hint) is dict:
        return {str: inside[1]}
    if inside:
        return tuple(each for one in inside for each in (one if isinstance(one, tuple) else (one,)))
    return {float: NUMBER, Any: (object, bool), type(None): None}.get(hint, hint)
