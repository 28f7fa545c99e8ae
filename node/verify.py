"""Re-checking a group's decided chain offline: nothing is believed that its certificates do not show.

`verify_group` reads a store, also beside a running node, and trusts one thing in it: the anchor, where this node's own
knowledge of the chain begins. `verify_file` does the same for an exported chain. Both name every problem they find
and go on behind it, so that one damaged row does not hide another.

Epochs are counted as `group log` counts them: a decision belongs to the epoch that it *begins*.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mls import GroupConfig, MlsError, PublicGroup
from node.api.errors import ApiError, ErrorCode
from node.api.schema import VerifyReport
from node.api.select import Named, pick
from node.chain_file import ChainFile
from node.chain_walk import Problems, Walk
from node.data_dir import DataDir
from node.electorate import RuleError, voting_of
from node.holding import Extra, stored_group
from node.instance_setup import fingerprint
from node.ordering_records import FOLLOWED
from node.store import open_store
from node.store_reads import PAGE_SIZE_MAX, StoreReads
from node.store_rows import DecisionRow, GroupRow, GuardRow
from node.vault import StoreKey
from ordering import (
    Freeze,
    InstanceRecord,
    OrderingError,
    VoteKind,
)

INSTANCE_RECORD: Final = "instance"
FREEZE_RECORD: Final = "freeze"


def verify_group(data_dir: Path, group: str, key: StoreKey) -> VerifyReport:
    """Check a group's stored chain. Raises ApiError for an unknown group, `StoreError` for a store that does not open.

    Reads only, and at one moment: the node may be running.
    """
    with open_store(DataDir(data_dir).store_path, key.value, read_only=True) as store, store.snapshot():
        rows = {row.group_id.hex(): row for row in store.groups()}
        found = rows[pick("group", group, [Named(id, row.name) for id, row in rows.items()]).id]
        return check_stored(store, found)


def check_stored(store: StoreReads, row: GroupRow) -> VerifyReport:
    """Check one group of an open store."""
    problems = Problems()
    try:
        extra = Extra.decode(row.extra)
    except OrderingError as error:
        problems.add(row.epoch, f"the group's own record cannot be read: {error}")
        extra = None
    walk = Walk(problems, row.group_id, None if extra is None else extra.anchor)
    head_epoch = row.epoch + 1 if row.removed else row.epoch  # the decision that removes us ends our last epoch
    ahead = False
    for decided in stored_decisions(store, row.group_id, walk.start_epoch):
        if decided.epoch == head_epoch and not row.removed:
            ahead = True  # decided, not entered yet: its bundle is being fetched, or did not open for us
            Walk(problems, row.group_id, None, walk.expected).take(decided, needs_candidate=False)
        elif decided.epoch >= head_epoch:
            problems.add(decided.epoch + 1, f"a decision of an epoch that this node, in {row.epoch}, has not reached")
        else:
            walk.take(decided)
    walk.end(head_epoch)
    if extra is not None and extra.prev != walk.expected.prev:
        problems.add(head_epoch, "the group's state builds on another bundle than the last one decided")
    check_guard(store, row, walk, problems, decided_to=head_epoch + 1 if ahead else head_epoch)
    shown = check_value(store, row, walk, problems)
    check_freeze(store, row, problems)
    return walk.report(row.name, shown)


def verify_file(data: bytes) -> VerifyReport:
    """Check an exported chain from the anchor it names. Raises ApiError for bytes that are no export.

    Whether the anchor is the right one is for the reader to know: compare it with what was seen when joining.
    """
    try:
        exported = ChainFile.decode(data)
    except OrderingError as error:
        raise ApiError(ErrorCode.BAD_REQUEST, f"this is no exported chain: {error}") from error
    walk = Walk(Problems(), exported.anchor.group_id, exported.anchor)
    for entry in exported.entries:
        walk.follow(entry)
    return walk.report("", "")


def check_guard(store: StoreReads, row: GroupRow, walk: Walk, problems: Problems, *, decided_to: int) -> None:
    """The guard may not be behind what this node has decided or signed: it would let us sign twice."""
    guard = store.guard(row.group_id)
    if walk.decision_count or decided_to > row.epoch + row.removed:
        if guard is None:
            problems.add(row.epoch, "there is no guard, although epochs were decided here")
            return
        if guard.epoch < decided_to:
            problems.add(row.epoch, f"the guard stands in epoch {guard.epoch}, behind the decision of {decided_to - 1}")
    for key, body in store.ordering_records(row.group_id, row.epoch):
        if key == INSTANCE_RECORD:
            check_own_votes(body, row, guard, problems)


def check_own_votes(body: bytes, row: GroupRow, guard: GuardRow | None, problems: Problems) -> None:
    """The votes we have cast in the running epoch lie at or below the guard."""
    try:
        record = InstanceRecord.decode(body)
    except OrderingError as error:
        problems.add(row.epoch, f"the record of the running instance cannot be read: {error}")
        return
    if not record.votes:
        return
    step = 1 if all(vote.kind is VoteKind.NOTARIZE for vote in record.votes) else 2
    stands = (-1, -1, -1) if guard is None else (guard.epoch, guard.view, guard.step)
    if stands < (record.epoch, record.view, step):
        problems.add(row.epoch, f"the guard is behind our own votes in view {record.view}")


def check_value(store: StoreReads, row: GroupRow, walk: Walk, problems: Problems) -> str:
    """The group value is of this epoch and elects the committee the chain announced; returns its fingerprint.

    Of an epoch that we were cut off from there is only the public half, and no fingerprint.
    """
    if row.removed:
        return ""
    if row.snapshot is None:
        problems.add(row.epoch, "the group's value is not stored")
        return ""
    followed = dict(store.ordering_records(row.group_id, row.epoch)).get(FOLLOWED)
    try:
        group = stored_group(row, GroupConfig())
        assert group is not None
        public = group.public if followed is None else PublicGroup.from_bytes(followed)
        descriptor = voting_of(public).committee.descriptor
    except (MlsError, RuleError) as error:
        problems.add(row.epoch, f"the stored group value cannot be used: {error}")
        return ""
    if (public.group_id, public.epoch) != (row.group_id, row.epoch):
        problems.add(row.epoch, f"the stored group value is of another group, or of epoch {public.epoch}")
    elif walk.expected.descriptor is not None and descriptor != walk.expected.descriptor:
        problems.add(row.epoch, "the tree elects another committee than the last decision announced")
    return fingerprint(group).hex() if followed is None else ""


def check_freeze(store: StoreReads, row: GroupRow, problems: Problems) -> None:
    """Proof of more liars than the committee tolerates is a problem, even where this chain holds."""
    for key, body in store.ordering_records(row.group_id, row.epoch):
        if key != FREEZE_RECORD:
            continue
        try:
            reason = Freeze.decode(body).reason.name.lower().replace("_", " ")
        except OrderingError as error:
            reason = f"its record cannot be read: {error}"
        problems.add(row.epoch + 1, f"the group is frozen: {reason}")


def stored_decisions(store: StoreReads, group_id: bytes, from_epoch: int) -> Iterable[DecisionRow]:
    """Every stored decision from an epoch on, oldest first."""
    while page := store.decisions(group_id, from_epoch, PAGE_SIZE_MAX):
        yield from page
        from_epoch = page[-1].epoch + 1
