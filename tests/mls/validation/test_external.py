"""Each rule about external Commits, broken by a newcomer who is right in all else (RFC 9420 §12.2, §12.4.3.2)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mls.config import GroupConfig
from mls.credentials import CredentialUse, basic
from mls.errors import InvalidError
from mls.extensions import Extensions, RequiredCapabilities, required_capabilities_extension
from mls.framing import AuthenticatedContent, FramedContent, Sender
from mls.policy import Policy
from mls.proposals import (
    Add,
    Commit,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    SelfRemove,
)
from mls.psks import PreSharedKeyID, ResumptionPsk, external_psk, psk_id
from mls.public_group import PublicGroup, public_content
from mls.registry import (
    CipherSuiteId,
    ExtensionType,
    ProtocolVersion,
    PSKType,
    ResumptionPSKUsage,
    SenderType,
    WireFormat,
)
from mls.tree.kem import UpdatePath
from mls.tree.nodes import Extension, LeafNode
from mls.validation.messages import check_signature
from tests.mls.forge import Forger, instead, referring, refused
from tests.mls.stranger import Stranger
from tests.mls.world import NOW, POLICY, Members

UNKNOWN = 0xF00F


class Door(Members):
    """Zoe stands outside and breaks rules; Bob judges. Carol's place is blank."""

    def __init__(self, extensions: Extensions = (), config: GroupConfig | None = None) -> None:
        super().__init__("alice", "bob", "carol", "dave", extensions=extensions, config=config)
        self.remove("alice", "carol")
        self.zoe = Stranger.named(self, "zoe")

    def refuses(self, rule: str, message: bytes, *proposals: bytes) -> None:
        refused(self["bob"], rule, message, proposals)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.mark.parametrize(("usage", "rule"), [(ResumptionPSKUsage.REINIT, "V100"), (ResumptionPSKUsage.BRANCH, "V101")])
def test_v100_v101_nobody_continues_a_group_by_joining_one(usage: ResumptionPSKUsage, rule: str) -> None:
    """Not even at epoch 0, where a founder does: it has the key, and everything else is right."""
    world = Members("alice")
    zoe, alice = Stranger.named(world, "zoe"), world["alice"]
    assert alice.epoch == 0
    psks = alice.resumption_psks
    right, wrong = (
        PreSharedKeyID(PSKType.RESUMPTION, ResumptionPsk(each, alice.group_id, 0), bytes(32))
        for each in (ResumptionPSKUsage.APPLICATION, usage)
    )
    assert alice.stage(zoe.commit(PreSharedKey(right), psks=psks), now=NOW).successor is not None
    refused(alice, rule, zoe.commit(PreSharedKey(wrong), psks=psks))


def test_the_stranger_is_believed_when_it_breaks_no_rule(door: Door) -> None:
    """Otherwise the refusals below would prove nothing. V144: it takes the leftmost blank leaf."""
    name, key = external_psk(b"a key"), bytes(32)
    message = door.zoe.commit(
        Remove(door.leaf("dave")), PreSharedKey(psk_id(name, bytes(32))), edit_leaf=named("dave"), psks={name: key}
    )
    staged = door["bob"].stage(message, now=NOW, psks={name: key})
    assert staged.successor is not None
    assert (staged.summary.committer, staged.summary.removes) == (2, (door.leaf("dave"),))
    assert staged.summary.is_external
    assert door["bob"].public.check_commit(message).successor == staged.successor.public


def named(name: str) -> Callable[[LeafNode], LeafNode]:
    """The leaf under another name."""
    return lambda leaf: replace(leaf, credential=basic(name.encode()))


# --- the list ---


def test_v136_no_external_init(door: Door) -> None:
    door.refuses("V136", door.zoe.commit(edit_content=instead()))


def test_v136_two_external_inits(door: Door) -> None:
    door.refuses("V136", door.zoe.commit(ExternalInit(bytes(32))))


def test_v137_two_removals(door: Door) -> None:
    removals = Remove(door.leaf("dave")), Remove(door.leaf("bob"))
    door.refuses("V137", door.zoe.commit(*removals, edit_leaf=named("dave")))


def test_v137_the_removal_of_somebody_else(door: Door) -> None:
    """V138: its credential is not acceptable for the removed member."""
    door.refuses("V137", door.zoe.commit(Remove(door.leaf("dave"))))


def test_v138_a_new_leaf_with_the_old_encryption_key(door: Door) -> None:
    """The key of a removed leaf is in the tree no more, so V152 does not find it."""
    dave = door["dave"].state.own_leaf_node

    def with_old_key(path: UpdatePath) -> UpdatePath:
        leaf = replace(path.leaf_node, encryption_key=dave.encryption_key)
        return replace(path, leaf_node=door.zoe.resigned(leaf, 2))

    message = door.zoe.commit(Remove(door.leaf("dave")), edit_leaf=named("dave"), edit_path=with_old_key)
    door.refuses("V138", message)


