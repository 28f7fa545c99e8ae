"""Who is in a group in one epoch: the peer behind each leaf, and behind each seat of the committee."""

from collections.abc import Iterable

from mls import PublicGroup
from node.electorate import peer_of
from node.peer_id import PeerId
from ordering import Committee


class Roster:
    """The members of one epoch by peer and by leaf; made anew with every epoch."""

    def __init__(self, own: PeerId, public: PublicGroup, committee: Committee) -> None:
        self._own = own
        self._committee = committee
        self._peers = {leaf_index: peer_of(public, leaf) for leaf_index, leaf in public.leaves()}
        self._leaves = {peer: leaf_index for leaf_index, peer in self._peers.items()}

    def __len__(self) -> int:
        return len(self._leaves)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._leaves

    @property
    def others(self) -> tuple[PeerId, ...]:
        """The other members' peers, by leaf index."""
        return tuple(peer for peer in self._leaves if peer != self._own)

    @property
    def other_voters(self) -> tuple[PeerId, ...]:
        """The peers on the committee, our own left out."""
        return self.voters(range(self._committee.size))

    @property
    def followers(self) -> tuple[PeerId, ...]:
        """The peers of members without a seat, our own left out."""
        return tuple(
            peer
            for peer, leaf in self._leaves.items()
            if peer != self._own and self._committee.voter_of_leaf(leaf) is None
        )

    def leaf_of(self, peer: PeerId) -> int | None:
        """The leaf of a peer."""
        return self._leaves.get(peer)

    def peer_at(self, leaf_index: int) -> PeerId | None:
        """The peer of a leaf."""
        return self._peers.get(leaf_index)

    def voter_of(self, peer: PeerId) -> int | None:
        """The seat of a peer, when it has one."""
        leaf = self._leaves.get(peer)
        return None if leaf is None else self._committee.voter_of_leaf(leaf)

    def voters(self, indices: Iterable[int]) -> tuple[PeerId, ...]:
        """The peers behind voter indices, our own left out."""
        seats = self._committee.seats
        peers = (self._peers[seats[voter].leaf] for voter in indices if voter < len(seats))
        return tuple(peer for peer in peers if peer != self._own)
