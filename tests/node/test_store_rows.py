"""The store table by table: what each typed method keeps, refuses and forgets."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node import store_rows, store_writes
from node.contacts.rows import InvitationRow, InviteRow, JoinRow, RequestRow
from node.key_packages.tables import WantedRow
from node.mailbox.tables import DepositRow, TopicKeysRow
from node.receipts.tables import OF_A_GROUP as RECEIPTS
from node.store import ConflictError, GuardError, Store, StoreError, open_store
from node.store_reads import PAGE_SIZE_MAX
from node.store_rows import (
    EPOCH_MAX,
    KEY_PACKAGE_CLAIMED,
    KEY_PACKAGE_LAST_RESORT,
    KEY_PACKAGE_ONE_TIME,
    KEY_PACKAGE_RETIRED,
    CandidateRow,
    DecisionRow,
    FeedRow,
    GroupRow,
    GuardRow,
    IntentRow,
    KeyPackageRow,
    MessageRow,
    OutboxRow,
    ParkedRow,
    PeerRow,
    Pieces,
)

G, H = b"group", b"other group"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", bytes(32)) as store:
        yield store


def test_groups_are_replaced_whole_and_listed_in_order_of_arrival(store: Store) -> None:
    second = GroupRow(H, "two", 0, b"snap", "ok", True, False, b"x")
    first = GroupRow(G, "one", 1, None, "ok", False, False)
    with store.transaction() as tx:
        tx.put_group(second)
        tx.put_group(first)
        changed = dataclasses.replace(second, epoch=7, removed=True, snapshot=None, unconfirmed=False, extra=b"")
        tx.put_group(changed)
        assert tx.group(H) == changed
    assert store.groups() == (changed, first)
    assert store.group(b"unknown") is None


def test_a_deleted_group_leaves_nothing_but_its_guard(store: Store) -> None:
    """Joining the group again must not make this node sign twice at one position."""
    with store.transaction() as tx:
        for group in (G, H):
            tx.put_group(GroupRow(group, "", 0, Pieces(b"", (), b""), "ok", False, False))
            tx.put_candidate(CandidateRow(group, 0, b"c", b""))
            tx.put_ordering_record(group, 0, "k", b"")
            tx.put_guard(GuardRow(group, 1, 0, 0))
            tx.put_decision(DecisionRow(group, 0, b"c", b"", b""))
            tx.put_intent(IntentRow(group, group, "add", b"", "queued", None, None, 0))
            tx.append_feed(FeedRow(group, "message", 0, None, b"m", b"", 0))
            tx.put_message(MessageRow(group, 0, b"m", b"", 0))
            tx.park(ParkedRow(group, 1, b"n", b""))
            tx.put_outbox(OutboxRow(group, "message", 0, None, b"", 0))
            tx.put_invitation(InvitationRow(group, group, "", "peer", 1, 2, b"", b"", 0))
            tx.put_invite(InviteRow(group, group, b"", 1, False, 0, 0))
            tx.put_request(RequestRow(group, group, b"", "peer", b"", "waiting", None, 0))
            tx.put_join(JoinRow(group, "", b"", b"", b"", "asking", "", 0))
            tx.put_topic_keys(TopicKeysRow(group, 0, b"seed", b"key"))
            tx.put_deposit(DepositRow(group, b"m", 0, 1))
            tx.put_statement(group, 0, "mailbox", b"")
            tx.put_wanted_package(WantedRow(group, group, b"batch", "peer", 0, 1))
        tx.delete_group(G)
    tables = [name for (name,) in store._rows("SELECT name FROM sqlite_schema WHERE sql LIKE '%group_id BLOB%'")]
    assert len(tables) == 19 + len(RECEIPTS)
    left = {name: store._rows(f"SELECT group_id FROM {name}") for name in tables if name not in RECEIPTS}
    assert left.pop("guards") == [(G,), (H,)]
    assert all(rows == [(H,)] for rows in left.values()), left


def test_candidates_are_kept_per_epoch_until_it_is_over(store: Store) -> None:
    own = CandidateRow(G, 3, b"b", b"bundle", b"successor", (b"i1", b"i2"), 1)
    rival = CandidateRow(G, 3, b"a", b"bundle")
    with store.transaction() as tx:
        tx.put_candidate(own)
        tx.put_candidate(rival)
        tx.put_candidate(CandidateRow(G, 2, b"old", b""))
        tx.put_candidate(CandidateRow(H, 2, b"else", b""))
    assert store.candidate(G, 3, b"b") == own
    assert store.candidate(G, 2, b"b") is None
    assert store.candidates(G, 3) == (rival, own)
    with store.transaction() as tx:
        tx.drop_candidates(G, 3)
    assert store.candidates(G, 2) == ()
    assert len(store.candidates(G, 3)) == 2
    assert len(store.candidates(H, 2)) == 1


def test_an_own_successor_is_not_lost_when_its_candidate_comes_back_from_a_peer(store: Store) -> None:
    """Nobody can process their own commit from the wire: the stored successor is the only one."""
    own = CandidateRow(G, 3, b"a", b"bundle", b"successor", (b"i",))
    with store.transaction() as tx:
        tx.put_candidate(own)
        tx.put_candidate(CandidateRow(G, 3, b"a", b"bundle"))
    assert store.candidate(G, 3, b"a") == own


def test_ordering_records_come_back_in_key_order(store: Store) -> None:
    with store.transaction() as tx:
        for key in ("vote/2", "cert/1", "vote/10", "Z", "ä"):
            tx.put_ordering_record(G, 1, key, key.encode())
        tx.put_ordering_record(G, 1, "cert/1", b"replaced")
        tx.put_ordering_record(G, 2, "later", b"")
    assert [key for key, _ in store.ordering_records(G, 1)] == sorted(["vote/2", "cert/1", "vote/10", "Z", "ä"])
    assert dict(store.ordering_records(G, 1))["cert/1"] == b"replaced"
    with store.transaction() as tx:
        tx.drop_ordering_records(G, 2)
    assert store.ordering_records(G, 1) == ()
    assert store.ordering_records(G, 2) == (("later", b""),)


def test_the_guard_only_moves_forward(store: Store) -> None:
    present = GuardRow(G, 2, 1, 1, 1, b"vote", b"signature")
    with store.transaction() as tx:
        tx.put_guard(GuardRow(G, 2, 1, 1, 0, b"propose", b"signature"))
        tx.put_guard(present)
        tx.put_guard(present)
        for position in ((2, 1, 1, 1), (2, 1, 1, 0), (2, 1, 0, 9), (2, 0, 9, 9), (1, 9, 9, 9)):
            with pytest.raises(GuardError, match="already signed at"):
                tx.put_guard(GuardRow(G, *position, b"another vote", b""))
        with pytest.raises(GuardError):
            tx.put_guard(dataclasses.replace(present, signature=b"other"))
        tx.put_guard(GuardRow(H, 0, 0, 1))
    assert store.guard(G) == present
    with store.transaction() as tx:
        tx.put_guard(GuardRow(G, 3, 0, 0))
    assert store.guard(G) == GuardRow(G, 3, 0, 0)
    assert store.guard(b"unknown") is None


def test_abstaining_is_never_taken_back(store: Store) -> None:
    """It was decided because this store has forgotten votes: it cannot know better later."""
    present = GuardRow(G, 2, 1, 1, 1, b"vote", b"signature")
    abstaining = dataclasses.replace(present, abstain_below=9)
    with store.transaction() as tx:
        tx.put_guard(present)
        tx.put_guard(abstaining)
        for row in (present, GuardRow(G, 3, 0, 0, abstain_below=8)):
            with pytest.raises(GuardError, match="below epoch 9"):
                tx.put_guard(row)
        assert tx.guard(G) == abstaining
        tx.put_guard(GuardRow(G, 3, 0, 0, abstain_below=9))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(positions=st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=12), group=st.binary(min_size=8, max_size=8))
def test_no_order_of_votes_ever_lowers_the_guard(
    store: Store, positions: list[tuple[int, int, int, int]], group: bytes
) -> None:
    highest = (-1, -1, -1, -1)
    with store.transaction() as tx:
        tx._rows("DELETE FROM guards")
        for number, position in enumerate(positions):
            row = GuardRow(group, *position, str(number).encode())
            if position > highest:
                tx.put_guard(row)
                highest = position
            else:
                with pytest.raises(GuardError):
                    tx.put_guard(row)
            kept = tx.guard(group)
            assert kept is not None
            assert kept.position == highest


def test_a_decision_stays_and_only_missing_bytes_are_filled_in(store: Store) -> None:
    bare = DecisionRow(G, 4, b"id", b"certificate", None)
    with store.transaction() as tx:
        assert tx.put_decision(bare)
        assert not tx.put_decision(dataclasses.replace(bare, decision=b"another certificate", candidate=b"bundle"))
        assert not tx.put_decision(dataclasses.replace(bare, candidate=b"forged bundle"))
    assert store.decision(G, 4) == dataclasses.replace(bare, candidate=b"bundle")


def test_two_decisions_for_one_epoch_are_refused(store: Store) -> None:
    """It means more liars than the committee tolerates: freeze, never pick."""
    with store.transaction() as tx:
        tx.put_decision(DecisionRow(G, 4, b"id", b"", b""))
    with pytest.raises(ConflictError, match="epoch 4"), store.transaction() as tx:
        tx.put_decision(DecisionRow(G, 4, b"other", b"", b""))
    assert store.decision(G, 4) == DecisionRow(G, 4, b"id", b"", b"")


def test_decisions_are_read_in_pages_oldest_first(store: Store) -> None:
    rows = tuple(DecisionRow(G, epoch, b"%d" % epoch, b"d", b"c") for epoch in range(10))
    with store.transaction() as tx:
        for row in reversed(rows):
            tx.put_decision(row)
        tx.put_decision(DecisionRow(H, 99, b"", b"", b""))
    assert store.decisions(G, 3, 4) == rows[3:7]
    assert store.decisions(G, 8, 100) == rows[8:]
    assert store.decisions(G, 2**64 - 1, 5) == ()
    assert store.decisions(G, 0, -1) == ()
    assert store.latest_decision(G) == rows[9]
    assert store.latest_decision(b"unknown") is None
    with store.transaction() as tx:
        tx.prune_decisions(G, 6)
    assert store.decisions(G, 0, 100) == rows[6:]


def test_an_intent_is_open_until_it_is_done_or_failed(store: Store) -> None:
    first = IntentRow(b"1", G, "add", b"body", "queued", None, None, 10)
    second = IntentRow(b"2", G, "remove", b"body", "queued", None, None, 5)
    third = IntentRow(b"3", G, "update", b"", "committing", None, None, 10)
    with store.transaction() as tx:
        for row in (first, second, third):
            tx.put_intent(row)
    assert store.open_intents(G) == (second, first, third)
    assert store.open_intents(H) == ()
    with store.transaction() as tx:
        tx.update_intent(b"1", "done", epoch=7)
        tx.update_intent(b"2", "failed", error="not allowed")
    assert store.open_intents(G) == (third,)
    assert store.intent(b"1") == dataclasses.replace(first, state="done", epoch=7)
    assert store.intent(b"2") == dataclasses.replace(second, state="failed", error="not allowed")
    assert len(store.intents(G)) == 3
    assert store.intent(b"4") is None


def test_a_message_enters_the_feed_once(store: Store) -> None:
    row = FeedRow(G, "message", 1, "peer", b"id", b"hello", 5)
    event = FeedRow(G, "membership", 2, None, None, b"", 6)
    with store.transaction() as tx:
        first = tx.append_feed(row)
        assert tx.append_feed(dataclasses.replace(row, body=b"hello again")) is None
        rest = [tx.append_feed(entry) for entry in (dataclasses.replace(row, group_id=H), event, event)]
    assert first
    numbers = [entry.seq for entry in store.feed(0, 10)]
    assert numbers == sorted(
        {first, *(number or 0 for number in rest)}
    )  # increasing; an event that is no message may come twice
    assert len(numbers) == 4
    assert store.feed(0, 1) == (dataclasses.replace(row, seq=first),)
    assert [entry.seq for entry in store.feed(first, 2)] == rest[:2]
    assert [entry.seq for entry in store.feed(0, 10, G)] == [first, *rest[1:]]
    assert store.feed(2**64, 10) == ()
    assert store.feed_head() == rest[-1]


def test_a_feed_number_is_never_used_again(store: Store) -> None:
    """Clients resume by it: a reused number would be a message never shown."""
    with store.transaction() as tx:
        tx.append_feed(FeedRow(G, "message", 1, None, b"1", b"", 0))
        tx.delete_group(G)
        assert tx.append_feed(FeedRow(G, "message", 1, None, b"2", b"", 0)) == 2


def test_kept_messages_are_listed_fetched_and_pruned(store: Store) -> None:
    rows = [
        MessageRow(G, epoch, b"%d" % number, b"ct", at)
        for number, (epoch, at) in enumerate([(1, 10), (1, 99), (2, 10)])
    ]
    with store.transaction() as tx:
        assert [tx.put_message(row) for row in rows] == [True] * 3
        assert not tx.put_message(rows[0])
    assert store.message_ids(G, 1) == (b"0", b"1")
    assert store.message_ids(H, 1) == store.message_ids(G, 2**64 - 1) == ()
    between = store.message_ids_between(G, 0, 2**64 - 1)
    assert between[1] == (b"0", b"1")
    assert all(store.message_ids(G, epoch) == ids for epoch, ids in between.items())
    assert store.message_ids_between(G, 2**62, 2**64 - 1) == store.message_ids_between(H, 0, 1) == {}
    assert store.messages(G, [b"2", b"unknown", b"0"]) == (rows[2], rows[0])
    assert store.has_message(G, b"2")
    assert not store.has_message(H, b"2")
    with store.transaction() as tx:
        tx.prune_messages(G, before_epoch=2, before_ms=50)
    assert store.messages(G, [b"0", b"1", b"2"]) == (rows[1], rows[2])


def test_parked_messages_wait_for_their_epoch(store: Store) -> None:
    rows = [ParkedRow(G, epoch, b"%d" % number, b"ct") for number, epoch in enumerate([5, 4, 5, 6])]
    with store.transaction() as tx:
        assert [tx.park(row) for row in rows] == [True] * 4
        assert tx.park(rows[0])
        assert tx.parked_count(G) == 4
        assert tx.parked(G, 5) == (rows[0], rows[1], rows[2])
        tx.drop_parked(G, 5)
        tx.drop_parked(H, 6)
        assert tx.parked(G, 9) == (rows[3],)


def test_parked_messages_are_bounded_and_the_nearest_epochs_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever floods far futures must not push out what is needed next."""
    monkeypatch.setattr(store_writes, "PARKED_PER_GROUP_MAX", 3)
    with store.transaction() as tx:
        for epoch in (9, 8, 7):
            assert tx.park(ParkedRow(G, epoch, b"%d" % epoch, b""))
        assert not tx.park(ParkedRow(G, 9, b"x", b""))
        assert tx.park(ParkedRow(G, 1, b"near", b""))
        assert tx.park(ParkedRow(H, 9, b"x", b""))  # another group has its own bound
        assert tx.parked_count(G) == 3
        assert [row.epoch for row in tx.parked(G, 9)] == [8, 7, 1]


