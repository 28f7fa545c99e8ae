"""Into a group by a link, on running nodes: asked, approved or refused, across restarts, within bounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from mls import frame
from node.api import contact_schema, schema
from node.api.contact_schema import (
    ApproveRequest,
    ContactRequest,
    GroupInviteRequest,
    InvitationRequest,
    InviteRequest,
    JoinerRequest,
)
from node.api.errors import ErrorCode
from node.contacts import following, inviting, pins
from node.contacts.book import Contacts
from node.contacts.cards import Card, Place, card_from_text
from node.contacts.invites import (
    Invite,
    JoinAnswer,
    JoinRequest,
    JoinState,
    invite_from_text,
    make_invite,
    make_request,
)
from node.contacts.inviting import JOIN_PROTOCOL
from node.directory import new_key_package
from node.store_rows import PeerRow
from node.transport import RequestError, RequestFailure
from tests.node.contacts.people import NOTHING, Person, open_people, refused, until
from tests.node.mailbox.world import mailboxes, stored
from tests.node.world import open_world


async def link(person: Person, **wishes: object) -> str:
    """A link into the person's group."""
    request = GroupInviteRequest(group="lunch", **wishes)  # type: ignore[arg-type]
    return (await person.service.group_invite(request)).link


async def join(person: Person, link: str, **wishes: object) -> contact_schema.JoinResult:
    return await person.service.group_join(contact_schema.JoinRequest(link=link, **wishes))  # type: ignore[arg-type]


async def asks(person: Person) -> contact_schema.Joiner:
    """Wait until exactly one asks to be let in."""
    with trio.fail_after(120):
        while len(await requests(person)) != 1:  # noqa: ASYNC110 - nobody signals it
            await trio.sleep(0.1)
    return (await requests(person))[0]


async def requests(person: Person) -> tuple[contact_schema.Joiner, ...]:
    return (await person.service.group_requests(schema.GroupRequest(group="lunch"))).requests


async def approve(person: Person, who: str) -> schema.IntentResult:
    return await person.service.group_approve(ApproveRequest(group="lunch", request=who))


async def ends(person: Person, state: str) -> contact_schema.JoinResult:
    """Wait until the only link that the person follows has come so far."""
    with trio.fail_after(200):
        while True:
            joins = (await person.service.group_joins(NOTHING)).joins
            if joins and joins[0].state == state:
                return joins[0]
            await trio.sleep(0.1)


def raw_request(person: Person, text: str, invite: Invite | None = None) -> bytes:
    """What a changed node could send."""
    node = person.member.node
    link = invite or invite_from_text(text)
    package = frame(new_key_package(node.context, link.suite).key_package)
    return make_request(node.context.identity, link, node.own_card.card, package).encode()


async def send(person: Person, to: Person, payload: bytes) -> JoinAnswer:
    return JoinAnswer.decode(await person.member.node.context.transport.request(to.peer_id, JOIN_PROTOCOL, payload))


