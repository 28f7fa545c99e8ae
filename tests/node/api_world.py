"""A daemon without a node: the real server on a real socket, over canned replies and a feed in memory."""

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import trio

from node.api import contact_schema, schema, token_schema
from node.api.gate import Keyring
from node.api.operations import OPERATIONS
from node.api.server import serve, serve_http
from node.api.service import Service
from node.errors import NodeError

DEADLINE_S = 20.0

MESSAGE = schema.MessageItem(
    seq=4,
    message_id="ab" * 32,
    group_id="0d" * 16,
    epoch=3,
    sender_leaf=0,
    sender="12D3KooWAlice",
    sender_name="alice",
    is_own=False,
    at=1_700_000_000.5,
    text="grüß dich\nzweite Zeile",
)
ENTRY = schema.LogEntry(
    epoch=3,
    candidate_id="cd" * 32,
    committer_leaf=0,
    committer="12D3KooWAlice",
    committer_name="alice",
    changes=(schema.Change(kind="add", text="added bob (leaf 1)", leaf_index=1, peer_id="12D3KooWBob"),),
    view=0,
    voters=("12D3KooWAlice",),
    quorum=1,
    committee_size=1,
    at=1_700_000_000.0,
    latency_s=0.04,
)
SUMMARY: dict[str, Any] = {
    "group_id": "0d" * 16,
    "name": "book club",
    "epoch": 3,
    "member_count": 2,
    "committee_size": 1,
    "quorum": 1,
    "voters_heard": 1,
    "survives": "nothing: alice alone decides",
    "is_member": True,
    "is_voter": False,
    "unread_count": 0,
    "health": "ok",
    "health_text": "all voters answer",
}
GROUP = schema.GroupSummary(**SUMMARY)
DETAIL = schema.GroupDetail(
    **SUMMARY,
    suite=1,
    suite_name="MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
    model="byzantine",
    committee_max=7,
    faults=0,
    policy="auto",
    pins=(),
    delta_ms=500,
    delta_now_ms=125,
    survival=schema.Survival(
        voters=1, quorum=1, offline_max=0, liars_max=0, forks_with=1, better_at=3, improvement="three would be better"
    ),
    view=0,
    awake=False,
    candidate_count=0,
    epoch_fingerprint="ef" * 16,
    decided_id="cd" * 32,
    is_confirmed=True,
    members=(
        schema.Member(
            leaf_index=0,
            peer_id="12D3KooWAlice",
            name="alice",
            is_self=False,
            is_willing=True,
            is_benched=False,
            seat=0,
            is_connected=True,
            last_heard_s=1.5,
        ),
        schema.Member(
            leaf_index=1,
            peer_id="12D3KooWBob",
            name="bob",
            is_self=True,
            is_willing=False,
            is_benched=False,
            seat=None,
            is_connected=True,
            last_heard_s=None,
        ),
    ),
    pending=(schema.PendingIntent(intent_id="11" * 8, kind="add", text="add carol", age_s=2.0, attempts=1),),
)
INTENT = schema.IntentResult(
    intent_id="11" * 8,
    group_id="0d" * 16,
    kind="add",
    state="certified",
    text="added bob",
    epoch=4,
    candidate_id="cd" * 32,
    latency_s=0.05,
)
PENDING = schema.IntentResult(
    intent_id="11" * 8, group_id="0d" * 16, kind="add", state="pending", text="still trying: 1 of 3 voters heard"
)
REFUSED = schema.IntentResult(
    intent_id="11" * 8,
    group_id="0d" * 16,
    kind="remove",
    state="refused",
    text="not removed",
    error=schema.ErrorBody(code="refused", message="the policy does not allow it", hint="ask a voter"),
)
ADDS = schema.AddManyResult(
    group_id="0d" * 16,
    batch_id="22" * 8,
    outcomes=(
        schema.AddOutcome(
            reference="bob", peer_id="12D3KooWBob", name="bob", state="certified", epoch=4, intent_id="11" * 8
        ),
        schema.AddOutcome(
            reference="12D3KooWCarol",
            peer_id="12D3KooWCarol",
            name="12D3…wCarol",
            state="already",
            intent_id="33" * 8,
        ),
    ),
    is_settled=True,
    epochs=(4,),
)
PEER = schema.PeerInfo(peer_id="12D3KooWAlice", name="alice", addresses=("/ip4/127.0.0.1/tcp/1",), groups=("0d" * 16,))
IDENTITY = schema.Identity(peer_id="12D3KooWBob", addresses=("/ip4/127.0.0.1/tcp/2/p2p/12D3KooWBob",), name="bob")

