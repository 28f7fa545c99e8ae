"""Short stretches of what `make faults` does for five minutes. The fork server wants a process without threads."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import RelayProcess
from tests.faults.relay import HELLO


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.faults", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_is_lost_or_forked_under_faults_of_every_kind() -> None:
    """Kills, stops, cuts, slow and lossy links, a full disk and stepped clocks, while members talk and change keys."""
    said = run("--seconds", "8", "--seed", "4")
    assert "nothing forked" in said
    assert "FAIL" not in said


def test_a_full_disk_costs_nothing_that_was_acknowledged() -> None:
    said = run("--seconds", "4", "--seed", "1", "--kind", "disk", "--no-mount")
    assert "full disks" in said
    assert "FAIL" not in said


@pytest.fixture
def relay() -> Iterator[RelayProcess]:
    process = RelayProcess()
    yield process
    process.close()


def test_the_relay_delays_and_cuts_and_loses_nothing(relay: RelayProcess) -> None:
    """What a cut holds up arrives when it is mended."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as dialled:
        port = server.getsockname()[1]
        relay.tell({"nodes": {port: 1}, "weather": {"delay_s": [0.05, 0.05], "loss": 0.0, "cuts": []}})
        dialled.connect(("127.0.0.1", relay.port))
        began_s = time.monotonic()
        dialled.sendall(HELLO.pack(0, port) + b"one")
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            assert accepted.recv(100) == b"one"
            assert time.monotonic() - began_s >= 0.05
            relay.tell({"weather": {"delay_s": [0.0, 0.0], "loss": 0.0, "cuts": [[0, 1]]}})
            time.sleep(0.2)
            dialled.sendall(b"two")
            accepted.settimeout(0.2)
            with pytest.raises(TimeoutError):
                accepted.recv(100)
            relay.tell({"weather": {"delay_s": [0.0, 0.0], "loss": 0.5, "cuts": []}})
            accepted.settimeout(10)
            assert accepted.recv(100) == b"two"
