"""Steps of several groups with one wait for the disk: durable together, and each group's errors its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node import feed
from node.agreement import Agreement
from node.api.errors import ApiError
from node.daemon import Node
from node.inbox import FrameIn, HintIn, Inbox, PeerIn, Stepped, Wish
from node.intents import ADD, DONE, AddBody
from node.joint import GROUPS_MAX, Joint
from node.peer_messages import Frame, FrameKind
from node.roster import Roster
from node.session import Session
from node.store import KEY_SIZE, Store, StoreError, open_store
from node.transport import RefusedError
from ordering import Policy
from tests.node.world import SUITE, Member, World, open_world, until

KEY = bytes(KEY_SIZE)
TALKERS = 8


@dataclass(eq=False)
class Asleep:
    """A group's task that sleeps."""

    act: Callable[[], bool]
    errors: list[BaseException] = field(default_factory=list)

    def step(self) -> bool:
        return self.act()

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", KEY) as opened:
        yield opened


def putting(store: Store, key: str) -> Callable[[], bool]:
    def put() -> bool:
        with store.transaction() as tx:
            tx.put_meta(key, b"1")
        return True

    return put


def test_all_groups_steps_are_on_the_disk_at_the_same_moment(store: Store, tmp_path: Path) -> None:
    joint, seen = Joint(), list[bytes | None]()
    with open_store(tmp_path / "store.db", KEY, read_only=True) as reader:

        def last() -> bool:
            seen.extend(reader.meta(key) for key in "abc")
            return False

        joint.offer(Asleep(putting(store, "b")))
        joint.offer(Asleep(putting(store, "c")))
        joint.offer(Asleep(last))
        joint.run(store, lambda: _ignore(putting(store, "a")))

        assert seen == [None] * 3
        assert [reader.meta(key) for key in "abc"] == [b"1"] * 3


def test_when_the_disk_fails_all_of_them_end(store: Store) -> None:
    """What they hold in memory is then ahead of the disk. Who had nothing to do goes on."""
    joint = Joint()
    stepped, idle, later = Asleep(putting(store, "b")), Asleep(lambda: False), Asleep(putting(store, "c"))

    def lose() -> bool:
        store._rows("ROLLBACK")
        return False

    for each in (stepped, idle, Asleep(lose), later):
        joint.offer(each)
    with pytest.raises(StoreError, match="was lost"):
        joint.run(store, lambda: _ignore(putting(store, "a")))

    assert [type(each) for each in stepped.errors] == [StoreError]
    assert [type(each) for each in later.errors] == [StoreError], "who came after cannot know that it was lucky"
    assert idle.errors == []
    assert store.meta("b") is None


def test_so_many_groups_at_a_time_and_none_that_is_awake(store: Store) -> None:
    joint, order = Joint(), list[int]()

    def stepping(number: int) -> Callable[[], bool]:
        def step() -> bool:
            order.append(number)
            return True

        return step

    sleepers = [Asleep(stepping(number)) for number in range(GROUPS_MAX + 2)]
    for each in (*sleepers, sleepers[0]):
        joint.offer(each)
    joint.withdraw(sleepers[1])
    joint.run(store, lambda: None)
    assert order == [0, *range(2, GROUPS_MAX)]
    joint.run(store, lambda: None)
    assert order[GROUPS_MAX - 1 :] == [GROUPS_MAX, GROUPS_MAX + 1]


async def test_a_task_that_was_stepped_for_hears_of_it_before_anything_else(autojump_clock: MockClock) -> None:
    """What follows from the steps, and leaves because of them, comes before the next step; timers are due as ever."""
    inbox, got = Inbox(b"group", lambda: roster), list[object]()
    roster = Roster.__new__(Roster)

    async def task() -> None:
        while (item := await inbox.next(trio.current_time() + 5.0)) is not None:
            got.append(item)
            if isinstance(item, Wish):
                item.grant()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        await wait_all_tasks_blocked()
        assert inbox.is_resting
        inbox.stepped()
        assert not inbox.is_resting, "nobody steps for it twice"
        assert await inbox.wish(lambda: 7) == 7
    assert [type(each) for each in got] == [Stepped, Wish]


