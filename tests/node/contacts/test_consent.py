"""Whose Welcome brings a node into a group: contacts' by default; others' wait for its user."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.api import schema
from node.api.contact_schema import ContactRequest, InvitationRequest
from node.api.errors import ErrorCode
from node.contacts import consent
from node.intents import ADD, AddBody
from tests.node.contacts.people import NOTHING, Person, open_people, refused, until
from tests.node.world import Member


async def test_a_contact_adds_us_without_asking(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await bob.meet(ada)
        await ada.found()
        assert "waits" not in (await ada.add(bob)).text
        await bob.ends_in("lunch")
        assert await bob.invitations() == ()


async def test_a_stranger_has_to_wait_for_our_user(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Both sides are told; nothing of the group is here until it is accepted; then all of it is."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.meet(bob)
        await ada.found()
        assert (await ada.add(bob)).text == "added bob; waits for bob to accept"
        assert [one.is_waiting for one in (await ada.group()).members if one.name == "bob"] == [True]
        assert await bob.groups() == []
        (waiting,) = await bob.invitations()
        assert (waiting.name, waiting.adder, waiting.member_count) == ("lunch", ada.peer_id, 2)
        assert (await bob.service.status(NOTHING)).invitation_count == 1
        await ada.say("soup at noon?")  # in an epoch that bob is a member of
        for member in (bob.member, ada.member):  # it is durable at both ends
            await member.stop()
            await member.start()
        detail = await bob.service.group_accept(InvitationRequest(invitation=waiting.invitation_id[:6]))
        assert detail.name == "lunch"
        await bob.ends_in("lunch")
        await bob.hears("soup at noon?")
        await bob.say("yes")
        await ada.hears("yes")
        assert await bob.invitations() == ()
        await until(lambda: not ada.member.node.context.store.outbox())
        assert not any(one.is_waiting for one in (await ada.group()).members)


async def test_who_declines_is_removed_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.meet(bob)
        await ada.found()
        await ada.add(bob)
        await bob.service.group_decline(InvitationRequest(invitation="lunch"))
        assert await bob.invitations() == ()
        with trio.fail_after(120):
            while len((await ada.group()).members) > 1:  # noqa: ASYNC110 - by an intent of its own
                await trio.sleep(0.5)
        events = await ada.service.events(schema.EventsRequest(since=0, wait_s=0))
        assert any("bob does not want to be in this group" in event.text for event in events.events)
        assert await bob.groups() == []
        await refused(bob.service.group_accept(InvitationRequest(invitation="lunch")), ErrorCode.INVITATION_NOT_FOUND)
        assert (await ada.add(bob)).text.endswith("waits for bob to accept"), "asking again is no crime"


async def test_what_counts_is_who_added_us_not_who_brings_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The voters of a group bring its Welcomes too: one of them being a contact lets nobody else in."""
    async with open_people(tmp_path, "ada", "bob", "cyn") as (world, (ada, bob, cyn)):
        await cyn.meet(bob)
        await ada.meet(bob)
        await bob.meet(ada)
        await ada.found()
        await ada.add(bob)
        await bob.ends_in("lunch")
        await until(lambda: committee(ada.member) == 1 and len(ada.member.session.agreement.roster) == 2)
        world.network.partition({ada.peer_id, bob.peer_id}, {cyn.peer_id})
        world.network.heal()
        await ada.add(cyn)
        await trio.sleep(30)
        assert await cyn.groups() == []
        assert [one.adder for one in await cyn.invitations()] == [ada.peer_id]


def committee(member: Member) -> int:
    return member.session.agreement.instance.config.committee.size


async def test_nobody_means_nobody(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Not even a contact; the adder is told by the removal."""
    async with open_people(tmp_path, "ada", "bob", accept="nobody") as (_, (ada, bob)):
        await bob.meet(ada)
        await ada.found()
        await ada.add(bob)
        await trio.sleep(30)
        assert (await bob.groups(), await bob.invitations()) == ([], ())
        assert len((await ada.group()).members) == 1


async def test_a_blocked_adder_is_declined(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Also where somebody else, who is welcome, brings its Welcome."""
    async with open_people(tmp_path, "ada", "eve", "cyn", accept="anyone") as (_, (ada, eve, cyn)):
        await eve.found("trap")
        await eve.add(cyn, "trap")
        await cyn.ends_in("trap")
        await cyn.service.group_opt_in(schema.ChangeRequest(group="trap"))
        package = await eve.member.node.key_package_of(ada.peer_id, 1)
        await ada.service.contact_block(ContactRequest(contact=eve.peer_id))
        await eve.member.change(ADD, AddBody(ada.peer_id, package).encode())
        await trio.sleep(60)
        assert (await ada.groups(), await ada.invitations()) == ([], ())


async def test_invitations_are_bounded_for_each_adder_and_in_all(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adder without end pushes out its own; many of them the oldest."""
    monkeypatch.setattr(consent, "INVITATIONS_PER_ADDER_MAX", 2)
    monkeypatch.setattr(consent, "INVITATIONS_MAX", 3)
    async with open_people(tmp_path, "bob", "ada", "eve") as (_, (bob, ada, eve)):
        await invite(ada, bob, "true")
        for number in range(4):
            await invite(eve, bob, f"spam {number}")
        assert [one.name for one in await bob.invitations()] == ["true", "spam 2", "spam 3"]
        await invite(ada, bob, "other")
        assert [one.name for one in await bob.invitations()] == ["spam 2", "spam 3", "other"]
        monkeypatch.setattr(consent, "INVITATIONS_SIZE_MAX", 1)
        await invite(eve, bob, "large")
        assert await bob.invitations() == ()


async def invite(adder: Person, other: Person, name: str) -> None:
    await adder.found(name)
    await adder.add(other, name)


async def test_an_old_invitation_is_forgotten(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_people(tmp_path, "bob", "ada") as (_, (bob, ada)):
        await invite(ada, bob, "lunch")
        assert len(await bob.invitations()) == 1
        monkeypatch.setattr(consent, "INVITATION_LIFETIME_MS", -1)
        assert await bob.invitations() == ()
        await refused(bob.service.group_accept(InvitationRequest(invitation="lunch")), ErrorCode.INVITATION_NOT_FOUND)
