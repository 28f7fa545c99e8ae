"""Finding on the local network: what others announce is held against whom we look for, and we are announced likewise.

On each local network only our addresses there are told, with a mark instead of our peer id (`mdns_words`). That a node
of this program is there, and where, is told to everybody; who connects to it is told its peer id by the handshake.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import trio

from node.addresses import by_lan
from node.context import NodeContext
from node.discovery.mdns_radio import TTL_S, Heard, Radio, RadioError, ZeroconfRadio
from node.discovery.mdns_words import NONCE_SIZE, Announcement
from node.discovery.port import DiscoveryError, Found
from node.discovery.signposts import Signpost
from node.mailbox.rates import Bucket
from node.peer_id import PeerId, public_key_of
from node.transport_relay import is_relayed
from node.transport_scope import open_background

LANS_MAX: Final = 8  # local networks spoken to
LAN_CHECK_S: Final = 15.0  # how often it is seen whether they have changed
ASK_PAUSE_S: Final = 5.0  # between two questions to the networks
ROTATE_S: Final = 6 * 3600.0  # after that we announce ourselves under another name and mark
CLOSE_TIMEOUT_S: Final = 1.5
WAITING_TEXTS_MAX: Final = 64  # heard and not looked at; of more, the oldest are dropped
HASHES_PER_S: Final = 10_000.0
HASHES_BURST_MAX: Final = 50_000  # comparisons of what is heard with whom we look for, before the rate counts
REPEATED_S: Final = 5.0  # within which the same announcement says nothing new: each is made three times
REMEMBERED_MAX: Final = 256  # announcements, the latest
NAME_SIZE: Final = 8

KEYS_MAX: Final = 8192  # whose public keys are at hand; taking one out of a peer id takes longer than to compare

OpenRadio = Callable[[str, str, int, bytes, Heard], Radio]


@dataclass(frozen=True, slots=True)
class _Remembered:
    announcement: Announcement
    until_s: float


class Mdns:
    """Of a running node. `wanted` are the peers that are looked for."""

    name = "mdns"

    def __init__(
        self,
        context: NodeContext,
        wanted: Callable[[], Iterable[PeerId]],
        open_radio: OpenRadio = ZeroconfRadio,
        lans: Callable[[Iterable[str]], dict[str, tuple[str, ...]]] = by_lan,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._context = context
        self._wanted = wanted
        self._open_radio = open_radio
        self._lans = lans
        self._texts: deque[tuple[bytes, bool]] = deque(maxlen=WAITING_TEXTS_MAX)
        self._news = trio.Event()  # there are some
        self._remembered: dict[bytes, _Remembered] = {}  # by nonce, the latest last
        self._radios: list[Radio] = []
        self._asked_s = float("-inf")
        self._rate = Bucket(HASHES_PER_S, HASHES_BURST_MAX)

    async def run(self, found: Callable[[Found], None]) -> None:
        """Be on all local networks, and on others when the machine has moved."""
        while True:
            lans = self._present_lans()
            radios = self._radios = []
            try:
                await self._open(lans, radios)
                async with open_background() as nursery:
                    nursery.start_soon(self._listen, found)
                    with trio.move_on_after(ROTATE_S):
                        while self._present_lans() == lans:  # noqa: ASYNC110 - nobody tells when interfaces change
                            await trio.sleep(LAN_CHECK_S)
            finally:
                self._radios = []
                with trio.move_on_after(CLOSE_TIMEOUT_S) as scope:
                    scope.shield = True
                    async with trio.open_nursery() as nursery:
                        for radio in radios:
                            nursery.start_soon(partial(_in_thread, radio.close))

    async def look_up(self, peer: PeerId) -> Found | None:
        """What was heard of it lately; and all on the networks are asked to announce themselves again."""
        await trio.lowlevel.checkpoint()
        key, now_s = public_key_of(peer), self._context.now_s()
        if now_s - self._asked_s >= ASK_PAUSE_S:
            self._asked_s = now_s
            for radio in self._radios:
                radio.ask()  # what comes is heard by `run`
        latest_first = [one.announcement for one in reversed(self._remembered.values()) if one.until_s > now_s]
        heard = [announcement for announcement in latest_first if announcement.is_of(key)]
        return _found(peer, *heard) if heard else None

    async def announce(self, signpost: Signpost) -> None:
        """`run` sees by itself where we are on each network."""

    def _present_lans(self) -> dict[str, tuple[str, ...]]:
        return dict(sorted(self._lans(self._context.addresses()).items())[:LANS_MAX])

    async def _listen(self, found: Callable[[Found], None]) -> None:
        """Look at what was heard; everybody else has a turn between two texts."""
        while True:
            self._news = trio.Event()
            while self._texts:
                self._hear(*self._texts.popleft(), found)
                await trio.lowlevel.checkpoint()
            await self._news.wait()

    async def _open(self, lans: dict[str, tuple[str, ...]], radios: list[Radio]) -> None:
        """A radio for each network; when none can be opened, that is an error."""
        token = trio.lowlevel.current_trio_token()
        identity, end = self._context.identity, f"/p2p/{self._context.identity.peer_id}"
        failures: list[str] = []

        def heard(text: bytes, is_over: bool) -> None:
            self._texts.append((text, is_over))
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(tell, idempotent=True)

        def tell() -> None:
            self._news.set()

        async def one(lan: str, addresses: tuple[str, ...]) -> None:
            nonce = self._context.random(NONCE_SIZE)
            bare = [address.removesuffix(end) for address in addresses]
            text = Announcement.of(identity.public_key, nonce, bare).write()
            name = self._context.random(NAME_SIZE).hex()
            try:
                radios.append(await trio.to_thread.run_sync(self._open_radio, lan, name, _port(bare[0]), text, heard))
            except RadioError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            for lan, addresses in lans.items():
                nursery.start_soon(one, lan, addresses)
        self.counters["networks"] = len(radios)
        if failures and not radios:
            raise DiscoveryError(failures[0])

    def _hear(self, text: bytes, is_over: bool, found: Callable[[Found], None]) -> None:
        """Somebody on a network announces itself, or takes its leave."""
        now_s = self._context.now_s()
        announcement = Announcement.read(text)
        if announcement is None:
            self.counters["malformed"] += 1
            return
        present = self._remembered.get(announcement.nonce)
        if present is not None and present.announcement == announcement:
            if is_over:
                del self._remembered[announcement.nonce]
                return
            if present.until_s - TTL_S + REPEATED_S > now_s:
                return
        if is_over:
            return
        wanted = tuple(self._wanted())
        if self._rate.wait_s(1.0 + len(wanted), now_s) > 0:
            self.counters["too_many"] += 1
            return
        self._rate.owed += 1.0 + len(wanted)
        if announcement.is_of(self._context.identity.public_key):
            return
        self._remembered.pop(announcement.nonce, None)
        self._remembered[announcement.nonce] = _Remembered(announcement, now_s + TTL_S)
        if len(self._remembered) > REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self.counters["heard"] += 1
        for peer in wanted:
            if announcement.is_of(_key_of(peer)):
                found(_found(peer, announcement))
                return


_key_of = lru_cache(KEYS_MAX)(public_key_of)


def _found(peer: PeerId, *announcements: Announcement) -> Found:
    addresses = (f"{address}/p2p/{peer}" for one in announcements for address in one.addresses)
    return Found.at(peer, (address for address in addresses if not is_relayed(address)))  # relays are strangers


def _port(address: str) -> int:
    """Of a TCP multiaddr; multicast DNS wants one to be named."""
    port = (*address.partition("/tcp/")[2].split("/"),)[0]
    return int(port) if port.isdecimal() else 0


async def _in_thread(work: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(work, abandon_on_cancel=True)  # type: ignore[call-arg]
