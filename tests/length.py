"""How long the long tests are: at full length under `make test LENGTH=full`, as CI runs them, else shorter."""

from __future__ import annotations

import os
from typing import TypeVar

from equigrad.common.golden import EARLY, GOLDEN
from equigrad.common.problem import problem

LENGTHS = ("short", "full")
LENGTH = os.environ.get("EQUIGRAD_LENGTH", "short")
Amount = TypeVar("Amount")


def at_length(full: Amount, *, short: Amount) -> Amount:
    """Updates, random cases, sizes: how much a test takes. What it proves is the same; of less, where it is short."""
    return full if LENGTH == "full" else short


def published(name: str) -> tuple[int, dict[str, str]]:
    """How many updates to train that problem, and the hash that is published for so many, by dtype.

    In short as few as there is a hash for: test_figures trains one-layer and two-layer to the end all the same.
    """
    whole = problem(name).updates, GOLDEN[name]
    return at_length(whole, short=EARLY.get(name, whole))
