"""Messages on the wire: those of the vectors decode and encode to the same bytes; malformed ones are refused."""

from dataclasses import replace

import pytest

from mls.codec import Struct
from mls.errors import MalformedError, MisuseError
from mls.framing import FramedContentAuthData, MLSMessage, PrivateMessage, PublicMessage, Sender, frame
from mls.proposals import (
    Add,
    Commit,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from mls.registry import ContentType, SenderType, WireFormat
from mls.welcome import GroupSecrets
from tests.vectors import EVERY_SOURCE, Source, recorded

BODIES: dict[str, type[Struct]] = {
    "group_secrets": GroupSecrets,
    "add_proposal": Add,
    "update_proposal": Update,
    "remove_proposal": Remove,
    "pre_shared_key_proposal": PreSharedKey,
    "re_init_proposal": ReInit,
    "external_init_proposal": ExternalInit,
    "group_context_extensions_proposal": GroupContextExtensions,
    "commit": Commit,
}
MESSAGES = {
    "mls_welcome": WireFormat.MLS_WELCOME,
    "mls_group_info": WireFormat.MLS_GROUP_INFO,
    "mls_key_package": WireFormat.MLS_KEY_PACKAGE,
    "public_message_application": WireFormat.MLS_PUBLIC_MESSAGE,
    "public_message_proposal": WireFormat.MLS_PUBLIC_MESSAGE,
    "public_message_commit": WireFormat.MLS_PUBLIC_MESSAGE,
    "private_message": WireFormat.MLS_PRIVATE_MESSAGE,
}


@EVERY_SOURCE
def test_published_messages_decode_and_encode_to_the_same_bytes(source: Source) -> None:
    """The wire format of every structure, against bytes that other implementations agree on."""
    for case in source.cases("messages"):
        for name, kind in BODIES.items():
            data = bytes.fromhex(case[name])
            assert kind.decode(data).encode() == data, name
        for name, wire_format in MESSAGES.items():
            data = bytes.fromhex(case[name])
            message = MLSMessage.decode(data)
            assert message.wire_format is wire_format
            assert message.encode() == data, name
        source.ran("messages")


def a_message(name: str) -> bytes:
    return bytes.fromhex(recorded("messages")[0][name])


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_message_with_a_byte_more_or_less_is_malformed(name: str) -> None:
    """V005: decoding takes every byte or raises."""
    data = a_message(name)
    with pytest.raises(MalformedError):
        MLSMessage.decode(data + b"\x00")
    with pytest.raises(MalformedError):
        MLSMessage.decode(data[:-1])


@pytest.mark.parametrize("size", range(60))
def test_a_message_cut_short_anywhere_is_malformed(size: int) -> None:
    """V004: nothing but MalformedError comes out of a decoder."""
    with pytest.raises(MalformedError):
        MLSMessage.decode(a_message("public_message_commit")[:size])


def test_another_version_is_malformed() -> None:
    """V006."""
    data = a_message("private_message")
    with pytest.raises(MalformedError, match="V006"):
        MLSMessage.decode(b"\x00\x02" + data[2:])


def test_an_unknown_wire_format_is_malformed() -> None:
    """V007."""
    data = a_message("private_message")
    with pytest.raises(MalformedError, match="V007"):
        MLSMessage.decode(data[:2] + b"\x00\x09" + data[4:])


def test_an_unknown_proposal_type_is_malformed() -> None:
    """V210: it has no known extent, so nothing after it can be found."""
    data = a_message("public_message_proposal")
    message = MLSMessage.decode(data)
    assert isinstance(message.body, PublicMessage)
    assert message.body.content.content_type is ContentType.PROPOSAL
    body = message.body.content.content.encode()  # type: ignore[union-attr]
    for unknown in (b"\x00\x00", b"\x0a\x0a", b"\xef\xff"):
        changed = data.replace(body, unknown + body[2:])
        assert changed != data
        with pytest.raises(MalformedError, match="V210"):
            MLSMessage.decode(changed)


def test_a_private_message_shows_nothing_of_its_content() -> None:
    """V216: what is printed of a message is what everyone could read on the wire."""
    message = MLSMessage.decode(a_message("private_message"))
    assert isinstance(message.body, PrivateMessage)
    assert message.body.content_type.name in repr(message)


def test_group_secrets_print_no_secret() -> None:
    """V216."""
    data = a_message("group_secrets")
    secrets = GroupSecrets.decode(data)
    assert secrets.joiner_secret.hex()[:8] not in repr(secrets)
    assert repr(secrets.joiner_secret)[2:10] not in repr(secrets)


def test_v036_a_membership_tag_goes_with_a_member_and_no_other() -> None:
    """Caught where a message of ours would be written; a received one cannot even say it."""
    message = MLSMessage.decode(a_message("public_message_proposal")).body
    assert isinstance(message, PublicMessage)
    outside = replace(message.content, sender=Sender(SenderType.NEW_MEMBER_PROPOSAL))
    with pytest.raises(MisuseError):
        frame(replace(message, content=outside))
    with pytest.raises(MisuseError):
        frame(replace(message, membership_tag=None))
    with pytest.raises(MalformedError, match="V005"):
        MLSMessage.decode(frame(PublicMessage(outside, message.auth)) + b"\x00")


def test_v030_a_commit_of_ours_has_a_confirmation_tag() -> None:
    message = MLSMessage.decode(a_message("public_message_commit")).body
    assert isinstance(message, PublicMessage)
    with pytest.raises(MisuseError):
        frame(replace(message, auth=FramedContentAuthData(b"a signature")))