def test_parked_bytes_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writes, "PARKED_BYTES_PER_GROUP_MAX", 100)
    with store.transaction() as tx:
        assert tx.park(ParkedRow(G, 5, b"1", bytes(60)))
        assert not tx.park(ParkedRow(G, 5, b"2", bytes(60)))
        assert not tx.park(ParkedRow(G, 1, b"3", bytes(101)))
        assert tx.park(ParkedRow(G, 4, b"4", bytes(60)))
        assert [row.message_id for row in tx.parked(G, 5)] == [b"4"]


def test_an_epoch_no_group_reaches_is_refused_and_not_an_overflow(store: Store) -> None:
    """The epoch of an early message is whatever 64 bits its sender wrote."""
    with store.transaction() as tx:
        assert not tx.park(ParkedRow(G, 2**64 - 1, b"1", b""))
        assert tx.park(ParkedRow(G, EPOCH_MAX, b"2", b""))
    with pytest.raises(StoreError), store.transaction() as tx:
        tx.put_group(GroupRow(G, "", 2**63, None, "ok", False, False))
    assert store.group(G) is None


def test_the_outbox_is_emptied_in_order(store: Store) -> None:
    row = OutboxRow(G, "welcome", 3, "peer", b"payload", 9)
    with store.transaction() as tx:
        ids = [tx.put_outbox(row), tx.put_outbox(dataclasses.replace(row, recipient=None)), tx.put_outbox(row)]
        tx.put_outbox(dataclasses.replace(row, group_id=H))
    assert [entry.id for entry in store.outbox(G)] == ids
    assert len(store.outbox()) == 4
    assert store.outbox(G)[0] == dataclasses.replace(row, id=ids[0])
    with store.transaction() as tx:
        tx.delete_outbox(ids[:2])
    assert [entry.id for entry in store.outbox(G)] == ids[2:]


