"""The facade: a group as a value that its members carry from epoch to epoch."""

import pytest

from mls.capabilities import own_capabilities
from mls.credentials import basic
from mls.errors import InvalidError, MisuseError, MlsError, UnopenableError
from mls.extensions import RequiredCapabilities, required_capabilities_extension
from mls.framing import MLSMessage, frame
from mls.group import Group
from mls.leaf_change import LeafChange
from mls.observe import observe
from mls.peek import confirmed_transcript_hash, key_package_reference, peek, welcome_references
from mls.proposals import add, group_context_extensions, remove
from mls.registry import ContentType, ExtensionType, ProposalType, SenderType, WireFormat
from mls.tree.nodes import Extension
from tests.mls.world import LIFETIME, NOW, POLICY, VOTER, Client, Dice, Members

ALL_SUITES = range(1, 8)
BOTH_WIRE_FORMATS = (WireFormat.MLS_PUBLIC_MESSAGE, WireFormat.MLS_PRIVATE_MESSAGE)


@pytest.mark.parametrize("suite_id", ALL_SUITES)
def test_a_group_lives_in_every_suite(suite_id: int) -> None:
    """Create, add, talk, update, remove, add again: all members agree at every step."""
    world = Members("alice", "bob", "carol", suite_id=suite_id)
    assert world.agree()
    world.add("bob", "dave", "erin")
    assert world.agree()
    world.remove("alice", "bob")
    assert world.agree()
    world.add("dave", "bob")
    world.commit("erin")
    assert world.agree()
    world.groups["bob"], message = world["bob"].seal(b"back again", world.random)
    assert world["alice"].open(message, NOW)[1].plaintext == b"back again"
    assert [member.identity for member in world["bob"].members()] == [b"alice", b"bob", b"carol", b"dave", b"erin"]


@pytest.mark.parametrize("wire_format", BOTH_WIRE_FORMATS)
def test_proposals_by_reference(wire_format: WireFormat) -> None:
    """An Update, a Remove and an Add of three members, committed by a fourth, in either wire format."""
    world = Members("alice", "bob", "carol", "dave", "erin")
    package = world.client("frank").package()
    messages = []
    world.groups["bob"], update = world["bob"].propose_update(world.random, wire_format=wire_format)
    messages.append(update)
    for name, proposal in (("carol", add(package.key_package)), ("dave", remove(world.leaf("erin")))):
        world.groups[name], message = world[name].propose(proposal, world.random, NOW, wire_format=wire_format)
        messages.append(message)
    before = world["bob"].members()[1].leaf

    made = world.commit("alice", references=messages, wire_format=wire_format)

    assert world.agree()
    assert world["bob"].members()[1].leaf.encryption_key != before.encryption_key
    assert made.summary.updates == (1,)
    assert made.summary.proposal_types == (ProposalType.UPDATE, ProposalType.ADD, ProposalType.REMOVE)
    assert "erin" not in world.groups
    world.commit("bob")
    assert world.agree()


def test_an_update_may_change_signature_key_and_extensions() -> None:
    world = Members("alice", "bob", "carol")
    fresh = world["bob"].suite.generate_signature_key(world.random)
    change = LeafChange(extensions=(Extension(ExtensionType(VOTER), b"vote key"),), signer=fresh)
    world.groups["bob"], update = world["bob"].propose_update(world.random, leaf=change)
    world.commit("alice", references=[update])
    leaf = world["alice"].members()[1].leaf
    assert (leaf.signature_key, leaf.extensions) == (fresh.public, change.extensions)
    world.commit("bob")
    assert world.agree()


def test_an_update_whose_keys_are_lost_does_not_open() -> None:
    """Right for the others: so it asks for recovery."""
    world = Members("alice", "bob", "carol")
    _, update = world["bob"].propose_update(world.random)  # the successor that holds the keys is dropped
    made = world.commit("alice", adopt=False, references=[update])
    assert world["carol"].stage(made.message, proposals=[update], now=NOW).successor is not None
    with pytest.raises(UnopenableError):
        world["bob"].stage(made.message, proposals=[update], now=NOW)


def test_rivals_of_one_epoch_are_staged_side_by_side() -> None:
    """V162, V164: nothing is applied by being looked at, and any one of them can win."""
    world = Members("alice", "bob", "carol", "dave")
    rivals = {name: world.commit(name, adopt=False) for name in ("alice", "bob", "carol")}
    before = world["dave"].to_bytes()
    staged = {name: world["dave"].stage(made.message, now=NOW).successor for name, made in rivals.items()}
    assert world["dave"].to_bytes() == before
    for name, made in rivals.items():
        successor = staged[name]
        assert successor is not None
        assert successor.epoch_authenticator == made.successor.epoch_authenticator
    assert len({made.successor.epoch_authenticator for made in rivals.values()}) == 3
    world.adopt("bob", rivals["bob"])
    assert world.agree()


