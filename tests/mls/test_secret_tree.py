"""The secret tree against the published vectors, and what it forgets."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.crypto import suite
from mls.errors import DuplicateError, MalformedError, MisuseError, UnopenableError
from mls.key_schedule import sender_data_key
from mls.registry import ContentType
from mls.secret_tree import GENERATION_MAX, Branch, LeafRatchets, Ratchet, RatchetBounds, SecretNode, SecretTree
from tests.vectors import EVERY_SOURCE, Source

APPLICATION, HANDSHAKE = ContentType.APPLICATION, ContentType.COMMIT
SUITE = suite(1)


def a_tree(leaf_count: int = 8) -> SecretTree:
    return SecretTree.start(SUITE, bytes(range(32)), leaf_count)


def secrets_in(node: SecretNode) -> Iterator[bytes]:
    """Every byte string that is kept anywhere."""
    match node:
        case bytes():
            yield node
        case Branch(left, right):
            yield from secrets_in(left)
            yield from secrets_in(right)
        case LeafRatchets(handshake, application):
            for ratchet in (handshake, application):
                yield ratchet.secret
                for key in (each.key for each in ratchet.skipped.values()):
                    yield from (key.key, key.nonce)


@EVERY_SOURCE
def test_keys_match_the_published_vectors(source: Source) -> None:
    for case in source.cases("secret-tree"):
        row = suite(case["cipher_suite"])
        sender_data = {name: bytes.fromhex(value) for name, value in case["sender_data"].items()}
        key, nonce = sender_data_key(row, sender_data["sender_data_secret"], sender_data["ciphertext"])
        assert (key, nonce) == (sender_data["key"], sender_data["nonce"])
        tree = SecretTree.start(row, bytes.fromhex(case["encryption_secret"]), len(case["leaves"]))
        for leaf_index, generations in enumerate(case["leaves"]):
            for published in generations:
                for name, content_type in (("application", APPLICATION), ("handshake", HANDSHAKE)):
                    taken, tree = tree.take_key(leaf_index, content_type, published["generation"])
                    assert taken.key == bytes.fromhex(published[f"{name}_key"])
                    assert taken.nonce == bytes.fromhex(published[f"{name}_nonce"])
        source.ran("secret-tree")


def test_proposals_and_commits_share_a_ratchet() -> None:
    """V041."""
    first, tree = a_tree().next_key(0, ContentType.PROPOSAL)
    second, _ = tree.next_key(0, ContentType.COMMIT)

    assert (first.generation, second.generation) == (0, 1)


def test_a_generation_is_taken_once() -> None:
    """V044."""
    _, tree = a_tree().take_key(3, APPLICATION, 0)

    with pytest.raises(DuplicateError):
        tree.take_key(3, APPLICATION, 0)
    tree.take_key(3, HANDSHAKE, 0)
    tree.take_key(2, APPLICATION, 0)


def test_a_late_message_is_opened_once() -> None:
    """V044, V048."""
    early, _ = a_tree().take_key(3, APPLICATION, 1)
    _, tree = a_tree().take_key(3, APPLICATION, 5)

    late, tree = tree.take_key(3, APPLICATION, 1)

    assert late == early
    with pytest.raises(DuplicateError):
        tree.take_key(3, APPLICATION, 1)


def test_taking_a_key_leaves_the_tree_as_it_was() -> None:
    """V217: a message that does not open consumes nothing."""
    tree = a_tree()
    first, _ = tree.take_key(3, APPLICATION, 4)

    assert tree.take_key(3, APPLICATION, 4)[0] == first


def test_a_generation_far_ahead_is_refused_before_any_key_is_derived() -> None:
    """V047."""
    bounds = RatchetBounds(window=4, forward_max=10)

    a_tree().take_key(0, APPLICATION, 10, bounds)
    for generation in (11, GENERATION_MAX):
        with pytest.raises(UnopenableError) as refused:
            a_tree().take_key(0, APPLICATION, generation, bounds)
        assert refused.value.rule == "V047"


def test_only_the_window_is_kept() -> None:
    """V048: skipped keys are bounded in number and in age."""
    bounds = RatchetBounds(window=3, forward_max=100)
    _, tree = a_tree().take_key(0, APPLICATION, 50, bounds)

    for generation in (48, 49):
        tree.take_key(0, APPLICATION, generation, bounds)
    with pytest.raises(UnopenableError) as refused:
        tree.take_key(0, APPLICATION, 47, bounds)
    assert refused.value.rule == "V048"
    _, later = tree.take_key(0, APPLICATION, 80, bounds)
    assert {len(each) for each in secrets_in(later.root)} <= {32, 16, 12}
    with pytest.raises(UnopenableError):
        later.take_key(0, APPLICATION, 49, bounds)


def test_the_counter_never_wraps() -> None:
    """V044: after the last generation the ratchet sends nothing more."""
    last = Ratchet(GENERATION_MAX, bytes(32))

    key, after = last.next(SUITE)

    assert key.generation == GENERATION_MAX
    assert after.secret == b""
    with pytest.raises(MisuseError):
        after.next(SUITE)
    with pytest.raises(DuplicateError):
        after.take(SUITE, GENERATION_MAX, RatchetBounds())


@given(st.integers(0, 7), st.integers(0, 5))
def test_what_led_to_a_used_key_is_forgotten(leaf_index: int, generation: int) -> None:
    """V050: neither a node secret above the leaf, nor a ratchet secret before the generation, nor the key remains."""
    tree, led = a_tree(), []
    here: SecretNode = tree.root
    for bit in (4, 2, 1):
        assert isinstance(here, bytes)
        led.append(here)
        here = tree._halves(here)[bool(leaf_index & bit)]
    assert isinstance(here, bytes)
    led.append(here)
    ratchet = tree._ratchets(here).application
    for _ in range(generation + 1):
        led.append(ratchet.secret)
        key, ratchet = ratchet.next(SUITE)

    _, after = tree.take_key(leaf_index, APPLICATION, generation)

    kept = set(secrets_in(after.root))
    assert kept.isdisjoint([*led, key.key, key.nonce])
    assert ratchet.secret in kept


@given(st.permutations(range(6)), st.sampled_from((1, 2, 16)))
def test_any_order_of_arrival_opens_everything(order: list[int], leaf_count: int) -> None:
    sender, receiver = a_tree(leaf_count), a_tree(leaf_count)
    sent = []
    for _ in order:
        key, sender = sender.next_key(leaf_count - 1, APPLICATION)
        sent.append(key)

    for generation in order:
        key, receiver = receiver.take_key(leaf_count - 1, APPLICATION, generation)
        assert key == sent[generation]
    assert receiver.generation(leaf_count - 1, APPLICATION) == 6


def test_a_snapshot_is_the_same_tree() -> None:
    tree = a_tree()
    for leaf_index, generation in ((0, 3), (5, 0), (0, 1)):
        _, tree = tree.take_key(leaf_index, APPLICATION, generation)

    again = SecretTree.from_bytes(SUITE, tree.to_bytes())

    assert again == tree
    for cut in range(len(tree.to_bytes())):
        with pytest.raises(MalformedError):
            SecretTree.from_bytes(SUITE, tree.to_bytes()[:cut])


def test_leaves_outside_the_tree_are_a_misuse() -> None:
    for leaf_index in (-1, 8):
        with pytest.raises(MisuseError):
            a_tree().next_key(leaf_index, APPLICATION)
    with pytest.raises(MisuseError):
        a_tree(3)


def test_secrets_are_not_printed() -> None:
    """V216."""
    _, tree = a_tree().take_key(0, APPLICATION, 2)

    assert not any(repr(secret)[2:-1] in repr(tree) for secret in secrets_in(tree.root))
