"""The local API's service over running nodes: real groups, real sessions, an in-memory network, a clock that jumps."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from mls import InvalidError
from node.api import schema
from node.api.errors import ApiError, ErrorCode
from node.api.operations import OPERATIONS
from node.api.service import Service
from node.changing import answered
from node.config import POST_QUANTUM_SUITE, load
from node.daemon import Node, open_node
from node.identity import Identity
from node.service import NodeService
from node.setup import IDENTITY_ROW
from node.store import Store, open_store
from node.store_rows import PeerRow
from node.transport_memory import MemoryNetwork, open_memory_network
from node.verify import check_stored, verify_file
from node.version import VERSION

NOTHING = schema.Nothing()
STORE_KEY = bytes(32)


class Nodes:
    """Running nodes by name; as services in `nodes["alice"]`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.running: dict[str, Node] = {}
        self.services: dict[str, Service] = {}

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def id(self, name: str) -> str:
        return self.running[name].context.identity.peer_id

    def address(self, name: str) -> str:
        return self.running[name].context.transport.addresses[0]

    def store(self, name: str) -> Store:
        return self.running[name].context.store

    def call(self, name: str, petname: str, of: str) -> None:
        """Give a peer a name at one node."""
        with self.store(name).transaction() as tx:
            tx.put_peer(PeerRow(self.id(of), (), petname))

    async def form(self, *names: str) -> None:
        """A group `g` founded by the first and joined by the others, everyone in its last epoch."""
        founder = self[names[0]]
        await founder.group_create(schema.GroupCreateRequest(name="g"))
        for name in names[1:]:
            result = await founder.group_add(schema.GroupAddRequest(group="g", peer=self.id(name)))
            assert result.state == "certified", result
            await self.settled(names[0], name)

    async def settled(self, *names: str) -> None:
        """Wait until these nodes stand in one epoch."""

        async def holds() -> bool:
            return len({await self.place(name) for name in names}) == 1

        await eventually(holds)

    async def place(self, name: str) -> str:
        """The fingerprint of a node's epoch; its own name while it has none."""
        groups = (await self[name].group_list(NOTHING)).groups
        detail = await self[name].group_show(schema.GroupRequest(group="g")) if groups else None
        return name if detail is None or not detail.epoch_fingerprint else detail.epoch_fingerprint

    async def until(self, name: str, health: str) -> schema.GroupDetail:
        """Wait for a health."""
        await eventually(lambda: self.is_in(name, health))
        return await self[name].group_show(schema.GroupRequest(group="g"))

    async def is_in(self, name: str, health: str) -> bool:
        return (await self[name].group_show(schema.GroupRequest(group="g"))).health == health


