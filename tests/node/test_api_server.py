"""The local API on a real unix socket: who may call it, what it answers, and that it ends."""

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypercorn.config import Config

from node.api import contact_schema, schema, server, token_schema
from node.api import operations as op
from node.api.errors import ApiError, ErrorCode, http_status
from node.api.listener import SocketError, may_call
from node.api.service import Service
from node.client import Client, NoReplyError, NotRunningError
from node.testnet.calls import Call, gather
from tests.node.api_world import CannedNode, happened, running

REQUESTS: dict[str, schema.Request] = {
    "connect": schema.ConnectRequest(address="/ip4/127.0.0.1/tcp/1/p2p/12D3KooWAlice"),
    "peer_name": schema.PeerNameRequest(peer="12D3KooWBob", name="Böb"),
    "group_create": schema.GroupCreateRequest(name="book club", model="crash", committee_max=3),
    "group_show": schema.GroupRequest(group="book club?&%25ü"),
    "group_add": schema.GroupAddRequest(group="0d0d", peer="/ip4/127.0.0.1/tcp/1/p2p/x", timeout_s=2.5),
    "group_add_many": schema.GroupAddManyRequest(group="0d0d", peers=("bob", "12D3KooWCarol"), timeout_s=1.0),
    "group_adds": schema.GroupAddsRequest(group="0d0d", batch_id="22" * 8, wait=False),
    "group_remove": schema.GroupRemoveRequest(group="0d0d", member="#3", wait=False),
    "group_update": schema.ChangeRequest(group="book club"),
    "group_opt_in": schema.ChangeRequest(group="book club"),
    "group_opt_out": schema.ChangeRequest(group="book club", timeout_s=0),
    "group_leave": schema.ChangeRequest(group="book club"),
    "group_readd": schema.GroupAddRequest(group="book club", peer="carol"),
    "group_rejoin": schema.GroupRequest(group="book club"),
    "group_rescue": schema.GroupRescueRequest(group="book club", lost=("carol",)),
    "group_bench": schema.GroupMemberRequest(group="book club", member="#2"),
    "group_policy": schema.GroupPolicyRequest(
        group="book club", policy="pinned", pins=("bob",), model="crash", committee_max=4, delta_ms=100
    ),
    "group_intent": schema.IntentRequest(group="book club", intent_id="1111", wait=False, timeout_s=1.5),
    "group_send": schema.GroupSendRequest(group="book club", text='"quoted"\n\u2028 ü \U0001f512'),
    "group_read": schema.GroupReadRequest(group="book club", after_seq=7, limit=2),
    "group_receipt": schema.GroupReceiptRequest(group="book club", message="abab"),
    "group_log": schema.GroupLogRequest(group="book club", after_epoch=1),
    "group_log_export": schema.GroupRequest(group="book club"),
    "contact_add": contact_schema.ContactAddRequest(card="conclave:card:AAAA", name="Böb"),
    "contact_show": contact_schema.ContactRequest(contact="Böb ?&"),
    "contact_verify": contact_schema.ContactVerifyRequest(contact="bob", code="12345 67890"),
    "contact_rename": contact_schema.ContactRenameRequest(contact="bob", name="Bobby"),
    "contact_block": contact_schema.ContactRequest(contact="bob"),
    "contact_unblock": contact_schema.ContactRequest(contact="bob"),
    "contact_remove": contact_schema.ContactRequest(contact="bob"),
    "group_accept": contact_schema.InvitationRequest(invitation="ab12"),
    "group_invite": contact_schema.GroupInviteRequest(group="g", uses=3, lifetime_s=3600, auto=True),
    "group_invites": schema.GroupRequest(group="g"),
    "group_uninvite": contact_schema.InviteRequest(group="g", invite="ab12"),
    "group_requests": schema.GroupRequest(group="g"),
    "group_approve": contact_schema.ApproveRequest(group="g", request="~bob", timeout_s=2.5),
    "group_refuse": contact_schema.JoinerRequest(group="g", request="ab12"),
    "group_join": contact_schema.JoinRequest(link="conclave:invite:AA", name="soup", wait=False),
    "group_decline": contact_schema.InvitationRequest(invitation="ab12"),
    "token_create": token_schema.TokenCreateRequest(name="robot", scope="chat", lifetime_s=60),
    "token_revoke": token_schema.TokenRequest(token="robot"),
}


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "api.sock"


