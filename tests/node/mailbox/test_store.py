"""What a mailbox keeps, for how long, and whose room it takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from node.mailbox.messages import DECIDED_MAX, ENTRIES_MAX, Deposit, Outcome
from node.mailbox.room import ITEM_COST, LONE_SHARE, Limits
from node.mailbox.sealing import ItemKind, Topic, TopicKeys, item_id
from node.mailbox.store import CHAINS_PER_GROUP_MAX, DAY_S, DECIDED_KEPT, MailboxStore, open_mailbox
from node.store import StoreKeyError
from node.transport import KIB, MIB
from ordering import LogEntry
from tests.node.mailbox.chain import MadeChain

KEY = bytes(range(32))
NOW_S = 1_800_000_000
ROOMY = Limits(64 * MIB, 16 * MIB, 30)


def topic(number: int) -> Topic:
    chance = Random(number)
    return Topic(TopicKeys(chance.randbytes(32), chance.randbytes(32)))


def message(of: Topic, number: int, size: int = 200) -> bytes:
    return of.seal(ItemKind.MESSAGE, number.to_bytes(8, "big") + bytes(size))


def messages(of: Topic, count: int, first: int = 0, size: int = 200) -> tuple[bytes, ...]:
    return tuple(message(of, number, size) for number in range(first, first + count))


@contextmanager
def mailbox(folder: Path, limits: Limits = ROOMY) -> Iterator[MailboxStore]:
    with open_mailbox(folder / "mailbox.db", KEY, limits, os.urandom) as store:
        yield store


def put(store: MailboxStore, of: Topic, deposit: Deposit, now_s: int = NOW_S) -> tuple[Outcome, ...]:
    return store.take([(of.id, deposit)], now_s)[0][0]


def test_what_was_deposited_is_there_after_a_restart(tmp_path: Path) -> None:
    """Once and in one place, however often it comes."""
    ada = topic(1)
    items = messages(ada, 5)
    with mailbox(tmp_path) as store:
        assert put(store, ada, Deposit(items[:3])) == (Outcome.STORED,) * 3
        assert put(store, ada, Deposit(items)) == (Outcome.HELD,) * 3 + (Outcome.STORED,) * 2
        born, size = store.born, store.size
    with mailbox(tmp_path) as store:
        assert store.ids(ada.id) == sorted(map(item_id, items))
        assert store.items(ada.id, [item_id(items[3]), bytes(32), item_id(items[1])]) == (3, (items[3], items[1]))
        assert store.state(ada.id).serial == 5
        assert (store.born, store.size) == (born, size)
        assert store.ids(topic(2).id) == []
    with pytest.raises(StoreKeyError), open_mailbox(tmp_path / "mailbox.db", bytes(32), ROOMY, os.urandom):
        pass


def test_items_are_of_padded_sizes(tmp_path: Path) -> None:
    """A member that does not pad would show the lengths of what is said."""
    with mailbox(tmp_path) as store:
        assert put(store, topic(1), Deposit((bytes(300), b"", bytes(513)))) == (Outcome.REFUSED,) * 3
        assert store.ids(topic(1).id) == []


def test_an_answer_holds_so_much(tmp_path: Path) -> None:
    """What does not fit is asked for again; one item always fits."""
    ada = topic(1)
    items = messages(ada, 4, size=2 * MIB)
    with mailbox(tmp_path) as store:
        put(store, ada, Deposit(items))
        ids = [item_id(item) for item in items]
        assert store.items(ada.id, ids) == (2, items[:2])
        assert store.items(ada.id, ids[2:]) == (2, items[2:])


def test_who_is_full_loses_its_own_oldest(tmp_path: Path) -> None:
    """A flooder in one topic takes nothing from the others."""
    flooder, ada = topic(1), topic(2)
    with mailbox(tmp_path, Limits(8 * MIB, 256 * KIB, 30)) as store:
        put(store, ada, Deposit(messages(ada, 10)))
        for first in range(0, 2000, 100):
            assert set(put(store, flooder, Deposit(messages(flooder, 100, first)))) == {Outcome.STORED}
        assert len(store.ids(ada.id)) == 10
        assert store.size <= 256 * KIB + 16 * KIB
        kept = set(store.ids(flooder.id))
        assert item_id(message(flooder, 1999)) in kept
        assert item_id(message(flooder, 0)) not in kept


def test_topics_without_a_chain_fill_a_part_of_it(tmp_path: Path) -> None:
    """Topics cost a stranger nothing; who has a chain of decisions to show goes before."""
    chain, home = MadeChain(), topic(1)
    limits = Limits(2 * MIB, 1 * MIB, 30)
    with mailbox(tmp_path, limits) as store:
        put(store, home, Deposit(messages(home, 300), entry=chain.entry().encode()))
        for number in range(2, 40):
            put(store, topic(number), Deposit(messages(topic(number), 100)))
        assert len(store.ids(home.id)) == 300
        assert store.size <= limits.quota // LONE_SHARE + 300 * (512 + ITEM_COST) + 16 * KIB
        for number in range(300, 1300, 100):
            put(store, home, Deposit(messages(home, 100, number)))
        assert len(store.ids(home.id)) > 1300 - 200, "a chain's room is its own"


def test_a_decided_bundle_goes_last(tmp_path: Path) -> None:
    """Who sleeps needs the decisions; messages can be said again."""
    chain, home, after = MadeChain(), topic(1), topic(2)
    bundle = home.seal(ItemKind.BUNDLE, bytes(5000))
    with mailbox(tmp_path, Limits(8 * MIB, 256 * KIB, 30)) as store:
        ended = Deposit((bundle,), entry=chain.entry().encode(), decided=(item_id(bundle),), next=(after.id,))
        put(store, home, ended)
        for first in range(0, 2000, 100):
            put(store, after, Deposit(messages(after, 100, first)))
        assert store.ids(home.id) == [item_id(bundle)]
        assert len(store.ids(after.id)) < 500, "the next topic is of the same chain, and shares its room"
        assert len(store.state(home.id).entries) == 1


def test_what_all_have_passed_goes_first(tmp_path: Path) -> None:
    """Released: every member is past it."""
    chain, home, after = MadeChain(), topic(1), topic(2)
    bundle = home.seal(ItemKind.BUNDLE, bytes(5000))
    with mailbox(tmp_path, Limits(8 * MIB, 256 * KIB, 30)) as store:
        put(store, home, Deposit((bundle,), entry=chain.entry().encode(), decided=(item_id(bundle),), next=(after.id,)))
        put(store, after, Deposit(messages(after, 300)))
        put(store, home, Deposit((), is_released=True))
        put(store, after, Deposit(messages(after, 100, 300)))
        assert store.ids(home.id) == []
        assert len(store.ids(after.id)) > 350


def test_a_chain_is_verified_without_being_a_member(tmp_path: Path) -> None:
    """From the first entry on, link by link; what does not follow is no part of it."""
    chain = MadeChain()
    with mailbox(tmp_path) as store:
        for epoch in range(5):
            put(store, topic(epoch), Deposit((), entry=chain.entry().encode()))
        rows = store._rows("SELECT anchor FROM owners WHERE group_id IS NOT NULL")
        assert len(rows) == 1
        forged = MadeChain(seed=2, group_id=chain.group_id, prev=chain.prev, epoch=5)
        put(store, topic(5), Deposit((), entry=forged.entry().encode()))
        assert store._rows("SELECT continues FROM entries WHERE topic = (SELECT max(topic) FROM entries)") == [(0,)]
        honest = chain.entry().encode()
        put(store, topic(5), Deposit((), entry=honest))
        assert store.state(topic(5).id).entries[0] == honest, "who continues a chain comes first"


def test_a_certificate_with_a_false_vote_is_not_kept(tmp_path: Path) -> None:
    """One byte of a signature."""
    entry = MadeChain().entry().encode()
    with mailbox(tmp_path) as store:
        index = entry.rindex(LogEntry.decode(entry).decision.certificate.signatures[-1][1])
        put(store, topic(1), Deposit((), entry=entry[:index] + bytes([entry[index] ^ 1]) + entry[index + 1 :]))
        put(store, topic(1), Deposit((), entry=b"\x91\x01"))
        assert store.state(topic(1).id).entries == ()


def test_made_up_chains_are_bounded(tmp_path: Path) -> None:
    """Under one group id, and for one topic; the true one finds its place all the same."""
    chain = MadeChain()
    first, second = chain.entry().encode(), chain.entry().encode()
    with mailbox(tmp_path) as store:
        put(store, topic(1), Deposit((), entry=first))
        for seed in range(2, 12):
            false = MadeChain(seed=seed, group_id=chain.group_id, epoch=1).entry().encode()
            put(store, topic(2), Deposit((), entry=false))
        assert len(store.state(topic(2).id).entries) == ENTRIES_MAX
        put(store, topic(2), Deposit((), entry=second))
        entries = store.state(topic(2).id).entries
        assert len(entries) == ENTRIES_MAX
        assert second in entries
        assert len(store._rows("SELECT 1 FROM owners WHERE group_id IS NOT NULL")) == CHAINS_PER_GROUP_MAX


def test_so_many_items_of_a_topic_are_kept_longest(tmp_path: Path) -> None:
    """Or all of them would be."""
    home = topic(1)
    with mailbox(tmp_path) as store:
        for item in messages(home, 10):
            put(store, home, Deposit((item,), decided=(item_id(item),)))
        assert store._rows("SELECT count(*) FROM items WHERE rank = 1") == [(DECIDED_MAX,)]


def test_what_is_past_its_time_is_deleted(tmp_path: Path) -> None:
    """Messages after the retention, decided bundles after four times as long, what is released with the messages."""
    chain, home, passed = MadeChain(), topic(1), topic(2)
    bundle, other = home.seal(ItemKind.BUNDLE, b"one"), passed.seal(ItemKind.BUNDLE, b"two")
    with mailbox(tmp_path) as store:
        put(store, home, Deposit((*messages(home, 700), bundle), chain.entry().encode(), (item_id(bundle),)))
        put(store, passed, Deposit((other,), chain.entry().encode(), (item_id(other),), is_released=True))
        assert not store.expire(NOW_S + 29 * DAY_S)
        assert len(store.ids(home.id)) == 701
        assert store.expire(NOW_S + 31 * DAY_S)
        assert not store.expire(NOW_S + 31 * DAY_S)
        assert store.ids(home.id) == [item_id(bundle)]
        assert store.ids(passed.id) == []
        while store.expire(NOW_S + (DECIDED_KEPT * 30 + 1) * DAY_S):
            pass
        store.expire(NOW_S + (DECIDED_KEPT * 30 + 1) * DAY_S)
        assert store.size == 0
        assert store._rows("SELECT (SELECT count(*) FROM topics) + (SELECT count(*) FROM owners)") == [(0,)]


def test_a_batch_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it counts follows what is there."""
    home = topic(1)
    with mailbox(tmp_path) as store:
        put(store, home, Deposit(messages(home, 3)))
        size = store.size
        monkeypatch.setattr(store, "_protect", broken)
        deposit = Deposit(messages(home, 3, 10), decided=(bytes(32),))
        with pytest.raises(OSError, match="disk"):
            store.take([(home.id, Deposit(messages(home, 3, 20))), (home.id, deposit)], NOW_S)
        assert store.size == size
        assert len(store.ids(home.id)) == 3


