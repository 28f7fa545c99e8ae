"""Joining by Welcome (RFC 9420 §12.4.3.1): nothing the adder says is believed before it is checked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mls.config import GroupConfig
from mls.crypto import CipherSuite
from mls.errors import InvalidError, UnopenableError
from mls.group_context import GroupContext
from mls.group_info import GroupInfo
from mls.key_packages import KeyPackageBundle
from mls.key_schedule import start_epoch, welcome_key, welcome_secret
from mls.observe import (
    check_group_info_extensions,
    check_group_info_signature,
    check_received_tree,
    check_tree_lifetimes,
    decoded_tree,
)
from mls.peek import decode_welcome
from mls.psks import NO_PSKS, Psks, secret_of
from mls.public_group import PublicGroup
from mls.registry import ProtocolVersion, ResumptionPSKUsage
from mls.state import GroupState
from mls.transcript import interim_transcript_hash
from mls.tree.kem import join_path
from mls.tree.private import TreeKeys
from mls.validation.leaves import check_leaf_in_group
from mls.validation.resumption import check_continues, check_welcome_psks
from mls.welcome import WELCOME_LABEL, EncryptedGroupSecrets, GroupSecrets, Welcome


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
    psks: Psks = NO_PSKS,
    predecessor: GroupState | None = None,
) -> JoinedState:
    """`predecessor` is the group that this one continues: after a ReInit, or as a branch of it (§11.2, §11.3).

    Raises MalformedError, InvalidError, and UnopenableError for a Welcome to none of these bundles (V182) or one that
    takes a PSK we do not have (V185, V207).
    """
    received = decode_welcome(welcome)
    bundle, entry = _addressed(received, bundles)
    row = bundle.suite
    secrets = _group_secrets(row, received, bundle, entry)
    continues = check_welcome_psks(row, secrets.psks)
    remembered = NO_PSKS if predecessor is None else predecessor.resumption_psks
    psk_secret = secret_of(row, secrets.psks, (remembered, psks), "V185")
    info = _group_info(row, received, secrets, psk_secret)
    context = info.group_context
    in_its_place = (
        predecessor is not None
        and continues is not None
        and continues.usage is ResumptionPSKUsage.REINIT
        and context.group_id == predecessor.public.group_id
    )
    if context.group_id in known_group_ids and not in_its_place:
        raise InvalidError("V189", "a Welcome into a group that we are in")
    check_supported(bundle, context)
    ratchet_tree = decoded_tree(row, info, tree)
    check_received_tree(row, ratchet_tree, context, config)
    check_tree_lifetimes(ratchet_tree, now, config)
    check_group_info_signature(row, info, ratchet_tree)
    check_continues(continues, predecessor, context, [leaf for _, leaf in ratchet_tree.members()], config.policy)
    own_leaf = ratchet_tree.find(bundle.key_package.leaf_node)
    if own_leaf is None:
        raise InvalidError("V193", "a Welcome into a tree without our leaf")
    keys = TreeKeys.of_leaf(own_leaf, bundle.encryption_key)
    if secrets.path_secret is not None:
        keys = join_path(ratchet_tree, keys, info.signer, secrets.path_secret.path_secret)  # V194
    start = start_epoch(row, secrets.joiner_secret, psk_secret, context.encode())
    confirmed, tag = context.confirmed_transcript_hash, info.confirmation_tag
    if not row.mac_verify(start.secrets.confirmation_key, confirmed, tag):
        raise InvalidError("V195", "a GroupInfo whose confirmation tag our secrets do not make")
    public = PublicGroup(context, ratchet_tree, interim_transcript_hash(row, confirmed, tag))
    return JoinedState(GroupState.begun(public, bundle.signer, keys, start, tag, config), info.signer, bundle)


def check_supported(bundle: KeyPackageBundle, context: GroupContext) -> None:
    """We said that we support what this group has and requires (V191)."""
    try:
        check_leaf_in_group(bundle.key_package.leaf_node, context.extensions, "our leaf")
    except InvalidError as error:
        raise InvalidError("V191", error.detail) from error


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
    return GroupSecrets.decode(plaintext)


def _group_info(row: CipherSuite, welcome: Welcome, secrets: GroupSecrets, psk_secret: bytes) -> GroupInfo:
    key, nonce = welcome_key(row, welcome_secret(row, secrets.joiner_secret, psk_secret))
    try:
        info = GroupInfo.decode(row.aead_open(key, nonce, welcome.encrypted_group_info))
    except UnopenableError:
        raise InvalidError("V187", "a GroupInfo that the welcome secret does not open") from None
    if info.group_context.cipher_suite != row.id or info.group_context.version is not ProtocolVersion.MLS10:
        raise InvalidError("V190", "a group of another cipher suite than the KeyPackage")
    check_group_info_extensions(info)
    return info