@pytest.fixture
def node(socket_path: Path) -> Iterator[CannedNode]:
    with running(CannedNode(), socket_path) as node:
        yield node


def raw(socket_path: Path, request: bytes) -> bytes:
    """What the server answers to these bytes, to the end of the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(15)
        connection.connect(os.fspath(socket_path))
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def post(path: str, body: bytes) -> bytes:
    """A whole POST as bytes."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def get(path: str) -> bytes:
    """A whole GET as bytes."""
    return b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()


def until(holds: Any, deadline_s: float = 10.0) -> None:
    """Wait until something becomes true in another thread."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def test_the_service_and_the_table_name_the_same_operations() -> None:
    """A route without a method, or a method nobody can reach, is found before it is shipped."""
    methods = {
        name: getattr(Service, name)
        for part in Service.__mro__
        if part.__module__ == Service.__module__
        for name in vars(part)
        if not name.startswith("_")
    }

    assert set(methods) == {operation.name for operation in op.OPERATIONS}
    for operation in op.OPERATIONS:
        hints = get_type_hints(methods[operation.name])
        assert list(signature(methods[operation.name]).parameters) == ["self", "request"]
        assert (hints["request"], hints["return"]) == (operation.request, operation.reply), operation.name
    assert len({(operation.method, operation.path) for operation in op.OPERATIONS}) == len(op.OPERATIONS)


@pytest.mark.parametrize("operation", [one for one in op.OPERATIONS if not one.is_stream], ids=lambda one: one.name)
def test_every_operation_round_trips(operation: op.Operation[Any, Any], node: CannedNode, socket_path: Path) -> None:
    """What the client asks arrives field by field, and the reply comes back equal."""
    request = REQUESTS.get(operation.name, schema.Nothing())

    reply = Client(socket_path).call(operation, request)

    assert node.asked == [(operation.name, request)]
    assert reply == node.replies[operation.name]


def test_the_socket_is_for_its_owner_only(node: CannedNode, socket_path: Path) -> None:
    """Every local process could otherwise read the messages."""
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    assert may_call(os.geteuid())
    assert may_call(0)
    assert not may_call(os.geteuid() + 1)


def test_the_socket_is_gone_after_a_clean_stop(socket_path: Path) -> None:
    """What stays behind would look like a daemon."""
    with running(CannedNode(), socket_path):
        assert socket_path.exists()

    assert not socket_path.exists()
    with pytest.raises(NotRunningError, match=r"api\.sock"):
        Client(socket_path).call(op.STATUS, schema.Nothing())


def test_a_dead_daemons_socket_is_taken_over(socket_path: Path) -> None:
    """kill -9 leaves the socket file; the next start must not need a human."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(socket_path))
    with pytest.raises(NotRunningError):
        Client(socket_path).call(op.STATUS, schema.Nothing())

    with running(CannedNode(), socket_path):
        assert Client(socket_path).call(op.STATUS, schema.Nothing()).pid == 42


def test_a_living_daemons_socket_is_not(node: CannedNode, socket_path: Path) -> None:
    """Two daemons on one socket: the second must say so and the first must not notice."""
    with pytest.raises(SocketError, match="another daemon already answers"), running(CannedNode(), socket_path):
        pass

    assert Client(socket_path).call(op.STATUS, schema.Nothing()).pid == 42


def test_a_file_in_the_sockets_place_is_left_alone(socket_path: Path) -> None:
    """A mistyped --socket must not delete somebody's file."""
    socket_path.write_text("precious")

    with pytest.raises(SocketError, match="not a socket"), running(CannedNode(), socket_path):
        pass

    assert socket_path.read_text() == "precious"


def test_a_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    """Whoever may write there can put another socket in our place."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    with pytest.raises(SocketError, match="others may write"), running(CannedNode(), tmp_path / "open" / "api.sock"):
        pass


def test_a_path_too_long_for_the_kernel_is_named(tmp_path: Path) -> None:
    """The kernel's own words are 'path too long' without the limit or the path."""
    with pytest.raises(SocketError, match="at most 107"), running(CannedNode(), tmp_path / ("x" * 120)):
        pass


