"""Key packages: made when a peer asks for one, kept until the Welcome that uses it, never handed out twice."""

from collections import deque
from typing import Final

from mls import KeyPackageBundle, Lifetime, basic, create_key_package, frame, own_capabilities, suite, supported_suites
from node.context import NodeContext
from node.electorate import PRIVATE_EXTENSIONS
from node.peer_id import PeerId
from node.peer_messages import KeyPackageRequest
from node.store_rows import KEY_PACKAGE_CLAIMED, KEY_PACKAGE_ONE_TIME, KeyPackageRow
from node.transport import RefusedError

OUTSTANDING_MAX: Final = 256
"""Key packages handed out and not used yet; beyond, the oldest gives way."""
REQUESTS_MAX: Final = 16
REQUESTS_WINDOW_S: Final = 60.0
"""At most so many key packages for one peer within this time."""
LIFETIME_S: Final = 90 * 24 * 3600
CLOCK_SKEW_S: Final = 24 * 3600


class Directory:
    """This node's key packages."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self._asked: dict[PeerId, deque[float]] = {}

    async def serve(self, peer: PeerId, payload: bytes) -> bytes:
        """A fresh key package for a peer that wants to add us; `RefusedError` when it asks too often."""
        request = KeyPackageRequest.decode(payload)
        if request.suite not in supported_suites():
            raise RefusedError(f"no key packages for cipher suite {request.suite}")
        self._count(peer)
        bundle = new_key_package(self.context, request.suite)
        row = KeyPackageRow(bundle.reference, bundle.to_bytes(), KEY_PACKAGE_ONE_TIME, KEY_PACKAGE_CLAIMED)
        with self.context.store.transaction() as transaction:
            transaction.put_key_package(row)
            claimed = transaction.key_packages(KEY_PACKAGE_ONE_TIME, KEY_PACKAGE_CLAIMED)
            for old in claimed[: max(0, len(claimed) - OUTSTANDING_MAX)]:
                transaction.delete_key_package(old.reference)
        return frame(bundle.key_package)

    def _count(self, peer: PeerId) -> None:
        now = self.context.now_s()
        times = self._asked.setdefault(peer, deque())
        while times and now - times[0] > REQUESTS_WINDOW_S:
            times.popleft()
        if len(times) >= REQUESTS_MAX:
            raise RefusedError("too many key packages asked for; try again in a minute")
        times.append(now)
        for silent in [other for other, asked in self._asked.items() if now - asked[-1] > REQUESTS_WINDOW_S]:
            del self._asked[silent]


def new_key_package(context: NodeContext, suite_id: int) -> KeyPackageBundle:
    """A key package with fresh keys, its credential bound to this node."""
    signer = suite(suite_id).generate_signature_key(context.random)
    return create_key_package(
        suite_id,
        basic(context.identity.bind(signer.public, suite_id)),
        signer,
        lifetime_from(context.now_ms() // 1000),
        own_capabilities(PRIVATE_EXTENSIONS),
        (),
        (),
        context.random,
    )


def lifetime_from(now: int) -> Lifetime:
    """From a day ago, for clocks that differ, until three months from now."""
    return Lifetime(now - CLOCK_SKEW_S, now + LIFETIME_S)
