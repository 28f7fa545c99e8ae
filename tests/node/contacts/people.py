"""A small world of nodes as people use them: each member with the Service that its commands talk to."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from node.api import contact_schema, schema
from node.api.errors import ApiError, ErrorCode
from node.service import NodeService
from tests.node.world import SUITE, Member, World, open_world, until

NOTHING = schema.Nothing()


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the world, asked as its commands would ask it."""

    member: Member

    @property
    def service(self) -> NodeService:
        return NodeService(self.member.node)

    @property
    def peer_id(self) -> str:
        return self.member.peer_id

    async def card(self) -> str:
        return (await self.service.contact_card(NOTHING)).card

    async def meet(self, other: "Person", name: str | None = None) -> contact_schema.Contact:
        """Take in another's card."""
        return await self.service.contact_add(contact_schema.ContactAddRequest(card=await other.card(), name=name))

    async def contact(self, name: str) -> contact_schema.Contact:
        return await self.service.contact_show(contact_schema.ContactRequest(contact=name))

    async def found(self, name: str = "lunch") -> schema.GroupDetail:
        return await self.service.group_create(schema.GroupCreateRequest(name=name, suite=SUITE))

    async def add(self, other: "Person", group: str = "lunch") -> schema.IntentResult:
        return await self.service.group_add(schema.GroupAddRequest(group=group, peer=other.peer_id))

    async def group(self, name: str = "lunch") -> schema.GroupDetail:
        return await self.service.group_show(schema.GroupRequest(group=name))

    async def groups(self) -> list[str]:
        return [one.name for one in (await self.service.group_list(NOTHING)).groups if one.is_member]

    async def invitations(self) -> tuple[contact_schema.Invitation, ...]:
        return (await self.service.group_invitations(NOTHING)).invitations

    async def say(self, text: str, group: str = "lunch") -> None:
        await self.service.group_send(schema.GroupSendRequest(group=group, text=text))

    async def heard(self, group: str = "lunch") -> list[str]:
        page = await self.service.group_read(schema.GroupReadRequest(group=group))
        return [message.text for message in page.messages]

    async def hears(self, text: str, group: str = "lunch") -> None:
        """Wait until a message is there."""
        with trio.fail_after(60):
            while text not in await self.heard(group):  # noqa: ASYNC110 - nobody signals it across nodes
                await trio.sleep(0.05)

    async def ends_in(self, *names: str) -> None:
        """Wait until this node is in exactly these groups."""
        with trio.fail_after(120):
            while await self.groups() != list(names):  # noqa: ASYNC110 - likewise
                await trio.sleep(0.05)


@asynccontextmanager
async def open_people(folder: Path, *names: str, accept: str = "contacts") -> AsyncIterator[tuple[World, list[Person]]]:
    """People with new nodes, connected to each other, none of them anybody's contact."""
    async with open_world(folder) as world:
        world.accept = accept  # type: ignore[assignment]
        yield world, [Person(await world.member(name)) for name in names]


async def refused(asked: Awaitable[object], code: ErrorCode) -> ApiError:
    """The refusal, which has to have this code."""
    with pytest.raises(ApiError) as caught:
        await asked
    assert caught.value.code is code, caught.value.message
    return caught.value


__all__ = ["NOTHING", "Person", "World", "open_people", "refused", "until"]