@pytest.mark.parametrize(
    ("request_bytes", "status", "code", "words"),
    [
        (post("/v1/connect", b"{"), 400, "bad_request", "not a JSON object"),
        (post("/v1/connect", b"[1]"), 400, "bad_request", "not a JSON object"),
        (post("/v1/connect", b'{"address": "\xff"}'), 400, "bad_request", "not a JSON object"),
        (post("/v1/connect", b"[" * 100_000), 400, "bad_request", "not a JSON object"),
        (post("/v1/connect", b""), 400, "bad_request", "address"),
        (post("/v1/connect", b'{"address": 7}'), 400, "bad_request", "$.address"),
        (post("/v1/connect", b'{"address": "a", "adress": "b"}'), 400, "bad_request", "adress"),
        (post("/v1/groups/g/update", b'{"group": "h"}'), 400, "bad_request", "path"),
        (post("/v1/groups/g/update", b'{"timeout_s": -1}'), 400, "bad_request", "timeout_s"),
        (post("/v1/groups/g/update", b'{"wait": "true"}'), 400, "bad_request", "wait"),
        (post("/v1/groups", b'{"name": "a/b"}'), 400, "bad_request", "name"),
        (post("/v1/groups/g/messages", b'{"text": ""}'), 400, "bad_request", "text"),
        (get("/v1/groups/g/messages?limit=1001"), 400, "bad_request", "limit"),
        (get("/v1/groups/g/messages?limit=x"), 400, "bad_request", "limit"),
        (get("/v1/groups/g/messages?limit=1&limit=2"), 400, "bad_request", "twice"),
        (get("/v1/groups/g/messages?colour=red"), 400, "bad_request", "colour"),
        (get("/v1/nothing"), 404, "unknown_route", "/v1/nothing"),
        (get("/v1/status/"), 404, "unknown_route", "/v1/status/"),
        (get("/"), 404, "unknown_route", "/"),
        (post("/v1/status", b"{}"), 405, "method_not_allowed", "GET"),
        (post("/v1/connect", b'{"address": "' + b"x" * 300_000 + b'"}'), 413, "too_large", "262144"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    node: CannedNode, socket_path: Path, request_bytes: bytes, status: int, code: str, words: str
) -> None:
    """Always the same shape, never a trace, and the Service never sees it."""
    head, _, body = raw(socket_path, request_bytes).partition(b"\r\n\r\n")

    assert head.split()[1] == str(status).encode()
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "code", "hint"}
    assert (problem["code"], problem["status"]) == (code, status)
    assert words in problem["detail"] + problem["hint"]
    assert node.asked == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\nHTTP2-Settings: ?\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Length: nope\r\n\r\n",
        b"POST /v1/groups HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000,
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_garbage_ends_one_connection_and_nothing_else(node: CannedNode, socket_path: Path, garbage: bytes) -> None:
    """One client's bytes must not take the daemon's API down."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(os.fspath(socket_path))
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    assert Client(socket_path).call(op.STATUS, schema.Nothing()).pid == 42


def test_a_refusal_keeps_code_message_and_hint(node: CannedNode, socket_path: Path) -> None:
    """The three reach the person who asked; the status is the code's."""
    for code in ErrorCode:
        node.replies["group_show"] = ApiError(code, "what", "do this")

        with pytest.raises(ApiError) as caught:
            Client(socket_path).call(op.GROUP_SHOW, schema.GroupRequest(group="g"))

        assert (caught.value.code, caught.value.message, caught.value.hint) == (code, "what", "do this")
        head = raw(socket_path, get("/v1/groups/g")).split()
        assert head[1] == str(http_status(code)).encode()


def test_a_bug_of_ours_shows_no_inside(node: CannedNode, socket_path: Path) -> None:
    """An exception's text may hold what nobody should see on a terminal."""
    node.replies["group_show"] = RuntimeError("secret inside")

    node.replies["events"] = RuntimeError("secret inside")

    for path in ("/v1/groups/g", "/v1/events"):
        answer = raw(socket_path, get(path))

        assert b"500" in answer.split(b"\r\n")[0]
        assert b'"internal"' in answer
        assert b"secret" not in answer


def test_a_client_that_leaves_ends_its_call(node: CannedNode, socket_path: Path) -> None:
    """Waiting for a certificate nobody waits for any more would pile up."""
    node.slow.add("group_update")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.fspath(socket_path))
        connection.sendall(post("/v1/groups/g/update", b"{}"))
        until(lambda: node.asked)

    until(lambda: node.left == ["group_update"])


