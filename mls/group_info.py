"""GroupInfo (RFC 9420 §12.4.3): a member's signed picture of an epoch, for those who are to join it."""

from mls.codec import Opaque, Struct, Uint32, Vector, struct
from mls.group_context import GroupContext
from mls.tree.nodes import Extension


@struct
class GroupInfoTBS(Struct):
    group_context: GroupContext
    extensions: Vector[Extension]
    confirmation_tag: Opaque
    signer: Uint32


@struct
class GroupInfo(Struct):
    """The epoch, extensions such as the ratchet tree, the Commit's confirmation tag, and who signs for it."""

    group_context: GroupContext
    extensions: Vector[Extension]
    confirmation_tag: Opaque
    signer: Uint32
    signature: Opaque

    def to_be_signed(self) -> bytes:
        return GroupInfoTBS(self.group_context, self.extensions, self.confirmation_tag, self.signer).encode()
