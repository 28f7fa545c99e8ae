"""The decided log: a chain verifies offline, and with any one link bent it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ordering import Anchor, Bundle, Decision, InvalidError, LogEntry, find_fork, verify_chain, verify_entry
from tests.ordering.chains import GROUP, anchor_after, bundle_of, chain, committee_of, decide, genesis
from tests.ordering.keys import verify

ENTRIES = chain(9)


def with_signature(decision: Decision, signature: bytes) -> Decision:
    (voter, _), *rest = decision.certificate.signatures
    certificate = replace(decision.certificate, signatures=((voter, signature), *rest))
    return replace(decision, certificate=certificate)


def test_a_chain_verifies_from_genesis() -> None:
    assert verify_chain(genesis(), ENTRIES, verify) == anchor_after(ENTRIES)


def test_with_its_bundles_too() -> None:
    bundles = {entry.decision.id: bundle_of(entry.decision.epoch) for entry in ENTRIES}
    assert verify_chain(genesis(), ENTRIES, verify, bundles) == anchor_after(ENTRIES)


def test_from_any_anchor_on() -> None:
    assert verify_chain(anchor_after(ENTRIES[:4]), ENTRIES[4:], verify) == anchor_after(ENTRIES)
    assert verify_chain(Anchor.before(ENTRIES[5].decision), ENTRIES[5:], verify) == anchor_after(ENTRIES)


def test_committees_change_along_the_chain() -> None:
    """So the test above did check signatures of several."""
    assert [entry.decision.descriptor.size for entry in ENTRIES] == [1, 1, 3, 4, 4, 4, 7, 7, 7]


def test_an_empty_chain_proves_nothing_new() -> None:
    assert verify_chain(genesis(), [], verify) == genesis()


def bend(change: Callable[[LogEntry], LogEntry], position: int = 4) -> list[LogEntry]:
    return [change(entry) if i == position else entry for i, entry in enumerate(ENTRIES)]


def under(entry: LogEntry, **changes: object) -> LogEntry:
    """The same decision, made anew for another anchor."""
    d = entry.decision
    anchor = Anchor(d.group_id, d.epoch, d.prev, d.descriptor)
    anchor = replace(anchor, **changes)
    bundle = bundle_of(d.epoch)
    return LogEntry.of(decide(anchor, committee_of(d.epoch), bundle), bundle)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (bend(lambda e: replace(e, decision=with_signature(e.decision, b"f" * 64))), "signature does not verify"),
        (bend(lambda e: replace(e, body_hash=b"b" * 32)), "another bundle than"),
        (bend(lambda e: replace(e, announced=committee_of(1).descriptor)), "another bundle than"),
        (bend(lambda e: under(e, prev=b"p" * 32)), "does not follow"),
        (bend(lambda e: under(e, epoch=7)), "stands where epoch 4 belongs"),
        (ENTRIES[:3] + ENTRIES[4:], "stands where epoch 3 belongs"),
        ([*ENTRIES[:3], ENTRIES[4], ENTRIES[3]], "stands where epoch 3 belongs"),
        ([ENTRIES[0], *ENTRIES], "stands where epoch 1 belongs"),
    ],
    ids=["signature", "body", "announced", "prev", "epoch", "missing", "swapped", "repeated"],
)
def test_any_bent_link_is_refused(broken: list[LogEntry], says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        verify_chain(genesis(), broken, verify)


def test_a_committee_that_was_not_announced_is_refused() -> None:
    """The check that makes it a chain: each descriptor is the one the decided bundle before it announced."""
    entry = ENTRIES[4]
    usurpers = committee_of(0)
    bundle = bundle_of(4)
    decision = decide(Anchor.before(entry.decision), usurpers, bundle)
    with pytest.raises(InvalidError, match="another committee"):
        verify_chain(genesis(), [*ENTRIES[:4], LogEntry.of(decision, bundle)], verify)


def test_another_group_is_refused() -> None:
    anchor = replace(genesis(), group_id=b"another group")
    with pytest.raises(InvalidError, match="another group"):
        verify_chain(anchor, ENTRIES, verify)


def test_another_genesis_is_refused() -> None:
    with pytest.raises(InvalidError, match="does not follow"):
        verify_chain(Anchor.genesis(GROUP, b"another tree", committee_of(0).descriptor), ENTRIES, verify)


def test_too_few_votes_are_refused() -> None:
    decision = ENTRIES[6].decision
    certificate = replace(decision.certificate, signatures=decision.certificate.signatures[:-1])
    with pytest.raises(InvalidError, match="not exactly q"):
        replace(decision, certificate=certificate).check(verify)


def test_a_vote_by_an_unknown_seat_is_refused() -> None:
    decision = ENTRIES[6].decision
    *first, (_, signature) = decision.certificate.signatures
    certificate = replace(decision.certificate, signatures=(*first, (9, signature)))
    with pytest.raises(InvalidError, match="not exactly q"):
        replace(decision, certificate=certificate).check(verify)


def test_a_bundle_that_was_not_decided_is_refused() -> None:
    entry = ENTRIES[4]
    other = Bundle(b"another commit", (), b"", entry.announced)
    with pytest.raises(InvalidError, match="not decided"):
        verify_entry(Anchor.before(entry.decision), entry, verify, other)


def test_a_fork_is_two_valid_decisions_of_one_instance() -> None:
    known = ENTRIES[4].decision
    anchor = Anchor.before(known)
    other = decide(anchor, committee_of(4), Bundle(b"rival", (), b"", known.descriptor))
    fork = find_fork(known, other, verify)
    assert fork is not None
    assert (fork.first, fork.second) == (known, other)


def test_what_is_no_fork() -> None:
    """The same bundle by another certificate; another epoch; a forged rival."""
    known = ENTRIES[4].decision
    anchor = Anchor.before(known)
    forged = decide(anchor, committee_of(4), Bundle(b"rival", (), b"", known.descriptor))
    forged = with_signature(forged, b"f" * 64)
    for other in (decide(anchor, committee_of(4), bundle_of(4), view=3), ENTRIES[5].decision, forged):
        assert find_fork(known, other, verify) is None
