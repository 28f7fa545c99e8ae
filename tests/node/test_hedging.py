"""One silent peer costs a moment, not a timeout; and not everybody is asked for what one gives at once."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.building import build_plain
from node.hedging import ASKED_AT_ONCE_MAX, PATIENCE_MAX_S, PATIENCE_MIN_S, PATIENCE_S, first_good, patience_s
from node.peer_id import PeerId
from node.peer_messages import CANDIDATE_PROTOCOL
from node.round_trips import SAMPLES_MAX
from tests.node.world import open_world, until

SILENT_S = 5.0


class Peers:
    """Peers that answer after a while, or not at all; `asked` tells who was, and when."""

    def __init__(self, after_s: Mapping[PeerId, float], useless: tuple[PeerId, ...] = ()) -> None:
        self._after_s = after_s
        self._useless = useless
        self.asked: dict[PeerId, float] = {}
        self.ended: list[PeerId] = []
        self.at_once = self.at_once_most = 0

    async def ask(self, peer: PeerId) -> bytes | None:
        self.asked[peer] = trio.current_time()
        self.at_once += 1
        self.at_once_most = max(self.at_once, self.at_once_most)
        try:
            with trio.move_on_after(SILENT_S):
                await trio.sleep(self._after_s.get(peer, float("inf")))
                return None if peer in self._useless else peer.encode()
            return None
        finally:
            self.at_once -= 1
            self.ended.append(peer)


async def test_a_silent_peer_costs_a_moment(autojump_clock: MockClock) -> None:
    peers = Peers({"b": 0.05})
    began_s = trio.current_time()

    assert await first_good(("a", "b", "c"), peers.ask, lambda _: None) == ("b", b"b")

    assert trio.current_time() - began_s == pytest.approx(PATIENCE_S + 0.05)
    assert list(peers.asked) == ["a", "b"]
    assert set(peers.ended) == {"a", "b"}, "the question that lost goes no further"


async def test_the_more_are_asked_the_longer_the_next_waits(autojump_clock: MockClock) -> None:
    """What is asked for may be large, and the line slow."""
    peers = Peers({})
    began_s = trio.current_time()

    with trio.move_on_after(SILENT_S - 1):
        await first_good("abcde", peers.ask, lambda _: None)

    assert [at - began_s for at in peers.asked.values()] == pytest.approx(
        [0.0, PATIENCE_S, 3 * PATIENCE_S, 7 * PATIENCE_S]
    )


async def test_who_answers_as_usual_is_asked_alone(autojump_clock: MockClock) -> None:
    """Twice its usual round trip is no reason to have the same bytes sent twice."""
    peers = Peers({"a": 0.6, "b": 0.01})

    assert await first_good(("a", "b"), peers.ask, {"a": 0.2, "b": 0.01}.get) == ("a", b"a")

    assert list(peers.asked) == ["a"]


async def test_who_is_slow_still_has_its_time(autojump_clock: MockClock) -> None:
    """It is asked first, the others beside it do not have the bytes, and it wins in the end."""
    peers = Peers({"a": 4.0, "b": 0.01, "c": 0.01}, useless=("b", "c"))

    assert await first_good("abc", peers.ask, lambda _: 0.01) == ("a", b"a")


async def test_after_an_answer_that_will_not_do_the_next_is_asked_at_once(autojump_clock: MockClock) -> None:
    peers = Peers({"a": 0.01, "b": 0.01, "c": 0.01}, useless=("a", "b"))
    began_s = trio.current_time()

    assert await first_good("abc", peers.ask, lambda _: None) == ("c", b"c")

    assert trio.current_time() - began_s == pytest.approx(0.03)


async def test_few_are_asked_at_once_and_in_the_end_everybody(autojump_clock: MockClock) -> None:
    peers = Peers({"j": 0.01})
    began_s = trio.current_time()

    assert await first_good("abcdefghij", peers.ask, lambda _: None) == ("j", b"j")

    assert peers.at_once_most == ASKED_AT_ONCE_MAX
    assert trio.current_time() - began_s < 3 * SILENT_S, "one after the other would take nine timeouts"


async def test_nobody_has_it(autojump_clock: MockClock) -> None:
    peers = Peers({"a": 0.01}, useless=("a",))

    assert await first_good("ab", peers.ask, lambda _: None) is None
    assert await first_good("", peers.ask, lambda _: None) is None


def test_patience_is_bounded() -> None:
    assert [patience_s(usual_s) for usual_s in (None, 0.0, 0.1, 100.0)] == [
        PATIENCE_S,
        PATIENCE_MIN_S,
        pytest.approx(0.4),
        PATIENCE_MAX_S,
    ]


async def test_bytes_come_soon_though_a_silent_voter_is_asked_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    """On real nodes: the nearest voter takes the question and never answers."""

    async def silent(peer: PeerId, payload: bytes) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with open_world(tmp_path) as world:
        ada, bob, cyn = await world.group_of("ada", "bob", "cyn", committee=3)
        ada.node.context.transport.handle(CANDIDATE_PROTOCOL, silent)
        for _ in range(SAMPLES_MAX):
            cyn.node.context.round_trips.note(ada.peer_id, 0.0)
        agreement, now = bob.session.agreement, bob.node.context.now_ms() // 1000
        built = build_plain(agreement.group, agreement.epoch.instance, os.urandom, now)
        agreement.candidacy.admit_own(built)  # and nobody is told

        wanting = cyn.session.agreement
        await cyn.session.ask(
            lambda: wanting.nominations.fetching.fetch(built.id, (bob.peer_id, ada.peer_id), named=True)
        )

        with trio.fail_after(1):
            await until(lambda: built.id in wanting.known)
