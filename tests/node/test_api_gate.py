"""HTTP on loopback: every local process and every web page can reach it, and only who has a token gets anything."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import pytest
import trio
from hypercorn.config import Config

from node.api import contact_schema, schema, server
from node.api.app import build_app
from node.api.gate import Grant
from node.api.listener import SocketError, bound_on_loopback
from node.api.operation import SCOPES
from node.api.operations import OPERATIONS, Operation
from node.api.service import Service
from node.client import Client, encode
from tests.node.api_world import INVITE, TOKEN, CannedNode, happened, running
from tests.node.test_api_server import REQUESTS, until


class Keys:
    """A token for each scope, called by its name."""

    def __init__(self) -> None:
        self.grants = {scope: Grant(scope) for scope in SCOPES}

    def grant(self, token: str) -> Grant | None:
        return self.grants.get(token)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[CannedNode]:
    node = CannedNode()
    node.keyring = Keys()
    with running(node, tmp_path / "api.sock"):
        yield node


def call(
    node: CannedNode, method: str, target: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[HTTPResponse, Any]:
    """What is answered to exactly these headers."""
    place = urlsplit(node.url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=15)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": place.netloc, **headers}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        data = response.read()
        return response, json.loads(data) if data else None
    finally:
        connection.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def asked_for(operation: Operation[Any, Any]) -> tuple[str, str, bytes | None]:
    """Method, target and body of a good request."""
    target, body = encode(operation, REQUESTS.get(operation.name) or operation.request())
    return operation.method, target, body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("guess"),
        bearer(""),
        bearer("admin" * 100),
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": "admin"},
        {"Cookie": "token=admin"},
    ],
    ids=str,
)
def test_without_a_token_nothing_can_be_done(node: CannedNode, headers: dict[str, str]) -> None:
    """Any local process can connect. It learns what it lacks, and not even which operations there are."""
    for operation in OPERATIONS:
        method, target, body = asked_for(operation)
        response, problem = call(node, method, target, headers, body)
        assert (response.status, problem["code"]) == (401, "unauthorized"), operation.name
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="conclave"'
        assert response.headers["Content-Type"] == "application/problem+json"
    for target in ("/openapi.json", "/", "/nothing", "/v1/status?token=admin"):
        assert call(node, "GET", target, headers)[0].status == 401
    assert node.asked == []


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_is_good_for_its_scope(node: CannedNode, scope: schema.Scope) -> None:
    """And for nothing more: every operation is asked for with every kind of token."""
    for operation in OPERATIONS:
        if operation.is_stream or operation.name == "shutdown":
            continue
        method, target, body = asked_for(operation)
        node.asked.clear()
        response, answer = call(node, method, target, bearer(scope), body)
        if operation.allows(scope):
            assert (response.status, len(node.asked)) == (200, 1), operation.name
        else:
            assert (response.status, answer["code"], node.asked) == (403, "out_of_scope", []), operation.name
            assert operation.scope in answer["hint"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.1:{port}@evil.example",
        "127.1:{port}",
        "0.0.0.0:{port}",
        "",
    ],
)
def test_a_rebound_name_is_refused(node: CannedNode, host: str) -> None:
    """DNS rebinding: a page's own name is made to lead to 127.0.0.1, so that its scripts may read what we answer.

    The browser still says the page's name; even the right token does not help.
    """
    port = urlsplit(node.url).port
    response, problem = call(node, "GET", "/v1/status", {"Host": host.format(port=port), **bearer("admin")})

    assert (response.status, problem["code"], node.asked) == (421, "wrong_host", [])


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_our_own_names_are_not(node: CannedNode, host: str) -> None:
    port = urlsplit(node.url).port

    assert call(node, "GET", "/v1/status", {"Host": host.format(port=port), **bearer("read")})[0].status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "https://{host}"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://{host}.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of localhost
        {"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_page_from_elsewhere_is_refused(node: CannedNode, headers: dict[str, str]) -> None:
    """Whatever it sends; and nothing tells the browser that the page may read the answer."""
    host = urlsplit(node.url).netloc
    said = {name: value.format(host=host) for name, value in headers.items()}

    for method, target, body in (("GET", "/v1/status", None), ("POST", "/v1/shutdown", b"{}")):
        response, problem = call(node, method, target, {**said, **bearer("admin")}, body)
        assert (response.status, problem["code"]) == (403, "wrong_origin")
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
    preflight = {**said, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert call(node, "OPTIONS", "/v1/shutdown", preflight)[0].status == 403
    assert node.asked == []


def test_our_own_page_is_not(node: CannedNode) -> None:
    """Same origin: as a page served from here would be."""
    own = {"Origin": node.url, "Sec-Fetch-Site": "same-origin", **bearer("read")}

    assert call(node, "GET", "/v1/status", own)[0].status == 200


def test_two_hosts_or_two_tokens_are_refused(node: CannedNode) -> None:
    """Which of them counts must not depend on who reads."""
    place = urlsplit(node.url)
    for twice in (
        f"Host: {place.netloc}\r\nHost: evil.example\r\nAuthorization: Bearer admin\r\n",
        f"Host: {place.netloc}\r\nAuthorization: Bearer guess\r\nAuthorization: Bearer admin\r\n",
    ):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=15) as connection:
            connection.sendall(f"GET /v1/status HTTP/1.1\r\nConnection: close\r\n{twice}\r\n".encode())
            answer = connection.recv(65536)
        assert answer.split()[1] in (b"400", b"401", b"421")
    assert node.asked == []


def test_a_websocket_is_refused(node: CannedNode) -> None:
    """There is none; and browsers let pages from everywhere open them."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }

    assert call(node, "GET", "/v1/events", {**upgrade, **bearer("admin")})[0].status == 403