def test_a_one_time_key_package_is_free_once_and_gone_once_used(store: Store) -> None:
    """Two joiners with one init key would read each other's Welcomes."""
    ours = [KeyPackageRow(name, b"bundle", suite=1, expires_s=50) for name in (b"z", b"a")]
    lent = KeyPackageRow(b"r", b"bundle", suite=1, place=b"replicas", expires_s=50)
    last_resort = KeyPackageRow(b"l", b"bundle l", KEY_PACKAGE_LAST_RESORT, suite=1, expires_s=50)
    with store.transaction() as tx:
        assert tx.free_key_package(1, 0) is None
        for row in (last_resort, lent, *ours):
            tx.put_key_package(row)
        assert tx.key_packages_available(KEY_PACKAGE_ONE_TIME) == 3
        assert tx.key_packages_available(KEY_PACKAGE_ONE_TIME, 1, b"replicas") == 1
        assert (tx.free_key_package(2, 0), tx.free_key_package(1, 50)) == (None, None)  # of another suite; too old
        for row in ours:
            assert tx.free_key_package(1, 49) == row
            tx.mark_key_packages((row.reference,), KEY_PACKAGE_CLAIMED, 7)
        assert tx.free_key_package(1, 0) is None  # what lies at replicas is for them to grant
    claimed = tuple(dataclasses.replace(row, state=KEY_PACKAGE_CLAIMED, changed_ms=7) for row in ours)
    assert store.key_packages(state=KEY_PACKAGE_CLAIMED) == claimed  # their Welcomes are on their way
    with store.transaction() as tx:
        tx.use_key_package(b"z", 8)
        tx.use_key_package(b"l", 8)
    assert store.key_package(b"z") is None
    retired = dataclasses.replace(last_resort, state=KEY_PACKAGE_RETIRED, changed_ms=8)
    assert store.key_package(b"l") == retired  # others may have it too
    with store.transaction() as tx:
        assert tx.drop_key_packages(9, 8) == 0
        assert tx.drop_key_packages(9, 9) == 1
        tx.retire_key_packages(49, b"other replicas", 10)
    assert store.key_packages(state=KEY_PACKAGE_RETIRED) == (
        dataclasses.replace(lent, state=KEY_PACKAGE_RETIRED, changed_ms=10),
    )
    with store.transaction() as tx:
        tx.drop_oldest_gone(1)
    assert store.key_package_references() == {b"r"}


