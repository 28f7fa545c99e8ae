"""What a member changes about its own leaf when it renews it, in a Commit's path or an Update."""

from dataclasses import dataclass, replace

from mls.crypto import SignaturePrivateKey
from mls.errors import MisuseError
from mls.extensions import Extensions
from mls.registry import LeafNodeSource
from mls.tree.nodes import Capabilities, Credential, LeafNode


@dataclass(frozen=True, slots=True)
class LeafChange:
    """What is None stays as it is; the encryption key is new in any case."""

    extensions: Extensions | None = None
    capabilities: Capabilities | None = None
    credential: Credential | None = None
    signer: SignaturePrivateKey | None = None


NO_CHANGE = LeafChange()


def renewed(leaf: LeafNode, source: LeafNodeSource, change: LeafChange, encryption_key: bytes) -> LeafNode:
    """The next leaf, unsigned; its parent hash is put in by whoever merges a path."""
    if source is LeafNodeSource.KEY_PACKAGE:
        raise MisuseError("a leaf in the tree is renewed by an Update or a Commit")
    return replace(
        leaf,
        encryption_key=encryption_key,
        signature_key=leaf.signature_key if change.signer is None else change.signer.public,
        credential=change.credential or leaf.credential,
        capabilities=change.capabilities or leaf.capabilities,
        leaf_node_source=source,
        lifetime=None,
        parent_hash=b"" if source is LeafNodeSource.COMMIT else None,
        extensions=leaf.extensions if change.extensions is None else change.extensions,
        signature=b"",
    )
