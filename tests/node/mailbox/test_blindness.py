"""What a mailbox of a busy group holds, hears and logs: no name, no text, no leaf, nobody; and exactly what it does."""

import base64
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from mls import PublicGroup
from node.data_dir import DataDir
from node.identity import claimed_peer
from node.intents import DONE
from node.mailbox import hosting, serving
from node.mailbox.messages import COMPARE_PROTOCOL, DEPOSIT_PROTOCOL, FETCH_PROTOCOL, HELLO_PROTOCOL, Asked, Deposit
from node.mailbox.room import Limits
from node.mailbox.serving import Mailbox
from node.mailbox.store import open_mailbox
from node.peer_id import public_key_of
from node.transport import Handler, PeerId, Transport
from ordering import LogEntry, Policy
from tests.node.mailbox.world import mailboxes, stored, texts
from tests.node.world import SUITE, Member, World, open_world, until

NAMES = ("ada-of-the-lake", "bob-of-the-mill", "cyn-of-the-hill")
GROUP_NAME = "the hidden garden"
TEXT = "meet me where the river turns, number {}"


class Ear:
    """A mailbox's transport that remembers all that it was asked, and by whom."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.heard: list[tuple[PeerId, str, bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def handle(self, protocol: str, handler: Handler) -> None:
        async def listening(peer: PeerId, payload: bytes) -> bytes:
            self.heard.append((peer, protocol, payload))
            return await handler(peer, payload)

        self._inner.handle(protocol, listening)


class Lines:
    """What the mailbox logs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **values: self.lines.append(f"{level} {event} {values}")


