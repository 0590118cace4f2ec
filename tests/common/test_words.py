"""Numbers and lists are written as in a sentence."""

from __future__ import annotations

import pytest

from equigrad.common.words import counted


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1 update"), (0, "0 updates"), (10_000, "10,000 updates")], ids=["one", "none", "many"]
)
def test_the_noun_fits_a_number_of(number: int, words: str) -> None:
    assert counted(number, "update") == words
