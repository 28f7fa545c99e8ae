"""What members ask each other to carry along: signed offers of intents, and the book in which each node keeps them.

A member whose commit has a rival says to all what it wants. Whoever commits next takes it in, by its own right and on
its own judgement: an offer is a request for what its author could commit itself, never a permission. An offer names
the instance it was made in and counts in that epoch and the one that follows, so that an old wish cannot be played
again after it was granted; its author repeats it for as long as it wants it. Nothing here is durable: the intents are,
at their author.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from mls import PublicGroup
from ordering import LeafIndex, LeafSignature, Wire, framed, permutation

INTENTS_LABEL: Final = "Conclave Intents"
"""The label (RFC 9420 §5.1.2) under which an offer is signed with its author's leaf key."""

OFFERED_MAX: Final = 64  # intents of one member in the book
OFFER_SIZE_MAX: Final = 48 * 1024  # of their bodies together: an offer is small enough for a hint
OFFERS_PER_EPOCH_MAX: Final = 16  # different ones, taken from one member
AUTHORS_MAX: Final = 256  # in the book; more than want something at once in any group we can serve
DISTRUST_EPOCHS: Final = 4  # how long nothing is carried for a member whose wish spoiled a commit
KIND_SIZE_MAX: Final = 16
INTENT_ID_SIZE: Final = 16


class SharedIntent(Wire, frozen=True):
    """One thing a member wants, as `node.intents` has it."""

    SIZE_MAX: ClassVar[int] = OFFER_SIZE_MAX + 256

    intent_id: Annotated[bytes, Meta(min_length=INTENT_ID_SIZE, max_length=INTENT_ID_SIZE)]
    kind: Annotated[str, Meta(min_length=1, max_length=KIND_SIZE_MAX)]
    body: Annotated[bytes, Meta(max_length=OFFER_SIZE_MAX)]


class Offer(Wire, frozen=True):
    """Everything a member wants others to carry along; it replaces what the member offered before."""

    SIZE_MAX: ClassVar[int] = 60 * 1024

    instance: Annotated[bytes, Meta(min_length=32, max_length=32)]
    author: LeafIndex
    serial: Annotated[int, Meta(ge=0, le=2**63 - 1)]  # grows with every offer of its author, across restarts
    intents: Annotated[tuple[SharedIntent, ...], Meta(max_length=OFFERED_MAX)]  # oldest first
    signature: LeafSignature = b""

    @property
    def signed_bytes(self) -> bytes:
        """What the author signs."""
        fields = [part for each in self.intents for part in (each.intent_id, each.kind.encode(), each.body)]
        return framed("conclave/intents/v1", self.instance, self.author, self.serial, len(self.intents), *fields)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A change that another member asked for."""

    author: int  # leaf index
    intent_id: bytes
    kind: str
    body: bytes = field(repr=False)
    since: int  # the epoch in which we first heard of it; what its author says of its age counts for nothing


@dataclass(frozen=True, slots=True)
class Page:
    """What one member wants, by its latest offer."""

    signature_key: bytes
    epoch: int  # in which it was offered
    serial: int
    taken: int  # offers in that epoch
    wanted: tuple[Wanted, ...]


class Book:
    """What the other members want: one page for each, so that a member that floods fills its own."""

    def __init__(self) -> None:
        self._pages: dict[int, Page] = {}
        self._distrusted: dict[int, int] = {}  # leaf -> the epoch from which on it is heard again
        self.epoch = -1

    def turn(self, public: PublicGroup) -> None:
        """A new epoch: what was offered in the one before still counts, what is older does not."""
        self.epoch = public.epoch
        for author, page in list(self._pages.items()):
            leaf = public.leaf(author)
            if leaf is None or leaf.signature_key != page.signature_key or page.epoch < public.epoch - 1:
                del self._pages[author]
        self._distrusted = {leaf: until for leaf, until in self._distrusted.items() if until > public.epoch}

    def take(self, public: PublicGroup, offer: Offer) -> bool:
        """Enter an offer of the present instance; False when it brings nothing new, or is not to be believed or had."""
        leaf, page = public.leaf(offer.author), self._pages.get(offer.author)
        if leaf is None or offer.author in self._distrusted or not _is_bounded(offer):
            return False
        taken = 0 if page is None or page.epoch < public.epoch else page.taken
        is_news = page is None or page.epoch < public.epoch or not _is_same(page, offer)
        if page is not None and (offer.serial <= page.serial or (is_news and taken >= OFFERS_PER_EPOCH_MAX)):
            return False
        if page is None and len(self._pages) >= AUTHORS_MAX:
            return False
        if not public.suite.verify_with_label(leaf.signature_key, INTENTS_LABEL, offer.signed_bytes, offer.signature):
            return False
        known = {} if page is None else {each.intent_id: each.since for each in page.wanted}
        wanted = tuple(
            Wanted(offer.author, each.intent_id, each.kind, each.body, known.get(each.intent_id, public.epoch))
            for each in offer.intents
        )
        self._pages[offer.author] = Page(leaf.signature_key, public.epoch, offer.serial, taken + is_news, wanted)
        return is_news

    def distrust(self, author: int) -> None:
        """A wish of this member made a commit impossible: carry nothing for it for a while."""
        page = self._pages.get(author)
        if page is not None:  # its serial stays known
            self._pages[author] = replace(page, wanted=())
        self._distrusted[author] = self.epoch + DISTRUST_EPOCHS

    def wanted(self, group_id: bytes) -> tuple[Wanted, ...]:
        """Everything, fairly: one of each member, then a second of each; within a round who has waited longest."""
        found: list[Wanted] = []
        pages = [page.wanted for page in self._pages.values()]
        for place in range(max(map(len, pages), default=0)):
            found += sorted(
                (page[place] for page in pages if place < len(page)), key=lambda each: self._age(group_id, each)
            )
        return tuple(found)

    def is_awaiting(self, kind: str, patience_epochs: int) -> bool:
        """Whether a member that lately wanted such a thing has still to offer it again in this epoch."""
        return any(
            each.kind == kind and self.epoch - each.since <= patience_epochs
            for page in self._pages.values()
            if page.epoch < self.epoch
            for each in page.wanted
        )

    def _age(self, group_id: bytes, wanted: Wanted) -> tuple[int, bytes]:
        return wanted.since, permutation(group_id, self.epoch, wanted.author)


def offered(intents: Iterable[SharedIntent]) -> tuple[SharedIntent, ...]:
    """As many as fit in one offer, in order."""
    chosen: list[SharedIntent] = []
    size = 0
    for intent in intents:
        if len(chosen) < OFFERED_MAX and size + len(intent.body) <= OFFER_SIZE_MAX:
            chosen.append(intent)
            size += len(intent.body)
    return tuple(chosen)


def _is_same(page: Page, offer: Offer) -> bool:
    """Whether an offer only repeats what is on the page."""
    return [(each.intent_id, each.kind, each.body) for each in page.wanted] == [
        (each.intent_id, each.kind, each.body) for each in offer.intents
    ]


def _is_bounded(offer: Offer) -> bool:
    ids = {each.intent_id for each in offer.intents}
    return len(ids) == len(offer.intents) and sum(len(each.body) for each in offer.intents) <= OFFER_SIZE_MAX