class Watched:
    """A mailbox with an ear, its log, and what it is in memory."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.log = Lines()
        self.ears: list[Ear] = []
        self.made: list[Mailbox] = []
        for module in (serving, hosting):
            monkeypatch.setattr(module, "log", self.log)
        monkeypatch.setattr(serving, "REPORT_S", 1.0)
        making = self.made

        class Noted(Mailbox):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                making.append(self)

        monkeypatch.setattr(hosting, "Mailbox", Noted)

    async def start(self) -> Member:
        (self.box,) = await mailboxes(self.world, "box")
        await self.box.stop()
        self.box.wrap_transport = lambda inner: cast(Transport, self._ear(inner))
        await self.box.start(alone=True)
        return self.box

    def _ear(self, inner: Transport) -> Ear:
        self.ears.append(Ear(inner))
        return self.ears[-1]

    @property
    def heard(self) -> list[tuple[PeerId, str, bytes]]:
        return [each for ear in self.ears for each in ear.heard]

    def kept(self) -> dict[str, bytes]:
        """Everything in the database, by table and column, the pages opened."""
        key = self.box.node.context.store.meta("mailbox key")
        assert key is not None
        found: dict[str, bytes] = {}
        with open_mailbox(DataDir(self.box.config.data_dir).mailbox_path, key, Limits(1, 1, 1), os.urandom) as store:
            for (table,) in store._rows("SELECT name FROM sqlite_schema WHERE type = 'table'"):
                for _, column, *_ in store._rows(f"PRAGMA table_info({table})"):
                    values = [value for (value,) in store._rows(f"SELECT {column} FROM {table}")]
                    found[f"{table}.{column}"] = b"\0".join(
                        each if isinstance(each, bytes) else str(each).encode() for each in values
                    )
        return found


def leaves(public: PublicGroup) -> Iterator[bytes]:
    """What tells members apart in a tree."""
    for _, leaf in public.leaves():
        yield leaf.signature_key
        yield leaf.encryption_key
        yield leaf.signature
        identity = leaf.credential.identity
        assert identity is not None
        yield identity
        yield public_key_of(claimed_peer(identity))


def forms(needle: bytes) -> tuple[bytes, ...]:
    """As it is, and as text might carry it."""
    return needle, needle.hex().encode(), base64.b64encode(needle).rstrip(b"=")


async def busy(world: World) -> tuple[dict[str, list[bytes]], list[Member]]:
    """A group that talks, adds, updates and removes; and what nobody else should know, by kind."""
    secrets: dict[str, list[bytes]] = {"leaf": [], "text": [], "ciphertext": [], "commit": []}
    ada, bob, cyn = [await world.member(name, always_on=False) for name in NAMES]
    await ada.node.create_group(GROUP_NAME, SUITE, Policy(delta_ms=200))
    for other in (bob, cyn):
        assert (await ada.add(other)).state == DONE
        await until(lambda: bool(other.node.sessions) and other.epoch == ada.epoch)  # noqa: B023
    said = 0
    for round in range(6):
        for member in (ada, bob, cyn):
            await member.session.send(TEXT.format(said))
            secrets["text"].append(TEXT.format(said).encode())
            said += 1
        assert (await (ada, bob, cyn)[round % 3].update()).state == DONE
        await world.settled(ada, bob, cyn)
        public = ada.session.holding.public
        assert public is not None
        secrets["leaf"] += leaves(public)
    assert (await ada.remove(cyn)).state == DONE
    await world.settled(ada, bob)
    await ada.session.send("the last of it, goodbye")
    secrets["text"].append(b"the last of it, goodbye")
    await until(lambda: stored(ada, "the last of it, goodbye") == 1)
    await until(lambda: not ada.session.mailboxes.backlog and not bob.session.mailboxes.backlog)
    store, group_id = ada.node.context.store, ada.session.group_id
    for epoch in range(ada.epoch + 1):
        rows = store.messages(group_id, store.message_ids(group_id, epoch))
        secrets["ciphertext"] += [row.payload[-64:] for row in rows]
        decision = store.decision(group_id, epoch)
        if decision is not None and decision.candidate is not None:
            secrets["commit"].append(decision.candidate[200:264])
    secrets["name"] = [name.encode() for name in (*NAMES, GROUP_NAME)]
    members = [ada, bob, cyn]
    secrets["peer"] = [each.peer_id.encode() for each in members] + [public_key_of(each.peer_id) for each in members]
    return secrets, members


async def test_a_mailbox_knows_nobody_and_nothing(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database, everything that was ever said to it, its log, and its memory as far as it is its own."""
    async with open_world(tmp_path) as world:
        watched = Watched(world, monkeypatch)
        box = await watched.start()
        secrets, members = await busy(world)
        group_id = members[0].session.group_id
        assert len(secrets["ciphertext"]) == 19
        assert len(secrets["commit"]) > 8

        await trio.sleep(2)  # it reports
        kept = watched.kept()
        assert len(kept["items.body"]) > 20_000, "it is in use"
        (mailbox,) = [each for each in watched.made if each._is_open]
        places = {f"database {column}": data for column, data in kept.items()}
        places["requests"] = b"\0".join(payload for _, _, payload in watched.heard)
        places["connections"] = "\0".join(peer for peer, _, _ in watched.heard).encode()
        places["log"] = "\n".join(watched.log.lines).encode()
        places["memory"] = b"\0".join(in_memory(mailbox))
        for end in ("", "-wal"):
            path = DataDir(box.config.data_dir).mailbox_path
            places[f"file {end}"] = path.with_name(path.name + end).read_bytes()
        for where, data in places.items():
            for kind, needles in secrets.items():
                for needle in needles:
                    assert not any(form in data for form in forms(needle)), f"a {kind} in the {where}"

        assert "items taken" in watched.log.lines[-1]
        with_id = {where for where, data in places.items() if group_id in data}
        assert with_id == {"database owners.group_id", "database owners.anchor", "database entries.entry", "requests"}
        entries = [
            LogEntry.decode(deposit.entry)
            for _, protocol, payload in watched.heard
            if protocol == DEPOSIT_PROTOCOL and (deposit := Deposit.decode(Asked.decode(payload).body)).entry
        ]
        assert {len(entry.decision.descriptor.vote_keys) for entry in entries} == {1}, "it does learn the vote keys"


