"""What the tests of crosscheck share."""

from __future__ import annotations

import pytest

from equigrad.crosscheck import outcomes

from ..length import at_length


@pytest.fixture
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two functions part, which most of the time goes into, is sought at full length only.

    For tests of what is said of the functions, which does not depend on it.
    """
    if at_length(False, short=True):
        monkeypatch.setattr(outcomes, "_parting", lambda *_: None)
