"""Whose turn it is to commit among many groups: a few at a time, in order, and nobody holds up the rest."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.daemon import Node
from node.intents import ADD, DONE, UPDATE, AddBody
from node.judgement import Known
from node.nominations import Nominations
from node.pace import SAMPLES_MIN, Pace
from node.session import Session
from node.turns import AT_ONCE_MAX, TURN_MAX_S, TURN_S, Turns
from ordering import Policy
from tests.node.world import SUITE, Member, open_world, until

GROUPS = 12


def test_a_few_at_a_time_and_then_in_line() -> None:
    turns, told = Turns(Pace()), list[bytes]()
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
    turns = Turns(Pace())
    for number in range(AT_ONCE_MAX):
        assert turns.take(bytes((number,)), 0.0, lambda: None)
    assert not turns.take(b"late", 0.5, lambda: None)
    assert turns.due_s == TURN_S

    assert turns.take(b"late", TURN_S, lambda: None)


@pytest.mark.parametrize(("usual_s", "turn_s"), [(0.1, TURN_S), (1.5, 3.0), (60.0, TURN_MAX_S)])
def test_a_turn_lasts_as_long_as_decisions_take_within_bounds(usual_s: float, turn_s: float) -> None:
    """Else all groups of a slow node would have a commit under way after a while, and each would slow the others."""
    pace = Pace()
    for _ in range(SAMPLES_MIN):
        pace.note(usual_s)
    turns = Turns(pace)
    turns.take(b"group", 10.0, lambda: None)
    assert turns.due_s == 10.0 + turn_s


async def test_a_change_of_every_group_at_once(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are carried out, and never more than a few commits of the node are under way."""
    async with open_world(tmp_path) as world:
        ada = await world.member("ada")
        bob = await world.member("bob", always_on=False)
        for number in range(GROUPS):
            await found_with(ada.node, bob, str(number))
        await until(lambda: len(bob.node.sessions) == GROUPS)
        under_way: list[int] = []
        original = Nominations.offer

        def offer(nominations: Nominations, known: Known) -> None:
            original(nominations, known)
            under_way.append(count_candidates(bob.node))

        monkeypatch.setattr(Nominations, "offer", offer)
        sessions = tuple(bob.node.sessions.values())
        epochs = [session.holding.epoch for session in sessions]

        async def change(session: Session) -> None:
            row = await session.submit(UPDATE, b"")
            assert (await session.intent_ended(row.intent_id)).state == DONE

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for session in sessions:
                    nursery.start_soon(change, session)

        assert [session.holding.epoch for session in sessions] == [epoch + 1 for epoch in epochs]
        assert len(under_way) == GROUPS
        assert max(under_way) == AT_ONCE_MAX


async def test_the_turn_of_a_group_whose_task_has_ended_passes_by(tmp_path: Path, autojump_clock: MockClock) -> None:
    """It is given in the task of another group, which must not die of it."""
    async with open_world(tmp_path) as world:
        (ada,) = await world.group_of("ada", committee=1)
        session = ada.session
        await ada.stop()

        session.agreement.on_turn()


async def found_with(node: Node, other: Member, name: str) -> None:
    session = await node.create_group(name, SUITE, Policy(delta_ms=200))
    package = await node.key_package_of(other.peer_id, SUITE)
    row = await session.submit(ADD, AddBody(other.peer_id, package).encode())
    assert (await session.intent_ended(row.intent_id)).state == DONE


def count_candidates(node: Node) -> int:
    return sum(bool(session.agreement.candidacy.own) for session in node.sessions.values())