def in_memory(root: object) -> Iterator[bytes]:
    """Every bytes and text that hangs on an object of the mailbox's own, but for its secret keys."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, str):
            yield each.encode()
        elif isinstance(each, bytes):
            yield each
        elif isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset) or type(each).__name__ == "deque":
            waiting += list(cast(Any, each))
        elif type(each).__module__.startswith("node."):
            waiting += list(getattr(each, "__dict__", {}).values())
            waiting += [
                getattr(each, slot)
                for kind in type(each).__mro__
                for slot in getattr(kind, "__slots__", ())
                if hasattr(each, slot)
            ]


async def test_two_members_look_the_same(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the same says the same, under identities that no two members, and no two epochs, share."""
    async with open_world(tmp_path) as world:
        watched = Watched(world, monkeypatch)
        await watched.start()
        _, (ada, bob, _cyn) = await busy(world)
        epoch, topic = ada.epoch, ada.node.context.store.topic_keys(ada.session.group_id, ada.epoch)
        assert topic is not None
        for member in (ada, bob):
            await member.stop()
        for member in (ada, bob, ada):  # each leaves its mark and has the other's
            await member.start(alone=True)
            await until(lambda: member.session.caution.is_over)  # noqa: B023
            await until(lambda: has_marked(member) and not member.session.mailboxes.backlog)  # noqa: B023
            await member.stop()
        before = len(watched.heard)
        seen: list[list[tuple[str, bytes]]] = []
        peers: list[set[PeerId]] = []
        for member in (ada, bob):
            await member.start(alone=True)
            await until(lambda: member.session.caution.is_over)  # noqa: B023
            heard = watched.heard[before:]
            before += len(heard)
            assert texts(member)[-1] == "the last of it, goodbye"
            await member.stop()
            here = [
                (
                    protocol,
                    b"" if protocol == HELLO_PROTOCOL else Asked.decode(payload).topic + Asked.decode(payload).body,
                )
                for _, protocol, payload in heard
                if protocol in (HELLO_PROTOCOL, COMPARE_PROTOCOL, FETCH_PROTOCOL, DEPOSIT_PROTOCOL)
            ]
            seen.append(here[: epoch + 1])
            peers.append({peer for peer, _, _ in heard})
        shared = min(map(len, seen))
        assert shared > 3
        assert seen[0][:shared] == seen[1][:shared], "word for word"
        assert peers[0].isdisjoint(peers[1])


def has_marked(member: Member) -> bool:
    """Whether it has said that it stands in this epoch."""
    standings = member.node.context.store.standings(member.session.group_id)
    return standings.get(member.peer_id) == member.epoch


async def test_an_identity_serves_one_epoch(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a round that catches up, a mailbox cannot tell that two epochs had a member in common."""
    async with open_world(tmp_path) as world:
        watched = Watched(world, monkeypatch)
        await watched.start()
        ada = await world.member("ada")
        await ada.node.create_group("test", SUITE, Policy(delta_ms=200))
        for _ in range(4):
            await ada.session.send("hello")
            await until(lambda: not ada.session.mailboxes.backlog)
            assert (await ada.update()).state == DONE
            await until(lambda: not ada.session.mailboxes.backlog)
        deposits: dict[bytes, set[PeerId]] = {}
        for peer, protocol, payload in watched.heard:
            asked = Asked.decode(payload) if protocol == DEPOSIT_PROTOCOL else None
            if asked is not None and Deposit.decode(asked.body).items and not Deposit.decode(asked.body).entry:
                deposits.setdefault(asked.topic, set()).add(peer)
        topics = list(deposits)
        assert len(topics) == 4
        for first, second in pairwise(topics):
            assert deposits[first].isdisjoint(deposits[second])