@asynccontextmanager
async def world(folder: Path, *names: str, always_on: bool = False) -> AsyncIterator[Nodes]:
    """Nodes on one in-memory network, all connected."""
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_memory_network())
        nodes = Nodes(network)
        for name in names:
            store = stack.enter_context(open_store(folder / f"{name}.db", STORE_KEY))
            identity = Identity.generate(os.urandom)
            with store.transaction() as tx:
                tx.put_meta(IDENTITY_ROW, identity.to_bytes())
            flags = {
                "node.data_dir": os.fspath(folder),
                "node.name": name,
                "node.always_on": always_on,
                "group.accept": "anyone",
            }
            node = await stack.enter_async_context(open_node(load("", {}, flags), store, network.add(identity.peer_id)))
            nodes.running[name], nodes.services[name] = node, NodeService(node)
        await network.connect_all()
        yield nodes


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that the nodes do in their own time."""
    with trio.fail_after(600):
        while not await holds():  # noqa: ASYNC110 - there is no event for what many tasks do
            await trio.sleep(0.1)


async def code_of(asked: Awaitable[object]) -> ErrorCode:
    """The code of the refusal that a call must end with."""
    with pytest.raises(ApiError) as refused:
        await asked
    assert refused.value.message
    return refused.value.code


async def test_a_node_tells_who_it_is_and_whom_it_shares_groups_with(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")
        nodes.call("alice", "Bob", of="bob")

        status = await nodes["alice"].status(NOTHING)

        assert (status.version, status.pid, status.data_dir) == (VERSION, os.getpid(), os.fspath(tmp_path))
        assert status.identity == await nodes["alice"].identity(NOTHING)
        assert status.identity.peer_id == nodes.id("alice")
        assert status.identity.addresses == (nodes.address("alice"),)
        [peer] = status.peers
        [group] = status.groups
        assert (peer.peer_id, peer.name, peer.groups) == (nodes.id("bob"), "Bob", (group.group_id,))
        assert (await nodes["alice"].peers(NOTHING)).peers == status.peers


async def test_a_group_is_founded_under_a_free_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice = nodes["alice"]

        made = await alice.group_create(schema.GroupCreateRequest(name="book club", model="crash", committee_max=5))

        assert (made.name, made.epoch, made.member_count, made.suite) == ("book club", 0, 1, POST_QUANTUM_SUITE)
        assert (made.model, made.committee_max, made.committee_size, made.is_voter) == ("crash", 5, 1, True)
        assert (made.health, made.health_text, made.decided_id) == ("ok", "the only voter answers", "")
        assert made.survives.startswith("this device alone decides")
        assert "voters are trusted not to lie" in made.survives
        assert [(one.is_self, one.seat, one.is_willing) for one in made.members] == [(True, 0, True)]
        assert await code_of(alice.group_create(schema.GroupCreateRequest(name="Book Club"))) == ErrorCode.NAME_TAKEN
        unknown = schema.GroupCreateRequest(name="other", suite=0x4D)
        assert await code_of(alice.group_create(unknown)) == ErrorCode.UNSUPPORTED
        for reference in ("book club", "BOOK CLUB", made.group_id, made.group_id[:6]):
            assert (await alice.group_show(schema.GroupRequest(group=reference))).group_id == made.group_id
        assert await code_of(alice.group_show(schema.GroupRequest(group="x"))) == ErrorCode.GROUP_NOT_FOUND
        suite_7 = await alice.group_create(schema.GroupCreateRequest(name="seven", suite=7))
        assert suite_7.suite == 7


async def test_a_peer_is_added_by_id_address_or_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob", "carol", "dave") as nodes:
        alice = nodes["alice"]
        await alice.group_create(schema.GroupCreateRequest(name="g"))
        nodes.call("alice", "Dave", of="dave")

        bob = await alice.group_add(schema.GroupAddRequest(group="g", peer=nodes.id("bob")))
        carol = await alice.group_add(schema.GroupAddRequest(group="g", peer=nodes.address("carol")))
        dave = await alice.group_add(schema.GroupAddRequest(group="g", peer="dave"))

        assert [(one.state, one.epoch) for one in (bob, carol, dave)] == [
            ("certified", 1),
            ("certified", 2),
            ("certified", 3),
        ]
        assert bob.text == f"added 12D3…{nodes.id('bob')[-6:]}"
        assert dave.text == "added Dave"
        assert bob.latency_s is not None
        show = await alice.group_show(schema.GroupRequest(group="g"))
        assert dave.candidate_id == show.decided_id
        assert [one.peer_id for one in show.members] == [nodes.id(name) for name in ("alice", "bob", "carol", "dave")]


async def test_who_cannot_be_added_is_said(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice", "bob")
        stranger = Identity.generate(os.urandom).peer_id

        async def add(peer: str) -> schema.IntentResult:
            return await alice.group_add(schema.GroupAddRequest(group="g", peer=peer))

        again, ourselves = await add(nodes.id("bob")), await add(nodes.id("alice"))

        assert (again.state, again.intent_id, again.epoch) == ("already", "", 1)
        assert (ourselves.state, ourselves.text) == ("already", "alice is a member already")
        assert await code_of(add(stranger)) == ErrorCode.PEER_UNREACHABLE
        assert await code_of(add(f"/memory/{stranger}/p2p/{stranger}")) == ErrorCode.PEER_UNREACHABLE
        assert await code_of(add("nobody")) == ErrorCode.BAD_REQUEST
        assert nodes.store("alice").open_intents(nodes.store("alice").groups()[0].group_id) == ()


@pytest.mark.parametrize("by", ["name", "leaf", "end of id"])
async def test_a_member_is_removed_by_what_a_person_types(tmp_path: Path, autojump_clock: MockClock, by: str) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")
        nodes.call("alice", "Bob", of="bob")
        reference = {"name": "bob", "leaf": "#1", "end of id": nodes.id("bob")[-6:]}[by]

        result = await nodes["alice"].group_remove(schema.GroupRemoveRequest(group="g", member=reference))

        assert (result.state, result.text, result.epoch) == ("certified", "removed Bob", 2)
        assert (await nodes["alice"].group_show(schema.GroupRequest(group="g"))).member_count == 1


async def test_who_cannot_be_removed_is_said(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")

        async def remove(member: str) -> schema.IntentResult:
            return await nodes["alice"].group_remove(schema.GroupRemoveRequest(group="g", member=member))

        assert await code_of(remove("#0")) == ErrorCode.REFUSED
        assert await code_of(remove("#7")) == ErrorCode.MEMBER_NOT_FOUND
        assert await code_of(remove("12D3Koo")) == ErrorCode.MEMBER_AMBIGUOUS


async def test_a_removed_member_can_read_and_do_nothing_else(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")
        bob, request = nodes["bob"], schema.GroupRequest(group="g")
        await bob.group_send(schema.GroupSendRequest(group="g", text="while I was here"))
        await nodes["alice"].group_remove(schema.GroupRemoveRequest(group="g", member="#1"))

        gone = await nodes.until("bob", "removed")

        assert (gone.is_member, gone.is_voter, gone.members, gone.epoch_fingerprint) == (False, False, (), "")
        assert nodes.id("bob") in gone.next_step
        assert await code_of(bob.group_send(schema.GroupSendRequest(group="g", text="x"))) == ErrorCode.NOT_MEMBER
        assert await code_of(bob.group_update(schema.ChangeRequest(group="g"))) == ErrorCode.NOT_MEMBER
        assert (
            await code_of(bob.group_remove(schema.GroupRemoveRequest(group="g", member="#0"))) == ErrorCode.NOT_MEMBER
        )
        page = await bob.group_read(schema.GroupReadRequest(group="g"))
        assert [message.text for message in page.messages] == ["while I was here"]
        assert [entry.epoch for entry in (await bob.group_log(schema.GroupLogRequest(group="g"))).entries] == [2]
        assert (await bob.group_list(NOTHING)).groups[0].health == "removed"
        assert check_stored(nodes.store("bob"), nodes.store("bob").groups()[0]).ok
        assert (await bob.group_create(schema.GroupCreateRequest(name="g"))).member_count == 1  # the name is free again
        assert (await bob.group_show(request)).is_member  # and means the group we are in


async def test_our_own_keys_and_seat_are_changed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice, request = nodes["alice"], schema.ChangeRequest(group="g")
        await nodes.form("alice")

        updated = await alice.group_update(request)
        again = await alice.group_opt_in(request)

        assert (updated.state, updated.text, updated.epoch) == ("certified", "refreshed this node's keys", 1)
        assert (again.state, again.text) == ("already", "this node is willing to vote already")
        refused = await alice.group_opt_out(request)
        assert (refused.state, refused.error is not None) == ("refused", True)  # nobody would be left to vote
        assert refused.error is not None
        assert "committee would be empty" in refused.error.message


async def test_without_a_quorum_a_change_is_pending_and_ends_when_voters_are_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A timeout loses nothing; who is missing is said by name."""
    async with world(tmp_path, "alice", "bob", "carol", always_on=True) as nodes:
        alice, names = nodes["alice"], ("alice", "bob", "carol")
        await nodes.form(*names)
        nodes.call("alice", "Bob", of="bob")
        nodes.call("alice", "Carol", of="carol")

        async def three_vote() -> bool:
            return (await alice.group_show(schema.GroupRequest(group="g"))).committee_size == 3

        await eventually(three_vote)
        await nodes.settled(*names)
        nodes.network.partition([nodes.id("alice")], [nodes.id("bob"), nodes.id("carol")])

        stuck = await nodes.until("alice", "no_quorum")
        pending = await alice.group_update(schema.ChangeRequest(group="g", timeout_s=2))
        show = await alice.group_show(schema.GroupRequest(group="g"))

        assert (stuck.voters_heard, stuck.committee_size, stuck.quorum) == (1, 3, 2)
        assert stuck.health_text.startswith("1 of 3 voters heard, 2 must agree")
        assert stuck.next_step in ("bring back any one of Bob, Carol", "bring back any one of Carol, Bob")
        assert (pending.state, pending.epoch) == ("pending", None)
        assert pending.text == "refresh this node's keys: still trying, 1 of 3 voters heard"
        assert [(one.intent_id, one.kind, one.attempts) for one in show.pending] == [(pending.intent_id, "update", 1)]
        wanted = schema.IntentRequest(group="g", intent_id=pending.intent_id[:8], timeout_s=300)
        nodes.network.heal()
        await nodes.network.connect_all()
        done = await alice.group_intent(wanted)
        assert (done.state, done.text) == ("certified", "refreshed this node's keys")
        assert (await nodes.until("alice", "ok")).health_text == "all 3 voters answer"