async def test_an_application_without_a_gate_answers_nobody() -> None:
    """Whoever serves it in another way has to say who may call."""
    app = build_app(cast(Service, CannedNode()), trio.Event())
    for path in ("/v1/status", "/v1/events", "/openapi.json"):
        said: list[Any] = []

        async def send(message: Any, said: list[Any] = said) -> None:
            said.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
            "root_path": "",
        }
        await app(scope, receive, send)
        assert said[0]["status"] == 401


def test_a_stream_ends_with_its_token(node: CannedNode) -> None:
    """A revoked token reads no further."""
    assert isinstance(node.keyring, Keys)
    ended = trio.Event()
    node.keyring.grants["read"] = Grant("read", ended)
    place = urlsplit(node.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=15) as connection:
        connection.sendall(
            f"GET /v1/events HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer read\r\n\r\n".encode()
        )
        seen = b""
        while b"id: 0" not in seen:
            seen += connection.recv(65536)
        node.do(ended.set)
        while piece := connection.recv(65536):
            seen += piece
        node.tell(happened(1))

    assert seen.endswith(b"0\r\n\r\n")  # the end of a chunked body, as it should be


def test_a_stream_ends_when_its_token_expires(node: CannedNode) -> None:
    assert isinstance(node.keyring, Keys)
    node.keyring.grants["read"] = Grant("read", trio.Event(), 0.3)
    began_s = time.monotonic()

    place = urlsplit(node.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=15) as connection:
        connection.sendall(
            f"GET /v1/events HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer read\r\n\r\n".encode()
        )
        while connection.recv(65536):
            pass

    assert 0.25 < time.monotonic() - began_s < 10


@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_call_that_waits_ends_with_its_token(node: CannedNode, is_revoked: bool) -> None:
    """Else one who was shut out would be told of what happens for ten minutes more."""
    assert isinstance(node.keyring, Keys)
    ended = trio.Event()
    node.keyring.grants["read"] = Grant("read", ended, float("inf") if is_revoked else 0.3)
    said: list[Any] = []

    def wait() -> None:
        json_only = {"Accept": "application/json", **bearer("read")}
        response, problem = call(node, "GET", "/v1/events?since=0&wait_s=600", json_only)
        said.append((response.status, problem["code"]))

    waiting = Thread(target=wait)
    waiting.start()
    until(lambda: node.asked)
    if is_revoked:
        node.do(ended.set)
    waiting.join(14)
    node.tell(happened(1))

    assert said == [(401, "unauthorized")]


def test_what_lets_somebody_in_is_in_no_repr() -> None:
    """What is printed by mistake is a log line soon."""
    text, link = "conclave-SECRET", "conclave:invite:SECRET"
    answers = (
        msgspec.structs.replace(TOKEN, text=text),
        msgspec.structs.replace(INVITE, link=link),
        contact_schema.JoinRequest(link=link),
    )
    for each in answers:
        assert "SECRET" in str(msgspec.json.encode(each))
        assert "SECRET" not in f"{each!r}{each}{(each,)}"


def test_a_local_process_cannot_fill_the_log(node: CannedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may connect makes us refuse it as often as it likes."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(server, "log", SimpleNamespace(warning=lambda _, **words: said.append(words)))
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 0)
    place = urlsplit(node.url)
    for _ in range(30):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=15) as refused:
            assert refused.recv(1) == b""

    assert said == [{"count": 1, "open_count": 0}]


def test_strangers_cannot_take_the_owners_place(
    node: CannedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who fills the places of loopback does not fill those of the unix socket; and those who say nothing lose them."""
    monkeypatch.setattr("node.api.server.CONNECTIONS_MAX", 3)
    place = urlsplit(node.url)
    silent = [socket.create_connection((place.hostname or "", place.port or 0), timeout=15) for _ in range(6)]
    try:
        assert Client(tmp_path / "api.sock").status().pid == 42
        until(lambda: is_answered(node), 20)
    finally:
        for each in silent:
            each.close()


@pytest.mark.parametrize(
    "said",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0",
        b"GET /v1/status HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAQAAAAA\r\n",
        b"POST /v1/shutdown HTTP/1.1\r\nContent-Length: 9\r\n",
        b"GET /v1/status HTTP/1.1\r\n",
    ],
    ids=["preface", "upgrade", "body that never comes", "kept"],
)
def test_who_has_no_token_keeps_no_place(node: CannedNode, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused in HTTP/1.1 and its connection ends, whatever else it would rather speak, or has not said yet."""
    monkeypatch.setattr(Config, "keep_alive_timeout", 0.3)
    place = urlsplit(node.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=15) as connection:
        connection.sendall(said if said.startswith(b"PRI") else said + f"Host: {place.netloc}\r\n\r\n".encode())
        seen = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                seen += piece
    assert seen.split()[:2] in ([b"HTTP/1.1", b"400"], [b"HTTP/1.1", b"401"], [b"HTTP/1.1", b"421"])
    assert node.asked == []


def is_answered(node: CannedNode) -> bool:
    """Whether there is a place for one more."""
    try:
        return call(node, "GET", "/v1/status", bearer("read"))[0].status == 200
    except (OSError, HTTPException):
        return False


def test_only_loopback_is_bound() -> None:
    """Whatever the configuration was made to say."""
    for host in ("0.0.0.0", "192.0.2.7", "::"):
        with pytest.raises(SocketError, match="others could reach it"), bound_on_loopback((host, 0)):
            pass


def test_an_address_in_use_is_named() -> None:
    with (
        bound_on_loopback(("127.0.0.1", 0)) as taken,
        pytest.raises(SocketError, match=r"127\.0\.0\.1 port \d+: Address already in use"),
        bound_on_loopback(taken.getsockname()),
    ):
        pass
