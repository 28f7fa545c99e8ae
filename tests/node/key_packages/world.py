"""Members and the replicas of their key packages as nodes on the memory network."""

import msgspec

from node.config import KeyPackagesSection, MailboxSection
from node.store_rows import KEY_PACKAGE_AVAILABLE, KEY_PACKAGE_CLAIMED, KEY_PACKAGE_ONE_TIME, KeyPackageRow
from tests.node.world import SUITE, Member, World, until

POOL = 10
OWN = 2  # of them, which the owner hands out itself


async def replicas(world: World, *names: str) -> list[Member]:
    """Nodes that serve, as mailboxes too, and are in no group; members made after this use them."""
    world.suite = SUITE
    world.mailbox = MailboxSection(serve=True, quota_mb=64)
    world.key_packages = KeyPackagesSection(serve=True, pool=1)
    boxes = [await world.member(name, alone=True) for name in names]
    addresses = tuple(box.address for box in boxes)
    world.mailbox = MailboxSection(use=addresses)
    world.key_packages = KeyPackagesSection(pool=POOL, replenish_below=4, replicas=addresses)
    return boxes


async def published(*members: Member) -> None:
    """Until all their replicas have what they publish, which is all that there is to be."""
    await until(lambda: all(len(lent(member)) == POOL - OWN for member in members))
    await until(lambda: all(member.node.publishing.is_complete for member in members))


def packages(member: Member, state: str = KEY_PACKAGE_AVAILABLE) -> tuple[KeyPackageRow, ...]:
    """A member's one-time packages in the suite of the tests."""
    return member.node.context.store.key_packages(KEY_PACKAGE_ONE_TIME, state, SUITE)


def lent(member: Member, state: str = KEY_PACKAGE_AVAILABLE) -> list[KeyPackageRow]:
    """Those of them that are at its replicas."""
    return [row for row in packages(member, state) if row.place]


def configured(member: Member, **settings: object) -> None:
    """Other settings of key packages, from the next start on."""
    section = msgspec.structs.replace(member.config.key_packages, **settings)
    member.config = msgspec.structs.replace(member.config, key_packages=section)


__all__ = ["KEY_PACKAGE_CLAIMED", "OWN", "POOL", "configured", "lent", "packages", "published", "replicas"]
