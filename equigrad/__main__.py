"""`python -m equigrad`, and what the installed command calls: nothing slow is imported before Ctrl-C is heeded."""

import signal
import threading

from . import interrupt


def main() -> None:
    """Run the command line."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: interrupt.end())  # until the command line has its own way
    from .common.garbage import keep_imports

    keep_imports()
    from .cli import main

    main()


if __name__ == "__main__":
    main()
