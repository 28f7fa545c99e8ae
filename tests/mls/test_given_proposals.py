"""What comes beside a commit: the proposals it refers to are judged, whatever else came is nobody's business."""

from dataclasses import replace

import pytest

from mls.authentication import proposal_reference
from mls.errors import InvalidError, MlsError
from mls.framing import FramedContent, Sender
from mls.group import Group
from mls.proposals import Add, Commit, ProposalOrRef, Remove, remove
from mls.public_group import public_content
from mls.registry import SenderType, WireFormat
from tests.mls.forge import Forger, received_by, referring, refused
from tests.mls.world import NOW, Dice, Members


@pytest.fixture
def world() -> Members:
    return Members("alice", "bob", "carol", "dave")


def junk(world: Members) -> list[bytes]:
    """Each refused wherever a commit refers to it; most of it anybody could send."""
    right = world["carol"].propose(remove(world.leaf("dave")), world.random, NOW)[1]
    sealed = world["carol"].propose(
        remove(world.leaf("dave")), world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE
    )[1]
    carol = Forger(world["carol"], world.random)
    stranger = Forger(Members("mallory", "bob", seed="elsewhere")["mallory"], Dice("elsewhere"))
    return [
        b"no message",
        right[:-1] + bytes([right[-1] ^ 1]),
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        world["carol"].seal(b"words", world.random)[1],
        carol.commit(),
        stranger.proposal(Remove(1)),
        carol.proposal(Remove(1), signer=world["alice"].state.signer),
        carol.proposal(Remove(1), Sender(SenderType.EXTERNAL, sender_index=0)),
        carol.proposal(Remove(17)),
    ]


def taken(group: Group, message: bytes, proposals: list[bytes]) -> Group:
    staged = group.stage(message, proposals=proposals, now=NOW)
    assert staged.successor is not None
    return staged.successor


def test_what_a_commit_does_not_refer_to_is_left_alone(world: Members) -> None:
    """Else one broken message of anybody's would keep the whole group from taking any commit of that epoch."""
    others, bob = junk(world), world["bob"]
    addition = Forger(world["carol"], world.random).proposal(Add(world.client("erin").package().key_package))
    plain = world["alice"].commit(world.random, NOW)
    assert taken(bob, plain.message, others).epoch_authenticator == plain.successor.epoch_authenticator
    referred = world["alice"].commit(world.random, NOW, references=[addition])
    everything = [*others[:4], addition, *others[4:]]
    assert taken(bob, referred.message, everything).epoch_authenticator == referred.successor.epoch_authenticator
    public = [each for each in everything if each != others[2]]
    assert bob.public.check_commit(referred.message, public).successor == referred.successor.public
    assert bob.public.check_commit(referred.message, everything).successor == referred.successor.public


def test_sealed_proposals_are_found_among_others(world: Members) -> None:
    """The commit comes after them in its sender's ratchet; the ones that are left alone use up their keys too."""
    sealed = WireFormat.MLS_PRIVATE_MESSAGE
    group, first = world["alice"].propose(remove(world.leaf("dave")), world.random, NOW, wire_format=sealed)
    group, second = group.propose(remove(world.leaf("carol")), world.random, NOW, wire_format=sealed)
    made = group.commit(world.random, NOW, references=[second], wire_format=sealed)
    for proposals in ([first, second], [second, first], [second], [second, *junk(world)]):
        staged = world["bob"].stage(made.message, proposals=proposals, now=NOW)
        assert staged.summary.removes == (world.leaf("carol"),)


@pytest.mark.parametrize(
    ("position", "rule"), [(6, "V028"), (7, "V024"), (8, "V098")], ids=["its key", "its sender", "its leaf"]
)
def test_what_a_commit_refers_to_is_judged(world: Members, position: int, rule: str) -> None:
    others = junk(world)
    commit = Forger(world["alice"], world.random).commit(edit_content=referring(world["alice"], others[position]))
    refused(world["bob"], rule, commit, [others[0], others[position]])


def test_v115_what_could_not_be_read_is_told_only_where_something_is_missing(world: Members) -> None:
    """Which of the unread was meant nobody can know; without any, the reference is simply to nothing."""
    proposal = Forger(world["carol"], world.random).proposal(Remove(world.leaf("dave")))
    commit = Forger(world["alice"], world.random).commit(references=[proposal])
    refused(world["bob"], "V115", commit, [junk(world)[8]])
    with pytest.raises(MlsError) as wrong:
        world["bob"].stage(commit, proposals=[b"no message", b"nor this"], now=NOW)
    assert not isinstance(wrong.value, InvalidError)


def test_v093_a_commit_where_a_proposal_belongs(world: Members) -> None:
    """Referred to as one."""
    other = Forger(world["carol"], world.random).commit()
    reference = proposal_reference(world["bob"].suite, public_content(other))

    def edit(content: FramedContent) -> FramedContent:
        assert isinstance(content.content, Commit)
        named = (ProposalOrRef.by_reference(reference),)
        return replace(content, content=replace(content.content, proposals=named))

    refused(world["bob"], "V093", Forger(world["alice"], world.random).commit(edit_content=edit), [other])


def test_one_proposal_is_not_taken_for_another_of_equal_content(world: Members) -> None:
    """A reference is to the whole message, signature and all: who signed it counts (V116)."""
    removal = Remove(world.leaf("dave"))
    by_carol, by_bob = (Forger(world[name], world.random).proposal(removal) for name in ("carol", "bob"))
    made = world["alice"].commit(world.random, NOW, references=[by_carol])
    refused(world["bob"], "V115", made.message, [by_bob])
    checked = world["bob"].public.check_commit(made.message, [by_bob, by_carol])
    assert checked.proposals == (received_by(world["bob"], by_carol),)
