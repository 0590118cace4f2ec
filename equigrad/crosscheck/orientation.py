"""The order of a parameter's axes where neither shape nor name tells it: the one under which the results agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from typing import Any

from ..common.words import some
from .arguments import Arguments
from .differences import unlike

TRIED = 16
"""The most choices that are tried."""
NEAR = 1e-6
"""A relative difference of results that counts as none."""


def oriented(given: Arguments, numpy: Any, torch: Any, jax: Any) -> tuple[Arguments, str]:
    """(the arguments, with the guessed orders of axes under which the port has the module's results; what to note).

    Parameters with the same rivals share an order. What goes wrong in a function is for the measurements to say.
    """
    guessed = [match for match in given.matches if match.rivals]
    if not guessed or (numpy is None and jax is None):
        return given, ""
    try:
        agreeing = _agreeing(given, numpy, torch, jax)
    except Exception:
        agreeing = []
    which = some([match.leaf for match in guessed])
    axes = [match.axes for match in given.matches]
    for found in agreeing[:1]:
        if [match.axes for match in found.matches] == axes:
            return found, ""
        if len(agreeing) == 1:
            return found, f"of the orders that the axes of {which} may have, under one only do the results agree"
    first = guessed[0]
    mapping = f"mapping={{{first.name!r}: ({first.leaf.removeprefix('parameters')!r}, {first.rivals[1]})}}"
    return (
        given,
        f"the order of the axes of {which} is a guess, since neither shape nor name tells it: {mapping} sets another",
    )


def _agreeing(given: Arguments, numpy: Any, torch: Any, jax: Any) -> list[Arguments]:
    from .numpy_function import NumpyFunction
    from .torch_function import TorchFunction

    port: Any = NumpyFunction(numpy, given)
    if jax is not None:
        from .jax_function import JaxFunction

        port = JaxFunction(jax, given)
    expected = TorchFunction(torch, given).results(given.points)
    tried = islice(_choices(given), TRIED)
    return [each for each in tried if not unlike(port.results(each.points), expected, NEAR, "")]


def _choices(given: Arguments) -> Iterator[Arguments]:
    """As guessed, then with other orders."""
    kinds = dict.fromkeys(match.rivals for match in given.matches if match.rivals)
    for orders in product(*kinds):
        chosen = dict(zip(kinds, orders, strict=True))
        points, matches = dict(given.points), []
        for match in given.matches:
            axes = chosen.get(match.rivals, match.axes)
            points[match.leaf] = points[match.leaf].transpose([match.axes.index(axis) for axis in axes])
            why = "name, shape and results" if match.rivals else match.why
            matches.append(replace(match, axes=axes, why=why, rivals=()))
        yield replace(given, points=points, matches=tuple(matches))
