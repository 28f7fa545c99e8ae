"""Groups of any size to measure in, made in seconds.

A *full* tree, every parent of which holds a key, arises when many members have committed. Here it is put together from
its root down, exactly as those commits would have left it: the newest commit is that of the rightmost leaf, and each
left half ends as its own rightmost leaf left it before. Joining such a group checks that it was done right.
"""

import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from mls.crypto import CipherSuite, HpkePrivateKey, SignaturePrivateKey, suite
from mls.group import Group
from mls.group_context import GroupContext
from mls.key_packages import KeyPackageBundle, create_key_package
from mls.key_schedule import start_from_epoch_secret
from mls.proposals import add
from mls.public_group import PublicGroup
from mls.registry import CredentialType, LeafNodeSource, ProtocolVersion
from mls.secret_tree import SecretTree
from mls.state import GroupState
from mls.transcript import interim_transcript_hash
from mls.tree.math import LeafIndex, NodeIndex, least_power_of_two, node_of_leaf
from mls.tree.nodes import Capabilities, Credential, LeafNode, Lifetime, ParentNode
from mls.tree.parent_hash import parent_hash
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree
from mls.tree.subtree import Subtree

NOW = 1_800_000_000
LIFETIME = Lifetime(NOW - 3600, NOW + 30 * 24 * 3600)
GROUP_ID = b"benchmark"

Random = Callable[[int], bytes]


def dice(seed: int = 0) -> Random:
    """Reproducible, fast and of no value as randomness."""
    return _random.Random(seed).randbytes


def capabilities(suite_id: int) -> Capabilities:
    return Capabilities((ProtocolVersion.MLS10,), (suite_id,), (), (), (CredentialType.BASIC,))


def credential(index: int) -> Credential:
    return Credential(CredentialType.BASIC, b"member-%06d" % index)


def package(suite_id: int, index: int, random: Random) -> KeyPackageBundle:
    """A KeyPackage of member number `index`."""
    signer = suite(suite_id).generate_signature_key(random)
    return create_key_package(suite_id, credential(index), signer, LIFETIME, capabilities(suite_id), (), (), random)


def founder(suite_id: int, signer: SignaturePrivateKey, random: Random) -> Group:
    """A group of one."""
    return Group.create(suite_id, GROUP_ID, signer, credential(0), capabilities(suite_id), (), (), random, LIFETIME)


@dataclass(frozen=True, slots=True)
class World:
    """A tree, and enough secrets to be any of its members."""

    row: CipherSuite
    tree: RatchetTree
    node_keys: dict[NodeIndex, HpkePrivateKey]
    signers: dict[int, SignaturePrivateKey]
    epoch_secret: bytes

    def member(self, leaf_index: int) -> Group:
        """The group as that member holds it."""
        context = GroupContext(
            ProtocolVersion.MLS10, self.row.id, GROUP_ID, 7, self.tree.tree_hash(), bytes(self.row.hash_size), ()
        )
        start = start_from_epoch_secret(self.row, self.epoch_secret)
        tag = start.secrets.confirmation_tag(self.row, context.confirmed_transcript_hash)
        above = (step.node.index for step in self.tree.direct_path(leaf_index))
        keys = {index: self.node_keys[index] for index in (node_of_leaf(leaf_index), *above) if index in self.node_keys}
        interim = interim_transcript_hash(self.row, context.confirmed_transcript_hash, tag)
        return Group(
            GroupState(
                public=PublicGroup(context, self.tree, interim),
                signer=self.signers[leaf_index],
                keys=TreeKeys(LeafIndex(leaf_index), MappingProxyType(keys)),
                secrets=start.secrets,
                secret_tree=SecretTree.start(self.row, start.encryption_secret, self.tree.leaf_count),
                confirmation_tag=tag,
            )
        )


class _Planter:
    """Puts a full tree together; see the head of this file."""

    def __init__(self, suite_id: int, member_count: int, random: Random) -> None:
        self.row, self.count, self.random = suite(suite_id), member_count, random
        self.node_keys: dict[NodeIndex, HpkePrivateKey] = {}
        self.signers: dict[int, SignaturePrivateKey] = {}

    def plant(self) -> World:
        leaf_count = least_power_of_two(self.count)
        root = self._subtree(leaf_count - 1, leaf_count.bit_length() - 1, b"")
        tree = RatchetTree.of_root(self.row, root)
        return World(self.row, tree, self.node_keys, self.signers, self.random(self.row.hash_size))

    def _subtree(self, index: int, height: int, above: bytes | None) -> Subtree:
        """`above` is the parent hash that the newest commit from below brought here, None for "any older one"."""
        node_index = NodeIndex(index)
        if height == 0:
            return Subtree(node_index, self._leaf(index // 2, above) if index // 2 < self.count else None)
        offset = 1 << (height - 1)
        if (index + 1) // 2 >= self.count:  # nobody in the right half: off the filtered direct path of all below
            left = self._subtree(index - offset, height - 1, above)
            return Subtree(node_index, None, left, self._subtree(index + offset, height - 1, None))
        key = self._key(node_index)
        content = ParentNode(key.public, self.random(self.row.hash_size) if above is None else above, ())
        left = self._subtree(index - offset, height - 1, None)
        carried = parent_hash(self.row, content, left.tree_hash(self.row))
        return Subtree(node_index, content, left, self._subtree(index + offset, height - 1, carried))

    def _leaf(self, leaf_index: int, above: bytes | None) -> LeafNode:
        signer = self.signers[leaf_index] = self.row.generate_signature_key(self.random)
        leaf = LeafNode(
            encryption_key=self._key(node_of_leaf(leaf_index)).public,
            signature_key=signer.public,
            credential=credential(leaf_index),
            capabilities=capabilities(self.row.id),
            leaf_node_source=LeafNodeSource.KEY_PACKAGE if above is None else LeafNodeSource.COMMIT,
            lifetime=LIFETIME if above is None else None,
            parent_hash=above,
            extensions=(),
        )
        return leaf.signed(self.row, signer, GROUP_ID, leaf_index)

    def _key(self, node_index: NodeIndex) -> HpkePrivateKey:
        key = self.node_keys[node_index] = self.row.generate_hpke_key(self.random)
        return key


def full_world(suite_id: int, member_count: int, random: Random) -> World:
    """A group in which every parent holds a key."""
    return _Planter(suite_id, member_count, random).plant()


def founder_and_newcomers(suite_id: int, member_count: int, random: Random) -> tuple[Group, list[KeyPackageBundle]]:
    """A group of one, and the packages of everyone else it is to have."""
    signer = suite(suite_id).generate_signature_key(random)
    return founder(suite_id, signer, random), [package(suite_id, index, random) for index in range(1, member_count)]


def add_everyone(group: Group, bundles: list[KeyPackageBundle], random: Random) -> tuple[bytes, bytes, Group]:
    """(commit, welcome, the adder's group after it)."""
    made = group.commit(random, NOW, proposals=[add(each.key_package) for each in bundles])
    assert made.welcome is not None
    return made.message, made.welcome, made.successor
