"""The memory image of another process: everything it can read of its own."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$")
PIECE = 64 * 1024 * 1024
OVERLAP = 4096  # nothing that is looked for is longer
KERNELS = ("[vvar]", "[vvar_vclock]", "[vsyscall]")


def memory_of(pid: int) -> Iterator[bytes]:
    """All readable mappings, in pieces that overlap; skips the test where that is not permitted."""
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except PermissionError as error:
        pytest.skip(f"the memory of another process may not be read here: {error}")
    try:
        for start, end in readable(pid):
            at = start
            while at < end:
                with suppress(OSError):  # a page that is mapped and not there: past the end of a file
                    yield os.pread(memory, min(PIECE, end - at) + (OVERLAP if end - at > PIECE else 0), at)
                at += PIECE
    finally:
        os.close(memory)


def readable(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = MAPPING.match(line)
        assert found is not None, line
        start, end, rights, name = found.groups()
        if rights.startswith("r") and name not in KERNELS:
            yield int(start, 16), int(end, 16)