def test_a_commit_can_be_made_in_a_group_of_one() -> None:
    world = Members("alice")
    world.commit("alice")
    world.commit("alice", force_path=False, proposals=[group_context_extensions(())])
    assert world["alice"].epoch == 2
    world.add("alice", "bob")
    assert world.agree()


@pytest.mark.parametrize("force_path", [False, True])
def test_several_newcomers_share_one_welcome(force_path: bool) -> None:
    """V201, V224: each joins by it, and can follow the next path."""
    world = Members("alice", "bob")
    made = world.add("alice", "carol", "dave", "erin", force_path=force_path)
    assert world.agree()
    assert made.welcome is not None
    references = welcome_references(made.welcome)
    assert references == tuple(each.reference for each in made.summary.adds)
    assert [each.leaf_index for each in made.summary.adds] == [2, 3, 4]
    assert made.summary.has_path is force_path
    for name in ("carol", "erin", "bob"):
        world.commit(name)
        assert world.agree()


def test_the_callers_data_travels_with_the_commit() -> None:
    """The ordering layer binds a commit to its instance with it."""
    world = Members("alice", "bob")
    made = world.commit("alice", authenticated_data=b"instance")
    assert peek(made.message).authenticated_data == b"instance"
    assert made.summary.authenticated_data == b"instance"


def test_private_use_extensions_work_end_to_end() -> None:
    """In the group context and in leaves, from creation, from KeyPackages and by commits."""
    policy = Extension(ExtensionType(POLICY), b"rules")
    world = Members("alice", "bob", extensions=(policy,))
    assert world["bob"].extensions == (policy,)
    voter = (Extension(ExtensionType(VOTER), b"vote key"),)
    world.commit("bob", leaf=LeafChange(extensions=voter))
    assert world["alice"].members()[1].leaf.extensions == voter
    changed = Extension(ExtensionType(POLICY), b"other rules")
    made = world.commit("alice", proposals=[group_context_extensions((changed,))])
    assert world["bob"].extensions == made.summary.extensions == (changed,)
    package = world.client("carol").package(leaf_extensions=voter)
    made = world.commit("alice", proposals=[add(package.key_package)])
    assert world["bob"].members()[2].leaf.extensions == voter
    assert made.summary.adds[0].leaf.extensions == voter


def test_an_observer_follows_a_group_without_a_secret() -> None:
    """From a GroupInfo on, by commits alone; its view equals the members' in every byte."""
    world = Members("alice", "bob", "carol")
    observer = observe(world["bob"].group_info())
    assert observer == world["bob"].public
    for committer in ("alice", "carol", "bob"):
        proposer = "bob" if committer != "bob" else "alice"
        world.groups[proposer], update = world[proposer].propose_update(world.random)
        made = world.commit(committer, references=[update])
        observer = observer.check_commit(made.message, [update]).successor
        assert observer == world["alice"].public
        assert type(observer).from_bytes(observer.to_bytes()) == observer


def test_a_joiner_can_check_which_commit_led_to_its_epoch() -> None:
    world = Members("alice", "bob")
    interim = world["alice"].public.interim_transcript_hash
    made = world.add("alice", "carol")
    expected = confirmed_transcript_hash(1, interim, made.message)
    assert world["carol"].context.confirmed_transcript_hash == expected


def test_v208_exported_secrets_agree_and_change_with_each_epoch() -> None:
    world = Members("alice", "bob")
    first = {group.export("a use", b"context", 32) for group in world.groups.values()}
    assert len(first) == 1
    assert world["alice"].export("another use", b"context", 32) not in first
    world.commit("alice")
    assert world["alice"].export("a use", b"context", 32) not in first


def test_peeking_tells_what_anyone_can_read() -> None:
    world = Members("alice", "bob")
    public = peek(world.commit("alice", adopt=False).message)
    assert (public.wire_format, public.content_type) == (WireFormat.MLS_PUBLIC_MESSAGE, ContentType.COMMIT)
    assert (public.group_id, public.epoch) == (b"a group", 1)
    assert public.sender is not None
    assert (public.sender.sender_type, public.sender.leaf_index) == (SenderType.MEMBER, 0)
    private = peek(world["alice"].seal(b"words", world.random)[1])
    assert (private.wire_format, private.content_type) == (WireFormat.MLS_PRIVATE_MESSAGE, ContentType.APPLICATION)
    assert (private.epoch, private.sender) == (1, None)
    package = world.client("carol").package()
    assert key_package_reference(frame(package.key_package)) == package.reference
    assert peek(frame(package.key_package)).wire_format is WireFormat.MLS_KEY_PACKAGE


