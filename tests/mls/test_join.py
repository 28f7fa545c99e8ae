"""Joining by Welcome: each thing a newcomer checks, wrong in a Welcome that is right in all else (§12.4.3.1)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mls.config import GroupConfig
from mls.entry import join, open_welcome
from mls.errors import InvalidError, MalformedError, MlsError, UnopenableError
from mls.extensions import RequiredCapabilities
from mls.framing import MLSMessage, frame
from mls.group import Group
from mls.group_info import GroupInfo, sign_group_info, tree_extension
from mls.key_packages import KeyPackageBundle
from mls.key_schedule import welcome_key, welcome_secret, zero_secret
from mls.observe import observe
from mls.proposals import add
from mls.psks import ExternalPsk, PreSharedKeyID
from mls.registry import CipherSuiteId, ExtensionType, PSKType
from mls.results import OwnCommit
from mls.tree.nodes import Extension
from mls.tree.ratchet import RatchetTreeNodes
from mls.welcome import WELCOME_LABEL, EncryptedGroupSecrets, GroupSecrets, PathSecret, Welcome
from tests.mls.world import NOW, POLICY, Members


@dataclass
class Invitation:
    """Alice adds Carol to a group with Bob; what Carol gets can be taken apart and put together changed."""

    world: Members
    made: OwnCommit
    bundle: KeyPackageBundle

    @property
    def after(self) -> Group:
        return self.made.successor

    def welcome(self) -> Welcome:
        assert self.made.welcome is not None
        body = MLSMessage.decode(self.made.welcome).body
        assert isinstance(body, Welcome)
        return body

    def secrets(self) -> GroupSecrets:
        welcome = self.welcome()
        sealed = welcome.secrets[0].encrypted_group_secrets
        return GroupSecrets.decode(
            self.after.suite.decrypt_with_label(
                self.bundle.init_key, WELCOME_LABEL, welcome.encrypted_group_info, sealed
            )
        )

    def info(self) -> GroupInfo:
        suite = self.after.suite
        key, nonce = welcome_key(suite, welcome_secret(suite, self.secrets().joiner_secret, zero_secret(suite)))
        return GroupInfo.decode(suite.aead_open(key, nonce, self.welcome().encrypted_group_info))

    def changed(
        self,
        edit_info: Callable[[GroupInfo], GroupInfo] = lambda info: info,
        edit_secrets: Callable[[GroupSecrets], GroupSecrets] = lambda secrets: secrets,
        *,
        resign: bool = True,
    ) -> bytes:
        """The Welcome with GroupInfo or group secrets changed, everything else made anew around them."""
        suite, signer = self.after.suite, self.after.state.signer
        info, secrets = edit_info(self.info()), self.secrets()
        if resign:
            info = sign_group_info(
                suite, signer, info.group_context, info.extensions, info.confirmation_tag, info.signer
            )
        key, nonce = welcome_key(suite, welcome_secret(suite, secrets.joiner_secret, zero_secret(suite)))
        sealed_info = suite.aead_seal(key, nonce, info.encode())
        init_key = self.bundle.key_package.init_key
        content = edit_secrets(secrets).encode()
        sealed = suite.encrypt_with_label(init_key, WELCOME_LABEL, sealed_info, content, self.world.random)
        entry = EncryptedGroupSecrets(self.bundle.reference, sealed)
        return frame(Welcome(suite.id, (entry,), sealed_info))

    def refused(self, rule: str, welcome: bytes, **options: object) -> None:
        with pytest.raises(InvalidError) as wrong:
            join(welcome, [self.bundle], now=NOW, **({"tree": None} | options))  # type: ignore[arg-type]
        assert wrong.value.rule == rule, wrong.value


@pytest.fixture
def invitation() -> Invitation:
    return invite(Members("alice", "bob", extensions=(Extension(ExtensionType(POLICY), b"rules"),)))


def invite(world: Members, **request: Any) -> Invitation:
    bundle = world.client("carol").package()
    made = world.commit("alice", proposals=[add(bundle.key_package)], **request)
    return Invitation(world, made, bundle)


def test_a_changed_welcome_is_believed_when_nothing_is_changed(invitation: Invitation) -> None:
    """Otherwise the refusals below would prove nothing."""
    group = join(invitation.changed(), [invitation.bundle], tree=None, now=NOW)
    assert group.epoch_authenticator == invitation.after.epoch_authenticator
    assert group.public == invitation.after.public


def test_joining_tells_who_signed_and_which_bundle_was_used(invitation: Invitation) -> None:
    """V091: the caller deletes that one."""
    spare = invitation.world.client("carol").package()
    assert invitation.made.welcome is not None
    joined = open_welcome(invitation.made.welcome, [spare, invitation.bundle], tree=None, now=NOW)
    assert (joined.signer_leaf, joined.bundle) == (0, invitation.bundle)
    assert joined.group.own_leaf == 2


@pytest.mark.parametrize("inline_tree", [False, True])
def test_the_tree_may_be_inside_or_beside(inline_tree: bool) -> None:
    invitation = invite(Members("alice", "bob"), inline_tree=inline_tree)
    assert invitation.made.welcome is not None
    tree = None if inline_tree else invitation.after.tree_bytes()
    group = join(invitation.made.welcome, [invitation.bundle], tree=tree, now=NOW)
    assert group.epoch_authenticator == invitation.after.epoch_authenticator


def test_v192_a_welcome_without_a_tree() -> None:
    invitation = invite(Members("alice", "bob"), inline_tree=False)
    assert invitation.made.welcome is not None
    invitation.refused("V192", invitation.made.welcome)


def test_v173_the_tree_of_another_epoch(invitation: Invitation) -> None:
    bare = invitation.changed(lambda info: replace(info, extensions=()))
    other = invitation.world["alice"].tree_bytes()
    assert join(bare, [invitation.bundle], tree=other, now=NOW).epoch == 2
    invitation.world.commit("bob")
    invitation.refused("V173", bare, tree=invitation.world["bob"].tree_bytes())


@pytest.mark.parametrize("order", [(1, 0, 2), (None, 1, 2), (0, None, 2)])
def test_v181_the_leaves_of_the_tree_in_other_places(invitation: Invitation, order: tuple[int | None, ...]) -> None:
    """V173: the hash tells one place from another, and a blank from a leaf."""
    bare = invitation.changed(lambda info: replace(info, extensions=()))
    nodes = RatchetTreeNodes.decode(invitation.after.tree_bytes()).nodes
    blank_above = tuple(None if index % 2 else node for index, node in enumerate(nodes))
    moved = list(blank_above)
    for place, leaf in enumerate(order):
        moved[2 * place] = None if leaf is None else nodes[2 * leaf]
    assert len(moved) == len(nodes) == 5
    invitation.refused("V173", bare, tree=RatchetTreeNodes(tuple(moved)).encode())


def test_v182_a_welcome_for_somebody_else(invitation: Invitation) -> None:
    """Nobody's fault, and nothing for us to open."""
    assert invitation.made.welcome is not None
    other = invitation.world.client("carol").package()
    for bundles in ([], [other]):
        with pytest.raises(UnopenableError) as wrong:
            join(invitation.made.welcome, bundles, tree=None, now=NOW)
        assert wrong.value.rule == "V182"


