"""A new group of one (RFC 9420 §11)."""

from mls.capabilities import check_own_leaf
from mls.config import GroupConfig
from mls.crypto import Random, SignaturePrivateKey, suite
from mls.errors import InvalidError, MisuseError
from mls.extensions import GROUP_CONTEXT_PLACE, Extensions, check_extensions, check_nothing_reserved
from mls.group_context import GroupContext
from mls.key_schedule import start_from_epoch_secret
from mls.public_group import PublicGroup
from mls.registry import LeafNodeSource, ProtocolVersion
from mls.state import GroupState
from mls.transcript import interim_transcript_hash
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree
from mls.validation.leaves import check_leaf_in_group
from mls.validation.proposals import check_external_senders


def create_group(
    suite_id: int,
    group_id: bytes,
    signer: SignaturePrivateKey,
    credential: Credential,
    capabilities: Capabilities,
    leaf_extensions: Extensions,
    extensions: Extensions,
    random: Random,
    lifetime: Lifetime,
    config: GroupConfig,
) -> GroupState:
    """Epoch 0, with its creator as the only leaf. Raises MisuseError where they do not fit each other (V205)."""
    row = suite(suite_id)
    key = row.generate_hpke_key(random)
    leaf = LeafNode(
        encryption_key=key.public,
        signature_key=signer.public,
        credential=credential,
        capabilities=capabilities,
        leaf_node_source=LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime,
        parent_hash=None,
        extensions=leaf_extensions,
    )
    check_own_leaf(leaf, row.id)
    try:
        check_extensions(extensions, GROUP_CONTEXT_PLACE, "the group context")
        check_leaf_in_group(leaf, extensions, "the creator's leaf")
        check_external_senders(row, extensions, config.validate_credential)
    except InvalidError as error:
        raise MisuseError(str(error)) from error
    check_nothing_reserved(extensions)
    tree = RatchetTree.of_one(row, leaf.signed(row, signer, b"", 0))
    context = GroupContext(ProtocolVersion.MLS10, row.id, group_id, 0, tree.tree_hash(), b"", extensions)
    start = start_from_epoch_secret(row, random(row.hash_size))  # V204
    tag = start.secrets.confirmation_tag(row, b"")
    public = PublicGroup(context, tree, interim_transcript_hash(row, b"", tag))
    return GroupState.begun(public, signer, TreeKeys.of_leaf(0, key), start, tag, config)
