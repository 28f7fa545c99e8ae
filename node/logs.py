"""Logging: one event per line, for people (console) or machines (JSON), and nothing that must not be written down.

A log line names events, ids, counts and times. It never holds a secret, a plaintext or what a member is called:
values under a telling key are blanked, bytes become their length, and tracebacks come without local variables.
Ids are logged by ``short()``. Libraries are heard from WARNING on only; what they say below that may
quote payloads. How many lines a peer can cause is limited (`node.log_rate`).
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TextIO, cast

import structlog

from node.log_rate import RateLimit

PRIVATE_KEYS: Final = frozenset(
    {"body", "content", "key", "member", "members", "name", "names", "passphrase", "password"}
    | {"payload", "plaintext", "private_key", "secret", "seed", "snapshot", "text", "token"}
)
"""Event keys whose values are blanked, whatever they are."""

PRIVATE_SUFFIXES: Final = ("_key", "_name", "_secret", "_token", "_passphrase")
BLANK: Final = "[private]"
SHORT_ID_SIZE: Final = 8


def setup(
    level: Literal["debug", "info", "warning", "error"] = "info",
    log_format: Literal["console", "json"] = "console",
    stream: TextIO | None = None,
) -> None:
    """Send the node's events and the libraries' warnings to ``stream`` (standard error). May be called again."""
    stream = cast(TextIO, _Lossy(stream or sys.stderr))
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        blank_private_values,
        structlog.processors.format_exc_info,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[RateLimit(), *common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,  # setup() may be called again, by tests and by forked test nodes
    )
    _hear_libraries(stream, common, renderer)


class _Lossy:
    """A stream that nobody dies of: on a full disk, or when its reader has gone, lines are lost and that is all."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry the component's name. Bind more with ``.bind(group=short(group_id))``."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return bound


def short(identifier: bytes) -> str:
    """The first bytes of an id in hex: enough to follow it through a log."""
    return identifier[:SHORT_ID_SIZE].hex()


def adopt(library: str) -> None:
    """Send a library's warnings our way although it switched its own logging off.

    libp2p does that at import, so this is called once more after importing it.
    """
    library_logger = logging.getLogger(library)
    library_logger.handlers.clear()
    library_logger.propagate = True
    library_logger.setLevel(logging.WARNING)


def blank_private_values(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be written down, at any depth."""
    for key, value in event.items():
        if key != "exc_info" and not key.startswith("_"):  # those belong to structlog and are rendered by it
            event[key] = BLANK if _is_private(key) else _safe(value)
    return event


def _is_private(key: str) -> bool:
    return key in PRIVATE_KEYS or key.endswith(PRIVATE_SUFFIXES)


def _safe(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case Mapping():
            return {str(k): BLANK if _is_private(str(k)) else _safe(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_safe(item) for item in value]
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case Path():
            return str(value)
        case _:
            return f"[{type(value).__name__}]"  # a repr could hold anything


def _hear_libraries(
    stream: TextIO, common: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    adopt("libp2p")
