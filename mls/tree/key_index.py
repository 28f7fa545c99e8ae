"""Which public keys occur in a tree, and how often: a multiset with cheap successors.

Rules about unique keys (V078, V079, V152, V180, V220) would otherwise scan the tree at every commit. A successor shares
the large part and carries a small difference, which is folded in when it grows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

_DIFFERENCE_MIN, _DIFFERENCE_SHARE = 256, 8
"""A difference is folded in when it has more entries than this, and than this share (1/8) of the whole."""


class KeyIndex:
    """A frozen multiset of public keys."""

    __slots__ = ("_base", "_difference")

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._base: Mapping[bytes, int] = Counter(keys)
        self._difference: Mapping[bytes, int] = {}

    def count(self, key: bytes) -> int:
        return self._base.get(key, 0) + self._difference.get(key, 0)

    def __contains__(self, key: bytes) -> bool:
        return self.count(key) > 0

    def changed(self, *, gone: Iterable[bytes] = (), come: Iterable[bytes] = ()) -> "KeyIndex":
        """The successor after these occurrences have gone and come."""
        difference = dict(self._difference)
        for keys, step in ((gone, -1), (come, 1)):
            for key in keys:
                difference[key] = difference.get(key, 0) + step
        made = KeyIndex.__new__(KeyIndex)
        made._base, made._difference = self._base, difference
        if len(difference) > max(_DIFFERENCE_MIN, len(self._base) // _DIFFERENCE_SHARE):
            made._base, made._difference = made._folded(), {}
        return made

    def repeated(self) -> frozenset[bytes]:
        """The keys that occur more than once. Looks at every key: for joining, not for each commit."""
        return frozenset(key for key, count in self._folded().items() if count > 1)

    def _folded(self) -> dict[bytes, int]:
        folded = dict(self._base)
        for key, step in self._difference.items():
            total = folded.get(key, 0) + step
            if total:
                folded[key] = total
            else:
                folded.pop(key, None)
        return folded
