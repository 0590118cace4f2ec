"""How many of the wrong engines of tests/engines/unseen_wrong.py `equigrad check -b` catches.

python tests/laws/unseen_engines.py gives each the default minute, so all take up to an hour.
`--correct` tries unseen_correct.py instead: none may be accused.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ENGINES = Path(__file__).parent.parent / "engines"

parser = argparse.ArgumentParser()
parser.add_argument("names", nargs="*", help="some of them; without names all")
parser.add_argument("--seconds", default="60", help="for each, as `equigrad check --seconds`")
parser.add_argument("--correct", action="store_true")

if __name__ == "__main__":
    arguments = parser.parse_args()
    sys.path.insert(0, str(ENGINES))
    import unseen_correct
    import unseen_wrong

    module = unseen_correct if arguments.correct else unseen_wrong
    names = arguments.names or [
        cls.__name__ for cls in (unseen_correct.RIGHT if arguments.correct else unseen_wrong.WRONG)
    ]
    caught = []
    for name in names:
        command = [sys.executable, "-m", "equigrad", "check", "-b", f"{module.__name__}:{name}"]
        done = subprocess.run(
            [*command, "--seconds", arguments.seconds],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ENGINES), os.environ.get("PYTHONPATH", "")])},
            capture_output=True,
        )
        caught += [name] * (done.returncode == 1)
        print(f"{name}: {'accused' if done.returncode == 1 else f'status {done.returncode}'}", flush=True)
    missed = [name for name in names if name not in caught]
    print(f"{len(caught)} of {len(names)} accused; not: {', '.join(missed) or 'none'}")
