"""Rules that no message can break: what this engine itself does, forgets, hands over or leaves alone."""

from dataclasses import replace
from typing import Any

import pytest

from mls.config import GroupConfig
from mls.credentials import basic
from mls.crypto import suite
from mls.entry import join
from mls.errors import InvalidError, MisuseError, UnopenableError
from mls.extensions import ApplicationId, RequiredCapabilities, required_capabilities_extension
from mls.framing import MLSMessage, PrivateMessage, Sender, SenderData, SenderDataAAD
from mls.group import Group
from mls.key_schedule import joiner_secret, sender_data_key, start_epoch, welcome_secret, zero_secret
from mls.peek import peek
from mls.private_protection import seal_private
from mls.proposals import GroupContextExtensions, Proposal, Remove, add, group_context_extensions, remove
from mls.registry import ExtensionType, SenderType, WireFormat
from mls.transcript import interim_transcript_hash
from mls.tree.nodes import Extension
from tests.mls.forge import Forger
from tests.mls.world import LIFETIME, NOW, POLICY, Client, Dice, Members


@pytest.fixture
def world() -> Members:
    return Members("alice", "bob", "carol")


# --- sending ---


def sender_data(group: Group, message: bytes) -> SenderData:
    body = MLSMessage.decode(message).body
    assert isinstance(body, PrivateMessage)
    key, nonce = sender_data_key(group.suite, group.state.secrets.sender_data_secret, body.ciphertext)
    aad = SenderDataAAD(body.group_id, body.epoch, body.content_type).encode()
    return SenderData.decode(group.suite.aead_open(key, nonce, body.encrypted_sender_data, aad))


def test_v045_the_next_position_is_there_to_be_kept_before_the_message_leaves(world: Members) -> None:
    """The group that seals stays as it was; what it returns beside the message has moved on, and survives as bytes."""
    group = world["alice"]
    before = group.to_bytes()
    after, message = group.seal(b"words", world.random)
    assert group.to_bytes() == before
    kept = Group.from_bytes(after.to_bytes())
    assert (sender_data(group, message).generation, kept.next_generation) == (0, 1)


def test_v045_each_message_has_a_reuse_guard_of_its_own(world: Members) -> None:
    """Even when a crash makes one generation seal twice, the nonces differ."""
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return world.random(size)

    group = world["alice"]
    sent = [sender_data(group, group.seal(b"words", random)[1]) for _ in range(8)]
    assert {each.generation for each in sent} == {0}
    assert len({each.reuse_guard for each in sent}) == 8
    assert asked == [4] * 8


