"""The nodes of a test network as child processes: one fork server, which imports once and forks many times.

The parent is single-threaded and never runs an event loop, so a fork copies a quiet process: no lock held by a thread
that is not there afterwards. `gc.freeze()` keeps the collector from touching (and so copying) the shared pages. Each
child is its own session: a Ctrl-C at the terminal reaches the parent only, which then ends its children in order.

Nothing but process ids obtained here from `fork` is ever signalled, and none after it was waited for.
"""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from types import FrameType
from typing import Final, NoReturn, Protocol

from node.api.schema import Identity
from node.config import Config
from node.errors import NodeError, NodeMisuseError
from node.testnet.node_log import log_tail
from node.vault import StoreKey

RUNNING: Final = "running"
KILLED: Final = "killed"
PAUSED: Final = "stopped"
ENDED: Final = "ended"

LOG_NAME: Final = "node.log"
POLL_S: Final = 0.01
PORTS: Final = range(20_000, 32_000)  # below what the kernel gives to outgoing connections, which could take one
SIGNALS_HELD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class Run(Protocol):
    """`node.daemon.run`: blocks until the node is told to stop."""

    def __call__(self, config: Config, key: StoreKey, *, on_ready: Callable[[Identity], None]) -> None: ...


class NodeDied(NodeError):
    """A node ended that nobody had asked to; the message has the end of its log."""


@dataclass(slots=True)
class NodeProcess:
    """One node: how it is started, and the process it is right now."""

    name: str
    peer_id: str
    config: Config
    key: StoreKey = field(repr=False)
    pid: int | None = None
    state: str = ENDED
    exit_code: int | None = None  # of the last process that ended; negative: the signal that ended it

    @property
    def log_path(self) -> Path:
        return self.config.data_dir / LOG_NAME

    @property
    def is_running(self) -> bool:
        return self.state == RUNNING


class Processes:
    """The fork server."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._started: list[NodeProcess] = []
        self._libc = ctypes.CDLL(None)
        gc.collect()
        gc.freeze()

    def start(self, nodes: Sequence[NodeProcess], limit_s: float) -> None:
        """Fork the nodes and wait until each is ready. Raises `NodeDied` or `NodeError`."""
        pipes = {self._fork(node): node for node in nodes}
        deadline_s = time.monotonic() + limit_s
        try:
            while pipes:
                ready, _, _ = select.select(list(pipes), [], [], max(0.0, deadline_s - time.monotonic()))
                if not ready:
                    names = ", ".join(node.name for node in pipes.values())
                    raise NodeError(f"not ready within {limit_s:.0f} s: {names}")
                for pipe in ready:
                    node = pipes.pop(pipe)
                    said = os.read(pipe, 1)
                    os.close(pipe)
                    if not said:
                        raise self._death_of(node)
        finally:
            for pipe in pipes:
                os.close(pipe)

    def kill(self, node: NodeProcess) -> None:
        """End the node as a power cut would: SIGKILL, no chance to say anything."""
        self._signal(node, signal.SIGKILL)
        self._wait(node, None)
        node.state = KILLED

    def pause(self, node: NodeProcess) -> None:
        """Stop the process where it is (SIGSTOP): its connections stay open and nobody answers on them."""
        self._signal(node, signal.SIGSTOP)
        assert node.pid is not None
        _, status = os.waitpid(node.pid, os.WUNTRACED)  # it is still at work until the kernel says that it stands
        if os.WIFSTOPPED(status):
            node.state = PAUSED
        else:
            self._note_end(node, status)
            raise self._death_of(node)

    def resume(self, node: NodeProcess) -> None:
        """Let a paused node go on."""
        self._signal(node, signal.SIGCONT)
        node.state = RUNNING

    def stop(self, nodes: Iterable[NodeProcess], limit_s: float) -> None:
        """Ask nodes to stop (SIGTERM) and wait; who does not within the limit is killed, which its exit code shows."""
        running = [node for node in nodes if node.pid is not None]
        for node in running:
            self._signal(node, signal.SIGTERM)
            self._signal(node, signal.SIGCONT)
        deadline_s = time.monotonic() + limit_s
        for node in running:
            if not self._wait(node, deadline_s):
                self._signal(node, signal.SIGKILL)
                self._wait(node, None)
            node.state = ENDED

    def check(self) -> None:
        """Raises `NodeDied` when a node has ended that should be running."""
        for node in self._started:
            if node.pid is not None and self._wait(node, 0.0):
                raise self._death_of(node)

    def close(self, limit_s: float) -> None:
        """End whatever is left. A second Ctrl-C in the meantime does not leave anything behind."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS_HELD}
        try:
            self.stop(self._started, limit_s)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            gc.unfreeze()

    def _fork(self, node: NodeProcess) -> int:
        if node.pid is not None:
            raise NodeMisuseError(f"{node.name} is running already")
        if len(os.listdir("/proc/self/task")) > 1:
            raise NodeMisuseError("the fork server has threads; a fork of it could hang")
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        reading, writing = os.pipe()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_HELD)  # no child that nobody knows of
        pid = os.fork()
        if pid == 0:
            self._be(node, writing)
        node.pid, node.state, node.exit_code = pid, RUNNING, None
        if node not in self._started:
            self._started.append(node)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(writing)
        return reading

    def _be(self, node: NodeProcess, ready: int) -> NoReturn:
        """The child's whole life. It never returns into the parent's code."""
        status = 1
        try:
            os.setsid()
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a parent that was killed cleans nothing up
            _be_on_our_own(node.log_path, ready)

            def on_ready(_identity: Identity) -> None:
                os.write(ready, b"!")
                os.close(ready)

            self._run(node.config, node.key, on_ready=on_ready)
            status = 0
        except NodeError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        except BaseException:  # noqa: BLE001 - whatever it was, this process ends here and says so in its log
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                sys.stderr.flush()
            os._exit(status)

    def _signal(self, node: NodeProcess, number: signal.Signals) -> None:
        if node.pid is None:
            raise NodeMisuseError(f"{node.name} is not running")
        os.kill(node.pid, number)  # ours and not waited for yet, so the id cannot be another process's

    def _wait(self, node: NodeProcess, deadline_s: float | None) -> bool:
        """Wait for the end until a deadline (None: without one); whether it came."""
        if node.pid is None:
            return True
        while True:
            pid, status = os.waitpid(node.pid, 0 if deadline_s is None else os.WNOHANG)
            if pid:
                self._note_end(node, status)
                return True
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return False
            time.sleep(POLL_S)

    @staticmethod
    def _note_end(node: NodeProcess, status: int) -> None:
        node.pid, node.state = None, ENDED
        node.exit_code = os.waitstatus_to_exitcode(status)

    def _death_of(self, node: NodeProcess) -> NodeDied:
        self._wait(node, time.monotonic() + 1.0)
        return NodeDied(f"{node.name} ended by itself, exit code {node.exit_code}\n{log_tail(node.log_path)}")


def free_ports(count: int) -> tuple[int, ...]:
    """So many TCP ports of loopback that are free now, for nodes that must come back at the same address."""
    ports: list[int] = []
    candidates = iter(SystemRandom().sample(PORTS, len(PORTS)))
    while len(ports) < count:
        port = next(candidates, None)
        if port is None:
            raise NodeError(f"fewer than {count} free ports between {PORTS.start} and {PORTS.stop}")
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return tuple(ports)


@contextmanager
def interruptible() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP end it as Ctrl-C would, so that what it started is cleaned up."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_on_our_own(log_path: Path, kept: int) -> None:
    """Let go of everything of the parent's: streams, descriptors, signal handlers."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's whole life
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS_HELD)