CONTACT = contact_schema.Contact(
    peer_id="12D3KooWAlice",
    name="alice",
    claimed_name="Alice \x1b[31m",
    is_verified=False,
    verified_at=None,
    is_blocked=False,
    is_connected=True,
    added_at=1_700_000_000.0,
    is_expired=False,
    expires_at=1_800_000_000.0,
    serial=7,
    addresses=("/ip4/127.0.0.1/tcp/1/p2p/12D3KooWAlice",),
    mailboxes=(),
    safety_number=" ".join(["12345"] * 12),
    safety_words=" ".join(["abandon"] * 18),
    card="conclave:card:AAAA",
    groups=("0d" * 16,),
)

INVITE = contact_schema.Invite(
    invite_id="cd34" * 4,
    group_id="0d" * 16,
    link="conclave:invite:AAAA",
    uses_left=1,
    is_auto=False,
    is_expired=False,
    expires_at=1_800_000_000.0,
    created_at=1_700_000_000.0,
)
JOINED = contact_schema.JoinResult(
    group_id="0d" * 16,
    name="book club",
    inviter="12D3KooWAlice",
    inviter_name="~alice",
    state="joined",
    text="joined book club (epoch 3, 2 members)",
    epoch=3,
    member_count=2,
    is_confirmed=True,
)
WAITING = contact_schema.JoinResult(
    group_id="0d" * 16,
    name="book club",
    inviter="12D3KooWAlice",
    inviter_name="~alice",
    state="waiting",
    text="~alice has to approve: waiting to be let into book club",
)

TOKEN = token_schema.Token(
    token_id="7e57" * 4, name="robot", scope="chat", created_at=1_700_000_000.0, expires_at=None, is_expired=False
)

