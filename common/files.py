"""Files written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from .errors import UsageError

SCHEMA = 1
"""Of the JSON that commands write, all kinds."""


def check_writable(path: str | os.PathLike[str] | None) -> None:
    """Raise UsageError if `path` cannot be written; called before hours of work, not after. Writes nothing."""
    if path is None:
        return
    try:
        target = _target(path)
        if target.is_symlink():
            raise UsageError(f"cannot write '{path}': it is a link that leads nowhere")
        if not target.parent.is_dir():
            raise UsageError(f"cannot write '{path}': there is no folder '{Path(path).parent}'")
        if target.exists() and not os.access(target, os.W_OK):
            raise UsageError(f"cannot write '{path}': it is read-only")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


def _target(path: str | os.PathLike[str]) -> Path:
    """Where a link leads to, so that the file behind it is replaced and not the link; nothing but a file ever is."""
    given, target = Path(path), Path(os.path.realpath(path))
    if given == Path("-"):
        raise UsageError("cannot write '-': results go to a file, not to standard output; give its name")
    if given.is_dir():
        raise UsageError(f"cannot write '{path}': it is a folder")
    if given.exists() and not given.is_file():  # the link of a pipe, /dev/stdout, leads nowhere by its text
        raise UsageError(f"cannot write '{path}': it is not an ordinary file")
    return target


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write the whole of `text` or nothing: into a file beside it, which then takes its name; raises UsageError."""
    try:
        target = _target(path)
        beside = target.with_name(f".equigrad-{secrets.token_hex(8)}")
        try:
            with beside.open("x", encoding="utf-8") as file:
                if target.exists():  # whoever may read it now, may read it then
                    beside.chmod(target.stat().st_mode & 0o777)
                file.write(text)
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


def write_json(path: str | os.PathLike[str], data: dict[str, Any]) -> None:
    """Write `data` atomically; floats as the shortest text that gives back their bits, NaN and inf as strings."""
    write_text(path, json.dumps(plain(data), indent=1, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """What is in that file; raises UsageError, one line that names it, where it cannot be read or is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"'{path}' is not JSON: it breaks off or goes wrong in line {error.lineno}") from None
    except _NoNumber as error:
        raise UsageError(f"'{path}' is not JSON: it holds {error}, which is no number there") from None
    except (ValueError, RecursionError):
        raise UsageError(f"'{path}' is not JSON") from None


class _NoNumber(Exception):
    """JSON has neither NaN nor infinity, and no number that is too large for float64."""


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise _NoNumber(text)
    return value


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinity, in dicts and lists too, as strings."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
