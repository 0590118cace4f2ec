"""The name that somebody who mistyped may have meant."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from .errors import UsageError


def nearest(name: str, known: Iterable[str]) -> str:
    """': did you mean X?', or ': known are ...' where nothing is near."""
    names = list(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return f": did you mean '{close[0]}'?" if close else f": known are {', '.join(names)}"


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a `what`, such as a dtype, that is none of `known`."""
    return UsageError(f"unknown {what} '{name}'{nearest(name, known)}{hint}")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raise UsageError if `name` is none of `known`."""
    if name not in known:
        raise unknown(what, name, known)