def test_v046_only_a_members_content_is_sealed(world: Members) -> None:
    forger, state = Forger(world["alice"], world.random), world["alice"].state
    outside = forger.framed(Proposal.of(Remove(2)), Sender(SenderType.EXTERNAL, sender_index=0))
    signed = replace(forger.signed(outside), wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    with pytest.raises(MisuseError, match="V046"):
        seal_private(state.suite, signed, state.secrets.sender_data_secret, state.secret_tree, world.random)


@pytest.mark.parametrize("suite_id", [1, 3])
def test_v049_no_more_is_sealed_at_once_than_the_aead_bears(suite_id: int) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 31

    row = suite(suite_id)
    for plaintext, aad in ((Huge(), b""), (b"", Huge())):
        with pytest.raises(MisuseError, match="V049"):
            row.aead_seal(bytes(row.key_size), bytes(row.nonce_size), plaintext, aad)


def test_v166_who_has_proposed_commits_before_it_says_more(world: Members) -> None:
    group, proposal = world["bob"].propose(remove(world.leaf("carol")), world.random, NOW)
    with pytest.raises(MisuseError, match="V166"):
        group.seal(b"words", world.random)
    world.groups["bob"] = group
    world.commit("alice", references=[proposal])
    world["bob"].seal(b"words", world.random)


@pytest.mark.parametrize("committer", ["alice", "bob"])
def test_v167_what_is_said_next_is_said_in_the_new_epoch(world: Members, committer: str) -> None:
    world.commit(committer)
    _, message = world["alice"].seal(b"words", world.random)
    assert peek(message).epoch == world["alice"].epoch == 2


# --- commits of ours ---


def test_v163_making_a_commit_changes_nothing_until_it_has_won(world: Members) -> None:
    """It can be dropped, and the one that won taken instead."""
    group = world["alice"]
    before = group.to_bytes()
    lost = group.commit(world.random, NOW)
    assert group.to_bytes() == before
    assert lost.present.to_bytes() == before
    world.commit("bob")
    assert world.agree()
    assert world["alice"].epoch_authenticator != lost.successor.epoch_authenticator


def test_v165_a_welcome_waits_until_its_commit_has_won(world: Members) -> None:
    """It is no part of the message; that of a commit which lost leads into an epoch that nobody else is in."""
    bundle = world.client("dave").package()
    lost = world.commit("alice", adopt=False, proposals=[add(bundle.key_package)])
    assert lost.welcome is not None
    assert lost.welcome not in lost.message
    world.commit("bob")
    joined = join(lost.welcome, [bundle], tree=None, now=NOW)
    assert joined.epoch_authenticator not in {each.epoch_authenticator for each in world.groups.values()}


def test_v172_the_epoch_goes_up_by_one_and_the_group_stays_the_group(world: Members) -> None:
    rules = (Extension(ExtensionType(POLICY), b"rules"),)
    requests: list[dict[str, Any]] = [
        {},
        {"proposals": [add(world.client("dave").package().key_package)]},
        {"proposals": [remove(world.leaf("carol"))]},
        {"proposals": [group_context_extensions(rules)]},
        {"force_path": True},
    ]
    for request in requests:
        before = world["alice"].context
        after = world["bob"].public.check_commit(world.commit("alice", **request).message).successor.context
        assert after == world["alice"].context
        assert after.epoch == before.epoch + 1
        assert (after.group_id, after.version, after.cipher_suite) == (
            before.group_id,
            before.version,
            before.cipher_suite,
        )
        changed = any(isinstance(each.body, GroupContextExtensions) for each in request.get("proposals", ()))
        assert after.extensions == (rules if changed else before.extensions)


def test_v171_a_commit_that_does_not_open_is_told_apart(world: Members) -> None:
    """Its state is the old one: the caller can ask to be added anew."""
    message = Forger(world["alice"], world.random).commit(seal_under=b"elsewhere")
    with pytest.raises(UnopenableError):
        world["bob"].stage(message, now=NOW)
    assert world["bob"].public.check_commit(message).successor.epoch == 2


# --- what is forgotten ---


def test_v050_nothing_that_led_into_an_epoch_is_kept_in_it() -> None:
    """Init, joiner, welcome, epoch and encryption secret: in no byte of the newcomer's state, nor of the members'."""
    world = Members("alice", "bob")
    bundle = world.client("carol").package()
    made = world["alice"].commit(world.random, NOW, proposals=[add(bundle.key_package)], force_path=False)
    before, row, zero = world["alice"], world["alice"].suite, zero_secret(world["alice"].suite)
    context = made.successor.context.encode()
    joiner = joiner_secret(row, before.state.secrets.init_secret, zero, context)
    start = start_epoch(row, joiner, zero, context)
    member = row.extract(joiner, zero)
    epoch_secret = row.expand_with_label(member, "epoch", context, row.hash_size)
    assert made.welcome is not None
    joined = join(made.welcome, [bundle], tree=None, now=NOW)
    staged = world["bob"].stage(made.message, now=NOW).successor
    assert staged is not None
    assert start.secrets == joined.state.secrets == staged.state.secrets == made.successor.state.secrets

    led = [joiner, member, welcome_secret(row, joiner, zero), epoch_secret, before.state.secrets.init_secret]
    for group in (joined, staged, made.successor):
        kept = group.to_bytes()
        assert not any(secret in kept for secret in led)
        used, _ = group.seal(b"words", world.random)
        assert start.encryption_secret not in used.to_bytes()
    assert bundle.init_key.to_bytes() not in joined.to_bytes()


def test_v170_replaced_private_keys_are_gone(world: Members) -> None:
    """Those of our own path, of a path we opened, and of an Update that was carried out."""
    for committer in ("alice", "bob"):
        held = [key.to_bytes() for key in world["alice"].state.keys.keys.values()]
        made = world.commit(committer)
        assert made.summary.has_path
        kept = world["alice"].to_bytes()
        gone = [key for key in held if key not in kept]
        assert gone
        present = {key.to_bytes() for key in world["alice"].state.keys.keys.values()}
        assert present.isdisjoint(gone)
    old = world["bob"].state.keys.leaf_key.to_bytes()
    world.groups["bob"], update = world["bob"].propose_update(world.random)
    world.commit("alice", references=[update])
    assert old not in world["bob"].to_bytes()


def test_v170_keys_of_nodes_that_a_commit_blanks_are_gone() -> None:
    """Those off the committer's own path too: a path opened beside them leaves them where they are."""
    world = Members("alice", "bob", "carol", "dave", "erin")
    world.commit("alice")
    held = dict(world["bob"].state.keys.keys)
    assert held.keys() == {2, 1, 3, 7}
    world.remove("erin", "dave")  # blanks 5, 3 and 7, and the path is 7 alone
    assert world["bob"].state.keys.keys.keys() == {2, 1, 7}
    kept = world["bob"].to_bytes()
    assert [index for index, key in held.items() if key.to_bytes() in kept] == [2, 1]


# --- proposals ---


def test_v133_a_list_is_carried_out_in_the_order_of_its_kinds(world: Members) -> None:
    """The Add comes first in the list, and still finds the place that the Remove makes; the extensions come last."""
    package = world.client("dave").package().key_package
    rules = (Extension(ExtensionType(POLICY), b"rules"),)
    update = world["bob"].propose_update(world.random)
    world.groups["bob"] = update[0]
    made = world.commit(
        "alice",
        proposals=[add(package), remove(world.leaf("carol")), group_context_extensions(rules)],
        references=[update[1]],
    )
    assert [each.leaf_index for each in made.summary.adds] == [2]
    assert world["bob"].extensions == rules
    assert world.agree()


def test_v116_a_proposal_by_reference_is_its_own_senders(world: Members) -> None:
    world.groups["carol"], update = world["carol"].propose_update(world.random)
    made = world.commit("alice", references=[update], proposals=[group_context_extensions(())])
    assert [each.sender.leaf_index for each in made.summary.proposals] == [0, 2]
    assert made.summary.updates == (2,)


def test_v130_what_the_application_decides_by_is_the_same_for_every_member(world: Members) -> None:
    """Who proposed what, and who committed it: from the commit alone, so that all decide alike."""
    world.groups["carol"], proposal = world["carol"].propose(remove(world.leaf("bob")), world.random, NOW)
    made = world["alice"].commit(world.random, NOW, references=[proposal])
    seen = [world[name].stage(made.message, proposals=[proposal], now=NOW).summary for name in ("bob", "carol")]
    assert seen[0] == seen[1] == made.summary
    assert (seen[0].committer, seen[0].proposals[0].sender.leaf_index) == (0, 2)


def test_v132_a_commit_that_leaves_a_proposal_out_is_taken(world: Members) -> None:
    _, update = world["carol"].propose_update(world.random)
    made = world["alice"].commit(world.random, NOW)
    assert world["bob"].stage(made.message, proposals=[update], now=NOW).summary.proposals == ()


# --- credentials ---


def test_v053_the_application_is_asked_before_a_key_package_is_used() -> None:
    config = GroupConfig(validate_credential=lambda use: use.credential.identity != b"mallory")
    world = Members("alice", "bob", config=config)
    proposal = add(world.client("mallory").package().key_package)
    with pytest.raises(InvalidError) as committed:
        world["alice"].commit(world.random, NOW, proposals=[proposal])
    with pytest.raises(InvalidError) as proposed:
        world["alice"].propose(proposal, world.random, NOW)
    assert (committed.value.rule, proposed.value.rule) == ("V055", "V055")


def test_v059_a_member_whose_time_is_over_is_still_heard(world: Members) -> None:
    """A lifetime is about being added; who is in stays in until somebody removes them."""
    later = LIFETIME.not_after + 1
    world.groups["carol"], message = world["carol"].seal(b"still here", world.random)
    assert world["bob"].open(message, later)[1].plaintext == b"still here"
    made = world["carol"].commit(world.random, later)
    assert world["bob"].stage(made.message, now=later).successor is not None


def test_v060_an_application_id_names_nobody(world: Members) -> None:
    """Two members may have the same, and it is neither's identity."""
    same = (Extension(ExtensionType.APPLICATION_ID, ApplicationId(b"alice").encode()),)
    bundles = {name: world.client(name).package(leaf_extensions=same) for name in ("dave", "erin")}
    made = world.commit("alice", proposals=[add(each.key_package) for each in bundles.values()])
    for name, bundle in bundles.items():
        world.join(name, made, bundle)
    assert world.agree()
    assert [member.identity for member in world["bob"].members()] == [b"alice", b"bob", b"carol", b"dave", b"erin"]


# --- groups ---


def test_v204_a_group_begins_with_a_fresh_secret_and_an_empty_transcript() -> None:
    """The interim hash is made of the confirmation tag all the same."""
    client, asked = Client("alice", 1, Dice()), []

    def random(size: int) -> bytes:
        asked.append(size)
        return dice(size)

    dice = Dice("creation")
    groups = [
        Group.create(1, b"g", client.signer, basic(b"alice"), client.capabilities, (), (), random, LIFETIME)
        for _ in range(2)
    ]
    group, row = groups[0], groups[0].suite
    tag = row.mac(group.state.secrets.confirmation_key, b"")
    assert (group.epoch, group.context.confirmed_transcript_hash) == (0, b"")
    assert group.public.interim_transcript_hash == interim_transcript_hash(row, b"", tag)
    assert asked.count(row.hash_size) >= 2
    assert groups[0].epoch_authenticator != groups[1].epoch_authenticator


def test_v205_a_creator_that_lacks_an_extension_of_its_group() -> None:
    client = Client("alice", 1, Dice())
    unknown = (Extension(ExtensionType(0xF00F), b""),)
    with pytest.raises(MisuseError, match="V080"):
        Group.create(1, b"g", client.signer, basic(b"alice"), client.capabilities, (), unknown, Dice(), LIFETIME)
    required = (required_capabilities_extension(RequiredCapabilities((), (0xF00F,), ())),)
    with pytest.raises(MisuseError, match="V063"):
        Group.create(1, b"g", client.signer, basic(b"alice"), client.capabilities, (), required, Dice(), LIFETIME)
