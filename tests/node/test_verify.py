"""`log verify`: a sound chain passes, and each way of breaking it is found and named with its epoch."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mls import ed25519_generate, ed25519_sign
from node.api.errors import ApiError, ErrorCode
from node.api.schema import VerifyReport
from node.chain_file import ChainFile, read_chain
from node.holding import Extra
from node.identity import Identity
from node.store import Store, StoreKeyError, open_store
from node.store_rows import DecisionRow, GroupRow, GuardRow
from node.vault import StoreKey
from node.verify import check_stored, verify_file, verify_group
from ordering import (
    Bundle,
    Candidate,
    Certificate,
    Decision,
    Freeze,
    FreezeReason,
    InstanceRecord,
    Justification,
    LogEntry,
    SignedVote,
    VoteKind,
    instance_id,
    vote_bytes,
)
from tests.node.chain_world import GROUP_ID, Chance, Founder

KEY = StoreKey(bytes(range(32)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db", KEY.value) as store:
        yield store


@pytest.fixture
def founder(store: Store) -> Founder:
    """A group at epoch 4: a member came in epoch 2 and went in epoch 4."""
    founder = Founder(store)
    guest = Identity.generate(founder.random)
    founder.decide()
    founder.add(guest)
    founder.decide()
    founder.remove(guest)
    return founder


@pytest.fixture
def four(store: Store) -> Founder:
    """Three epochs decided by four voters, the last of which removed us."""
    founder = Founder(store, voters=4)
    founder.decide()
    founder.decide()
    founder.leave()
    return founder


def checked(store: Store) -> VerifyReport:
    return check_stored(store, store.groups()[0])


def found(store: Store) -> list[tuple[int, str]]:
    """The problems, as (epoch, text)."""
    report = checked(store)
    assert report.ok is (not report.problems)
    return [(problem.epoch, problem.text) for problem in report.problems]


def row_of(store: Store, epoch: int) -> DecisionRow:
    row = store.decision(GROUP_ID, epoch)
    assert row is not None
    return row


def overwrite(store: Store, row: DecisionRow) -> None:
    """Damage: the store itself would never replace a decision."""
    store._rows("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?)", *(getattr(row, n) for n in row.__slots__))


def candidate_of(row: DecisionRow) -> Candidate:
    assert row.candidate is not None
    return Candidate.decode(row.candidate)


def resigned(founder: Founder, decision: Decision, *, voters: int, view: int = 0) -> Decision:
    """The same decision with the signatures of the first so many voters."""
    message = [
        vote_bytes(decision.instance, VoteKind.FINALIZE, view, voter, decision.id) for voter in range(len(founder.keys))
    ]
    signatures = tuple((v, ed25519_sign(key, message[v])) for v, key in enumerate(founder.keys[:voters]))
    certificate = Certificate(decision.instance, VoteKind.FINALIZE, view, decision.id, signatures)
    return msgspec.structs.replace(decision, certificate=certificate)


def test_a_sound_chain_passes_and_says_what_was_checked(founder: Founder, store: Store) -> None:
    report = checked(store)

    assert (report.ok, report.problems) == (True, ())
    assert (report.anchor, report.first_epoch, report.last_epoch) == ("genesis", 1, 4)
    assert (report.decision_count, report.signature_count) == (4, 4)
    assert report.head_id == founder.holding.extra.prev.hex()
    assert len(report.epoch_fingerprint) == 32


def test_a_group_that_has_decided_nothing_passes(store: Store) -> None:
    Founder(store)

    report = checked(store)

    assert (report.ok, report.decision_count, report.head_id) == (True, 0, "")
    assert (report.first_epoch, report.last_epoch) == (0, 0)


def test_a_removed_groups_chain_is_checked_to_its_end(four: Founder, store: Store) -> None:
    """Four voters, three signatures each; the decision that removed us included, the group's value gone."""
    report = checked(store)

    assert (report.ok, report.problems) == (True, ())
    assert (report.decision_count, report.signature_count, report.last_epoch) == (3, 9, 3)
    assert report.epoch_fingerprint == ""


def test_verify_reads_beside_a_running_node_and_changes_nothing(founder: Founder, store: Store, tmp_path: Path) -> None:
    """The store is open for writing in `store`, as a daemon has it."""
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}

    assert verify_group(tmp_path, "book club", KEY) == checked(store)
    assert verify_group(tmp_path, GROUP_ID.hex()[:8], KEY).ok
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
    founder.decide()
    assert verify_group(tmp_path, "book club", KEY).last_epoch == 5


