"""`python -m tests.fuzz.decode -max_total_time=60`: see `tests.fuzz.targets`."""

from tests.fuzz.run import run

if __name__ == "__main__":
    run("decode")
