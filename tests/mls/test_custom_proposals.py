"""Proposals of an application's own types (RFC 9420 §13.2): ordered and signed by MLS, applied by the application."""

from dataclasses import replace

import pytest

from mls.capabilities import own_capabilities
from mls.client import Client as PublicClient
from mls.config import GroupConfig
from mls.credentials import basic
from mls.crypto import suite
from mls.errors import InvalidError, MalformedError, MisuseError
from mls.extensions import ExternalSender, RequiredCapabilities, external_senders_extension
from mls.extensions import required_capabilities_extension as requiring
from mls.framing import MLSMessage, Sender
from mls.group import Group
from mls.observer import Observer
from mls.outside import group_context_of, propose_from_outside
from mls.policy import Policy
from mls.proposals import CustomProposal, Proposal, add, custom, reinit, remove
from mls.registry import PRIVATE_USE, ProposalType, SenderType, WireFormat
from mls.tree.nodes import Extension
from tests.mls.forge import Forger, instead, referring, refused
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, VOTER, Client, Dice, Members

TOPIC, ROLE = 0xF123, 0xF124


class Forum(Members):
    """Members that all know both types, but who is said not to."""

    def __init__(
        self,
        *names: str,
        ignorant: tuple[str, ...] = (),
        policy: Policy | None = None,
        suite_id: int = 1,
        extensions: tuple[Extension, ...] = (),
    ) -> None:
        self.ignorant = ignorant
        config = GroupConfig() if policy is None else GroupConfig(policy=policy)
        super().__init__(*names, suite_id=suite_id, extensions=extensions, config=config)

    def client(self, name: str) -> Client:
        client = super().client(name)
        if name not in self.ignorant:
            client.capabilities = own_capabilities((POLICY, VOTER), self.random, proposals=(ROLE, TOPIC))
        return client


class Lenient(Policy):
    """A topic is set without a path, and by external senders too."""

    def requires_path(self, proposal_type: int) -> bool:
        return proposal_type != TOPIC

    def allows_external_sender(self, proposal_type: int) -> bool:
        return proposal_type == TOPIC


OUTSIDER = suite(1).generate_signature_key(Dice("outsider"))
SUPERVISED = (external_senders_extension((ExternalSender(OUTSIDER.public, basic(b"hr")),)),)


def from_outside(world: Members, proposal: Proposal) -> bytes:
    return propose_from_outside(group_context_of(world["alice"].group_info()), proposal, OUTSIDER)


@pytest.mark.parametrize("suite_id", [1, 2])
@pytest.mark.parametrize("wire_format", [WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE])
def test_everybody_is_told_what_was_proposed_and_by_whom(suite_id: int, wire_format: WireFormat) -> None:
    """By value, by reference, several of one type and beside others, in the Commit's order."""
    world = Forum("alice", "bob", "carol", suite_id=suite_id)
    world.groups["bob"], message = world["bob"].propose(
        custom(TOPIC, b"tea"), world.random, NOW, wire_format=wire_format
    )
    bundle = world.client("dave").package()
    made = world["alice"].commit(
        world.random,
        NOW,
        proposals=[custom(ROLE, b""), add(bundle.key_package), custom(TOPIC, b"coffee")],
        references=[message],
        wire_format=wire_format,
    )
    staged = world["carol"].stage(made.message, proposals=[message], now=NOW)
    assert staged.successor is not None
    assert staged.successor.epoch_authenticator == made.successor.epoch_authenticator
    for summary in (made.summary, staged.summary):
        told = [(each.sender.leaf_index, each.proposal.proposal_type, each.proposal.body) for each in summary.custom]
        assert told == [
            (0, ROLE, CustomProposal(b"")),
            (0, TOPIC, CustomProposal(b"coffee")),
            (1, TOPIC, CustomProposal(b"tea")),
        ]
        assert summary.proposal_types == (ROLE, ProposalType.ADD, TOPIC, TOPIC)
    world.adopt("alice", made, [message])
    world.join("dave", made, bundle)
    assert world.agree()


def test_an_observer_is_told_too() -> None:
    world = Forum("alice", "bob")
    observer = Observer.start(world["alice"].group_info())
    world.groups["bob"], message = world["bob"].propose(custom(TOPIC, b"tea"), world.random, NOW)
    observer, listed = observer.take(message)
    made = world.commit("alice", references=[message])
    observer, summary = observer.take(made.message)
    assert summary.custom == (listed,)  # type: ignore[union-attr]
    assert observer.confirms(world["bob"].group_info())


def test_a_proposal_of_our_own_outlives_a_restart() -> None:
    world = Forum("alice", "bob")
    group, message = world["bob"].propose(
        custom(TOPIC, b"tea"), world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE
    )
    world.groups["bob"] = Group.from_bytes(group.to_bytes(), world.config)
    assert world.commit("alice", references=[message]).summary.custom
    assert world.agree()