REPLIES: dict[str, schema.Reply] = {
    "status": schema.NodeStatus(
        version="0.1.0",
        pid=42,
        data_dir="data",
        identity=IDENTITY,
        uptime_s=61.0,
        always_on=True,
        peers=(PEER,),
        groups=(GROUP,),
        mailboxes=(
            schema.NodeMailbox(
                peer_id="12D3KooWBox",
                address="/ip4/127.0.0.1/tcp/3/p2p/12D3KooWBox",
                state="withheld",
                detail="items acknowledged and not there: 2",
                reached_at=1_800_000_000.0,
                fault_count=1,
                last_fault="withheld: items acknowledged and not there: 2",
                last_fault_at=1_800_000_000.0,
                lacking_count=2,
                group_count=1,
            ),
        ),
    ),
    "identity": IDENTITY,
    "peers": schema.PeerList(peers=(PEER,)),
    "connect": PEER,
    "peer_name": PEER,
    "shutdown": schema.Done(),
    "group_list": schema.GroupList(groups=(GROUP,)),
    "group_create": DETAIL,
    "group_show": DETAIL,
    "group_add": INTENT,
    "group_add_many": ADDS,
    "group_adds": ADDS,
    "group_remove": INTENT,
    "group_update": INTENT,
    "group_readd": INTENT,
    "group_rejoin": schema.Done(),
    "group_rescue": schema.RescueResult(
        group_id="0d" * 16, successor_id="ee" * 32, is_recognised=False, endorsed=1, needed=2, text="1 of 2 members"
    ),
    "group_opt_in": INTENT,
    "group_opt_out": INTENT,
    "group_leave": INTENT,
    "group_policy": INTENT,
    "group_bench": INTENT,
    "group_intent": INTENT,
    "group_send": schema.SendResult(message_id="ab" * 32, seq=5, epoch=3),
    "group_read": schema.MessagePage(messages=(MESSAGE,), last_seq=4, has_more=False),
    "group_receipt": schema.MessageReceipt(
        message_id="ab" * 32,
        group_id="0d" * 16,
        seq=5,
        epoch=3,
        at=1_800_000_000.0,
        text="sealed, stored at 1 mailbox, delivered to 1 of 2",
        stored_at=1,
        delivered_to=1,
        recipients=2,
        mailboxes=("12D3KooWBox",),
        members=(
            schema.Recipient(peer_id="12D3KooWBob", name="bob", is_delivered=True, is_member=True),
            schema.Recipient(peer_id="12D3KooWCarol", name="carol", is_delivered=False, is_member=False),
        ),
    ),
    "group_log": schema.LogPage(group_id="0d" * 16, entries=(ENTRY,), has_more=False),
    "contact_card": contact_schema.OwnCard(
        card="conclave:card:AAAA",
        peer_id="12D3KooWBob",
        name="bob",
        addresses=("/ip4/127.0.0.1/tcp/2/p2p/12D3KooWBob",),
        mailboxes=(),
        serial=7,
        expires_at=1_800_000_000,
    ),
    "contact_list": contact_schema.ContactList(contacts=(CONTACT,)),
    "contact_add": CONTACT,
    "contact_show": CONTACT,
    "contact_verify": CONTACT,
    "contact_rename": CONTACT,
    "contact_block": CONTACT,
    "contact_unblock": CONTACT,
    "contact_remove": CONTACT,
    "group_invitations": contact_schema.InvitationList(
        invitations=(
            contact_schema.Invitation(
                invitation_id="ab12" * 16,
                group_id="0d" * 16,
                name="book club",
                adder="12D3KooWAlice",
                adder_name="",
                member_count=3,
                arrived_at=1_700_000_000.0,
            ),
        )
    ),
    "group_accept": DETAIL,
    "group_decline": schema.Done(),
    "group_invite": INVITE,
    "group_invites": contact_schema.InviteList(invites=(INVITE,)),
    "group_uninvite": schema.Done(),
    "group_requests": contact_schema.JoinerList(
        requests=(
            contact_schema.Joiner(
                request_id="ef56" * 16,
                group_id="0d" * 16,
                peer_id="12D3KooWAlice",
                name="~alice",
                invite_id="cd34" * 4,
                asked_at=1_700_000_000.0,
            ),
        )
    ),
    "group_approve": INTENT,
    "group_refuse": schema.Done(),
    "group_join": JOINED,
    "group_joins": contact_schema.JoinList(joins=(WAITING,)),
    "token_create": msgspec.structs.replace(TOKEN, text="conclave-AAAA"),
    "token_list": token_schema.TokenList(tokens=(TOKEN,)),
    "token_revoke": TOKEN,
    "group_log_export": schema.LogExport(
        version=1, group_id="0d" * 16, first_epoch=1, last_epoch=3, chain=bytes(range(256))
    ),
}


def happened(seq: int, text: str = "", group_id: str = "0d" * 16) -> schema.Event:
    """One event of the feed, a message."""
    return schema.Event(seq=seq, kind="message", at=1_700_000_000.0 + seq, text=text, group_id=group_id)


