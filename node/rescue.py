"""The successor of a group whose quorum is lost: what it is called, who speaks for it, and when it counts.

The quorum is never shrunk inside a group: who can do that could fork it. Survivors found a *successor* instead, a new
group with a new id that takes in a resumption PSK of the old group's epoch (RFC 9420 §11.3), and *endorse* it by a
signature of their old leaf. It counts as the successor with more than two thirds of the old leaves. Of a group of three
or fewer, voters that are named lost do not count among them; there every member's user has to agree by hand.

An endorsement is durable before it leaves, a node gives one only at a time, and from its first one on it votes no
more in the old group: neither two successors nor a successor and its old group are carried by the same honest members.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import Group, LeafNode, PublicGroup, sha256
from node.electorate import RuleError, peer_of
from node.peer_id import PeerId
from node.peer_messages import NAME_SIZE_MAX, Epoch, Hash, Tag
from node.transport import REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX
from ordering import JOIN_PROOF_SIZE_MAX, Committee, OrderingError, Wire, framed

ENDORSEMENT_LABEL: Final = "Conclave Endorsement"
"""The label (RFC 9420 §5.1.2) under which an old leaf signs for a successor."""
SMALL_GROUP_MAX: Final = 3
"""Up to so many old leaves lost voters are not counted, and every user is asked."""
MEMBERS_MAX: Final = 4096
OFFERS_MAX: Final = 8
"""Offers of others kept for one group, to be taken up by hand; of one founder the last."""

PeerName = Annotated[str, Meta(max_length=128)]
Members = Annotated[tuple[PeerName, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]


class Endorsement(Wire, frozen=True):
    """An old leaf says which group follows its own: one at a time, see `Record`."""

    SIZE_MAX: ClassVar[int] = 16 * 1024

    group_id: Annotated[bytes, Meta(max_length=255)]
    epoch: Epoch
    prev: Hash  # the bundle that began the epoch: a fork of the group is another group
    successor: Hash  # the new group's id
    members: Hash  # `members_hash` of those in it
    leaf: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    signature: Annotated[bytes, Meta(max_length=8192)]

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the signature."""
        return framed(
            "conclave/endorsement/v1", self.group_id, self.epoch, self.prev, self.successor, self.members, self.leaf
        )


class Offer(Wire, frozen=True):
    """A founder shows its successor: the proof to enter it by, who is in it, and the founder's own endorsement."""

    SIZE_MAX: ClassVar[int] = JOIN_PROOF_SIZE_MAX + MEMBERS_MAX * 160

    members: Members
    lost: Annotated[tuple[PeerName, ...], Meta(max_length=MEMBERS_MAX)]
    proof: Annotated[bytes, Meta(max_length=JOIN_PROOF_SIZE_MAX)]
    endorsement: Endorsement

    @property
    def successor(self) -> bytes:
        """The new group's id."""
        return self.endorsement.successor


class Recognition(Wire, frozen=True):
    """An offer with the endorsements that make it the successor."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    offer: Offer
    endorsements: Annotated[tuple[Endorsement, ...], Meta(max_length=MEMBERS_MAX)]


class RescueRequest(Wire, frozen=True):
    """One thing said about a rescue to another member of the old group; exactly one of the fields is filled."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    tag: Tag
    offer: Offer | None = None
    endorsement: Endorsement | None = None  # to its founder, later than the offer was made
    recognition: Recognition | None = None
    withdrawn: Endorsement | None = None  # to its founder: it was given and is not meant any more


class RescueReply(Wire, frozen=True):
    """What the other makes of it; an empty reply is a yes without more to say."""

    SIZE_MAX: ClassVar[int] = RESPONSE_SIZE_MAX

    endorsement: Endorsement | None = None
    rival: Annotated[bytes, Meta(max_length=32)] = b""  # the successor it has endorsed instead
    text: Annotated[str, Meta(max_length=512)] = ""  # why not


class Founded(Wire, frozen=True):
    """A successor of our own until it is recognised; all of it is secret."""

    SIZE_MAX: ClassVar[int] = REQUEST_SIZE_MAX

    offer: Offer
    name: Annotated[str, Meta(max_length=NAME_SIZE_MAX)]
    snapshot: bytes
    extra: bytes
    decision: bytes
    candidate: bytes
    collected: tuple[Endorsement, ...] = ()
    rivals: tuple[tuple[PeerName, Hash], ...] = ()  # who has endorsed which other successor

    def __repr__(self) -> str:
        return "Founded(hidden)"


