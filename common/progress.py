"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
PARTS = 10**6
"""How finely time is counted where it is time that runs out."""


def named(name: str, progress: Progress | None) -> Progress | None:
    """The progress of one piece of work among several."""
    return progress and (lambda what, done, total: progress(f"{name}: {what}", done, total))
