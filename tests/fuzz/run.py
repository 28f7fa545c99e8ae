"""One target under atheris, for as long as libFuzzer is told: what `python -m tests.fuzz.decode` and the others do."""

import sys
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
INPUT_SIZE_MAX = 20_000


def run(name: str) -> None:
    """Never returns. Inputs that led somewhere new are kept in .fuzz/<name>; one that broke something, beside it."""
    with atheris.instrument_imports(include=["mls"]):
        from tests.fuzz.targets import TARGETS, seeds
        from tests.mls.strategies import all_structs
    for kind in all_structs():
        atheris.instrument_func(kind.unpack)  # emitted code, which no import brings
    target: Callable[[bytes], None] = TARGETS[name]
    corpus = ROOT / ".fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    options = [f"-max_len={INPUT_SIZE_MAX}", f"-artifact_prefix={corpus.parent}/{name}-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], target)
    atheris.Fuzz()