async def test_a_link_and_a_yes_lead_into_the_group(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Neither knew the other, nor an address of the other, but by the link."""
    async with open_people(tmp_path, "ada") as (world, (ada,)):
        bob = Person(await world.member("bob", alone=True))
        await ada.found()
        first = await join(bob, await link(ada), timeout_s=10)
        assert (first.state, first.text) == ("waiting", "~ada has to approve: waiting to be let into lunch")
        waiting = await asks(ada)
        assert (waiting.name, waiting.peer_id) == ("~bob", bob.peer_id)
        assert (await ada.service.status(NOTHING)).request_count == 1
        assert (await approve(ada, "~bob")).text == "added ~bob"
        await bob.ends_in("lunch")
        await bob.say("hello")
        await ada.hears("hello")
        await ada.say("welcome")
        await bob.hears("welcome")
        assert (await bob.group()).is_confirmed
        await until(lambda: bob.member.node.context.store.joins() == ())
        assert {one.name for one in (await bob.group()).members} == {"~ada", "bob"}
        assert (await ada.service.status(NOTHING)).request_count == 0


async def test_an_automatic_link_is_enough(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob", "cyn") as (_, (ada, bob, cyn)):
        await ada.found()
        text = await link(ada, auto=True, uses=2)
        joined = await join(bob, text)
        assert (joined.state, joined.member_count, joined.name) == ("joined", 2, "lunch")
        assert (await join(cyn, text, name="soup")).text.startswith("joined soup (epoch ")
        await cyn.ends_in("soup")
        await refused(join(bob, text), ErrorCode.ALREADY_SO)


async def test_a_link_is_used_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Once by default; it is approval that uses it, not asking."""
    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        await ada.found()
        text = await link(ada)
        await join(eve, text, wait=False)
        assert (await asks(ada)).name == "~eve"
        await join(bob, text, wait=False)
        await until(lambda: len(ada.member.node.inviting.waiting()) == 2)
        await approve(ada, "~bob")
        await bob.ends_in("lunch")
        (left,) = (await ada.service.group_invites(schema.GroupRequest(group="lunch"))).invites
        assert left.uses_left == 0
        await ada.service.group_refuse(JoinerRequest(group="lunch", request="~eve"))
        assert (await ends(eve, "refused")).text == "not let into lunch: the inviter has refused"
        again = await join(eve, text, timeout_s=20)
        assert again.text == "not let into lunch: the invite has been used already; ask for a new one"


async def test_the_same_request_again_changes_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Lost answers are asked for again; another's request never stands for ours."""
    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        await ada.found()
        payload = raw_request(bob, await link(ada))
        for _ in range(3):
            assert (await send(bob, ada, payload)).state is JoinState.WAITING
        assert len(await requests(ada)) == 1
        with pytest.raises(RequestError) as caught:
            await send(eve, ada, payload)
        assert caught.value.kind is RequestFailure.REFUSED
        await approve(ada, "~bob")
        for _ in range(3):
            assert (await send(bob, ada, payload)).state is JoinState.MEMBER
        assert len((await ada.group()).members) == 2


async def test_who_has_no_link_is_not_even_looked_at(tmp_path: Path, autojump_clock: MockClock) -> None:
    """No signature is verified for them, no row kept, and our user not asked."""
    async with open_people(tmp_path, "ada", "eve") as (_, (ada, eve)):
        await ada.found()
        true = invite_from_text(await link(ada))
        made_up = replace(true, token=bytes(16))
        wrong_group = replace(true, group_id=bytes(32))
        with no_signature_checked():
            assert (await send(eve, ada, raw_request(eve, "", made_up))).state is JoinState.REFUSED
            assert (await send(eve, ada, raw_request(eve, "", wrong_group))).state is JoinState.REFUSED
            for payload in (b"", b"\xff" * 100, replaced_proof(raw_request(eve, "", true))):
                with pytest.raises(RequestError) as caught:
                    await send(eve, ada, payload)
                assert caught.value.kind is RequestFailure.REFUSED
        assert await requests(ada) == ()


@contextmanager
def no_signature_checked() -> Iterator[None]:
    with mock.patch.object(inviting, "open_request", side_effect=AssertionError("a stranger cost us a signature")):
        yield


def replaced_proof(payload: bytes) -> bytes:
    return replace(JoinRequest.decode(payload), proof=bytes(32)).encode()


async def test_an_expired_link_says_so_at_both_ends(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joiner's clock may be wrong; the inviter's decides."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        text = await link(ada, lifetime_s=60)
        late_ms = ada.member.node.context.now_ms() + 120_000
        payload = raw_request(bob, text)
        monkeypatch.setattr("node.context.NodeContext.now_ms", staticmethod(lambda: late_ms))
        error = await refused(join(bob, text), ErrorCode.EXPIRED)
        assert "expired on" in error.message
        assert error.message.endswith("ask ada for a new one")
        answer = await send(bob, ada, payload)
        assert answer == JoinAnswer(JoinState.REFUSED, "the invite has expired; ask for a new one")
        (listed,) = (await ada.service.group_invites(schema.GroupRequest(group="lunch"))).invites
        assert listed.is_expired


async def test_a_link_taken_back_lets_nobody_in(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        made = await ada.service.group_invite(GroupInviteRequest(group="lunch"))
        await join(bob, made.link, wait=False)
        await asks(ada)
        await ada.service.group_uninvite(InviteRequest(group="lunch", invite=made.invite_id[:6]))
        assert await requests(ada) == ()
        assert (await ends(bob, "refused")).state == "refused"
        assert (await join(bob, made.link, timeout_s=20)).text.endswith("is not known here any more; ask for a new one")


async def test_a_link_taken_back_refuses_nobody_who_was_approved(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        made = await ada.service.group_invite(GroupInviteRequest(group="lunch"))
        payload = raw_request(bob, made.link)
        await send(bob, ada, payload)
        await approve(ada, "~bob")
        await ada.service.group_uninvite(InviteRequest(group="lunch", invite=made.invite_id))
        assert (await send(bob, ada, payload)).state is JoinState.MEMBER
        assert (await send(bob, ada, raw_request(bob, made.link))).state is JoinState.REFUSED


async def test_both_ends_may_be_restarted_at_any_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The link, the request with its key package, and the yes are on disk before anybody is told of them."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        text = await link(ada)
        await ada.member.stop()
        assert (await join(bob, text, timeout_s=5)).text == "~ada is being asked to let this node into lunch"
        await bob.member.stop()
        await ada.member.start()
        await bob.member.start()
        await asks(ada)
        await ends(bob, "waiting")
        for person in (ada, bob):
            await person.member.stop()
        await ada.member.start()
        await approve(ada, "~bob")  # nobody there to be welcomed
        await ada.member.stop()
        await bob.member.start()
        await ada.member.start()
        await bob.ends_in("lunch")
        await bob.say("at last")
        await ada.hears("at last")


async def test_only_the_group_of_the_link_is_entered(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A link that is followed opens the door to one group, and to no other that the inviter, or anybody, adds us to."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await ada.found("trap")
        await join(bob, await link(ada), wait=False)
        await asks(ada)
        await ada.add(bob, "trap")
        await trio.sleep(10)
        assert await bob.groups() == []
        assert [one.name for one in await bob.invitations()] == ["trap"]
        await approve(ada, "~bob")
        await bob.ends_in("lunch")


async def test_any_member_may_carry_the_addition(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The inviter approves and is gone; who commits it is no contact of the joiner's, and need not be."""
    async with open_people(tmp_path, "ada", "cyn") as (world, (ada, cyn)):
        await cyn.meet(ada)
        await ada.found()
        await ada.add(cyn)
        await cyn.ends_in("lunch")
        await until(lambda: len(ada.member.voters) >= 1)
        bob = Person(await world.member("bob"))
        await join(bob, await link(ada, auto=True), timeout_s=60)
        await bob.ends_in("lunch")
        await bob.say("hello")
        for person in (ada, cyn):
            await person.hears("hello")


async def test_a_link_to_another_committee_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The inviter's own card, the right group, and a committee that never was."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        text = await link(ada, auto=True)
        false = forged(ada, invite_from_text(text), descriptor_hash=bytes(32))
        result = await join(bob, false.to_text(), timeout_s=30)
        assert result.state == "approved", "added, and it does not come in"
        assert (await bob.groups(), await bob.invitations()) == ([], ())


async def test_a_welcome_older_than_the_link_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A link of epoch 9 does not lead into epoch 1 of a copy."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        false = forged(ada, invite_from_text(await link(ada, auto=True)), epoch=9)
        assert (await join(bob, false.to_text(), timeout_s=30)).state == "approved"
        assert await bob.groups() == []


def forged(person: Person, invite: Invite, **changes: object) -> Invite:
    """A link that its inviter signed, saying something else."""
    said: dict[str, object] = {
        "group_id": invite.group_id,
        "name": invite.name,
        "suite": invite.suite,
        "epoch": invite.epoch,
        "descriptor_hash": invite.descriptor_hash,
        "card": invite.card,
        "token": invite.token,
        "uses": invite.uses,
        "expires_s": invite.expires_s,
    }
    return make_invite(person.member.node.context.identity, **{**said, **changes})  # type: ignore[arg-type]


async def notices(person: Person) -> list[str]:
    batch = await person.service.events(schema.EventsRequest(since=0, wait_s=0))
    return [event.text for event in batch.events if event.kind == "health"]


async def test_what_a_link_pins_is_compared_when_the_group_has_gone_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Made in epoch 0, followed in epoch 5: the chain in between has to begin with the committee that it names."""
    async with open_people(tmp_path, "ada", "bob", "cyn") as (_, (ada, bob, cyn)):
        await ada.found()
        old = invite_from_text(await link(ada, auto=True, uses=3))
        for _ in range(5):
            await ada.service.group_update(schema.ChangeRequest(group="lunch"))
        assert (await join(bob, old.to_text())).state == "joined"
        await until(lambda: bob.member.node.context.store.joins() == ())
        assert [text for text in await notices(bob) if "invite" in text] == []
        false = forged(ada, old, descriptor_hash=bytes(32))
        assert (await join(cyn, false.to_text())).state == "joined", "nobody can tell yet"
        await until(lambda: cyn.member.node.context.store.joins() == ())
        assert pins.warning(pins.Verdict.OTHER) in await notices(cyn)


async def test_too_many_changes_to_compare_are_said(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "COMPARED_MAX", 2)
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        old = await link(ada, auto=True)
        for _ in range(5):
            await ada.service.group_update(schema.ChangeRequest(group="lunch"))
        await join(bob, old)
        await until(lambda: bob.member.node.context.store.joins() == ())
        assert pins.warning(pins.Verdict.TOO_LONG) in await notices(bob)


async def test_who_asks_is_bounded_for_each_link_and_in_all(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link on a web page fills its own room, and not that of the others."""
    monkeypatch.setattr(inviting, "REQUESTS_PER_INVITE_MAX", 2)
    async with open_people(tmp_path, "ada", "bob", "cyn", "dan", "eve") as (_, (ada, *crowd, eve)):
        await ada.found()
        public, private = await link(ada, uses=9), await link(ada)
        answers = [await send(one, ada, raw_request(one, public)) for one in crowd]
        assert [one.state for one in answers] == [JoinState.WAITING, JoinState.WAITING, JoinState.REFUSED]
        assert "too many wait" in answers[-1].reason
        assert (await send(eve, ada, raw_request(eve, private))).state is JoinState.WAITING
        assert (await send(crowd[0], ada, raw_request(crowd[0], public))).state is JoinState.WAITING, (
            "anew, in its place"
        )
        assert len(await requests(ada)) == 3
        monkeypatch.setattr(inviting, "REQUESTS_MAX", 3)
        assert (await send(crowd[2], ada, raw_request(crowd[2], private))).state is JoinState.REFUSED


async def test_links_are_bounded(tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inviting, "INVITES_PER_GROUP_MAX", 2)
    monkeypatch.setattr(following, "JOINS_MAX", 2)
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        for name in ("lunch", "dinner", "tea"):
            await ada.found(name)
        for _ in range(2):
            await link(ada)
        await refused(link(ada), ErrorCode.BUSY)
        links = [(await ada.service.group_invite(GroupInviteRequest(group=name))).link for name in ("dinner", "tea")]
        for text in links:
            await join(bob, text, wait=False)
        (_, third) = (await ada.service.group_invites(schema.GroupRequest(group="lunch"))).invites
        await ada.service.group_uninvite(InviteRequest(group="lunch", invite=third.invite_id))
        fresh = await link(ada)
        await refused(join(bob, fresh, wait=False), ErrorCode.BUSY)
        await bob.service.group_decline(InvitationRequest(invitation="tea"))
        assert (await join(bob, fresh, wait=False)).state == "asking"


async def test_a_blocked_joiner_and_a_blocked_inviter_get_nowhere(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "eve") as (_, (ada, eve)):
        await ada.found()
        text = await link(ada, auto=True)
        await ada.service.contact_block(ContactRequest(contact=eve.peer_id))
        assert (await join(eve, text, timeout_s=20)).state == "asking"
        await ada.service.contact_unblock(ContactRequest(contact=eve.peer_id))
        await eve.ends_in("lunch")
        await eve.found("other")
        theirs = (await eve.service.group_invite(GroupInviteRequest(group="other"))).link
        await ada.service.contact_block(ContactRequest(contact=eve.peer_id))
        await refused(join(ada, theirs), ErrorCode.BLOCKED)


async def test_a_link_that_is_given_up_is_followed_no_more(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await join(bob, await link(ada), wait=False)
        await asks(ada)
        await bob.service.group_decline(InvitationRequest(invitation="lunch"))
        assert (await bob.service.group_joins(NOTHING)).joins == ()
        await approve(ada, "~bob")
        await trio.sleep(20)
        assert await bob.groups() == []


async def test_names_of_groups_stay_apart(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await bob.found("Lunch")
        text = await link(ada, auto=True)
        await refused(join(bob, text), ErrorCode.NAME_TAKEN)
        assert (await join(bob, text, name="soup")).name == "soup"
        await refused(join(ada, text), ErrorCode.BAD_REQUEST)


async def test_naming_somebody_met_by_a_link_makes_a_contact(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Until then it is only shown as it calls itself; what is shown is never one of our own names."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await join(bob, await link(ada, auto=True))
        assert (await bob.service.contact_list(NOTHING)).contacts == ()
        await ada.found("more")
        await ada.add(bob, "more")
        assert [one.name for one in await bob.invitations()] == ["more"], "a link makes nobody a contact"
        named = await bob.service.contact_rename(contact_schema.ContactRenameRequest(contact="~ada", name="Ada"))
        assert (named.name, named.claimed_name) == ("Ada", "ada")
        assert {one.name for one in (await bob.group()).members} == {"Ada", "bob"}
        assert Contacts(bob.member.node.context).is_contact(ada.peer_id)


async def test_who_was_met_is_bounded(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.contacts.book.ACQUAINTANCES_MAX", 2)
    async with open_people(tmp_path, "ada", "bob", "cyn", "dan") as (_, (ada, *others)):
        for other in others:
            ada.member.node.contacts.acquaint(card_from_text(await other.card()))
        names = ada.member.node.context.store.claimed_names()
        assert sorted(names.values()) == ["cyn", "dan"]
        with ada.member.node.context.store.transaction() as transaction:
            transaction.put_peer(PeerRow(others[2].peer_id, (), "Daniel"))
        assert (await ada.service.peers(NOTHING)).peers


async def test_a_chain_that_nobody_shows_is_said_to_be_unknown(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for agreement, and not waited for until the end of days."""
    monkeypatch.setattr(pins, "_entries", nothing)
    monkeypatch.setattr(following, "COMPARE_TRIES_MAX", 3)
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        old = await link(ada, auto=True)
        for _ in range(3):
            await ada.service.group_update(schema.ChangeRequest(group="lunch"))
        await join(bob, old)
        await until(lambda: bob.member.node.context.store.joins() == ())
        assert pins.warning(pins.Verdict.UNKNOWN) in await notices(bob)


async def nothing(*_: object) -> tuple[()]:
    return ()


async def test_one_who_cannot_be_added_is_told_and_the_link_is_not_used_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A key package of another suite: the addition fails for good, and another may come by the link."""
    async with open_people(tmp_path, "ada", "eve", "bob") as (_, (ada, eve, bob)):
        await ada.found()
        invite = invite_from_text(await link(ada, auto=True))
        payload = raw_request(eve, "", forged(ada, invite, suite=2))
        with trio.fail_after(60):
            while (answer := await send(eve, ada, payload)).state is not JoinState.REFUSED:  # noqa: ASYNC110
                await trio.sleep(1)
        assert "could not be added" in answer.reason
        assert (await join(bob, invite.to_text())).state == "joined"


async def test_an_inviter_who_sleeps_is_asked_at_its_mailboxes(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Never awake at the same time until both are: the request waits where the inviter's card says, once."""
    box: list[bytes] = []

    async def leave(card: Card, request: bytes) -> int:
        box.append(request)
        return len(card.mailboxes)

    async with open_people(tmp_path, "ada", "bob", "eve") as (_, (ada, bob, eve)):
        ada.member.node.own_card.mailboxes = (Place(eve.member.node.context.identity.public_key, ("/memory/eve",)),)
        await ada.found()
        text = await link(ada)
        await ada.member.stop()
        bob.member.node.following.leave = leave
        await join(bob, text, wait=False)
        await trio.sleep(600)
        assert (await ends(bob, "asking")).text.endswith("(asked at 1 of its mailboxes)")
        (request,) = box
        await bob.member.stop()
        await ada.member.start()
        for _ in range(2):  # a mailbox may hand out a note twice
            await ada.member.node.inviting.take(request)
        assert (await asks(ada)).peer_id == bob.peer_id
        await approve(ada, "~bob")
        await bob.member.start()
        await bob.ends_in("lunch")


async def test_a_link_for_one_lets_one_in_however_many_ask_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_people(tmp_path, "ada", "bob", "cyn", "dan") as (_, (ada, *others)):
        await ada.found()
        text = await link(ada, auto=True)
        payloads = [raw_request(one, text) for one in others]
        states: list[JoinState] = []

        async def ask(one: Person, payload: bytes) -> None:
            states.append((await send(one, ada, payload)).state)

        async with trio.open_nursery() as nursery:
            for one, payload in zip(others, payloads, strict=True):
                nursery.start_soon(ask, one, payload)
        await trio.sleep(60)
        assert len((await ada.group()).members) == 2


async def test_an_approval_that_was_not_begun_is_asked_for_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    """A crash between the note that it is approved and the intent to add: nobody is let in twice, or never."""
    async with open_people(tmp_path, "ada", "bob") as (_, (ada, bob)):
        await ada.found()
        await join(bob, await link(ada), wait=False)
        await asks(ada)
        (row,) = ada.member.node.inviting.waiting()
        ada.member.node.inviting._take_use(row)
        assert await requests(ada) == ()
        await ada.member.stop()
        await ada.member.start()
        assert (await asks(ada)).peer_id == bob.peer_id
        await approve(ada, "~bob")
        await bob.ends_in("lunch")
        (left,) = (await ada.service.group_invites(schema.GroupRequest(group="lunch"))).invites
        assert left.uses_left == 0


async def test_two_who_are_never_awake_together_meet_by_a_link(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Request, approval, Welcome and message all wait at a mailbox that neither of them trusts."""
    async with open_world(tmp_path) as world:
        world.accept = "contacts"
        await mailboxes(world, "box")
        ada, bob = Person(await world.member("ada")), Person(await world.member("bob", alone=True))
        await bob.member.stop()
        await ada.found()
        text = await link(ada)
        await ada.member.stop()

        await bob.member.start(alone=True)
        await join(bob, text, wait=False)
        assert (await until_left(bob)).text.endswith("(asked at 1 of its mailboxes)")
        await bob.member.stop()

        await ada.member.start(alone=True)
        await asks(ada)
        await approve(ada, "~bob")
        await ada.say("welcome, bob")
        await until(lambda: stored(ada.member, "welcome, bob") == 1)
        await trio.sleep(120)
        await ada.member.stop()

        await bob.member.start(alone=True)
        await bob.ends_in("lunch")
        await bob.hears("welcome, bob")


async def until_left(person: Person) -> contact_schema.JoinResult:
    with trio.fail_after(200):
        while "mailboxes" not in (await ends(person, "asking")).text:  # noqa: ASYNC110
            await trio.sleep(1)
    return await ends(person, "asking")
