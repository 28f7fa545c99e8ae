"""Proposals from outside, made as they should be: by external senders, and by who wants to be added (§12.1.8)."""

import pytest

from mls.credentials import basic
from mls.crypto import SignaturePrivateKey, suite
from mls.entry import join
from mls.errors import InvalidError, MisuseError
from mls.extensions import ExternalSender, external_senders_extension
from mls.outside import group_context_of, propose_from_outside, propose_own_add
from mls.proposals import (
    ExternalInit,
    Proposal,
    add,
    group_context_extensions,
    pre_shared_key,
    reinit,
    remove,
    self_remove,
)
from mls.psks import PskName, external_psk
from mls.registry import SenderType
from tests.mls.world import NOW, Dice, Members


class Supervised(Members):
    """A group that names two outsiders; the second one proposes."""

    def __init__(self, suite_id: int = 1) -> None:
        row = suite(suite_id)
        first, self.outsider = (row.generate_signature_key(Dice(name)) for name in ("first", "second"))
        named = (
            ExternalSender(first.public, basic(b"a registrar")),
            ExternalSender(self.outsider.public, basic(b"hr")),
        )
        super().__init__("alice", "bob", "carol", suite_id=suite_id, extensions=(external_senders_extension(named),))

    def asked(self, proposal: Proposal) -> bytes:
        """All it needs is a GroupInfo."""
        return propose_from_outside(group_context_of(self["alice"].group_info()), proposal, self.outsider)


@pytest.mark.parametrize("suite_id", [1, 2, 5])
def test_an_external_sender_has_a_member_removed(suite_id: int) -> None:
    world = Supervised(suite_id)
    made = world.commit("alice", references=[world.asked(remove(world.leaf("carol")))])
    assert "carol" not in world.groups
    assert world.agree()
    assert made.summary.proposals[0].sender.sender_index == 1


def test_every_type_that_an_external_sender_may_propose() -> None:
    """Each is committed; the group follows."""
    world = Supervised()
    key: dict[PskName, bytes] = {external_psk(b"a key"): bytes(32)}
    psk = world.asked(pre_shared_key(1, external_psk(b"a key"), world.random))
    made = world["bob"].commit(world.random, NOW, references=[psk], psks=key)
    for name in ("alice", "carol"):
        successor = world[name].stage(made.message, proposals=[psk], now=NOW, psks=key).successor
        assert successor is not None
        world.groups[name] = successor
    world.groups["bob"] = made.successor
    bundle = world.client("dave").package()
    made = world.commit("bob", references=[world.asked(add(bundle.key_package))])
    world.join("dave", made, bundle)
    world.commit("bob", references=[world.asked(group_context_extensions(world["bob"].extensions))])
    world.commit("dave", references=[world.asked(reinit(b"next", 1))])
    assert world.agree()
    assert world["alice"].reinit is not None


@pytest.mark.parametrize(
    "proposal", [Proposal.of(ExternalInit(bytes(32))), self_remove()], ids=lambda each: each.proposal_type.name
)
def test_v035_what_an_external_sender_may_not_propose(proposal: Proposal) -> None:
    """V110."""
    with pytest.raises(InvalidError) as wrong:
        Supervised().asked(proposal)
    assert wrong.value.rule == "V110"


def test_v024_who_is_not_named_proposes_nothing() -> None:
    world = Supervised()
    stranger: SignaturePrivateKey = world["alice"].state.signer
    with pytest.raises(MisuseError, match="V024"):
        propose_from_outside(world["alice"].context, remove(2), stranger)


@pytest.mark.parametrize("suite_id", [1, 4, 7])
def test_a_newcomer_asks_to_be_added(suite_id: int) -> None:
    """Anyone in the group may commit it; the Welcome is for the package that was proposed."""
    world = Members("alice", "bob", suite_id=suite_id)
    bundle = world.client("zoe").package()
    message = propose_own_add(group_context_of(world["alice"].group_info(inline_tree=False)), bundle)
    made = world.commit("bob", references=[message])
    assert made.summary.proposals[0].sender.sender_type is SenderType.NEW_MEMBER_PROPOSAL
    world.groups["zoe"] = join(made.welcome or b"", [bundle], tree=None, now=NOW)
    assert world.agree()


def test_a_newcomers_package_is_of_the_groups_suite() -> None:
    world, other = Members("alice"), Members("zoe", suite_id=2)
    with pytest.raises(InvalidError) as wrong:
        propose_own_add(world["alice"].context, other.clients["zoe"].package())
    assert wrong.value.rule == "V083"
