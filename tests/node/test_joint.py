"""Steps of several groups with one wait for the disk: durable together, and each group's errors its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node import feed
from node.agreement import Agreement
from node.daemon import Node
from node.inbox import FrameIn, HintIn, Inbox, PeerIn, Stepped, Wish
from node.intents import ADD, DONE, AddBody
from node.joint import GROUPS_MAX, Joint
from node.peer_messages import Frame, FrameKind
from node.roster import Roster
from node.session import Session
from node.store import KEY_SIZE, Store, StoreError, open_store
from ordering import Policy
from tests.node.world import SUITE, open_world, until

KEY = bytes(KEY_SIZE)
TALKERS = 8


@dataclass
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

        joint.offer(b"1", Asleep(putting(store, "b")))
        joint.offer(b"2", Asleep(putting(store, "c")))
        joint.offer(b"3", Asleep(last))
        joint.run(store, lambda: _ignore(putting(store, "a")))

        assert seen == [None] * 3
        assert [reader.meta(key) for key in "abc"] == [b"1"] * 3


def test_when_the_disk_fails_all_of_them_end(store: Store) -> None:
    """What they hold in memory is then ahead of the disk. Who had nothing to do goes on."""
    joint = Joint()
    stepped, idle = Asleep(putting(store, "b")), Asleep(lambda: False)

    def lose() -> bool:
        store._rows("ROLLBACK")
        return False

    for group_id, each in ((b"1", stepped), (b"2", idle), (b"3", Asleep(lose))):
        joint.offer(group_id, each)
    with pytest.raises(StoreError, match="was lost"):
        joint.run(store, lambda: _ignore(putting(store, "a")))

    assert [type(each) for each in stepped.errors] == [StoreError]
    assert idle.errors == []
    assert store.meta("b") is None


def test_so_many_groups_at_a_time_and_none_that_is_awake(store: Store) -> None:
    joint, order = Joint(), list[int]()

    def stepping(number: int) -> Callable[[], bool]:
        def step() -> bool:
            order.append(number)
            return True

        return step

    for number in range(GROUPS_MAX + 2):
        joint.offer(bytes((number,)), Asleep(stepping(number)))
    joint.withdraw(bytes((1,)))
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
        ada = await world.member("ada")
        for _ in range(2):
            await ada.node.create_group("test", SUITE, Policy())
        good, bad = ada.node.sessions.values()
        await wait_all_tasks_blocked()

        def fail() -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Agreement, "receive", lambda agreement, *_: fail() if agreement is bad.agreement else None)
        for session in (good, bad):
            session.post(FrameIn(ada.peer_id, Frame(session.conversation.tag, FrameKind.ORDERING, b"")))
        await until(lambda: ada.node.sessions[bad.group_id] is not bad)

        assert ada.node.sessions[good.group_id] is good
        assert good.group_id in ada.node.context.running


def _ignore(act: Callable[[], bool]) -> None:
    act()