def test_v098_the_removal_of_a_blank_leaf(door: Door) -> None:
    commit = public_content(door.zoe.commit()).content.content
    assert isinstance(commit, Commit)
    external_init = commit.proposals[0].body
    assert isinstance(external_init, Proposal)
    door.refuses("V098", door.zoe.commit(edit_content=instead(external_init, Remove(2))))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(GroupContextExtensions(()), id="extensions"),
        pytest.param(ReInit(b"next", ProtocolVersion.MLS10, CipherSuiteId(1), ()), id="reinit"),
        pytest.param(SelfRemove(), id="self_remove"),
    ],
)
def test_v139_a_proposal_that_is_not_a_newcomers(
    door: Door, body: GroupContextExtensions | ReInit | SelfRemove
) -> None:
    door.refuses("V139", door.zoe.commit(body))


def test_v139_an_add(door: Door) -> None:
    door.refuses("V139", door.zoe.commit(Add(door.client("erin").package().key_package)))


def test_v141_a_proposal_by_reference(door: Door) -> None:
    removal = Forger(door["alice"], door.random).proposal(Remove(door.leaf("dave")))
    door.refuses("V141", door.zoe.commit(references=[removal]), removal)


def test_v124_one_psk_twice(door: Door) -> None:
    psk = PreSharedKey(psk_id(external_psk(b"a key"), bytes(32)))
    door.refuses("V124", door.zoe.commit(psk, psk))


def test_v104_an_external_init_of_a_member(door: Door) -> None:
    """By reference it is its sender's, who is in the group already."""
    alice = Forger(door["alice"], door.random)
    proposal = alice.proposal(ExternalInit(bytes(32)))
    door.refuses("V127", alice.commit(references=[proposal]), proposal)
    with pytest.raises(InvalidError) as wrong:
        door["alice"].propose(Proposal.of(ExternalInit(bytes(32))), door.random, NOW)
    assert wrong.value.rule == "V104"


# --- the message ---


def test_v140_an_external_commit_without_a_path(door: Door) -> None:
    def without_path(content: FramedContent) -> FramedContent:
        assert isinstance(content.content, Commit)
        return replace(content, content=replace(content.content, path=None))

    door.refuses("V140", door.zoe.commit(edit_content=without_path))


def test_v026_v142_an_external_commit_signed_with_another_key(door: Door) -> None:
    other = door["alice"].suite.generate_signature_key(door.random)
    door.refuses("V026", door.zoe.commit(signer=other))
    door.refuses("V026", door.zoe.commit(signer=door["alice"].state.signer))


def test_v026_a_proposal_in_the_name_of_an_external_joiner(door: Door) -> None:
    alice = Forger(door["alice"], door.random)
    proposal = alice.proposal(Remove(door.leaf("dave")), Sender(SenderType.NEW_MEMBER_COMMIT))
    door.refuses("V026", alice.commit(edit_content=referring(door["alice"], proposal)), proposal)


def test_v142_an_external_commit_in_a_private_message(door: Door) -> None:
    """It has no key to seal with; content that claims so is made up."""
    group = door["bob"]
    content = public_content(door.zoe.commit())
    sealed = AuthenticatedContent(WireFormat.MLS_PRIVATE_MESSAGE, content.content, content.auth)
    with pytest.raises(InvalidError) as wrong:
        check_signature(group.suite, group.context, group.public.tree, sealed)
    assert wrong.value.rule == "V033"


def test_v127_a_members_commit_with_an_external_init(door: Door) -> None:
    """V142: who joins says so."""
    door.refuses("V127", Forger(door["alice"], door.random).commit(ExternalInit(bytes(32))))


@pytest.mark.parametrize("kem_output", [b"", bytes(31), bytes(32), bytes(33)])
def test_v105_an_external_init_that_does_not_decapsulate(door: Door, kem_output: bytes) -> None:
    """No observer can tell, but all members alike."""
    message = door.zoe.commit(kem_output=kem_output)
    before = door["bob"].to_bytes()
    for name in ("alice", "bob", "dave"):
        with pytest.raises(InvalidError) as wrong:
            door[name].stage(message, now=NOW)
        assert wrong.value.rule == "V105"
    assert door["bob"].to_bytes() == before


# --- the leaf ---


def test_v144_a_leaf_signed_for_another_place(door: Door) -> None:
    def elsewhere(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=door.zoe.resigned(path.leaf_node, 4))

    door.refuses("V144", door.zoe.commit(edit_path=elsewhere))


