"""What a log line may hold."""

import errno
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from node import logs
from node.log_rate import LINES_MAX


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_holds_the_event_its_component_and_a_utc_time() -> None:
    stream = io.StringIO()
    logs.setup("info", "json", stream)
    logs.logger("session").bind(group=logs.short(bytes(range(32)))).info("decided", epoch=3, took_ms=1.5)
    (line,) = lines(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "component": "session",
        "group": "0001020304050607",
        "epoch": 3,
        "took_ms": 1.5,
        "event": "decided",
        "level": "info",
    }


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_plaintexts_and_names_never_reach_a_line(log_format: str) -> None:
    stream = io.StringIO()
    logs.setup("debug", log_format, stream)  # type: ignore[arg-type]

    class Holder:
        def __repr__(self) -> str:
            return "hunter2"

    logs.logger("x").info(
        "event",
        plaintext="hunter2",
        member_name="hunter2",
        data=b"hunter2",
        nested={"passphrase": "hunter2", "deep": [b"hunter2", {"name": "hunter2"}, Holder()]},
        holder=Holder(),
        where=Path("/srv"),
    )
    assert "hunter2" not in stream.getvalue()
    assert "[7 bytes]" in stream.getvalue()
    assert "/srv" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_comes_without_local_variables(log_format: str) -> None:
    stream = io.StringIO()
    logs.setup("info", log_format, stream)  # type: ignore[arg-type]
    local = "hunter" + str(2)
    try:
        raise ValueError("what went wrong")
    except ValueError:
        logs.logger("x").exception("failed", size=len(local))
    assert "ValueError: what went wrong" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    logs.setup("warning", "json", stream)
    logs.logger("x").info("quiet")
    logs.logger("x").warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_libraries_are_heard_from_warning_on_whatever_our_own_level() -> None:
    """At DEBUG a network library may print the payloads it carries."""
    stream = io.StringIO()
    logs.setup("debug", "json", stream)
    logging.getLogger("libp2p.pubsub").debug("payload %r", b"hunter2")
    logging.getLogger("libp2p.pubsub").warning("peer %s is gone", "12D3")
    try:
        raise OSError("no route")
    except OSError:
        logging.getLogger("libp2p").exception("dial")
    first, second = lines(stream)
    assert (first["event"], first["logger"], first["level"]) == ("peer 12D3 is gone", "libp2p.pubsub", "warning")
    assert "OSError: no route" in str(second["exception"])


def test_a_stream_that_takes_nothing_more_costs_lines_and_nothing_else() -> None:
    """A full disk under the log must not end the daemon, which is just then busy saying that the disk is full."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, f"no space left for {len(text)} characters")

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "no space left")

    logs.setup("info", "console", Full())
    logs.logger("session").error("group task failed")
    logging.getLogger("libp2p").warning("lost")


def test_what_a_peer_can_cause_is_limited() -> None:
    """The limiter itself is tested in test_log_rate; here that the node's log has one."""
    stream = io.StringIO()
    logs.setup("info", "json", stream)
    for number in range(3 * LINES_MAX):
        logs.logger("session").info("dropped", number=number)
    assert [line["number"] for line in lines(stream)] == list(range(LINES_MAX))
