"""Whose turn it is to commit among many groups: a few at a time, in order, and nobody holds up the rest."""

from pathlib import Path

import trio
from trio.testing import MockClock

from node.daemon import Node
from node.intents import DONE, UPDATE
from node.session import Session
from node.turns import AT_ONCE_MAX, TURN_S, Turns
from ordering import Policy
from tests.node.world import SUITE, open_world

GROUPS = 12


def test_a_few_at_a_time_and_then_in_line() -> None:
    turns, told = Turns(), list[bytes]()
    names = [bytes((number,)) for number in range(AT_ONCE_MAX + 3)]

    def ask(name: bytes, now_s: float = 0.0) -> bool:
        return turns.take(name, now_s, lambda: told.append(name))

    assert [ask(name) for name in names] == [True] * AT_ONCE_MAX + [False] * 3
    assert ask(names[0]), "it has its turn already"
    assert not ask(names[-1]), "it is in line already"
    assert told == []

    turns.end(names[0], 0.1)
    turns.end(names[0], 0.1)
    assert told == [names[AT_ONCE_MAX]]
    assert ask(names[AT_ONCE_MAX])
    assert not ask(b"another"), "behind the others"

    turns.end(names[AT_ONCE_MAX + 1], 0.2)  # has given up waiting
    turns.end(names[1], 0.2)
    assert told == [names[AT_ONCE_MAX], names[AT_ONCE_MAX + 2]]


def test_who_does_not_end_keeps_the_others_waiting_no_longer_than_a_turn() -> None:
    turns = Turns()
    for number in range(AT_ONCE_MAX):
        assert turns.take(bytes((number,)), 0.0, lambda: None)
    assert not turns.take(b"late", 0.5, lambda: None)
    assert turns.due_s == TURN_S

    assert turns.take(b"late", TURN_S, lambda: None)


async def test_a_change_of_every_group_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """All are carried out, and never more than a few candidates of the node are under way."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada")
        sessions = [await ada.node.create_group(str(number), SUITE, Policy(delta_ms=200)) for number in range(GROUPS)]
        under_way: list[int] = []

        async def change(session: Session) -> None:
            row = await session.submit(UPDATE, b"")
            under_way.append(count_candidates(ada.node))
            assert (await session.intent_ended(row.intent_id)).state == DONE

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for session in sessions:
                    nursery.start_soon(change, session)

        assert all(session.holding.epoch == 1 for session in sessions)
        assert max(under_way) <= AT_ONCE_MAX


def count_candidates(node: Node) -> int:
    return sum(bool(session.agreement.candidacy.own) for session in node.sessions.values())
