"""A member that means ill: what it can sign, forge and serve, and that the others decide all the same."""

import itertools
import os
from pathlib import Path

import msgspec
import trio
from trio.testing import MockClock

from node.building import build_plain
from node.candidacy import KNOWN_PER_AUTHOR_MAX
from node.inbox import FrameIn
from node.intents import DONE, UPDATE
from node.judgement import CANDIDATE_LABEL
from node.peer_id import PeerId
from node.peer_messages import BUNDLE_PROTOCOL, BundleRequest, Frame, FrameKind, group_tag
from node.serving import bundle_of
from ordering import Bundle, Candidate, Status, candidate_bytes, encode_message
from tests.node.hostile import opens_for_some
from tests.node.world import Member, open_world


def offer(candidate: Candidate, by: Member, *to: Member) -> None:
    """Have a member's candidate arrive before anything that is under way."""
    frame = Frame(group_tag(by.session.group_id), FrameKind.CANDIDATE, candidate.encode())
    for other in to:
        other.session.post(FrameIn(by.peer_id, frame))


def signed(bundle: Bundle, by: Member, ordinal: int = 0) -> Candidate:
    """A bundle in a member's own name."""
    group = by.session.holding.group
    assert group is not None
    instance = by.session.agreement.epoch.instance
    signature = group.sign(CANDIDATE_LABEL, candidate_bytes(bundle.id(instance), ordinal))
    return Candidate(instance, group.own_leaf, ordinal, bundle, signature)


def own_candidate(member: Member) -> Candidate:
    (built,) = member.session.agreement.candidacy.own.values()
    return built.candidate


async def test_a_bundle_in_another_wrapper_is_not_held_against_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A candidate's id covers its bundle only. Whoever relays it under a wrong name or signature must not be able
    to make the id invalid at who hears the forgery first."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        row = await ada.submit(UPDATE)
        honest = own_candidate(ada)

        offer(msgspec.structs.replace(honest, signature=bytes(64)), dan, bob, cyn)
        offer(signed(honest.bundle, dan), dan, bob, cyn)

        assert (await ada.session.intent_ended(row.intent_id)).state == DONE
        decided = ada.node.context.store.latest_decision(ada.session.group_id)
        assert decided is not None
        assert decided.candidate_id == honest.id, "it was passed over"


async def test_candidates_without_number_leave_room_for_the_others(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Whatever one member signs fills its own room, and neither the others' nor the disk."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        epoch, group = dan.session.agreement.epoch, dan.session.agreement.group
        for number in range(300):
            nonsense = Bundle(number.to_bytes(2, "big"), (), b"", epoch.voting.committee.descriptor)
            offer(signed(nonsense, dan), dan, ada, bob, cyn)
        for _ in range(KNOWN_PER_AUTHOR_MAX + 4):
            rival = build_plain(group, epoch.instance, os.urandom, dan.node.context.now_ms() // 1000)
            offer(rival.candidate, dan, ada, bob, cyn)
        await trio.testing.wait_all_tasks_blocked()

        assert len(bob.session.agreement.known) <= KNOWN_PER_AUTHOR_MAX
        assert (await ada.update()).state == DONE
        assert (await bob.update()).state == DONE


async def test_a_key_that_nobody_can_seal_to_gets_into_no_tree(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Each commit seals to the leaves beside its path: with a point of small order among them nobody could commit any
    more who shares a parent with it, and after a removal nobody at all."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        agreement, now = dan.session.agreement, dan.node.context.now_ms() // 1000
        built = opens_for_some(agreement.group, agreement.epoch.instance, (), now, leaf_key=bytes(32))

        offer(built.candidate, dan, ada, bob, cyn)
        await trio.testing.wait_all_tasks_blocked()

        assert all(member.session.agreement.known[built.id].valid is None for member in (ada, bob, cyn))
        assert (await cyn.update()).state == DONE


async def test_a_laggard_is_not_stopped_by_a_liar_it_asks(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Dan answers every request for a bundle with another one, or with the right one in a forged wrapper."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn, dan = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        await cyn.stop()
        assert [(await ada.update()).state for _ in range(3)] == [DONE] * 3
        await world.settled(ada, bob, dan)
        lies = itertools.cycle((b"", b"garbage", b"other", b"forged"))

        async def lie(peer: PeerId, payload: bytes) -> bytes:
            lie, request = next(lies), BundleRequest.decode(payload)
            candidate = Candidate.decode(bundle_of(dan.session, peer, request.epoch))
            if lie == b"other":
                return bundle_of(dan.session, peer, request.epoch - 1)
            if lie == b"forged":
                return msgspec.structs.replace(candidate, signature=bytes(64)).encode()
            return lie

        dan.node.context.transport.handle(BUNDLE_PROTOCOL, lie)
        await bob.stop()
        await cyn.start(alone=True)
        await cyn.node.connect(dan.address)
        await trio.sleep(20)
        await cyn.node.connect(ada.address)
        await bob.start()

        await world.settled(ada, bob, cyn, dan)
        assert (await cyn.update()).state == DONE


async def test_a_stranger_cannot_send_a_node_chasing_epochs(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who is no member may claim any epoch: a node that hears of it goes to members that it knows first."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        eve = await world.member("eve")
        await cyn.stop()
        assert [(await ada.update()).state for _ in range(5)] == [DONE] * 5
        await cyn.start(alone=True)
        claim = Status(bytes(32), 2**62, 0, None, 9, 1, (), b"", b"")
        frame = Frame(group_tag(cyn.session.group_id), FrameKind.ORDERING, encode_message(claim))

        async with trio.open_nursery() as nursery:

            async def claim_again_and_again() -> None:
                while True:
                    cyn.session.post(FrameIn(eve.peer_id, frame))
                    await trio.sleep(0.5)

            nursery.start_soon(claim_again_and_again)
            await cyn.node.connect(bob.address)
            with trio.fail_after(4):  # one unanswered request takes 5 s
                await world.settled(ada, bob, cyn)
            nursery.cancel_scope.cancel()
