"""A Python for aarch64 on another processor: Debian's packages unpacked, and run by QEMU without root."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..common.errors import MissingError, UsageError

QEMU = "qemu-aarch64-static"
NEEDED = {QEMU: "apt-get install qemu-user-static", "apt-get": "this needs Debian", "dpkg-deb": "this needs Debian"}
WRAPPER = """#!/bin/sh
export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}"{site}
exec {qemu} -L {root} {root}/usr/bin/python3 "$@"
"""


def python(folder: Path, *packages: str) -> Path:
    """An executable in `folder` that runs as python with `packages`; raises MissingError without QEMU or apt.

    About a gigabyte and some minutes with all three frameworks: pip runs in it too, so that it finds aarch64's wheels.
    """
    for program, advice in NEEDED.items():
        if not shutil.which(program):
            raise MissingError(f"{program} is not installed: {advice}")
    root, site, made = folder / "root", folder / "site", folder / "python"
    apt = root / "apt"
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed, so that all that Python needs is brought
    options = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "",
        "Dir::State": apt, "Dir::State::status": apt / "status", "Dir::Cache": apt,
    }  # fmt: skip
    get = ["apt-get", "-qq", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    done(*get, "update")
    done(*get, "install", "--yes", "--no-install-recommends", "--download-only", "python3", "libstdc++6")
    for package in sorted((apt / "archives").glob("*.deb")):
        done("dpkg-deb", "-x", str(package), str(root))
    made.write_text(WRAPPER.format(site=shlex.quote(str(site)), qemu=QEMU, root=shlex.quote(str(root))))
    made.chmod(0o755)
    install(made, packages, "--target", str(site))
    return made


def install(python: Path, packages: Sequence[str], *options: str) -> None:
    """pip, run by that Python, though it belongs to ours."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    done(*pip, "--root-user-action", "ignore", *options, *packages)


def done(*command: str) -> None:
    """Run it; raises UsageError with its last word if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        said = [*ended.stdout.strip().splitlines(), *ended.stderr.strip().splitlines()] or ["it said nothing"]
        raise UsageError(f"{Path(command[0]).name} ended with {ended.returncode}: {said[-1][:200]}")
