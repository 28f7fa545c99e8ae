"""The daemon's process: it answers at once, says that it is starting, and ends at once."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.operations import OPERATIONS
from node.client import Client
from node.process import Entry
from tests.node.daemon_world import Daemon, until


class Answering:
    """A Service that answers one thing."""

    async def identity(self, request: schema.Nothing) -> str:
        return "it is me"


async def refusal(entry: Any, name: str) -> ErrorCode:
    with pytest.raises(ApiError) as caught:
        await getattr(entry, name)(schema.Nothing())
    return caught.value.code


async def test_until_there_is_a_node_every_operation_says_so() -> None:
    """But for the one that ends it."""
    entry: Any = Entry(trio.Event())
    for operation in OPERATIONS:
        if operation.name != "shutdown":
            assert await refusal(entry, operation.name) is ErrorCode.STARTING

    entry.service = Answering()
    assert await entry.identity(schema.Nothing()) == "it is me"

    assert await entry.shutdown(schema.Nothing()) == schema.Done()
    assert entry.stop_event.is_set()
    assert await refusal(entry, "identity") is ErrorCode.SHUTTING_DOWN
    with pytest.raises(AttributeError):
        _ = entry.no_such_operation


def test_nothing_heavy_is_read_before_the_api_answers() -> None:
    """Half a second is soon spent."""
    program = "import sys, node.cli.root, node.process, node.opening, node.vault; print(' '.join(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    heavy = {"libp2p", "mls", "ordering", "cryptography", "apsw", "structlog", "rich", "multiaddr", "msgpack"}
    assert not heavy & {name.partition(".")[0] for name in found.stdout.split()}


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    daemon = Daemon(tmp_path / "ada")
    daemon.init()
    yield daemon
    daemon.kill()


def answer(socket_path: Path, target: str = "/v1/status") -> bytes:
    """Whatever comes back; nothing while nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(15)
        try:
            connection.connect(os.fspath(socket_path))
        except OSError:
            return b""
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


def test_a_daemon_answers_at_once_over_http_too_and_ends_at_once(daemon: Daemon) -> None:
    """The whole life of one, with what programs have of it."""
    socket_path, token_path = daemon.folder / "api.sock", daemon.folder / "api.token"
    daemon.begin("--api-http", "127.0.0.1:0")
    first = b""
    while not first:
        first = answer(socket_path)
        time.sleep(0.01)
    # Reading the code takes seconds; asked earlier than that, it says what it is doing.
    assert first.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in first
    assert json.loads(first.partition(b"\r\n\r\n")[2])["code"] == "starting"
    assert b'"openapi":"3.1.0"' in answer(socket_path, "/openapi.json")
    status = daemon.ask("status")  # which waits for it
    daemon.until_ready()

    # Over HTTP: nothing without a token, everything with the owner's, and as much as its scope says with another.
    assert stat.S_IMODE(token_path.stat().st_mode) == 0o600
    place = urlsplit(status["http"])
    assert place.hostname == "127.0.0.1"
    robot = daemon.ask("token", "create", "robot", "--scope", "chat")["text"]
    statuses = {
        name: [over_http(place.netloc, method, token) for method in ("GET", "POST")]
        for name, token in (("nobody", ""), ("robot", robot), ("owner", token_path.read_text().strip()))
    }
    assert statuses == {"nobody": [401, 401], "robot": [200, 403], "owner": [200, 400]}
    daemon.ask("token", "revoke", "robot")
    assert over_http(place.netloc, "GET", robot) == 401

    # What happens has a number that outlasts the daemon.
    daemon.ask("group", "create", "lunch")
    events = list(Client(socket_path).events(since=0, wait_s=0).events)
    assert [event.kind for event in events] == ["group"]

    # Open streams, one of which does not read, hold up nothing.
    streams = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(8)]
    for stream in streams:
        stream.connect(os.fspath(socket_path))
        stream.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    for stream in streams[1:]:
        stream.recv(1)
    began_s = time.monotonic()
    assert daemon.end(signal.SIGTERM) == 0
    assert time.monotonic() - began_s < 1.0  # 0.1 s; the bound is the promise
    for stream in streams:
        stream.close()
    assert sorted(path.name for path in daemon.folder.iterdir()) == [
        "lock",
        "node.toml",
        "store.db",
        "vault",
        "vault.key",
    ]


def over_http(netloc: str, method: str, token: str) -> int:
    """The status of a call: a GET that looks, a POST that would change something if it were complete."""
    connection = HTTPConnection(netloc, timeout=15)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, "/v1/groups", b"{}" if method == "POST" else None, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_daemon_that_is_starting_can_be_stopped(daemon: Daemon) -> None:
    """Whoever mistyped something should not have to wait for it to come up."""
    daemon.begin()
    until(lambda: bool(answer(daemon.folder / "api.sock")))

    assert daemon.say("stop") == "stopping\n"

    assert daemon.ended() == 0