def test_v183_a_welcome_of_another_cipher_suite(invitation: Invitation) -> None:
    invitation.refused("V183", frame(replace(invitation.welcome(), cipher_suite=CipherSuiteId(3))))


def test_v184_group_secrets_for_another_group_info(invitation: Invitation) -> None:
    """The encrypted GroupInfo is the context of their encryption."""
    welcome = invitation.welcome()
    changed = welcome.encrypted_group_info[:-1] + bytes([welcome.encrypted_group_info[-1] ^ 1])
    invitation.refused("V184", frame(replace(welcome, encrypted_group_info=changed)))


def test_v185_a_welcome_with_a_psk_that_is_not_at_hand(invitation: Invitation) -> None:
    """Right for others, perhaps: nobody is to blame that we do not have it."""
    psk = PreSharedKeyID(PSKType.EXTERNAL, ExternalPsk(b"a key"), bytes(32))
    welcome = invitation.changed(edit_secrets=lambda secrets: replace(secrets, psks=(psk,)))
    with pytest.raises(UnopenableError) as wrong:
        join(welcome, [invitation.bundle], tree=None, now=NOW)
    assert wrong.value.rule == "V185"


def test_v187_a_group_info_under_another_secret(invitation: Invitation) -> None:
    invitation.refused(
        "V187", invitation.changed(edit_secrets=lambda secrets: replace(secrets, joiner_secret=bytes(32)))
    )


def test_v005_bytes_after_the_group_secrets(invitation: Invitation) -> None:
    suite, welcome = invitation.after.suite, invitation.welcome()
    content = invitation.secrets().encode() + b"\x00"
    init_key = invitation.bundle.key_package.init_key
    sealed = suite.encrypt_with_label(
        init_key, WELCOME_LABEL, welcome.encrypted_group_info, content, invitation.world.random
    )
    entry = EncryptedGroupSecrets(invitation.bundle.reference, sealed)
    with pytest.raises(MalformedError, match="V005"):
        join(frame(replace(welcome, secrets=(entry,))), [invitation.bundle], tree=None, now=NOW)