def test_peers_are_replaced_and_forgotten(store: Store) -> None:
    with store.transaction() as tx:
        tx.put_peer(PeerRow("12D3b", ("/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2"), "bob"))
        tx.put_peer(PeerRow("12D3a", ()))
        tx.put_peer(PeerRow("12D3b", ("/ip4/5.6.7.8/tcp/1",)))
    assert store.peers() == (PeerRow("12D3a", ()), PeerRow("12D3b", ("/ip4/5.6.7.8/tcp/1",)))
    with store.transaction() as tx:
        tx.delete_peer("12D3b")
        tx.delete_meta("nothing there")
    assert store.peer("12D3b") is None
    assert store.peer("12D3a") == PeerRow("12D3a", ())


def test_a_page_has_a_bound_whatever_the_caller_names(store: Store) -> None:
    with store.transaction() as tx:
        for number in range(PAGE_SIZE_MAX + 5):
            tx.append_feed(FeedRow(G, "message", 1, None, b"%d" % number, b"", 0))
    assert len(store.feed(0, 10**9)) == PAGE_SIZE_MAX
    assert len(store.feed(PAGE_SIZE_MAX, 10**9)) == 5


@pytest.mark.parametrize(
    "row",
    [
        GroupRow(b"g", "hunter2", 1, b"hunter2", "ok", False, False, b"hunter2"),
        CandidateRow(b"g", 1, b"c", b"hunter2", b"hunter2"),
        IntentRow(b"i", b"g", "add", b"hunter2", "queued", None, None, 0),
        FeedRow(b"g", "message", 1, "hunter2", b"m", b"hunter2", 0),
        MessageRow(b"g", 1, b"m", b"hunter2", 0),
        ParkedRow(b"g", 1, b"m", b"hunter2"),
        OutboxRow(b"g", "welcome", 1, None, b"hunter2", 0),
        KeyPackageRow(b"r", b"hunter2"),
        PeerRow("12D3", (), "hunter2"),
    ],
)
def test_secrets_plaintexts_and_names_stay_out_of_a_rows_repr(row: object) -> None:
    assert "hunter2" not in repr(row)


