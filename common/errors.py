"""What can go wrong before or during a run, each with one line that says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import NoReturn


class EquigradError(Exception):
    """The root of every error this package raises on purpose; its text is one line for a person."""

    status = 1
    """The exit status of a command that it ends."""


class UsageError(EquigradError):
    """An argument, a data file or an output path that cannot be used."""

    status = 2


class MissingError(EquigradError):
    """A framework or an arithmetic that is not here; the text says how to get it."""

    status = 3


def install(extra: str) -> str:
    """The command that brings the packages of one of our extras."""
    return f"pip install 'equigrad[{extra}]'"


@contextmanager
def needed(*modules: str, extra: str, why: str = "") -> Iterator[None]:
    """While `modules` are imported: raises MissingError, with the command that brings them, if one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise MissingError(f"{why or f'{error.name} is not installed'}: {install(extra)}") from None


class DeviceError(UsageError):
    """A device that this process cannot use; the text lists those it can."""


class TrainingError(EquigradError):
    """Training left the finite numbers; the text says at which update and in which layer."""


KNOWN = (
    (
        ("out of memory", "out_of_memory", "resource_exhausted"),
        "try a smaller problem, or free what else is on the device",
    ),
    (
        ("driver version is insufficient", "driver on your system is too old", "insufficient_driver"),
        "update the NVIDIA driver, or install a build for an older CUDA",
    ),
    (
        ("found no nvidia driver", "no_driver", "cuda_error_not_initialized", "no cuda-capable device"),
        "check with nvidia-smi that the driver sees the GPU",
    ),
    (
        ("busy or unavailable", "devices unavailable", "device_unavailable"),
        "another process holds the GPU: nvidia-smi shows which",
    ),
    (("no kernel image is available",), "this build is not made for this GPU: install one that is"),
)
"""Words of an error, in small letters, and what to do about it."""


def said(error: BaseException) -> str:
    """The error in one line, with what to do where that is known; frameworks write whole pages."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # somebody's __str__ may raise too
        text = f"{type(error).__name__}, which cannot be printed"
    advice = next((todo for words, todo in KNOWN if any(word in text.lower() for word in words)), None)
    if advice is None:
        return shorten(text, 300, placeholder=" ...")
    return f"{shorten(text, 300 - len(advice), placeholder=' ...').rstrip('.')}: {advice}"


class foreign:  # a context manager; as a generator it would be a third of the cost of a small call
    """While code runs that others wrote: os._exit, which would end this process in silence, raises SystemExit.

    A process that was forked meanwhile ends as it likes.
    """

    __slots__ = ("leave",)

    def __enter__(self) -> None:
        leave, here = os._exit, os.getpid()

        def refuse(status: int = 0) -> NoReturn:
            if os.getpid() != here:
                leave(status)
            raise SystemExit(f"it calls os._exit({status})")

        self.leave, os._exit = leave, refuse

    def __exit__(self, *error: object) -> None:
        os._exit = self.leave


@contextmanager
def not_ended_by(what: str) -> Iterator[None]:
    """While code runs that others wrote: raises UsageError where it would end this process."""
    try:
        with foreign():
            yield
    except SystemExit as error:
        raise UsageError(f"{what} would end this process: {said(error)}") from error
