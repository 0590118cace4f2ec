"""`python -m equigrad`, and what the installed command calls: nothing slow is imported before Ctrl-C is heeded."""

import os
import signal
import threading


def main() -> None:
    """Run the command line."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)  # until the command line has its own way
    from .common.garbage import keep_imports

    keep_imports()
    from .cli import main

    main()


def _end(*_: object) -> None:
    os.write(2, b"equigrad: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
