"""The name that somebody who mistyped may have meant."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from .errors import UsageError


def nearest(name: object, known: Iterable[str]) -> str:
    """': did you mean X?', with another that differs in digits alone, or ': known are ...' where nothing is near."""
    names = list(known)
    close = get_close_matches(str(name).lower(), names, n=2, cutoff=0.6)
    alike = [f"'{each}'" for each in close if re.sub("[0-9]", "", each) == re.sub("[0-9]", "", close[0])]
    return f": did you mean {' or '.join(alike)}?" if close else f": known are {', '.join(names)}"


def unknown(what: str, name: object, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a `what`, such as a dtype, that is none of `known`."""
    shown = f"'{name}'" if isinstance(name, str) else repr(name)
    return UsageError(f"unknown {what} {shown}{nearest(name, known)}{hint}")


def check_known(what: str, name: object, known: Collection[str]) -> None:
    """Raise UsageError if `name` is none of `known`: NumPy's dtypes equal their names, and are none."""
    if not isinstance(name, str) or name not in known:
        raise unknown(what, name, known)
