"""Real daemons whose every link goes through the relay, whose clocks can be stepped and whose disks can be full."""

import ctypes
import json
import mmap
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from node.api.schema import Identity
from node.config import Config
from node.context import NodeContext
from node.testnet.network import make_nodes
from node.testnet.processes import NodeProcess, Processes, Run, interruptible
from node.testnet.settings import Settings
from node.testnet.stage import imported, make_folder
from node.vault import StoreKey
from tests.faults.relay import HELLO, cuts_between

CLONE_NEWNS: Final = 0x20000  # unshare(2)
DISK_SIZE: Final = 64 * 1024 * 1024
BALLAST: Final = "ballast"
START_S: Final = 60.0
STOP_S: Final = 20.0
CALM: Final = ((0.0, 0.0), 0.0)
_OFFSET: Final = struct.Struct("!q")


class Cluster:
    """The nodes, and everything that can be done to them. Nodes count from 0."""

    def __init__(self, nodes: Sequence[NodeProcess], processes: Processes, relay: "RelayProcess", clocks: "Clocks"):
        self.nodes = tuple(nodes)
        self.processes = processes
        self._relay = relay
        self._clocks = clocks
        self._delay_s, self._loss = CALM
        self._cuts: list[list[int]] = []

    def start(self, nodes: Sequence[NodeProcess]) -> None:
        self.processes.start(nodes, START_S)

    def weather(self, delay_s: tuple[float, float], loss: float) -> None:
        """From now on links are that slow and that lossy."""
        self._delay_s, self._loss = delay_s, loss
        self._tell()

    def split(self, *groups: Sequence[int]) -> None:
        """Nodes of different groups do not reach each other."""
        self._cuts = cuts_between(groups)
        self._tell()

    def heal(self) -> None:
        """All links are whole."""
        self.split()

    def step_clock(self, number: int, seconds: int) -> None:
        """The node's wall clock is off by so much from now on; across restarts too."""
        self._clocks.put(number, seconds * 1000)

    def fill_disk(self, number: int) -> None:
        """Nothing more fits on the node's disk: a full file system where we may mount one, else a limit on files."""
        folder = self.nodes[number].config.data_dir
        if os.path.ismount(folder):
            with suppress(OSError), (folder / BALLAST).open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
        else:
            self._limit_files(number, (folder / "store.db").stat().st_size)

    def free_disk(self, number: int) -> None:
        folder = self.nodes[number].config.data_dir
        if os.path.ismount(folder):
            (folder / BALLAST).unlink(missing_ok=True)
        else:
            self._limit_files(number, resource.RLIM_INFINITY)

    def _limit_files(self, number: int, size: int) -> None:
        pid = self.nodes[number].pid
        if pid is not None:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def _tell(self) -> None:
        self._relay.tell({"weather": {"delay_s": self._delay_s, "loss": self._loss, "cuts": self._cuts}})


class Clocks:
    """How far each node's wall clock is off, in milliseconds: memory shared with all of them."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, count * _OFFSET.size)

    def put(self, number: int, offset_ms: int) -> None:
        _OFFSET.pack_into(self._memory, number * _OFFSET.size, offset_ms)

    def offset_ms(self, number: int) -> int:
        offset: int = _OFFSET.unpack_from(self._memory, number * _OFFSET.size)[0]
        return offset


class RelayProcess:
    """The relay as a child process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.relay"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def tell(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def cluster(count: int, *, may_mount: bool = True) -> Iterator[tuple[Cluster, Path]]:
    """Running daemons and the folder of their stores; all of it is gone after the block."""
    relay, clocks = RelayProcess(), Clocks(count)
    folder = make_folder(str(count))
    mounted: Path | None = None
    try:
        mounted = _small_disk(folder, count) if may_mount else None
        with interruptible():
            nodes = make_nodes(folder, count, Settings())
            if mounted is not None:  # its log is evidence, and must not be cut short by its full disk
                nodes[-1].log_path.symlink_to(folder / "last.log")
            relay.tell({"nodes": {_port(node): number for number, node in enumerate(nodes)}})
            processes = Processes(_faulty(imported(), relay.port, clocks))
            running = Cluster(nodes, processes, relay, clocks)
            try:
                running.start(nodes)
                yield running, folder
            except BaseException as error:
                error.add_note(f"the nodes' logs are kept: {_keep_logs(nodes)}")
                raise
            finally:
                processes.close(STOP_S)
    finally:
        relay.close()
        if mounted is not None:
            _libc.umount2(os.fsencode(mounted), 2)
        shutil.rmtree(folder, ignore_errors=True)


def _keep_logs(nodes: Sequence[NodeProcess]) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="conclave-faults-"))
    for node in nodes:
        if node.log_path.exists():
            shutil.copy(node.log_path, kept / f"{node.name}.log")
    return kept


def _faulty(run: Run, relay_port: int, clocks: Clocks) -> Run:
    """The daemon, whose dials go to the relay and whose wall clock is what we say."""

    def faulty(config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None:
        number = int(config.node.name.split()[-1]) - 1

        async def through_relay(host: str, port: int, **_: object) -> trio.SocketStream:
            stream = trio.SocketStream(trio.socket.socket())
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await stream.socket.connect((host, relay_port))
            await stream.send_all(HELLO.pack(number, port))
            return stream

        def now_ms() -> int:
            return time.time_ns() // 1_000_000 + clocks.offset_ms(number)

        trio.open_tcp_stream = through_relay  # type: ignore[assignment]
        NodeContext.now_ms = staticmethod(now_ms)  # type: ignore[method-assign]
        run(config, key, on_ready=on_ready)

    return faulty


def _port(node: NodeProcess) -> int:
    return int(node.config.network.listen[0].rpartition("/")[2])


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _small_disk(folder: Path, count: int) -> Path | None:
    """A small file system of its own for the last node, seen by us alone; None where we may not mount one."""
    if os.geteuid() != 0 or _libc.unshare(CLONE_NEWNS) != 0:
        return None
    target = folder / str(count)
    target.mkdir(mode=0o700)
    private = 1 << 18 | 1 << 14  # MS_PRIVATE | MS_REC: nothing of ours is seen outside
    if _libc.mount(None, b"/", None, private, None) != 0:
        return None
    options = f"size={DISK_SIZE},mode=0700".encode()
    return target if _libc.mount(b"none", os.fsencode(target), b"tmpfs", 0, options) == 0 else None
