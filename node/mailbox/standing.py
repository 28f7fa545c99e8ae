"""How the mailboxes that this node uses are doing, as the local API shows it: for one group, and for all together."""

from collections.abc import Iterable
from typing import Final, cast

from node.api import schema
from node.context import NodeContext
from node.session import Session
from node.transport import peer_of

OK: Final = "ok"
UNUSED: Final = "unused"


def group_mailbox(context: NodeContext, session: Session, address: str) -> schema.GroupMailbox:
    """One of a group's mailboxes."""
    peer = peer_of(address)
    standing, fault = session.mailboxes.judge.standings.get(address), context.store.mailbox_fault(peer)
    state = UNUSED if standing is None else OK if standing.fault is None else standing.fault.value
    if standing is not None and standing.fault is None and not standing.reached_ms:
        state = UNUSED  # the first answer has not come yet
    return schema.GroupMailbox(
        peer_id=peer,
        address=address,
        state=cast(schema.MailboxState, state),
        detail="" if standing is None else standing.detail,
        reached_at=standing.reached_ms / 1000 if standing is not None and standing.reached_ms else None,
        fault_count=0 if fault is None else fault.count,
        last_fault="" if fault is None else f"{fault.kind}: {fault.detail}",
        last_fault_at=None if fault is None else fault.at_ms / 1000,
        lacking_count=context.store.open_deposit_count(session.group_id, peer),
    )


def node_mailboxes(context: NodeContext, sessions: Iterable[Session]) -> tuple[schema.NodeMailbox, ...]:
    """Every mailbox of this node's groups, each once: how it did where it did worst."""
    found: dict[str, list[schema.GroupMailbox]] = {}
    for session in sessions:
        for address in session.mailboxes.addresses:
            one = group_mailbox(context, session, address)
            found.setdefault(one.peer_id, []).append(one)
    return tuple(_together(each) for each in found.values())


def _together(of_groups: list[schema.GroupMailbox]) -> schema.NodeMailbox:
    worst = max(of_groups, key=lambda each: (each.state not in (OK, UNUSED), each.state == OK))
    return schema.NodeMailbox(
        peer_id=worst.peer_id,
        address=worst.address,
        state=worst.state,
        detail=worst.detail,
        reached_at=max((each.reached_at for each in of_groups if each.reached_at is not None), default=None),
        fault_count=worst.fault_count,
        last_fault=worst.last_fault,
        last_fault_at=worst.last_fault_at,
        lacking_count=sum(each.lacking_count for each in of_groups),
        group_count=len(of_groups),
    )
