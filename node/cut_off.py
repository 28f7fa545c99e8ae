"""A node that could not open a decided commit.

A hostile committer can seal path secrets that some members open and others do not (RFC 9420 §16.12). What a quorum
decided is the group's all the same, so a node that cannot follow with its secrets follows without: the public state of
the next epoch is in the bundle, and with it who votes, and on what. It goes on voting (`Candidacy`: for fresh values
only on resyncs of voters), it comes back by a commit of its own (`node.resync`), and what was said meanwhile stays
closed to it. The same goes for a node whose leaf another copy of it has replaced, such as a restored backup.
"""

from typing import Final

from mls import PublicGroup, PublicStaged
from node.electorate import leaf_of_peer
from node.holding import Holding
from node.peer_id import PeerId
from node.store_reads import StoreReads
from node.store_writes import Transaction

CUT_OFF_TEXT = "this node could not open the last change of the group: it votes on, and comes back by itself"

BLAMED_MAX: Final = 64  # peers that we hold a commit against

NO_FINGERPRINT: Final = b""
"""What a cut-off member puts into its Status: signed, it says that it stands in the epoch without its secrets."""


def blamed(store: StoreReads, group_id: bytes) -> frozenset[PeerId]:
    """The peers whose decided commits we could not open, the last so many. Nobody but us can know it."""
    data = store.meta(_blame_key(group_id))
    return frozenset(data.decode().split()) if data else frozenset()


def blame(transaction: Transaction, group_id: bytes, peer: PeerId) -> None:
    """Remember whose commit has cut us off."""
    data = transaction.meta(_blame_key(group_id)) or b""
    known = [each for each in data.decode().split() if each != peer]
    transaction.put_meta(_blame_key(group_id), " ".join([*known, peer][-BLAMED_MAX:]).encode())


def _blame_key(group_id: bytes) -> str:
    return f"cut-off-by/{group_id.hex()}"


def followed(staged: PublicStaged, peer: PeerId) -> PublicGroup | None:
    """The epoch that a commit opens, for a member whose secrets do not lead there; None when it is no member of it.

    Who is removed and added anew in one commit gets a Welcome, and is let in by that.
    """
    leaf_index = leaf_of_peer(staged.successor, peer)
    added = any(addition.leaf_index == leaf_index for addition in staged.adds)
    return None if leaf_index is None or added else staged.successor


def news(before: Holding, after: Holding) -> str | None:
    """What the user is told when an epoch ends: that we are cut off now, or back."""
    if after.is_cut_off:
        return None if before.is_cut_off else CUT_OFF_TEXT
    if before.is_cut_off and before.group is not None and not after.removed:
        first, last = before.group.epoch + 1, before.epoch
        epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        return f"this node is back in the group; what was said in {epochs} cannot be read here"
    return None


def seen(leaf_index: int, name: str) -> str:
    """What the user is told of another member that is cut off."""
    return f"{name} (leaf {leaf_index}) could not open the change that began this epoch; it comes back by itself"
