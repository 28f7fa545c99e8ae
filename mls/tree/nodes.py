"""What stands in a ratchet tree (RFC 9420 §7.1, §7.2): leaves describe members, parents hold a key they share."""

from dataclasses import replace
from typing import Annotated

from mls.codec import (
    KeptStruct,
    Opaque,
    Select,
    SharedStruct,
    Struct,
    Tagged,
    Uint16,
    Uint32,
    Uint64,
    Vector,
    When,
    struct,
    varint,
    without_last_opaque,
)
from mls.crypto import CipherSuite, SignaturePrivateKey
from mls.registry import CredentialType, ExtensionType, LeafNodeSource, NodeType

LEAF_NODE_LABEL = "LeafNodeTBS"


@struct
class Extension(Struct):
    """A typed piece of data that an object carries (RFC 9420 §13). Unknown types are values like any other (V017)."""

    extension_type: ExtensionType
    extension_data: Opaque


@struct
class Credential(Struct):
    """Who a member says it is (RFC 9420 §5.3).

    `value` is the identity of a basic credential, or the DER certificates of an X.509 one, the end entity's first. A
    credential of any other type has no known extent and is malformed (V210).
    """

    credential_type: CredentialType
    value: Annotated[
        bytes | tuple[bytes, ...],
        Select("credential_type", {CredentialType.BASIC: Opaque, CredentialType.X509: Vector[Opaque]}),
    ]

    @property
    def identity(self) -> bytes:
        """The identity of a basic credential; empty for another."""
        return self.value if isinstance(self.value, bytes) else b""

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The certificates of an X.509 credential; none for another."""
        return () if isinstance(self.value, bytes) else self.value


@struct
class Capabilities(SharedStruct):
    """What a member's client supports beyond the defaults (RFC 9420 §7.2); unknown values are kept (V016).

    Shared: most members of a group support the same.
    """

    versions: Vector[Uint16]
    cipher_suites: Vector[Uint16]
    extensions: Vector[Uint16]
    proposals: Vector[Uint16]
    credentials: Vector[Uint16]


@struct
class Lifetime(Struct):
    """When a key package may be used, in Unix seconds, both ends included (RFC 9420 §7.2)."""

    not_before: Uint64
    not_after: Uint64


@struct
class LeafNode(KeptStruct):
    """A member in the tree: its keys, credential and capabilities, under its own signature (RFC 9420 §7.2)."""

    encryption_key: Opaque
    signature_key: Opaque
    credential: Credential
    capabilities: Capabilities
    leaf_node_source: LeafNodeSource
    lifetime: Annotated[Lifetime | None, When("leaf_node_source", LeafNodeSource.KEY_PACKAGE)]
    parent_hash: Annotated[Opaque | None, When("leaf_node_source", LeafNodeSource.COMMIT)]
    extensions: Vector[Extension]
    signature: Opaque = b""

    def signed(self, suite: CipherSuite, signer: SignaturePrivateKey, group_id: bytes, leaf_index: int) -> "LeafNode":
        """This leaf under a signature; group and index enter it for the `update` and `commit` sources only."""
        content = self.to_be_signed(group_id, leaf_index)
        return replace(self, signature=suite.sign_with_label(signer, LEAF_NODE_LABEL, content))

    def verify(self, suite: CipherSuite, group_id: bytes, leaf_index: int) -> bool:
        """Whether the leaf's own key made its signature, for this group and place (V062)."""
        content = self.to_be_signed(group_id, leaf_index)
        return suite.verify_with_label(self.signature_key, LEAF_NODE_LABEL, content, self.signature)

    def to_be_signed(self, group_id: bytes, leaf_index: int) -> bytes:
        """LeafNodeTBS: the leaf up to its signature, then where it stands unless it is a key package's."""
        unsigned = without_last_opaque(self.encode(), self.signature)
        if self.leaf_node_source is LeafNodeSource.KEY_PACKAGE:
            return unsigned
        return unsigned + varint(len(group_id)) + group_id + leaf_index.to_bytes(4, "big")


@struct
class ParentNode(KeptStruct):
    """A key that the members below hold, except the unmerged leaves (RFC 9420 §7.1)."""

    encryption_key: Opaque
    parent_hash: Opaque
    unmerged_leaves: Vector[Uint32]  # leaf indices, strictly increasing (V011)


Node = Annotated[LeafNode | ParentNode, Tagged(NodeType, {NodeType.LEAF: LeafNode, NodeType.PARENT: ParentNode})]
"""One entry of the `ratchet_tree` extension (RFC 9420 §12.4.3.3)."""
