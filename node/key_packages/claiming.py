"""Claiming a key package of somebody: from themselves if they are there, else from their replicas.

A claim comes to all replicas of the owner under a throw-away identity, with a nonce drawn for it. Each tells some
packages that are free; the claimer then asks for one that enough of them have, and it counts with grants of `q` of them
(`node.key_packages.quorum`). Where that cannot be had, the owner is looked for; then the last resort is used, which is
the same for everybody.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import trio

from mls import sha256
from node.contacts.cards import Card, CardError, Place, open_card
from node.context import NodeContext
from node.errors import NodeError
from node.key_packages.checking import PackageError
from node.key_packages.messages import (
    ASK_PROTOCOL,
    CLAIM_PROTOCOL,
    NONCE_SIZE,
    Ask,
    Claim,
    Grant,
    Offered,
    Outcome,
    digest_of,
)
from node.key_packages.quorum import ReplicaSet, replicas_of
from node.logs import logger
from node.peer_id import PeerId, public_key_of
from node.peer_messages import KEY_PACKAGE_PROTOCOL, KeyPackageRequest
from node.transport import PERSONA_SIZE, RequestError, RequestFailure, TransportError
from ordering import MalformedError

TRIES_MAX: Final = 3  # packages that one claim tries to get, when others are quicker or one is no good
TIMEOUT_S: Final = 8.0  # for what all replicas have to offer, and for one question to one of them
GRANTS_S: Final = 6.0  # for all tries to have one granted: who keeps us waiting leaves time for what comes after
DIAL_S: Final = 6.0  # for finding the owner
SLOW_S: Final = 1.0  # how long the slower replicas are waited for once enough have answered
DIALS_MAX: Final = 4  # addresses of an owner that are tried

log = logger("claims")

Check = Callable[[bytes], object]
"""Raises `PackageError` for a package that is of no use."""


class NoPackageError(NodeError):
    """No key package could be had; the message says why, in words for a person."""

    def __init__(self, reason: str, *, is_unreachable: bool) -> None:
        super().__init__(reason)
        self.is_unreachable = is_unreachable  # nobody who could have given one was there


class Source(StrEnum):
    """Where a key package came from."""

    OWNER = "owner"
    REPLICAS = "replicas"
    LAST_RESORT = "last resort"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A key package that passed the check."""

    package: bytes = field(repr=False)
    source: Source


@dataclass(slots=True)
class _Attempt:
    """One claim at the replicas of one owner."""

    owner: bytes
    replicas: ReplicaSet
    suite: int
    persona: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    offers: dict[bytes, Offered] = field(default_factory=dict)  # by the replica's public key
    why: str = ""


