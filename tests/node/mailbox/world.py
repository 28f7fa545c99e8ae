"""Members and mailboxes as nodes on the memory network."""

from collections.abc import Sequence

from node import feed
from node.config import MailboxSection
from tests.node.world import Member, World


async def mailboxes(world: World, *names: str, quota_mb: int = 64) -> list[Member]:
    """Nodes that serve and are in no group; members made after this use them."""
    world.mailbox = MailboxSection(serve=True, quota_mb=quota_mb)
    boxes = [await world.member(name, alone=True) for name in names]
    use(world, boxes)
    return boxes


def use(world: World, boxes: Sequence[Member]) -> None:
    """Members made from now on use these."""
    world.mailbox = MailboxSection(use=tuple(box.address for box in boxes))


def texts(member: Member) -> list[str]:
    """What a member has read, in the order of its feed."""
    rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, 0, 1000)
    said = []
    while rows:
        said += [feed.MessageBody.decode(row.body).text for row in rows]
        rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, rows[-1].seq, 1000)
    return said


def stored(member: Member, text: str) -> int:
    """At how many mailboxes a message of a member's own is stored."""
    rows = member.node.context.store.feed_of_kind(member.session.group_id, feed.MESSAGE, 0, 1000)
    (id,) = [row.message_id for row in rows if feed.MessageBody.decode(row.body).text == text]
    assert id is not None
    return member.session.mailboxes.stored_at(id)
