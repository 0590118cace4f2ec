"""Random networks only, to count how many a correct engine passes: python tests/laws/false_alarms.py torch --networks 9

Prints one line: the engine, its networks, each in one dtype and arithmetic, and the closest margin of any law.
"""

import argparse
import sys
from pathlib import Path

from equigrad import load
from equigrad.backends.interface import ARITHMETICS
from equigrad.laws import search as searching

parser = argparse.ArgumentParser()
parser.add_argument("engine", help="as `equigrad check --backend` takes it; those in tests/engines are found")
parser.add_argument("--networks", type=int, default=600)
parser.add_argument("--seed", type=int, default=1)

if __name__ == "__main__":
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
    vars(searching)["FIXED"] = ()  # the drawn ones only
    cls = type(load(arguments.engine))
    came = searching.search(
        lambda dtype, arithmetic: cls(dtype=dtype, arithmetic=arithmetic),
        [mode for mode in ARITHMETICS if mode in cls.arithmetics],
        examples=arguments.networks,
        seed=arguments.seed,
    )
    law = max(came.closest, key=lambda name: came.closest[name])
    print(f"{arguments.engine}: {came.networks:,} networks, closest {came.closest[law]:.0%} of a bound ({law})")
    if came.finding:
        print(f"ACCUSED: {came.finding.law}: {came.finding.message}", *came.finding.lines(arguments.engine), sep="\n")
    sys.exit(came.finding is not None)