def test_a_client_that_leaves_makes_room(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not when a connection that is kept and silent would have been given up."""
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 2)
    request = schema.GroupSendRequest(group="0d" * 16, text="hello")
    with running(CannedNode(), socket_path):
        for _ in range(12):
            assert gather([Call(socket_path, op.GROUP_SEND, request)]) == [CannedNode().replies["group_send"]]


@pytest.mark.parametrize("round", range(4))  # who of the two is served first is drawn
def test_a_request_is_answered_however_long_the_daemon_stood_still(
    round: int, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon stopped for longer than a silent connection is kept must not take its own silence for the client's."""
    monkeypatch.setattr(Config, "keep_alive_timeout", 0.2)
    with running(CannedNode(), socket_path) as node, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(15)
        connection.connect(os.fspath(socket_path))
        time.sleep(0.05)  # until it is accepted, and kept
        node.stand_still(0.4)
        connection.sendall(get("/v1/identity"))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_silent_connection_is_closed(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "keep_alive_timeout", 0.1)
    with running(CannedNode(), socket_path):
        assert raw(socket_path, b"") == b""


def test_a_stop_answers_those_who_wait(socket_path: Path) -> None:
    """They learn that the daemon stops instead of a broken connection."""
    with running(CannedNode(), socket_path) as node:
        node.slow.add("group_update")
        caught: list[BaseException] = []

        def ask() -> None:
            try:
                Client(socket_path).call(op.GROUP_UPDATE, schema.ChangeRequest(group="g"))
            except (ApiError, NoReplyError) as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: node.asked)
        node.stop()
        thread.join(10)

    assert isinstance(caught[0], ApiError)
    assert caught[0].code is ErrorCode.SHUTTING_DOWN
    assert "goes on" in caught[0].hint


def test_shutdown_is_answered_before_it_happens(socket_path: Path) -> None:
    """Whoever asks for it should not see it as a failure."""
    with running(CannedNode(), socket_path):
        assert Client(socket_path).call(op.SHUTDOWN, schema.Nothing()) == schema.Done()
        until(lambda: not socket_path.exists())


def test_events_arrive_as_they_happen(node: CannedNode, socket_path: Path) -> None:
    """Without a starting point: those from now on."""
    node.tell(happened(1, "before"))
    until(lambda: node.feed)
    stream = Client(socket_path).follow(schema.EventsRequest())
    threading.Timer(0.3, lambda: node.tell(happened(2, "zwei\nZeilen"))).start()

    assert next(stream) == happened(2, "zwei\nZeilen")


def test_a_stream_resumes_after_its_last_event(node: CannedNode, socket_path: Path) -> None:
    """Last-Event-ID: neither lost nor repeated, for any reader that speaks the format."""
    for seq in (3, 5, 8):
        node.tell(happened(seq))
    until(lambda: len(node.feed) == 3)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(os.fspath(socket_path))
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 3\r\n\r\n")
        seen = b""
        while b'"seq":8' not in seen:
            seen += connection.recv(65536)

    assert b"text/event-stream" in seen
    assert b'"seq":3' not in seen
    assert [line for line in seen.split(b"\n") if line.startswith(b"id: ")] == [b"id: 3", b"id: 5", b"id: 8"]


def test_events_can_be_asked_for_page_by_page(node: CannedNode, socket_path: Path) -> None:
    """By who takes JSON and no stream: the same events, the same numbers."""
    for seq in (3, 5, 8):
        node.tell(happened(seq))
    until(lambda: len(node.feed) == 3)

    batch = Client(socket_path).call(op.EVENTS, schema.EventsRequest(since=3, limit=1, wait_s=0))

    assert (batch.events, batch.last_seq) == ((happened(5),), 5)
    head = b"GET /v1/events?wait_s=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: application/json\r\n"
    resumed = raw(socket_path, head + b"Last-Event-ID: 5\r\n\r\n")
    assert json.loads(resumed.partition(b"\r\n\r\n")[2])["last_seq"] == 8
    assert raw(socket_path, head + b"Last-Event-ID: x\r\n\r\n").split()[1] == b"400"


