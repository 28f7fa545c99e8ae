"""Proposals from outside the group: who may send which, and only in the open (RFC 9420 §12.1.8)."""

from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.credentials import CredentialUse, basic
from mls.crypto import SignaturePrivateKey
from mls.errors import InvalidError, MisuseError
from mls.extensions import ExternalSender, external_senders_extension
from mls.framing import Sender
from mls.outside import propose_from_outside
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import GroupContextExtensions, Proposal, Remove, Update, group_context_extensions
from mls.public_group import PublicGroup, public_content
from mls.registry import LeafNodeSource, ProposalType, SenderType, WireFormat
from mls.validation.messages import check_signature
from tests.mls.forge import Forger, refused
from tests.mls.world import NOW, Dice, Members


class Supervised(Members):
    """A group that lets one outsider propose."""

    def __init__(self, config: GroupConfig | None = None) -> None:
        self.outsider: SignaturePrivateKey = Members("outside", seed="outside")["outside"].state.signer
        named = external_senders_extension((ExternalSender(self.outsider.public, basic(b"a supervisor")),))
        super().__init__("alice", "bob", "carol", extensions=(named,), config=config)
        self.forger = Forger(self["alice"], Dice("forger"))

    def removal(self, sender_index: int = 0, signer: SignaturePrivateKey | None = None) -> bytes:
        sender = Sender(SenderType.EXTERNAL, sender_index=sender_index)
        return self.forger.proposal(Remove(self.leaf("carol")), sender, signer or self.outsider)


def test_an_external_removal_is_committed_like_any_other() -> None:
    world = Supervised()
    made = world.commit("alice", references=[world.removal()])
    assert world.agree()
    assert "carol" not in world.groups
    assert made.summary.proposals[0].sender.sender_type is SenderType.EXTERNAL


def test_v024_an_index_beyond_the_groups_external_senders() -> None:
    world = Supervised()
    removal = world.removal(sender_index=1)
    refused(world["bob"], "V024", world.forger.commit(references=[removal]), [removal])


def test_v028_an_external_removal_signed_by_somebody_else() -> None:
    """A member's key does not do either."""
    world = Supervised()
    removal = world.removal(signer=world["alice"].state.signer)
    refused(world["bob"], "V028", world.forger.commit(references=[removal]), [removal])


def test_v033_an_outsider_in_a_private_message() -> None:
    """V109: it has no key to seal with; content that claims so is made up."""
    world = Supervised()
    group = world["bob"]
    content = world.forger.framed(Proposal.of(Remove(2)), Sender(SenderType.EXTERNAL, sender_index=0))
    signed = replace(world.forger.signed(content, world.outsider), wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    with pytest.raises(InvalidError) as wrong:
        check_signature(group.suite, group.context, group.public.tree, signed)
    assert wrong.value.rule == "V033"


def test_v024_v113_an_outsider_of_ours_has_a_name_and_no_reserved_proposals() -> None:
    world = Supervised()
    context, removal = world["alice"].context, Proposal.of(Remove(2))
    made = propose_from_outside(context, removal, world.outsider)
    assert world["bob"].public.receive_proposal(public_content(made)).proposal == removal
    with pytest.raises(MisuseError, match="V024"):
        propose_from_outside(context, removal, world["alice"].state.signer)
    with pytest.raises(MisuseError, match="V113"):
        propose_from_outside(context, Proposal(ProposalType(0x0A0A), Remove(2)), world.outsider)


class NoOutsiders(Policy):
    """Members change the group, nobody else."""

    def allows_proposal(self, group: PublicGroup, proposal: ListedProposal) -> bool:
        return proposal.sender.sender_type is SenderType.MEMBER


def test_v111_a_proposal_from_outside_that_the_application_does_not_allow() -> None:
    """An observer and a member ask alike; the group may name its sender, and the message may be right."""
    world = Supervised(GroupConfig(policy=NoOutsiders()))
    removal = world.removal()
    message, bob = world.forger.commit(references=[removal]), world["bob"]
    assert bob.public.check_commit(message, [removal]).removes == (2,)
    before = bob.to_bytes()
    with pytest.raises(InvalidError) as by_anyone:
        bob.public.check_commit(message, [removal], policy=NoOutsiders())
    with pytest.raises(InvalidError) as by_member:
        bob.stage(message, proposals=[removal], now=NOW)
    with pytest.raises(InvalidError) as by_committer:
        world["alice"].commit(world.random, NOW, references=[removal])
    assert {each.value.rule for each in (by_anyone, by_member, by_committer)} == {"V111"}
    assert bob.to_bytes() == before


def test_v058_an_external_sender_the_application_does_not_accept() -> None:
    world = Members("alice", "bob")
    named = external_senders_extension((ExternalSender(world["bob"].state.signer.public, basic(b"mallory")),))
    made = world.commit("alice", adopt=False, proposals=[group_context_extensions((named,))])
    asked: list[CredentialUse] = []

    def accept(use: CredentialUse) -> bool:
        asked.append(use)
        return use.credential.identity != b"mallory"

    with pytest.raises(InvalidError) as wrong:
        world["bob"].public.check_commit(made.message, accept=accept)
    assert wrong.value.rule == "V058"
    assert asked[0].signature_key == world["bob"].state.signer.public


def test_v052_an_external_sender_with_a_key_of_another_scheme() -> None:
    world = Members("alice", "bob")
    named = external_senders_extension((ExternalSender(bytes(65), basic(b"a supervisor")),))
    alice = Forger(world["alice"], world.random)
    refused(world["bob"], "V014", alice.commit(GroupContextExtensions((named,))))


def test_v056_an_update_to_a_credential_the_application_does_not_accept() -> None:
    world = Members("alice", "bob", "carol")
    carol = Forger(world["carol"], world.random)
    key = world["carol"].suite.generate_hpke_key(world.random)
    leaf = replace(
        world["carol"].state.own_leaf_node,
        encryption_key=key.public,
        credential=basic(b"mallory"),
        leaf_node_source=LeafNodeSource.UPDATE,
        lifetime=None,
    )
    update = carol.proposal(Update(carol.resigned(leaf)))
    message = Forger(world["alice"], world.random).commit(references=[update])
    with pytest.raises(InvalidError) as wrong:
        world["bob"].public.check_commit(
            message, [update], accept=lambda use: use.replaces is None or use.credential == use.replaces.credential
        )
    assert wrong.value.rule == "V056"
