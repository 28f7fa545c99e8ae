"""TreeKEM against the published vectors, and what a member refuses in another's path."""

import random
from dataclasses import replace
from typing import Any

import pytest

from mls.codec import varint
from mls.crypto import HPKECiphertext, SignaturePrivateKey, suite, supported_suites
from mls.errors import InvalidError, MisuseError, UnopenableError
from mls.tree.kem import (
    FreshPath,
    UpdatePath,
    apply_path,
    create_path,
    derive_node_key,
    join_path,
    open_path,
    open_path_secret,
    reached,
    reached_size,
    reaching,
)
from mls.tree.math import NodeIndex
from mls.tree.private import TreeKeys
from mls.tree.ratchet import RatchetTree
from tests.mls.tree.world import GROUP_ID, World, seeded
from tests.vectors import official, ran

CONTEXT = b"provisional group context"


def test_paths_match_the_published_vectors() -> None:
    """`treekem`: every member opens every published path, and every path made here."""
    for case in official("treekem"):
        row = suite(case["cipher_suite"])
        tree = RatchetTree.decode(row, bytes.fromhex(case["ratchet_tree"]))
        members = {each["index"]: published_member(case, each) for each in case["leaves_private"]}
        for keys, _ in members.values():
            assert keys.matching(tree) == keys
        for published in case["update_paths"]:
            check_published_path(case, tree, members, published)
        for index, (keys, signer) in members.items():
            leaf = tree.leaf(index)
            assert leaf is not None
            fresh = create_path(tree, index, leaf, signer, bytes.fromhex(case["group_id"]), seeded(index), keys)
            context = context_bytes(case, fresh.tree.tree_hash())
            path = fresh.seal(context, seeded(99))
            assert apply_path(tree, index, path) == fresh.tree
            for other, (other_keys, _) in members.items():
                if other != index:
                    assert open_path(tree, other_keys, index, path, context).commit_secret == fresh.commit_secret
        ran("treekem")


def published_member(case: dict[str, Any], each: dict[str, Any]) -> tuple[TreeKeys, SignaturePrivateKey]:
    row = suite(case["cipher_suite"])
    keys = TreeKeys.of_leaf(each["index"], row.load_hpke_key(bytes.fromhex(each["encryption_priv"])))
    above = {
        NodeIndex(entry["node"]): derive_node_key(row, bytes.fromhex(entry["path_secret"]))
        for entry in each["path_secrets"]
    }
    return keys.replaced((), above), row.load_signature_key(bytes.fromhex(each["signature_priv"]))


def check_published_path(
    case: dict[str, Any],
    tree: RatchetTree,
    members: dict[int, tuple[TreeKeys, SignaturePrivateKey]],
    published: dict[str, Any],
) -> None:
    sender, path = published["sender"], UpdatePath.decode(bytes.fromhex(published["update_path"]))
    assert path.leaf_node.verify(tree.suite, bytes.fromhex(case["group_id"]), sender)
    merged = apply_path(tree, sender, path)
    assert merged.tree_hash() == bytes.fromhex(published["tree_hash_after"])
    context = context_bytes(case, merged.tree_hash())
    for index, (keys, _) in members.items():
        if index == sender:
            continue
        _, secret = open_path_secret(tree, keys, sender, path, context)
        assert secret == bytes.fromhex(published["path_secrets"][index])
        opened = open_path(tree, keys, sender, path, context)
        assert opened.commit_secret == bytes.fromhex(published["commit_secret"])
        assert opened.keys.matching(merged) == opened.keys


def context_bytes(case: dict[str, Any], tree_hash: bytes) -> bytes:
    """The published case's GroupContext over another tree hash."""
    group_id, transcript = bytes.fromhex(case["group_id"]), bytes.fromhex(case["confirmed_transcript_hash"])
    fields = [b"\x00\x01", case["cipher_suite"].to_bytes(2, "big"), varint(len(group_id)), group_id]
    fields += [case["epoch"].to_bytes(8, "big"), varint(len(tree_hash)), tree_hash]
    fields += [varint(len(transcript)), transcript, b"\x00"]
    return b"".join(fields)


# --- a path by member 0 among eight, to be tampered with ---