async def test_a_change_that_is_not_waited_for_can_be_asked_after(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice")

        begun = await alice.group_update(schema.ChangeRequest(group="g", wait=False))
        ended = await alice.group_intent(schema.IntentRequest(group="g", intent_id=begun.intent_id))

        assert (ended.intent_id, ended.state) == (begun.intent_id, "certified")
        unknown = schema.IntentRequest(group="g", intent_id="00" * 16)
        assert await code_of(alice.group_intent(unknown)) == ErrorCode.INTENT_NOT_FOUND


async def test_messages_are_paged_and_none_is_missed_or_repeated(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")
        alice, bob = nodes["alice"], nodes["bob"]
        sent: list[schema.SendResult] = []

        async def all_came() -> bool:
            return (await alice.group_list(NOTHING)).groups[0].unread_count == len(sent)

        for text in ("0", "1", "2"):
            sent.append(await bob.group_send(schema.GroupSendRequest(group="g", text=text)))
            await eventually(all_came)

        first = await alice.group_read(schema.GroupReadRequest(group="g", limit=2))
        between = (await alice.group_list(NOTHING)).groups[0].unread_count
        rest = await alice.group_read(schema.GroupReadRequest(group="g", after_seq=first.last_seq))
        end = await alice.group_read(schema.GroupReadRequest(group="g", after_seq=rest.last_seq))

        assert [message.text for message in first.messages] == ["0", "1"]
        assert (first.has_more, first.last_seq) == (True, first.messages[-1].seq)
        assert [message.text for message in rest.messages] == ["2"]
        assert (rest.has_more, rest.last_seq) == (False, nodes.store("alice").feed_head())
        assert (end.messages, end.last_seq) == ((), rest.last_seq)
        assert (between, (await alice.group_list(NOTHING)).groups[0].unread_count) == (1, 0)
        assert [message.message_id for message in (*first.messages, *rest.messages)] == [one.message_id for one in sent]
        assert {(one.sender, one.sender_leaf, one.is_own) for one in rest.messages} == {(nodes.id("bob"), 1, False)}
        own = (await bob.group_read(schema.GroupReadRequest(group="g"))).messages
        assert [(one.is_own, one.sender_name, one.seq) for one in own] == [(True, "bob", each.seq) for each in sent]
        assert (await bob.group_list(NOTHING)).groups[0].unread_count == 0


async def test_the_log_tells_each_decision_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice", "bob")
        nodes.call("alice", "Bob", of="bob")
        await alice.group_update(schema.ChangeRequest(group="g"))
        await alice.group_remove(schema.GroupRemoveRequest(group="g", member="#1"))

        page = await alice.group_log(schema.GroupLogRequest(group="g"))
        first = await alice.group_log(schema.GroupLogRequest(group="g", limit=1))
        rest = await alice.group_log(schema.GroupLogRequest(group="g", after_epoch=1))

        assert [entry.epoch for entry in page.entries] == [1, 2, 3]
        assert [change.text for entry in page.entries for change in entry.changes] == [
            "added Bob (leaf 1)",
            "alice (leaf 0) refreshed its keys",
            "removed Bob (leaf 1)",
        ]
        assert {entry.voters for entry in page.entries} == {(nodes.id("alice"),)}
        assert (first.entries, first.has_more) == (page.entries[:1], True)
        assert (rest.entries, rest.has_more) == (page.entries[1:], False)
        assert (await alice.group_log(schema.GroupLogRequest(group="g", after_epoch=3))).entries == ()


async def test_a_decision_the_feed_does_not_tell_of_is_still_in_the_log(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice")
        await alice.group_update(schema.ChangeRequest(group="g"))
        told = (await alice.group_log(schema.GroupLogRequest(group="g"))).entries[0]
        nodes.store("alice")._rows("DELETE FROM feed")

        [bare] = (await alice.group_log(schema.GroupLogRequest(group="g"))).entries

        assert (bare.epoch, bare.candidate_id, bare.view) == (told.epoch, told.candidate_id, told.view)
        assert (bare.quorum, bare.committee_size, bare.changes) == (1, 1, ())


async def test_an_export_is_checked_without_the_node(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        await nodes.form("alice", "bob")
        await nodes["alice"].group_update(schema.ChangeRequest(group="g"))
        await nodes.settled("alice", "bob")

        whole = await nodes["alice"].group_log_export(schema.GroupRequest(group="g"))
        joined = await nodes["bob"].group_log_export(schema.GroupRequest(group="g"))

        assert (whole.first_epoch, whole.last_epoch, joined.first_epoch, joined.last_epoch) == (1, 2, 2, 2)
        reports = [verify_file(exported.chain) for exported in (whole, joined)]
        assert [(report.ok, report.anchor) for report in reports] == [(True, "genesis"), (True, "joined at epoch 1")]
        assert reports[0].head_id == reports[1].head_id
        for name in ("alice", "bob"):
            assert check_stored(nodes.store(name), nodes.store(name).groups()[0]).ok


async def test_events_wait_resume_and_know_what_is_lost(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice")
        await alice.group_create(schema.GroupCreateRequest(name="other"))

        now = await alice.events(schema.EventsRequest())
        assert (now.events, now.last_seq) == ((), nodes.store("alice").feed_head())
        began_s = trio.current_time()
        empty = await alice.events(schema.EventsRequest(since=now.last_seq, wait_s=5))
        assert (empty.events, empty.last_seq, trio.current_time() - began_s) == ((), now.last_seq, 5.0)

        batches: list[schema.EventBatch] = []

        async def listen() -> None:
            batches.append(await alice.events(schema.EventsRequest(since=now.last_seq, group="g", wait_s=60)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            await alice.group_send(schema.GroupSendRequest(group="other", text="not for you"))
            await trio.testing.wait_all_tasks_blocked()
            assert batches == []
            await alice.group_send(schema.GroupSendRequest(group="g", text="for you"))
        [batch] = batches
        assert [event.message.text for event in batch.events if event.message] == ["for you"]
        assert batch.last_seq == nodes.store("alice").feed_head() == batch.events[-1].seq

        page = await alice.events(schema.EventsRequest(since=0, limit=1))
        assert (len(page.events), page.last_seq, page.events[0].kind) == (1, page.events[0].seq, "group")
        ahead = await alice.events(schema.EventsRequest(since=10_000))
        assert ([event.kind for event in ahead.events], ahead.last_seq) == (["truncated"], batch.last_seq)


async def test_events_carry_what_they_are_about(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        alice = nodes["alice"]
        await nodes.form("alice")
        result = await alice.group_update(schema.ChangeRequest(group="g"))

        events = (await alice.events(schema.EventsRequest(since=0))).events

        assert [event.kind for event in events] == ["group", "decision", "intent"]
        assert events[0].text == "founded this group"
        assert events[1].text == "epoch 1: alice (leaf 0) refreshed its keys"
        assert events[1].decision == (await alice.group_log(schema.GroupLogRequest(group="g"))).entries[0]
        assert events[2].intent == result


async def test_connect_dials_and_remembers(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice", "bob") as nodes:
        peer = await nodes["alice"].connect(schema.ConnectRequest(address=nodes.address("bob")))

        assert (peer.peer_id, peer.addresses) == (nodes.id("bob"), (nodes.address("bob"),))
        nowhere = schema.ConnectRequest(address="/memory/x/p2p/nobody")
        assert await code_of(nodes["alice"].connect(nowhere)) == ErrorCode.PEER_UNREACHABLE


async def test_a_peer_has_the_name_it_was_given_here(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A node tells nobody its name, so whose word a name is can never be in doubt."""
    async with world(tmp_path, "alice", "bob", "carol") as nodes:
        alice = nodes["alice"]

        named = await alice.peer_name(schema.PeerNameRequest(peer=nodes.id("bob")[-6:], name="Robert"))

        assert (named.peer_id, named.name) == (nodes.id("bob"), "Robert")
        again = schema.PeerNameRequest(peer="robert", name="Bobby")
        assert (await alice.peer_name(again)).name == "Bobby"
        assert "Bobby" in {peer.name for peer in (await alice.peers(NOTHING)).peers}
        taken = schema.PeerNameRequest(peer=nodes.id("carol"), name="bobby")
        assert await code_of(alice.peer_name(taken)) == ErrorCode.NAME_TAKEN
        assert await code_of(alice.peer_name(schema.PeerNameRequest(peer="nobody", name="x"))) == ErrorCode.BAD_REQUEST
        own = schema.PeerNameRequest(peer=nodes.id("alice"), name="me")
        assert await code_of(alice.peer_name(own)) == ErrorCode.BAD_REQUEST
        assert (await alice.peer_name(schema.PeerNameRequest(peer="Bobby", name=""))).name == ""


async def test_shutdown_begins_a_stop(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, "alice") as nodes:
        assert await nodes["alice"].shutdown(NOTHING) == schema.Done()
        assert nodes.running["alice"].stop_event.is_set()


async def test_a_group_that_does_not_answer_is_not_waited_for_ever(autojump_clock: MockClock) -> None:
    """A session that dies while it holds a caller's wish never comes back to it."""

    async def never() -> NoReturn:
        await trio.sleep_forever()

    assert await code_of(answered(never())) == ErrorCode.BUSY


async def test_what_the_engine_refuses_is_told_as_a_refusal(autojump_clock: MockClock) -> None:
    async def refuse() -> NoReturn:
        raise InvalidError("V150", "a commit that changes nothing")

    assert await code_of(answered(refuse())) == ErrorCode.REFUSED


def test_every_operation_has_its_method() -> None:
    for operation in OPERATIONS:
        assert callable(getattr(NodeService, operation.name))
