"""Links and requests: signed, bounded, bound to who asks whom about which group, and the token never comes back."""

import os
import random

import msgspec
import pytest
from msgspec.structs import replace

from mls import basic, create_key_package, frame, own_capabilities, suite
from node.contacts.cards import Card
from node.contacts.invites import (
    INVITE_SIZE_MAX,
    REASON_SIZE_MAX,
    REQUEST_SIZE_MAX,
    TOKEN_SIZE,
    USES_MAX,
    Invite,
    InviteError,
    JoinAnswer,
    JoinRequest,
    JoinState,
    expired_words,
    has_token,
    invite_from_text,
    make_invite,
    make_request,
    open_invite,
    open_request,
)
from node.contacts.text import TEXT_SIZE_MAX, MistypedError, TextError
from node.directory import lifetime_from
from node.electorate import PRIVATE_EXTENSIONS
from node.identity import Identity
from ordering import MalformedError
from tests.node.contacts.test_cards import ADA, NOW_S, card_of

BOB, EVE = Identity.generate(os.urandom), Identity.generate(os.urandom)
GROUP = os.urandom(32)
TOKEN = os.urandom(TOKEN_SIZE)


def invite_of(identity: Identity = ADA, **changes: object) -> Invite:
    said: dict[str, object] = {
        "group_id": GROUP,
        "name": "lunch",
        "suite": 1,
        "epoch": 3,
        "descriptor_hash": bytes(range(32)),
        "card": card_of(identity),
        "token": TOKEN,
        "uses": 1,
        "expires_s": NOW_S + 1000,
    }
    return make_invite(identity, **{**said, **changes})  # type: ignore[arg-type]


def package_of(identity: Identity, suite_id: int = 1) -> bytes:
    signer = suite(suite_id).generate_signature_key(os.urandom)
    credential = basic(identity.bind(signer.public, suite_id))
    lifetime, capabilities = lifetime_from(NOW_S), own_capabilities(PRIVATE_EXTENSIONS)
    bundle = create_key_package(suite_id, credential, signer, lifetime, capabilities, (), (), os.urandom)
    return frame(bundle.key_package)


def request_of(identity: Identity = BOB, invite: Invite | None = None, package: bytes | None = None) -> JoinRequest:
    card = card_of(identity, name="bob")
    return make_request(identity, invite or invite_of(), card, package or package_of(identity))


def test_a_link_survives_the_way_to_another_node() -> None:
    invite = invite_of()
    assert invite_from_text(invite.to_text()) == invite
    assert invite.card == card_of()
    assert TOKEN not in invite.id


def test_a_link_does_not_show_its_token_by_accident() -> None:
    """A log line or a trace with it would be an open door."""
    assert TOKEN.hex() not in repr(invite_of())
    assert str(TOKEN) not in repr(invite_of())