def test_v069_a_creator_that_does_not_list_its_suite() -> None:
    client = Client("alice", 1, Dice())
    capabilities = own_capabilities((POLICY,))
    narrow = type(capabilities)((1,), (2,), capabilities.extensions, (), (1,))
    with pytest.raises(MisuseError, match="V069"):
        Group.create(1, b"g", client.signer, basic(b"alice"), narrow, (), (), Dice(), LIFETIME)


def test_v205_a_creator_that_lacks_what_its_group_requires() -> None:
    client = Client("alice", 1, Dice())
    required = required_capabilities_extension(RequiredCapabilities((0xF00F,), (), ()))
    with pytest.raises(MisuseError, match="V063"):
        Group.create(1, b"g", client.signer, basic(b"alice"), client.capabilities, (), (required,), Dice(), LIFETIME)


def test_v108_a_reserved_type_is_not_put_into_the_group_context() -> None:
    client = Client("alice", 1, Dice())
    grease = Extension(ExtensionType(client.capabilities.extensions[-1]), b"")
    group = Group.create(1, b"g", client.signer, basic(b"alice"), client.capabilities, (), (), Dice(), LIFETIME)
    with pytest.raises(MisuseError, match="V108"):
        group.commit(Dice(), NOW, proposals=[group_context_extensions((grease,))])


def test_a_sender_applies_the_rules_of_its_receivers() -> None:
    """What they would refuse never leaves."""
    world = Members("alice", "bob")
    for rule, proposal in (
        ("V098", remove(7)),
        ("V118", remove(0)),
        ("V121", add(world.client("bob").package().key_package)),
    ):
        with pytest.raises(InvalidError) as wrong:
            world["alice"].commit(world.random, NOW, proposals=[proposal])
        assert wrong.value.rule == rule
    with pytest.raises(InvalidError):
        world["alice"].propose(remove(7), world.random, NOW)


def test_nothing_printed_holds_a_secret() -> None:
    """V216: what ends in a log by accident is no key."""
    world = Members("alice", "bob")
    group = world["alice"]
    world.commit("bob")
    made = world.commit("alice", adopt=False)
    bundle = world.client("carol").package()
    shown = f"{group!r} {world['alice']!r} {made!r} {bundle!r} {group.state.secrets!r}"
    secrets = [
        group.state.secrets.init_secret,
        group.state.secrets.exporter_secret,
        group.state.secrets.epoch_authenticator,
        group.state.signer.to_bytes(),
        group.state.keys.leaf_key.to_bytes(),
        bundle.init_key.to_bytes(),
        made.successor.state.secrets.membership_key,
    ]
    for secret in secrets:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def test_any_single_flipped_byte_of_a_commit_is_refused() -> None:
    """Whichever byte it is, and the group is as it was."""
    world = Members("alice", "bob", "carol")
    package = world.client("dave").package()
    world.groups["bob"], update = world["bob"].propose_update(world.random)
    made = world["alice"].commit(world.random, NOW, proposals=[add(package.key_package)], references=[update])
    before = world["carol"].to_bytes()
    for position in range(len(made.message)):
        broken = bytearray(made.message)
        broken[position] ^= 0x20
        with pytest.raises(MlsError):
            world["carol"].stage(bytes(broken), proposals=[update], now=NOW)
    for position in range(len(update)):
        broken = bytearray(update)
        broken[position] ^= 0x20
        with pytest.raises(MlsError):
            world["carol"].stage(made.message, proposals=[bytes(broken)], now=NOW)
    assert world["carol"].to_bytes() == before
    assert MLSMessage.decode(made.message).encode() == made.message


@pytest.mark.parametrize("step", [7])
def test_a_flipped_byte_of_a_private_commit_is_refused(step: int) -> None:
    world = Members("alice", "bob", "carol")
    made = world["alice"].commit(world.random, NOW, wire_format=WireFormat.MLS_PRIVATE_MESSAGE)
    assert world["bob"].stage(made.message, now=NOW).successor is not None
    for position in range(0, len(made.message), step):
        broken = bytearray(made.message)
        broken[position] ^= 0x80
        with pytest.raises(MlsError):
            world["bob"].stage(bytes(broken), now=NOW)


def test_an_observer_refuses_every_flipped_byte_that_is_signed() -> None:
    """All but the two tags, which an observer cannot judge: they end the message."""
    world = Members("alice", "bob")
    made = world["alice"].commit(world.random, NOW)
    tags = 2 * (1 + world["alice"].suite.hash_size)
    for position in range(len(made.message) - tags):
        broken = bytearray(made.message)
        broken[position] ^= 0x04
        with pytest.raises(MlsError):
            world["bob"].public.check_commit(bytes(broken))