class Record(Wire, frozen=True):
    """What this node has done about the rescue of one group. Durable; never deleted, like the guard."""

    SIZE_MAX: ClassVar[int] = 16 * REQUEST_SIZE_MAX

    endorsed: Endorsement | None = None  # at most one; another only after the user withdrew this one
    withdrawn: tuple[Endorsement, ...] = ()
    founded: Founded | None = None
    offers: tuple[Offer, ...] = ()  # of others
    recognised: Recognition | None = None

    def __repr__(self) -> str:
        return "Record(hidden)"


def members_hash(members: Iterable[PeerId]) -> bytes:
    """Over the members of a successor, whatever their order."""
    return sha256(framed("conclave/members/v1", *(peer.encode() for peer in sorted(members))))


def endorse(group: Group, prev: bytes, successor: bytes, members: Iterable[PeerId]) -> Endorsement:
    """Our own, of the present epoch."""
    unsigned = Endorsement(
        group.group_id, group.epoch, prev, successor, members_hash(members), group.own_leaf, signature=b""
    )
    signature = group.sign(ENDORSEMENT_LABEL, unsigned.signed_bytes)
    return Endorsement(
        group.group_id, group.epoch, prev, successor, unsigned.members, group.own_leaf, signature=signature
    )


def check_endorsement(endorsement: Endorsement, public: PublicGroup, prev: bytes) -> LeafNode:
    """That a member of this very epoch has given it; returns its leaf, raises `RuleError`."""
    if (endorsement.group_id, endorsement.epoch, endorsement.prev) != (public.group_id, public.epoch, prev):
        raise RuleError("the endorsement is of another group, epoch or history than ours")
    leaf = public.leaf(endorsement.leaf)
    if leaf is None:
        raise RuleError(f"the endorsement is by leaf {endorsement.leaf}, which is empty")
    signed = endorsement.signed_bytes
    if not public.suite.verify_with_label(leaf.signature_key, ENDORSEMENT_LABEL, signed, endorsement.signature):
        raise RuleError("the endorsement is not signed by its leaf")
    return leaf


def check_offer(offer: Offer, public: PublicGroup, prev: bytes) -> PeerId:
    """What an offer says by itself; returns its founder, raises `RuleError`."""
    founder = peer_of(public, check_endorsement(offer.endorsement, public, prev))
    members = {peer_of(public, leaf) for _, leaf in public.leaves()}
    if len(set(offer.members)) != len(offer.members) or not members.issuperset(offer.members):
        raise RuleError("the successor has a member twice, or one that is not in this group")
    if offer.endorsement.members != members_hash(offer.members):
        raise RuleError("the founder has endorsed other members than it offers")
    if founder not in offer.members or not members.issuperset(offer.lost) or set(offer.lost) & set(offer.members):
        raise RuleError("the founder is not in the successor, or somebody in it is named lost")
    return founder


def needed(public: PublicGroup, committee: Committee, lost: Iterable[PeerId]) -> int:
    """How many endorsements make a successor: more than two thirds of the old leaves.

    Of `SMALL_GROUP_MAX` leaves or fewer, those of lost voters are not counted.
    """
    count = sum(1 for _ in public.leaves())
    if count <= SMALL_GROUP_MAX:
        voters = {seat.identity.decode() for seat in committee.seats}
        count -= len(voters.intersection(lost))
    return 2 * count // 3 + 1


def supporters(
    endorsements: Iterable[Endorsement], offer: Offer, public: PublicGroup, prev: bytes
) -> Mapping[int, Endorsement]:
    """The endorsements that count for an offer, by leaf; what does not verify is left out."""
    counted: dict[int, Endorsement] = {}
    for each in (offer.endorsement, *endorsements):
        if (each.successor, each.members) != (offer.successor, offer.endorsement.members) or each.leaf in counted:
            continue
        try:
            check_endorsement(each, public, prev)
        except RuleError:
            continue
        counted[each.leaf] = each
    return counted


def check_recognition(found: Recognition, public: PublicGroup, prev: bytes, committee: Committee) -> PeerId:
    """That more than two thirds of the old leaves stand behind it; returns the founder, raises `RuleError`."""
    founder = check_offer(found.offer, public, prev)
    have = len(supporters(found.endorsements, found.offer, public, prev))
    want = needed(public, committee, found.offer.lost)
    if have < want:
        raise RuleError(f"{have} members have endorsed this successor, and it takes {want}")
    return founder


def read_record(data: bytes | None) -> Record:
    """The stored record of a group, or an empty one. A damaged one raises: it may hold an endorsement."""
    return Record() if data is None else Record.decode(data)


def record_key(group_id: bytes) -> str:
    """Where the store keeps it."""
    return f"rescue/{group_id.hex()}"


REFUSALS: Final = (RuleError, OrderingError)
