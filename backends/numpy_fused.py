"""The NumPy backend whose `train` runs elementwise operations together, compiled by Numba, with the same bits.

`--backend equigrad.backends.numpy_fused:NumpyFused` on the command line, or that class wherever Python takes a backend.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .numpy_backend import NumpyBackend
from .tape.fused import Formulas, fused
from .tape.numpy_tape import cast, taped_with, viewed

FORMULAS: Formulas = {
    np.add: "{} + {}",
    np.divide: "{} / {}",
    np.ldexp: "np.ldexp({}, {})",
    np.maximum: "np.maximum({}, {})",
    np.minimum: "np.minimum({}, {})",
    np.multiply: "{} * {}",
    np.negative: "-{}",
    np.rint: "np.rint({})",
    np.subtract: "{} - {}",
    np.left_shift: "{} << {}",
    np.right_shift: "{} >> {}",
    cast: "np.{dtype}({})",
    viewed: "np.{source}({}).view(np.{dtype})",
}


class NumpyFused(NumpyBackend):
    """NumPy's backend, `train` fused by Numba."""

    train = taped_with(partial(fused, FORMULAS))(NumpyBackend.train)