def test_v144_a_place_that_is_not_the_leftmost_blank() -> None:
    """Leaf 1 is the newcomer's to take, not leaf 2."""
    door = Door()
    door.remove("alice", "bob")
    zoe = Stranger.named(door, "zoe")
    refused(door["dave"], "V144", zoe.commit(leaf_index=2))
    assert door["dave"].stage(zoe.commit(), now=NOW).summary.committer == 1


def test_v075_v145_a_leaf_of_a_key_package(door: Door) -> None:
    """V151: its source is `commit`; what else a leaf may not be is in the next tests."""
    package = door.client("erin").package().key_package

    def packaged(path: UpdatePath) -> UpdatePath:
        return replace(path, leaf_node=package.leaf_node)

    door.zoe.signer = door.client("erin").signer
    door.refuses("V075", door.zoe.commit(edit_path=packaged))


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("V065", {"credentials": (2,)}),
        ("V080", {"extensions": ()}),
        ("V063", {"proposals": ()}),
    ],
)
def test_v145_a_leaf_with_too_few_capabilities(rule: str, fields: dict[str, tuple[int, ...]]) -> None:
    required = required_capabilities_extension(RequiredCapabilities((), (0x000A,), ()))
    door = Door((Extension(ExtensionType(POLICY), b""), required))

    def poorer(leaf: LeafNode) -> LeafNode:
        return replace(leaf, capabilities=replace(leaf.capabilities, **fields))

    door.refuses("V066" if rule == "V065" else rule, door.zoe.commit(edit_leaf=poorer))


def test_v145_an_extension_it_does_not_list(door: Door) -> None:
    extension = Extension(ExtensionType(UNKNOWN), b"")
    door.refuses("V067", door.zoe.commit(edit_leaf=lambda leaf: replace(leaf, extensions=(extension,))))


def test_v145_a_signature_key_that_is_a_members(door: Door) -> None:
    door.zoe.signer = door["dave"].state.signer
    door.refuses("V078", door.zoe.commit())


def test_v145_an_encryption_key_that_is_in_the_tree(door: Door) -> None:
    dave = door["dave"].state.own_leaf_node

    def with_daves(path: UpdatePath) -> UpdatePath:
        leaf = replace(path.leaf_node, encryption_key=dave.encryption_key)
        return replace(path, leaf_node=door.zoe.resigned(leaf, 2))

    door.refuses("V152", door.zoe.commit(edit_path=with_daves))


# --- the application's word ---


def test_v218_a_newcomer_whose_credential_the_application_does_not_accept() -> None:
    """V138 too: with the leaf it removes beside it, as the application may ask what replaces what."""
    asked: list[CredentialUse] = []

    def accept(use: CredentialUse) -> bool:
        asked.append(use)
        return use.credential.identity != b"zoe"

    door = Door()
    message = door.zoe.commit()
    with pytest.raises(InvalidError) as wrong:
        door["bob"].public.check_commit(message, accept=accept)
    assert wrong.value.rule == "V218"
    assert [(use.signature_key, use.replaces) for use in asked] == [(door.zoe.signer.public, None)]
    back = Stranger.named(door, "dave")
    door["bob"].public.check_commit(back.commit(Remove(door.leaf("dave"))), accept=accept)
    assert asked[-1].replaces == door["dave"].state.own_leaf_node


class MembersOnly(Policy):
    """Who was in may come back; nobody else comes in by itself."""

    def allows_external_commit(self, group: PublicGroup, joiner: LeafNode, replaced: LeafNode | None) -> bool:
        return replaced is not None


def test_v147_an_external_commit_the_application_does_not_allow() -> None:
    door = Door(config=GroupConfig(policy=MembersOnly()))
    message = door.zoe.commit()
    with pytest.raises(InvalidError) as by_anyone:
        door["bob"].public.check_commit(message, policy=MembersOnly())
    with pytest.raises(InvalidError) as by_member:
        door["bob"].stage(message, now=NOW)
    assert (by_anyone.value.rule, by_member.value.rule) == ("V147", "V147")
    back = Stranger.named(door, "dave").commit(Remove(door.leaf("dave")))
    assert door["bob"].stage(back, now=NOW).successor is not None


def test_v069_a_newcomer_that_does_not_list_the_suite(door: Door) -> None:
    """A setting, as for those that are added."""

    def unlisted(leaf: LeafNode) -> LeafNode:
        return replace(leaf, capabilities=replace(leaf.capabilities, cipher_suites=(3,)))

    message = door.zoe.commit(edit_leaf=unlisted)
    with pytest.raises(InvalidError) as wrong:
        door["bob"].stage(message, now=NOW)
    assert wrong.value.rule == "V069"
