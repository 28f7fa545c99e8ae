"""Joining by Welcome (RFC 9420 §12.4.3.1): nothing the adder says is believed before it is checked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mls.config import GroupConfig
from mls.credentials import CredentialRole, CredentialUse, check_use
from mls.crypto import CipherSuite, is_supported, suite
from mls.errors import InvalidError, UnopenableError
from mls.extensions import (
    GROUP_CONTEXT_PLACE,
    GROUP_INFO_PLACE,
    check_extensions,
    find,
)
from mls.framing import MLSMessage
from mls.group_context import GroupContext
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackageBundle
from mls.key_schedule import start_epoch, welcome_key, welcome_secret, zero_secret
from mls.peek import decode_welcome
from mls.public_group import PublicGroup
from mls.registry import ExtensionType, ProtocolVersion
from mls.secret_tree import SecretTree
from mls.state import GroupState
from mls.transcript import interim_transcript_hash
from mls.tree.kem import join_path
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree
from mls.tree.verify import check_tree
from mls.validation.leaves import (
    check_credential_types,
    check_leaf_content,
    check_leaf_in_group,
    check_lifetime,
    leaf_signed,
)
from mls.validation.proposals import check_external_senders
from mls.validation.signatures import first_forged
from mls.welcome import WELCOME_LABEL, EncryptedGroupSecrets, GroupSecrets, Welcome

_DEFAULTS = GroupConfig()


@dataclass(frozen=True, slots=True)
class JoinedState:
    """The group joined, who signed its GroupInfo, and the bundle it used up (V091)."""

    state: GroupState
    signer_leaf: int
    bundle: KeyPackageBundle


def join_by_welcome(
    welcome: bytes,
    bundles: Sequence[KeyPackageBundle],
    tree: bytes | None,
    now: int,
    config: GroupConfig,
    known_group_ids: Collection[bytes],
) -> JoinedState:
    """Raises MalformedError, InvalidError, and UnopenableError for a Welcome to none of these bundles (V182)."""
    received = decode_welcome(welcome)
    bundle, entry = _addressed(received, bundles)
    row = bundle.suite
    secrets = _group_secrets(row, received, bundle, entry)
    info = _group_info(row, received, secrets)
    context = info.group_context
    if context.group_id in known_group_ids:
        raise InvalidError("V189", "a Welcome into a group that we are in")
    check_supported(bundle, context)
    ratchet_tree = _tree(row, info, tree)
    check_received_tree(row, ratchet_tree, context, config)
    if config.check_tree_lifetimes:
        for _, leaf in ratchet_tree.members():
            check_lifetime(leaf, now, config.lifetime_max_s)
    check_group_info_signature(row, info, ratchet_tree)
    own_leaf = ratchet_tree.find(bundle.key_package.leaf_node)
    if own_leaf is None:
        raise InvalidError("V193", "a Welcome into a tree without our leaf")
    keys = TreeKeys.of_leaf(own_leaf, bundle.encryption_key)
    if secrets.path_secret is not None:
        keys = join_path(ratchet_tree, keys, info.signer, secrets.path_secret.path_secret)  # V194
    start = start_epoch(row, secrets.joiner_secret, zero_secret(row), context.encode())
    confirmed, tag = context.confirmed_transcript_hash, info.confirmation_tag
    if not row.mac_verify(start.secrets.confirmation_key, confirmed, tag):
        raise InvalidError("V195", "a GroupInfo whose confirmation tag our secrets do not make")
    public = PublicGroup(context, ratchet_tree, interim_transcript_hash(row, confirmed, tag))
    state = GroupState(
        public=public,
        signer=bundle.signer,
        keys=keys,
        secrets=start.secrets,
        secret_tree=SecretTree.start(row, start.encryption_secret, ratchet_tree.leaf_count),
        confirmation_tag=tag,
        config=config,
    )
    return JoinedState(state, info.signer, bundle)


def observe(message: bytes, *, tree: bytes | None = None, config: GroupConfig = _DEFAULTS) -> PublicGroup:
    """The public half of the epoch that a GroupInfo message describes, checked as a joiner would."""
    info = MLSMessage.decode(message).body
    if not isinstance(info, GroupInfo):
        raise InvalidError("V188", "a message that is no GroupInfo")
    context = info.group_context
    if not is_supported(context.cipher_suite):
        raise InvalidError("V190", f"a group of cipher suite {context.cipher_suite:d}, which we do not have")
    row = suite(context.cipher_suite)
    check_group_info_extensions(info)
    ratchet_tree = _tree(row, info, tree)
    check_received_tree(row, ratchet_tree, context, config)
    check_group_info_signature(row, info, ratchet_tree)
    interim = interim_transcript_hash(row, context.confirmed_transcript_hash, info.confirmation_tag)
    return PublicGroup(context, ratchet_tree, interim)


def check_received_tree(row: CipherSuite, tree: RatchetTree, context: GroupContext, config: GroupConfig) -> None:
    """What a newcomer checks of a tree: hash, shape, parent hashes, every leaf (V173 to V180, V054, V226)."""
    if tree.tree_hash() != context.tree_hash:
        raise InvalidError("V173", "a tree that is not the one the GroupContext names")
    check_tree(tree)
    check_external_senders(row, context.extensions, config.validate_credential)
    leaves = tuple(tree.members())
    for leaf_index, leaf in leaves:
        check_leaf_content(row, leaf)  # V177
        check_leaf_in_group(leaf, context.extensions, f"leaf {leaf_index}")
        use = CredentialUse(leaf.credential, leaf.signature_key, role=CredentialRole.MEMBER)
        check_use(config.validate_credential, use, "V054")
    check_credential_types(tree, [leaf for _, leaf in leaves])
    signed = [leaf_signed(row, leaf, context.group_id, leaf_index) for leaf_index, leaf in leaves]
    if first_forged(signed, config.map_signatures) is not None:
        raise InvalidError("V062", "a leaf whose signature does not verify")
    if tree.signature_keys.repeated():
        raise InvalidError("V078", "a tree with one signature key in two leaves")
    if tree.encryption_keys.repeated():
        raise InvalidError("V079", "a tree with one encryption key in two leaves")


def check_supported(bundle: KeyPackageBundle, context: GroupContext) -> None:
    """We said that we support what this group has and requires (V191)."""
    try:
        check_leaf_in_group(bundle.key_package.leaf_node, context.extensions, "our leaf")
    except InvalidError as error:
        raise InvalidError("V191", error.detail) from error


def check_group_info_signature(row: CipherSuite, info: GroupInfo, tree: RatchetTree) -> None:
    """A member of the tree signed it (V188)."""
    signer = tree.leaf(info.signer)
    if signer is None or not info.verify(row, signer.signature_key):
        raise InvalidError("V188", "a GroupInfo that its signer did not sign")


def check_group_info_extensions(info: GroupInfo) -> None:
    """The extension lists of a GroupInfo and its context (V008 to V010, V018)."""
    check_extensions(info.extensions, GROUP_INFO_PLACE, "a GroupInfo")
    check_extensions(info.group_context.extensions, GROUP_CONTEXT_PLACE, "a GroupContext")


def _addressed(welcome: Welcome, bundles: Sequence[KeyPackageBundle]) -> tuple[KeyPackageBundle, EncryptedGroupSecrets]:
    entries = {each.new_member: each for each in welcome.secrets}
    for bundle in bundles:
        entry = entries.get(bundle.reference)
        if entry is None:
            continue
        if welcome.cipher_suite != bundle.key_package.cipher_suite:
            raise InvalidError("V183", "a Welcome of another cipher suite than the KeyPackage it is for")
        return bundle, entry
    raise UnopenableError("a Welcome for none of our key packages", "V182")


def _group_secrets(
    row: CipherSuite, welcome: Welcome, bundle: KeyPackageBundle, entry: EncryptedGroupSecrets
) -> GroupSecrets:
    try:
        plaintext = row.decrypt_with_label(
            bundle.init_key, WELCOME_LABEL, welcome.encrypted_group_info, entry.encrypted_group_secrets
        )
    except (UnopenableError, InvalidError):
        raise InvalidError("V184", "group secrets that our init key does not open") from None
    secrets = GroupSecrets.decode(plaintext)
    if secrets.psks:
        raise InvalidError("V185", "a Welcome that asks for pre-shared keys, which are not yet supported")
    return secrets


def _group_info(row: CipherSuite, welcome: Welcome, secrets: GroupSecrets) -> GroupInfo:
    key, nonce = welcome_key(row, welcome_secret(row, secrets.joiner_secret, zero_secret(row)))
    try:
        info = GroupInfo.decode(row.aead_open(key, nonce, welcome.encrypted_group_info))
    except UnopenableError:
        raise InvalidError("V187", "a GroupInfo that the welcome secret does not open") from None
    if info.group_context.cipher_suite != row.id or info.group_context.version is not ProtocolVersion.MLS10:
        raise InvalidError("V190", "a group of another cipher suite than the KeyPackage")
    check_group_info_extensions(info)
    return info


def _tree(row: CipherSuite, info: GroupInfo, beside: bytes | None) -> RatchetTree:
    inside = find(info.extensions, ExtensionType.RATCHET_TREE)
    encoded = inside if inside is not None else beside
    if encoded is None:
        raise InvalidError("V192", "a Welcome whose tree is neither inside nor beside it")
    return RatchetTree.decode(row, encoded)
