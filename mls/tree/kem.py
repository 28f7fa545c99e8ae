"""TreeKEM (RFC 9420 §7.4 to §7.6): how a committer gives the group a new secret in log(n) encryptions.

A committer draws a fresh leaf key and a random path secret for the lowest node of its *filtered direct path* (the
ancestors whose other child reaches somebody). A chain runs up from there:

    path_secret[0] = random          path_secret[i+1] = DeriveSecret(path_secret[i], "path")
    node key pair i = DeriveKeyPair(DeriveSecret(path_secret[i], "node"))
    commit_secret  = DeriveSecret(path_secret[last], "path")

Each path_secret[i] is encrypted to the resolution of the *copath* child of node i: the fewest keys that reach every
member on that side. So each member can open exactly one of them, at its lowest common ancestor with the committer, and
derives everything above by itself. Members added by the same commit hold no key of the tree yet; they are left out of
every resolution (`excluding`) and get their path secret in the Welcome.

Parent hashes run the other way, from the root down: the leaf's own signature ends up covering every new key. And the
ciphertexts are bound to the *provisional* group context, which holds the hash of the tree with the path merged (V158).
Hence two steps when sending (`create_path` then `FreshPath.seal`) and two when receiving (`apply_path`, which needs no
secret, then `open_path`).
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from mls.codec import Encoded, Opaque, Struct, Vector, struct
from mls.crypto import CipherSuite, HPKECiphertext, HpkePrivateKey, Random, SignaturePrivateKey
from mls.errors import InvalidError, MisuseError, UnopenableError
from mls.registry import LeafNodeSource
from mls.tree.math import NodeIndex, common_ancestor, node_of_leaf
from mls.tree.nodes import LeafNode, ParentNode
from mls.tree.parent_hash import path_parents
from mls.tree.private import TreeKeys
from mls.tree.ratchet import PathStep, RatchetTree
from mls.tree.subtree import Subtree

PATH_LABEL = "UpdatePathNode"


@struct
class UpdatePathNode(Struct):
    """A new key for one node of the filtered direct path, and its secret for each node of the copath's resolution.

    One of these ciphertexts at most is ours to open, of as many as half the group where nobody has committed yet.
    """

    encryption_key: Opaque
    encrypted_path_secret: Vector[Annotated[bytes, Encoded(HPKECiphertext)]]


@struct
class UpdatePath(Struct):
    """A committer's new leaf and the new keys above it, lowest first (RFC 9420 §7.6)."""

    leaf_node: LeafNode
    nodes: Vector[UpdatePathNode]


# --- sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FreshStep:
    """One node of a path just made: who is on its other side, its public key, and its secret."""

    node_index: NodeIndex
    copath: Subtree
    encryption_key: bytes
    path_secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FreshPath:
    """A path not yet encrypted: the tree with it merged, our keys there, and what the key schedule takes from it."""

    suite: CipherSuite
    tree: RatchetTree
    keys: TreeKeys
    leaf: LeafNode
    steps: tuple[FreshStep, ...]
    commit_secret: bytes = field(repr=False)

    def seal(self, group_context: bytes, random: Random, excluding: Collection[int] = ()) -> UpdatePath:
        """The path as it goes into the Commit, under the provisional group context (V158).

        `excluding`: the leaf indices of members this commit adds (V155).
        """
        encrypt = self.suite.encryption_with_label(PATH_LABEL, group_context)
        nodes = []
        for step in self.steps:
            recipients = reached(step.copath, excluding)
            sealed = tuple([encrypt(_key(node), step.path_secret, random).encode() for node in recipients])
            nodes.append(UpdatePathNode(step.encryption_key, sealed))
        return UpdatePath(self.leaf, tuple(nodes))

    def path_secret_for(self, leaf_index: int) -> bytes:
        """The secret of the lowest common ancestor with a new member, for its Welcome (RFC 9420 §12.4.1, V224)."""
        ancestor = common_ancestor(node_of_leaf(self.keys.leaf_index), node_of_leaf(leaf_index))
        for step in self.steps:
            if step.node_index == ancestor:
                return step.path_secret
        raise MisuseError(f"leaf {leaf_index} has no common ancestor with the committer in this path")