def test_every_row_is_a_frozen_value() -> None:
    rows = [value for name, value in vars(store_rows).items() if name.endswith("Row")]
    assert len(rows) == 11
    assert all(row.__dataclass_params__.frozen and "__slots__" in vars(row) for row in rows)


def test_the_feed_can_be_asked_for_one_kind(store: Store) -> None:
    """A page of messages is not filled up with decisions, and an epoch's entries are found without a scan."""
    with store.transaction() as tx:
        for epoch, kind, sender in [(1, "decision", "me"), (1, "message", "me"), (2, "message", "you")]:
            tx.append_feed(FeedRow(G, kind, epoch, sender, None, b"", 0))
        tx.append_feed(FeedRow(H, "message", 1, "you", None, b"", 0))
    assert [row.seq for row in store.feed_of_kind(G, "message", 0, 10)] == [2, 3]
    assert [row.seq for row in store.feed_of_kind(G, "message", 2, 10)] == [3]
    assert [row.seq for row in store.feed_of_kind(G, "message", 0, 1)] == [2]
    assert [row.seq for row in store.feed_of_epochs(G, "message", 1, 1)] == [2]
    assert [row.seq for row in store.feed_of_epochs(G, "decision", 0, 9)] == [1]
    assert store.unread_count(G, "message", 0, "me") == 1
    assert store.unread_count(G, "message", 3, "me") == 0