def test_v188_a_group_info_signed_by_somebody_else(invitation: Invitation) -> None:
    invitation.refused("V188", invitation.changed(lambda info: replace(info, signature=bytes(64)), resign=False))


@pytest.mark.parametrize("signer", [1, 5, 0xFFFFFFFF])
def test_v188_a_group_info_in_the_name_of_another_leaf(invitation: Invitation, signer: int) -> None:
    invitation.refused("V188", invitation.changed(lambda info: replace(info, signer=signer)))


def test_v189_a_welcome_into_a_group_we_are_in(invitation: Invitation) -> None:
    assert invitation.made.welcome is not None
    invitation.refused("V189", invitation.made.welcome, known_group_ids={b"a group"})


def test_v190_a_group_of_another_cipher_suite(invitation: Invitation) -> None:
    def edit(info: GroupInfo) -> GroupInfo:
        return replace(info, group_context=replace(info.group_context, cipher_suite=CipherSuiteId(3)))

    invitation.refused("V190", invitation.changed(edit))


def test_v191_a_group_with_an_extension_we_do_not_support(invitation: Invitation) -> None:
    def edit(info: GroupInfo) -> GroupInfo:
        extensions = (Extension(ExtensionType(0xF00F), b""),)
        return replace(info, group_context=replace(info.group_context, extensions=extensions))

    invitation.refused("V191", invitation.changed(edit))


def test_v018_unknown_group_info_extensions_are_ignored(invitation: Invitation) -> None:
    unknown = Extension(ExtensionType(0xF00F), b"whatever")
    welcome = invitation.changed(lambda info: replace(info, extensions=(unknown, *info.extensions)))
    assert join(welcome, [invitation.bundle], tree=None, now=NOW).epoch == 2


def test_v008_a_group_info_with_two_trees(invitation: Invitation) -> None:
    invitation.refused("V008", invitation.changed(lambda info: replace(info, extensions=info.extensions * 2)))


@pytest.mark.parametrize(
    "extra",
    [
        Extension(ExtensionType.APPLICATION_ID, b"\x00"),
        Extension(ExtensionType.REQUIRED_CAPABILITIES, RequiredCapabilities((0xF00F,), (), ()).encode()),
        Extension(ExtensionType.EXTERNAL_SENDERS, b"\x05abc"),
    ],
    ids=["a leaf's", "the group context's", "undecodable"],
)
def test_v018_what_belongs_elsewhere_is_passed_over_in_a_group_info(invitation: Invitation, extra: Extension) -> None:
    """Some engines repeat the group context's extensions there. What counts is what stands in the context."""
    welcome = invitation.changed(lambda info: replace(info, extensions=(*info.extensions, extra)))
    carol = join(welcome, [invitation.bundle], tree=None, now=NOW)
    assert carol.context == invitation.after.context
    twice = invitation.changed(lambda info: replace(info, extensions=(*info.extensions, extra, extra)))
    invitation.refused("V008", twice)


def test_v010_a_group_context_with_an_extension_of_another_object(invitation: Invitation) -> None:
    """The confirmation tag is over the context as it was, but nobody gets as far as that."""

    def edit(info: GroupInfo) -> GroupInfo:
        extra = Extension(ExtensionType.APPLICATION_ID, b"\x00")
        return replace(
            info, group_context=replace(info.group_context, extensions=(*info.group_context.extensions, extra))
        )

    invitation.refused("V010", invitation.changed(edit))


def test_v012_a_tree_with_a_blank_at_its_end(invitation: Invitation) -> None:
    def edit(info: GroupInfo) -> GroupInfo:
        size, nodes = info.extensions[0].extension_data[:2], info.extensions[0].extension_data[2:]
        longer = (int.from_bytes(size, "big") + 1).to_bytes(2, "big") + nodes + b"\x00"
        return replace(info, extensions=(Extension(ExtensionType.RATCHET_TREE, longer),))

    invitation.refused("V012", invitation.changed(edit))


def test_v193_a_tree_without_our_leaf(invitation: Invitation) -> None:
    """The reference names our KeyPackage, the tree holds another one's leaf."""
    spare = invitation.world.client("carol").package()
    stranger = KeyPackageBundle(spare.key_package, spare.init_key, spare.encryption_key, spare.signer)
    welcome = invitation.welcome()
    sealed = invitation.after.suite.encrypt_with_label(
        stranger.key_package.init_key,
        WELCOME_LABEL,
        welcome.encrypted_group_info,
        invitation.secrets().encode(),
        invitation.world.random,
    )
    misled = frame(replace(welcome, secrets=(EncryptedGroupSecrets(stranger.reference, sealed),)))
    with pytest.raises(InvalidError) as wrong:
        join(misled, [stranger], tree=None, now=NOW)
    assert wrong.value.rule == "V193"