def test_on_the_wire_it_is_its_type_and_an_opaque_vector() -> None:
    assert custom(TOPIC, b"tea").encode() == b"\xf1\x23\x03tea"
    for proposal_type in (PRIVATE_USE[0], PRIVATE_USE[-1]):
        proposal = custom(proposal_type, bytes(70))
        assert Proposal.decode(proposal.encode()) == proposal
    for wrong in (b"\xf1\x23", b"\xf1\x23\x04tea", b"\xf1\x23\x03teas", b"\xf1\x23\x40\x03tea"):
        with pytest.raises(MalformedError):
            Proposal.decode(wrong)


def test_v210_types_that_are_registered_have_a_layout_that_we_do_not_know() -> None:
    """And reserved ones (GREASE) none."""
    for unknown in (0, 8, 0x0A0A, 0xEAEA, PRIVATE_USE[0] - 1):
        with pytest.raises(MalformedError, match="V210"):
            Proposal.decode(unknown.to_bytes(2, "big") + b"\x03tea")
        with pytest.raises(MisuseError):
            custom(unknown, b"tea")
        with pytest.raises(MisuseError):
            Proposal(ProposalType(unknown), CustomProposal(b"tea")).encode()
    for proposal_type in (-1, 0x10000):
        with pytest.raises(MisuseError):
            custom(proposal_type, b"tea")


def test_v112_where_one_member_does_not_know_the_type() -> None:
    """V128: nobody proposes it, commits it or takes it, by value or by reference; another's adding changes nothing."""
    world = Forum("alice", "bob", "carol", ignorant=("carol",))
    for attempt in (
        lambda: world["bob"].propose(custom(TOPIC, b"tea"), world.random, NOW),
        lambda: world["bob"].commit(world.random, NOW, proposals=[custom(TOPIC, b"tea")]),
    ):
        with pytest.raises(InvalidError) as ours:
            attempt()
        assert ours.value.rule == "V112"
    alice, proposal = (
        Forger(world["alice"], world.random),
        Forger(world["bob"], world.random).proposal(custom(TOPIC, b"tea")),
    )
    for judge in ("bob", "carol"):
        refused(world[judge], "V112", alice.commit(custom(TOPIC, b"tea")))
    refused(world["bob"], "V112", alice.commit(references=[proposal]), [proposal])
    assert world["alice"].choose([proposal], NOW) == ()


def test_v128_who_comes_or_goes_by_the_same_commit_need_not_know_the_type() -> None:
    world = Forum("alice", "bob", "carol", ignorant=("carol", "dave"))
    bundle = world.client("dave").package()
    changes = [custom(TOPIC, b"tea"), remove(world.leaf("carol")), add(bundle.key_package)]
    made = world["alice"].commit(world.random, NOW, proposals=changes)
    assert world["carol"].stage(made.message, now=NOW).removed
    world.adopt("alice", made)
    world.join("dave", made, bundle)
    assert world.agree()
    refused(world["bob"], "V112", Forger(world["alice"], world.random).commit(custom(TOPIC, b"tea")))


def test_v063_a_group_may_require_the_type() -> None:
    world = Forum("alice", "bob", ignorant=("carol",), extensions=(requiring(RequiredCapabilities((), (TOPIC,), ())),))
    with pytest.raises(InvalidError) as wrong:
        world.add("alice", "carol")
    assert wrong.value.rule == "V063"


def test_v150_a_path_is_required_unless_the_application_says_otherwise() -> None:
    world = Forum("alice", "bob")
    refused(world["bob"], "V150", Forger(world["alice"], world.random).commit(custom(TOPIC, b"tea"), path=False))
    assert world.commit("alice", proposals=[custom(TOPIC, b"tea")], force_path=False).summary.has_path
    lenient = Forum("alice", "bob", policy=Lenient())
    assert not lenient.commit("alice", proposals=[custom(TOPIC, b"tea")], force_path=False).summary.has_path
    assert lenient.agree()
    both = [custom(TOPIC, b"tea"), custom(ROLE, b"")]
    forged = Forger(lenient["alice"], lenient.random).commit(*both, path=False)
    with pytest.raises(InvalidError) as wrong:
        lenient["bob"].stage(forged, now=NOW)
    assert wrong.value.rule == "V150"
    assert lenient.commit("alice", proposals=both, force_path=False).summary.has_path


def test_v110_an_external_sender_needs_the_applications_leave() -> None:
    world = Forum("alice", "bob", extensions=SUPERVISED)
    proposal = from_outside(world, custom(TOPIC, b"tea"))
    refused(
        world["bob"],
        "V110",
        Forger(world["alice"], world.random).commit(edit_content=referring(world["alice"], proposal)),
        [proposal],
    )
    assert world["alice"].choose([proposal], NOW) == ()
    with pytest.raises(InvalidError) as wrong:
        world["bob"].public.check_proposal(proposal)
    assert wrong.value.rule == "V110"


