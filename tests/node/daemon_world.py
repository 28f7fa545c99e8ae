"""Daemons as an operator has them: `python -m node.cli run` in processes of their own, asked by the command line."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from node.cli.root import root

ROOT = Path(__file__).resolve().parents[2]
READY_S = 40.0  # libp2p takes seconds to import, and the machine may be busy
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CONCLAVE_")}


def conclave(folder: Path, *words: str) -> Result:
    """A command of the client, asked of the daemon in this folder."""
    return CliRunner(env=ENVIRONMENT).invoke(root, ["--data-dir", str(folder), *words])


def command(*words: str) -> list[str]:
    """A command as a process of its own."""
    return [sys.executable, "-m", "node.cli", *words]


def ended(*words: str, timeout_s: float = READY_S) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*words), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


class Daemon:
    """One node's folder, and the process that serves it. Its standard error goes to a log beside the folder."""

    def __init__(self, folder: Path, *, netns: str = "") -> None:
        self.folder = folder
        self._prefix = ["ip", "netns", "exec", netns] if netns else []  # a network of its own
        self.log_path = folder.with_suffix(".log")
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    def init(self, *words: str, accept: str = "anyone") -> Any:
        """Make the node; what `init --json` says."""
        given = ("--network-listen", "/ip4/127.0.0.1/tcp/0", "--group-accept", accept)
        done = conclave(self.folder, "--json", "init", "--name", self.folder.name, *given, *words)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def begin(self, *words: str, pass_fds: tuple[int, ...] = ()) -> None:
        """Start the process."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    *command("--data-dir", str(self.folder), "--json", "run", "--log-level", "debug", *words),
                ],
                cwd=ROOT,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=pass_fds,
            )

    def until_ready(self) -> None:
        """Wait for the line that says where it can be reached."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], READY_S)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"not ready:\n{self.log_path.read_text()}"
        self.address = json.loads(line)["addresses"][0]

    def start(self, *words: str, pass_fds: tuple[int, ...] = ()) -> None:
        self.begin(*words, pass_fds=pass_fds)
        self.until_ready()

    def end(self, by: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(by)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        assert self._process is not None
        code = self._process.wait(timeout=15)
        assert self._process.stdout is not None
        assert self._process.stdout.read() == b"", "standard output is for the one line"
        self._process.stdout.close()
        self._process = None
        return code

    def kill(self) -> None:
        """Whatever is left of it, at the end of a test."""
        if self._process is not None:
            self.end(signal.SIGKILL)

    def ask(self, *words: str) -> Any:
        """What a command answers with `--json`."""
        done = conclave(self.folder, *words, "--json")
        assert done.exit_code == 0, (words, done.output, done.stderr)
        return json.loads(done.stdout)

    def say(self, *words: str) -> str:
        """What a command answers to a person."""
        done = conclave(self.folder, *words)
        assert done.exit_code == 0, (words, done.output, done.stderr)
        return done.stdout

    def refused(self, *words: str) -> tuple[int, list[str]]:
        """Exit code and the lines of an error."""
        done = conclave(self.folder, *words)
        assert not done.stdout, done.stdout
        return done.exit_code, done.stderr.splitlines()

    def texts(self, group: str) -> list[str]:
        return [message["text"] for message in self.ask("group", "read", group)["messages"]]


@contextmanager
def daemons(folder: Path, *names: str) -> Iterator[list[Daemon]]:
    """New nodes that run; nothing of them is left afterwards."""
    made = [Daemon(folder / name) for name in names]
    try:
        for daemon in made:
            daemon.init("--always-on")
            daemon.begin()
        for daemon in made:
            daemon.until_ready()
        yield made
    finally:
        for daemon in made:
            daemon.kill()


def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Look again and again, as a person would."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.05)