async def test_many_groups_wait_for_the_disk_together(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words said in many groups at once are in every feed, and cost the hearer less than one wait each."""
    commits = list[Store]()
    commit = Store._commit

    def counted(store: Store) -> None:
        commits.append(store)
        commit(store)

    async with open_world(tmp_path) as world:
        ada, bob = await world.member("ada"), await world.member("bob")
        for _ in range(TALKERS):
            session = await ada.node.create_group("test", SUITE, Policy())
            package = await ada.node.key_package_of(bob.peer_id, SUITE)
            row = await session.submit(ADD, AddBody(bob.peer_id, package).encode())
            assert (await session.intent_ended(row.intent_id)).state == DONE
        await until(lambda: len(bob.node.sessions) == TALKERS)
        await trio.sleep(30.0)
        held = list[tuple[Session, HintIn]]()
        hold_back_words(monkeypatch, bob.node, held)

        async with trio.open_nursery() as nursery:
            for session in ada.node.sessions.values():
                nursery.start_soon(session.send, "to all of you")

        await until(lambda: len(held) == TALKERS)
        monkeypatch.undo()
        monkeypatch.setattr(Store, "_commit", counted)
        for session, item in held:
            session.post(item)

        def heard() -> int:
            return sum(row.kind == feed.MESSAGE for row in bob.node.context.store.feed(0, 1000))

        await until(lambda: heard() == TALKERS)
        assert len([each for each in commits if each is bob.node.context.store]) < TALKERS


def hold_back_words(monkeypatch: pytest.MonkeyPatch, node: Node, held: list[tuple[Session, HintIn]]) -> None:
    """Keep what is said from a node's groups, in `held`."""
    post = Session.post

    def kept(session: Session, item: FrameIn | HintIn | PeerIn) -> None:
        if isinstance(item, HintIn) and session in node.sessions.values():
            held.append((session, item))
        else:
            post(session, item)

    monkeypatch.setattr(Session, "post", kept)


async def test_an_error_of_one_group_ends_its_task_alone(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, good, bad = await node_of_two_groups(world)
        await wait_all_tasks_blocked()

        def fail() -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Agreement, "receive", lambda agreement, *_: fail() if agreement is bad.agreement else None)
        for session in (good, bad):
            session.post(nothing_said(ada, session))
        await until(lambda: ada.node.sessions[bad.group_id] is not bad)

        assert ada.node.sessions[good.group_id] is good
        assert good.group_id in ada.node.context.running


async def test_a_task_whose_place_is_taken_takes_nothing_in_any_more(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may say already what its successor is to begin with (`node.returning`): it must not write over that.

    Not even when it was just about to wake to a frame as it was cancelled, nor in another task's step.
    """
    async with open_world(tmp_path) as world:
        ada, old, other = await node_of_two_groups(world)
        received, retire = note_receiving(monkeypatch), Session.retire

        def and_others_step(session: Session) -> None:
            retire(session)
            ada.node.context.joint.run(ada.node.context.store, lambda: None)

        monkeypatch.setattr(Session, "retire", and_others_step)
        await wait_all_tasks_blocked()

        for session in (old, other):
            session.post(nothing_said(ada, session))
        with trio.fail_after(5):
            await ada.node._groups.start(old.group_id)
        await trio.sleep(1.0)

        new = ada.node.sessions[old.group_id]
        assert new is not old
        assert received == [other.agreement]
        assert new.is_sound
        assert not old.is_sound
        assert old.group_id in ada.node.context.running


async def test_a_caller_of_a_task_whose_place_is_taken_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Nobody waits for an answer that does not come, whether the wish was still waiting or taken out already."""
    async with open_world(tmp_path) as world:
        ada, old, _ = await node_of_two_groups(world)
        await wait_all_tasks_blocked()
        told: list[str] = []

        async def ask() -> None:
            try:
                told.append(await old.ask(lambda: "done"))
            except ApiError as error:
                told.append(error.message)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(ask)
                nursery.start_soon(ada.node._groups.start, old.group_id)
        assert len(told) == 3
        assert all(each == "done" or "interrupted" in each for each in told)


async def test_a_wish_that_another_task_comes_upon_is_granted(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes in the frames of a group stops at a wish, before them or among them: it is for its own task."""
    async with open_world(tmp_path) as world:
        ada, session, _ = await node_of_two_groups(world)
        received = note_receiving(monkeypatch)
        for frames in (0, 1):
            await wait_all_tasks_blocked()
            received.clear()
            wish = Wish(lambda: len(received), trio.Event())
            for _ in range(frames):
                session.post(nothing_said(ada, session))
            session.inbox._in.send_nowait(wish)
            session.post(nothing_said(ada, session))
            ada.node.context.joint.run(ada.node.context.store, lambda: None)
            with trio.fail_after(5):
                await wish.done.wait()
            assert wish.value == frames
            await wait_all_tasks_blocked()
            assert len(received) == frames + 1


async def test_what_the_disk_did_not_take_is_told_to_nobody(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a step is lost that memory has gone along with, the group is closed to peers until it was read anew.

    What they ask may be answered from memory, or even be written down beside it.
    """
    async with open_world(tmp_path) as world:
        ada, *sessions = await node_of_two_groups(world)
        groups, store = ada.node._groups, ada.node.context.store
        commit = Store._commit

        def full(store: Store) -> None:
            store._rows("ROLLBACK")
            raise StoreError("database or disk is full")

        def note(agreement: Agreement, *_: object) -> None:
            with store.transaction() as transaction:
                transaction.put_meta(agreement.holding.group_id.hex(), b"1")

        monkeypatch.setattr(Agreement, "receive", note)
        await wait_all_tasks_blocked()
        for session in sessions:
            session.post(nothing_said(ada, session))
        monkeypatch.setattr(Store, "_commit", full)
        with pytest.raises(StoreError, match="full"):
            ada.node.context.joint.run(store, lambda: _ignore(putting(store, "caller")))
        monkeypatch.setattr(Store, "_commit", commit)

        for session in sessions:
            assert not session.is_sound
            with pytest.raises(RefusedError):
                groups.serving(session.conversation.tag, ada.peer_id)
        await until(lambda: all(ada.node.sessions[each.group_id] is not each for each in sessions))
        for session in sessions:
            assert groups.serving(session.conversation.tag, ada.peer_id).is_sound
            assert store.meta(session.group_id.hex()) is None


async def node_of_two_groups(world: World) -> tuple[Member, Session, Session]:
    ada = await world.member("ada")
    for _ in range(2):
        await ada.node.create_group("test", SUITE, Policy())
    first, second = ada.node.sessions.values()
    return ada, first, second


def nothing_said(to: Member, session: Session) -> FrameIn:
    """A frame for the group that says nothing."""
    return FrameIn(to.peer_id, Frame(session.conversation.tag, FrameKind.ORDERING, b""))


def note_receiving(monkeypatch: pytest.MonkeyPatch) -> list[Agreement]:
    """Which agreements take ordering messages in from now on."""
    received: list[Agreement] = []
    monkeypatch.setattr(Agreement, "receive", lambda agreement, *_: received.append(agreement))
    return received


def _ignore(act: Callable[[], bool]) -> None:
    act()
