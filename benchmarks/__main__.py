"""`python -m benchmarks`: every benchmark there is, short. Each module by itself measures longer."""

import sys

from benchmarks.mls import main

if __name__ == "__main__":
    main(["--quick", *sys.argv[1:]])
