"""Rules for public keys: each well formed (RFC 9420 §5.1.1), and each in one place only (§7.3, §12.2, §16.7)."""

from collections.abc import Iterable

from mls.crypto import CipherSuite
from mls.errors import InvalidError
from mls.tree.nodes import LeafNode
from mls.tree.ratchet import RatchetTree


def check_hpke_key(suite: CipherSuite, public_key: bytes) -> None:
    """Raises V014 (V087 in a KeyPackage) unless the bytes are a public key of the suite's KEM."""
    suite.check_hpke_public_key(public_key)


def check_signature_key(suite: CipherSuite, public_key: bytes) -> None:
    """Raises V014 unless the bytes are a key of the suite's signature scheme, the tree's only one (V052)."""
    suite.check_signature_public_key(public_key)


def check_keys_are_unique(tree: RatchetTree, changed: Iterable[LeafNode]) -> None:
    """No key of a changed leaf is another's, judged on the tree as it is after the whole list (V123).

    The tree counts its keys, so nothing is scanned unless something is wrong.
    """
    for leaf in changed:
        if tree.signature_keys.count(leaf.signature_key) > 1:
            raise InvalidError("V078", "a signature key that two leaves share")
        if tree.encryption_keys.count(leaf.encryption_key) > 1:
            in_leaves = sum(each.encryption_key == leaf.encryption_key for _, each in tree.members())
            if in_leaves > 1:
                raise InvalidError("V079", "an encryption key that two leaves share")
            raise InvalidError("V220", "a leaf with the encryption key of a parent node")
