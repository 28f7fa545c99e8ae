"""Evidence: what the store of a node holds of the demo's group, as plain values.

Stores are opened read-only. What is read here is all that the verdict is computed from, besides the story.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast

from mls import Group, GroupConfig, MlsError
from node import feed
from node.api.schema import VerifyReport
from node.config import Config
from node.data_dir import DataDir
from node.electorate import peer_of
from node.feed import DecisionBody, IntentBody, MessageBody
from node.holding import Extra, stored_group
from node.one_order import messages_after
from node.setup import open_key
from node.store import Store, open_store
from node.store_reads import PAGE_SIZE_MAX
from node.store_rows import DecisionRow, FeedRow, IntentRow
from node.testnet.story import Held
from node.vault import StoreKey
from ordering import Candidate, Decision, Wire

BodyT = TypeVar("BodyT", bound=Wire)

PAST_EPOCHS: Final = 64  # how far back kept ciphertexts are looked for


class Verifier(Protocol):
    """What `node.verify` is for this file."""

    def verify_group(self, data_dir: Path, group: str, key: StoreKey) -> VerifyReport: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """A message in a node's feed, sent or received."""

    message_id: bytes
    epoch: int
    sender: str
    at_ms: int
    body: MessageBody = field(repr=False)


@dataclass(frozen=True, slots=True)
class Began:
    """A decision in a node's feed; `epoch` is the one that began with it."""

    epoch: int
    at_ms: int
    body: DecisionBody


@dataclass(frozen=True, slots=True)
class Decided:
    """A row of a node's decided chain; `epoch` is the one that ended."""

    epoch: int
    candidate_id: bytes
    committee_size: int
    ordinal: int | None  # of the candidate; None when its bytes are gone


@dataclass(frozen=True, slots=True)
class Kept:
    """A ciphertext a node keeps for those who missed it."""

    message_id: bytes
    epoch: int
    payload: bytes = field(repr=False)


def never(_payload: bytes) -> bool:
    """Whether a node without a group value can open a message."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One node's store, as far as it concerns the group."""

    name: str
    peer_id: str
    epoch: int | None  # None: the group is unknown here
    damage: str = ""  # why the store could not be read
    authenticator: bytes | None = None  # of the stored group value; None when there is none
    members: frozenset[str] = frozenset()  # peer ids, by the stored group value
    leaf_keys: frozenset[bytes] = frozenset()  # public keys of all leaves, by the stored group value
    order: tuple[bytes, ...] = ()  # ids of the messages in its feed, in the order that all members share
    key_epochs: frozenset[int] = frozenset()  # epochs whose gossip key is kept
    report: VerifyReport | None = None  # of the offline check of its chain
    chain: tuple[Decided, ...] = ()
    began: tuple[Began, ...] = ()
    intents: tuple[IntentRow, ...] = ()
    ended: tuple[IntentBody, ...] = ()
    heard: tuple[Heard, ...] = ()
    kept: tuple[Kept, ...] = ()
    opens: Callable[[bytes], bool] = field(default=never, repr=False)  # whether the group value can open a message


def read_evidence(name: str, peer_id: str, config: Config, group_id: bytes) -> Evidence:
    """Everything one node's store holds of the group, its chain checked. Raises what the store and decoders raise."""
    key = open_key(config)
    with open_store(DataDir(config.data_dir).store_path, key.value, read_only=True) as store:
        row = store.group(group_id)
        if row is None:
            return Evidence(name=name, peer_id=peer_id, epoch=None)
        group = stored_group(row, GroupConfig())
        entries = tuple(_feed(store, group_id))
        verifier = cast(Verifier, import_module("node.verify"))
        return Evidence(
            name=name,
            peer_id=peer_id,
            epoch=row.epoch,
            authenticator=None if group is None else group.epoch_authenticator,
            members=frozenset() if group is None else _members(group),
            leaf_keys=frozenset() if group is None else _leaf_keys(group),
            order=tuple(each.message_id or b"" for each in messages_after(store, group_id, None, len(entries))),
            key_epochs=frozenset(each.epoch for each in Extra.decode(row.extra).keys),
            report=verifier.verify_group(config.data_dir, group_id.hex(), key),
            chain=tuple(map(_decided, _decisions(store, group_id))),
            began=tuple(
                Began(each.epoch, each.at_ms, body) for each, body in _of(entries, feed.DECISION, DecisionBody)
            ),
            intents=store.intents(group_id),
            ended=tuple(body for _, body in _of(entries, feed.INTENT, IntentBody)),
            heard=tuple(_heard(each, body) for each, body in _of(entries, feed.MESSAGE, MessageBody)),
            kept=tuple(_kept(store, group_id, row.epoch)),
            opens=never if group is None else partial(_opens, group),
        )


def look_at_removed(config: Config, group_id: bytes) -> Held:
    """What a removed member holds of the group, read beside its running node."""
    with open_store(DataDir(config.data_dir).store_path, open_key(config).value, read_only=True) as store:
        row = store.group(group_id)
        if row is None:
            return Held(True, False, 0, (), ())
        epochs = range(max(0, row.epoch - PAST_EPOCHS), row.epoch + 2)
        candidates = [each for epoch in epochs for each in store.candidates(group_id, epoch)]
        messages = {each.epoch for each in _feed(store, group_id) if each.kind == feed.MESSAGE}
        return Held(
            is_removed=row.removed,
            has_snapshot=row.snapshot is not None,
            successors=sum(each.successor is not None for each in candidates),
            key_epochs=tuple(sorted(each.epoch for each in Extra.decode(row.extra).keys)),
            message_epochs=tuple(sorted(messages)),
        )


def _feed(store: Store, group_id: bytes) -> Iterator[FeedRow]:
    seq = 0
    while rows := store.feed(seq, PAGE_SIZE_MAX, group_id):
        yield from rows
        seq = rows[-1].seq


def _decisions(store: Store, group_id: bytes) -> Iterator[DecisionRow]:
    epoch = 0
    while rows := store.decisions(group_id, epoch, PAGE_SIZE_MAX):
        yield from rows
        epoch = rows[-1].epoch + 1


def _of(entries: tuple[FeedRow, ...], kind: str, body: type[BodyT]) -> Iterator[tuple[FeedRow, BodyT]]:
    return ((each, body.decode(each.body)) for each in entries if each.kind == kind)


def _heard(row: FeedRow, body: MessageBody) -> Heard:
    return Heard(row.message_id or b"", row.epoch, row.sender or "", row.at_ms, body)


def _decided(row: DecisionRow) -> Decided:
    decision = Decision.decode(row.decision)
    ordinal = None if row.candidate is None else Candidate.decode(row.candidate).ordinal
    return Decided(row.epoch, row.candidate_id, decision.descriptor.size, ordinal)


def _members(group: Group) -> frozenset[str]:
    return frozenset(peer_of(group.public, leaf) for _, leaf in group.public.leaves())


def _leaf_keys(group: Group) -> frozenset[bytes]:
    return frozenset(key for _, leaf in group.public.leaves() for key in (leaf.signature_key, leaf.encryption_key))


def _kept(store: Store, group_id: bytes, epoch: int) -> Iterator[Kept]:
    for each in range(max(0, epoch - PAST_EPOCHS), epoch + 1):
        for row in store.messages(group_id, store.message_ids(group_id, each)):
            yield Kept(row.message_id, row.epoch, row.payload)


def _opens(group: Group, payload: bytes) -> bool:
    try:
        group.open(payload, int(time.time()))
    except MlsError:
        return False
    return True
