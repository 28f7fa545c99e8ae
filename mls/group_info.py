"""GroupInfo (RFC 9420 §12.4.3): a member's signed picture of an epoch, for those who are to join it."""

from dataclasses import replace

from mls.codec import KeptStruct, Opaque, Uint32, Vector, struct, without_last_opaque
from mls.crypto import CipherSuite, SignaturePrivateKey
from mls.extensions import Extensions, ExternalPub
from mls.group_context import GroupContext
from mls.registry import ExtensionType
from mls.tree.nodes import Extension
from mls.tree.ratchet import RatchetTree

GROUP_INFO_LABEL = "GroupInfoTBS"


@struct
class GroupInfo(KeptStruct):
    """The epoch, extensions such as the ratchet tree, the Commit's confirmation tag, and who signs for it."""

    group_context: GroupContext
    extensions: Vector[Extension]
    confirmation_tag: Opaque
    signer: Uint32
    signature: Opaque = b""

    def to_be_signed(self) -> bytes:
        """GroupInfoTBS: all of it up to its signature."""
        return without_last_opaque(self.encode(), self.signature)

    def verify(self, suite: CipherSuite, signature_key: bytes) -> bool:
        """Whether that key signed it (V188)."""
        return suite.verify_with_label(signature_key, GROUP_INFO_LABEL, self.to_be_signed(), self.signature)


def sign_group_info(
    suite: CipherSuite,
    signer: SignaturePrivateKey,
    context: GroupContext,
    extensions: Extensions,
    confirmation_tag: bytes,
    leaf_index: int,
) -> GroupInfo:
    unsigned = GroupInfo(context, extensions, confirmation_tag, leaf_index)
    return replace(unsigned, signature=suite.sign_with_label(signer, GROUP_INFO_LABEL, unsigned.to_be_signed()))


def external_pub_extension(external_pub: bytes) -> Extension:
    """The key that lets whoever reads this join by an external Commit (§12.4.3.2)."""
    return Extension(ExtensionType.EXTERNAL_PUB, ExternalPub(external_pub).encode())


def tree_extension(tree: RatchetTree) -> Extension:
    """The whole tree, for a joiner who has no other way to get it (§12.4.3.3)."""
    return Extension(ExtensionType.RATCHET_TREE, tree.encode())
