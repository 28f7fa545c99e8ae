"""A small world of members who share a ratchet tree: real keys, no messages, no key schedule."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

from mls.crypto import CipherSuite, HpkePrivateKey, SignaturePrivateKey, suite
from mls.registry import CredentialType, LeafNodeSource
from mls.tree.kem import UpdatePath, apply_path, create_path, join_path, open_path
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime, Node, ParentNode
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree, RatchetTreeNodes

GROUP_ID = b"group"
CAPABILITIES = Capabilities((1,), (1, 2, 3, 4, 5, 6, 7), (), (), (1, 2))


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def make_leaf(
    row: CipherSuite, name: str, random: Callable[[int], bytes]
) -> tuple[LeafNode, HpkePrivateKey, SignaturePrivateKey]:
    """A key package's leaf, with the private keys for it."""
    key, signer = row.generate_hpke_key(random), row.generate_signature_key(random)
    leaf = LeafNode(
        key.public,
        signer.public,
        Credential(CredentialType.BASIC, name.encode()),
        CAPABILITIES,
        LeafNodeSource.KEY_PACKAGE,
        Lifetime(0, 2**64 - 1),
        None,
        (),
    )
    return leaf.signed(row, signer, b"", 0), key, signer


class World:
    """Members at their leaves, each with its own private keys; the tree they all have."""

    def __init__(self, count: int, row: CipherSuite | None = None, seed: int = 1) -> None:
        self.suite = row or suite(1)
        self.random = seeded(seed)
        self.keys: dict[int, TreeKeys] = {}
        self.signers: dict[int, SignaturePrivateKey] = {}
        self.made = 0
        leaf, key, signer = self.newcomer()
        self.tree = RatchetTree.of_one(self.suite, leaf)
        self.keys[0], self.signers[0] = TreeKeys.of_leaf(0, key), signer
        self.commit_secret = b""
        if count > 1:
            self.commit(0, adding=count - 1)

    def newcomer(self) -> tuple[LeafNode, HpkePrivateKey, SignaturePrivateKey]:
        self.made += 1
        return make_leaf(self.suite, f"member {self.made}", self.random)

    def remove(self, leaf_index: int) -> None:
        self.tree = self.tree.remove(leaf_index)
        del self.keys[leaf_index], self.signers[leaf_index]
        self._forget()

    def update(self, leaf_index: int) -> None:
        """An Update of a member's leaf, committed by nobody in particular."""
        key = self.suite.generate_hpke_key(self.random)
        old = self.tree.leaf(leaf_index)
        assert old is not None
        leaf = replace(
            old, encryption_key=key.public, leaf_node_source=LeafNodeSource.UPDATE, lifetime=None, parent_hash=None
        ).signed(self.suite, self.signers[leaf_index], GROUP_ID, leaf_index)
        self.tree = self.tree.update(leaf_index, leaf)
        self.keys[leaf_index] = self.keys[leaf_index].with_leaf_key(key)
        self._forget()

    def add(self) -> int:
        """An Add without a path: the newcomer becomes an unmerged leaf."""
        leaf, key, signer = self.newcomer()
        self.tree, leaf_index = self.tree.add(leaf)
        self.keys[leaf_index], self.signers[leaf_index] = TreeKeys.of_leaf(leaf_index, key), signer
        return leaf_index

    def commit(self, committer: int, adding: int = 0) -> UpdatePath:
        """A path by one member, received by every other; newcomers get their path secret directly."""
        added = frozenset(self.add() for _ in range(adding))
        leaf = self.tree.leaf(committer)
        assert leaf is not None
        fresh = create_path(
            self.tree, committer, leaf, self.signers[committer], GROUP_ID, self.random, self.keys[committer]
        )
        context = fresh.tree.tree_hash()
        path = UpdatePath.decode(fresh.seal(context, self.random, added).encode())
        assert apply_path(self.tree, committer, path, added) == fresh.tree
        for index in self.keys.keys() - added - {committer}:
            opened = open_path(self.tree, self.keys[index], committer, path, context, added)
            assert opened.commit_secret == fresh.commit_secret
            self.keys[index] = opened.keys
        self.keys[committer] = fresh.keys
        for index in added:
            self.keys[index] = join_path(fresh.tree, self.keys[index], committer, fresh.path_secret_for(index))
        self.tree, self.commit_secret = fresh.tree, fresh.commit_secret
        return path

    def _forget(self) -> None:
        self.keys = {index: keys.matching(self.tree) for index, keys in self.keys.items()}


def entries(tree: RatchetTree) -> list[Node | None]:
    """The nodes of the tree's `ratchet_tree` vector, to be tampered with."""
    return list(RatchetTreeNodes.decode(tree.encode()).nodes)


def rebuilt(tree: RatchetTree, nodes: Iterable[Node | None]) -> RatchetTree:
    return RatchetTree.of_nodes(tree.suite, tuple(nodes))


def with_parent(tree: RatchetTree, index: int, **changes: object) -> RatchetTree:
    """The tree with one parent's fields changed."""
    nodes = entries(tree)
    node = nodes[index]
    assert isinstance(node, ParentNode)
    nodes[index] = replace(node, **changes)  # type: ignore[arg-type]
    return rebuilt(tree, nodes)
