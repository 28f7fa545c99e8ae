"""Leaving by oneself (draft-ietf-mls-extensions, SelfRemove): whoever commits next removes who asked, joiners too."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls.capabilities import own_capabilities
from mls.errors import InvalidError, MisuseError
from mls.framing import FramedContent, MLSMessage, PublicMessage, Sender
from mls.proposals import Commit, Proposal, ProposalOrRef, Remove, SelfRemove, remove, self_remove
from mls.public_group import public_content
from mls.registry import ProposalType, SenderType, WireFormat
from mls.validation.messages import check_proposal_message
from tests.mls.forge import Forger, instead, received_by, referring, refused
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, VOTER, Client, Members

NAMES = ("alice", "bob", "carol", "dave")


@pytest.fixture
def world() -> Members:
    return Members(*NAMES)


def leaving(world: Members, name: str) -> bytes:
    """That member's SelfRemove; its group holds the proposal."""
    world.groups[name], message = world[name].propose(self_remove(), world.random, NOW)
    return message


def test_everyone_says_that_it_is_understood() -> None:
    """V219: the type is no default one, so it is listed."""
    assert ProposalType.SELF_REMOVE in own_capabilities().proposals


def test_a_member_leaves_with_the_next_commit(world: Members) -> None:
    message = leaving(world, "carol")
    made = world.commit("alice", references=[message], force_path=False)
    assert "carol" not in world.groups
    assert made.summary.removes == (2,)
    assert made.summary.has_path  # the type asks for one (V150)
    assert world.agree()


def test_two_leave_and_one_is_removed(world: Members) -> None:
    messages = [leaving(world, "carol"), leaving(world, "dave")]
    made = world.commit("alice", references=messages, proposals=[Proposal.of(Remove(world.leaf("bob")))])
    assert list(world.groups) == ["alice"]
    assert sorted(made.summary.removes) == [1, 2, 3]


def test_a_newcomer_lets_out_who_wants_to_go(world: Members) -> None:
    """What the type is for: an external joiner ignores Removes, and takes this along by reference (V141)."""
    message = leaving(world, "bob")
    zoe = Stranger.named(world, "zoe")
    made = zoe.joins(references=[message])
    assert made.summary.removes == (1,)
    assert made.summary.committer == 1  # the place has just come free
    for name in ("alice", "carol", "dave"):
        staged = world[name].stage(made.message, proposals=[message], now=NOW)
        assert staged.successor is not None
        assert staged.successor.epoch_authenticator == made.group.epoch_authenticator
    left = world["bob"].stage(made.message, proposals=[message], now=NOW)
    assert left.removed
    assert left.successor is None


def test_one_comes_back_while_another_leaves(world: Members) -> None:
    message = leaving(world, "carol")
    made = Stranger.named(world, "dave").joins(references=[message], replaces=world.leaf("dave"))
    assert sorted(made.summary.removes) == [2, 3]
    staged = world["bob"].stage(made.message, proposals=[message], now=NOW)
    assert staged.successor is not None
    assert staged.successor.epoch_authenticator == made.group.epoch_authenticator


def test_v118_a_self_remove_by_value(world: Members) -> None:
    """It would be the committer's own (V116); by reference it may not commit its own either."""
    alice = Forger(world["alice"], world.random)
    refused(world["bob"], "V118", alice.commit(edit_content=instead(SelfRemove())))
    own = alice.proposal(SelfRemove())
    refused(world["bob"], "V118", alice.commit(edit_content=referring(world["alice"], own)), [own])


def test_v119_a_self_remove_of_who_is_removed_too(world: Members) -> None:
    message = leaving(world, "carol")
    commit = Forger(world["alice"], world.random).commit(edit_content=both(world, message, Remove(world.leaf("carol"))))
    refused(world["bob"], "V119", commit, [message])
    zoe = Stranger.named(world, "carol")
    joined = zoe.commit(edit_content=both(world, message, Remove(world.leaf("carol")), own=1))
    refused(world["bob"], "V119", joined, [message])


