"""NumPy archives (.npz) as users hand them over: never unpickled, and refused if they do not fit into memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import UsageError
from .machine import free_memory


def read_npz(file: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of the archive under their names; of those in `names`, what it has.

    Raises UsageError for an archive that is damaged or holds pickled objects, and, before it is unpacked, for one
    that does not fit into memory; OSError for a file that cannot be opened.
    """
    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise UsageError(f"'{file}' is not a NumPy archive (.npz), or is cut short")
    refuse_beyond_memory(file, _unpacked(file, names))
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if names is None or name in names}
    except Exception as error:  # a damaged archive makes NumPy, zipfile and zlib raise whatever they like
        reason = "it holds pickled objects, which are never loaded" if "pickle" in str(error) else str(error)
        raise UsageError(f"'{file}' cannot be used: {reason}") from error


def refuse_beyond_memory(file: Path, needed: int) -> None:
    """Raise UsageError if fewer bytes than that are free."""
    free = free_memory()
    if free is not None and needed > free:
        raise UsageError(
            f"'{file}': this takes at least {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        )


def _unpacked(file: Path, names: Sequence[str] | None) -> int:
    """How many bytes the arrays say they hold as float64; 0 for those of which it cannot be read."""
    total = 0
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist() if names is None else [f"{name}.npy" for name in names]:
                with archive.open(name) as stream:
                    old = np.lib.format.read_magic(stream) == (1, 0)
                    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                    total += 8 * math.prod(read(stream)[0])
    except Exception:  # what is wrong with it is for the reader to say
        return total
    return total
