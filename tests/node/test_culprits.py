"""Two Decisions of one epoch name those who signed both, also when the epoch was left, and so were they."""

from collections.abc import Iterable
from pathlib import Path

import trio
from trio.testing import MockClock

from mls import ed25519_sign
from node import feed
from node.api import schema
from node.eviction import stored_book
from node.feed import NoticeBody
from node.holding import FROZEN
from node.inbox import FrameIn
from node.intents import DONE
from node.ordering_records import stored_decision
from node.peer_messages import Frame, FrameKind, group_tag
from node.service import NodeService
from ordering import Certificate, Decision, VoteKind, encode_message
from ordering.votes import vote_bytes
from tests.node.world import Member, open_world, until


def decided(member: Member, epoch: int) -> Decision:
    found = stored_decision(member.node.context.store, member.session.group_id, epoch)
    assert found is not None
    return found


def signed_by(liars: Iterable[Member], known: Decision, name: str, *, view: int) -> Decision:
    """Another Decision of the same epoch, by the keys of these voters."""
    keys = {liar.session.holding.vote_key.public: liar.session.holding.vote_key for liar in liars}
    id = name.encode().ljust(32, b".")
    signatures = tuple(
        (voter, ed25519_sign(keys[key], vote_bytes(known.instance, VoteKind.FINALIZE, view, voter, id)))
        for voter, key in enumerate(known.descriptor.vote_keys)
        if key in keys
    )
    certificate = Certificate(known.instance, VoteKind.FINALIZE, view, id, signatures[: known.descriptor.quorum])
    return Decision(known.group_id, known.epoch, known.prev, known.descriptor, certificate)


def show(source: Member, to: Member, decision: Decision) -> None:
    frame = Frame(group_tag(decision.group_id), FrameKind.ORDERING, encode_message(decision))
    to.session.post(FrameIn(source.peer_id, frame))


def told(member: Member) -> list[str]:
    rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.HEALTH, 0, 1000)
    return [NoticeBody.decode(row.body).text for row in rows]


def named(member: Member, other: Member) -> bool:
    return any(text.startswith(f"{other.name} signed two votes that contradict") for text in told(member))


def know_by_name(member: Member, *others: Member) -> None:
    with member.node.context.store.transaction() as transaction:
        for other in others:
            known = member.node.context.store.peer(other.peer_id)
            assert known is not None
            transaction.put_peer(type(known)(known.peer_id, known.addresses, other.name))


def accused_of(member: Member) -> set[str]:
    return {piece.peer for piece in stored_book(member.node.context.store, member.session.group_id).pieces}


async def test_who_signed_both_is_named_after_the_epoch_was_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    """By then one of the two is no member any more. Ada's user hears of both, the others of who is still there."""
    async with open_world(tmp_path) as world:
        ada, *others = await world.group_of("ada", "bob", "cyn", "dan", committee=4)
        know_by_name(ada, *others)
        assert (await ada.update()).state == DONE
        await world.settled(ada, *others)
        known = decided(ada, ada.epoch - 1)
        gone, there, *_ = [each for each in others if signs(each, known)]
        witness = next(each for each in others if each not in (gone, there))
        other = signed_by([gone, there, ada if signs(ada, known) else witness], known, "another", view=known.view)
        assert (await ada.remove(gone)).state == DONE
        await world.settled(ada, there, witness)

        show(there, ada, other)

        await until(lambda: ada.session.holding.health == FROZEN)
        assert named(ada, gone)
        assert named(ada, there)
        assert not any("this node" in text for text in told(ada)), "nobody accuses itself"
        shown = await NodeService(ada.node).group_show(schema.GroupRequest(group="test"))
        assert shown.health == "frozen"
        assert there.name in shown.health_text
        await until(lambda: accused_of(witness) >= {there.peer_id})
        assert gone.peer_id not in accused_of(witness), "who is no member is nobody else's business"


def signs(member: Member, decision: Decision) -> bool:
    key = member.session.holding.vote_key.public
    return key in [decision.descriptor.vote_keys[voter] for voter, _ in decision.certificate.signatures]


async def test_who_signed_both_is_named_while_the_epoch_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Two Decisions at once, and no bundle of either: nothing is adopted, and both are in the book after a restart."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        config = ada.session.agreement.instance.config
        last = decided(ada, ada.epoch - 1)
        blank = Certificate(config.instance, VoteKind.FINALIZE, 0, b"." * 32, last.certificate.signatures)
        running = Decision(config.group_id, config.epoch, config.prev, config.descriptor, blank)

        for name in ("one", "another"):
            show(bob, ada, signed_by((bob, cyn), running, name, view=0))

        await until(lambda: ada.session.holding.health == FROZEN)
        await ada.stop()
        await ada.start()
        assert accused_of(ada) == {bob.peer_id, cyn.peer_id}


async def test_of_two_views_nobody_is_accused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Who finalized in one view may have been shown that it was nullified. The group freezes all the same."""
    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        assert (await ada.update()).state == DONE
        known = decided(ada, ada.epoch - 1)

        show(bob, ada, signed_by((bob, cyn), known, "another", view=known.view + 1))

        await until(lambda: ada.session.holding.health == FROZEN)
        await trio.sleep(1)
        assert not accused_of(ada)
