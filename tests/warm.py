"""Python processes that find their imports done: each is a fork of one that has made them.

`python warm.py serve SOCKET MODULE...` imports the modules and waits; `python warm.py ask SOCKET NAME ARGUMENT...` is
then as good as `python ARGUMENT...`: a process of its own with the caller's folder, environment, open files, signals
and status, which calls NAME `sys.executable`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


def ask(address: str, *words: str) -> None:
    """Hand on what this process was given, and end as the other one ends."""
    import json

    files = [*map(int, os.listdir("/proc/self/fd"))]
    files = [file for file in files if os.path.exists(f"/proc/self/fd/{file}")]  # the list itself was one
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    given = json.dumps([words, dict(os.environ), os.getcwd(), files]).encode()
    socket.send_fds(server, [len(given).to_bytes(8, "big")], files)
    server.sendall(given)
    code = int(server.recv(16) or b"70")
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(address: str, *modules: str) -> None:
    """Fork until nobody holds the other end of standard input; returns in each process that is asked for."""
    import gc
    import select
    from importlib import import_module

    for module in modules:
        import_module(module)
    gc.freeze()
    attending = 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen(64)
        os.rename(f"{address}.new", address)  # it can be asked from here on
        while True:
            ready = select.select([listener, sys.stdin], [], [])[0]
            while attending and os.waitpid(-1, os.WNOHANG)[0]:
                attending -= 1
            if sys.stdin in ready:
                os._exit(0)
            client, _ = listener.accept()
            if not os.fork():
                listener.close()
                return attend(client)
            attending += 1
            client.close()


def attend(client: socket.socket) -> None:
    """Returns in the process that is asked for; this one hands on signals, and its status."""
    import contextlib
    import json
    import select

    size, files, _, _ = socket.recv_fds(client, 8, 250)
    given = b""
    while len(given) < int.from_bytes(size, "big"):
        given += client.recv(2**16)
    words, environment, folder, places = json.loads(given)
    process = os.fork()
    if not process:
        client.close()
        os.setpgid(0, 0)
        return become(words, environment, folder, dict(zip(places, files, strict=True)))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(process)
    asking = client.fileno()
    while ended not in select.select([asking, ended], [], [])[0]:
        if not (numbers := client.recv(16)):  # it was killed
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os._exit(0)
        for number in numbers:
            os.kill(process, number)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(OSError):
        client.sendall(str(code).encode())
    os._exit(0)


def become(words: list[str], environment: dict[str, str], folder: str, files: dict[int, int]) -> None:
    """Do what Python does when it starts with these arguments."""
    import fcntl
    from types import ModuleType

    above = {place: fcntl.fcntl(file, fcntl.F_DUPFD, 500) for place, file in files.items()}
    for file in files.values():
        os.close(file)
    for place, file in above.items():
        os.dup2(file, place)
        os.close(file)
    for place, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        errors = "backslashreplace" if name == "stderr" else None
        stream = open(place, mode, errors=errors, closefd=False, buffering=1 if name == "stderr" else -1)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.executable, *words = words
    import multiprocessing.spawn

    multiprocessing.spawn.set_executable(sys.executable)
    while words[0] not in ("-c", "-m") and words[0].startswith("-"):
        words.pop(0)
    ours = environment.get("PYTHONPATH", "")
    sys.path[:1] = [*filter(None, ours.split(os.pathsep))]
    sys.modules["__main__"] = main = ModuleType("__main__")
    import runpy

    if words[0] == "-m":
        sys.path.insert(0, folder)
        sys.argv = ["-m", *words[2:]]
        runpy._run_module_as_main(words[1])  # type: ignore[attr-defined]
    elif words[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *words[2:]]
        exec(words[1], main.__dict__)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def end(code: int) -> None:
    """As Python does, but for taking apart what was imported before, which takes longer than all else."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    status = 0
    try:
        {"ask": ask, "serve": serve}[sys.argv[1]](*sys.argv[2:])
    except SystemExit as error:
        if isinstance(error.code, str):
            raise
        status = error.code or 0
    if "mpi4py.MPI" in sys.modules:  # which says goodbye when Python has ended
        sys.exit(status)
    end(status)
