"""`python -m tests.fuzz.join -max_total_time=60`: see `tests.fuzz.targets`."""

from tests.fuzz.run import run

if __name__ == "__main__":
    run("join")
