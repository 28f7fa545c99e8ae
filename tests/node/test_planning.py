"""What one commit carries: ours and others' in turn, removals first, and nothing that would spoil it."""

from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from mls import Group, ProposalType, self_remove
from node import draft
from node.folding import Wanted
from node.intents import ADD, DONE, LEAVE, OPEN, POLICY, READD, REMOVE, UPDATE, AddBody, RemoveBody
from node.planning import Plan, plan
from node.policies import PolicyBody
from node.store_rows import IntentRow
from ordering import Policy
from tests.node.contention import add_body
from tests.node.world import HOLDS, SUITE, Member, open_world, until


def row(kind: str, body: bytes = b"", number: int = 0) -> IntentRow:
    return IntentRow(number.to_bytes(16, "big"), b"", kind, body, OPEN, None, None, 0)


def wanted(author: int, kind: str, body: bytes, number: int = 0) -> Wanted:
    return Wanted(author, number.to_bytes(16, "big"), kind, body, 0)


def group_of(member: Member) -> Group:
    return member.session.agreement.group


def planned(member: Member, *rows: IntentRow, others: tuple[Wanted, ...] = (), **more: Any) -> Plan:
    return plan(group_of(member), rows, may_opt_in=True, others=others, **more)


async def test_what_one_commit_carries(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        leaf = {m.name: group_of(m).own_leaf for m in (ada, bob, cyn)}
        removal = RemoveBody(cyn.peer_id).encode()

        # in turn, until it is full
        monkeypatch.setattr(draft, "PROPOSALS_PER_COMMIT_MAX", 4)
        own = [row(ADD, add_body(), number) for number in range(5)]
        theirs = [wanted(leaf["bob"], ADD, add_body(), number) for number in range(5)]
        full = planned(ada, *own, others=tuple(theirs))
        assert [each.intent_id for each in full.intents] == [own[0].intent_id, own[1].intent_id]
        assert [each.intent_id for each in full.folded] == [theirs[0].intent_id, theirs[1].intent_id]
        assert full.settled == ()

        # the same by two members, once; and what is so already is nobody's any more
        body = add_body()
        once = planned(ada, row(ADD, body), others=(wanted(leaf["bob"], ADD, body), wanted(leaf["cyn"], ADD, body)))
        assert (len(once.proposals), len(once.folded)) == (1, 0)
        already = add_body()
        held = AddBody(cyn.peer_id, AddBody.decode(already).key_package).encode()
        assert planned(ada, others=(wanted(leaf["bob"], ADD, held),)).is_empty

        # removals of ours go alone while they may go first, and with the rest otherwise; others' never hold up the rest
        mixed = (row(ADD, add_body(), 1), row(UPDATE, b"", 2))
        hurried = planned(ada, *mixed, row(REMOVE, removal, 3))
        assert hurried.is_urgent
        assert [each.proposal_type for each in hurried.proposals] == [ProposalType.REMOVE]
        assert [each.kind for each in hurried.intents] == [UPDATE, REMOVE]
        calm = planned(ada, *mixed, row(REMOVE, removal, 3), may_hurry=False)
        assert {each.proposal_type for each in calm.proposals} == {ProposalType.ADD, ProposalType.REMOVE}
        carried = planned(ada, *mixed, others=(wanted(leaf["bob"], REMOVE, removal),))
        assert not carried.is_urgent
        assert {each.proposal_type for each in carried.proposals} == {ProposalType.ADD, ProposalType.REMOVE}

        # who is to be added anew goes and comes in one commit, by whoever makes it but itself
        anew = AddBody(cyn.peer_id, await bob.node.key_package_of(cyn.peer_id, SUITE)).encode()
        carried = planned(ada, others=(wanted(leaf["bob"], READD, anew),))
        assert [each.proposal_type for each in carried.proposals] == [ProposalType.REMOVE, ProposalType.ADD]
        assert planned(cyn, others=(wanted(leaf["bob"], READD, anew),)).is_empty
        assert planned(ada, row(READD, anew), others=carried.folded).folded == ()

        # what others cannot have of us is left out: our removal, what is theirs to do, what nobody knows or can read
        for kind, wish in (
            (REMOVE, RemoveBody(ada.peer_id).encode()),
            (UPDATE, b""),
            ("opt_in", b""),
            ("bench", b""),
            ("dance", b""),
            (ADD, b"garbage"),
            (LEAVE, b"garbage"),
            (ADD, AddBody(bob.peer_id + "x", AddBody.decode(body).key_package).encode()),
        ):
            assert planned(ada, others=(wanted(leaf["bob"], kind, wish),)).is_empty, kind

        # a leave is its author's own proposal of this epoch, and nobody else's
        _, leave = group_of(bob).propose(self_remove(), bob.node.context.random, 0)
        assert planned(ada, others=(wanted(leaf["bob"], LEAVE, leave),)).references == (leave,)
        assert planned(ada, others=(wanted(leaf["cyn"], LEAVE, leave),)).is_empty
        assert planned(bob, row(LEAVE)).is_empty
        both = (wanted(leaf["bob"], LEAVE, leave), wanted(leaf["cyn"], REMOVE, RemoveBody(bob.peer_id).encode()))
        assert len(planned(ada, others=both, may_hurry=False).folded) == 1
        assert (await ada.update()).state == DONE
        await world.settled(ada, bob, cyn)
        assert planned(ada, others=(wanted(leaf["bob"], LEAVE, leave),)).is_empty


async def test_a_wish_carried_along_gains_no_right(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Under pins: who is not pinned removes no pinned member and changes no policy, by whomever it asks."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = [await world.member(name) for name in ("ada", "bob", "cyn")]
        pins = tuple(sorted((ada.peer_id.encode(), bob.peer_id.encode())))
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200, pins=pins))
        for other in (bob, cyn):
            assert (await ada.add(other)).state in HOLDS
        await until(lambda: all(m.node.sessions for m in (bob, cyn)))
        await world.settled(ada, bob, cyn)
        leaf = {m.name: group_of(m).own_leaf for m in (ada, bob, cyn)}
        removal, policy = RemoveBody(bob.peer_id).encode(), PolicyBody(delta_ms=300).encode()

        anew = AddBody(bob.peer_id, await ada.node.key_package_of(bob.peer_id, SUITE)).encode()

        for kind, body in ((REMOVE, removal), (READD, anew), (POLICY, policy)):
            assert not planned(ada, row(kind, body)).is_empty
            assert planned(ada, others=(wanted(leaf["cyn"], kind, body),)).is_empty
            assert planned(cyn, others=(wanted(leaf["ada"], kind, body),)).is_empty
        assert len(planned(ada, others=(wanted(leaf["bob"], POLICY, policy),)).folded) == 1
