"""The fork server: what becomes of its children, on every path."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from node.errors import NodeMisuseError
from node.testnet.node_log import first_error
from node.testnet.processes import Processes, free_ports
from tests.node.fork_world import faithful, nodes_in

ROOT = Path(__file__).resolve().parents[2]


def seen(case: str, folder: Path) -> Any:
    """What a case of `fork_world` saw."""
    command = [sys.executable, "-m", "tests.node.fork_world", case, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_node_is_killed_restarted_paused_and_stopped(tmp_path: Path) -> None:
    """Each by its own process id, and its words go to its own log, over both of its lives."""
    found = seen("life", tmp_path)

    assert found["own_session"]
    assert found["killed"] == ["killed", -9, False]
    assert found["paused"] == ["stopped", "T"]
    assert found["ended"] == [["ended", 0], ["ended", 0]]
    assert found["log"] == "starts node 1\nstarts node 1\nstops\n"


def test_a_node_that_does_not_live_says_why(tmp_path: Path) -> None:
    """The end of its log is in the error: nobody has to look for the file."""
    before_ready, after = seen("failing", tmp_path)

    assert before_ready.startswith("NodeDied: node 1 ended by itself, exit code 1")
    assert "the address is taken" in before_ready
    assert "RuntimeError: a bug" in after


def test_who_does_not_stop_is_killed_in_the_end(tmp_path: Path) -> None:
    """Nothing stays behind, and the verdict can see that it did not stop by itself."""
    assert seen("hardened", tmp_path) == {"exit_code": -9, "there": False}


def test_children_do_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    """It could clean nothing up; the kernel does, a paused child included."""
    assert seen("orphaned", tmp_path) == []


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    """A lock that another thread holds would be held for ever in the child."""
    processes = Processes(faithful)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(NodeMisuseError, match="threads"):
            processes.start(nodes_in(tmp_path, 1), 1)
    finally:
        stop.set()
        thread.join()
        processes.close(1)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("2026-01-01T00:00:00Z [info     ] joined error=1\n", ""),
        (
            "2026-01-01T00:00:00Z [info     ] joined\n"
            "2026-01-01T00:00:01Z [error    ] group task failed component=daemon\n"
            "Traceback (most recent call last):\n  File x\n    partial()\nNameError: name 'partial'\n",
            "2026-01-01T00:00:01Z [error    ] group task failed component=daemon / NameError: name 'partial'",
        ),
        (
            "Traceback (most recent call last):\n  File x\nValueError: no\n",
            "Traceback (most recent call last): / ValueError: no",
        ),
    ],
)
def test_an_error_in_a_log_is_found_with_its_reason(tmp_path: Path, log: str, expected: str) -> None:
    """A group's task that fails is started again by the daemon: only the log tells, and a demo must not hide it."""
    path = tmp_path / "node.log"
    path.write_text(log)

    assert first_error(path) == expected


def test_a_node_without_a_log_has_no_error_in_it(tmp_path: Path) -> None:
    """It never came to write one."""
    assert first_error(tmp_path / "node.log") == ""


def test_ports_are_free_and_differ() -> None:
    """They are fixed before the nodes start, so that a killed one comes back where it was."""
    ports = free_ports(16)

    assert len(set(ports)) == 16
    assert all(1024 < port < 32_768 for port in ports)
