"""A replica at work: it takes in what owners publish, and grants each of their one-time packages to one claim.

It learns the owners' public keys and packages, which are public, and when one of them is claimed; not by whom, since
claims come under throw-away identities. What it logs are counts.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from node.errors import NodeError
from node.key_packages.messages import (
    ASK_PROTOCOL,
    CLAIM_PROTOCOL,
    PUBLISH_PROTOCOL,
    PUT_PROTOCOL,
    Ask,
    Claim,
    Grant,
    Manifest,
    Offered,
    Outcome,
    Put,
    PutReply,
)
from node.key_packages.store import FullError, ReplicaStore
from node.logs import logger
from node.mailbox.rates import Bucket, Rates
from node.peer_id import PeerId, peer_id_of
from node.transport import RefusedError, Transport
from ordering import MalformedError

GRANTS_PER_REQUESTER_MAX: Final = 4
"""One-time packages that one connection is granted within `GRANTS_REQUESTER_S`; an honest claim needs one or two."""
GRANTS_REQUESTER_S: Final = 3600.0
REQUESTERS_MAX: Final = 8192  # connections whose grants are remembered, the latest; identities cost a stranger nothing
ALL_GRANTS_PER_S: Final = 50.0  # of all owners together; each waits for the disk
ALL_GRANTS_BURST_MAX: Final = 1000  # of all owners together, before the rate counts
EXPIRY_PERIOD_S: Final = 600.0
REPORT_S: Final = 60.0

log = logger("replica")

Act = Callable[[PeerId, bytes], bytes]


class Replica:
    """Of a running node. `is_contact` says whom its user knows; `admits_all`, whether others are served too."""

    def __init__(
        self,
        store: ReplicaStore,
        now_ms: Callable[[], int],
        is_contact: Callable[[PeerId], bool],
        *,
        admits_all: bool = True,
    ) -> None:
        self.store = store
        self._now_ms = now_ms
        self._is_contact = is_contact
        self._admits_all = admits_all
        self._rates = Rates()
        self._all = Bucket(ALL_GRANTS_PER_S, ALL_GRANTS_BURST_MAX)
        self._granted: dict[PeerId, deque[float]] = {}
        self._grants = 0
        self._is_open = True

    def answer(self, transport: Transport) -> None:
        """From now on owners and claimers are served."""
        acts: tuple[tuple[str, Act], ...] = (
            (PUBLISH_PROTOCOL, self._publish),
            (PUT_PROTOCOL, self._put),
            (ASK_PROTOCOL, self._ask),
            (CLAIM_PROTOCOL, self._claim),
        )
        for protocol, act in acts:
            transport.handle(protocol, partial(self._checked, protocol, act))

    def close(self) -> None:
        """From now on nobody is served: the store is about to be closed."""
        self._is_open = False

    async def run(self) -> None:
        """Forget what is past its time, until cancelled."""
        reported_s = trio.current_time()
        while True:
            try:
                while self.store.expire(self._now_s()):
                    await trio.lowlevel.checkpoint()
            except NodeError as error:
                log.error("nothing could be deleted", reason=str(error))
            if self._grants and trio.current_time() - reported_s >= REPORT_S:
                log.info("key packages granted", count=self._grants, owners=self.store.owner_count)
                self._grants, reported_s = 0, trio.current_time()
            await trio.sleep(EXPIRY_PERIOD_S)

    def _now_s(self) -> int:
        return self._now_ms() // 1000

    async def _checked(self, protocol: str, act: Act, peer: PeerId, payload: bytes) -> bytes:
        await self._rates.turn(peer, len(payload) if protocol in (PUBLISH_PROTOCOL, PUT_PROTOCOL) else 0)
        if not self._is_open:
            raise RefusedError("the node stops")
        try:
            return act(peer, payload)
        except MalformedError as error:
            raise RefusedError(str(error)) from error

    # --- owners ---

    def _publish(self, _peer: PeerId, payload: bytes) -> bytes:
        manifest = Manifest.decode(payload)
        if not manifest.is_signed:
            raise RefusedError("not signed by its owner")
        is_known = self._is_contact(peer_id_of(manifest.owner))
        if not is_known and not self._admits_all:
            raise RefusedError("this replica serves contacts of its user only")
        try:
            published = self.store.publish(manifest, self._now_s(), is_known=is_known)
        except FullError as error:
            raise RefusedError(str(error)) from error
        if published is None:
            raise RefusedError("older than what this owner said before")
        return published.encode()

    def _put(self, _peer: PeerId, payload: bytes) -> bytes:
        put = Put.decode(payload)
        return PutReply(self.store.put(put.owner, put.packages, self._now_s())).encode()

    # --- claimers ---

    def _ask(self, peer: PeerId, payload: bytes) -> bytes:
        ask = Ask.decode(payload)
        offer = self.store.offer(ask.owner, ask.replicas, ask.suite, ask.nonce, self._now_s())
        digests = offer.digests if self._may_have(peer) else ()
        return Offered(digests, offer.last_resort).encode()

    def _claim(self, peer: PeerId, payload: bytes) -> bytes:
        claim = Claim.decode(payload)
        now_s = trio.current_time()
        if not self._may_have(peer) or self._all.wait_s(1.0, now_s) > 0:
            return Grant(Outcome.LATER, b"").encode()
        grant = self.store.grant(claim, self._now_s())
        if grant.outcome is Outcome.GRANTED:  # again, too, if the answer was lost
            self._note(peer, now_s)
            self._all.owed += 1.0
            self._grants += 1
        return grant.encode()

    def _may_have(self, peer: PeerId) -> bool:
        """Whether this connection has had few enough."""
        since_s = trio.current_time() - GRANTS_REQUESTER_S
        return sum(at_s > since_s for at_s in self._granted.get(peer, ())) < GRANTS_PER_REQUESTER_MAX

    def _note(self, peer: PeerId, now_s: float) -> None:
        times = self._granted.pop(peer, None) or deque(maxlen=GRANTS_PER_REQUESTER_MAX)
        times.append(now_s)
        self._granted[peer] = times  # the latest last
        if len(self._granted) > REQUESTERS_MAX:
            del self._granted[next(iter(self._granted))]