class Claims:
    """Of a running node."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    async def claim(self, peer: PeerId, suite: int, check: Check) -> Claimed:
        """A key package of a peer that passes the check; raises `NoPackageError`."""
        reasons: list[str] = []
        is_unreachable = True
        if peer in self._context.transport.peers():
            is_unreachable = False
            if (package := await self._of_owner(peer, suite, check, reasons)) is not None:
                return Claimed(package, Source.OWNER)
        card = self._card(peer)
        replicas = None if card is None else replicas_of(card)
        attempt = None
        if replicas is not None:
            attempt = await self._offers(public_key_of(peer), replicas, suite)
            is_unreachable = is_unreachable and not attempt.offers
            package = None
            with trio.move_on_after(GRANTS_S):
                package = await self._of_replicas(attempt, check)
            if package is not None:
                return Claimed(package, Source.REPLICAS)
            reasons.append(attempt.why)
        if is_unreachable or peer not in self._context.transport.peers():
            if await self._dial(peer, card):
                is_unreachable = False
                if (package := await self._of_owner(peer, suite, check, reasons)) is not None:
                    return Claimed(package, Source.OWNER)
            elif replicas is None:
                reasons.append("it is not connected, and no replica of its key packages is known")
        if attempt is not None:
            for offered in attempt.offers.values():
                if offered.last_resort and _passes(check, offered.last_resort, reasons, is_last_resort=True):
                    return Claimed(offered.last_resort, Source.LAST_RESORT)
        raise NoPackageError("; ".join(dict.fromkeys(filter(None, reasons))), is_unreachable=is_unreachable)

    # --- the owner ---

    async def _of_owner(self, peer: PeerId, suite: int, check: Check, reasons: list[str]) -> bytes | None:
        """Of its own share, or its last resort."""
        question = KeyPackageRequest(suite).encode()
        try:
            package = await self._context.transport.request(peer, KEY_PACKAGE_PROTOCOL, question)
        except RequestError as error:
            refused = error.kind is RequestFailure.REFUSED
            reasons.append(f"it gives no key package: {error}" if refused else f"it cannot be asked: {error}")
            return None
        return package if _passes(check, package, reasons) else None

    async def _dial(self, peer: PeerId, card: Card | None) -> bool:
        """Be connected to it, if it answers at an address that is known."""
        transport, known = self._context.transport, self._context.store.peer(peer)
        addresses = dict.fromkeys((*(card.dial if card else ()), *(known.addresses if known else ())))
        with trio.move_on_after(DIAL_S):
            for address in list(addresses)[:DIALS_MAX]:
                try:
                    if await transport.connect(address) == peer:
                        return True
                except TransportError:
                    continue
        return peer in transport.peers()

    def _card(self, peer: PeerId) -> Card | None:
        contact = self._context.store.contact(peer)
        try:
            return None if contact is None or contact.card is None else open_card(contact.card)
        except CardError:
            return None

    # --- the replicas ---

    async def _offers(self, owner: bytes, replicas: ReplicaSet, suite: int) -> _Attempt:
        """What the replicas have, of those that answer."""
        random = self._context.random
        attempt = _Attempt(owner, replicas, suite, random(PERSONA_SIZE), random(NONCE_SIZE))
        question = Ask(owner, replicas.id, suite, attempt.nonce).encode()
        left = len(replicas.places)

        async def one(place: Place, scope: trio.CancelScope) -> None:
            nonlocal left
            reply = await self._ask(place, ASK_PROTOCOL, question, attempt.persona)
            left -= 1
            try:
                if reply is not None:
                    attempt.offers[place.public_key] = Offered.decode(reply)
            except MalformedError as error:
                log.info("offer dropped", replica=place.peer_id, reason=str(error))
            if len(attempt.offers) >= replicas.quorum:
                scope.deadline = min(scope.deadline, trio.current_time() + SLOW_S)
            if not left:
                scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + TIMEOUT_S
            for place in replicas.places:
                nursery.start_soon(one, place, nursery.cancel_scope)
        return attempt

    async def _of_replicas(self, attempt: _Attempt, check: Check) -> bytes | None:
        """A one-time package that a quorum has granted to us; None with the reason in the attempt."""
        replicas, answered = attempt.replicas, len(attempt.offers)
        if answered < replicas.quorum:
            some = "none" if not answered else f"{answered}"
            attempt.why = f"{some} of the {len(replicas.places)} replicas of its key packages answers"
            return None
        counts = Counter(digest for offered in attempt.offers.values() for digest in set(offered.digests))
        common = [digest for digest, count in counts.items() if count >= replicas.quorum]
        common.sort(key=lambda digest: (-counts[digest], sha256(attempt.nonce + digest)))
        attempt.why = "its replicas have no one-time key package left for this cipher suite"
        for digest in common[:TRIES_MAX]:
            holders = [key for key, offered in attempt.offers.items() if digest in offered.digests]
            attempt.why = "too few of its replicas have granted a key package"
            package = await self._granted(attempt, digest, holders)
            if package is None:
                continue
            reasons: list[str] = []
            if _passes(check, package, reasons):
                return package
            attempt.why = reasons[0]
        return None

    async def _granted(self, attempt: _Attempt, digest: bytes, holders: Sequence[bytes]) -> bytes | None:
        """The package, once `q` of its holders have granted it to this claim."""
        claim = Claim(attempt.owner, attempt.replicas.id, attempt.suite, attempt.nonce, digest).encode()
        granted: dict[bytes, bytes] = {}

        async def one(place: Place, scope: trio.CancelScope) -> None:
            reply = await self._ask(place, CLAIM_PROTOCOL, claim, attempt.persona)
            try:
                grant = None if reply is None else Grant.decode(reply)
            except MalformedError as error:
                log.info("grant dropped", replica=place.peer_id, reason=str(error))
                return
            if grant is not None and grant.outcome is Outcome.GRANTED and digest_of(grant.package) == digest:
                granted[place.public_key] = grant.package
            if len(granted) >= attempt.replicas.quorum:
                scope.deadline = min(scope.deadline, trio.current_time() + SLOW_S)

        async with trio.open_nursery() as nursery:
            for place in attempt.replicas.places:
                if place.public_key in holders:
                    nursery.start_soon(one, place, nursery.cancel_scope)
        return next(iter(granted.values())) if len(granted) >= attempt.replicas.quorum else None

    async def _ask(self, place: Place, protocol: str, payload: bytes, persona: bytes) -> bytes | None:
        """The answer of a replica, at whichever of its addresses; None where there is none."""
        for address in place.dial:
            try:
                return await self._context.transport.request_unnamed(
                    address, protocol, payload, persona=persona, timeout_s=TIMEOUT_S
                )
            except TransportError as error:
                log.info("replica not asked", replica=place.peer_id, reason=str(error))
        return None


def _passes(check: Check, package: bytes, reasons: list[str], *, is_last_resort: bool = False) -> bool:
    """Whether a package is of use; if not, the reason is noted."""
    try:
        found = check(package)
    except PackageError as error:
        reasons.append(str(error))
        return False
    if is_last_resort and not getattr(found, "is_last_resort", True):
        reasons.append("a replica gives out a one-time package as its last resort")
        return False
    return True
