"""One process per data directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.data_dir import DataDir, DataDirError, DataDirInUseError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from pathlib import Path
from node.data_dir import DataDir
with DataDir(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_told_whose_the_directory_is(tmp_path: Path) -> None:
    """Two writers of one store would vote twice at one position."""
    data_dir = DataDir(tmp_path / "data")
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(data_dir.path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(DataDirInUseError, match=f"in use by process {child.pid}") as caught, data_dir.locked():
            pytest.fail("locked twice")
        assert caught.value.process == child.pid
        child.send_signal(signal.SIGKILL)
        child.wait()
        with data_dir.locked():  # the lock ended with its process
            assert data_dir.lock_path.read_text() == f"{os.getpid()}\n"
    finally:
        child.kill()
        child.communicate()


def test_the_lock_is_given_back_at_the_end_of_the_block(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    for _ in range(2):
        with data_dir.locked(), pytest.raises(DataDirInUseError), data_dir.locked():
            pass


def test_a_new_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / "a" / "b")
    with data_dir.locked():
        assert data_dir.path.stat().st_mode & 0o777 == 0o700
        assert data_dir.lock_path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot be used"), DataDir(tmp_path / "file").locked():
        pass
