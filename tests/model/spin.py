"""SPIN at work: build the verifier of a run and let it search everything."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.model.runs import Run

MODEL: Final = Path(__file__).with_name("simplex.pml")
MISSING: Final = "SPIN is not here: install the packages spin and gcc (Debian: apt-get install spin gcc)"
MEMORY_MB: Final = 4000
DEPTH_MAX: Final = 1_000_000

_VERIFIER: Final = ("-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}")  # every interleaving, no reduction


class SpinError(Exception):
    """SPIN or the compiler failed, or the search did not end."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a search ended. `broken`: the assertion that failed, or None."""

    run: Run
    states: int
    transitions: int
    depth: int
    search_s: float
    broken: str | None

    @property
    def as_expected(self) -> bool:
        """The rules keep every promise, a mutant breaks the one named."""
        return self.broken == self.run.breaks


def missing() -> bool:
    """Whether SPIN or the compiler it needs is not installed."""
    return shutil.which("spin") is None or shutil.which("gcc") is None


def search(run: Run) -> Result:
    """Search everything within reach. Raises `SpinError` when that did not succeed."""
    report = _verify(run)
    broken = re.search(r"assertion violated\s+(.+?) \(at depth", report)
    if broken is None and ("Search not completed" in report or "errors: 0" not in report):
        raise SpinError(f"{run.name}: the search did not end\n{report}")
    return Result(
        run,
        int(_number(report, r"(\d+) states, stored")),
        int(_number(report, r"(\d+) transitions")),
        int(_number(report, r"depth reached (\d+)")),
        _number(report, r"elapsed time ([\d.]+) seconds"),
        None if broken is None else broken[1].strip("!()"),
    )


def edges(run: Run) -> set[tuple[str, str, str]]:
    """Every transition within reach: the state, the rule, the state afterwards."""
    report = _verify(run, print_edges=True)
    if "errors: 0" not in report:
        raise SpinError(f"{run.name}: {report[-2000:]}")
    found = set()
    for line in report.splitlines():
        if line.startswith("EDGE "):
            words = line.split()[1:]
            middle = len(words) // 2
            found.add((" ".join(words[:middle]), words[middle], " ".join(words[middle + 1 :])))
    return found


def _verify(run: Run, *, print_edges: bool = False) -> str:
    """What the verifier of this run says."""
    defines = [name if value is None else f"{name}={value}" for name, value in run.defines.items()]
    with TemporaryDirectory() as directory:
        _call(directory, "spin", "-a", *(f"-D{define}" for define in (*defines, *["EDGES"] * print_edges)), str(MODEL))
        optimise = "-O2" if run.breaks is None and not print_edges else "-O0"  # short searches: compiling costs more
        _call(directory, "gcc", optimise, *_VERIFIER, *["-DPRINTF"] * print_edges, "-o", "pan", "pan.c")
        return _call(directory, "./pan", "-E", f"-m{DEPTH_MAX}", "-w22")  # -E: a world may come to its end


def _call(directory: str, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0 and command[0] != "./pan":
        raise SpinError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _number(report: str, pattern: str) -> float:
    found = re.search(pattern, report)
    if found is None:
        raise SpinError(report)
    return float(found[1])
