"""Items: equal for all members, of few sizes, and of no use to who has not the epoch's keys."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mls import ed25519_load
from node.mailbox.messages import COMPARE_PROTOCOL, FETCH_PROTOCOL, ITEM_SIZE_MAX, Asked
from node.mailbox.sealing import CLASS_MIN, ItemKind, Topic, TopicKeys, is_padded, item_id, item_size
from node.transport import KIB
from ordering import CANDIDATE_SIZE_MAX, MalformedError

EPOCH = TopicKeys(bytes(32), bytes(range(32)))
TOPIC = Topic(EPOCH)


@given(body=st.binary(max_size=3000), kind=st.sampled_from(ItemKind))
@settings(deadline=None)
def test_an_item_is_the_same_whoever_seals_it(body: bytes, kind: ItemKind) -> None:
    """So its id is known without having seen it, and a mailbox keeps it once."""
    item = TOPIC.seal(kind, body)
    assert item == Topic(EPOCH).seal(kind, body)
    assert TOPIC.open(item) == (kind, body)
    assert is_padded(len(item))
    assert item_id(item) != item_id(TOPIC.seal(kind, body + b"\0"))


@given(size=st.integers(0, CANDIDATE_SIZE_MAX))
def test_sizes_fall_into_few_classes(size: int) -> None:
    """Powers of two while small, then steps of an eighth: what is hidden stays in proportion to what it costs."""
    padded = item_size(size)
    assert padded >= max(CLASS_MIN, size + 28)
    assert is_padded(padded)
    if padded <= 64 * KIB:
        assert padded & (padded - 1) == 0
    else:
        assert padded - size - 28 <= size / 8 + 64
    assert padded <= ITEM_SIZE_MAX


def test_there_are_few_classes() -> None:
    """The size tells a mailbox so much and no more."""
    assert len({item_size(size) for size in range(0, CANDIDATE_SIZE_MAX, 97)}) <= 8 + 8 * 8


def test_another_epoch_opens_nothing() -> None:
    """Nor another topic, nor another key: an item belongs where it was sealed."""
    item = TOPIC.seal(ItemKind.MESSAGE, b"hello")
    for keys in (TopicKeys(bytes(32), bytes(32)), TopicKeys(bytes([1]) + bytes(31), bytes(range(32)))):
        with pytest.raises(MalformedError):
            Topic(keys).open(item)
    for index in range(0, len(item), 7):
        with pytest.raises(MalformedError):
            TOPIC.open(item[:index] + bytes([item[index] ^ 1]) + item[index + 1 :])


def test_the_keys_show_in_no_repr() -> None:
    """They would end up in a log."""
    assert bytes(range(32)).hex() not in repr(EPOCH)
    assert "seed" not in repr(EPOCH)


def test_a_proof_is_good_for_one_request_one_mailbox_and_one_connection() -> None:
    """Or a mailbox could use what it was told at another, and a listener what it saw."""
    box, challenge = bytes([7]) * 32, bytes(16)
    asked = Asked.sign(TOPIC.key, COMPARE_PROTOCOL, box, challenge, b"body")
    assert Asked.decode(asked.encode()).is_signed(COMPARE_PROTOCOL, box, challenge)
    assert not asked.is_signed(FETCH_PROTOCOL, box, challenge)
    assert not asked.is_signed(COMPARE_PROTOCOL, bytes(32), challenge)
    assert not asked.is_signed(COMPARE_PROTOCOL, box, bytes([1]) * 16)
    other = ed25519_load(bytes([9]) * 32)
    assert not Asked(other.public, b"body", asked.signature).is_signed(COMPARE_PROTOCOL, box, challenge)
    assert not Asked(asked.topic, b"other", asked.signature).is_signed(COMPARE_PROTOCOL, box, challenge)
