"""What a result was made with: the machine, and each framework as it is set up here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .backends import FRAMEWORKS, backend_class
from .common.errors import MissingError, said
from .common.machine import machine


def passport(names: Sequence[str] = FRAMEWORKS) -> dict[str, Any]:
    """The machine's facts, and under 'backends' those of each framework among `names`.

    A framework that is not installed says so under 'missing', with the command that installs it.
    """
    frameworks = dict.fromkeys(name.partition(":")[0] for name in names if name.partition(":")[0] in FRAMEWORKS)
    return {**machine(), "backends": {name: _facts(name) for name in frameworks}}


def _facts(name: str) -> dict[str, Any]:
    try:
        return backend_class(name)[0].environment()
    except MissingError as error:
        return {"missing": str(error)}
    except Exception as error:
        return {"broken": said(error)}