def made(world: World, committer: int = 0) -> FreshPath:
    leaf = world.tree.leaf(committer)
    assert leaf is not None
    keys = world.keys[committer]
    return create_path(world.tree, committer, leaf, world.signers[committer], GROUP_ID, world.random, keys)


def refusal(world: World, path: UpdatePath) -> str:
    with pytest.raises(InvalidError) as refused:
        apply_path(world.tree, 0, path)
    return refused.value.rule


@pytest.mark.parametrize("id", supported_suites())
def test_members_of_every_suite_agree(id: int) -> None:
    world = World(5, suite(id))
    world.commit(3)
    world.remove(1)
    world.commit(0, adding=2)
    world.commit(1)


def test_a_path_with_a_node_too_many_or_too_few_is_refused() -> None:
    """V154."""
    world = World(8)
    path = made(world).seal(CONTEXT, world.random)

    assert refusal(world, replace(path, nodes=path.nodes[:-1])) == "V154"
    assert refusal(world, replace(path, nodes=(*path.nodes, path.nodes[0]))) == "V154"


def test_a_ciphertext_too_many_or_too_few_is_refused() -> None:
    """V155."""
    world = World(8)
    path = made(world).seal(CONTEXT, world.random)
    first = path.nodes[0]

    for ciphertexts in ((), first.encrypted_path_secret * 2):
        changed = replace(first, encrypted_path_secret=ciphertexts)
        assert refusal(world, replace(path, nodes=(changed, *path.nodes[1:]))) == "V155"


def test_members_just_added_get_no_ciphertext() -> None:
    """V155: they are left out of every resolution, by sender and receiver alike."""
    world = World(4)
    added = frozenset({world.add()})
    path = made(world).seal(CONTEXT, world.random)

    with pytest.raises(InvalidError) as refused:
        apply_path(world.tree, 0, path, added)
    assert refused.value.rule == "V155"
    apply_path(world.tree, 0, path)


@pytest.mark.parametrize("seed", range(4))
def test_where_ones_own_ciphertext_stands_is_found_without_a_list(seed: int) -> None:
    """In trees with blanks and unmerged leaves, for newcomers left out and for none: as in the list itself."""
    rng, world = random.Random(seed), World(11, seed=seed)
    for committer in rng.sample(range(11), 4):
        world.commit(committer)
    for leaf_index in rng.sample(range(11), 3):
        world.remove(leaf_index)
    added = frozenset(world.add() for _ in range(5))
    assert any(node.resolution_size > 1 for node in world.tree.root.nodes())
    for copath in world.tree.root.nodes():
        for excluding in (added, frozenset[int]()):
            places = list(enumerate(reached(copath, excluding)))
            assert reached_size(copath, sorted(excluding)) == len(places)
            for leaf_index in range(copath.first_leaf, copath.first_leaf + copath.leaf_count):
                if world.tree.leaf(leaf_index) is None:
                    continue
                above = [
                    (place, node)
                    for place, node in places
                    if node.first_leaf <= leaf_index < node.first_leaf + node.leaf_count
                ]
                assert list(reaching(copath, leaf_index, sorted(excluding))) == above


def test_a_key_of_the_tree_is_refused() -> None:
    """V152: whether it is in a leaf, a parent, the committer's own old leaf, or twice in the path."""
    world = World(8)
    world.commit(7)
    path = made(world).seal(CONTEXT, world.random)
    leaf, own, root = world.tree.leaf(5), world.tree.leaf(0), world.tree.root.parent
    assert leaf is not None
    assert own is not None
    assert root is not None

    for key in (leaf.encryption_key, own.encryption_key, root.encryption_key, path.nodes[1].encryption_key):
        first = replace(path.nodes[0], encryption_key=key)
        assert refusal(world, replace(path, nodes=(first, *path.nodes[1:]))) == "V152"
        assert refusal(world, replace(path, leaf_node=replace(path.leaf_node, encryption_key=key))) == "V152"


def test_a_key_of_the_wrong_length_is_refused() -> None:
    """V014."""
    world = World(8)
    path = made(world).seal(CONTEXT, world.random)
    first = replace(path.nodes[0], encryption_key=b"short")

    assert refusal(world, replace(path, nodes=(first, *path.nodes[1:]))) == "V014"