def test_verify_needs_no_node(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db", KEY.value) as store:
        Founder(store).decide()

    assert verify_group(tmp_path, "book club", KEY).ok


def test_an_unknown_group_and_a_wrong_key_are_refused(founder: Founder, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as refused:
        verify_group(tmp_path, "bok club", KEY)
    assert (refused.value.code, refused.value.hint) == (ErrorCode.GROUP_NOT_FOUND, "did you mean 'book club'?")
    with pytest.raises(StoreKeyError):
        verify_group(tmp_path, "book club", StoreKey(bytes(32)))


def test_a_member_that_joined_later_starts_where_it_joined(founder: Founder, store: Store) -> None:
    """Decisions of an earlier membership, before the anchor, are not its business."""
    first, second = (Decision.decode(row_of(store, epoch).decision) for epoch in (1, 2))
    anchor = msgspec.structs.replace(founder.holding.extra.anchor, epoch=2, prev=first.id, descriptor=second.descriptor)
    rewrite_extra(store, anchor=anchor)
    store._rows("DELETE FROM decisions WHERE epoch = 1")

    report = checked(store)

    assert (report.ok, report.anchor) == (True, "joined at epoch 2")
    assert (report.first_epoch, report.last_epoch, report.decision_count) == (3, 4, 2)


def test_too_few_signatures_are_found(four: Founder, store: Store) -> None:
    row = row_of(store, 1)
    overwrite(store, replace(row, decision=resigned(four, Decision.decode(row.decision), voters=2).encode()))

    assert [epoch for epoch, text in found(store) if "not exactly q votes" in text] == [2]
    assert len(found(store)) == 1


def test_a_false_signature_is_found(four: Founder, store: Store) -> None:
    row = row_of(store, 1)
    decision = Decision.decode(row.decision)
    signatures = [list(one) for one in decision.certificate.signatures]
    signatures[2][1] = bytes(64)
    certificate = msgspec.structs.replace(decision.certificate, signatures=tuple(map(tuple, signatures)))
    overwrite(store, replace(row, decision=msgspec.structs.replace(decision, certificate=certificate).encode()))

    assert found(store) == [(2, "a Finalize signature does not verify (ordering Decision)")]


def test_a_decision_by_another_committee_is_found(four: Founder, store: Store) -> None:
    """Signed by a quorum, only not by that of the voters the decision before it announced."""
    row = row_of(store, 1)
    decision, candidate = Decision.decode(row.decision), candidate_of(row)
    stranger = ed25519_generate(Chance(9))
    descriptor = type(decision.descriptor)(1, decision.descriptor.model, 1, (stranger.public,))
    instance = instance_id(GROUP_ID, 1, descriptor, decision.prev)
    usurped = Candidate(instance, 0, 0, candidate.bundle, candidate.signature)
    vote = ed25519_sign(stranger, vote_bytes(instance, VoteKind.FINALIZE, 0, 0, usurped.id))
    forged = Decision(
        GROUP_ID, 1, decision.prev, descriptor, Certificate(instance, VoteKind.FINALIZE, 0, usurped.id, ((0, vote),))
    )
    overwrite(store, DecisionRow(GROUP_ID, 1, forged.id, forged.encode(), usurped.encode()))

    texts = [text for epoch, text in found(store) if epoch == 2]
    assert any("another committee than its predecessor announced" in text for text in texts)
    assert any("commit was made for another instance" in text for text in texts)
    assert any(epoch == 3 and "does not follow the bundle decided before it" in text for epoch, text in found(store))


def test_a_gap_is_found_and_what_follows_is_still_checked(founder: Founder, store: Store) -> None:
    store._rows("DELETE FROM decisions WHERE epoch = 1")
    row = row_of(store, 3)
    overwrite(store, replace(row, candidate=None))

    assert found(store) == [
        (2, "the decision that began epoch 2 is missing"),
        (4, "the decided bundle is not stored"),
    ]
    assert checked(store).signature_count == 3


def test_a_chain_that_stops_short_of_the_group_is_found(founder: Founder, store: Store) -> None:
    store._rows("DELETE FROM decisions WHERE epoch >= 2")

    assert found(store) == [
        (3, "the decisions that began epochs 3 to 4 are missing"),
        (4, "the group's state builds on another bundle than the last one decided"),
    ]


def test_a_decision_beyond_the_group_is_found(founder: Founder, store: Store) -> None:
    overwrite(store, replace(row_of(store, 3), epoch=7))

    assert found(store) == [(8, "a decision of an epoch that this node, in 4, has not reached")]


def test_a_decision_in_anothers_place_is_found(founder: Founder, store: Store) -> None:
    """Two rows changed places: each is certified, neither is linked."""
    one, two = row_of(store, 1), row_of(store, 2)
    overwrite(store, replace(two, epoch=1))
    overwrite(store, replace(one, epoch=2))

    problems = found(store)

    assert any(epoch == 2 and "stands where epoch 1 belongs" in text for epoch, text in problems)
    assert any(epoch == 3 and "stands where epoch 2 belongs" in text for epoch, text in problems)
    assert checked(store).signature_count == 4


def test_another_candidate_than_the_decided_one_is_found(founder: Founder, store: Store) -> None:
    row = row_of(store, 1)
    candidate = candidate_of(row)
    other = Bundle(candidate.bundle.commit + b"!", (), b"", candidate.bundle.descriptor)
    overwrite(store, replace(row, candidate=msgspec.structs.replace(candidate, bundle=other).encode()))

    assert found(store) == [(2, "the stored candidate is not the decided one")]


def test_a_row_that_names_another_candidate_is_found(founder: Founder, store: Store) -> None:
    overwrite(store, replace(row_of(store, 1), candidate_id=bytes(32)))

    assert found(store) == [(2, "the row names another candidate than its Decision decided")]


def test_a_candidate_without_its_authors_signature_is_found(founder: Founder, store: Store) -> None:
    row = row_of(store, 1)
    overwrite(store, replace(row, candidate=msgspec.structs.replace(candidate_of(row), signature=b"").encode()))

    assert found(store) == [(2, "the decided candidate is not signed by its author")]


def test_a_candidate_under_anothers_name_is_found(founder: Founder, store: Store) -> None:
    """The author is not part of the decided id, so only the commit inside tells."""
    row = row_of(store, 1)
    overwrite(store, replace(row, candidate=msgspec.structs.replace(candidate_of(row), author=1).encode()))

    assert found(store) == [(2, "the decided commit is by another leaf than the candidate's author")]


@pytest.mark.parametrize("column", ["decision", "candidate"])
def test_bytes_that_cannot_be_read_are_found(founder: Founder, store: Store, column: str) -> None:
    overwrite(store, replace(row_of(store, 1), **{column: b"\xc1"}))  # type: ignore[arg-type]

    [(epoch, text)] = found(store)

    assert epoch == 2
    assert "cannot be read" in text


def test_a_group_state_that_builds_on_something_else_is_found(founder: Founder, store: Store) -> None:
    rewrite_extra(store, prev=bytes(32))

    assert found(store) == [(4, "the group's state builds on another bundle than the last one decided")]


def test_a_group_value_of_another_epoch_is_found(store: Store) -> None:
    founder = Founder(store)
    founder.decide()
    old = founder.group.to_bytes()
    founder.decide()
    rewrite_group(store, snapshot=old)
    assert found(store) == [(2, "the stored group value is of another group, or of epoch 1")]
    rewrite_group(store, snapshot=None)
    assert found(store) == [(2, "the group's value is not stored")]
    rewrite_group(store, snapshot=b"\0")
    [(epoch, text)] = found(store)
    assert (epoch, text.partition(":")[0]) == (2, "the stored group value cannot be used")


def test_a_tree_that_elects_another_committee_is_found(store: Store) -> None:
    """The chain announces four voters; the one leaf of the tree elects one."""
    founder = Founder(store, voters=4)
    founder.decide()

    assert found(store) == [(1, "the tree elects another committee than the last decision announced")]


def test_a_guard_that_is_missing_or_behind_is_found(founder: Founder, store: Store) -> None:
    """Behind it, this node could sign a second time."""
    store._rows("UPDATE guards SET epoch = 3")
    assert found(store) == [(4, "the guard stands in epoch 3, behind the decision of 3")]
    store._rows("DELETE FROM guards")
    assert found(store) == [(4, "there is no guard, although epochs were decided here")]


@pytest.mark.parametrize(
    ("kind", "stands", "is_behind"),
    [
        (VoteKind.NOTARIZE, (4, 0, 1), False),
        (VoteKind.NOTARIZE, (4, 0, 0), True),
        (VoteKind.FINALIZE, (4, 0, 1), True),
        (VoteKind.FINALIZE, (4, 1, 1), False),
    ],
)
def test_a_guard_behind_our_own_votes_is_found(
    founder: Founder, store: Store, kind: VoteKind, stands: tuple[int, int, int], is_behind: bool
) -> None:
    instance, candidate = bytes(32), bytes(32)
    vote = SignedVote(instance, kind, 0, 0, candidate, bytes(64))
    proof = Justification(instance, 0, None, ())
    record = InstanceRecord(GROUP_ID, 4, instance, 0, proof, None, (vote,), None, (), (), (candidate,))
    with store.transaction() as tx:
        tx.put_ordering_record(GROUP_ID, 4, "instance", record.encode())
    store._rows("UPDATE guards SET epoch = ?, view = ?, step = ?", *stands)

    assert found(store) == ([(4, "the guard is behind our own votes in view 0")] if is_behind else [])


def test_a_decision_not_entered_yet_is_checked_and_no_problem(founder: Founder, store: Store) -> None:
    """Decided, its bundle still on the way: the guard has moved on, the group has not."""
    decision = founder.certify(founder.build().candidate)
    row = DecisionRow(GROUP_ID, 4, decision.id, decision.encode(), None)
    overwrite(store, row)
    assert found(store) == [(4, "the guard stands in epoch 4, behind the decision of 4")]
    with store.transaction() as tx:
        tx.put_guard(replace(present_guard(store), epoch=5))
    assert found(store) == []
    false = msgspec.structs.replace(decision.certificate, signatures=((0, bytes(64)),))
    overwrite(store, replace(row, decision=msgspec.structs.replace(decision, certificate=false).encode()))
    assert found(store) == [(5, "a Finalize signature does not verify (ordering Decision)")]


def test_a_frozen_group_is_not_well(founder: Founder, store: Store) -> None:
    one, two = (founder.certify(founder.build().candidate) for _ in range(2))
    freeze = Freeze(FreezeReason.TWO_DECISIONS, (one, two), None)
    with store.transaction() as tx:
        tx.put_ordering_record(GROUP_ID, 4, "freeze", freeze.encode())

    assert found(store) == [(5, "the group is frozen: two decisions")]


def test_a_group_without_its_record_is_checked_from_the_first_decision(founder: Founder, store: Store) -> None:
    rewrite_group(store, extra=b"\xc1")

    report = checked(store)

    assert (report.ok, report.anchor, report.signature_count) == (False, "unknown", 4)
    assert [problem.epoch for problem in report.problems] == [4]


def test_every_problem_is_named_not_only_the_first(founder: Founder, store: Store) -> None:
    for epoch in range(4):
        row = row_of(store, epoch)
        overwrite(store, replace(row, candidate=msgspec.structs.replace(candidate_of(row), signature=b"").encode()))

    assert [epoch for epoch, _ in found(store)] == [1, 2, 3, 4]


def test_an_exported_chain_can_be_checked_without_the_node(four: Founder, store: Store) -> None:
    exported = read_chain(store, four.holding.extra.anchor).encode()

    report = verify_file(exported)

    assert (report.ok, report.group_id, report.anchor) == (True, GROUP_ID.hex(), "genesis")
    assert (report.first_epoch, report.last_epoch, report.signature_count) == (1, 3, 9)
    assert report.head_id == four.holding.extra.prev.hex()


def test_a_forged_export_is_found(four: Founder, store: Store) -> None:
    exported = read_chain(store, four.holding.extra.anchor)
    first, second, third = exported.entries
    forged = LogEntry(second.decision, bytes(32), second.announced)

    report = verify_file(ChainFile(exported.anchor, (first, forged, third)).encode())
    gap = verify_file(ChainFile(exported.anchor, (first, third)).encode())

    assert [problem.epoch for problem in report.problems] == [2]
    assert "decided another bundle than the entry describes" in report.problems[0].text
    assert [problem.text for problem in gap.problems] == ["the decision that began epoch 2 is missing"]
    with pytest.raises(ApiError, match="no exported chain"):
        verify_file(b"\x90")


def test_an_export_ends_where_the_store_does(founder: Founder, store: Store) -> None:
    overwrite(store, replace(row_of(store, 2), candidate=None))

    assert len(read_chain(store, founder.holding.extra.anchor).entries) == 2


def present_guard(store: Store) -> GuardRow:
    guard = store.guard(GROUP_ID)
    assert guard is not None
    return guard


def rewrite_group(store: Store, **changes: object) -> None:
    row: GroupRow = store.groups()[0]
    with store.transaction() as tx:
        tx.put_group(replace(row, **changes))  # type: ignore[arg-type]


def rewrite_extra(store: Store, **changes: object) -> None:
    extra = Extra.decode(store.groups()[0].extra)
    rewrite_group(store, extra=msgspec.structs.replace(extra, **changes).encode())
