"""The data directory: where what is in it, and the lock that gives it to one process at a time.

Two processes writing one store would sign twice at one position. The lock is the kernel's (``flock``): it ends
with the process, however that ends, and leaves nothing stale behind.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.errors import NodeError


class DataDirError(NodeError):
    """The data directory cannot be used."""


class DataDirInUseError(DataDirError):
    """Another process holds the directory; ``process`` is its id, None when it has not said yet."""

    def __init__(self, path: Path, process: int | None) -> None:
        holder = "another process" if process is None else f"process {process}"
        super().__init__(f"data directory {path} is in use by {holder}; stop it, or name another data_dir")
        self.process = process


@dataclass(frozen=True, slots=True)
class DataDir:
    """The files of one node."""

    path: Path

    @property
    def store_path(self) -> Path:
        return self.path / "store.db"

    @property
    def vault_path(self) -> Path:
        return self.path / "vault"

    @property
    def mailbox_path(self) -> Path:
        return self.path / "mailbox.db"

    @property
    def token_path(self) -> Path:
        return self.path / "api.token"

    @property
    def replica_path(self) -> Path:
        return self.path / "replica.db"

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory, creating it (mode 0700) when it is not there.

        Raises ``DataDirInUseError`` at once, without waiting, when another process holds it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"data directory {self.path} cannot be used: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirInUseError(self.path, _holder(descriptor)) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            yield
        finally:
            os.close(descriptor)  # gives the lock back; the file stays, since removing it would race with the next


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
