"""What Ctrl-C does: the command ends within a second, whatever it is doing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

STATUS = 130
seen = threading.Event()
"""Set once Ctrl-C was pressed."""
_ending = threading.RLock()  # of two threads that find out, one says so; Ctrl-C may come again while it does
_exit = os._exit  # while a user's module is imported, os._exit is another


def end_promptly_on_ctrl_c() -> None:
    """End within a second even when Ctrl-C comes inside a long compiled call, where Python cannot act.

    The interpreter's own KeyboardInterrupt gets half a second to clean up; then the process ends. So it does
    when the KeyboardInterrupt is raised where Python would print a traceback and go on, as in a callback of a
    garbage collection.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(os, "set_blocking"):
        return
    signal.signal(signal.SIGINT, _on_ctrl_c)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while True:
            if signal.SIGINT in os.read(reader, 1):
                threading.Event().wait(0.5)
                end()

    def ignored(what: Any) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            end()
        sys.__unraisablehook__(what)

    sys.unraisablehook = ignored
    threading.Thread(target=watch, daemon=True).start()


def _on_ctrl_c(_: int, frame: FrameType | None) -> None:
    seen.set()
    while frame:
        if isinstance(frame.f_locals.get("self"), ExtensionFileLoader):
            end()  # C++ that is being imported may know no exception here: JAX's takes the process down with it
        frame = frame.f_back
    raise KeyboardInterrupt


def end() -> None:
    """Say so and end at once, whatever is still at work in other threads."""
    _ending.acquire()
    show_cursor = "\x1b[?25h\n" if sys.stderr and sys.stderr.isatty() else ""  # the progress bar hides it
    os.write(2, f"{show_cursor}equigrad: interrupted\n".encode())
    _exit(STATUS)
