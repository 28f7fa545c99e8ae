"""A program of its own, since a fork needs a process without threads: `python -m tests.node.fork_world CASE FOLDER`.

The nodes are fakes that wait for a signal; each case prints what it saw as JSON.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from node.api.schema import Identity
from node.config import Config
from node.errors import NodeError
from node.testnet.processes import NodeProcess, Processes
from node.testnet.settings import Settings
from node.vault import StoreKey

IDENTITY = Identity(peer_id="peer", addresses=())


def faithful(config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None:
    """Stops when it is told."""
    print("starts", config.node.name)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    on_ready(IDENTITY)
    while not told:
        time.sleep(0.01)
    print("stops")


def stubborn(config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None:
    """Does not stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    on_ready(IDENTITY)
    time.sleep(60)


def stillborn(config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None:
    """Has something against running."""
    raise NodeError("the address is taken")


def mortal(config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None:
    """Is ready, and dies."""
    on_ready(IDENTITY)
    raise RuntimeError("a bug")


def nodes_in(folder: Path, count: int) -> list[NodeProcess]:
    made = []
    for number in range(1, count + 1):
        data_dir = folder / str(number)
        data_dir.mkdir()
        config = Settings().config_of(name=f"node {number}", data_dir=data_dir, port=0, peers=())
        made.append(NodeProcess(f"node {number}", "peer", config, StoreKey(bytes(32))))
    return made


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def life(folder: Path) -> object:
    """Start two, kill one and start it again, pause and resume the other, stop both."""
    one, two = nodes_in(folder, 2)
    processes = Processes(faithful)
    try:
        processes.start([one, two], 10)
        pid = one.pid
        assert pid is not None
        assert two.pid is not None
        session = os.getsid(pid)
        processes.kill(one)
        killed = (one.state, one.exit_code, is_there(pid))
        processes.start([one], 10)
        processes.pause(two)
        paused = (two.state, Path(f"/proc/{two.pid}/stat").read_text().split()[2])
        processes.resume(two)
        processes.check()
        processes.pause(two)  # a stopped process can be stopped all the same
        processes.stop([one, two], 10)
    finally:
        processes.close(1)
    return {
        "own_session": session == pid,
        "killed": killed,
        "paused": paused,
        "ended": [(node.state, node.exit_code) for node in (one, two)],
        "log": one.log_path.read_text(),
    }


def failing(folder: Path) -> object:
    """What is said of nodes that do not start, or do not stay."""
    told = []
    for number, run in enumerate((stillborn, mortal)):
        (folder / str(number)).mkdir()
        (node,) = nodes_in(folder / str(number), 1)
        processes = Processes(run)
        try:
            processes.start([node], 10)
            time.sleep(0.3)
            processes.check()
        except NodeError as error:
            told.append(f"{type(error).__name__}: {error}")
        finally:
            processes.close(1)
    return told


def hardened(folder: Path) -> object:
    """Who does not stop is killed, and its exit code tells."""
    (node,) = nodes_in(folder, 1)
    processes = Processes(stubborn)
    processes.start([node], 10)
    pid = node.pid
    assert pid is not None
    processes.close(0.2)
    return {"exit_code": node.exit_code, "there": is_there(pid)}


def orphaned(folder: Path) -> object:
    """The parent is killed: its children, even a paused one, are gone. The middle process is the parent."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        nodes = nodes_in(folder, 2)
        processes = Processes(stubborn)
        processes.start(nodes, 10)
        processes.pause(nodes[1])
        os.write(writing, json.dumps([node.pid for node in nodes]).encode())
        time.sleep(60)
    pids = json.loads(os.read(reading, 100))
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    deadline_s = time.monotonic() + 10
    while any(map(is_there, pids)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
        for pid in pids:  # where nobody above reaps, a zombie is gone too
            stat = Path(f"/proc/{pid}/stat")
            if stat.exists() and stat.read_text().split()[2] == "Z":
                pids.remove(pid)
    return [pid for pid in pids if is_there(pid)]


CASES = {case.__name__: case for case in (life, failing, hardened, orphaned)}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](Path(sys.argv[2]))))