def create_path(
    tree: RatchetTree,
    leaf_index: int,
    leaf: LeafNode,
    signer: SignaturePrivateKey,
    group_id: bytes,
    random: Random,
    keys: TreeKeys | None = None,
) -> FreshPath:
    """A new path for the committer at `leaf_index`, in the tree as it is after the commit's proposals (V222, V223).

    `leaf` says what the new leaf is to claim; its encryption key, source, parent hash and signature are made here.
    `keys` are the committer's private keys so far; an external joiner has none.
    """
    suite = tree.suite
    leaf_key = suite.generate_hpke_key(random)
    path = tree.filtered_direct_path(leaf_index)
    steps, fresh_keys, secret = [], {node_of_leaf(leaf_index): leaf_key}, random(suite.hash_size)
    for step in path:
        key = derive_node_key(suite, secret)
        steps.append(FreshStep(step.node.index, step.copath, key.public, secret))
        fresh_keys[step.node.index] = key
        secret = suite.derive_secret(secret, "path")
    parents, parent_hash = path_parents(suite, path, [step.encryption_key for step in steps])
    new_leaf = replace(
        leaf,
        encryption_key=leaf_key.public,
        leaf_node_source=LeafNodeSource.COMMIT,
        lifetime=None,
        parent_hash=parent_hash,
    ).signed(suite, signer, group_id, leaf_index)
    return FreshPath(
        suite,
        tree.with_path(leaf_index, new_leaf, parents),
        _merged_keys(tree, leaf_index, keys or TreeKeys.of_leaf(leaf_index, leaf_key), fresh_keys),
        new_leaf,
        tuple(steps),
        secret,
    )


# --- receiving --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenedPath:
    """What a member gets out of another's path."""

    keys: TreeKeys
    commit_secret: bytes = field(repr=False)


def apply_path(tree: RatchetTree, sender: int, path: UpdatePath, excluding: Collection[int] = ()) -> RatchetTree:
    """The tree with a received path merged: everything about it that can be judged without a secret.

    `tree` is the one after the commit's proposals (with room made, for an external joiner), `excluding` the leaf
    indices of members that the commit adds. Raises InvalidError for V154, V155, V014, V152 and V156.
    """
    steps, added = tree.filtered_direct_path(sender), sorted(excluding)
    if len(path.nodes) != len(steps):
        raise InvalidError("V154", f"a path of {len(path.nodes)} nodes where the tree asks for {len(steps)}")
    for step, node in zip(steps, path.nodes, strict=True):
        wanted = reached_size(step.copath, added)
        if len(node.encrypted_path_secret) != wanted:
            raise InvalidError("V155", f"{len(node.encrypted_path_secret)} ciphertexts for {wanted} recipients")
        tree.suite.check_hpke_public_key(node.encryption_key)
    check_path_keys(tree, path)
    parents, parent_hash = path_parents(tree.suite, steps, [node.encryption_key for node in path.nodes])
    if path.leaf_node.parent_hash != parent_hash:
        raise InvalidError("V156", "a path whose leaf carries another parent hash")
    return tree.with_path(sender, path.leaf_node, parents)


def check_path_keys(tree: RatchetTree, path: UpdatePath) -> None:
    """No key of the path is in the tree already, or twice in the path (V152)."""
    keys = [path.leaf_node.encryption_key, *(node.encryption_key for node in path.nodes)]
    if len(set(keys)) != len(keys):
        raise InvalidError("V152", "a path with the same key twice")
    if any(key in tree.encryption_keys for key in keys):
        raise InvalidError("V152", "a path with a key that is in the tree already")


def open_path(
    tree: RatchetTree,
    keys: TreeKeys,
    sender: int,
    path: UpdatePath,
    group_context: bytes,
    excluding: Collection[int] = (),
) -> OpenedPath:
    """Our keys and the commit secret after a path that `apply_path` has accepted for the same `tree`.

    Raises UnopenableError where the one ciphertext meant for us is wrong (V157, V213): the others cannot see that.
    """
    steps = tree.filtered_direct_path(sender)
    position, secret = open_path_secret(tree, keys, sender, path, group_context, excluding)
    rest = [(step.node.index, node.encryption_key) for step, node in zip(steps, path.nodes, strict=True)][position:]
    fresh_keys, secret = _climb(tree.suite, rest, secret)
    if fresh_keys is None:
        raise UnopenableError("a path secret that does not lead to the path's keys", "V157")
    return OpenedPath(_merged_keys(tree, sender, keys, fresh_keys), secret)


def open_path_secret(
    tree: RatchetTree,
    keys: TreeKeys,
    sender: int,
    path: UpdatePath,
    group_context: bytes,
    excluding: Collection[int] = (),
) -> tuple[int, bytes]:
    """(position in the filtered direct path, path secret) at our lowest common ancestor with the sender."""
    if sender == keys.leaf_index:
        raise MisuseError("a path of our own is not opened: its secrets were drawn here")
    steps = tree.filtered_direct_path(sender)
    position = _meeting_position(steps, sender, keys.leaf_index)
    if position is None:
        raise MisuseError("a tree in which our own leaf is blank")
    sealed = path.nodes[position].encrypted_path_secret
    for place, node in reaching(steps[position].copath, keys.leaf_index, sorted(excluding)):
        key = keys.key_of(node)
        if key is not None:
            try:
                ours = HPKECiphertext.decode(sealed[place])
                return position, tree.suite.decrypt_with_label(key, PATH_LABEL, group_context, ours)
            except InvalidError as error:
                raise UnopenableError(error.detail, error.rule) from error
            except UnopenableError as error:
                raise UnopenableError("the ciphertext meant for us does not open", "V157") from error
    raise UnopenableError("a path that reaches none of our keys")


