"""The ordering layer's durable records in the node's store: the guard, the instance, the decisions, the freeze."""

from node.store import Store
from node.store_rows import DecisionRow, GuardRow
from node.store_writes import Transaction
from ordering import Decision, Freeze, Guard, InstanceRecord, Record

INSTANCE = "instance"
FREEZE = "freeze"
HURRIED = "hurried"  # in an epoch that a commit of class 0 began, none goes first
FOLLOWED = "followed"  # the public state of an epoch whose secrets we do not have: `Holding.followed`


def put_record(
    transaction: Transaction,
    group_id: bytes,
    epoch: int,
    record: Record,
    candidate: bytes | None = None,
    at_ms: int = 0,
) -> None:
    """Write one record of a step (R12); of a Decision `candidate` is the bundle, if it is here, `at_ms` the time."""
    match record:
        case Guard():
            transaction.put_guard(GuardRow(*(getattr(record, name) for name in Guard.__struct_fields__)))
        case InstanceRecord():
            transaction.put_ordering_record(group_id, epoch, INSTANCE, record.encode())
        case Freeze():
            transaction.put_ordering_record(group_id, epoch, FREEZE, record.encode())
        case Decision():
            transaction.put_decision(DecisionRow(group_id, epoch, record.id, record.encode(), candidate, at_ms))


def stored_guard(store: Store, group_id: bytes, epoch: int) -> Guard:
    """The group's guard. It came with the group, so a missing one was lost, and with it what it would have said."""
    row = store.guard(group_id)
    if row is None:
        return Guard.lost(group_id, epoch)
    return Guard(*(getattr(row, name) for name in Guard.__struct_fields__))


def stored_records(store: Store, group_id: bytes, epoch: int) -> tuple[Record, ...]:
    """What a restart goes on from; a Decision among it is one whose bundle was not here yet when we stopped."""
    kinds: dict[str, type[InstanceRecord] | type[Freeze]] = {INSTANCE: InstanceRecord, FREEZE: Freeze}
    rows = store.ordering_records(group_id, epoch)
    records: list[Record] = [kinds[key].decode(body) for key, body in rows if key in kinds]
    decision = stored_decision(store, group_id, epoch)
    return tuple(records) if decision is None else (*records, decision)


def was_hurried(store: Store, group_id: bytes, epoch: int) -> bool:
    """Whether a commit of class 0 began that epoch."""
    return any(kind == HURRIED for kind, _ in store.ordering_records(group_id, epoch))


def stored_decision(store: Store, group_id: bytes, epoch: int) -> Decision | None:
    """How an epoch ended, when that is known here."""
    row = store.decision(group_id, epoch)
    return None if row is None else Decision.decode(row.decision)