def broken(*_: object) -> None:
    raise OSError("disk")


def test_the_count_follows_the_rows_whatever_comes(tmp_path: Path) -> None:
    """Room that is counted wrongly is lost, or promised twice."""
    chance = Random(5)
    chains = [MadeChain(seed=seed) for seed in range(3)]
    with mailbox(tmp_path, Limits(600 * KIB, 200 * KIB, 1)) as store:
        for step in range(400):
            number = chance.randrange(12)
            here = topic(number)
            entry = chance.choice(chains).entry().encode() if chance.random() < 0.2 else b""
            items = messages(here, chance.randrange(30), chance.randrange(1000), chance.choice((10, 600, 3000)))
            follows = (topic(chance.randrange(12)).id,) if chance.random() < 0.3 else ()
            put(store, here, Deposit(items, entry, next=follows, is_released=chance.random() < 0.1), NOW_S + step * 600)
            if chance.random() < 0.05:
                store.expire(NOW_S + step * 600)
            assert store.size <= 600 * KIB
        counted = store.size
        ((items_size,),) = store._rows("SELECT sum(length(body) + ?) FROM items", ITEM_COST)
        ((topics_size,),) = store._rows("SELECT sum(bytes) FROM topics")
        ((entries_size,),) = store._rows("SELECT coalesce(sum(length(entry) + ?), 0) FROM entries", ITEM_COST)
        ((count,),) = store._rows("SELECT count(*) FROM topics")
        assert topics_size == items_size + entries_size
        store._room.measure()
        assert store.size == counted == topics_size + count * 1024