def test_a_leaf_with_another_parent_hash_is_refused() -> None:
    """V156: absent, empty, or of a tree with another key."""
    world = World(8)
    path = made(world).seal(CONTEXT, world.random)
    other = replace(path.nodes[0], encryption_key=world.suite.generate_hpke_key(world.random).public)

    for parent_hash in (None, b"", bytes(32)):
        assert refusal(world, replace(path, leaf_node=replace(path.leaf_node, parent_hash=parent_hash))) == "V156"
    assert refusal(world, replace(path, nodes=(other, *path.nodes[1:]))) == "V156"


def test_a_lone_member_has_an_empty_path_and_parent_hash() -> None:
    """V156, V222: the commit secret is fresh all the same."""
    world = World(1)
    one, other = made(world), made(world)

    assert one.leaf.parent_hash == b""
    assert one.steps == ()
    assert one.commit_secret != other.commit_secret
    assert apply_path(world.tree, 0, one.seal(CONTEXT, world.random)) == one.tree


def test_every_path_draws_its_own_keys() -> None:
    """V222."""
    world = World(8)
    one, other = made(world), made(world)

    assert one.leaf.encryption_key != other.leaf.encryption_key
    assert {step.encryption_key for step in one.steps}.isdisjoint(step.encryption_key for step in other.steps)


def test_a_path_blanks_what_it_does_not_fill() -> None:
    """V223: the filtered-out ancestors of the committer, and no unmerged leaf remains on the way up."""
    world = World(8)
    world.commit(1)
    world.add()
    world.remove(1)
    world.add()
    world.remove(1)
    world.commit(0)

    assert world.tree.node(1).content is None
    parents = [step.node.parent for step in world.tree.filtered_direct_path(0)]
    assert all(parent is not None and parent.unmerged_leaves == () for parent in parents)
    assert parents[-1] is not None
    assert parents[-1].parent_hash == b""


@pytest.mark.parametrize("part", ["ciphertext", "kem_output"])
def test_a_wrong_ciphertext_cuts_off_its_reader_only(part: str) -> None:
    """V157: nobody else can see it, so it asks for recovery rather than blame."""
    world = World(8)
    fresh = made(world)
    path = fresh.seal(CONTEXT, world.random)
    sealed = HPKECiphertext.decode(path.nodes[0].encrypted_path_secret[0])
    flipped = bytes((getattr(sealed, part)[0] ^ 1,)) + getattr(sealed, part)[1:]
    first = replace(path.nodes[0], encrypted_path_secret=(replace(sealed, **{part: flipped}).encode(),))
    changed = replace(path, nodes=(first, *path.nodes[1:]))

    assert apply_path(world.tree, 0, changed) == fresh.tree
    with pytest.raises(UnopenableError) as refused:
        open_path(world.tree, world.keys[1], 0, changed, CONTEXT)
    assert refused.value.rule == "V157"
    assert open_path(world.tree, world.keys[2], 0, changed, CONTEXT).commit_secret == fresh.commit_secret


def test_a_kem_output_that_is_no_key_cuts_off_its_reader_only() -> None:
    """V213."""
    world = World(2)
    path = made(world).seal(CONTEXT, world.random)
    broken = replace(path.nodes[0], encrypted_path_secret=(HPKECiphertext(b"", b"").encode(),))

    with pytest.raises(UnopenableError) as refused:
        open_path(world.tree, world.keys[1], 0, replace(path, nodes=(broken,)), CONTEXT)
    assert refused.value.rule == "V213"


def test_a_path_secret_that_leads_to_other_keys_is_refused() -> None:
    """V157: a committer that encrypts one chain and publishes another."""
    world = World(8)
    fresh = made(world)
    steps = (replace(fresh.steps[0], path_secret=bytes(32)), *fresh.steps[1:])
    path = replace(fresh, steps=steps).seal(CONTEXT, world.random)

    with pytest.raises(UnopenableError) as refused:
        open_path(world.tree, world.keys[1], 0, path, CONTEXT)
    assert refused.value.rule == "V157"