def test_v194_a_path_secret_that_does_not_fit_the_tree(invitation: Invitation) -> None:
    def edit(secrets: GroupSecrets) -> GroupSecrets:
        return replace(secrets, path_secret=PathSecret(bytes(32)))

    invitation.refused("V194", invitation.changed(edit_secrets=edit))


def test_v195_a_confirmation_tag_of_another_epoch(invitation: Invitation) -> None:
    invitation.refused("V195", invitation.changed(lambda info: replace(info, confirmation_tag=bytes(32))))
    invitation.refused(
        "V195", invitation.changed(lambda info: replace(info, confirmation_tag=info.confirmation_tag[:-1]))
    )


def test_v062_a_tree_with_a_leaf_that_nobody_signed(invitation: Invitation) -> None:
    """V177: every leaf is checked, not our own and the signer's only."""

    def edit(info: GroupInfo) -> GroupInfo:
        tree = invitation.after.public.tree
        bob = tree.leaf(1)
        assert bob is not None
        changed = tree.update(1, replace(bob, signature=bytes(64)))
        context = replace(info.group_context, tree_hash=changed.tree_hash())
        return replace(info, group_context=context, extensions=(tree_extension(changed),))

    with pytest.raises(InvalidError) as wrong:
        join(invitation.changed(edit), [invitation.bundle], tree=None, now=NOW)
    assert wrong.value.rule == "V062"


@pytest.mark.parametrize("rule", ["V078", "V079"])
def test_v078_v079_a_tree_in_which_two_leaves_share_a_key(rule: str) -> None:
    """V177: both leaves are signed as they should be, each by its own key."""
    world = Members("alice")
    world.add("alice", "bob", force_path=False)
    invitation = invite(world, force_path=False)
    tree, alice = invitation.after.public.tree, invitation.after.state.own_leaf_node
    bob, signer = tree.leaf(1), world["bob"].state.signer
    assert bob is not None
    if rule == "V078":
        bob, signer = replace(bob, signature_key=alice.signature_key), world["alice"].state.signer
    else:
        bob = replace(bob, encryption_key=alice.encryption_key)
    changed = tree.update(1, bob.signed(tree.suite, signer, b"", 0))

    def edit(info: GroupInfo) -> GroupInfo:
        context = replace(info.group_context, tree_hash=changed.tree_hash())
        return replace(info, group_context=context, extensions=(tree_extension(changed),))

    invitation.refused(rule, invitation.changed(edit))


def test_v188_another_message_is_no_group_info(invitation: Invitation) -> None:
    with pytest.raises(InvalidError) as wrong:
        observe(invitation.made.message)
    assert wrong.value.rule == "V188"


def test_v054_a_member_the_application_does_not_accept(invitation: Invitation) -> None:
    config = GroupConfig(validate_credential=lambda use: use.credential.identity != b"bob")
    assert invitation.made.welcome is not None
    invitation.refused("V054", invitation.made.welcome, config=config)


def test_v071_lifetimes_in_a_tree_are_a_setting(invitation: Invitation) -> None:
    """Leaves of old members are long past theirs, so it is off unless asked for."""
    later, strict = NOW + 10 * 365 * 24 * 3600, GroupConfig(check_tree_lifetimes=True)
    assert invitation.made.welcome is not None
    assert join(invitation.made.welcome, [invitation.bundle], tree=None, now=later).epoch == 2
    with pytest.raises(InvalidError) as wrong:
        join(invitation.made.welcome, [invitation.bundle], tree=None, now=later, config=strict)
    assert wrong.value.rule == "V071"


def test_any_single_flipped_byte_of_a_welcome_is_refused() -> None:
    invitation = invite(Members("alice"))
    welcome = invitation.made.welcome
    assert welcome is not None
    for position in range(0, len(welcome), 3):
        broken = bytearray(welcome)
        broken[position] ^= 0x10
        with pytest.raises(MlsError):
            join(bytes(broken), [invitation.bundle], tree=None, now=NOW)


def test_a_bundle_survives_as_bytes(invitation: Invitation) -> None:
    kept = KeyPackageBundle.from_bytes(invitation.bundle.to_bytes())
    assert kept.to_bytes() == invitation.bundle.to_bytes()
    assert invitation.made.welcome is not None
    assert join(invitation.made.welcome, [kept], tree=None, now=NOW).epoch == 2
