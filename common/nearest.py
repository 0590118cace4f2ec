"""The name that somebody who mistyped may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """': did you mean X?', or ': known are ...' where nothing is near."""
    names = list(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return f": did you mean '{close[0]}'?" if close else f": known are {', '.join(names)}"