def both(world: Members, message: bytes, removal: Remove, own: int = 0) -> Callable[[FramedContent], FramedContent]:
    """Keep that many proposals of the commit's own; then a removal by value, and a SelfRemove by reference."""
    reference = received_by(world["alice"], message).reference or b""
    entries = (ProposalOrRef.by_value(Proposal.of(removal)), ProposalOrRef.by_reference(reference))

    def edit(content: FramedContent) -> FramedContent:
        commit = content.content
        assert isinstance(commit, Commit)
        return replace(content, content=replace(commit, proposals=(*commit.proposals[:own], *entries)))

    return edit


@pytest.mark.parametrize(
    ("rule", "sender"),
    [("V110", Sender(SenderType.EXTERNAL, sender_index=0)), ("V027", Sender(SenderType.NEW_MEMBER_PROPOSAL))],
)
def test_v110_v027_a_self_remove_from_outside(world: Members, rule: str, sender: Sender) -> None:
    alice = Forger(world["alice"], world.random)
    proposal = alice.proposal(SelfRemove(), sender)
    refused(world["bob"], rule, alice.commit(edit_content=referring(world["alice"], proposal)), [proposal])


def test_v034_a_self_remove_that_a_newcomer_could_not_read(world: Members) -> None:
    group = world["bob"]
    content = public_content(Forger(world["carol"], world.random).proposal(SelfRemove()))
    sealed = replace(content, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    with pytest.raises(InvalidError) as wrong:
        check_proposal_message(group.suite, group.context, group.public.tree, sealed)
    assert wrong.value.rule == "V034"
    with pytest.raises(MisuseError, match="PublicMessage"):
        world["carol"].propose(self_remove(), world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)


def test_v112_where_somebody_does_not_know_the_type() -> None:
    """V128: neither proposed by us, nor taken from others who do."""
    world = Members("alice", "bob")
    old = Client("carol", 1, world.random)
    old.capabilities = replace(own_capabilities((POLICY, VOTER)), proposals=())
    world.clients["carol"] = old
    world.add("alice", "carol")
    with pytest.raises(InvalidError) as ours:
        world["bob"].propose(self_remove(), world.random, NOW)
    assert ours.value.rule == "V112"
    proposal = Forger(world["bob"], world.random).proposal(SelfRemove())
    commit = Forger(world["alice"], world.random).commit(references=[proposal])
    refused(world["carol"], "V112", commit, [proposal])


def test_v128_who_is_removed_need_not_know_the_type() -> None:
    """It does not process the commit (§12.2): others accept this one, so refusing it would split the group."""
    world = Members("alice", "bob")
    old = Client("carol", 1, world.random)
    old.capabilities = replace(own_capabilities((POLICY, VOTER)), proposals=())
    world.clients["carol"] = old
    world.add("alice", "carol", "dave")
    proposal = Forger(world["bob"], world.random).proposal(SelfRemove())
    made = world["alice"].commit(world.random, NOW, proposals=[remove(world.leaf("carol"))], references=[proposal])
    staged = world["dave"].stage(made.message, proposals=[proposal], now=NOW)
    assert staged.successor is not None
    assert staged.successor.epoch_authenticator == made.successor.epoch_authenticator
    assert world["alice"].choose([proposal], NOW) == ()
    refused(world["dave"], "V112", Forger(world["alice"], world.random).commit(references=[proposal]), [proposal])


def test_we_ask_to_leave_once_in_an_epoch(world: Members) -> None:
    leaving(world, "carol")
    with pytest.raises(MisuseError, match="already"):
        leaving(world, "carol")
    world.commit("alice")
    leaving(world, "carol")


def test_who_asked_to_leave_stays_until_somebody_commits(world: Members) -> None:
    message = leaving(world, "carol")
    assert isinstance(MLSMessage.decode(message).body, PublicMessage)
    world.commit("alice")
    assert world.agree()
    with pytest.raises(InvalidError) as wrong:
        world["alice"].commit(world.random, NOW, references=[message])
    assert wrong.value.rule == "V021"
