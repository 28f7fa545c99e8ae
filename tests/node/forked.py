"""Daemons on networks of their own out of one process that imports the node once: a fork each, in its namespace.

`python -m tests.node.forked` with a list of what to run, as JSON; it ends when its standard input does.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from node.config import load_file
from node.daemon import preload
from node.daemon import run as run_daemon
from node.setup import open_key
from tests.node.daemon_world import ENVIRONMENT, READY_S, ROOT, Daemon

CLONE_NEWNET = 0x40000000


@contextmanager
def running(nodes: Mapping[Daemon, tuple[str, Mapping[str, object]]]) -> Iterator[None]:
    """These nodes, each in a namespace and with settings of its own, ready, until the block ends."""
    wanted = [
        {"netns": netns, "folder": str(node.folder), "log": str(node.log_path), "flags": dict(flags)}
        for node, (netns, flags) in nodes.items()
    ]
    command = [sys.executable, "-m", "tests.node.forked", json.dumps(wanted)]
    server = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        ready, end_s = 0, time.monotonic() + 2 * READY_S
        while ready < len(wanted):
            can_be_read, _, _ = select.select([server.stdout], [], [], max(0.0, end_s - time.monotonic()))
            logs = "\n".join(node.log_path.read_text() for node in nodes if node.log_path.exists())
            assert can_be_read, f"{ready} of {len(wanted)} ready:\n{logs}"
            data = os.read(server.stdout.fileno(), 4096)
            assert data, f"ended before they were ready:\n{logs}"
            ready += data.count(b"ready\n")
        yield
    finally:
        server.stdin.close()
        server.wait(timeout=30)
        server.stdout.close()


def main(wanted: list[dict[str, object]]) -> None:
    preload()
    children = [_fork(each) for each in wanted]
    sys.stdin.buffer.read()  # until whoever started us has gone, or is done
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _fork(wanted: dict[str, object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        with Path(f"/run/netns/{wanted['netns']}").open("rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        with Path(str(wanted["log"])).open("ab") as log:
            os.dup2(log.fileno(), sys.stderr.fileno())
        folder, flags = Path(str(wanted["folder"])), wanted["flags"]
        assert isinstance(flags, dict)
        config = load_file(folder / "node.toml", {}, {"node.data_dir": str(folder), **flags})
        run_daemon(config, open_key(config), on_ready=lambda _: _say_ready())
    finally:
        os._exit(0)


def _say_ready() -> None:
    os.write(sys.stdout.fileno(), b"ready\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
