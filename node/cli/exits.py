"""How the command ends: exit codes, and every expected failure in words a person can act on."""

import enum
from dataclasses import dataclass
from pathlib import Path


class Exit(enum.IntEnum):
    """Exit codes; the table in `conclave --help` is made of these."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    PENDING = 4
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "refused or failed; the message says why",
    Exit.USAGE: "the command line or the configuration is wrong",
    Exit.NOT_RUNNING: "no daemon answers on the socket, or it is stopping",
    Exit.PENDING: "accepted, not certified in time; it goes on",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, as it is printed; `code` is stable, for programs."""

    exit: Exit
    code: str
    message: str
    hint: str = ""


class CommandError(Exception):
    """A command of ours gives up."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def explain(error: Exception, run_command: str, init_command: str) -> Failure | None:
    """The failure an exception stands for; None for a bug of ours, which should show its trace."""
    from node.api.errors import ApiError, ErrorCode
    from node.client import ClientError, NoReplyError, NotRunningError
    from node.config import ConfigError
    from node.errors import NodeError, NoNodeError

    match error:
        case CommandError():
            return error.failure
        case ApiError(code=ErrorCode.BAD_REQUEST):
            return Failure(Exit.USAGE, error.code.value, error.message, error.hint)
        case ApiError(code=ErrorCode.STARTING | ErrorCode.SHUTTING_DOWN):
            return Failure(Exit.NOT_RUNNING, error.code.value, error.message, error.hint)
        case ApiError():
            return Failure(Exit.FAILED, error.code.value, error.message, error.hint)
        case NotRunningError():
            return Failure(Exit.NOT_RUNNING, "not_running", str(error), f"start it: {run_command}")
        case NoReplyError():
            return Failure(
                Exit.PENDING, "no_reply", str(error), "what it has accepted goes on; look with: conclave status"
            )
        case ClientError():
            return Failure(Exit.FAILED, "client", str(error))
        case ConfigError():
            return Failure(Exit.USAGE, "config", str(error))
        case NoNodeError():
            return Failure(Exit.FAILED, "no_node", str(error), f"make one: {init_command}")
        case NodeError():
            return Failure(Exit.FAILED, "node", str(error))
        case PermissionError() | FileNotFoundError() | IsADirectoryError() | NotADirectoryError() | FileExistsError():
            place = f"{Path(error.filename)}: " if error.filename else ""
            return Failure(Exit.FAILED, "file", f"{place}{error.strerror}")
        case _:
            return None
