"""A one-time package is never handed out twice while f + 1 of its replicas are honest: the arithmetic."""

from itertools import combinations

import pytest

from node.contacts.cards import Place
from node.key_packages.quorum import ReplicaSet, faults_of, quorum_of, replica_set
from node.peer_id import peer_id_of

SIZES = range(1, 14)


def place(number: int) -> Place:
    return Place(bytes([number]) * 32, ("/ip4/192.0.2.1/tcp/1",))


@pytest.mark.parametrize("size", SIZES)
def test_two_quorums_share_an_honest_replica(size: int) -> None:
    """However the liars are placed, and q is the least number for which that is so."""
    faults, quorum = faults_of(size), quorum_of(size)
    assert faults < quorum <= size
    assert 2 * quorum - size >= faults + 1
    assert 2 * (quorum - 1) - size < faults + 1
    if size % 2:
        assert (size, quorum) == (2 * faults + 1, size - faults // 2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_one_grant_less_would_not_be_enough(size: int) -> None:
    """All ways in which two claims can collect grants from replicas of which f grant to both."""
    faults = faults_of(size)

    def both_count(quorum: int) -> bool:
        everybody = set(range(size))
        return any(
            len(first | liars) >= quorum and len((everybody - first) | liars) >= quorum
            for liars in map(set, combinations(everybody, faults))
            for count in range(size + 1)
            for first in map(set, combinations(everybody - liars, min(count, size - faults)))
        )

    assert not both_count(quorum_of(size))
    assert quorum_of(size) == 1 or both_count(quorum_of(size) - 1)


def test_owner_and_claimer_mean_the_same_replicas() -> None:
    """Whatever order they stand in; of two only the first, and never the owner itself."""
    one, two, three, four = map(place, range(1, 5))
    owner = peer_id_of(bytes([9]) * 32)
    assert replica_set(owner, ()) is None
    assert replica_set(peer_id_of(one.public_key), (one,)) is None
    assert replica_set(owner, (one, two)) == ReplicaSet((one,))
    assert replica_set(owner, (Place(two.public_key, ()), one)) == ReplicaSet((one,))
    some, others = ReplicaSet((one, two, three)), ReplicaSet((three, one, two))
    assert some.id == others.id != ReplicaSet((one, two, four)).id
    assert [ReplicaSet((one, two, three, four)[:size]).quorum for size in (1, 3, 4)] == [1, 3, 3]
