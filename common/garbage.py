"""Python's garbage collector, kept out of a framework's hundred thousand objects, none of which is garbage.

Its collections take a quarter of the time in which PyTorch is imported, and as much again when the process ends.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_kept = False


def keep_imports() -> None:
    """From now on never look through what `importing` brought in, nor through anything at the end of the process.

    For a process that is ours alone: whatever else is alive at that moment is never looked through again either.
    """
    global _kept
    if not _kept:
        _kept = True
        atexit.register(gc.freeze)


@contextmanager
def importing() -> Iterator[None]:
    """Import a framework without a collection in between."""
    enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if _kept and len(sys.modules) > before:
            gc.freeze()
        if enabled:
            gc.enable()
