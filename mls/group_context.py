"""GroupContext (RFC 9420 §8.1): the epoch in one value."""

from mls.codec import KeptStruct, Opaque, Uint64, Vector, struct
from mls.registry import CipherSuiteId, ProtocolVersion
from mls.tree.nodes import Extension


@struct
class GroupContext(KeptStruct):
    """What every member of an epoch agrees on (§8.1).

    Bound into every signature, MAC and secret of the epoch: members who differ in one byte here cannot read each other.
    """

    version: ProtocolVersion
    cipher_suite: CipherSuiteId
    group_id: Opaque
    epoch: Uint64
    tree_hash: Opaque  # KDF.Nh bytes (§7.8)
    confirmed_transcript_hash: Opaque  # KDF.Nh bytes (§8.2); empty at epoch 0
    extensions: Vector[Extension]
