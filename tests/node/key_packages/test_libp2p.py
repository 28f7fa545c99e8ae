"""The same over real sockets: a claim at three replicas, and a greedy requester at one."""

from contextlib import AsyncExitStack
from pathlib import Path

import trio

from node.config import KeyPackagesSection
from node.key_packages import serving
from node.key_packages.checking import check_package
from node.key_packages.claiming import Source
from node.key_packages.messages import CLAIM_PROTOCOL, Claim, Grant, Outcome
from node.key_packages.quorum import replicas_of
from node.store_rows import KEY_PACKAGE_AVAILABLE, KEY_PACKAGE_ONE_TIME
from tests.node.libp2p_world import SUITE, open_peer


async def test_a_package_is_claimed_while_its_owner_sleeps(tmp_path: Path) -> None:
    """Throw-away identities, Noise links and all; one connection gets few, and another claim is not disturbed."""
    async with AsyncExitStack() as stack:
        serves = KeyPackagesSection(serve=True, pool=1)
        boxes = [await stack.enter_async_context(open_peer(tmp_path, name, None, serves)) for name in ("x", "y", "z")]
        ada = await stack.enter_async_context(open_peer(tmp_path, "ada"))
        owns = KeyPackagesSection(pool=8, replenish_below=4, replicas=tuple(box.address for box in boxes))
        async with open_peer(tmp_path, "bob", None, owns, SUITE) as bob:
            with trio.fail_after(60):
                while not (bob.node.packages.published() and bob.node.publishing.is_complete):  # noqa: ASYNC110
                    await trio.sleep(0.1)
            card = bob.node.own_card.card
            ada.node.contacts.take_in(card, "bob")
            rows = bob.node.context.store.key_packages(KEY_PACKAGE_ONE_TIME, KEY_PACKAGE_AVAILABLE)
            lent = [row for row in rows if row.place]

        replicas, peer = replicas_of(card), card.peer_id
        assert replicas is not None
        now_s = ada.node.context.now_ms() // 1000
        with trio.fail_after(60):
            claimed = await ada.node.claims.claim(peer, SUITE, lambda data: check_package(data, peer, SUITE, now_s))
        assert claimed.source is Source.REPLICAS

        outcomes = []
        for number, row in enumerate(lent):
            claim = Claim(card.public_key, replicas.id, SUITE, number.to_bytes(16, "big"), row.digest).encode()
            reply = await ada.transport.request_unnamed(boxes[0].address, CLAIM_PROTOCOL, claim, persona=bytes(32))
            outcomes.append(Grant.decode(reply).outcome)
        assert outcomes.count(Outcome.GRANTED) == serving.GRANTS_PER_REQUESTER_MAX
        assert outcomes.count(Outcome.TAKEN) <= 1, "ada's own"
        assert outcomes[-1] in (Outcome.LATER, Outcome.TAKEN)