def test_an_external_sender_with_leave() -> None:
    world = Forum("alice", "bob", policy=Lenient(), extensions=SUPERVISED)
    topic, role = (from_outside(world, custom(each, b"tea")) for each in (TOPIC, ROLE))
    assert world["alice"].choose([role, topic], NOW) == (topic,)
    (told,) = world.commit("alice", references=[topic]).summary.custom
    assert (told.sender.sender_type, told.sender.sender_index) == (SenderType.EXTERNAL, 0)
    assert world.agree()


def test_v027_a_newcomer_proposes_nothing_of_the_kind() -> None:
    world = Forum("alice", "bob", policy=Lenient())
    alice = Forger(world["alice"], world.random)
    proposal = alice.proposal(custom(TOPIC, b"tea"), Sender(SenderType.NEW_MEMBER_PROPOSAL))
    commit = alice.commit(edit_content=referring(world["alice"], proposal))
    with pytest.raises(InvalidError) as wrong:
        world["bob"].stage(commit, proposals=[proposal], now=NOW)
    assert wrong.value.rule == "V027"


def test_v139_v141_an_external_commit_carries_none() -> None:
    world = Forum("alice", "bob")
    zoe = Stranger.named(world, "zoe")
    refused(world["bob"], "V139", zoe.commit(custom(TOPIC, b"tea")))
    proposal = Forger(world["alice"], world.random).proposal(custom(TOPIC, b"tea"))
    refused(world["bob"], "V141", zoe.commit(references=[proposal]), [proposal])


def test_v126_not_beside_a_reinit() -> None:
    world = Forum("alice", "bob")
    alice = Forger(world["alice"], world.random)
    refused(world["bob"], "V126", alice.commit(edit_content=instead(reinit(b"next", 1), custom(TOPIC, b"tea"))))


def test_v130_the_application_has_the_last_word() -> None:
    """It sees each one's type, sender and data."""

    class OnlyTea(Policy):
        def allows_commit(self, group: object, commit: object) -> bool:
            return all(each.proposal.body.data == b"tea" for each in commit.custom)  # type: ignore[attr-defined]

    world = Forum("alice", "bob", policy=OnlyTea())
    world.commit("alice", proposals=[custom(TOPIC, b"tea")])
    with pytest.raises(InvalidError) as wrong:
        world["bob"].commit(world.random, NOW, proposals=[custom(TOPIC, b"coffee")])
    assert wrong.value.rule == "V130"
    with pytest.raises(InvalidError) as theirs:
        world["bob"].stage(Forger(world["alice"], world.random).commit(custom(TOPIC, b"coffee")), now=NOW)
    assert theirs.value.rule == "V130"


def test_all_that_were_proposed_are_chosen() -> None:
    """Which of them are rivals the application knows, not we. One that comes twice is one."""
    world = Forum("alice", "bob")
    messages = []
    for data in (b"tea", b"coffee", b"tea"):
        world.groups["bob"], message = world["bob"].propose(custom(TOPIC, data), world.random, NOW)
        messages.append(message)
    assert world["alice"].choose(messages, NOW) == tuple(dict.fromkeys(messages))
    assert len(world.commit("alice", references=messages[:2]).summary.custom) == 2


def test_any_flipped_byte_is_refused() -> None:
    """The data is signed like all else."""
    world = Forum("alice", "bob")
    _, message = world["bob"].propose(custom(TOPIC, b"tea"), world.random, NOW)
    place = message.index(b"tea")
    changed = message[:place] + b"TEA" + message[place + 3 :]
    assert MLSMessage.decode(changed)
    with pytest.raises(InvalidError) as wrong:
        world["alice"].public.check_proposal(changed)
    assert wrong.value.rule == "V028"


def test_a_leaf_lists_only_types_that_we_carry() -> None:
    """What we list others may commit, and we have to be able to read it (V210)."""
    ours = own_capabilities(proposals=(TOPIC, ROLE, TOPIC))
    assert ours.proposals == (ProposalType.SELF_REMOVE, TOPIC, ROLE)
    world = Members("alice")
    client = world.client("bob")
    for unknown in (0, 8, PRIVATE_USE[0] - 1):
        client.capabilities = replace(own_capabilities((POLICY, VOTER)), proposals=(unknown,))
        with pytest.raises(MisuseError, match="V210"):
            client.package()
    client = PublicClient.create(b"carol", Dice(), proposal_types=(TOPIC,))  # type: ignore[assignment]
    assert TOPIC in client.capabilities.proposals
