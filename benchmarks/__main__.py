"""`python -m benchmarks`: every benchmark there is, short. Each module by itself measures longer.

Arguments are the engine's (`benchmarks.mls`); of them, the ordering's understand `--json`.
"""

import sys

from benchmarks import mls, ordering

if __name__ == "__main__":
    arguments = sys.argv[1:]
    mls.main(["--quick", *arguments])
    sys.exit(ordering.main(["--quick", *(each for each in arguments if each == "--json")]))
