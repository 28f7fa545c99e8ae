"""Small files that hold secrets: written whole or not at all, mode 0600, and refused when others can read them."""

import os
import stat
from pathlib import Path
from typing import Final

from node.errors import NodeError

SECRET_FILE_SIZE_MAX: Final = 4096


class SecretFileError(NodeError):
    """A secret file that is missing, unreadable, too large or open to others."""


def write_secret_file(path: Path, data: bytes) -> None:
    """Create ``path`` with this content, durably; raises ``SecretFileError`` when it exists already."""
    if path.exists():
        raise SecretFileError(f"{path} exists already and is not overwritten")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SecretFileError(f"{path} cannot be written: {error.strerror}") from error


def read_secret_file(path: Path) -> bytes:
    """The content of ``path``, which nobody but its owner (us, or root) may be able to read or change."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):  # a pipe or a terminal has no lasting mode
                _refuse_others(path, status)
            data = file.read(SECRET_FILE_SIZE_MAX + 1)
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > SECRET_FILE_SIZE_MAX:
        raise SecretFileError(f"{path} is larger than {SECRET_FILE_SIZE_MAX} bytes: not a secret file")
    return data


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretFileError(f"{path} belongs to another user (uid {status.st_uid}); it must be yours")
    if mode := stat.S_IMODE(status.st_mode) & 0o077:
        raise SecretFileError(
            f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}, {mode:03o} too much);"
            f" run: chmod 600 {path}"
        )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
