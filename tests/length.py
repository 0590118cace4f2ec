"""How long the long tests are: at full length under `make test LENGTH=full`, as CI runs them, else shorter."""

from __future__ import annotations

import os
from typing import TypeVar

Amount = TypeVar("Amount")


def at_length(full: Amount, *, short: Amount) -> Amount:
    """Updates, random cases, sizes: how much a test takes. What it proves is the same; of less, where it is short."""
    return full if os.environ.get("EQUIGRAD_LENGTH") == "full" else short