def test_a_stream_speaks_at_once_and_is_never_silent_for_long(
    node: CannedNode, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first byte comes before the first event, and something every so often after it, whatever was asked for."""
    monkeypatch.setattr("node.api.stream.KEEP_ALIVE_S", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(os.fspath(socket_path))
        began_s = time.monotonic()
        connection.sendall(b"GET /v1/events?wait_s=600 HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while b"id: 0" not in seen:
            seen += connection.recv(65536)
        first_s = time.monotonic() - began_s
        while seen.count(b": alive") < 3:
            seen += connection.recv(65536)

    assert first_s < 2.0  # with much to spare for a busy machine; it is milliseconds
    assert node.asked[-1][1].wait_s == 0.2


def test_the_client_survives_a_restart_of_the_daemon(socket_path: Path) -> None:
    """`read --follow` across `kill` and start: the feed's numbers are durable."""
    with running(CannedNode(), socket_path) as first:
        first.tell(happened(1))
        stream = Client(socket_path).follow(schema.EventsRequest(since=0))
        assert next(stream).seq == 1
    with running(CannedNode(), socket_path) as second:
        for seq in (1, 2, 3):
            second.tell(happened(seq))

        assert [event.seq for event in islice(stream, 2)] == [2, 3]
        stream.close()


def test_following_a_daemon_that_is_gone_ends(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some patience it says so instead of waiting for ever."""
    monkeypatch.setattr("node.client.PATIENCE_S", 0.5)

    with pytest.raises(NotRunningError):
        next(Client(socket_path).follow(schema.EventsRequest()))


@pytest.mark.parametrize("bad", ["", "x", "-1", "1.5", "٣", "9" * 30])
def test_a_bad_last_event_id_is_refused(node: CannedNode, socket_path: Path, bad: str) -> None:
    """Silence would look like "nothing happened"."""
    request = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLast-Event-ID: {bad}\r\n\r\n".encode()

    answer = raw(socket_path, request)

    assert answer.split()[1] == b"400"


def test_a_stream_that_may_not_be_read_is_refused_with_its_status(node: CannedNode, socket_path: Path) -> None:
    """An unknown group is an answer, not an empty stream."""
    node.replies["events"] = ApiError(ErrorCode.GROUP_NOT_FOUND, "there is no group 'x'")

    with pytest.raises(ApiError, match="no group 'x'"):
        next(Client(socket_path).follow(schema.EventsRequest(group="x")))


def test_a_reader_that_does_not_read_cannot_hold_up_the_stop(socket_path: Path) -> None:
    """A suspended `read --follow` must not keep the daemon from ending."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stuck:
        with running(CannedNode(), socket_path) as node:
            for seq in range(1, 101):
                node.tell(happened(seq, "x" * 10_000))
            until(lambda: len(node.feed) == 100)
            stuck.connect(os.fspath(socket_path))
            stuck.sendall(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: node.asked)
            before = time.monotonic()
        assert time.monotonic() - before < 3.0  # 0.5 s, and much to spare for a busy machine


def test_open_streams_do_not_hold_up_the_stop(socket_path: Path) -> None:
    """Each ends as it should, so that its reader knows to come back; all of them in well under a second."""
    streams = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(20)]
    with running(CannedNode(), socket_path) as node:
        for stream in streams:
            stream.settimeout(10)
            stream.connect(os.fspath(socket_path))
            stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = [b""] * len(streams)
        for place, stream in enumerate(streams):
            while b"id: 0" not in seen[place]:
                seen[place] += stream.recv(65536)
        before = time.monotonic()
        node.stop()
        for place, stream in enumerate(streams):
            while piece := stream.recv(65536):
                seen[place] += piece
            stream.close()
        until(lambda: not socket_path.exists())
        assert time.monotonic() - before < 1.0

    assert all(each.endswith(b"0\r\n\r\n") for each in seen)
