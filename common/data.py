"""A user's own data, from a CSV file or a NumPy archive, as a Problem."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .archive import read_npz, refuse_beyond_memory
from .errors import UsageError
from .nearest import nearest
from .problem import Problem, bytes_needed
from .problem import problem as built_in
from .values import count, several
from .words import counted


def chosen(
    problem: str | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    target: Sequence[str] | None = None,
    hidden: Sequence[int] | None = None,
    updates: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
) -> Problem:
    """The built-in problem of that name, one-layer unless given, or the one in the file `data`; raises UsageError."""
    refuse_files([problem or ""])
    if data is None:
        if target or hidden:
            raise UsageError("--target and --hidden go with --data; a built-in problem has its own")
        task = built_in("one-layer" if problem is None else problem)
        return task.with_(updates=updates, learning_rate=learning_rate, seed=seed)
    if problem is not None:
        raise UsageError(f"give a problem or --data, not both: '{problem}' and '{data}'")
    how = {"updates": updates, "learning_rate": learning_rate, "seed": 1 if seed is None else seed}
    return load_data(data, target=target or (), hidden=hidden or (), **how)  # type: ignore[arg-type]


def refuse_files(problems: Sequence[str], instead: str = "") -> None:
    """Raise UsageError if a file of data is given where a problem is expected; `instead` is what to do, or --data."""
    for name in problems:
        if Path(name).suffix.lower() in (".csv", ".npz"):
            target = "" if name.lower().endswith(".npz") else " --target COLUMN"
            what_to_do = instead or f"to use your own data: --data {name}{target}"
            raise UsageError(f"'{name}' is a file, not a problem; {what_to_do}")


def load_data(
    path: str | os.PathLike[str],
    *,
    target: str | int | Sequence[str | int] = (),
    hidden: int | Sequence[int] = (),
    updates: int | None = None,
    learning_rate: float | None = None,
    seed: int = 1,
) -> Problem:
    """The problem of fitting the target columns of `path` from all its other columns.

    A .csv file has one sample per line, and may begin with a line of column names; `target` lists the target
    columns by name or by number, counted from 1. A .npz archive has the arrays `inputs` (samples, inputs) and
    `targets` (samples, outputs). `hidden` lists the sizes of the hidden layers. The network has no bias: add
    a column of ones where one is wanted. `updates` is 1,000 unless given; `learning_rate` is the power of two
    at or below 4 / samples, at most 1, so that larger data do not take larger steps.

    Raises UsageError, with one line that says what to do, for anything that cannot be trained on. An archive
    that holds pickled objects is refused, not loaded.
    """
    try:
        file = Path(path)
    except TypeError:
        raise UsageError(f"the data file must be a path, not {path!r}") from None
    columns = [str(name) for name in several(target)]
    hidden = [count("the size of a hidden layer", size) for size in several(hidden)]
    readers = {".csv": _read_csv, ".npz": _read_npz}
    if file.suffix.lower() not in readers:
        raise UsageError(f"'{path}': data files end in .csv or .npz")
    try:
        if not file.is_file():
            raise UsageError(f"no such data file: '{path}'" if not file.exists() else f"'{path}' is not a file")
        inputs, targets = readers[file.suffix.lower()](file, columns)
        layers = (inputs.shape[1], *hidden, targets.shape[1])
        refuse_beyond_memory(file, bytes_needed(len(inputs), layers, 8))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror or error}") from error
    for what, array in (("inputs", inputs), ("targets", targets)):
        if array.size == 0:
            raise UsageError(f"'{path}' has no {what}: {array.shape[0]} rows, {array.shape[1]} columns")
        if not np.isfinite(array).all():
            row, column = np.argwhere(~np.isfinite(array))[0] + 1
            raise UsageError(f"'{path}': row {row} of the {what} holds NaN or inf in column {column}")
    default_rate = min(1.0, 2.0 ** math.floor(math.log2(4 / len(inputs))))
    return Problem(
        name=file.name,
        inputs=inputs,
        targets=targets,
        layers=layers,
        updates=1_000,
        learning_rate=default_rate,
    ).with_(updates=updates, learning_rate=learning_rate, seed=seed)


def _read_csv(file: Path, target: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            lines = csv.reader(stream)
            rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines if any(map(str.strip, row))]
    except UnicodeDecodeError:
        raise UsageError(f"'{file}' is not a CSV text file in UTF-8: save it as UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"'{file}' is not a CSV text file: {error}") from error
    if not rows:
        raise UsageError(f"'{file}' is empty")
    _refuse_dialects(file, *rows[0])
    names = rows.pop(0)[1] if not any(map(_is_number, rows[0][1])) else []
    if not rows:
        raise UsageError(f"'{file}' has column names but no rows")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"'{file}' has {names.count(twice)} columns named '{twice}': give each a name of its own")
    if names and not names[0]:
        raise UsageError(
            f"'{file}': column 1 has no name: if it numbers the rows, leave it out (in pandas: to_csv(index=False)), "
            "else name it"
        )
    width = len(names or rows[0][1])
    for line, row in rows:
        if len(row) != width or not all(map(_is_number, row)):
            _refuse_dialects(file, line, row)
        if len(row) != width:
            expected = f"{width} {'is' if width == 1 else 'are'} expected"
            raise UsageError(f"'{file}': line {line} has {counted(len(row), 'column')} where {expected}")
        for column, cell in enumerate(row, 1):
            if not _is_number(cell):
                raise UsageError(f"'{file}': line {line}, column {column} is not a number: '{cell[:40]}'")
    data = np.array([[number(cell) for cell in row] for _, row in rows])
    columns = [_column(file, name, names, width) for name in target]
    if len(set(columns)) < len(columns):
        raise UsageError(f"'{file}': the same column is a target twice: {', '.join(target)}")
    if not columns:
        raise UsageError(f"'{file}': say which column is the target with --target, by name or number")
    if len(columns) == width:
        raise UsageError(f"'{file}': every column is a target, none is left as an input")
    return np.delete(data, columns, axis=1), data[:, columns]


def _refuse_dialects(file: Path, line: int, row: list[str]) -> None:
    """Raise UsageError if a line is a comment, or has another mark than commas between its columns."""
    if row[0].startswith("#"):
        raise UsageError(f"'{file}': line {line} begins with '#', but comments are not read: delete it, or the '#'")
    for mark, what in ((";", "semicolons"), ("\t", "tabs")):
        if any(mark in cell for cell in row) and (len(row) == 1 or any(map(_is_number, row))):
            raise UsageError(f"'{file}': line {line} has {what}: separate columns by commas, and decimals by points")


def _column(file: Path, name: str, names: list[str], width: int) -> int:
    if name in names:
        return names.index(name)
    if re.fullmatch("[0-9]{1,9}", name) and 1 <= int(name) <= width:
        return int(name) - 1
    hint = nearest(name, names) if names else f": there are columns 1 to {width}"
    raise UsageError(f"'{file}' has no target column '{name}'{hint}")


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True


def number(text: str) -> float:
    """The number in `text`, as programs write it: Python alone reads 1_000 and the digits of every script too.

    The minus sign that people typeset, U+2212, is one.
    """
    text = text.replace("\N{MINUS SIGN}", "-")
    if not text.isascii() or "_" in text:
        raise ValueError(f"not a number: {text}")
    return float(text)


def _read_npz(file: Path, target: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    if target:
        raise UsageError("--target is for CSV files; an .npz archive has the arrays 'inputs' and 'targets'")
    found = read_npz(file, ("inputs", "targets"))
    pair = []
    for name in ("inputs", "targets"):
        array = found.get(name)
        if not isinstance(array, np.ndarray):
            raise UsageError(f"'{file}' has no array '{name}': it needs 'inputs' and 'targets'")
        if array.dtype.kind not in "fiub":
            raise UsageError(f"'{file}': '{name}' is not numeric but {array.dtype}")
        if array.ndim not in (1, 2):
            raise UsageError(f"'{file}': '{name}' has shape {array.shape} instead of (samples, columns)")
        pair.append(array.astype(float).reshape(len(array), -1) if array.size else np.zeros((len(array), 0)))
    if len(pair[0]) != len(pair[1]):
        raise UsageError(f"'{file}': {len(pair[0])} rows of inputs but {len(pair[1])} of targets")
    return pair[0], pair[1]
