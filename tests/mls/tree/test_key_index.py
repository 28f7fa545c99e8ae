"""The multiset of keys, against the obvious one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mls.tree.key_index import KeyIndex

KEYS = [b"a", b"b", b"c"]


@given(st.lists(st.sampled_from(KEYS)), st.lists(st.lists(st.sampled_from(KEYS), max_size=4), max_size=6))
def test_counts_are_those_of_a_plain_multiset(start: list[bytes], arrivals: list[list[bytes]]) -> None:
    index, plain = KeyIndex(start), Counter(start)
    for come in arrivals:
        gone = [key for key in KEYS if plain[key]]
        earlier, before = index, dict(plain)
        index = index.changed(gone=gone, come=come)
        plain = plain - Counter(gone) + Counter(come)
        assert all(earlier.count(key) == before.get(key, 0) for key in KEYS)
        assert all(index.count(key) == plain[key] for key in KEYS)
        assert all((key in index) == (plain[key] > 0) for key in KEYS)
    assert index.repeated() == {key for key in KEYS if plain[key] > 1}


def test_a_long_history_is_folded() -> None:
    index = KeyIndex()
    for number in range(1000):
        index = index.changed(come=[number.to_bytes(4, "big")])

    assert len(index._difference) <= 256
    assert all(number.to_bytes(4, "big") in index for number in range(1000))
    assert len(index._base) + len(index._difference) == 1000