def join_path(tree: RatchetTree, keys: TreeKeys, signer: int, path_secret: bytes) -> TreeKeys:
    """A new member's keys, from the path secret in its Welcome (RFC 9420 §12.4.3.1).

    Only the nodes of the signer's filtered direct path take a step of the chain. Raises InvalidError (V194).
    """
    steps = tree.filtered_direct_path(signer)
    position = _meeting_position(steps, signer, keys.leaf_index)
    if position is None or steps[position].node.content is None:
        raise InvalidError("V194", "a path secret for a blank node")
    fresh_keys, _ = _climb(tree.suite, [(step.node.index, _key(step.node)) for step in steps[position:]], path_secret)
    if fresh_keys is None:
        raise InvalidError("V194", "a path secret that does not lead to the tree's keys")
    return keys.replaced((), fresh_keys)


# --- both -------------------------------------------------------------------------------------------------------------


def derive_node_key(suite: CipherSuite, path_secret: bytes) -> HpkePrivateKey:
    """The key pair of a node whose path secret is known (RFC 9420 §7.4)."""
    return suite.derive_hpke_key(suite.derive_secret(path_secret, "node"))


def reached(copath: Subtree, excluding: Collection[int]) -> tuple[Subtree, ...]:
    """The resolution of a copath node without the leaves just added (RFC 9420 §7.5)."""
    resolution = copath.resolution()
    if not excluding:
        return resolution
    return tuple(node for node in resolution if node.height or node.leaf_index not in excluding)


def reached_size(copath: Subtree, added: Sequence[int]) -> int:
    """The size of `reached`, uncounted: every leaf just added, of the ascending `added`, is one of a resolution."""
    if not added:
        return copath.resolution_size
    below = bisect_left(added, copath.first_leaf + copath.leaf_count) - bisect_left(added, copath.first_leaf)
    return copath.resolution_size - below


def reaching(copath: Subtree, leaf_index: int, added: Sequence[int]) -> Iterator[tuple[int, Subtree]]:
    """Where in `reached` stand the nodes whose keys a leaf below may hold: (position, node), of one or two.

    They are the highest node over it that is not blank, and the leaf itself where it is unmerged there.
    """
    here, place = copath, 0
    while here.height and here.content is None:
        if leaf_index < here.split:
            here = here.left
        else:
            place += reached_size(here.left, added)
            here = here.right
    if here.height or leaf_index not in added:
        yield place, here
    if isinstance(here.content, ParentNode):
        unmerged = [each for each in here.content.unmerged_leaves if each not in added]
        if leaf_index in unmerged:
            yield place + 1 + unmerged.index(leaf_index), here.find(leaf_index)


def _key(node: Subtree) -> bytes:
    return b"" if node.content is None else node.content.encryption_key


def _meeting_position(steps: Sequence[PathStep], sender: int, leaf_index: int) -> int | None:
    """Where in the sender's filtered direct path the lowest common ancestor with a leaf stands."""
    ancestor = common_ancestor(node_of_leaf(sender), node_of_leaf(leaf_index))
    return next((position for position, step in enumerate(steps) if step.node.index == ancestor), None)


def _climb(
    suite: CipherSuite, nodes: Sequence[tuple[NodeIndex, bytes]], path_secret: bytes
) -> tuple[dict[NodeIndex, HpkePrivateKey] | None, bytes]:
    """The keys of these nodes from the first one's secret, and the secret after the last.

    No keys where a public half differs from the one given with its node (V157, V194).
    """
    keys, secret = {}, path_secret
    for node_index, public in nodes:
        key = derive_node_key(suite, secret)
        if key.public != public:
            return None, b""
        keys[node_index] = key
        secret = suite.derive_secret(secret, "path")
    return keys, secret


def _merged_keys(tree: RatchetTree, sender: int, keys: TreeKeys, fresh: Mapping[NodeIndex, HpkePrivateKey]) -> TreeKeys:
    """Our keys after a path: those of the sender's direct path are replaced or forgotten (V170)."""
    return keys.replaced((step.node.index for step in tree.direct_path(sender)), fresh)