class CannedNode:
    """Answers each operation with `replies[name]`, or raises it; keeps what it was asked in `asked`.

    `group_send` and the like do nothing else; `feed` is the durable feed, and `tell` adds to it from any thread.
    """

    def __init__(self) -> None:
        self.replies: dict[str, schema.Reply | Exception] = dict(REPLIES)
        self.methods: dict[str, Callable[[Any], Awaitable[schema.Reply]]] = {}  # asked instead
        self.asked: list[tuple[str, Any]] = []
        self.slow: set[str] = set()  # operations that never answer
        self.left: list[str] = []  # slow operations that were given up
        self.feed: deque[schema.Event] = deque()
        self.keyring: Keyring | None = None
        self.url = ""  # over HTTP
        self.stop_event: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._news = trio.Event()

    def __getattr__(self, name: str) -> Callable[[Any], Awaitable[schema.Reply]]:
        if name not in {operation.name for operation in OPERATIONS}:
            raise AttributeError(name)
        return partial(self._answer, name)

    async def _answer(self, name: str, request: Any) -> schema.Reply:
        self.asked.append((name, request))
        if name in self.slow:
            try:
                await trio.sleep_forever()
            finally:
                self.left.append(name)
        if name == "shutdown" and self.stop_event is not None:
            self.stop_event.set()
        if name in self.methods:
            return await self.methods[name](request)
        reply = self.replies[name]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def events(self, request: schema.EventsRequest) -> schema.EventBatch:
        """The feed, as the Service promises it."""
        self.asked.append(("events", request))
        if isinstance(refused := self.replies.get("events"), Exception):
            raise refused
        head = self.feed[-1].seq if self.feed else 0
        if request.since is None:
            return schema.EventBatch(events=(), last_seq=head)
        after = request.since
        with trio.move_on_after(request.wait_s):
            while not self.feed or self.feed[-1].seq <= after:
                await self._news.wait()
        found = tuple(event for event in self.feed if event.seq > after)[: request.limit]
        return schema.EventBatch(events=found, last_seq=found[-1].seq if found else after)

    def tell(self, event: schema.Event) -> None:
        """Add an event to the feed and wake its readers."""

        def add() -> None:
            self.feed.append(event)
            self._news.set()
            self._news = trio.Event()

        if self._token is None:
            self.feed.append(event)
        else:
            self._token.run_sync_soon(add)

    async def run(self, socket_path: Path, started: threading.Event) -> None:
        """Serve until `stop_event`; over HTTP too if there is a keyring."""
        self.stop_event = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        service = cast(Service, self)  # its methods are dynamic
        serving = partial(serve, service, socket_path, stop_event=self.stop_event, task_status=Signal(started))
        if self.keyring is None:
            await serving()
            return
        async with trio.open_nursery() as nursery:
            at = partial(serve_http, service, self.keyring, ("127.0.0.1", 0), stop_event=self.stop_event)
            self.url = await nursery.start(at)
            nursery.start_soon(serving)

    def do(self, work: Callable[[], object]) -> None:
        """Have the node's thread do something soon."""
        assert self._token is not None
        self._token.run_sync_soon(work)

    def stand_still(self, seconds: float) -> None:
        """As a process does that is stopped, or has no turn on its machine; returns when it has begun."""
        assert self._token is not None
        began = threading.Event()

        def block() -> None:
            began.set()
            time.sleep(seconds)

        self._token.run_sync_soon(block)
        assert began.wait(DEADLINE_S)

    def stop(self) -> None:
        """Set the stop event, from any thread."""
        if self._token is not None and self.stop_event is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self.stop_event.set)


@dataclass(frozen=True, slots=True)
class Signal:
    """Passes `task_status.started` on to another thread."""

    event: threading.Event

    def started(self, value: Path) -> None:
        self.event.set()


@contextmanager
def running(node: CannedNode, socket_path: Path) -> Iterator[CannedNode]:
    """The node behind the real server in a thread of its own; fails if it does not stop when told."""
    started = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            trio.run(node.run, socket_path, started)
        except NodeError as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        if failures:
            raise failures[0]
        yield node
    finally:
        if not failures:
            node.stop()
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "the server did not stop"
    if failures:
        raise failures[0]
