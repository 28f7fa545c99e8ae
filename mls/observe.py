"""Believing a GroupInfo (RFC 9420 §12.4.3): what a joiner or an observer checks of an epoch it is shown."""

from dataclasses import dataclass

from mls.config import GroupConfig
from mls.credentials import CredentialRole, CredentialUse, check_use
from mls.crypto import CipherSuite, is_supported, suite
from mls.errors import InvalidError
from mls.extensions import (
    GROUP_CONTEXT_PLACE,
    GROUP_INFO_PLACE,
    ExternalPub,
    check_extensions,
    decode_known,
    find,
)
from mls.framing import MLSMessage
from mls.group_context import GroupContext
from mls.group_info import GroupInfo
from mls.public_group import PublicGroup
from mls.registry import ExtensionType
from mls.transcript import interim_transcript_hash
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

_DEFAULTS = GroupConfig()


@dataclass(frozen=True, slots=True)
class Observed:
    """A GroupInfo that was checked, and the epoch it describes."""

    info: GroupInfo
    public: PublicGroup


def observe(message: bytes, *, tree: bytes | None = None, config: GroupConfig = _DEFAULTS) -> PublicGroup:
    """The public half of the epoch that a GroupInfo message describes, checked as a joiner would."""
    return observed(message, tree, config).public


def observed(message: bytes, tree: bytes | None, config: GroupConfig) -> Observed:
    """`observe`, with the GroupInfo itself. Raises MalformedError or InvalidError."""
    info = decode_group_info(message)
    context = info.group_context
    if not is_supported(context.cipher_suite):
        raise InvalidError("V190", f"a group of cipher suite {context.cipher_suite:d}, which we do not have")
    row = suite(context.cipher_suite)
    check_group_info_extensions(info)
    ratchet_tree = decoded_tree(row, info, tree)
    check_received_tree(row, ratchet_tree, context, config)
    check_group_info_signature(row, info, ratchet_tree)
    interim = interim_transcript_hash(row, context.confirmed_transcript_hash, info.confirmation_tag)
    return Observed(info, PublicGroup(context, ratchet_tree, interim))


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a member says in a GroupInfo of an epoch that we follow by ourselves."""

    signer: int  # leaf index
    external_pub: bytes | None  # its word alone: nothing public shows which key is the right one


def vouched(public: PublicGroup, message: bytes) -> Vouched:
    """A GroupInfo of this very epoch, of the same history, signed by a member of it. Raises MalformedError or
    InvalidError. The tree was checked when it came to be, so this is one signature; `observed` would check them all."""
    info = decode_group_info(message)
    check_group_info_extensions(info)
    interim = interim_transcript_hash(public.suite, info.group_context.confirmed_transcript_hash, info.confirmation_tag)
    if info.group_context != public.context or interim != public.interim_transcript_hash:
        raise InvalidError("V188", "a GroupInfo of another epoch, or of another history")
    check_group_info_signature(public.suite, info, public.tree)
    given = find(info.extensions, ExtensionType.EXTERNAL_PUB)
    return Vouched(info.signer, None if given is None else decode_known(given, ExternalPub).external_pub)


def decode_group_info(message: bytes) -> GroupInfo:
    """The GroupInfo in an MLSMessage; nothing of it is verified."""
    info = MLSMessage.decode(message).body
    if not isinstance(info, GroupInfo):
        raise InvalidError("V188", "a message that is no GroupInfo")
    return info


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


def check_tree_lifetimes(tree: RatchetTree, now: int, config: GroupConfig) -> None:
    """V071 for every leaf, where the settings ask for it."""
    if config.check_tree_lifetimes:
        for _, leaf in tree.members():
            check_lifetime(leaf, now, config.lifetime_max_s)


def check_group_info_signature(row: CipherSuite, info: GroupInfo, tree: RatchetTree) -> None:
    """A member of the tree signed it (V188)."""
    signer = tree.leaf(info.signer)
    if signer is None or not info.verify(row, signer.signature_key):
        raise InvalidError("V188", "a GroupInfo that its signer did not sign")


def check_group_info_extensions(info: GroupInfo) -> None:
    """The extension lists of a GroupInfo and its context (V008 to V010, V018)."""
    check_extensions(info.extensions, GROUP_INFO_PLACE, "a GroupInfo", pass_over_misplaced=True)
    check_extensions(info.group_context.extensions, GROUP_CONTEXT_PLACE, "a GroupContext")


def decoded_tree(row: CipherSuite, info: GroupInfo, beside: bytes | None) -> RatchetTree:
    """The tree in the GroupInfo, or the one that came beside it (V192)."""
    inside = find(info.extensions, ExtensionType.RATCHET_TREE)
    encoded = inside if inside is not None else beside
    if encoded is None:
        raise InvalidError("V192", "a group whose tree is neither inside its GroupInfo nor beside it")
    return RatchetTree.decode(row, encoded)