@pytest.mark.parametrize(
    "changed",
    [
        {"group_id": os.urandom(32)},
        {"name": "dinner"},
        {"suite": 2},
        {"epoch": 4},
        {"descriptor_hash": bytes(32)},
        {"inviter": card_of(BOB).encode()},
        {"inviter": card_of(serial=9).encode()},
        {"token": bytes(TOKEN_SIZE)},
        {"uses": 2},
        {"expires_s": NOW_S + 10_000},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_link_changed_by_anybody_else_is_refused(changed: dict[str, object]) -> None:
    """Who passes it on cannot lead to another group, committee or inviter, nor make it last longer."""
    with pytest.raises(InviteError, match="has not signed it"):
        open_invite(replace(invite_of(), **changed).encode())


def test_a_link_with_a_broken_card_is_refused() -> None:
    card = replace(card_of(), name="eve")
    with pytest.raises(InviteError, match="its node has not signed it"):
        open_invite(replace(invite_of(), inviter=card.encode()).encode())
    with pytest.raises(InviteError, match="not a contact card"):
        open_invite(replace(invite_of(), inviter=b"x").encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (1, b""),
        (1, bytes(65)),
        (2, "x" * 65),
        (2, "a\nb"),
        (3, 0),
        (3, 2**16),
        (4, -1),
        (5, bytes(31)),
        (6, bytes(4097)),
        (7, bytes(TOKEN_SIZE - 1)),
        (8, 0),
        (8, USES_MAX + 1),
        (9, 2**41),
        (10, bytes(63)),
    ],
)
def test_a_link_out_of_bounds_is_refused(field: int, value: object) -> None:
    fields = msgspec.msgpack.decode(invite_of().encode())
    fields[field] = value
    with pytest.raises(InviteError, match="not an invite"):
        open_invite(msgspec.msgpack.encode(fields))


def test_another_version_is_refused_with_both_named() -> None:
    for value, read in (
        (invite_of(), open_invite),
        (request_of(), lambda data: open_request(data, ADA.public_key)),
    ):
        data = bytearray(value.encode())
        data[1] = 2
        with pytest.raises(InviteError, match=r"version 2; this node reads version 1"):
            read(bytes(data))


def test_noise_is_no_link_and_no_request() -> None:
    rng = random.Random(6)
    for good, read in (
        (invite_of().encode(), open_invite),
        (request_of().encode(), lambda data: open_request(data, ADA.public_key)),
    ):
        for _ in range(300):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            noise = bytes(data[: rng.randrange(len(data) + 1)]) if rng.random() < 0.3 else bytes(data)
            if noise != good:
                with pytest.raises(InviteError):
                    read(noise)
    for size, read in ((INVITE_SIZE_MAX, open_invite), (REQUEST_SIZE_MAX, lambda data: open_request(data, b""))):
        with pytest.raises(InviteError, match=f"at most {size}"):
            read(b"\x9b" + bytes(size))


def test_a_mistyped_link_is_told_from_an_expired_one() -> None:
    """One asks to copy it again, the other whom to ask for a new one."""
    invite = invite_of(expires_s=1_790_000_000)
    text = invite.to_text()
    with pytest.raises(MistypedError, match="the invite is mistyped or cut short"):
        invite_from_text(text[:-2])
    with pytest.raises(TextError, match="this is a contact card, not an invite: `conclave contact add` takes it"):
        invite_from_text(card_of().to_text())
    assert expired_words(invite_from_text(text)) == "the invite expired on 2026-09-21; ask ada for a new one"


def test_the_largest_link_can_be_pasted() -> None:
    largest = replace(invite_of(), name="x" * 64, group_id=bytes(64), inviter=bytes(4096), expires_s=2**40)
    assert len(largest.encode()) <= INVITE_SIZE_MAX
    assert len(largest.to_text()) <= TEXT_SIZE_MAX


def test_who_has_the_link_can_show_it_and_nobody_else() -> None:
    """Without the token itself being told to anybody."""
    request = open_request(request_of().encode(), ADA.public_key)
    assert has_token(request, ADA.public_key, TOKEN)
    assert TOKEN not in request.encode()
    assert not has_token(request, ADA.public_key, bytes(TOKEN_SIZE))
    assert not has_token(request, EVE.public_key, TOKEN), "it was made for another inviter"
    assert not has_token(request_of(EVE, invite_of(token=os.urandom(TOKEN_SIZE))), ADA.public_key, TOKEN)


@pytest.mark.parametrize(
    "changed",
    [
        {"group_id": os.urandom(32)},
        {"invite_id": bytes(8)},
        {"card": card_of(BOB, serial=99).encode()},
        {"key_package": package_of(BOB)},
        {"proof": bytes(32)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_request_changed_on_its_way_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(InviteError, match="who asks has not signed it"):
        open_request(replace(request_of(), **changed).encode(), ADA.public_key)


def test_nobody_asks_in_anothers_name() -> None:
    """Eve has the link, bob's card, and a key package that bob gave her: without bob's signature it is nothing."""
    stolen = make_request(EVE, invite_of(), card_of(BOB), package_of(BOB))
    with pytest.raises(InviteError, match="has not signed it"):
        open_request(stolen.encode(), ADA.public_key)
    lent = make_request(EVE, invite_of(), card_of(EVE), package_of(BOB))
    with pytest.raises(InviteError, match="the key package is another peer's"):
        open_request(lent.encode(), ADA.public_key)
    with pytest.raises(InviteError, match="the key package"):
        open_request(request_of(package=b"nonsense").encode(), ADA.public_key)


def test_an_answer_is_bounded() -> None:
    answer = JoinAnswer(JoinState.REFUSED, "x" * REASON_SIZE_MAX)
    assert JoinAnswer.decode(answer.encode()) == answer
    fields = msgspec.msgpack.decode(answer.encode())
    for field, value in ((1, 9), (2, "x" * (REASON_SIZE_MAX + 1))):
        with pytest.raises(MalformedError):
            JoinAnswer.decode(msgspec.msgpack.encode([*fields[:field], value, *fields[field + 1 :]]))


def test_a_card_in_a_link_is_the_inviters() -> None:
    assert isinstance(invite_of().card, Card)
    with pytest.raises(InviteError, match="has not signed it"):
        open_invite(make_invite_by(EVE, card_of(ADA)).encode())


def make_invite_by(identity: Identity, card: Card) -> Invite:
    return invite_of(identity, card=card)