def test_a_path_opens_under_its_own_group_context_only() -> None:
    """V158."""
    world = World(4)
    path = made(world).seal(CONTEXT, world.random)

    with pytest.raises(UnopenableError):
        open_path(world.tree, world.keys[3], 0, path, b"another context")


def test_opening_ones_own_path_is_a_misuse() -> None:
    world = World(4)
    path = made(world).seal(CONTEXT, world.random)

    with pytest.raises(MisuseError):
        open_path(world.tree, world.keys[0], 0, path, CONTEXT)


def test_a_member_without_keys_for_the_path_asks_for_recovery() -> None:
    world = World(4)
    path = made(world).seal(CONTEXT, world.random)
    stranger = TreeKeys.of_leaf(3, world.suite.generate_hpke_key(world.random))

    with pytest.raises(UnopenableError):
        open_path(world.tree, stranger, 0, path, CONTEXT)


class TestJoining:
    def test_a_path_secret_gives_the_keys_above_the_common_ancestor(self) -> None:
        """V224, V194."""
        world = World(4)
        world.commit(0, adding=1)

        assert world.keys[4].keys.keys() == {8, 7}
        assert world.keys[4].matching(world.tree) == world.keys[4]

    def test_a_path_secret_that_leads_elsewhere_is_refused(self) -> None:
        """V194."""
        world = World(4)
        world.commit(0, adding=1)
        fresh = made(world)

        with pytest.raises(InvalidError) as refused:
            join_path(fresh.tree, world.keys[4], 0, bytes(32))
        assert refused.value.rule == "V194"

    def test_a_path_secret_for_a_blank_node_is_refused(self) -> None:
        """V194."""
        world = World(4)
        world.commit(0)
        world.update(0)

        with pytest.raises(InvalidError) as refused:
            join_path(world.tree, world.keys[3], 0, bytes(32))
        assert refused.value.rule == "V194"

    def test_only_leaves_beside_the_path_have_a_secret(self) -> None:
        world = World(2)

        with pytest.raises(MisuseError):
            made(world).path_secret_for(5)

    def test_an_external_joiner_takes_the_leftmost_blank_leaf(self) -> None:
        """With room made for it (V144), and no key of it in the tree beforehand (V152)."""
        for count, place in ((4, 4), (5, 5)):
            world = World(count)
            leaf, _, signer = world.newcomer()
            roomy, leaf_index = world.tree.with_room()
            fresh = create_path(roomy, leaf_index, leaf, signer, GROUP_ID, world.random)
            path = fresh.seal(CONTEXT, world.random)

            assert leaf_index == place
            assert apply_path(roomy, leaf_index, path) == fresh.tree
            assert fresh.keys.matching(fresh.tree) == fresh.keys
            for keys in world.keys.values():
                assert open_path(roomy, keys, leaf_index, path, CONTEXT).commit_secret == fresh.commit_secret


class TestPrivateKeys:
    def test_keys_of_blanked_nodes_are_forgotten(self) -> None:
        """V170."""
        world = World(4)
        world.commit(0)
        assert world.keys[1].keys.keys() == {2, 1, 3}

        world.update(0)

        assert world.keys[1].keys.keys() == {2}

    def test_a_key_of_an_earlier_occupant_is_none(self) -> None:
        """Nobody seals to it any more."""
        world = World(4)
        world.commit(0)
        before = world.keys[1]
        world.commit(2)

        held = [before.key_of(world.tree.node(index)) for index in (2, 1, 3)]

        assert [key is not None for key in held] == [True, True, False]

    def test_keys_survive_a_snapshot(self) -> None:
        world = World(4)
        world.commit(0)

        again = TreeKeys.from_bytes(world.suite, world.keys[1].to_bytes())

        assert again == world.keys[1]
        assert again.leaf_key.to_bytes() == world.keys[1].leaf_key.to_bytes()

    def test_secrets_are_not_printed(self) -> None:
        """V216."""
        world = World(4)
        fresh = made(world)

        assert fresh.commit_secret.hex()[:8] not in repr(fresh)
        assert repr(fresh.commit_secret)[2:-1] not in repr(fresh)
        assert repr(fresh.steps[0].path_secret)[2:-1] not in repr(fresh)
        assert repr(world.keys[0].leaf_key.to_bytes())[2:-1] not in repr(world.keys[0])
