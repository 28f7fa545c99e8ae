"""Observers: who has no secret follows a group by its public messages, and believes no more than it can check."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from mls.checked_commit import PublicStaged
from mls.config import GroupConfig
from mls.credentials import CredentialUse, basic
from mls.errors import InvalidError, MalformedError, MlsError, StaleHandshakeError
from mls.extensions import ExternalSender, external_senders_extension
from mls.framing import MLSMessage, PublicMessage, frame
from mls.leaf_change import LeafChange
from mls.observer import Observer
from mls.outside import propose_from_outside, propose_own_add
from mls.policy import Policy
from mls.proposal_list import ListedProposal
from mls.proposals import Proposal, Remove, add, group_context_extensions, pre_shared_key, remove, self_remove
from mls.psks import external_psk
from mls.registry import ExtensionType, WireFormat
from mls.results import OwnCommit
from mls.tree.nodes import Extension
from tests.mls.forge import Forger
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, Dice, Members


class Watched(Members):
    """A group with somebody watching who is given every handshake message, and nothing else."""

    def __init__(self, *names: str, **options: Any) -> None:
        self.observer: Observer | None = None
        super().__init__(*names, **options)
        self.observer = Observer.start(self["alice"].group_info())

    def adopt(self, committer: str, made: OwnCommit, references: Sequence[bytes] = ()) -> None:
        super().adopt(committer, made, references)
        if self.observer is not None:
            self.take(made.message)

    def take(self, message: bytes) -> ListedProposal | PublicStaged:
        assert self.observer is not None
        self.observer, said = self.observer.take(message)
        return said

    def propose(self, name: str, proposal: Proposal) -> bytes:
        self.groups[name], message = self[name].propose(proposal, self.random, NOW)
        self.take(message)
        return message

    def sees_what_members_see(self) -> bool:
        assert self.observer is not None
        return {self.observer.public.to_bytes()} == {group.public.to_bytes() for group in self.groups.values()}


def test_an_observer_goes_where_the_members_go() -> None:
    """Adds, removals, updates, extensions and PSKs, by value and by reference; the tree grows and shrinks."""
    world = Watched("alice", "bob")
    world.add("alice", "carol", "dave", "erin")
    assert world.sees_what_members_see()
    removal = world.propose("bob", remove(world.leaf("erin")))
    world.groups["carol"], update = world["carol"].propose_update(world.random, leaf=LeafChange(extensions=()))
    world.take(update)
    world.commit("alice", references=[removal, update])
    assert world.sees_what_members_see()
    extension = Extension(ExtensionType(POLICY), b"rules")
    world.commit("bob", proposals=[group_context_extensions((extension,))])
    world.remove("alice", "carol", "dave")
    world.commit("bob", force_path=True)
    assert world.sees_what_members_see()
    assert world.agree()


def test_an_observer_reads_what_a_commit_does() -> None:
    world = Watched("alice", "bob", "carol")
    proposed = world.take(world.propose("bob", remove(world.leaf("carol"))))
    assert isinstance(proposed, ListedProposal)
    assert isinstance(proposed.proposal.body, Remove)
    assert world.observer is not None
    before = world.observer
    made = world.commit("alice", references=before.proposals)
    _, staged = before.take(made.message)
    assert isinstance(staged, PublicStaged)
    assert (staged.committer, staged.removes, staged.has_path) == (0, (2,), True)
    assert (before.public.epoch, len(before.proposals)) == (1, 1)
    assert (world.observer.public.epoch, len(world.observer.proposals)) == (2, 0)


def test_an_observer_follows_newcomers_who_let_themselves_in() -> None:
    """An external Commit, a newcomer's own Add, an external sender's removal, a SelfRemove."""
    outsider = Members("outside", seed="outside")["outside"].state.signer
    named = external_senders_extension((ExternalSender(outsider.public, basic(b"a supervisor")),))
    world = Watched("alice", "bob", "carol", extensions=(named,))
    joined = Stranger.named(world, "dave").joins()
    for name in list(world.groups):
        staged = world[name].stage(joined.message, now=NOW).successor
        assert staged is not None
        world.groups[name] = staged
    world.groups["dave"] = joined.group
    world.take(joined.message)
    assert world.sees_what_members_see()

    bundle = world.client("erin").package()
    asks = propose_own_add(world["alice"].context, bundle)
    removal = propose_from_outside(world["alice"].context, remove(world.leaf("carol")), outsider)
    for message in (asks, removal):
        world.take(message)
    made = world.commit("bob", references=[asks, removal])
    world.join("erin", made, bundle)
    assert world.sees_what_members_see()
    assert world.agree()


def test_psks_are_seen_but_not_known() -> None:
    world = Watched("alice", "bob")
    key = {external_psk(b"a key"): b"secret"}
    named = pre_shared_key(world.suite_id, external_psk(b"a key"), world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[named], psks=key)
    world.take(made.message)
    assert world.observer is not None
    assert world.observer.public == made.successor.public


# --- what is refused --------------------------------------------------------------------------------------------------


def test_sealed_handshakes_are_closed_to_an_observer() -> None:
    """V034; application messages too (V032), and other kinds of message."""
    world = Watched("alice", "bob")
    made = world.commit("alice", adopt=False, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    _, said = world["alice"].seal(b"words", world.random)
    for message in (made.message, said, world["alice"].group_info()):
        with pytest.raises(InvalidError) as wrong:
            world.take(message)
        assert wrong.value.rule == "V034"
    with pytest.raises(MalformedError):
        world.take(b"no message")


def test_a_commit_of_proposals_that_did_not_come() -> None:
    """V115: it is taken once they have."""
    world = Watched("alice", "bob", "carol")
    world.groups["bob"], removal = world["bob"].propose(remove(2), world.random, NOW)
    made = world.commit("alice", adopt=False, references=[removal])
    with pytest.raises(InvalidError) as wrong:
        world.take(made.message)
    assert wrong.value.rule == "V115"
    world.take(removal)
    world.take(made.message)
    assert world.observer is not None
    assert world.observer.public == made.successor.public


def test_proposals_are_checked_as_they_come_and_kept_once() -> None:
    world = Watched("alice", "bob", "carol")
    removal = world.propose("bob", remove(2))
    world.take(removal)
    assert world.observer is not None
    assert world.observer.proposals == (removal,)
    forger = Forger(world["bob"], Dice())
    for wrong in (forger.proposal(Remove(7)), removal[:-40] + bytes([removal[-40] ^ 1]) + removal[-39:]):
        before = world.observer
        with pytest.raises(MlsError):
            world.take(wrong)
        assert world.observer is before


def test_what_is_refused_leaves_the_observer_where_it_was() -> None:
    world = Watched("alice", "bob")
    assert world.observer is not None
    before = world.observer
    late = world.commit("alice")
    with pytest.raises(StaleHandshakeError):
        world.take(late.message)
    made = world.commit("bob", adopt=False)
    body = MLSMessage.decode(made.message).body
    assert isinstance(body, PublicMessage)
    signature = bytes([*body.auth.signature[:-1], body.auth.signature[-1] ^ 1])
    with pytest.raises(InvalidError) as wrong:
        world.take(frame(replace(body, auth=replace(body.auth, signature=signature))))
    assert wrong.value.rule == "V028"
    assert world.sees_what_members_see()
    assert before.public.epoch == 1


def test_a_false_confirmation_tag_is_found_by_the_next_group_info() -> None:
    """Only members can tell it from a true one (V031): an observer who was led astray learns of it."""
    world = Watched("alice", "bob")
    made = world.commit("alice")
    assert world.observer is not None
    assert world.observer.confirms(made.successor.group_info())
    earlier = Observer.start(world["bob"].group_info())
    made = world.commit("bob", adopt=False)
    body = MLSMessage.decode(made.message).body
    assert isinstance(body, PublicMessage)
    astray, _ = earlier.take(frame(replace(body, auth=replace(body.auth, confirmation_tag=bytes(32)))))
    assert astray.public.epoch == made.successor.epoch
    assert not astray.confirms(made.successor.group_info())
    assert earlier.take(made.message)[0].confirms(made.successor.group_info())


# --- the application's word -------------------------------------------------------------------------------------------


class NoStrangers(Policy):
    def allows_proposal(self, group: object, proposal: ListedProposal) -> bool:
        return False


def test_an_observer_asks_the_application_like_a_member() -> None:
    """V054, V055, V111: of whoever is there when it starts, and of whoever comes."""

    def no_mallory(use: CredentialUse) -> bool:
        return use.credential.identity != b"mallory"

    config = GroupConfig(validate_credential=no_mallory, policy=NoStrangers())
    world = Members("alice", "bob")
    observer = Observer.start(world["alice"].group_info(), config=config)
    made = world.commit("alice", adopt=False, proposals=[add(world.client("mallory").package().key_package)])
    with pytest.raises(InvalidError) as added:
        observer.take(made.message)
    with pytest.raises(InvalidError) as there:
        Observer.start(made.successor.group_info(), config=config)
    with pytest.raises(InvalidError) as proposed:
        observer.take(propose_own_add(world["alice"].context, world.client("carol").package()))
    assert (added.value.rule, there.value.rule, proposed.value.rule) == ("V055", "V054", "V111")
    asked = propose_own_add(world["alice"].context, world.client("mallory").package())
    with pytest.raises(InvalidError) as itself:
        observer.take(asked)
    assert itself.value.rule == "V055"


def test_an_observer_holds_no_secret() -> None:
    """What it keeps is what went over the wire: it can be stored and sent in the clear."""
    world = Watched("alice", "bob")
    world.commit("alice")
    assert world.observer is not None
    kept = world.observer.public.to_bytes()
    secrets = world["alice"].state.secrets
    held = [getattr(secrets, each.name) for each in fields(secrets)]
    assert len(held) > 5
    assert not any(secret in kept for secret in held)


def test_a_self_remove_is_followed() -> None:
    world = Watched("alice", "bob", "carol")
    leaving = world.propose("carol", self_remove())
    world.commit("alice", references=[leaving])
    assert world.sees_what_members_see()
    assert "carol" not in world.groups
